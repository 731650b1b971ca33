//! `gcp_iam`: a token that is signed here, with the key of a service account.

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::*;

/// The claims of a token that this key has signed, or why it is none.
fn verified(token: &str) -> Result<Value, &'static str> {
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        return Err("no token");
    };
    let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| "not base64");
    let header: Value = serde_json::from_slice(&decoded(header)?).map_err(|_| "no header")?;
    if header != json!({"alg": "RS256", "kid": "6f1c", "typ": "JWT"}) {
        return Err("another header");
    }
    // Of the public key in PEM, the part without the name of the algorithm.
    let base64: String = RSA_PUBLIC_KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::prelude::BASE64_STANDARD.decode(base64).unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der[24..]);
    let signed = token.rsplit_once('.').unwrap().0;
    key.verify(signed.as_bytes(), &decoded(signature)?).map_err(|_| "another signature")?;
    serde_json::from_slice(&decoded(claims)?).map_err(|_| "no claims")
}

#[tokio::test]
async fn a_service_account_logs_in_with_a_token_that_its_key_has_signed() {
    for (key, is_right) in [(RSA_KEY, true), (OTHER_KEY, false)] {
        let vault = vault("/v1/auth/gcp/login", |request| {
            let login = request.json();
            let claims = verified(login["jwt"].as_str().unwrap());
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            let seconds = |claims: &Value| claims["exp"].as_u64().unwrap_or_default().saturating_sub(now);
            match claims {
                Ok(claims)
                    if login["role"] == "dev"
                        && claims["sub"] == "app@project.iam.gserviceaccount.com"
                        && claims["aud"] == "vault/dev"
                        && (800..=900).contains(&seconds(&claims)) =>
                {
                    accepted()
                }
                other => Answer::json(400, json!({"errors": [format!("{other:?}")]})),
            }
        });
        let port = vault.port().to_string();
        let account = json!({
            "type": "service_account",
            "client_email": "app@project.iam.gserviceaccount.com",
            "private_key_id": "6f1c",
            "private_key": key,
        })
        .to_string();
        let options = [
            ("auth_method", "gcp_iam"),
            ("gcp_auth_role", "dev"),
            ("gcp_service_account", account.as_str()),
            ("gcp_jwt_exp", "900"),
        ];
        let outcome = get(&at(&port, &options), &[]).await;
        let line = key.lines().nth(1).unwrap();
        match is_right {
            true => outcome.succeeded(&[line, "eyJ"]),
            false => outcome.failed(
                ErrorKind::Unauthenticated,
                "the login at `auth/gcp/login` was refused: Err(\"another signature\")",
                &[line, "eyJ"],
            ),
        }
    }
}
