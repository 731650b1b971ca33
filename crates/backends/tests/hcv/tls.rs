//! Connections are secured for real: who the server is, and who we are to it.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::TempDir;
use vaultref::{Context, Environment, Error};
use vaultref_testkit::certificates::{Authority, Identity};
use vaultref_testkit::openbao::{Config, OpenBao, Tls};
use vaultref_testkit::peer::{Answer, Peer};

use crate::support::{engine_at, get};

/// A server with this certificate, and KV v1 with a secret at `kv1/hello`.
fn server(identity: &Identity, clients: Option<&Authority>) -> OpenBao {
    let tls = Tls {
        certificate: identity.certificate.clone(),
        key: identity.key.clone(),
        client_authority: clients.map(Authority::pem),
        client_required: false,
    };
    let server = OpenBao::start(Config { tls: Some(tls), ..Config::default() });
    server.init();
    server.unseal();
    server.mount_kv("kv1", 1);
    server.put("kv1/hello", json!({"foo": "world"}));
    server
}

/// What a vault with these options gets from the server.
async fn over_tls(server: &OpenBao, options: &[(&str, &str)]) -> Result<String, String> {
    let (port, token) = (server.port().to_string(), server.root_token());
    let usual = [("port", port.as_str()), ("token", &token), ("protocol", "https"), ("mount", "kv1")];
    let (engine, _) = engine_at(&[&usual[..], options].concat(), Context::default());
    get(&engine, "{vault://hcv/hello/foo}").await.map_err(|error| error.replace(&port, "PORT"))
}

#[tokio::test]
async fn a_server_is_believed_only_with_a_certificate_of_its_name_from_whom_we_trust() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (good, pem) = (server(&ours.server(&["127.0.0.1", "vault.test"]), None), ours.pem());
    let folder = TempDir::new().unwrap();
    let file = ours.write(folder.path(), "ca");
    let elsewhere = server(&ours.server(&["vault.test"]), None);
    let expired = server(&ours.expired_server(&["127.0.0.1"]), None);

    let unknown = "InvalidConfig: vault `hcv`: the certificate of `127.0.0.1:PORT` was signed by nobody whom we trust \
                   -- set `ca_cert` to the certificate of the authority that signed it";
    let not_for = "InvalidConfig: vault `hcv`: the certificate of `127.0.0.1:PORT` is not for `127.0.0.1` -- use a name \
                   that the certificate is for, or set it as `tls_server_name`";
    let over = "Unavailable: vault `hcv`: the certificate of `127.0.0.1:PORT` has expired -- renew it on the server; or \
                is this machine's clock wrong?";
    let other_name = "InvalidConfig: vault `hcv`: the certificate of `other.test:PORT` is not for `other.test` -- use a \
                      name that the certificate is for, or set it as `tls_server_name`";
    let no_file = "InvalidConfig: vault `hcv`: the file of option `ca_cert`, /nowhere/ca.pem, does not exist";
    let no_name = "InvalidConfig: vault `hcv`: option `tls_server_name` wants a name, and is an address -- set the \
                   address as `host`";
    let no_pem = "InvalidConfig: vault `hcv`: option `ca_cert` holds no certificate in PEM";
    for (server, options, expected) in [
        (&good, &[("ca_cert", pem.as_str())][..], Ok("world")),
        (&good, &[("ca_cert", file.to_str().unwrap())], Ok("world")),
        (&good, &[("ca_cert", &pem), ("host", "localhost"), ("tls_server_name", "vault.test")], Ok("world")),
        (&good, &[("ca_cert", &pem), ("tls_server_name", "other.test")], Err(other_name)),
        (&good, &[], Err(unknown)),
        (&good, &[("ca_cert", &other.pem())], Err(unknown)),
        (&good, &[("ca_cert", "/nowhere/ca.pem")], Err(no_file)),
        (&good, &[("ca_cert", "-----BEGIN NONSENSE-----")], Err(no_pem)),
        (&elsewhere, &[("ca_cert", &pem)], Err(not_for)),
        (&elsewhere, &[("ca_cert", &pem), ("tls_server_name", "vault.test")], Ok("world")),
        (&expired, &[("ca_cert", &pem)], Err(over)),
        (&good, &[("ca_cert", &pem), ("tls_server_name", "VAULT.test")], Ok("world")),
        (&good, &[("ca_cert", &pem), ("tls_server_name", "127.0.0.1")], Err(no_name)),
        (&expired, &[("ssl_verify", "off")], Ok("world")),
        (&elsewhere, &[("ssl_verify", "off"), ("ca_cert", &other.pem())], Ok("world")),
    ] {
        let seen = over_tls(server, options).await;
        assert_eq!(seen.as_deref().map_err(String::as_str), expected, "{options:?}");
    }
    // Nothing of that was tried without TLS, or with a token before the server was known.
    assert_eq!((elsewhere.requests().len(), expired.requests().len()), (2, 1));

    // The two sides speak different protocols.
    let plain = crate::support::server();
    let error = over_tls(&plain, &[]).await.unwrap_err();
    assert_eq!(
        error,
        "InvalidConfig: vault `hcv`: `127.0.0.1:PORT` does not speak TLS -- is `protocol` to be `http`, or the port \
         another?"
    );
    let error = over_tls(&good, &[("protocol", "http")]).await.unwrap_err();
    assert_eq!(
        error,
        "Corrupt: vault `hcv`: secret `hello` in `kv1`: `127.0.0.1:PORT` did not answer in JSON (status 400) -- does \
         the server want `protocol` to be `https`?"
    );
}

