//! Tokens live as long as they should: one login, renewed in time, made anew once, and never in a storm.

use std::time::Duration;

use serde_json::json;
use vaultref::Leases;

use crate::support::{approle, borrowed, count, engine, get, get_all, role, server};

const LOGIN: &str = "auth/approle/login";
const LOOKUP: &str = "auth/token/lookup-self";
const RENEWAL: &str = "auth/token/renew-self";

fn references(from: usize, to: usize) -> impl Iterator<Item = String> {
    (from..to).map(|number| format!("{{vault://hcv/s{number}/foo}}"))
}

/// A server with the secrets `s0` to `s199`.
fn filled() -> vaultref_testkit::openbao::OpenBao {
    let server = server();
    for number in 0..200 {
        server.put(&format!("kv1/s{number}"), json!({"foo": number.to_string()}));
    }
    server
}

#[tokio::test]
async fn two_hundred_secrets_at_once_cost_one_login_and_no_other_question() {
    let server = filled();
    let (engine, _) = engine(&server, &borrowed(&approle(&server)));
    assert_eq!(get_all(&engine, references(0, 200)).await, 200);
    assert_eq!(count(&server, "update", LOGIN), 1);
    assert_eq!(server.requests().len(), 201);
}

#[tokio::test]
async fn a_login_that_fails_fails_for_all_who_wait_for_it() {
    let server = server();
    let mut options = approle(&server);
    options[3].1 = "wrong".to_owned();
    let (engine, _) = engine(&server, &borrowed(&options));
    assert_eq!(get_all(&engine, references(0, 50)).await, 0);
    let logins = count(&server, "update", LOGIN);
    assert!((1..=10).contains(&logins), "{logins} logins");
}

