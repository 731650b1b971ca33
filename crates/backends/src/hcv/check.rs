//! Tells how far a vault works: address, TLS, seal, login, mount.

use serde::Deserialize;
use vaultref_core::{Check, Error, ErrorKind};

use super::Hcv;
use super::api::Known;
use super::read::Engine;
use super::session::forgotten;
use super::token::Token;
use crate::http::{Repeat, place};

/// What the server says of itself.
#[derive(Deserialize)]
struct Health {
    version: String,
    #[serde(default)]
    standby: bool,
    #[serde(default)]
    performance_standby: bool,
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
        // Something in between may keep the server's state to itself, and let the rest pass.
        let is_hidden = |error: &Error| matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound);
        if steps[0].result.as_ref().is_err_and(|error| !is_hidden(error)) {
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
        // Without these, a standby has a status of its own, which means "slow down" everywhere else.
        let query = "standbyok=true&perfstandbyok=true";
        let answer = self.root.read("sys/health", Some(query), None, Repeat::Unprocessed).await?;
        let place = place(&self.api.base);
        if !answer.status.is_success() {
            return Err(self.api.refusal(&answer));
        }
        let Ok(health) = serde_json::from_slice::<Health>(&answer.body) else {
            let message = format!("what answers at `{place}` is not a Vault server");
            return Err(Error::new(ErrorKind::Corrupt, message));
        };
        let state = if health.standby || health.performance_standby { "a standby" } else { "active" };
        let scheme = self.api.base.scheme();
        Ok(format!("{scheme}://{place} answers: version {}, unsealed and {state}", health.version))
    }

    /// Who we are to the server.
    async fn login(&self, token: &Token) -> Result<String, Error> {
        let method = &self.auth_method;
        if token.limited {
            let policies = token.policies.join(", ");
            return Ok(format!("`{method}`, policies: {policies}; the number of its uses is limited"));
        }
        let Some(known) = self.api.lookup_self(&token.secret).await? else {
            // One that was just given out, or that is shown a mount, is good all the same.
            return match token.ours || self.kv_of_mount().await.is_some() {
                true => Ok(format!(
                    "`{method}`; the token may not look itself up: policies and life are not known"
                )),
                false => Err(forgotten()),
            };
        };
        let Known { accessor, policies, ttl, num_uses } = known;
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

    /// Which version of the KV engine is mounted; `None` where the server does not tell. Asked until it has answered.
    /// That costs none of a token's uses: the server answers it without counting.
    pub(super) async fn kv_of_mount(&self) -> Option<u8> {
        self.kv_found.get_or_try_init(|| self.ask_for_mount()).await.ok().copied().flatten()
    }

    async fn ask_for_mount(&self) -> Result<Option<u8>, Error> {
        let (Engine::KvV1 { mount } | Engine::KvV2 { mount }) = &self.engine else { return Ok(None) };
        let token = self.session.present().ok_or_else(forgotten)?;
        let path = format!("sys/internal/ui/mounts/{mount}");
        let answer = self.api.read(&path, None, Some(&token.secret), Repeat::Unprocessed).await?;
        let mount =
            self.api.reply(&answer)?.data.and_then(|data| serde_json::from_str::<Mount>(data.get()).ok());
        let kv = mount.filter(|mount| mount.kind == "kv");
        let is_2 = |mount: Mount| mount.options.and_then(|options| options.version).as_deref() == Some("2");
        Ok(kv.map(|mount| if is_2(mount) { 2 } else { 1 }))
    }
}
