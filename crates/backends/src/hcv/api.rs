//! Speaks Vault's HTTP API: requests with the right headers, answers with their meaning.
//!
//! Formats and status codes are those of <https://openbao.org/api-docs/> and <https://developer.hashicorp.com/vault/api-docs>.

use std::sync::Arc;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny};
use serde_json::value::RawValue;
use vaultref_core::{Error, ErrorKind, Secret};
use zeroize::Zeroizing;

use super::said;
use crate::http::{Answer, Http, Repeat, Request, place};

/// A server, with what goes along with every request.
#[derive(Debug)]
pub(super) struct Api {
    pub http: Arc<Http>,
    pub base: Url,
    pub namespace: Option<String>,
    /// Hosts that a redirect may lead to, beside the server's own.
    pub redirect_hosts: Vec<String>,
}

/// What the server answered, in JSON, whatever it was asked. Borrows from the answer's body.
#[derive(Deserialize)]
pub(super) struct Reply<'a> {
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
    #[serde(default)]
    pub auth: Option<Auth>,
    #[serde(default)]
    pub lease_id: String,
    #[serde(default)]
    pub lease_duration: u64,
    #[serde(default)]
    pub errors: Vec<String>,
}

/// What a login gave.
#[derive(Deserialize)]
pub(super) struct Auth {
    pub client_token: SecretText,
    /// Names the token without being one; empty for a batch token.
    #[serde(default)]
    pub accessor: String,
    /// A second factor that is wanted before there is a token.
    #[serde(default)]
    pub mfa_requirement: Option<IgnoredAny>,
    #[serde(default)]
    pub policies: Option<Vec<String>>,
    /// In seconds; 0 where it has no end.
    #[serde(default)]
    pub lease_duration: u64,
    #[serde(default)]
    pub renewable: bool,
    /// 0 where it may be used without a limit.
    #[serde(default)]
    pub num_uses: u64,
}

/// What a look-up tells of a token.
#[derive(Deserialize)]
pub(super) struct Known {
    #[serde(default)]
    pub accessor: String,
    #[serde(default)]
    pub policies: Vec<String>,
    /// In seconds; 0 where it has no end.
    #[serde(default)]
    pub ttl: u64,
    /// 0 where it may be used without a limit.
    #[serde(default)]
    pub num_uses: u64,
}

