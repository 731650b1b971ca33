//! Logs in to Vault with the identities that clouds and identity providers give out, through the engine, and looks at
//! what was asked of whom.
//!
//! `rsa.pem` (its public half is `rsa.pub.pem`) and `other.pem` were made for these tests, by `openssl genpkey`.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its servers has failed")]

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use vaultref::{Context, Engine, Environment, Error, ErrorKind, Settings};
use vaultref_backends::REGISTRY;
use vaultref_testkit::peer::{Answer, Peer, Request};

#[cfg(feature = "aws")]
mod aws;
mod gcp_iam;
mod jwt;
mod metadata;

const RSA_KEY: &str = include_str!("rsa.pem");
const OTHER_KEY: &str = include_str!("other.pem");
const RSA_PUBLIC_KEY: &str = include_str!("rsa.pub.pem");

const CLIENT_TOKEN: &str = "hvs.token-of-a-client";
const PASSWORD: &str = "opensesame";

/// What came of a get, and all that could be seen of it.
struct Outcome {
    result: Result<String, Error>,
    seen: String,
}

impl Outcome {
    /// The secret came, and nothing else was shown.
    fn succeeded(self, secrets: &[&str]) {
        self.shows_none_of(secrets);
        assert_eq!(self.result.unwrap(), PASSWORD);
    }

    /// It failed in this way, and nothing secret was shown. `message` is a part.
    fn failed(self, kind: ErrorKind, message: &str, secrets: &[&str]) {
        self.shows_none_of(secrets);
        let error = self.result.expect_err(message);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(message), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }

    fn shows_none_of(&self, secrets: &[&str]) {
        for secret in secrets.iter().chain([&CLIENT_TOKEN, &PASSWORD]) {
            assert!(!self.seen.contains(secret), "`{secret}` is shown: {}", self.seen);
        }
    }
}

/// Gets one secret from a vault of these options, with these variables.
async fn get(options: &[(&str, &str)], variables: &[(&str, &str)]) -> Outcome {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let set: Vec<(String, String)> =
        options.iter().map(|(name, text)| (format!("vault_hcv_{name}"), (*text).to_owned())).collect();
    let set: Vec<(&str, String)> = set.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let settings = Settings::load(None, &Environment::default(), &set).unwrap();
    let context = Context::new(variables.iter().copied().collect::<Environment>());
    let engine = Engine::builder(REGISTRY).settings(settings).context(context).build().unwrap();
    let reference = "{vault://hcv/db/password}".parse().unwrap();
    let result = engine.resolve(&reference).await;
    let result = result.map(|secret| secret.expose_str().unwrap().to_owned());
    let shown = result.as_ref().err().map(|error| format!("{error} {error:?} {:?}", error.hint()));
    let lines = log.0.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = format!("{} {}", shown.unwrap_or_default(), String::from_utf8_lossy(&lines));
    Outcome { result, seen }
}

/// The options that lead to a server, and those beside them.
fn at<'a>(port: &'a str, options: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [("port", port)].iter().chain(options).copied().collect()
}

/// A Vault that answers a login at this path with what `login` says, and then serves one secret.
fn vault(path: &'static str, login: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Peer {
    Peer::start(move |request| {
        let has_token = request.header("x-vault-token") == Some(CLIENT_TOKEN);
        match (request.method.as_str(), request.path()) {
            ("POST", asked) if asked == path => login(request),
            ("GET", "/v1/secret/db") if has_token => {
                Answer::json(200, json!({"data": {"password": PASSWORD}}))
            }
            _ => Answer::json(403, json!({"errors": ["permission denied"]})),
        }
    })
}

/// A Vault that lets everybody in.
fn open_vault(path: &'static str) -> Peer {
    vault(path, |_| accepted())
}

fn accepted() -> Answer {
    let auth =
        json!({"client_token": CLIENT_TOKEN, "accessor": "a", "lease_duration": 3600, "renewable": true});
    Answer::json(200, json!({ "auth": auth }))
}

/// What the first login said.
fn login(vault: &Peer) -> Value {
    let requests = vault.requests();
    requests.iter().find(|request| request.method == "POST").expect("there was a login").json()
}

/// Nothing is sent to a Vault.
fn is_untouched(vault: &Peer) {
    assert_eq!(vault.requests(), []);
}

/// A token with these claims, signed by this key.
fn signed(key: &str, claims: &Value) -> String {
    let base64: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::prelude::BASE64_STANDARD.decode(base64).unwrap();
    let key = RsaKeyPair::from_pkcs8(&der).unwrap();
    let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let head = json!({"alg": "RS256", "typ": "JWT"});
    let text = format!("{}.{}", encoded(head.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", encoded(&signature))
}

/// What is logged on this thread, at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
