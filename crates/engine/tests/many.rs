//! Many references at once: one fetch per resource, and all failures in their order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;
#[path = "common/store.rs"]
mod store;

use vaultref::{ErrorKind, Reference};

use common::{got, told};
use store::Store;

fn references(texts: &[&str]) -> Vec<Reference> {
    texts.iter().map(|text| Reference::parse(text).unwrap()).collect()
}

#[tokio::test]
async fn results_come_in_order_each_with_its_own_failure() {
    let (store, builder) = Store::new("order", "");
    let engine = builder.build().unwrap();
    store.answers("db", Ok(r#"{"user":"app","password":"opensesame"}"#));
    store.answers("text", Ok("plain"));
    store.answers("down", Err(ErrorKind::Unavailable));
    let rows = [
        ("{vault://store/db/password}", Ok("opensesame")),
        ("{vault://store/gone}", Err("NotFound: vault `store`: refused")),
        ("{vault://store/text}", Ok("plain")),
        ("{vault://store/down}", Err("Unavailable: vault `store`: refused")),
        ("{vault://stroe/db}", Err("InvalidReference: there is no vault `stroe`")),
        ("{vault://store/db/port}", Err("KeyNotFound: the payload has no member `port`")),
        ("{vault://store/db/user}", Ok("app")),
        ("{vault://store/text/key}", Err("Corrupt: the payload is not JSON (at byte 0)")),
        (
            "{vault://store/text?ttl=-1}",
            Err("InvalidReference: option `ttl` of vault `store` wants a number between 0 and 100000000"),
        ),
        ("{vault://store/gone/key}", Err("NotFound: vault `store`: refused")),
    ];
    let references = references(&rows.map(|(text, _)| text));
    let results = engine.resolve_many(&references).await;
    assert_eq!(results.len(), rows.len());
    for ((text, expected), result) in rows.into_iter().zip(&results) {
        let seen = result.as_ref().map(|secret| secret.expose_str().unwrap().to_owned()).map_err(told);
        assert_eq!(seen, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        assert_eq!(result.as_ref().err().and_then(|error| error.reference()), expected.err().map(|_| text));
    }
}

#[tokio::test]
async fn one_resource_and_version_costs_one_fetch_however_many_keys_are_read() {
    let (store, builder) = Store::new("one-fetch", "");
    let engine = builder.build().unwrap();
    store.answers("db", Ok(r#"{"user":"app","password":"opensesame"}"#));
    let texts = [
        "{vault://store/db}",
        "{vault://store/db/user}",
        "{vault://store/db/password}",
        "{vault://store/db/user?base64_decode=false}",
        "{vault://store/db/missing}",
        "{vault://store/db#2}",
        "{vault://store/db/user#2}",
        "{vault://store/db#latest}",
        "{vault://store/gone/a}",
        "{vault://store/gone/b}",
    ];
    let references: Vec<_> = (0..100).flat_map(|_| references(&texts)).collect();
    engine.resolve_many(&references).await;
    let mut fetched = store.fetched();
    fetched.sort_unstable();
    assert_eq!(fetched, ["db", "db#2", "db#latest", "gone"]);

    // What was found is there now; what was not is asked for again.
    engine.resolve_many(&references).await;
    assert_eq!(store.fetched(), ["gone"]);
    assert_eq!(got(&engine, "{vault://store/db/user}").await.as_deref(), Ok("app"));
    assert_eq!(store.fetched(), [""; 0]);
}

#[tokio::test]
async fn fetches_run_at_once_up_to_a_limit() {
    let (store, builder) = Store::new("limit", "");
    let engine = builder.build().unwrap();
    let texts: Vec<String> = (0..1000).map(|number| format!("{{vault://store/{number}}}")).collect();
    let references = references(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(engine.resolve_many(&references).await.len(), 1000);
    assert_eq!((store.fetched().len(), store.at_once()), (1000, 256));
    let texts: Vec<String> = texts.iter().map(|text| format!("{text}{}", text.replace('}', "#2}"))).collect();
    assert_eq!(engine.render_many(texts.iter().map(String::as_bytes)).await.len(), 1000);
    assert_eq!((store.fetched().len(), store.at_once()), (2000, 256));
}

#[tokio::test]
async fn a_text_reports_all_its_failures_with_their_places() {
    let (store, builder) = Store::new("text", "");
    let engine = builder.build().unwrap();
    store.answers("a", Ok("1"));
    let text = "{vault://store/a} {vault://store/x}, {{vault://store/a}} {vault://none/x}{vault://store/a/k}";
    let failures = engine.render(text.as_bytes()).await.unwrap_err();
    let seen: Vec<_> = failures.iter().map(|f| (&text[f.range.clone()], f.error.kind())).collect();
    assert_eq!(
        seen,
        [
            ("{vault://store/x}", ErrorKind::NotFound),
            ("{vault://none/x}", ErrorKind::InvalidReference),
            ("{vault://store/a/k}", ErrorKind::Corrupt),
        ]
    );
    let rendered =
        engine.render_many([&b"<{vault://store/a}>"[..], b"{{vault://store/a}}", b"{vault://store}"]).await;
    let shown: Vec<_> = rendered
        .iter()
        .map(|result| match result {
            Ok(secret) => secret.expose_str().unwrap().to_owned(),
            Err(failures) => told(&failures[0].error),
        })
        .collect();
    assert_eq!(shown, ["<1>", "{vault://store/a}", "InvalidReference: reference url is missing path"]);
}

#[tokio::test]
async fn vaults_with_different_options_are_kept_apart_whatever_bytes_these_hold() {
    let (store, builder) = Store::new("apart", "");
    let engine = builder.build().unwrap();
    store.answers("a", Ok("1"));
    for reference in ["{vault://store/a}", "{vault://store/a?realm=r}", "{vault://store/a?realm=s}"] {
        assert_eq!(got(&engine, reference).await.as_deref(), Ok("1"));
    }
    assert_eq!(store.fetched().len(), 3);
    // As the options `name` and `realm` would be if they were told apart by what stands between them.
    for reference in ["{vault://store/a?name=apart%00realm=tr}", "{vault://store/a?name=apart%00realm=1:r}"] {
        let refused = "InvalidConfig: vault `store`: there is no such store";
        assert_eq!(got(&engine, reference).await.unwrap_err(), refused);
    }
}
