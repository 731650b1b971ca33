//! The ways to log in that the real server has.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use vaultref::Context;
use vaultref_testkit::peer::{Answer, Peer};

use crate::support::{approle, borrowed, count, engine, engine_at, get, server};

#[tokio::test]
async fn a_token_comes_from_an_option_or_a_file_that_may_change() {
    let server = server();
    server.put("kv1/hello", json!({"foo": "world"}));
    server.put("kv1/other", json!({"foo": "too"}));
    let made = || {
        let token = server.put("auth/token/create", json!({"policies": ["reader"]}));
        token["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let (first, second) = (made(), made());
    std::fs::write(&file, format!("{first}\n")).unwrap();
    let (engine, _) = engine(&server, &[("token_file", file.to_str().unwrap()), ("mount", "kv1")]);
    assert_eq!(get(&engine, "{vault://hcv/hello/foo}").await.as_deref(), Ok("world"));
    server.put("auth/token/revoke", json!({"token": first}));
    let refused = "Unauthenticated: vault `hcv`: secret `other` in `kv1`: the server does not accept the token -- it \
                   has expired, was revoked, is of another server, or has no right to look itself up: get a new one";
    assert_eq!(get(&engine, "{vault://hcv/other/foo}").await.unwrap_err(), refused);
    std::fs::write(&file, second).unwrap();
    // The limit on new logins goes by the clock, and that stands still: a new vault has none behind it.
    let (engine, _) =
        crate::support::engine(&server, &[("token_file", file.to_str().unwrap()), ("mount", "kv1")]);
    assert_eq!(get(&engine, "{vault://hcv/other/foo}").await.as_deref(), Ok("too"));
}

#[tokio::test]
async fn approle_takes_its_secret_id_from_an_option_a_file_or_a_wrapping_that_opens_once() {
    let server = server();
    server.put("kv1/hello", json!({"foo": "world"}));
    server.put("kv1/other", json!({"foo": "too"}));
    let given = approle(&server);
    let (inline, _) = engine(&server, &borrowed(&given));
    assert_eq!(get(&inline, "{vault://hcv/hello/foo}").await.as_deref(), Ok("world"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret-id");
    std::fs::write(&file, format!("{}\n", given[3].1)).unwrap();
    let from_file: Vec<_> =
        [&given[..3], &[("approle_secret_id_file", file.to_str().unwrap().to_owned())]].concat();
    let (engine_of_file, _) = engine(&server, &borrowed(&from_file));
    assert_eq!(get(&engine_of_file, "{vault://hcv/hello/foo}").await.as_deref(), Ok("world"));

    let secret = server.put("auth/approle/role/app/secret-id", json!({}))["data"].clone();
    let wrapping = wrapped(&server, secret);
    let options: Vec<_> =
        [&given[..3], &[("approle_secret_id", wrapping), ("approle_response_wrapping", "true".to_owned())]]
            .concat();
    let (unwraps, _) = engine(&server, &borrowed(&options));
    assert_eq!(get(&unwraps, "{vault://hcv/hello/foo}").await.as_deref(), Ok("world"));
    // What was unwrapped serves later logins too.
    server.put("auth/token/revoke-accessor", json!({"accessor": newest_accessor(&server)}));
    assert_eq!(get(&unwraps, "{vault://hcv/other/foo}").await.as_deref(), Ok("too"));
    assert_eq!(count(&server, "update", "sys/wrapping/unwrap"), 1);

    let (too_late, _) = engine(&server, &borrowed(&options));
    let error = get(&too_late, "{vault://hcv/hello/foo}").await.unwrap_err();
    assert!(
        error.starts_with("Unauthenticated: vault `hcv`: the wrapped secret id cannot be unwrapped"),
        "{error}"
    );
    assert!(error.contains("-- a wrapping token works once"), "{error}");
}

/// Has the server wrap this.
fn wrapped(server: &vaultref_testkit::openbao::OpenBao, data: serde_json::Value) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let body = data.to_string();
    write!(
        stream,
        "POST /v1/sys/wrapping/wrap HTTP/1.1\r\nHost: x\r\nX-Vault-Token: root\r\nX-Vault-Wrap-TTL: 60s\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let json: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    json["wrap_info"]["token"].as_str().unwrap().to_owned()
}

fn newest_accessor(server: &vaultref_testkit::openbao::OpenBao) -> String {
    let (_, all) = server.request("LIST", "auth/token/accessors", None);
    let accessors =
        all["data"]["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned());
    let created = |accessor: &String| {
        let data = server.put("auth/token/lookup-accessor", json!({"accessor": accessor}))["data"].clone();
        data["issue_time"].as_str().unwrap_or_default().to_owned()
    };
    accessors.max_by_key(created).unwrap()
}

#[tokio::test]
async fn a_user_logs_in_with_a_password() {
    let server = server();
    server.put("kv1/hello", json!({"foo": "world"}));
    server.put("sys/auth/people", json!({"type": "userpass"}));
    server.put("auth/people/users/app", json!({"password": "open\"sesame", "token_policies": ["reader"]}));
    let options = [
        ("mount", "kv1"),
        ("auth_method", "userpass"),
        ("userpass_auth_path", "people"),
        ("userpass_username", "app"),
    ];
    let with = |password| engine(&server, &[&options[..], &[("userpass_password", password)]].concat()).0;
    assert_eq!(get(&with("open\"sesame"), "{vault://hcv/hello/foo}").await.as_deref(), Ok("world"));
    let refused = "Unauthenticated: vault `hcv`: the login at `auth/people/login/app` was refused: invalid username \
                   or password -- are role and credentials right, and is the method mounted there (and in this \
                   namespace)?";
    assert_eq!(get(&with("opensaysme"), "{vault://hcv/hello/foo}").await.unwrap_err(), refused);
}

#[tokio::test]
async fn a_login_method_says_which_option_it_lacks() {
    let server = server();
    for (options, expected) in [
        (&[][..], "login method `token` wants the option `token`"),
        (&[("token", " ")], "login method `token` wants the option `token`"),
        (&[("token", "a"), ("token_file", "b")], "the options `token` and `token_file` are both set"),
        (&[("auth_method", "kubernetes")], "login method `kubernetes` wants the option `kube_role`"),
        (
            &[("auth_method", "approle"), ("approle_role_id", "x")],
            "login method `approle` wants the option `approle_secret_id` or `approle_secret_id_file`",
        ),
        (
            &[("auth_method", "approle"), ("approle_secret_id", "x")],
            "login method `approle` wants the option `approle_role_id`",
        ),
        (&[("auth_method", "cert")], "login method `cert` wants the option `protocol` to be `https`"),
        (
            &[("auth_method", "cert"), ("protocol", "https"), ("cert_auth_cert", "x")],
            "login method `cert` wants the option `cert_auth_cert_key`",
        ),
        (&[("auth_method", "userpass")], "login method `userpass` wants the option `userpass_username`"),
        (
            &[("auth_method", "ldap"), ("ldap_username", "x")],
            "login method `ldap` wants the option `ldap_password`",
        ),
    ] {
        let (engine, _) = engine(&server, options);
        let error = get(&engine, "{vault://hcv/hello/foo}").await.unwrap_err();
        let message = error.split(" -- ").next().unwrap();
        assert_eq!(message, format!("InvalidConfig: vault `hcv`: {expected}"), "{options:?}");
    }
    assert_eq!(server.requests(), []);
}

/// A service account's token, as far as the server looks at it itself: it leaves the signature to Kubernetes.
fn service_account(name: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": "https://kubernetes.default.svc.cluster.local",
        "sub": format!("system:serviceaccount:shop:{name}"),
        "aud": ["https://kubernetes.default.svc.cluster.local"],
        "iat": now - 10, "nbf": now - 10, "exp": now + 600,
        "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": name, "uid": "u-1"}},
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(&json!({"alg": "RS256", "typ": "JWT"})), part(&claims))
}

#[tokio::test]
async fn a_pod_logs_in_with_its_service_account() {
    // The part of the Kubernetes API that the server asks: is this token one of yours?
    let kubernetes = Peer::start(|request| {
        let review = request.json();
        let known = is_of(review["spec"]["token"].as_str().unwrap_or_default(), "app");
        let user = json!({"username": "system:serviceaccount:shop:app", "uid": "u-1", "groups": []});
        Answer::json(
            201,
            json!({
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "status": {"authenticated": known, "user": user, "audiences": review["spec"]["audiences"]},
            }),
        )
    });
    let server = server();
    server.put("kv1/hello", json!({"foo": "world"}));
    server.put("sys/auth/cluster", json!({"type": "kubernetes"}));
    server.put(
        "auth/cluster/config",
        json!({
            "kubernetes_host": kubernetes.address(),
            "kubernetes_ca_cert": vaultref_testkit::certificates::Authority::new().pem(),
            "disable_local_ca_jwt": true,
        }),
    );
    server.put(
        "auth/cluster/role/shop",
        json!({
            "bound_service_account_names": "app",
            "bound_service_account_namespaces": "shop",
            "token_policies": ["reader"],
        }),
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let options = [
        ("mount", "kv1"),
        ("auth_method", "kubernetes"),
        ("kube_role", "shop"),
        ("kube_auth_path", "/cluster/"),
        ("kube_api_token_file", file.to_str().unwrap()),
    ];
    let (engine, _) = engine(&server, &options);
    let error = get(&engine, "{vault://hcv/hello/foo}").await.unwrap_err();
    assert!(
        error.starts_with("InvalidConfig: vault `hcv`: the file of option `kube_api_token_file`"),
        "{error}"
    );
    std::fs::write(&file, service_account("other")).unwrap();
    let error = get(&engine, "{vault://hcv/hello/foo}").await.unwrap_err();
    assert!(
        error.starts_with("Unauthenticated: vault `hcv`: the login at `auth/cluster/login` was refused"),
        "{error}"
    );
    std::fs::write(&file, service_account("app") + "\n").unwrap();
    assert_eq!(get(&engine, "{vault://hcv/hello/foo}").await.as_deref(), Ok("world"));
}

/// Whether a token is that account's.
fn is_of(token: &str, account: &str) -> bool {
    let claims =
        token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    String::from_utf8_lossy(&claims).contains(&format!("system:serviceaccount:shop:{account}\""))
}

/// The real server has no `ldap`, so that only what is sent can be looked at.
#[tokio::test]
async fn a_user_of_a_directory_logs_in_with_a_password() {
    let peer = Peer::start(|request| match request.path() {
        "/v1/auth/ldap/login/ann%40corp" => {
            assert_eq!(request.json(), json!({"password": "opensesame"}));
            assert_eq!(
                (request.header("x-vault-request"), request.header("x-vault-token")),
                (Some("true"), None)
            );
            Answer::json(200, json!({"auth": {"client_token": "s.directory", "lease_duration": 3600}}))
        }
        "/v1/secret/hello" => {
            assert_eq!(request.header("x-vault-token"), Some("s.directory"));
            Answer::json(200, json!({"data": {"foo": "world"}}))
        }
        path => Answer::json(404, json!({"errors": [path]})),
    });
    let port = peer.port().to_string();
    let options = [
        ("port", port.as_str()),
        ("auth_method", "ldap"),
        ("ldap_username", "ann@corp"),
        ("ldap_password", "opensesame"),
    ];
    let (engine, _) = engine_at(&options, Context::default());
    assert_eq!(get(&engine, "{vault://hcv/hello/foo}").await.as_deref(), Ok("world"));
    assert_eq!(peer.requests().len(), 2);
}
