//! Login method `aws_iam`: a signed question to AWS, "who am I?", which the server puts there in our place.
//!
//! The members of the login are those of Vault's `builtin/credential/aws/path_login.go` (`pathLoginUpdateIam`,
//! `submitCallerIdentityRequest`): the server sends method, body and headers on to its own address of STS, under the host
//! that was signed. Of headers that begin with `X-Amz-`, it takes only those that belong to a signature
//! (`validateAllowedSTSHeaderValues` in path_config_client.go), and it wants `X-Vault-AWS-IAM-Server-ID` to be signed.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use vaultref_core::{BoxFuture, Context, Error, ErrorKind, Secret};
use zeroize::Zeroizing;

use super::{Login, Method, full_path, post, text, wanted};
use crate::credentials::aws::{AccessKey, Identity, IdentityOptions, Region, Role};
use crate::hcv::api::Api;
use crate::hcv::options::Options;
use crate::http::confidential;

const QUESTION: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const SERVER_ID: HeaderName = HeaderName::from_static("x-vault-aws-iam-server-id");

#[derive(Debug)]
struct AwsIam {
    path: String,
    role: String,
    server_id: Option<HeaderValue>,
    identity: Identity,
}

pub(super) fn open(options: &Options, context: &Context) -> Result<Box<dyn Method>, Error> {
    let role = wanted("aws_iam", "aws_auth_role", options.aws_auth_role.as_ref())?;
    let region = wanted("aws_iam", "aws_auth_region", options.aws_auth_region.as_ref())?;
    let region = Region::parse(&region).ok_or_else(|| {
        let message = format!("option `aws_auth_region` wants {}", Region::RULE);
        Error::new(ErrorKind::InvalidConfig, message)
    })?;
    let sts = options.aws_sts_endpoint_url.as_deref().map(|url| confidential("aws_sts_endpoint_url", url));
    let server_id = options.aws_iam_server_id.as_deref().map(HeaderValue::from_str).transpose();
    let identity = IdentityOptions {
        region,
        given: access_key(options)?,
        role: options
            .aws_assume_role_arn
            .clone()
            .map(|arn| Role { arn, session_name: options.aws_role_session_name.clone() }),
        sts: sts.transpose()?,
        authorities: options.ca_cert.clone(),
        connect_timeout: Duration::from_secs_f64(options.connect_timeout),
        request_timeout: Duration::from_secs_f64(options.request_timeout),
    };
    Ok(Box::new(AwsIam {
        path: full_path("aws_login_path", &options.aws_login_path)?,
        role,
        server_id: server_id.map_err(|_| {
            Error::new(ErrorKind::InvalidConfig, "option `aws_iam_server_id` holds a control character")
        })?,
        identity: Identity::new(identity, &context.environment),
    }))
}

/// The access key, whole or not at all.
fn access_key(options: &Options) -> Result<Option<AccessKey>, Error> {
    let (id, secret) = (&options.aws_access_key_id, &options.aws_secret_access_key);
    let session_token = options.aws_session_token.clone();
    if id.is_none() && secret.is_none() && session_token.is_none() {
        return Ok(None);
    }
    let id = wanted("aws_iam", "aws_access_key_id", id.as_ref());
    let secret = wanted("aws_iam", "aws_secret_access_key", secret.as_ref());
    let beside = |error: Error| {
        error.with_hint(
            "a key has both parts, `aws_access_key_id` and `aws_secret_access_key`; without any, AWS's \
                         usual places are searched",
        )
    };
    Ok(Some(AccessKey { id: id.map_err(beside)?, secret: secret.map_err(beside)?, session_token }))
}

impl Method for AwsIam {
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>> {
        Box::pin(async move {
            let signed = self.signed().await?;
            let json = json(&signed);
            let headers = base64(json.expose());
            let url = BASE64_STANDARD.encode(self.identity.sts().as_str());
            let body = [
                ("role", self.role.as_str()),
                ("iam_http_request_method", "POST"),
                ("iam_request_url", &url),
                ("iam_request_body", &BASE64_STANDARD.encode(QUESTION)),
                ("iam_request_headers", text(&headers, "aws_iam")?),
            ];
            // AWS repeats what it was asked, and Vault what AWS says.
            let token = signed.get("x-amz-security-token").map(|token| Secret::new(token.as_bytes()));
            let secrets: Vec<&Secret> = [&headers].into_iter().chain(&token).collect();
            post(api, &self.path, &body, &secrets).await
        })
    }
}

impl AwsIam {
    /// The headers of the question, its signature among them.
    async fn signed(&self) -> Result<HeaderMap, Error> {
        let credentials = self.identity.credentials().await?;
        let mut parts = self.identity.sts_request();
        if let Some(id) = &self.server_id {
            parts.headers.insert(SERVER_ID, id.clone());
        }
        self.identity.sign("sts", &credentials, &mut parts, QUESTION.as_bytes()).await?;
        Ok(parts.headers)
    }
}

/// Headers as Go writes them: a list of values for each.
fn json(headers: &HeaderMap) -> Secret {
    let texts = headers.iter().filter_map(|(name, value)| Some((name.as_str(), [value.to_str().ok()?])));
    let texts: BTreeMap<_, _> = texts.collect();
    let size: usize = texts.iter().map(|(name, [value])| name.len() + 6 * value.len() + 8).sum();
    let mut json = Zeroizing::new(Vec::with_capacity(size + 2));
    serde_json::to_writer(&mut *json, &texts).expect("texts can always be written");
    Secret::from(json)
}

fn base64(bytes: &[u8]) -> Secret {
    let mut text = Zeroizing::new(vec![0; bytes.len().div_ceil(3) * 4]);
    BASE64_STANDARD.encode_slice(bytes, &mut text).expect("four characters for each three bytes");
    Secret::from(text)
}