/// A string of JSON that is secret.
pub(super) struct SecretText(pub Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = SecretText;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E>(self, text: &str) -> Result<SecretText, E> {
                Ok(SecretText(Secret::new(text)))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Api {
    /// Reads a path. `query` is appended as it is.
    pub(super) async fn read(
        &self,
        path: &str,
        query: Option<&str>,
        token: Option<&Secret>,
        repeat: Repeat,
    ) -> Result<Answer, Error> {
        let mut url = self.url(path)?;
        url.set_query(query);
        self.send(Request { repeat, headers: self.headers(token)?, ..Request::get(url) }).await
    }

    /// Writes to a path. That is never repeated where it may have been acted on.
    pub(super) async fn write(
        &self,
        path: &str,
        token: Option<&Secret>,
        body: &[(&str, &str)],
    ) -> Result<Answer, Error> {
        let headers = self.headers(token)?;
        let (url, body) = (self.url(path)?, Some(json(body)));
        self.send(Request { method: Method::POST, url, headers, body, repeat: Repeat::Unprocessed }).await
    }

    /// What the server knows of a token; `None` where it does not know it, or the token may not look itself up.
    pub(super) async fn lookup_self(&self, token: &Secret) -> Result<Option<Known>, Error> {
        let answer = self.read("auth/token/lookup-self", None, Some(token), Repeat::Always).await?;
        if answer.status == StatusCode::FORBIDDEN {
            return Ok(None);
        }
        if answer.status == StatusCode::NOT_FOUND && self.namespace.is_some() {
            return Err(Error::new(ErrorKind::InvalidConfig, "the server does not know the namespace")
                .with_hint("is the option `namespace` right? it is written as a path, as in `team1/sub`"));
        }
        if !answer.status.is_success() {
            return Err(self.refusal(&answer));
        }
        let known = self.reply(&answer)?.data.and_then(|data| serde_json::from_str(data.get()).ok());
        let corrupt = || Error::new(ErrorKind::Corrupt, "the server's answer about the token cannot be read");
        known.map(Some).ok_or_else(corrupt)
    }

    async fn send(&self, request: Request) -> Result<Answer, Error> {
        self.http.send(&request, &|from, to| self.may_redirect(from, to)).await
    }

    /// A standby server leads to the active one. The token goes along only to the same host, or to one that the vault
    /// names, and never from TLS to plain text.
    fn may_redirect(&self, from: &Url, to: &Url) -> Result<(), Error> {
        let refuse = |why: &str, hint: &str| {
            let message = format!("`{}` redirects to `{}`, {why}", place(from), place(to));
            Err(Error::new(ErrorKind::Unavailable, message).with_hint(hint.to_owned()))
        };
        match (from.scheme(), to.scheme()) {
            ("https", "https") | ("http", "http") => {}
            ("http", _) => {
                return refuse("where TLS is spoken", "set the vault's option `protocol` to `https`");
            }
            _ => return refuse("where the token would go in plain text", "mend the server's `api_addr`"),
        }
        let named = |host: &str| self.redirect_hosts.iter().any(|known| known == host);
        if to.host() != from.host() && !to.host_str().is_some_and(named) {
            return refuse(
                "a host that the token is not sent to",
                "if it is another server of the cluster, name it in the vault's option `redirect_hosts`",
            );
        }
        Ok(())
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        self.base
            .join(&format!("v1/{path}"))
            .map_err(|_| Error::new(ErrorKind::InvalidReference, "the server has no such path"))
    }

    fn headers(&self, token: Option<&Secret>) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        // Proves to the server that no browser was tricked into this request.
        headers.insert(HeaderName::from_static("x-vault-request"), HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            let value = HeaderValue::from_str(namespace).map_err(|_| {
                Error::new(ErrorKind::InvalidConfig, "option `namespace` holds a control character")
            })?;
            headers.insert(HeaderName::from_static("x-vault-namespace"), value);
        }
        if let Some(token) = token {
            let mut value = HeaderValue::from_bytes(token.expose().trim_ascii()).map_err(|_| {
                Error::new(ErrorKind::InvalidConfig, "the token holds a control character")
                    .with_hint("a token is one line of text")
            })?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-vault-token"), value);
        }
        Ok(headers)
    }

    /// What an answer holds. The error says that it is not what a Vault server answers.
    pub(super) fn reply<'a>(&self, answer: &'a Answer) -> Result<Reply<'a>, Error> {
        serde_json::from_slice(&answer.body).map_err(|_| self.not_json(answer))
    }

    fn not_json(&self, answer: &Answer) -> Error {
        let is_json = serde_json::from_slice::<IgnoredAny>(&answer.body).is_ok();
        let how = if is_json { "as a Vault server does" } else { "in JSON" };
        let (place, status) = (place(&self.base), answer.status.as_u16());
        let message = format!("`{place}` did not answer {how} (status {status})");
        let hint = match answer.status.as_u16() {
            400 if self.base.scheme() == "http" => "does the server want `protocol` to be `https`?",
            _ => "is it a Vault server? a proxy or a login page in between answers like this",
        };
        Error::new(ErrorKind::Corrupt, message).with_hint(hint)
    }

    /// What an answer with a bad status means, whatever was asked. What is particular to a request is for the caller
    /// to know: 400, 403 and 404 above all.
    pub(super) fn refusal(&self, answer: &Answer) -> Error {
        let place = place(&self.base);
        let error = |kind, message: String| Error::new(kind, message);
        let unavailable = |what: &str, hint: &str| {
            error(ErrorKind::Unavailable, format!("the server at `{place}` {what}"))
                .with_hint(hint.to_owned())
        };
        match answer.status.as_u16() {
            300..=399 => {
                unavailable("redirects to nowhere", "mend its `api_addr`, or what stands in front of it")
            }
            429 => {
                error(ErrorKind::RateLimited, format!("the server at `{place}` limits how often it is asked"))
                    .with_hint("ask less often, or raise its quota")
            }
            472 => unavailable("is a secondary for disaster recovery", "ask the primary"),
            473 => unavailable("is a standby that answers nothing", "ask the active server"),
            501 => unavailable("is not initialised", "initialise it with: vault operator init"),
            503 => unavailable("is sealed, or being maintained", "unseal it with: vault operator unseal"),
            412 => unavailable("has not caught up yet", "it is a secondary; ask again, or ask the primary"),
            500..=599 => {
                unavailable(&format!("failed (status {})", answer.status.as_u16()), "its own log says why")
            }
            _ if serde_json::from_slice::<Reply<'_>>(&answer.body).is_err() => self.not_json(answer),
            401 | 403 => error(ErrorKind::Denied, "the server denies it".to_owned()),
            404 => error(ErrorKind::NotFound, "the server has nothing there".to_owned()),
            405 => error(ErrorKind::InvalidReference, "that path cannot be read".to_owned())
                .with_hint("some paths of a secrets engine can only be written to or listed"),
            status => {
                error(ErrorKind::InvalidReference, format!("the server refuses that (status {status})"))
            }
        }
    }

    /// What the server says about a failure, unless that repeats a part of something that we sent.
    pub(super) fn said(&self, answer: &Answer, sent: &[&Secret]) -> Option<String> {
        let errors = serde_json::from_slice::<Reply<'_>>(&answer.body).ok()?.errors;
        said::shown(&errors, sent)
    }
}

/// A JSON object of texts, in memory that is zeroized.
pub(super) fn json(members: &[(&str, &str)]) -> Secret {
    struct Members<'a>(&'a [(&'a str, &'a str)]);
    impl serde::Serialize for Members<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().copied())
        }
    }
    // Large enough from the start: a vector that grows leaves copies behind. Each byte takes six at the most.
    let size: usize = members.iter().map(|(name, value)| 6 * (name.len() + value.len()) + 8).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(size + 2));
    serde_json::to_writer(&mut *body, &Members(members)).expect("texts can always be written");
    Secret::from(body)
}

/// The text of a secret that has to be text, such as a password that goes into JSON.
pub(super) fn text<'s>(secret: &'s Secret, option: &str) -> Result<&'s str, Error> {
    secret.expose_str().map_err(|_| {
        Error::new(ErrorKind::InvalidConfig, format!("option `{option}` wants text, and holds other bytes"))
    })
}
