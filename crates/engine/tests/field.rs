//! A program's own configuration with secrets in its fields.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;

use serde::Deserialize;
use vaultref::{Engine, SecretText, Unresolved};
use vaultref_backends::REGISTRY;

use common::{builder, got, told};

fn engine() -> Engine {
    let environment = [("USER", "app"), ("PW", "opensesame"), ("DB", r#"{"user":"root"}"#)];
    builder(REGISTRY, &environment, "", "").build().unwrap()
}

fn text(field: &SecretText) -> &str {
    field.expose_str().unwrap()
}

#[derive(Debug, Deserialize)]
struct Config {
    name: String,
    password: SecretText,
    #[serde(default)]
    url: Option<SecretText>,
    #[serde(default)]
    hosts: Vec<Host>,
    #[serde(default)]
    headers: BTreeMap<String, SecretText>,
    #[serde(default)]
    logins: Vec<Login>,
}

#[derive(Debug, Deserialize)]
struct Host {
    login: Login,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Login {
    Named { user: SecretText, password: SecretText },
    Both { user: SecretText, token: SecretText },
    Bare(SecretText),
}

const CONFIG: &str = r#"
name = "{vault://env/pw}"
password = "{vault://env/pw}"
url = "postgres://{vault://env/user}:{vault://env/pw}@db/app"
logins = ["{vault://env/user}", { user = "{vault://env/db/user}", token = "plain" }]

[[hosts]]
login = { user = "literal", password = "{vault://env/pw}" }

[headers]
authorization = "Bearer {vault://env/pw}"
template = "{{vault://env/pw}}"
"#;

#[tokio::test]
async fn fields_are_resolved_wherever_they_are() {
    let unresolved: Unresolved<Config> = toml::from_str(CONFIG).unwrap();
    let config = unresolved.resolve(&engine()).await.unwrap();
    assert_eq!(text(&config.password), "opensesame");
    assert_eq!(text(config.url.as_ref().unwrap()), "postgres://app:opensesame@db/app");
    assert_eq!(text(&config.headers["authorization"]), "Bearer opensesame");
    assert_eq!(text(&config.headers["template"]), "{vault://env/pw}");
    let Login::Named { user, password } = &config.hosts[0].login else { panic!("{config:?}") };
    assert_eq!((text(user), text(password)), ("literal", "opensesame"));
    let [Login::Bare(bare), Login::Both { user, token }] = &config.logins[..] else { panic!("{config:?}") };
    assert_eq!((text(bare), text(user), text(token)), ("app", "root", "plain"));
    // A field of another type is nobody's business.
    assert_eq!(config.name, "{vault://env/pw}");
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("opensesame") && !shown.contains("literal") && shown.contains("[secret]"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_field_of_any_format_gets_what_a_get_gives() {
    let engine = engine();
    let from_json =
        serde_json::from_str::<Unresolved<Vec<SecretText>>>(r#"["\u007bvault://env/pw}"]"#).unwrap();
    let from_yaml = serde_saphyr::from_str::<Unresolved<Vec<SecretText>>>("- '{vault://env/pw}'").unwrap();
    for unresolved in [from_json, from_yaml] {
        let fields = unresolved.resolve(&engine).await.unwrap();
        assert_eq!(Ok(text(&fields[0]).to_owned()), got(&engine, "{vault://env/pw}").await);
    }
}

#[test]
fn a_literal_is_there_without_an_engine() {
    let config: Config = toml::from_str("name = 'a'\npassword = 'literal'\nlogins = ['x']").unwrap();
    assert_eq!(text(&config.password), "literal");
    assert_eq!(text(&config.password.clone()), "literal");
}

#[test]
fn a_reference_outside_of_unresolved_is_an_error() {
    for value in ["{vault://env/pw}", "a {{vault://env/pw}}", "{vault://env/pw"] {
        let json = format!(r#"{{"name": "a", "password": "{value}"}}"#);
        let error = serde_json::from_str::<Config>(&json).unwrap_err().to_string();
        let expected = "a value with references has to be read as part of `Unresolved<…>`";
        assert!(error.starts_with(expected) && !error.contains("vault://"), "{error}");
    }
}

#[test]
fn a_configuration_that_could_not_be_read_leaves_nothing_behind() {
    for text in ["password = '{vault://env/pw}'", "name = 1\npassword = '{vault://env/pw}'"] {
        assert!(toml::from_str::<Unresolved<Config>>(text).is_err());
        assert!(toml::from_str::<Config>("name = 'a'\npassword = '{vault://env/pw}'").is_err());
    }
}

#[tokio::test]
async fn all_failures_are_reported() {
    let unresolved: Unresolved<Config> = toml::from_str(
        "name = 'a'\npassword = '{vault://env/gone}'\nurl = 'x{vault://env/lost}:{vault://nowhere/a}'\n\
         [headers]\na = '{vault://env/pw}'\nb = '{vault://env'\nc = '{vault://env/db/password}'",
    )
    .unwrap();
    let failures = unresolved.resolve(&engine()).await.err().unwrap();
    let seen: Vec<_> = failures.iter().map(|f| (f.range.clone(), told(&f.error))).collect();
    let seen: Vec<_> = seen.iter().map(|(range, told)| (range.clone(), told.as_str())).collect();
    assert_eq!(
        seen,
        [
            // In the order in which the fields were read: `toml` goes by the alphabet.
            (0..12, "InvalidReference: reference is not closed"),
            (0..25, "KeyNotFound: the payload has no member `password`"),
            (0..18, "NotFound: vault `env`: variable `GONE` is not set"),
            (1..19, "NotFound: vault `env`: variable `LOST` is not set"),
            (20..39, "InvalidReference: there is no vault `nowhere`"),
        ]
    );
}

#[tokio::test]
async fn what_an_untagged_enum_tried_and_dropped_is_not_asked_for() {
    // As `Named`, it is read up to the missing `password`; then once more as `Both`.
    let text =
        "name = 'a'\npassword = 'b'\nlogins = [{ user = '{vault://env/gone}', token = '{vault://env/pw}' }]";
    let unresolved: Unresolved<Config> = toml::from_str(text).unwrap();
    let references: Vec<String> = unresolved.references().iter().map(ToString::to_string).collect();
    assert_eq!(references, ["{vault://env/pw}", "{vault://env/gone}"]);
    let failures = unresolved.resolve(&engine()).await.err().unwrap();
    assert_eq!(failures.len(), 1);
}