#[tokio::test]
async fn a_token_is_renewed_at_two_thirds_of_its_lease_and_not_before() {
    let server = filled();
    let (engine, clock) = engine(&server, &borrowed(&approle(&server)));
    assert_eq!(get_all(&engine, references(0, 1)).await, 1);
    clock.advance(Duration::from_secs(2399));
    assert_eq!(get_all(&engine, references(1, 2)).await, 1);
    assert_eq!(count(&server, "update", RENEWAL), 0);
    clock.advance(Duration::from_secs(2));
    assert_eq!(get_all(&engine, references(2, 50)).await, 48);
    assert_eq!((count(&server, "update", RENEWAL), count(&server, "update", LOGIN)), (1, 1));
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_replaced() {
    let server = filled();
    role(&server, json!({"token_type": "batch"}));
    let (engine, clock) = engine(&server, &borrowed(&approle(&server)));
    assert_eq!(get_all(&engine, references(0, 1)).await, 1);
    clock.advance(Duration::from_secs(2401));
    assert_eq!(get_all(&engine, references(1, 50)).await, 49);
    assert_eq!((count(&server, "update", RENEWAL), count(&server, "update", LOGIN)), (0, 2));
}

#[tokio::test]
async fn a_token_that_has_ended_is_replaced_without_being_tried() {
    let server = filled();
    let (engine, clock) = engine(&server, &borrowed(&approle(&server)));
    assert_eq!(get_all(&engine, references(0, 1)).await, 1);
    clock.advance(Duration::from_secs(3601));
    assert_eq!(get_all(&engine, references(1, 50)).await, 49);
    assert_eq!((count(&server, "update", LOGIN), server.requests().len()), (2, 52));
}

#[tokio::test]
async fn a_token_that_was_revoked_leads_to_one_login_and_one_more_try() {
    let server = filled();
    let (engine, _) = engine(&server, &borrowed(&approle(&server)));
    assert_eq!(get_all(&engine, references(0, 1)).await, 1);
    server.put("sys/leases/revoke-prefix/auth/approle", json!({}));
    assert_eq!(get_all(&engine, references(1, 51)).await, 50);
    assert_eq!((count(&server, "update", LOGIN), count(&server, "read", LOOKUP)), (2, 1));
    assert!(server.requests().len() <= 4 + 100, "{} requests", server.requests().len());
}

#[tokio::test]
async fn a_login_that_fails_after_a_refusal_is_told_to_all_who_were_refused() {
    let server = filled();
    let options = approle(&server);
    let (engine, _) = engine(&server, &borrowed(&options));
    assert_eq!(get_all(&engine, references(0, 1)).await, 1);
    server.put("auth/approle/role/app/secret-id/destroy", json!({"secret_id": options[3].1}));
    server.put("sys/leases/revoke-prefix/auth/approle", json!({}));
    let asking: Vec<_> = references(1, 51)
        .map(|reference| {
            let engine = std::sync::Arc::clone(&engine);
            tokio::spawn(async move { get(&engine, &reference).await })
        })
        .collect();
    for task in asking {
        let error = task.await.unwrap().unwrap_err();
        assert!(error.starts_with("Unauthenticated: "), "{error}");
        assert!(error.contains("the login at `auth/approle/login` was refused"), "{error}");
    }
    assert_eq!(count(&server, "read", LOOKUP), 1);
    // Those who are refused only after it has failed try once more.
    let logins = count(&server, "update", LOGIN);
    assert!((2..=25).contains(&logins), "{logins} logins");
}

#[tokio::test]
async fn tokens_with_few_uses_that_were_revoked_are_replaced_as_often_as_they_are_needed() {
    let server = filled();
    role(&server, json!({"token_num_uses": 10}));
    let (engine, _) = engine(&server, &borrowed(&approle(&server)));
    assert_eq!(get_all(&engine, references(0, 1)).await, 1);
    server.put("sys/leases/revoke-prefix/auth/approle", json!({}));
    assert_eq!(get_all(&engine, references(1, 51)).await, 50);
    let logins = count(&server, "update", LOGIN);
    assert!((6..=25).contains(&logins), "{logins} logins");
}

#[tokio::test]
async fn what_is_denied_leads_to_no_login() {
    let server = filled();
    let (engine, _) = engine(&server, &borrowed(&approle(&server)));
    let denied = "Denied: vault `hcv`: secret `s1` in `secret`: the server denies it -- do the token's policies allow \
                  reading it? `vaultref vaults check` shows which it has";
    for _ in 0..2 {
        assert_eq!(get(&engine, "{vault://hcv/s1/foo?mount=secret}").await.unwrap_err(), denied);
    }
    let denied = (1..51).map(|number| format!("{{vault://hcv/s{number}/foo?mount=secret}}"));
    assert_eq!(get_all(&engine, denied).await, 0);
    assert_eq!((count(&server, "update", LOGIN), count(&server, "read", LOOKUP)), (1, 1));
}

#[tokio::test]
async fn what_is_denied_to_a_token_that_may_not_look_itself_up_stays_denied() {
    let server = filled();
    role(&server, json!({"token_no_default_policy": true}));
    let (engine, _) = engine(&server, &borrowed(&approle(&server)));
    for number in 1..4 {
        let error = get(&engine, &format!("{{vault://hcv/s{number}/foo?mount=secret}}")).await.unwrap_err();
        assert!(error.starts_with("Denied: "), "{number}: {error}");
    }
    assert_eq!(count(&server, "update", LOGIN), 2);
}

#[tokio::test]
async fn no_use_of_a_token_with_few_is_wasted() {
    let server = filled();
    let token = server.put("auth/token/create", json!({"policies": ["reader"], "num_uses": 3}));
    let token = token["auth"]["client_token"].as_str().unwrap();
    let (given, _) = engine(&server, &[("token", token), ("mount", "kv1")]);
    assert_eq!(get_all(&given, references(0, 3)).await, 3);
    assert_eq!(server.requests().len(), 3);

    // Of a login's token it is known when it is used up.
    role(&server, json!({"token_num_uses": 5}));
    let (engine, _) = engine(&server, &borrowed(&approle(&server)));
    assert_eq!(get_all(&engine, references(0, 20)).await, 20);
    assert_eq!((count(&server, "update", LOGIN), count(&server, "read", LOOKUP)), (4, 0));
    assert_eq!(server.requests().len(), 3 + 20 + 4);
}

#[tokio::test]
async fn a_login_is_ended_with_the_vault() {
    let server = filled();
    let (engine, _) = engine(&server, &borrowed(&approle(&server)));
    assert_eq!(get_all(&engine, references(0, 1)).await, 1);
    engine.close(Leases::Keep).await;
    assert_eq!(count(&server, "update", "auth/token/revoke-self"), 1);
    // A token that was given is not ours to end.
    let (given, _) = crate::support::engine(&server, &[("token", "root"), ("mount", "kv1")]);
    assert_eq!(get_all(&given, references(0, 1)).await, 1);
    given.close(Leases::Revoke).await;
    assert_eq!(count(&server, "update", "auth/token/revoke-self"), 1);
}

#[tokio::test]
async fn a_check_says_in_plain_words_what_works() {
    let server = filled();
    let (engine, _) = engine(&server, &borrowed(&approle(&server)));
    let steps = engine.check_vault("hcv").await.unwrap();
    let place = format!("127.0.0.1:{}", server.port());
    let texts: Vec<String> =
        steps.iter().map(|s| format!("{}: {}", s.what, s.result.clone().unwrap())).collect();
    assert_eq!(texts[0], format!("address: http://{place} answers: version 2.7.2, unsealed and active"));
    let login = "login: `approle`, policies: default, reader; ";
    assert!(texts[1].starts_with(login) && texts[1].contains(" s left; accessor "), "{}", texts[1]);
    assert_eq!(texts[2], "mount: `kv1` is kv v1, as the option `kv` says");

    let (wrong, _) = crate::support::engine(&server, &[("token", "root")]);
    let steps = wrong.check_vault("hcv").await.unwrap();
    let error = steps[2].result.as_ref().unwrap_err();
    assert_eq!(error.hint(), Some("this mount is kv v2: set the option `kv` to `v2`"));
    let token = json!({"policies": ["reader"], "no_default_policy": true});
    let token = server.put("auth/token/create", token)["auth"]["client_token"].clone();
    let (shy, _) = crate::support::engine(&server, &[("token", token.as_str().unwrap()), ("mount", "kv1")]);
    let steps = shy.check_vault("hcv").await.unwrap();
    let login = "`token`; the token may not look itself up: policies and life are not known";
    assert_eq!(steps[1].result.as_deref().ok(), Some(login));
    let (nobody, _) = crate::support::engine(&server, &[("token", "nobody")]);
    let steps = nobody.check_vault("hcv").await.unwrap();
    assert_eq!((steps.len(), steps[1].what, steps[1].result.is_err()), (2, "login", true));
}
