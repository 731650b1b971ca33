//! Login method `gcp_iam`: a token that we sign ourselves, with the key of a service account of Google.
//!
//! The claims are those of Vault's documentation, "Generating JWTs", of a self-signed one
//! (<https://developer.hashicorp.com/vault/docs/auth/gcp#generating-iam-token>); the server looks the public key up by
//! account and `kid` at Google, and wants `aud` to end in `vault/<role>` and `exp` to be no more than 15 minutes ahead
//! (vault-plugin-auth-gcp, `parseAndValidateJwt` in plugin/path_login.go).

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use vaultref_core::{BoxFuture, Error, ErrorKind, Secret};
use zeroize::Zeroize as _;

use super::{Login, Method, full_path, post, text, wanted};
use crate::hcv::api::{Api, SecretText};
use crate::hcv::options::Options;

struct GcpIam {
    path: String,
    role: String,
    account: Account,
    /// For how long a token is valid.
    seconds: u64,
}

/// A service account with its key.
struct Account {
    email: String,
    key_id: String,
    key: RsaKeyPair,
}

/// What is of interest in Google's file.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key_id: String,
    private_key: SecretText,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    aud: String,
    exp: u64,
}

impl fmt::Debug for GcpIam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcpIam").field("role", &self.role).field("account", &self.account.email).finish()
    }
}

pub(super) fn open(options: &Options) -> Result<Box<dyn Method>, Error> {
    let role = wanted("gcp_iam", "gcp_auth_role", options.gcp_auth_role.as_ref())?;
    let file = wanted("gcp_iam", "gcp_service_account", options.gcp_service_account.as_ref())?;
    let seconds = wanted("gcp_iam", "gcp_jwt_exp", options.gcp_jwt_exp.as_ref())?;
    let account = Account::parse(&file)?;
    Ok(Box::new(GcpIam {
        path: full_path("gcp_login_path", &options.gcp_login_path)?,
        role,
        account,
        seconds,
    }))
}

impl Method for GcpIam {
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>> {
        Box::pin(async move {
            let jwt = self.account.token(&self.role, self.seconds, SystemTime::now())?;
            let body = [("role", self.role.as_str()), ("jwt", text(&jwt, "gcp_service_account")?)];
            post(api, &self.path, &body, &[&jwt]).await
        })
    }
}

impl Account {
    fn parse(file: &Secret) -> Result<Self, Error> {
        let unusable = |what: &str| {
            let message = format!("option `gcp_service_account` {what}");
            Error::new(ErrorKind::InvalidConfig, message).with_hint(
                "it holds the JSON of a key: gcloud iam service-accounts keys create FILE --iam-account=ACCOUNT",
            )
        };
        let file: KeyFile = serde_json::from_slice(file.expose())
            .map_err(|_| unusable("is not JSON with `client_email`, `private_key_id` and `private_key`"))?;
        let mut der = PrivateKeyDer::from_pem_slice(file.private_key.0.expose())
            .map_err(|_| unusable("has a `private_key` that is not PEM"))?;
        let key = match &der {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok(),
            _ => None,
        };
        der.zeroize();
        let key = key.ok_or_else(|| unusable("has a `private_key` that is no RSA key that can be used"))?;
        Ok(Self { email: file.client_email, key_id: file.private_key_id, key })
    }

    /// A token for a login with the role.
    fn token(&self, role: &str, seconds: u64, now: SystemTime) -> Result<Secret, Error> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let encoded = |json: Vec<u8>| BASE64_URL_SAFE_NO_PAD.encode(json);
        let header = Header { alg: "RS256", kid: &self.key_id, typ: "JWT" };
        let claims = Claims { sub: &self.email, aud: format!("vault/{role}"), exp: now + seconds };
        let header = serde_json::to_vec(&header).expect("texts can always be written");
        let claims = serde_json::to_vec(&claims).expect("texts and a number can always be written");
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| Error::new(ErrorKind::Internal, "the token for the login could not be signed"))?;
        Ok(Secret::new(format!("{signed}.{}", encoded(signature))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::{Value, json};

    use super::*;

    /// Made for this test: `openssl genrsa 2048`.
    const KEY: &str = include_str!("../../../tests/hcv_clouds/rsa.pem");

    fn file(key: &str) -> Secret {
        let file = json!({
            "type": "service_account",
            "client_email": "app@project.iam.gserviceaccount.com",
            "private_key_id": "6f1c",
            "private_key": key,
        });
        Secret::new(file.to_string())
    }

    #[test]
    fn a_token_is_signed_with_the_account_s_key() {
        let account = Account::parse(&file(KEY)).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let token = account.token("dev", 900, now).unwrap();
        let parts: Vec<&str> = token.expose_str().unwrap().split('.').collect();
        let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
        let json = |part: &str| serde_json::from_slice::<Value>(&decoded(part)).unwrap();
        assert_eq!(json(parts[0]), json!({"alg": "RS256", "kid": "6f1c", "typ": "JWT"}));
        let sub = "app@project.iam.gserviceaccount.com";
        assert_eq!(json(parts[1]), json!({"sub": sub, "aud": "vault/dev", "exp": 1_800_000_900}));
        let signed = format!("{}.{}", parts[0], parts[1]);
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, account.key.public());
        key.verify(signed.as_bytes(), &decoded(parts[2])).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_without_being_shown() {
        let ec = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let short = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (given, expected) in [
            (Secret::new("canary"), "is not JSON with `client_email`, `private_key_id` and `private_key`"),
            (Secret::new("{}"), "is not JSON with `client_email`, `private_key_id` and `private_key`"),
            (file("canary"), "has a `private_key` that is not PEM"),
            (file(ec), "has a `private_key` that is no RSA key that can be used"),
            (file(short), "has a `private_key` that is no RSA key that can be used"),
        ] {
            let error = Account::parse(&given).err().unwrap();
            assert_eq!(error.message(), format!("option `gcp_service_account` {expected}"));
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        }
    }
}