#[tokio::test]
async fn a_certificate_that_is_not_verified_is_warned_of_once() {
    let server = server(&Authority::new().server(&["vault.test"]), None);
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let warn = move |warning: &Error| sink.lock().unwrap().push(warning.message().to_owned());
    let context = Context { warn: Some(Arc::new(warn)), ..Context::new(Environment::default()) };
    let (port, token) = (server.port().to_string(), server.root_token());
    let options = [
        ("port", port.as_str()),
        ("token", &token),
        ("protocol", "https"),
        ("mount", "kv1"),
        ("ssl_verify", "off"),
    ];
    let (engine, _) = engine_at(&options, context);
    for reference in ["{vault://hcv/hello/foo}", "{vault://hcv/hello/}", "{vault://hcv/hello/foo?ttl=5}"] {
        get(&engine, reference).await.unwrap();
    }
    let told = told.lock().unwrap();
    let expected = "vault `hcv`: the server's certificate is not verified: anybody on the way can read along (`ssl_verify` is off)";
    assert_eq!(*told, [expected]);
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let server = server(&servers.server(&["127.0.0.1"]), Some(&clients));
    server.put("sys/auth/cert", json!({"type": "cert"}));
    server.put("sys/policies/acl/reader", json!({"policy": "path \"kv1/*\" {capabilities = [\"read\"]}"}));
    server.put("auth/cert/certs/app", json!({"certificate": clients.pem(), "token_policies": ["reader"]}));
    let folder = TempDir::new().unwrap();
    let (client, stranger) = (clients.client("app"), strangers.client("app"));
    let files = client.write(folder.path(), "client");
    let (certificate_file, key_file) = (files.certificate.to_str().unwrap(), files.key.to_str().unwrap());
    let pem = servers.pem();
    let with = async |certificate: &str, key: &str, role: &str| {
        let port = server.port().to_string();
        let options = [
            ("port", port.as_str()),
            ("protocol", "https"),
            ("ca_cert", &pem),
            ("mount", "kv1"),
            ("auth_method", "cert"),
            ("cert_auth_cert", certificate),
            ("cert_auth_cert_key", key),
            ("cert_auth_role_name", role),
        ];
        let (engine, _) = engine_at(&options, Context::default());
        get(&engine, "{vault://hcv/hello/foo}").await
    };
    assert_eq!(with(&client.certificate, &client.key, "app").await.as_deref(), Ok("world"));
    assert_eq!(with(certificate_file, key_file, "").await.as_deref(), Ok("world"));
    let refused = |error: String| assert!(error.starts_with("Unauthenticated: "), "{error}");
    refused(with(&stranger.certificate, &stranger.key, "app").await.unwrap_err());
    refused(with(&client.certificate, &client.key, "other").await.unwrap_err());
    let unusable = |error: String| {
        assert!(error.starts_with("InvalidConfig: vault `hcv`: "), "{error}");
        assert!(!error.contains("PRIVATE") && !error.contains(&client.key[40..60]), "{error}");
    };
    unusable(with(&client.certificate, &stranger.key, "app").await.unwrap_err());
    unusable(with(&client.certificate, "-----BEGIN PRIVATE KEY-----\nx", "app").await.unwrap_err());
    unusable(with(certificate_file, "/nowhere/key", "app").await.unwrap_err());
    // Pasted without its first line: it must not be taken for a file's name, and shown.
    let bare: String = client.key.lines().filter(|line| !line.starts_with('-')).collect();
    unusable(with(&client.certificate, &bare, "app").await.unwrap_err());
}

