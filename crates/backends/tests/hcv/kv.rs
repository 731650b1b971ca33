//! What a KV engine of either version gives.

use serde_json::json;
use vaultref::Context;
use vaultref_testkit::openbao::OpenBao;

use crate::support::{engine, engine_at, get};

#[tokio::test]
async fn secrets_of_both_versions_are_read_and_what_is_missing_says_why() {
    let server = OpenBao::dev();
    server.mount_kv("kv1", 1);
    server.mount_kv("team/kv", 2);
    server.put("kv1/hello", json!({"foo": "world", "n": 1.50, "deep": {"list": ["a", {"b": "c"}]}}));
    server.put("kv1/a/b%20c/50%25%2B", json!({"foo": "odd"}));
    server.put("team/kv/data/hello", json!({"data": {"foo": "in a team"}}));
    for value in ["first", "second", "third", "fourth"] {
        server.put("secret/data/prod/db", json!({"data": {"foo": value}}));
    }
    server.put("secret/delete/prod/db", json!({"versions": [2]}));
    server.put("secret/destroy/prod/db", json!({"versions": [3]}));
    server.put("secret/data/gone", json!({"data": {"foo": "bar"}}));
    server.delete("secret/data/gone");

    let (engine, _) = engine(&server, &[("token", "root"), ("kv", "v2")]);
    let mut failures = String::new();
    for (reference, expected) in [
        ("{vault://hcv/prod/db/foo}", Ok("fourth")),
        ("{vault://hcv/prod/db/}", Ok(r#"{"foo":"fourth"}"#)),
        ("{vault://hcv/prod/db/foo#1}", Ok("first")),
        ("{vault://hcv/prod/db/foo#0}", Ok("fourth")),
        ("{vault://hcv/hello/foo?mount=team/kv}", Ok("in a team")),
        ("{vault://hcv/hello/foo?mount=/team/kv/}", Ok("in a team")),
        ("{vault://hcv/hello/foo?mount=kv1&kv=v1}", Ok("world")),
        ("{vault://hcv/hello/foo?mount=kv1&kv=v1#1}", Ok("world")),
        ("{vault://hcv/hello/n?mount=kv1&kv=v1}", Ok("1.5")),
        ("{vault://hcv/hello/deep.list.1.b?mount=kv1&kv=v1}", Ok("c")),
        ("{vault://hcv/hello/deep?mount=kv1&kv=v1}", Ok(r#"{"list":["a",{"b":"c"}]}"#)),
        ("{vault://hcv/a/b+c/50%2525%252B/foo?mount=kv1&kv=v1}", Ok("odd")),
        ("{vault://hcv/secret/data/prod/db/data.foo?engine=raw}", Ok("fourth")),
        ("{vault://hcv/kv1/hello/foo?engine=raw}", Ok("world")),
        ("{vault://hcv/sys/internal/ui/mounts/kv1/type?engine=raw}", Ok("kv")),
        (
            "{vault://hcv/prod/db/foo#2}",
            Err("NotFound: vault `hcv`: secret `prod/db` in `secret`: version 2 was deleted (at …) -- \
                 `vault kv undelete` brings it back; or name another version"),
        ),
        (
            "{vault://hcv/prod/db/foo#3}",
            Err(
                "NotFound: vault `hcv`: secret `prod/db` in `secret`: version 3 was destroyed -- its value is \
                 gone for good: name another version, or write a new one",
            ),
        ),
        (
            "{vault://hcv/prod/db/foo#9}",
            Err("NotFound: vault `hcv`: secret `prod/db` in `secret`: there is no version 9 -- or there is \
                 nothing of that name at all; `vault kv metadata get` lists the versions"),
        ),
        (
            "{vault://hcv/gone/foo}",
            Err("NotFound: vault `hcv`: secret `gone` in `secret`: version 1 was deleted (at …) -- \
                 `vault kv undelete` brings it back; or name another version"),
        ),
        (
            "{vault://hcv/secret/data/prod/db?engine=raw}",
            Err(
                "NotFound: vault `hcv`: path `secret/data/prod`: there is nothing at that path -- the last part of \
                 a reference is the key, unless it ends with `/`",
            ),
        ),
        (
            "{vault://hcv/nothing/foo}",
            Err(
                "NotFound: vault `hcv`: secret `nothing` in `secret`: there is no such secret -- the last part \
                 of a reference is the key, unless it ends with `/`",
            ),
        ),
        (
            "{vault://hcv/nothing/foo?mount=nowhere}",
            Err(
                "NotFound: vault `hcv`: secret `nothing` in `nowhere`: there is no such secret -- is `nowhere` \
                 the right mount (option `mount`), and in this namespace?",
            ),
        ),
        (
            "{vault://hcv/hello/foo?mount=kv1}",
            Err(
                "InvalidConfig: vault `hcv`: option `kv` is `v2`, and the mount `kv1` is not -- this mount is \
                 kv v1: set the option `kv` to `v1`",
            ),
        ),
        (
            "{vault://hcv/prod/db/foo?kv=v1}",
            Err(
                "InvalidConfig: vault `hcv`: option `kv` is `v1`, and the mount `secret` is not -- this mount is \
                 kv v2: set the option `kv` to `v2`",
            ),
        ),
        (
            "{vault://hcv/prod/..%2F..%2Fsys/x}",
            Err(
                "InvalidReference: vault `hcv`: path `prod/../../sys` has a `.` or `..` in it -- the server knows \
                 no relative paths: write the whole one",
            ),
        ),
        (
            "{vault://hcv/auth/token/create/x?engine=raw}",
            Err(
                "InvalidReference: vault `hcv`: path `auth/token/create`: that path cannot be read -- some paths \
                 of a secrets engine can only be written to or listed",
            ),
        ),
        (
            "{vault://hcv/auth/token/lookup-self/id?engine=raw}",
            Err("InvalidReference: vault `hcv`: the vault's own token is no secret to be read -- \
                 `vaultref vaults check` tells about it"),
        ),
        (
            "{vault://hcv/lookup-self/id?mount=auth/token&kv=v1}",
            Err("InvalidReference: vault `hcv`: the vault's own token is no secret to be read -- \
                 `vaultref vaults check` tells about it"),
        ),
        (
            "{vault://hcv/hello/foo?mount=..}",
            Err(
                "InvalidConfig: vault `hcv`: option `mount`: path `..` has a `.` or `..` in it -- the server \
                 knows no relative paths: write the whole one",
            ),
        ),
    ] {
        let seen = get(&engine, reference).await.map_err(without_time);
        if seen.as_deref().map_err(String::as_str) != expected {
            failures += &format!("{reference}\n  expected {expected:?}\n  got      {seen:?}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[tokio::test]
async fn a_wrong_version_of_kv_is_found_out_with_a_policy_for_the_other_one() {
    let server = OpenBao::dev();
    server.mount_kv("old", 1);
    let policy =
        "path \"secret/data/*\" {capabilities = [\"read\"]} path \"old/db\" {capabilities = [\"read\"]}";
    server.put("sys/policies/acl/app", json!({"policy": policy}));
    let token = server.put("auth/token/create", json!({"policies": ["app"]}));
    let (engine, _) = engine(&server, &[("token", token["auth"]["client_token"].as_str().unwrap())]);
    for (reference, hint) in [
        ("{vault://hcv/db/password}", "this mount is kv v2: set the option `kv` to `v2`"),
        ("{vault://hcv/db/password?mount=old&kv=v2}", "this mount is kv v1: set the option `kv` to `v1`"),
    ] {
        let error = get(&engine, reference).await.unwrap_err();
        assert!(error.starts_with("InvalidConfig: ") && error.ends_with(hint), "{error}");
    }
}

fn without_time(text: String) -> String {
    match (text.find("(at "), text.find(") -- ")) {
        (Some(start), Some(end)) if start < end => format!("{}(at …{}", &text[..start], &text[end..]),
        _ => text,
    }
}

#[tokio::test]
async fn a_namespace_counts_for_login_and_reading() {
    let server = OpenBao::dev();
    server.put("sys/namespaces/team1", json!({}));
    server.put("team1/sys/mounts/kv", json!({"type": "kv"}));
    server.put("team1/kv/hello", json!({"foo": "of team1"}));
    server.put("team1/sys/auth/userpass", json!({"type": "userpass"}));
    server
        .put("team1/sys/policies/acl/reader", json!({"policy": "path \"kv/*\" {capabilities = [\"read\"]}"}));
    server.put("team1/auth/userpass/users/app", json!({"password": "opensesame", "policies": ["reader"]}));
    let options = [
        ("auth_method", "userpass"),
        ("userpass_username", "app"),
        ("userpass_password", "opensesame"),
        ("mount", "kv"),
    ];
    let (without, _) = engine(&server, &options);
    let refused = get(&without, "{vault://hcv/hello/foo}").await.unwrap_err();
    assert!(refused.starts_with("Unauthenticated: vault `hcv`: the login at `auth/userpass/login/app`"));
    let (within, _) = engine(&server, &[&options[..], &[("namespace", "team1")]].concat());
    assert_eq!(get(&within, "{vault://hcv/hello/foo}").await.as_deref(), Ok("of team1"));
    let steps = within.check_vault("hcv").await.unwrap();
    let found: Vec<_> = steps.iter().map(|step| (step.what, step.result.is_ok())).collect();
    assert_eq!(found, [("address", true), ("login", true), ("mount", true)]);
    let (nowhere, _) = engine(&server, &[("token", "root"), ("namespace", "team2")]);
    let steps = nowhere.check_vault("hcv").await.unwrap();
    let error = steps[1].result.as_ref().unwrap_err();
    assert_eq!((steps[1].what, error.message()), ("login", "the server does not know the namespace"));
}

#[tokio::test]
async fn the_variables_of_the_vault_command_line_stand_in_where_nothing_is_set() {
    let server = OpenBao::dev();
    server.put("secret/data/hello", json!({"data": {"foo": "world"}}));
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".vault-token"), "root\n").unwrap();
    let (address, home) = (server.address(), home.path().to_str().unwrap().to_owned());
    let nowhere = "InvalidReference: there is no vault";
    for (variables, options, expected) in [
        (&[("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", "root")][..], &[][..], Ok("world")),
        (&[("VAULT_ADDR", &address), ("HOME", &home)], &[], Ok("world")),
        (&[("VAULT_ADDR", &address), ("VAULT_TOKEN", "bad"), ("HOME", &home)], &[], Err("Unauthenticated")),
        (&[("VAULT_ADDR", &address), ("VAULT_TOKEN", "bad")], &[("token", "root")], Ok("world")),
        (
            &[("VAULT_ADDR", "http://127.0.0.1:1"), ("VAULT_TOKEN", "root")],
            &[("port", "")],
            Err("Unavailable"),
        ),
        (&[("VAULT_ADDR", "nonsense"), ("VAULT_TOKEN", "root")], &[], Err("InvalidConfig")),
        (&[("VAULT_ADDR", &address)], &[], Err("InvalidConfig")),
        (
            &[("VAULT_ADDR", &address), ("VAULT_TOKEN", "root"), ("VAULT_NAMESPACE", "none")],
            &[],
            Err("NotFound"),
        ),
    ] {
        let context = Context::new(variables.iter().copied().collect::<vaultref::Environment>());
        let (engine, _) = engine_at(&[&[("kv", "v2")], options].concat(), context);
        let seen = get(&engine, "{vault://hcv/hello/foo}").await;
        let seen = seen.as_deref().map_err(|error| error.split(':').next().unwrap_or(nowhere));
        assert_eq!(seen, expected, "{variables:?} {options:?}");
    }
}

#[tokio::test]
async fn a_reference_sends_the_login_of_a_vault_to_this_machine_only() {
    let refused = |option: &str| {
        format!(
            "InvalidReference: vault `hcv`: a reference may not send the vault's login to another place \
             (`{option}`) -- set it in the vault, or give that place a vault of its own"
        )
    };
    let unreachable = |error: String| {
        assert!(error.starts_with("Unavailable") || error.starts_with("Timeout"), "{error}");
    };
    let options = [("host", "vault.invalid"), ("token", "opensesame"), ("connect_timeout", "0.2")];
    let (engine, _) = engine_at(&options, Context::default());
    for (query, option) in [
        ("host=elsewhere.invalid", "host"),
        ("host=127.0.0.1.nip.invalid", "host"),
        ("protocol=https", "protocol"),
        ("port=8201", "port"),
        ("ssl_verify=false", "ssl_verify"),
        ("redirect_hosts=elsewhere.invalid", "redirect_hosts"),
        ("auth_method=token&tls_server_name=x", "tls_server_name"),
        ("protocol=https&host=127.0.0.1&ssl_verify=false&tls_server_name=203.0.113.5", "tls_server_name"),
        ("protocol=https&host=127.0.0.1&tls_server_name=Evil.Invalid", "tls_server_name"),
        ("token=mine&host=elsewhere.invalid", "host"),
    ] {
        let reference = format!("{{vault://hcv/hello/foo?{query}}}");
        assert_eq!(get(&engine, &reference).await.unwrap_err(), refused(option), "{query}");
    }
    for query in ["host=127.0.0.1&port=1", "host=localhost&port=1", "host=vault.invalid"] {
        unreachable(get(&engine, &format!("{{vault://hcv/hello/foo?{query}}}")).await.unwrap_err());
    }
}
