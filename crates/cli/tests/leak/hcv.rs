//! A server behind a network holds the secret, or gets it as a login: a real OpenBao.

use serde_json::json;
use vaultref_testkit::openbao::OpenBao;
use vaultref_testkit::peer::{Answer, Peer};

use super::*;

/// A vault `hcv` at this port.
fn vault(port: u16, args: &[&str]) -> Row {
    Row::new(args.iter().copied()).variable("KONG_VAULT_HCV_PORT", port.to_string())
}

#[test]
fn what_a_server_holds_is_shown_to_who_asked_only() {
    let server = OpenBao::dev();
    server.mount_kv("kv1", 1);
    server.put("kv1/s", json!({"key": CANARY, "none": null, "list": [CANARY]}));
    server.put("secret/data/s", json!({"data": {"key": CANARY}}));
    let row = |args: &[&str]| {
        vault(server.port(), args).variable("VAULT_TOKEN", "root").variable("KONG_VAULT_HCV_MOUNT", "kv1")
    };
    check_all(vec![
        row(&["get", "hcv/s/key"]).asks(Asked::Stdout),
        row(&["get", "hcv/s/key?mount=secret&kv=v2#1"]).asks(Asked::Stdout),
        row(&["get", "hcv/s/nope"]).fails(),
        row(&["get", "hcv/s/none"]).fails(),
        row(&["get", "hcv/s/list.7"]).fails(),
        row(&["get", "hcv/s/key?base64_decode"]).fails(),
        row(&["get", "hcv/s/key?body_bytes_max=10"]).fails(),
        row(&["get", "hcv/s/key?mount=secret"]).fails(),
        row(&["check", "--resolve", "a"]).file("a", "{vault://hcv/s/key}"),
        row(&["vaults", "check", "hcv"]),
        row(&["vaults", "check", "--json", "hcv"]),
        row(&["explain", "hcv/s/key"]),
        row(&["run", "--mask", "--", "sh", "-c", "echo $A"]).variable("A", "{vault://hcv/s/key}"),
        row(&["render", "a", "-o", "out"]).file("a", "{vault://hcv/s/key}").asks(Asked::File("out")),
    ]);
}

#[test]
fn a_login_is_shown_to_nobody() {
    let server = OpenBao::dev();
    server.put("sys/auth/userpass", json!({"type": "userpass"}));
    server.put("sys/auth/approle", json!({"type": "approle"}));
    let port = server.port();
    // One that says whatever it was sent.
    let parrot = Peer::start(|request| {
        let sent = format!("{:?} {}", request.headers, request.text());
        Answer::json(403, json!({"errors": [sent]}))
    });
    let logins = |port: u16| {
        let with = |options: &[(&str, &str)]| {
            let row = vault(port, &["get", "hcv/s/key"]).fails();
            options
                .iter()
                .fold(row, |row, (name, value)| row.variable(&format!("KONG_VAULT_HCV_{name}"), *value))
        };
        vec![
            with(&[("TOKEN", CANARY)]),
            vault(port, &["get", "hcv/s/key"]).variable("VAULT_TOKEN", CANARY).fails(),
            vault(port, &["get", &format!("hcv/s/key?token={CANARY}")]).fails(),
            vault(port, &["get", "hcv/s/key"]).file(".vault-token", CANARY).fails(),
            with(&[("AUTH_METHOD", "userpass"), ("USERPASS_USERNAME", "ann"), ("USERPASS_PASSWORD", CANARY)]),
            with(&[("AUTH_METHOD", "ldap"), ("LDAP_USERNAME", "ann"), ("LDAP_PASSWORD", CANARY)]),
            with(&[("AUTH_METHOD", "approle"), ("APPROLE_ROLE_ID", "r"), ("APPROLE_SECRET_ID", CANARY)]),
            with(&[
                ("AUTH_METHOD", "approle"),
                ("APPROLE_ROLE_ID", "r"),
                ("APPROLE_SECRET_ID", CANARY),
                ("APPROLE_RESPONSE_WRAPPING", "true"),
            ]),
            with(&[("AUTH_METHOD", "kubernetes"), ("KUBE_ROLE", "r"), ("KUBE_API_TOKEN_FILE", "jwt")])
                .file("jwt", CANARY),
            with(&[("PROTOCOL", "https"), ("SSL_VERIFY", "off"), ("TOKEN", CANARY)]),
            with(&[
                ("PROTOCOL", "https"),
                ("AUTH_METHOD", "cert"),
                ("CERT_AUTH_CERT", "-----BEGIN CERTIFICATE-----"),
                ("CERT_AUTH_CERT_KEY", &format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n")),
            ]),
            vault(port, &["vaults", "check", "hcv"]).variable("KONG_VAULT_HCV_TOKEN", CANARY).fails(),
        ]
    };
    let mut rows = logins(port);
    rows.extend(logins(parrot.port()));
    check_all(rows);
}
