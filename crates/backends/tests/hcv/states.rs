//! What a server in trouble says, and what becomes of it. Scripted where no real server can be brought into that
//! state.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use vaultref::Context;
use vaultref_testkit::openbao::{Config, OpenBao};
use vaultref_testkit::peer::{Answer, Peer};

use crate::support::{engine, engine_at, get};

const REFERENCE: &str = "{vault://hcv/hello/foo}";

/// What a vault at this port gives, with `PLACE` for the address.
async fn at(port: u16) -> Result<String, String> {
    let port = port.to_string();
    let (engine, _) = engine_at(&[("port", &port), ("token", "s.opensesame")], Context::default());
    get(&engine, REFERENCE).await.map_err(|error| error.replace(&format!("127.0.0.1:{port}"), "PLACE"))
}

/// The options for a login at this port.
fn userpass(port: &str) -> [(&str, &str); 4] {
    [
        ("port", port),
        ("auth_method", "userpass"),
        ("userpass_username", "ann"),
        ("userpass_password", "opensesame"),
    ]
}

#[tokio::test]
async fn every_state_of_a_server_is_told_with_a_way_out() {
    for (status, expected) in [
        (
            429,
            "RateLimited: vault `hcv`: secret `hello` in `secret`: the server at `PLACE` limits how often it is asked \
             -- ask less often, or raise its quota",
        ),
        (
            472,
            "Unavailable: vault `hcv`: secret `hello` in `secret`: the server at `PLACE` is a secondary for disaster \
             recovery -- ask the primary",
        ),
        (
            473,
            "Unavailable: vault `hcv`: secret `hello` in `secret`: the server at `PLACE` is a standby that answers \
             nothing -- ask the active server",
        ),
        (
            412,
            "Unavailable: vault `hcv`: secret `hello` in `secret`: the server at `PLACE` has not caught up yet -- it is \
             a secondary; ask again, or ask the primary",
        ),
        (
            500,
            "Unavailable: vault `hcv`: secret `hello` in `secret`: the server at `PLACE` failed (status 500) -- its own \
             log says why",
        ),
        (
            418,
            "InvalidReference: vault `hcv`: secret `hello` in `secret`: the server refuses that (status 418)",
        ),
    ] {
        let peer = Peer::start(move |_| Answer::json(status, json!({"errors": ["s.opensesame"]})));
        assert_eq!(at(peer.port()).await.unwrap_err(), expected);
        assert!(peer.requests().iter().all(|request| request.header("x-vault-request") == Some("true")));
    }
    // What stands in front of a server says nothing about the token.
    let proxy = Peer::start(|_| Answer::text(403, "text/html", "<h1>Forbidden</h1>"));
    let error = at(proxy.port()).await.unwrap_err();
    assert_eq!(
        error,
        "Corrupt: vault `hcv`: secret `hello` in `secret`: `PLACE` did not answer in JSON (status 403) -- is it a \
         Vault server? a proxy or a login page in between answers like this"
    );
}

#[tokio::test]
async fn a_server_that_is_new_or_sealed_is_told_as_such() {
    let server = OpenBao::start(Config::default());
    let in_secret = "vault `hcv`: secret `hello` in `secret`: the server at `PLACE`";
    let new = format!(
        "Unavailable: {in_secret} is sealed, or being maintained -- unseal it with: vault operator unseal"
    );
    assert_eq!(at(server.port()).await.unwrap_err(), new);
    let (vault, _) = engine(&server, &[("token", "x")]);
    let steps = vault.check_vault("hcv").await.unwrap();
    let error = steps[0].result.as_ref().unwrap_err();
    assert!(error.message().ends_with("is not initialised"), "{error}");
    server.init();
    assert_eq!(at(server.port()).await.unwrap_err(), new);
    let steps = vault.check_vault("hcv").await.unwrap();
    assert_eq!(steps.len(), 1);
    assert!(steps[0].result.as_ref().unwrap_err().message().ends_with("is sealed, or being maintained"));
}

