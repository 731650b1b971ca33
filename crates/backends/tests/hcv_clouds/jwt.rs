//! `jwt`: an identity provider gives out a token, and a real OpenBao, which knows the provider's key, takes it.

use std::time::{SystemTime, UNIX_EPOCH};

use vaultref_testkit::certificates::Authority;
use vaultref_testkit::openbao::OpenBao;

use super::*;

const CLIENT_SECRET: &str = "p@ss w&rd=";
const FORM: &str = "grant_type=client_credentials&client_id=app%201&client_secret=p%40ss%20w%26rd%3D&\
                    audience=https%3A%2F%2Fvault.example&audience=other";

/// Gives out tokens to whoever sends the right form.
fn provider(key: &'static str) -> Peer {
    Peer::start(move |request| token(request, key))
}

fn token(request: &Request, key: &str) -> Answer {
    let content_type = request.header("content-type");
    if (request.method.as_str(), request.path_and_query.as_str()) != ("POST", "/oauth/token?tenant=a")
        || content_type != Some("application/x-www-form-urlencoded")
        || request.text() != FORM
    {
        let description = format!("wrong: {}", request.text());
        return Answer::json(401, json!({"error": "invalid_client", "error_description": description}));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"sub": "app 1", "aud": "https://vault.example", "nbf": now, "exp": now + 300});
    Answer::json(
        200,
        json!({"access_token": signed(key, &claims), "token_type": "Bearer", "expires_in": 300}),
    )
}

fn options(endpoint: &str) -> Vec<(&str, &str)> {
    vec![
        ("auth_method", "jwt"),
        ("jwt_role", "app"),
        ("oauth2_token_endpoint", endpoint),
        ("oauth2_client_id", "app 1"),
        ("oauth2_client_secret", CLIENT_SECRET),
        ("oauth2_audiences", "https://vault.example, other"),
    ]
}

/// An OpenBao that lets in whoever has a token of ours for it, and has one secret.
fn openbao() -> OpenBao {
    let server = OpenBao::dev();
    server.put("secret/data/db", json!({"data": {"password": PASSWORD}}));
    let policy = "path \"secret/data/db\" {capabilities = [\"read\"]}";
    server.put("sys/policies/acl/app", json!({ "policy": policy }));
    server.put("sys/auth/idp", json!({"type": "jwt"}));
    server.put("auth/idp/config", json!({"jwt_validation_pubkeys": [RSA_PUBLIC_KEY]}));
    server.put(
        "auth/idp/role/app",
        json!({
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_audiences": ["https://vault.example"],
            "token_policies": ["app"],
        }),
    );
    server
}

#[tokio::test]
async fn a_token_of_the_provider_opens_a_real_server() {
    let server = openbao();
    let port = server.port().to_string();
    for (key, method) in [(RSA_KEY, "jwt"), (RSA_KEY, "oauth2"), (OTHER_KEY, "jwt")] {
        let provider = provider(key);
        let endpoint = format!("{}/oauth/token?tenant=a", provider.address());
        let mut options = at(&port, &options(&endpoint));
        options.extend([("auth_method", method), ("jwt_auth_path", "idp"), ("kv", "v2")]);
        let outcome = get(&options, &[]).await;
        assert_eq!(provider.requests().len(), 1);
        match key == RSA_KEY {
            true => outcome.succeeded(&[CLIENT_SECRET, "p%40ss", "eyJ"]),
            // The server sees that somebody else has signed it.
            false => outcome.failed(
                ErrorKind::Unauthenticated,
                "the login at `auth/idp/login` was refused: error validating token",
                &[CLIENT_SECRET, "p%40ss", "eyJ"],
            ),
        }
    }
}

