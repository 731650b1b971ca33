//! Turns a resource into a request, and the answer into a payload: KV v1, KV v2, or any path as it is.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use vaultref_core::{Error, ErrorKind, Payload, Resource, Version};

use super::Hcv;
use super::address;
use super::token::Token;
use crate::http::{Answer, Repeat};

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Engine {
    /// `<mount>/<resource>`.
    KvV1 { mount: String },
    /// `<mount>/data/<resource>`, with versions.
    KvV2 { mount: String },
    /// The resource is the path.
    Raw,
}

/// Where the server tells a token about itself.
const LOOKUP_SELF: &str = "auth/token/lookup-self";

/// What KV v2 has under a name.
#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
    #[serde(default)]
    version: u64,
}

impl Hcv {
    /// Reads one resource with the present token; one that the server does not know any more is replaced once.
    pub(super) async fn read(
        &self,
        resource: &Resource,
        version: Option<&Version>,
    ) -> Result<Payload, Error> {
        let (path, query, repeat) = self.request(resource, version)?;
        let mut token = self.session.token().await?;
        let mut answer = self.api.read(&path, query.as_deref(), Some(&token.secret), repeat).await?;
        if answer.status == StatusCode::FORBIDDEN && self.api.reply(&answer).is_ok() {
            token = match self.session.refused(&token).await {
                Ok(token) => token,
                Err(error) => return Err(self.denied(error, resource).await),
            };
            answer = self.api.read(&path, query.as_deref(), Some(&token.secret), repeat).await?;
        }
        match answer.status.is_success() {
            true => self.payload(resource, &answer, &token).await,
            false => Err(self.failure(resource, version, &answer, &token).await),
        }
    }

    /// A policy for one version of KV allows nothing at the paths of the other: then that is what is wrong.
    async fn denied(&self, error: Error, resource: &Resource) -> Error {
        match error.kind() {
            ErrorKind::Denied => self.wrong_version_of_kv().await.unwrap_or_else(|| self.at(error, resource)),
            _ => self.at(error, resource),
        }
    }

    fn request(
        &self,
        resource: &Resource,
        version: Option<&Version>,
    ) -> Result<(String, Option<String>, Repeat), Error> {
        let name = address::path(resource.as_str())?;
        let (path, query, repeat) = match &self.engine {
            Engine::KvV1 { mount } => (format!("{mount}/{name}"), None, Repeat::Always),
            Engine::KvV2 { mount } => {
                let query = version.map(|version| format!("version={version}"));
                (format!("{mount}/data/{name}"), query, Repeat::Always)
            }
            // Reading may create: a second read after a lost answer would leave the first one's lease behind.
            Engine::Raw => (name, None, Repeat::Unprocessed),
        };
        // It would show the token itself, and whoever writes references could carry it away.
        if path == LOOKUP_SELF || path.ends_with(&format!("/{LOOKUP_SELF}")) {
            let error =
                Error::new(ErrorKind::InvalidReference, "the vault's own token is no secret to be read");
            return Err(error.with_hint("`vaultref vaults check` tells about it"));
        }
        Ok((path, query, repeat))
    }

