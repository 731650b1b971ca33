//! Who we are to AWS: credentials that are given, or found where AWS's tools find theirs, or those of a role that is
//! assumed with them; and requests that are signed with them (Signature Version 4).
//!
//! Finding and signing is reqsign's work. What it knows of the world, we hand to it: the environment of the vault's
//! context, files, commands, and our HTTP client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::hash::hex_sha256;
use reqsign_core::{Context, SignRequest as _};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use vaultref_core::{Environment, Error, ErrorKind, Secret};
use zeroize::Zeroize as _;

use crate::http::{Answer, Http, HttpOptions, Repeat, Request, Tls, form, no_redirects, place};

mod chain;
mod surroundings;

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// The largest answer of one of AWS's services that give out credentials, in bytes.
const BODY_BYTES_MAX: u64 = 1024 * 1024;
/// How long the session of an assumed role lasts, in seconds: the least that STS gives, as it is used at once.
const ROLE_SECONDS: &str = "900";

/// What an identity is made from.
#[derive(Debug)]
pub(crate) struct IdentityOptions {
    pub region: Region,
    /// An access key. Without it, one is found.
    pub given: Option<AccessKey>,
    /// A role that is assumed.
    pub role: Option<Role>,
    /// The address of STS, where it is not the region's.
    pub sts: Option<Url>,
    /// Authorities that are trusted beside the system's: PEM, or a file of it.
    pub authorities: Option<String>,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
}

/// The name of a region. It becomes a part of the names of hosts: so it holds nothing but small letters, digits and `-`.
#[derive(Debug, Clone)]
pub(crate) struct Region(String);

/// An access key, with a token where it is one of a session.
#[derive(Debug)]
pub(crate) struct AccessKey {
    pub id: String,
    pub secret: Secret,
    pub session_token: Option<Secret>,
}

/// A role, and what the session with it is called.
#[derive(Debug)]
pub(crate) struct Role {
    pub arn: String,
    pub session_name: String,
}

/// Somebody whom AWS knows.
#[derive(Debug)]
pub(crate) struct Identity {
    region: Region,
    given: Option<AccessKey>,
    role: Option<Role>,
    sts: Url,
    http: Arc<Http>,
    context: Context,
}

/// Credentials to sign with, wiped when they are dropped. What reqsign copies while it signs, it does not wipe.
pub(crate) struct Credentials(Credential);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // reqsign's own shows the first three characters and the last three.
        f.write_str("[secret]")
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.0.access_key_id.zeroize();
        self.0.secret_access_key.zeroize();
        self.0.session_token.zeroize();
    }
}

impl Region {
    pub(crate) const RULE: &str = "the name of a region: small letters, digits and `-`";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::holds(text).then(|| Self(text.to_owned()))
    }

    pub(crate) fn holds(text: &str) -> bool {
        let belongs = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (3..=32).contains(&text.len()) && text.bytes().all(belongs) && !text.starts_with('-')
    }

    /// The address of STS in this region.
    fn sts(&self) -> Url {
        // https://docs.aws.amazon.com/general/latest/gr/sts.html; for other partitions there is the option.
        let domain = if self.0.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let url = format!("https://sts.{}.{domain}/", self.0);
        Url::parse(&url).expect("a region holds only what the name of a host may hold")
    }
}

impl Identity {
    pub(crate) fn new(options: IdentityOptions, environment: &Arc<Environment>) -> Self {
        let IdentityOptions { region, given, role, sts, authorities, connect_timeout, request_timeout } =
            options;
        let sts = sts.unwrap_or_else(|| region.sts());
        let http = Arc::new(Http::new(HttpOptions {
            connect_timeout,
            request_timeout,
            body_bytes_max: BODY_BYTES_MAX,
            tls: Tls::public(authorities),
            proxied: true,
        }));
        let context = surroundings::context(environment, &http);
        Self { region, given, role, sts, http, context }
    }

    /// The address of STS that this identity asks.
    pub(crate) fn sts(&self) -> &Url {
        &self.sts
    }

