//! Login method `jwt`, or `oauth2`: a token from an identity provider, which knows us as one of its clients.
//!
//! The request to the provider is that of RFC 6749, section 4.4 (client credentials), with the password in the form and
//! an `audience` for each that is named, as Auth0 and Keycloak have it; the login is that of
//! <https://developer.hashicorp.com/vault/api-docs/auth/jwt#jwt-login>.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method as HttpMethod, Url};
use serde::Deserialize;
use vaultref_core::{BoxFuture, Error, ErrorKind, Secret};

use super::{Login, Method, login_path, post, text, wanted};
use crate::hcv::api::{Api, SecretText};
use crate::hcv::options::Options;
use crate::http::{Answer, Http, HttpOptions, Repeat, Request, Tls, confidential, form, no_redirects, place};

/// The largest answer of an identity provider, in bytes.
const TOKEN_BYTES_MAX: u64 = 1024 * 1024;
/// What a provider can say of a failure (RFC 6749, section 5.2; RFC 8707, section 2; and what Auth0 adds).
const CODES: &[&str] = &[
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
];

#[derive(Debug)]
struct Jwt {
    path: String,
    role: String,
    http: Http,
    endpoint: Url,
    client_id: String,
    client_secret: Secret,
    audiences: Vec<String>,
}

/// What the provider answers; one member or the other.
#[derive(Deserialize)]
struct Reply {
    access_token: Option<SecretText>,
    error: Option<String>,
}

pub(super) fn open(options: &Options) -> Result<Box<dyn Method>, Error> {
    let method = options.auth_method.as_str();
    let role = wanted(method, "jwt_role", options.jwt_role.as_ref())?;
    let endpoint = wanted(method, "oauth2_token_endpoint", options.oauth2_token_endpoint.as_ref())?;
    let client_id = wanted(method, "oauth2_client_id", options.oauth2_client_id.as_ref())?;
    let client_secret = wanted(method, "oauth2_client_secret", options.oauth2_client_secret.as_ref())?;
    let endpoint = confidential("oauth2_token_endpoint", &endpoint)?;
    let audiences = options.oauth2_audiences.as_deref().unwrap_or_default().split(',').map(str::trim);
    let http = Http::new(HttpOptions {
        connect_timeout: Duration::from_secs_f64(options.connect_timeout),
        request_timeout: Duration::from_secs_f64(options.request_timeout),
        body_bytes_max: TOKEN_BYTES_MAX,
        // Whoever does not verify the server of a laboratory has not said so of the provider.
        tls: if endpoint.scheme() == "https" { Tls::public(options.ca_cert.clone()) } else { Tls::OFF },
        proxied: true,
    });
    Ok(Box::new(Jwt {
        path: login_path("jwt_auth_path", &options.jwt_auth_path)?,
        role,
        http,
        endpoint,
        client_id,
        client_secret,
        audiences: audiences.filter(|audience| !audience.is_empty()).map(str::to_owned).collect(),
    }))
}

impl Method for Jwt {
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>> {
        Box::pin(async move {
            let jwt = self.token().await.map_err(|error| error.within("identity provider"))?;
            let body = [("role", self.role.as_str()), ("jwt", text(&jwt, "jwt")?)];
            post(api, &self.path, &body, &[&jwt]).await
        })
    }
}

impl Jwt {
    async fn token(&self) -> Result<Secret, Error> {
        let mut members = vec![
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id.as_str()),
            ("client_secret", text(&self.client_secret, "oauth2_client_secret")?),
        ];
        members.extend(self.audiences.iter().map(|audience| ("audience", audience.as_str())));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let request = Request {
            method: HttpMethod::POST,
            url: self.endpoint.clone(),
            headers,
            body: Some(form(&members)),
            // A token more does no harm.
            repeat: Repeat::Always,
        };
        let answer = self.http.send(&request, &no_redirects).await?;
        if !answer.status.is_success() {
            return Err(self.refusal(&answer));
        }
        let reply = serde_json::from_slice::<Reply>(&answer.body).ok();
        reply.and_then(|reply| reply.access_token).map(|token| token.0).ok_or_else(|| {
            let message = format!("`{}` gave no `access_token`", place(&self.endpoint));
            Error::new(ErrorKind::Corrupt, message)
                .with_hint("is `oauth2_token_endpoint` the place where tokens are given out?")
        })
    }

    /// Why there is no token. The provider's own words may repeat what we sent, and are not shown; its code may be.
    fn refusal(&self, answer: &Answer) -> Error {
        let place = place(&self.endpoint);
        let status = answer.status.as_u16();
        let code = code(answer).map(|code| format!(": {code}")).unwrap_or_default();
        let error = |kind, what: &str| Error::new(kind, format!("`{place}` {what}{code} (status {status})"));
        match status {
            400 | 401 | 403 => error(ErrorKind::Unauthenticated, "refuses us").with_hint(
                "are `oauth2_client_id`, `oauth2_client_secret` and `oauth2_audiences` right, and may this client \
                 have tokens without a user?",
            ),
            404 | 405 => error(ErrorKind::InvalidConfig, "gives out no tokens there")
                .with_hint("is the path in `oauth2_token_endpoint` right?"),
            429 => error(ErrorKind::RateLimited, "limits how often it is asked")
                .with_hint("ask less often, or raise the client's quota"),
            500..=599 => error(ErrorKind::Unavailable, "failed").with_hint("its own log says why"),
            _ => error(ErrorKind::Corrupt, "does not answer like an identity provider")
                .with_hint("is `oauth2_token_endpoint` the place where tokens are given out?"),
        }
    }
}

/// The code of a failure, if it is a known one: whatever else may stand there is not shown.
fn code(answer: &Answer) -> Option<&'static str> {
    let code = serde_json::from_slice::<Reply>(&answer.body).ok()?.error?;
    CODES.iter().copied().find(|known| *known == code)
}