#[tokio::test]
async fn a_wish_to_be_left_alone_is_granted() {
    let asked = AtomicUsize::new(0);
    let peer = Peer::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::json(429, json!({"errors": ["slow down"]})).header("Retry-After", "1"),
        _ => Answer::json(200, json!({"data": {"foo": "world"}})),
    });
    let start = Instant::now();
    assert_eq!(at(peer.port()).await.as_deref(), Ok("world"));
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(peer.requests().len(), 2);

    // Too long to be waited for: an error at once, and nobody asks in the meantime.
    let peer = Peer::start(|_| Answer::json(429, json!({"errors": []})).header("Retry-After", "3600"));
    let port = peer.port().to_string();
    let (engine, _) = engine_at(&[("port", &port), ("token", "x")], Context::default());
    for number in 0..10 {
        let error = get(&engine, &format!("{{vault://hcv/s{number}/foo}}")).await.unwrap_err();
        assert!(error.starts_with("RateLimited: vault `hcv`: "), "{error}");
        if number > 0 {
            assert!(error.contains("asks to be left alone for 600 s more"), "{error}");
        }
    }
    assert_eq!(peer.requests().len(), 1);

    // A server that is being maintained has no quota to be raised.
    let peer = Peer::start(|_| Answer::json(503, json!({"errors": []})).header("Retry-After", "60"));
    let port = peer.port().to_string();
    let (engine, _) = engine_at(&[("port", &port), ("token", "x")], Context::default());
    for _ in 0..2 {
        let error = get(&engine, REFERENCE).await.unwrap_err();
        assert!(error.starts_with("Unavailable: ") && !error.contains("quota"), "{error}");
    }
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn a_read_is_repeated_a_few_times_and_a_login_only_if_it_was_not_looked_at() {
    let torn = Peer::start(|_| Answer::json(200, json!({"data": {"foo": "world"}})).torn());
    assert!(at(torn.port()).await.unwrap_err().starts_with("Unavailable: "));
    assert_eq!(torn.requests().len(), 3);

    for (status, requests) in [(500, 1), (502, 1), (503, 3)] {
        let peer = Peer::start(move |_| Answer::json(status, json!({"errors": []})));
        let port = peer.port().to_string();
        let (engine, _) = engine_at(&userpass(&port), Context::default());
        let error = get(&engine, REFERENCE).await.unwrap_err();
        assert!(error.starts_with("Unavailable: vault `hcv`: login: "), "{error}");
        assert_eq!(peer.requests().len(), requests, "{status}");
    }

    // Reading a dynamic secret makes one: it is not made twice because an answer was lost.
    let raw = Peer::start(|_| Answer::json(200, json!({"data": {"foo": "world"}})).torn());
    let port = raw.port().to_string();
    let (engine, _) = engine_at(&[("port", &port), ("token", "x"), ("engine", "raw")], Context::default());
    assert!(get(&engine, REFERENCE).await.unwrap_err().starts_with("Unavailable: "));
    assert_eq!(raw.requests().len(), 1);
}

#[tokio::test]
async fn what_a_server_says_of_a_login_is_told_unless_it_repeats_what_we_sent() {
    for (said, told) in [
        (json!({"errors": ["role \"app\"\ncould  not be found"]}), ": role \"app\" could not be found"),
        (json!({"errors": ["no such password: opensesame"]}), ""),
        (json!({"errors": []}), ""),
    ] {
        let peer = Peer::start(move |_| Answer::json(400, said.clone()));
        let port = peer.port().to_string();
        let (engine, _) = engine_at(&userpass(&port), Context::default());
        let error = get(&engine, REFERENCE).await.unwrap_err();
        let message = format!(
            "Unauthenticated: vault `hcv`: the login at `auth/userpass/login/ann` was refused{told} -- "
        );
        assert!(error.starts_with(&message), "{error}");
    }
}

#[tokio::test]
async fn a_read_that_is_refused_does_not_repeat_the_token() {
    let peer =
        Peer::start(|request| Answer::json(400, json!({"errors": [format!("bad {:?}", request.headers)]})));
    let error = at(peer.port()).await.unwrap_err();
    assert_eq!(
        error,
        "InvalidReference: vault `hcv`: secret `hello` in `secret`: the server refuses the path"
    );
}

#[tokio::test]
async fn no_part_of_a_long_credential_comes_back_in_a_message() {
    let peer = Peer::start(|request| Answer::json(403, json!({"errors": [request.json()["jwt"]]})));
    let (port, folder) = (peer.port().to_string(), tempfile::tempdir().unwrap());
    let jwt: String = (0..2000).map(|n| char::from(b'A' + (n * n % 26) as u8)).collect();
    let file = folder.path().join("token");
    std::fs::write(&file, &jwt).unwrap();
    let options = [
        ("port", port.as_str()),
        ("auth_method", "kubernetes"),
        ("kube_role", "app"),
        ("kube_api_token_file", file.to_str().unwrap()),
    ];
    let (engine, _) = engine_at(&options, Context::default());
    let error = get(&engine, REFERENCE).await.unwrap_err();
    assert!(
        error.starts_with(
            "Unauthenticated: vault `hcv`: the login at `auth/kubernetes/login` was refused -- "
        )
    );
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let peer = Peer::start(|_| Answer::hang());
    let port = peer.port().to_string();
    let options = [("port", port.as_str()), ("token", "x"), ("request_timeout", "0.2")];
    let (engine, _) = engine_at(&options, Context::default());
    let error = get(&engine, REFERENCE).await.unwrap_err();
    let expected = format!(
        "Timeout: vault `hcv`: no answer from `127.0.0.1:{port}` within 0.2 s -- the server is there but does not \
         answer; `request_timeout` says how long to wait"
    );
    assert_eq!(error, expected);
    assert_eq!(peer.requests().len(), 1);
}