    /// The credentials of this moment: those given, or found, or of the role that is assumed with them.
    pub(crate) async fn credentials(&self) -> Result<Credentials, Error> {
        let own = match &self.given {
            Some(key) => key.credentials()?,
            None => Credentials(chain::find(&self.context).await?),
        };
        match &self.role {
            Some(role) => self.assume(role, &own).await,
            None => Ok(own),
        }
    }

    /// Signs a request for a service of the identity's region. The hash of the body goes along in a header.
    pub(crate) async fn sign(
        &self,
        service: &str,
        credentials: &Credentials,
        parts: &mut Parts,
        body: &[u8],
    ) -> Result<(), Error> {
        // Without this header reqsign signs that the body is not signed, which no service but S3 accepts.
        let hash = HeaderValue::from_str(&hex_sha256(body)).expect("a hash is digits and letters");
        parts.headers.insert(CONTENT_SHA256, hash);
        let signer = RequestSigner::new(service, &self.region.0).with_standard_session_token();
        signer.sign_request(&self.context, parts, Some(&credentials.0), None).await.map_err(|_| {
            Error::new(ErrorKind::InvalidConfig, "a request to AWS cannot be signed with these credentials")
                .with_hint("do they hold line breaks, or have they expired?")
        })
    }

    /// The head of a request to STS, whose body is a form.
    pub(crate) fn sts_request(&self) -> Parts {
        let request = http::Request::post(self.sts.as_str())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8");
        request.body(()).expect("an address that was parsed is one here too").into_parts().0
    }

    async fn assume(&self, role: &Role, own: &Credentials) -> Result<Credentials, Error> {
        let body = form(&[
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", &role.arn),
            ("RoleSessionName", &role.session_name),
            ("DurationSeconds", ROLE_SECONDS),
        ]);
        let mut parts = self.sts_request();
        self.sign("sts", own, &mut parts, body.expose()).await?;
        let request = Request {
            method: Method::POST,
            url: self.sts.clone(),
            headers: parts.headers,
            body: Some(body),
            // A session more does no harm.
            repeat: Repeat::Always,
        };
        let answer = self.http.send(&request, &no_redirects).await;
        let answer = answer.map_err(|error| error.within("AWS STS"))?;
        if !answer.status.is_success() {
            return Err(self.not_assumed(&answer));
        }
        session(&answer.body).ok_or_else(|| {
            let message = format!("`{}` gave no credentials for the role", place(&self.sts));
            Error::new(ErrorKind::Corrupt, message).with_hint("is it the address of AWS's STS?")
        })
    }

    fn not_assumed(&self, answer: &Answer) -> Error {
        let status = answer.status.as_u16();
        let code = element(&answer.body, "Code").filter(|code| is_code(code));
        let code = code.map(|code| format!(": {code}")).unwrap_or_default();
        let place = place(&self.sts);
        let error = |kind, what: &str| Error::new(kind, format!("`{place}` {what}{code} (status {status})"));
        match status {
            429 => error(ErrorKind::RateLimited, "limits how often it is asked").with_hint("ask less often"),
            500..=599 => error(ErrorKind::Unavailable, "failed").with_hint("try again"),
            _ => error(ErrorKind::Unauthenticated, "does not give us the role")
                .with_hint("does the role trust this identity, and may this identity assume it?"),
        }
    }
}

impl AccessKey {
    fn credentials(&self) -> Result<Credentials, Error> {
        let text = |secret: &Secret| {
            secret.expose_str().map(|text| text.trim().to_owned()).map_err(|_| {
                Error::new(ErrorKind::InvalidConfig, "an access key of AWS holds bytes that are no text")
            })
        };
        Ok(Credentials(Credential {
            access_key_id: self.id.trim().to_owned(),
            secret_access_key: text(&self.secret)?,
            session_token: self.session_token.as_ref().map(text).transpose()?,
            expires_in: None,
        }))
    }
}

/// The credentials in STS's answer (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>).
fn session(body: &[u8]) -> Option<Credentials> {
    let text = |name: &str| element(body, name).map(str::to_owned);
    Some(Credentials(Credential {
        access_key_id: text("AccessKeyId")?,
        secret_access_key: text("SecretAccessKey")?,
        session_token: Some(text("SessionToken")?),
        // Asked for anew each time: it cannot have ended before it is used.
        expires_in: None,
    }))
}

