//! The Debug output of what a user of the library holds in hand.

use std::sync::Arc;

use vaultref::render::{Document, Format};
use vaultref::schema::OptionValue;
use vaultref::{
    Context, Engine, Environment, Error, ErrorKind, Failure, Payload, QueryValue, Reference, Secret,
    SecretText, Settings, StreamError, Template, dotenv, scan,
};

use crate::canary::{CANARY, Search};

#[test]
fn no_debug_output_shows_a_secret() {
    let search = Search::new();
    let secret = || Secret::new(CANARY);
    let environment: Arc<Environment> = Arc::new([("CANARY", CANARY)].into_iter().collect());
    let reference = Reference::parse(&format!("{{vault://env/x?token={CANARY}&token=a}}")).unwrap();
    let text = format!("{CANARY} {{vault://env/x?a={CANARY}}} {{{{vault://{CANARY}}}}}");
    let error = Error::new(ErrorKind::Corrupt, "no").with_reference(reference.redacted(|_| false));
    let failure = Failure { range: 0..1, error: error.clone() };
    let yaml = format!("a: '{text}'\nb: {CANARY}\n");
    let entries = format!("A='{text}'\nB={CANARY}\n");
    let literal: SecretText = serde_json::from_value(CANARY.into()).unwrap();

    let shown: Vec<(&str, String)> = vec![
        ("Secret", format!("{:?}", secret())),
        ("Payload", format!("{:?}", Payload::new(CANARY))),
        ("OptionValue", format!("{:?} {}", OptionValue::Secret(secret()), OptionValue::Secret(secret()))),
        ("Environment", format!("{environment:?}")),
        ("Context", format!("{:?}", Context::new(Arc::clone(&environment)))),
        ("Reference", format!("{reference:?}")),
        ("QueryValue", format!("{:?}", QueryValue::List(vec![QueryValue::Text(CANARY.to_owned())]))),
        ("Error", format!("{error:?} {error}")),
        ("Failure", format!("{failure:?}")),
        ("StreamError", format!("{:?}", StreamError::Failures(vec![failure]))),
        ("Template", format!("{:?}", Template::parse(text.as_bytes()).unwrap())),
        ("Template's failures", format!("{:?}", Template::parse(format!("{{vault://env/{text}").as_bytes()))),
        ("Scan", format!("{:?}", scan::scan(text.as_bytes()))),
        ("Document", format!("{:?}", Document::parse(Format::Yaml, yaml.as_bytes()).unwrap())),
        ("Malformed", format!("{:?}", Document::parse(Format::Json, text.as_bytes()).unwrap_err())),
        ("dotenv entries", format!("{:?}", dotenv::parse(entries.as_bytes()).unwrap())),
        ("SecretText", format!("{literal:?}")),
    ];
    for (name, shown) in shown {
        assert!(!shown.is_empty() && !search.finds_in(shown.as_bytes()), "{name}: {shown}");
    }
}

#[test]
fn no_failure_of_the_engine_shows_a_secret() {
    let search = Search::new();
    let json = format!(r#"{{"a": "{CANARY}", "n": null}}"#);
    let environment: Environment = [("CANARY", CANARY), ("JSON", &json)].into_iter().collect();
    let context = Context::new(environment);
    let settings =
        Settings::load(None, &Environment::default(), &[("vault_fs_prefix", CANARY.to_owned())]).unwrap();
    let engine =
        Engine::builder(vaultref_backends::REGISTRY).settings(settings).context(context).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for text in [
        "{vault://env/canary/key}",
        "{vault://env/canary?base64_decode=true}",
        "{vault://env/json/b}",
        "{vault://env/json/n}",
        "{vault://env/json/a.b}",
        "{vault://env/canary} {vault://env/nope}",
    ] {
        let failures = runtime.block_on(engine.render(text.as_bytes())).unwrap_err();
        for failure in failures {
            let error = &failure.error;
            let shown = format!("{failure:?} {error} {:?} {:?}", error.hint(), error.reference());
            assert!(!search.finds_in(shown.as_bytes()), "{text}: {shown}");
        }
    }
}