    async fn payload(&self, resource: &Resource, answer: &Answer, token: &Token) -> Result<Payload, Error> {
        if answer.status == StatusCode::NO_CONTENT {
            return Err(self.at(Error::new(ErrorKind::NotFound, "the server has nothing there"), resource));
        }
        let reply = self.api.reply(answer)?;
        let not_data = || {
            let message = format!("the server's answer for `{resource}` holds no data");
            Error::new(ErrorKind::Corrupt, message)
        };
        let data = reply.data.filter(|data| data.get() != "null").ok_or_else(not_data)?;
        match &self.engine {
            Engine::KvV1 { .. } => Ok(Payload::new(data.get())),
            Engine::KvV2 { .. } => match serde_json::from_str::<Versioned<'_>>(data.get()) {
                Ok(Versioned { data: Some(data), .. }) => Ok(Payload::new(data.get())),
                _ => match self.wrong_version_of_kv().await {
                    Some(error) => Err(error),
                    None => Err(not_data()),
                },
            },
            Engine::Raw => {
                let payload = Payload::new(data.get());
                if reply.lease_id.is_empty() || reply.lease_duration == 0 {
                    return Ok(payload);
                }
                let now = self.clock.now();
                let lease = Duration::from_secs(reply.lease_duration);
                self.leases.add(&reply.lease_id, token.number, now.after(lease), now);
                // What was lent to a token ends with it.
                let lease = token.certain_life(now).map_or(lease, |life| life.min(lease));
                Ok(payload.with_lease(lease))
            }
        }
    }

    /// Why there is no payload.
    async fn failure(
        &self,
        resource: &Resource,
        version: Option<&Version>,
        answer: &Answer,
        token: &Token,
    ) -> Error {
        let error = self.api.refusal(answer);
        let error = match (answer.status.as_u16(), error.kind()) {
            (404, ErrorKind::NotFound) => match self.wrong_version_of_kv().await {
                Some(error) => return error,
                None => self.missing(version, answer).await,
            },
            (400, ErrorKind::InvalidReference) => {
                let said = self
                    .api
                    .said(answer, &[&token.secret])
                    .map(|text| format!(": {text}"))
                    .unwrap_or_default();
                Error::new(ErrorKind::InvalidReference, format!("the server refuses the path{said}"))
            }
            (403, ErrorKind::Denied) => {
                let error = error.with_hint("the token was made anew, and is denied it too");
                return self.denied(error, resource).await;
            }
            _ => error,
        };
        self.at(error, resource)
    }

    async fn missing(&self, version: Option<&Version>, answer: &Answer) -> Error {
        let not_found = |message: String| Error::new(ErrorKind::NotFound, message);
        let metadata = self.api.reply(answer).ok().and_then(|reply| reply.data).and_then(|data| {
            serde_json::from_str::<Versioned<'_>>(data.get()).ok().map(|versioned| versioned.metadata)
        });
        if let Some(Metadata { deletion_time, destroyed, version }) = metadata {
            if destroyed {
                return not_found(format!("version {version} was destroyed"))
                    .with_hint("its value is gone for good: name another version, or write a new one");
            }
            return not_found(format!("version {version} was deleted (at {deletion_time})"))
                .with_hint("`vault kv undelete` brings it back; or name another version");
        }
        match (&self.engine, version) {
            (Engine::KvV2 { .. }, Some(version)) => not_found(format!("there is no version {version}"))
                .with_hint(
                    "or there is nothing of that name at all; `vault kv metadata get` lists the versions",
                ),
            (Engine::Raw, _) => not_found("there is nothing at that path".to_owned())
                .with_hint("the last part of a reference is the key, unless it ends with `/`"),
            (Engine::KvV1 { mount } | Engine::KvV2 { mount }, _) => match self.kv_of_mount().await {
                Some(_) => not_found("there is no such secret".to_owned())
                    .with_hint("the last part of a reference is the key, unless it ends with `/`"),
                None => not_found("there is no such secret".to_owned()).with_hint(format!(
                    "is `{mount}` the right mount (option `mount`), and in this namespace?"
                )),
            },
        }
    }

    /// Says that the option `kv` is not what the mount is, where that can be found out.
    pub(super) async fn wrong_version_of_kv(&self) -> Option<Error> {
        let (mount, ours) = match &self.engine {
            Engine::KvV1 { mount } => (mount, 1),
            Engine::KvV2 { mount } => (mount, 2),
            Engine::Raw => return None,
        };
        let theirs = self.kv_of_mount().await.filter(|theirs| *theirs != ours)?;
        let message = format!("option `kv` is `v{ours}`, and the mount `{mount}` is not");
        let hint = format!("this mount is kv v{theirs}: set the option `kv` to `v{theirs}`");
        Some(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint))
    }

    /// Puts in front which resource it is about.
    fn at(&self, error: Error, resource: &Resource) -> Error {
        match &self.engine {
            Engine::Raw => error.within(format!("path `{resource}`")),
            Engine::KvV1 { mount } | Engine::KvV2 { mount } => {
                error.within(format!("secret `{resource}` in `{mount}`"))
            }
        }
    }
}
