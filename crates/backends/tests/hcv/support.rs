//! Vaults on a server, and what they are asked.

use std::sync::Arc;

use serde_json::{Value, json};
use vaultref::{Context, Engine, Environment, Error, Reference, Settings};
use vaultref_backends::REGISTRY;
use vaultref_core::ManualClock;
use vaultref_testkit::openbao::OpenBao;

/// An engine whose vault `hcv` has these options, and a clock that stands still.
pub(crate) fn engine_at(options: &[(&str, &str)], context: Context) -> (Arc<Engine>, Arc<ManualClock>) {
    let flags: Vec<(String, String)> =
        options.iter().map(|(name, value)| (format!("vault_hcv_{name}"), (*value).to_owned())).collect();
    let flags: Vec<(&str, String)> = flags.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let settings = Settings::load(None, &Environment::default(), &flags).unwrap();
    let clock = Arc::new(ManualClock::default());
    let builder = Engine::builder(REGISTRY).settings(settings).context(context).clock(clock.clone());
    (Arc::new(builder.build().unwrap()), clock)
}

/// An engine whose vault `hcv` is this server, with these options on top.
pub(crate) fn engine(server: &OpenBao, options: &[(&str, &str)]) -> (Arc<Engine>, Arc<ManualClock>) {
    let port = server.port().to_string();
    engine_at(&[&[("port", port.as_str())], options].concat(), Context::default())
}

/// The secret as text, or `Kind: message -- hint`.
pub(crate) async fn get(engine: &Engine, reference: &str) -> Result<String, String> {
    let reference = Reference::parse(reference).unwrap();
    match engine.resolve(&reference).await {
        Ok(secret) => Ok(secret.expose_str().unwrap().to_owned()),
        Err(error) => Err(told(&error)),
    }
}

pub(crate) fn told(error: &Error) -> String {
    let hint = error.hint().map(|hint| format!(" -- {hint}")).unwrap_or_default();
    format!("{}: {}{hint}", error.kind(), error.message())
}

/// Gets all of these at once; how many succeeded.
pub(crate) async fn get_all(engine: &Arc<Engine>, references: impl Iterator<Item = String>) -> usize {
    let tasks: Vec<_> = references
        .map(|reference| {
            let engine = Arc::clone(engine);
            tokio::spawn(async move { get(&engine, &reference).await.is_ok() })
        })
        .collect();
    let mut succeeded = 0;
    for task in tasks {
        succeeded += usize::from(task.await.unwrap());
    }
    succeeded
}

/// A development server with KV v1 at `kv1/`, a policy `reader` for it, and a role `app` of AppRole that has it.
pub(crate) fn server() -> OpenBao {
    let server = OpenBao::dev();
    server.mount_kv("kv1", 1);
    server.put("sys/policies/acl/reader", json!({"policy": "path \"kv1/*\" {capabilities = [\"read\"]}"}));
    server.put("sys/auth/approle", json!({"type": "approle"}));
    role(&server, json!({}));
    server
}

/// Sets the role `app` up with this on top of its policy.
pub(crate) fn role(server: &OpenBao, more: Value) {
    let mut role = json!({"token_policies": ["reader"], "token_ttl": "1h"});
    role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.put("auth/approle/role/app", role);
}

/// The options for a login with the role `app`.
pub(crate) fn approle(server: &OpenBao) -> Vec<(&'static str, String)> {
    let role_id = server.get("auth/approle/role/app/role-id")["data"]["role_id"].clone();
    let secret_id = server.put("auth/approle/role/app/secret-id", json!({}))["data"]["secret_id"].clone();
    vec![
        ("auth_method", "approle".to_owned()),
        ("mount", "kv1".to_owned()),
        ("approle_role_id", role_id.as_str().unwrap().to_owned()),
        ("approle_secret_id", secret_id.as_str().unwrap().to_owned()),
    ]
}

pub(crate) fn borrowed<'a>(options: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    options.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// How many requests of this operation came for paths that start so.
pub(crate) fn count(server: &OpenBao, operation: &str, path: &str) -> usize {
    let requests = server.requests();
    requests.iter().filter(|r| r.operation == operation && r.path.starts_with(path)).count()
}