#[tokio::test]
async fn a_redirect_takes_the_token_to_the_same_host_and_to_those_that_are_named() {
    let active = crate::support::server();
    active.put("kv1/hello", json!({"foo": "world"}));
    let port = active.port();
    let redirects = |status: u16, host: &'static str| {
        Peer::start(move |request| {
            Answer::redirect(status, &format!("http://{host}:{port}{}", request.path_and_query))
        })
    };
    let through = async |peer: &Peer, more: &[(&str, &str)]| {
        let peer = peer.port().to_string();
        let options = [("port", peer.as_str()), ("token", "root"), ("mount", "kv1")];
        let (engine, _) = engine_at(&[&options[..], more].concat(), Context::default());
        let result = get(&engine, "{vault://hcv/hello/foo}").await;
        result.map_err(|error| error.replace(&peer, "FROM").replace(&port.to_string(), "TO"))
    };
    assert_eq!(through(&redirects(307, "127.0.0.1"), &[]).await.as_deref(), Ok("world"));
    assert_eq!(through(&redirects(308, "127.0.0.1"), &[]).await.as_deref(), Ok("world"));
    assert_eq!(active.requests().len(), 2);
    let refused = "Unavailable: vault `hcv`: `127.0.0.1:FROM` redirects to `localhost:TO`, a host that the token is not \
                   sent to -- if it is another server of the cluster, name it in the vault's option `redirect_hosts`";
    assert_eq!(through(&redirects(307, "localhost"), &[]).await.unwrap_err(), refused);
    assert_eq!(active.requests().len(), 2);
    let named = [("redirect_hosts", "localhost")];
    assert_eq!(through(&redirects(307, "localhost"), &named).await.as_deref(), Ok("world"));

    let circle = Peer::start(|request| Answer::redirect(307, &request.path_and_query));
    let error = through(&circle, &[]).await.unwrap_err();
    assert!(error.starts_with("Unavailable: vault `hcv`: `127.0.0.1:FROM` redirects in a circle"), "{error}");
    assert!(circle.requests().len() <= 5);

    // From TLS to plain text, not even to the same host.
    let ours = Authority::new();
    let down = Peer::start_tls(&ours.server(&["127.0.0.1"]), move |request| {
        Answer::redirect(307, &format!("http://127.0.0.1:{port}{}", request.path_and_query))
    });
    let error = through(&down, &[("protocol", "https"), ("ca_cert", &ours.pem())]).await.unwrap_err();
    assert!(error.contains("where the token would go in plain text"), "{error}");
    assert_eq!(active.requests().len(), 3);

    // Nor the other way round: the token was on the way in plain text already.
    let up = Peer::start(|request| {
        Answer::redirect(308, &format!("https://127.0.0.1:1{}", request.path_and_query))
    });
    let error = through(&up, &[]).await.unwrap_err();
    assert!(error.contains("where TLS is spoken -- set the vault's option `protocol` to `https`"), "{error}");
}
