//! Login method `aws_ec2`: the signed document by which an EC2 instance proves which one it is, and a nonce that nobody
//! else on it knows.
//!
//! The members of the login are those of Vault's `builtin/credential/aws/path_login.go` (`pkcs7`, `nonce`, `role`); the
//! document and the token before it are those of
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html> (IMDSv2). The variables are
//! those of AWS's tools.

use vaultref_core::{BoxFuture, Context, Error, ErrorKind, Secret};

use super::{Login, Method, full_path, post, text, wanted};
use crate::credentials::metadata::{Metadata, text_of};
use crate::hcv::api::Api;
use crate::hcv::options::Options;

/// The token to the metadata is good for so many seconds: it is used once, at once.
const TOKEN_SECONDS: &str = "60";

#[derive(Debug)]
struct AwsEc2 {
    path: String,
    role: String,
    nonce: Secret,
    metadata: Metadata,
}

pub(super) fn open(options: &Options, context: &Context) -> Result<Box<dyn Method>, Error> {
    let environment = &context.environment;
    if text_of(environment, "AWS_EC2_METADATA_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
    {
        let message =
            "login method `aws_ec2` asks the instance's metadata, which AWS_EC2_METADATA_DISABLED forbids";
        return Err(Error::new(ErrorKind::InvalidConfig, message)
            .with_hint("unset that variable, or log in by another `auth_method`"));
    }
    let (variable, address) = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254");
    Ok(Box::new(AwsEc2 {
        path: full_path("aws_login_path", &options.aws_login_path)?,
        role: wanted("aws_ec2", "aws_auth_role", options.aws_auth_role.as_ref())?,
        nonce: wanted("aws_ec2", "aws_auth_nonce", options.aws_auth_nonce.as_ref())?,
        metadata: Metadata::new(environment, variable, address, "an EC2 instance")?,
    }))
}

impl Method for AwsEc2 {
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>> {
        Box::pin(async move {
            let pkcs7 = self.document().await?;
            let document = text(&pkcs7, "aws_ec2")?;
            let nonce = text(&self.nonce, "aws_auth_nonce")?;
            let body = [("role", self.role.as_str()), ("pkcs7", document), ("nonce", nonce)];
            post(api, &self.path, &body, &[&pkcs7, &self.nonce]).await
        })
    }
}

impl AwsEc2 {
    /// The instance's document with its signature, in one line.
    async fn document(&self) -> Result<Secret, Error> {
        let seconds = Secret::new(TOKEN_SECONDS);
        let headers = [("x-aws-ec2-metadata-token-ttl-seconds", &seconds)];
        let answer = self.metadata.put("/latest/api/token", &headers).await?;
        if !answer.status.is_success() {
            return Err(self.metadata.refusal(&answer));
        }
        let token = Secret::new(answer.body.trim_ascii());
        let headers = [("x-aws-ec2-metadata-token", &token)];
        let answer = self.metadata.get("/latest/dynamic/instance-identity/pkcs7", &headers).await?;
        if !answer.status.is_success() {
            return Err(self.metadata.refusal(&answer));
        }
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        let line: Vec<u8> = answer.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if line.is_empty() || !line.iter().copied().all(is_base64) {
            return Err(self.metadata.corrupt("no identity document"));
        }
        Ok(Secret::new(line))
    }
}