/// The text of the first element of this name. AWS's keys and codes hold nothing that XML has to escape.
fn element<'b>(body: &'b [u8], name: &str) -> Option<&'b str> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once('<')?;
    let text = text.trim();
    (!text.is_empty() && !text.contains('&')).then_some(text)
}

/// Whether this is how AWS writes what went wrong, as in `AccessDenied`.
fn is_code(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(session_token: Option<&str>) -> Identity {
        let given = AccessKey {
            id: "AKIDEXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: session_token.map(Secret::new),
        };
        let options = IdentityOptions {
            region: Region::parse("eu-central-1").unwrap(),
            given: Some(given),
            role: None,
            sts: None,
            authorities: None,
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(1),
        };
        Identity::new(options, &Arc::default())
    }

    #[tokio::test]
    async fn the_body_is_signed_and_so_is_every_header() {
        let body = b"Action=GetCallerIdentity&Version=2011-06-15";
        for (token, signed) in [
            (None, "content-type;host;x-amz-content-sha256;x-amz-date;x-custom"),
            (
                Some("session"),
                "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-custom",
            ),
        ] {
            let identity = identity(token);
            let credentials = identity.credentials().await.unwrap();
            let mut parts = identity.sts_request();
            parts.headers.insert("x-custom", HeaderValue::from_static("a"));
            identity.sign("sts", &credentials, &mut parts, body).await.unwrap();
            let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
            // printf %s 'Action=GetCallerIdentity&Version=2011-06-15' | sha256sum
            let hash = "ab821ae955788b0e33ebd34c208442ccfc2d406e2edc5e7a39bd6458fbb4f843";
            assert_eq!(header("x-amz-content-sha256"), Some(hash));
            assert_eq!(header("host"), Some("sts.eu-central-1.amazonaws.com"));
            assert_eq!(header("x-amz-security-token"), token);
            let date = &header("x-amz-date").unwrap()[..8];
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{date}/eu-central-1/sts/aws4_request, \
                 SignedHeaders={signed}, Signature="
            );
            let authorization = header("authorization").unwrap();
            assert!(authorization.starts_with(&expected), "{authorization}");
        }
    }

    #[tokio::test]
    async fn nothing_of_it_is_printed() {
        let identity = identity(Some("session-canary"));
        let credentials = identity.credentials().await.unwrap();
        let printed = format!("{identity:?} {credentials:?}");
        for part in ["wJa", "KEY", "canary", "session"] {
            assert!(!printed.replace("session_token", "").contains(part), "{printed}");
        }
    }

    #[test]
    fn a_region_is_nothing_but_a_part_of_a_host_s_name() {
        for (text, expected) in [
            ("eu-central-1", Some("https://sts.eu-central-1.amazonaws.com/")),
            ("us-gov-west-1", Some("https://sts.us-gov-west-1.amazonaws.com/")),
            ("cn-north-1", Some("https://sts.cn-north-1.amazonaws.com.cn/")),
            ("evil.example/#", None),
            ("EU", None),
            ("-us", None),
            ("", None),
        ] {
            let sts = Region::parse(text).map(|region| region.sts().to_string());
            assert_eq!(sts.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn credentials_are_read_from_sts_s_answer() {
        let body = b"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA1</AccessKeyId>\n\
            <SecretAccessKey>a/b+c=</SecretAccessKey><SessionToken> t== </SessionToken></Credentials>";
        let session = session(body).unwrap();
        let read =
            (&*session.0.access_key_id, &*session.0.secret_access_key, session.0.session_token.as_deref());
        assert_eq!(read, ("ASIA1", "a/b+c=", Some("t==")));
        for body in [&b""[..], b"<AccessKeyId>a</AccessKeyId>", b"<AccessKeyId>", b"{}", b"\xff"] {
            assert!(super::session(body).is_none());
        }
        assert_eq!(element(b"<Error><Code>AccessDenied</Code>", "Code"), Some("AccessDenied"));
        assert!(is_code("AccessDenied") && !is_code("an <html>") && !is_code("a1"));
    }
}
