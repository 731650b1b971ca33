//! Reads secrets from HashiCorp Vault or OpenBao: KV engines of both versions, and any other path that can be read.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::OnceCell;
use tracing::{debug, warn};
use vaultref_core::schema::OptionValues;
use vaultref_core::{
    Backend, BoxFuture, Check, Clock, Context, Definition, Error, ErrorKind, Leases as Ending, Payload,
    Resource, Version, Versions,
};

use crate::http::{Http, HttpOptions, Tls, is_loopback};

mod address;
mod api;
mod auth;
mod check;
mod leases;
mod options;
mod read;
mod said;
mod session;
mod token;

use api::Api;
use leases::Leases;
use options::Options;
use read::Engine;
use session::Session;

/// HashiCorp Vault, as in Kong's vault of the same name.
pub(crate) const DEFINITION: Definition = Definition {
    name: "hcv",
    about: "HashiCorp Vault or OpenBao",
    options: Options::SPECS,
    versions: Versions::Numbers,
    ambient: Some(address::ambient),
    open,
};

fn open(values: &OptionValues, context: &Context) -> Result<Arc<dyn Backend>, Error> {
    let options = Options::from_values(values)
        .map_err(|name| Error::new(ErrorKind::InvalidConfig, format!("option `{name}` is not set")))?;
    address::guard(&options, context)?;
    let mount = address::option("mount", &options.mount)?;
    let engine = match (options.engine.as_str(), options.kv.as_str()) {
        ("raw", _) => Engine::Raw,
        (_, "v2") => Engine::KvV2 { mount },
        _ => Engine::KvV1 { mount },
    };
    let is_https = address::is_https(&options);
    if is_https && !options.ssl_verify {
        let message = "the server's certificate is not verified: anybody on the way can read along (`ssl_verify` is off)";
        warn!("{message}");
        let hint = "set `ca_cert` to the authority that signed it instead";
        if let Some(tell) = &context.warn {
            tell(&Error::new(ErrorKind::InvalidConfig, message).with_hint(hint));
        }
    }
    let method = auth::method(&options, context)?;
    let base = address::base(&options)?;
    let http = Arc::new(Http::new(http_options(&options, address::alias(&options, &base)?)));
    let api = |namespace: Option<String>| Api {
        http: Arc::clone(&http),
        base: base.clone(),
        namespace: namespace.filter(|name| !name.trim().is_empty()),
        redirect_hosts: options.redirect_hosts.clone().unwrap_or_default(),
    };
    let (root, api) = (api(None), Arc::new(api(options.namespace.clone())));
    let clock = Arc::clone(&context.clock);
    Ok(Arc::new(Hcv {
        session: Session::new(Arc::clone(&api), method, Arc::clone(&clock)),
        api,
        root,
        clock,
        engine,
        auth_method: options.auth_method,
        is_https,
        verifies: options.ssl_verify,
        leases: Leases::default(),
        kv_found: OnceCell::new(),
    }))
}

fn http_options(options: &Options, alias: Option<String>) -> HttpOptions {
    let identity = options.cert_auth_cert.clone().zip(options.cert_auth_cert_key.clone());
    let tls = match address::is_https(options) {
        false => Tls::OFF,
        true => Tls {
            enabled: true,
            verify: options.ssl_verify,
            authorities: options.ca_cert.clone(),
            beside_system: false,
            server_name: alias.clone().map(|name| (name, options.host.clone())),
            identity: identity.filter(|_| options.auth_method == "cert"),
        },
    };
    HttpOptions {
        connect_timeout: Duration::from_secs_f64(options.connect_timeout),
        request_timeout: Duration::from_secs_f64(options.request_timeout),
        body_bytes_max: options.body_bytes_max,
        tls,
        // What goes to this machine stays on it; and a proxy would look for the name that only TLS is to see.
        proxied: !is_loopback(&options.host) && alias.is_none(),
    }
}

#[derive(Debug)]
struct Hcv {
    session: Session,
    api: Arc<Api>,
    /// The server without a namespace: its own state belongs to none.
    root: Api,
    clock: Arc<dyn Clock>,
    engine: Engine,
    auth_method: String,
    is_https: bool,
    verifies: bool,
    leases: Leases,
    /// Which version of KV the mount was found to be, once that was asked.
    kv_found: OnceCell<Option<u8>>,
}

impl Backend for Hcv {
    fn fetch<'a>(
        &'a self,
        resource: &'a Resource,
        version: Option<&'a Version>,
    ) -> BoxFuture<'a, Result<Payload, Error>> {
        Box::pin(self.read(resource, version))
    }

    fn check(&self) -> BoxFuture<'_, Vec<Check>> {
        Box::pin(self.steps())
    }

    fn close(&self, leases: Ending) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let now = self.clock.now();
            if leases == Ending::Keep && self.leases.any(now) {
                // They hang on the token.
                return;
            }
            let Some(token) = self.session.present() else { return };
            let lent = self.leases.take(now);
            // Those of our present token end with it.
            let left =
                lent.iter().filter(|lease| !token.ours || token.limited || lease.token != token.number);
            join_all(left.map(|lease| self.revoke(lease, &token.secret))).await;
            self.session.end().await;
        })
    }
}

impl Hcv {
    async fn revoke(&self, lease: &leases::Lease, token: &vaultref_core::Secret) {
        let Ok(id) = lease.id.expose_str() else { return };
        match self.api.write("sys/leases/revoke", Some(token), &[("lease_id", id)]).await {
            Ok(answer) if answer.status.is_success() => debug!("revoked a lease"),
            Ok(answer) => {
                warn!(status = answer.status.as_u16(), "a lease was not revoked: it ends by itself")
            }
            Err(error) => warn!(kind = %error.kind(), "a lease was not revoked: it ends by itself"),
        }
    }
}
