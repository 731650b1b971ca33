//! Tells how far a vault works: address, TLS, seal, login, mount.

use serde::Deserialize;
use vaultref_core::{Check, Error, ErrorKind};

use super::Hcv;
use super::read::Engine;
use super::session::Token;
use crate::http::{Repeat, place};

/// The states of a server that have a status of their own in `sys/health`.
const HEALTH: &[(u16, &str)] = &[
    (200, "unsealed and active"),
    (429, "unsealed, a standby"),
    (472, "a secondary for disaster recovery"),
    (473, "unsealed, a standby for performance"),
];

#[derive(Deserialize)]
struct Health {
    version: String,
}

/// What a lookup tells of a token.
#[derive(Deserialize)]
struct Known {
    #[serde(default)]
    accessor: String,
    #[serde(default)]
    policies: Vec<String>,
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    num_uses: u64,
}

/// What the server tells everybody who may use a mount.
#[derive(Deserialize)]
struct Mount {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    options: Option<MountOptions>,
}

#[derive(Deserialize)]
struct MountOptions {
    #[serde(default)]
    version: Option<String>,
}

impl Hcv {
    pub(super) async fn steps(&self) -> Vec<Check> {
        let address = self.health().await;
        let mut steps = vec![Check { what: "address", result: address }];
        if steps[0].result.is_err() {
            return steps;
        }
        if self.is_https {
            let verified = match self.verifies {
                true => "the server's certificate is verified",
                false => "the server's certificate is NOT verified (`ssl_verify` is off)",
            };
            steps.push(Check { what: "TLS", result: Ok(verified.to_owned()) });
        }
        let token = match self.session.token().await {
            Ok(token) => token,
            Err(error) => {
                steps.push(Check { what: "login", result: Err(error) });
                return steps;
            }
        };
        let login = self.login(&token).await;
        let refused = login.is_err();
        steps.push(Check { what: "login", result: login });
        if !refused && self.engine != Engine::Raw {
            steps.push(Check { what: "mount", result: self.mount().await });
        }
        steps
    }

    /// Whether the server is there, and in which state.
    async fn health(&self) -> Result<String, Error> {
        let answer = self.root.read("sys/health", None, None, Repeat::Unprocessed).await?;
        let place = place(&self.api.base);
        let status = answer.status.as_u16();
        let Some((_, state)) = HEALTH.iter().find(|(known, _)| *known == status) else {
            return Err(self.api.refusal(&answer));
        };
        let Ok(health) = serde_json::from_slice::<Health>(&answer.body) else {
            let message = format!("what answers at `{place}` is not a Vault server");
            return Err(Error::new(ErrorKind::Corrupt, message));
        };
        Ok(format!("{}://{place} answers: version {}, {state}", self.api.base.scheme(), health.version))
    }

    /// Who we are to the server.
    async fn login(&self, token: &Token) -> Result<String, Error> {
        let method = &self.auth_method;
        if token.limited {
            let policies = token.policies.join(", ");
            return Ok(format!("`{method}`, policies: {policies}; the number of its uses is limited"));
        }
        let answer =
            self.api.read("auth/token/lookup-self", None, Some(&token.secret), Repeat::Always).await?;
        if answer.status.as_u16() == 403 {
            return Err(Error::new(ErrorKind::Unauthenticated, "the server does not accept the token")
                .with_hint(
                    "it has expired, was revoked, is of another server, or has no right to look itself up",
                ));
        }
        if answer.status.as_u16() == 404 && self.api.namespace.is_some() {
            return Err(Error::new(ErrorKind::InvalidConfig, "the server does not know the namespace")
                .with_hint("is the option `namespace` right? it is written as a path, as in `team1/sub`"));
        }
        if !answer.status.is_success() {
            return Err(self.api.refusal(&answer));
        }
        let reply = self.api.reply(&answer)?;
        let known = reply.data.and_then(|data| serde_json::from_str::<Known>(data.get()).ok());
        let Some(Known { accessor, policies, ttl, num_uses }) = known else {
            return Err(Error::new(ErrorKind::Corrupt, "the server's answer about the token cannot be read"));
        };
        let left = match ttl {
            0 => "without an end".to_owned(),
            seconds => format!("{seconds} s left"),
        };
        let uses = if num_uses > 0 { format!(", {num_uses} uses left") } else { String::new() };
        Ok(format!("`{method}`, policies: {}; {left}{uses}; accessor {accessor}", policies.join(", ")))
    }

    /// Whether the mount is what the vault takes it for.
    async fn mount(&self) -> Result<String, Error> {
        let (Engine::KvV1 { mount } | Engine::KvV2 { mount }) = &self.engine else {
            return Ok(String::new());
        };
        if let Some(error) = self.wrong_version_of_kv().await {
            return Err(error);
        }
        match self.kv_of_mount().await {
            Some(version) => Ok(format!("`{mount}` is kv v{version}, as the option `kv` says")),
            None => {
                Err(Error::new(ErrorKind::Denied, format!("the mount `{mount}` is not shown to this token"))
                    .with_hint("it is not there, is no KV engine, or the policies allow nothing in it"))
            }
        }
    }

    /// Which version of the KV engine is mounted; `None` where the server does not tell. Asked once. That costs none of
    /// a token's uses: the server answers it without counting.
    pub(super) async fn kv_of_mount(&self) -> Option<u8> {
        *self.kv_found.get_or_init(|| self.ask_for_mount()).await
    }

    async fn ask_for_mount(&self) -> Option<u8> {
        let (Engine::KvV1 { mount } | Engine::KvV2 { mount }) = &self.engine else { return None };
        let token = self.session.present()?;
        let path = format!("sys/internal/ui/mounts/{mount}");
        let answer = self.api.read(&path, None, Some(&token.secret), Repeat::Unprocessed).await.ok()?;
        let reply = self.api.reply(&answer).ok()?;
        let mount: Mount = serde_json::from_str(reply.data?.get()).ok()?;
        let version = mount.options.and_then(|options| options.version);
        (mount.kind == "kv").then(|| if version.as_deref() == Some("2") { 2 } else { 1 })
    }
}