#[tokio::test]
async fn what_the_provider_refuses_says_why_in_its_code_and_not_in_its_words() {
    let vault = open_vault("/v1/auth/jwt/login");
    let port = vault.port().to_string();
    let description = "canary";
    for (answer, kind, message) in [
        (
            Answer::json(400, json!({"error": "invalid_grant", "error_description": description})),
            ErrorKind::Unauthenticated,
            "refuses us: invalid_grant (status 400)",
        ),
        (
            Answer::json(401, json!({"error": "canary"})),
            ErrorKind::Unauthenticated,
            "refuses us (status 401)",
        ),
        (Answer::text(403, "text/html", "canary"), ErrorKind::Unauthenticated, "refuses us (status 403)"),
        (Answer::new(404), ErrorKind::InvalidConfig, "gives out no tokens there (status 404)"),
        (
            Answer::new(429).header("retry-after", "30"),
            ErrorKind::RateLimited,
            "limits how often it is asked",
        ),
        (Answer::text(200, "text/html", "canary"), ErrorKind::Corrupt, "gave no `access_token`"),
        (Answer::json(200, json!({"id_token": "canary"})), ErrorKind::Corrupt, "gave no `access_token`"),
        (
            Answer::redirect(307, "https://idp.example/"),
            ErrorKind::InvalidConfig,
            "redirects to `idp.example:443`",
        ),
        (Answer::hang(), ErrorKind::Timeout, "no answer from `127.0.0.1:"),
    ] {
        let provider = Peer::start(move |_| answer.clone());
        let mut options = at(&port, &options("")[..]);
        let endpoint = provider.address();
        options.extend([("oauth2_token_endpoint", endpoint.as_str()), ("request_timeout", "0.3")]);
        let outcome = get(&options, &[]).await;
        outcome.failed(kind, message, &["canary", CLIENT_SECRET, "p%40ss"]);
    }
    is_untouched(&vault);
}

#[tokio::test]
async fn the_wrong_password_is_not_repeated_to_the_reader() {
    let vault = open_vault("/v1/auth/jwt/login");
    let (provider, port) = (provider(RSA_KEY), vault.port().to_string());
    let endpoint = format!("{}/oauth/token?tenant=a", provider.address());
    let mut options = at(&port, &options(&endpoint));
    options.push(("oauth2_client_secret", "wrong-canary"));
    let outcome = get(&options, &[]).await;
    outcome.failed(
        ErrorKind::Unauthenticated,
        "refuses us: invalid_client (status 401)",
        &["canary", "grant_type"],
    );
    is_untouched(&vault);
}

#[tokio::test]
async fn the_provider_is_always_verified_by_the_system_s_authorities_and_the_vault_s() {
    let vault = open_vault("/v1/auth/jwt/login");
    let port = vault.port().to_string();
    let authority = Authority::new();
    let provider = Peer::start_tls(&authority.server(&["127.0.0.1"]), |request| token(request, RSA_KEY));
    let endpoint = format!("{}/oauth/token?tenant=a", provider.address());
    let pem = authority.pem();
    let untrusted = "signed by nobody whom we trust";
    let strange = Authority::new().pem();
    for (extra, expected) in [
        (&[("ca_cert", pem.as_str())][..], None),
        (&[], Some(untrusted)),
        (&[("ssl_verify", "false")], Some(untrusted)),
        (&[("ca_cert", strange.as_str())], Some(untrusted)),
    ] {
        let mut options = at(&port, &options(&endpoint));
        options.extend(extra);
        let outcome = get(&options, &[]).await;
        match expected {
            None => outcome.succeeded(&[CLIENT_SECRET]),
            Some(message) => outcome.failed(ErrorKind::InvalidConfig, message, &[CLIENT_SECRET]),
        }
    }
    let login = login(&vault);
    assert_eq!(login["role"], "app");
    assert!(login["jwt"].as_str().unwrap().starts_with("eyJ"));
}

#[tokio::test]
async fn a_reference_cannot_have_the_password_sent_elsewhere() {
    let vault = open_vault("/v1/auth/jwt/login");
    let port = vault.port().to_string();
    let (authority, provider) = (Authority::new(), provider(RSA_KEY));
    let settings: Vec<(String, String)> = at(&port, &options("https://idp.example/token"))
        .into_iter()
        .map(|(name, text)| (format!("vault_hcv_{name}"), text.to_owned()))
        .collect();
    let settings: Vec<(&str, String)> = settings.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let settings = Settings::load(None, &Environment::default(), &settings).unwrap();
    let engine = Engine::builder(REGISTRY).settings(settings).build().unwrap();
    let pem = authority.pem().replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B");
    for (query, option) in [
        ("oauth2_token_endpoint=https://evil.example/".to_owned(), "oauth2_token_endpoint"),
        (format!("ca_cert={pem}"), "ca_cert"),
    ] {
        let reference = format!("{{vault://hcv/db/password?{query}}}").parse().unwrap();
        let error = engine.resolve(&reference).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidReference, "{error}");
        assert!(error.message().contains(&format!("(`{option}`)")), "{error}");
    }
    assert_eq!(provider.requests(), []);
    is_untouched(&vault);
}
