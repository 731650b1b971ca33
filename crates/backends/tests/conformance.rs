//! Runs the scenarios in `conformance/<backend>.toml`: what a store holds, a reference, and what comes out.
//!
//! A scenario has a `name`, and
//! - `given`: variable or file name → content. A content is a text, `{ bytes = [..] }`, or
//!   `{ repeat = "x", times = 3 }`;
//! - `options`: those of the vault; what the runner knows better (the directory of `fs`) is added;
//! - `reference`: `VAULT` in it stands for the vault's name;
//! - `expect`, a content; or `error`, a kind, with any of `message` (how the message ends), `hint` (the whole
//!   hint) and `mentions` (texts that message or hint hold). `STORE` in them stands for where the store is.
//!
//! No error may hold anything of four bytes or more that was `given`.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its store has failed")]

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use vaultref_backends::REGISTRY;
use vaultref_core::schema::{OptionValues, RawValue};
use vaultref_core::{Context, Definition, Error, ErrorKind, Reference, Version};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    scenario: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    given: BTreeMap<String, Content>,
    #[serde(default)]
    options: BTreeMap<String, toml::Value>,
    reference: String,
    expect: Option<Content>,
    error: Option<String>,
    message: Option<String>,
    hint: Option<String>,
    #[serde(default)]
    mentions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Content {
    Text(String),
    Bytes { bytes: Vec<u8> },
    Repeat { repeat: String, times: usize },
}

impl Content {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes { bytes } => bytes.clone(),
            Self::Repeat { repeat, times } => repeat.repeat(*times).into_bytes(),
        }
    }
}

fn path(definition: &Definition) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    folder.join(format!("{}.toml", definition.name))
}

fn scenarios(definition: &Definition) -> Vec<Scenario> {
    let path = path(definition);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.scenario
}

#[test]
fn every_backend_has_scenarios_that_say_what_they_expect() {
    for definition in REGISTRY {
        let scenarios = scenarios(definition);
        assert!(!scenarios.is_empty(), "{}", definition.name);
        let mut names = HashSet::new();
        for scenario in &scenarios {
            let name = format!("{}: {}", definition.name, scenario.name);
            assert!(names.insert(&scenario.name), "{name}: is there twice");
            assert!(
                scenario.expect.is_some() != scenario.error.is_some(),
                "{name}: wants `expect` or `error`"
            );
            let details =
                scenario.message.is_some() || scenario.hint.is_some() || !scenario.mentions.is_empty();
            assert!(scenario.error.is_some() || !details, "{name}: details without `error`");
            if let Some(error) = &scenario.error {
                assert!(ErrorKind::ALL.iter().any(|kind| kind.name() == error), "{name}: no kind is {error}");
            }
            assert!(Reference::parse(&scenario.reference).is_ok(), "{name}: {}", scenario.reference);
        }
    }
}

#[tokio::test]
async fn every_backend_keeps_its_promises() {
    for definition in REGISTRY {
        for scenario in scenarios(definition) {
            let reference = Reference::parse(&scenario.reference).unwrap();
            if is_for_the_engine(&scenario, &reference) {
                continue;
            }
            let store = Store::new(definition, &scenario);
            let result = store.fetch(definition, &scenario, &reference).await;
            check(definition, &scenario, &store.place, result);
        }
    }
}

/// Keys, base64 and the refusal of a text version are not the backend's; an error that it gives before a key
/// matters is.
fn is_for_the_engine(scenario: &Scenario, reference: &Reference) -> bool {
    let decodes = reference.options().into_iter().flatten().any(|(name, _)| name == "base64_decode");
    let selects = reference.key().is_some() && scenario.message.is_none();
    selects || decodes || matches!(reference.version(), Some(Version::Text(_)))
}

/// What a vault reads from: an environment, or a directory.
struct Store {
    context: Context,
    options: OptionValues,
    place: String,
    _directory: Option<tempfile::TempDir>,
}

impl Store {
    fn new(definition: &Definition, scenario: &Scenario) -> Self {
        let given = scenario.given.iter().map(|(name, content)| (name.as_str(), content.bytes()));
        match definition.name {
            "env" => {
                let context = Context { environment: Arc::new(given.collect()) };
                Self { context, options: OptionValues::new(), place: String::new(), _directory: None }
            }
            "fs" => {
                let directory = tempfile::tempdir().unwrap();
                for (name, content) in given {
                    let file = directory.path().join(name);
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(file, content).unwrap();
                }
                let place = directory.path().to_str().unwrap().to_owned();
                let options = [("prefix", vaultref_core::schema::OptionValue::Text(place.clone()))].into();
                Self { context: Context::default(), options, place, _directory: Some(directory) }
            }
            other => panic!("nobody has said how to set up a store for `{other}`"),
        }
    }

    async fn fetch(
        &self,
        definition: &Definition,
        scenario: &Scenario,
        reference: &Reference,
    ) -> Result<Vec<u8>, Error> {
        let defaults =
            definition.specs().filter_map(|spec| Some((spec.name, RawValue::Text(spec.default?.into()))));
        let vault = scenario.options.iter().map(|(name, value)| (name.as_str(), raw(value)));
        let query =
            reference.options().into_iter().flatten().map(|(name, value)| (name.as_str(), value.into()));
        let mut values = self.options.clone();
        for (name, value) in defaults.chain(vault).chain(query) {
            let spec = definition.spec(name).unwrap_or_else(|| panic!("{}: no option {name}", scenario.name));
            let value = spec.read(&value).unwrap_or_else(|error| panic!("{}: {name} {error}", scenario.name));
            values.extend(value.map(|value| (spec.name, value)));
        }
        let vault = (definition.open)(&values, &self.context)?;
        let payload = vault.fetch(reference.resource(), reference.version()).await?;
        Ok(payload.secret().expose().to_owned())
    }
}

fn raw(value: &toml::Value) -> RawValue {
    match value {
        toml::Value::Boolean(value) => RawValue::Boolean(*value),
        toml::Value::String(text) => RawValue::Text(text.clone()),
        other => RawValue::Text(other.to_string()),
    }
}

fn check(definition: &Definition, scenario: &Scenario, place: &str, result: Result<Vec<u8>, Error>) {
    let name = format!("{}: {}", definition.name, scenario.name);
    let error = match (result, &scenario.expect) {
        (Ok(value), Some(expected)) => return assert!(value == expected.bytes(), "{name}: another value"),
        (Ok(_), None) => panic!("{name}: a value instead of an error"),
        (Err(error), Some(_)) => panic!("{name}: {error:?}"),
        (Err(error), None) => error,
    };
    let (message, hint) = (error.message(), error.hint().unwrap_or_default());
    let all = format!("{message}\n{hint}");
    assert_eq!(Some(error.kind().name()), scenario.error.as_deref(), "{name}: {all}");
    if let Some(expected) = &scenario.message {
        assert!(message.ends_with(&expected.replace("STORE", place)), "{name}: {message}");
    }
    if let Some(expected) = &scenario.hint {
        assert_eq!(hint, expected.replace("STORE", place), "{name}");
    }
    for text in &scenario.mentions {
        assert!(all.contains(text.as_str()), "{name}: {all}");
    }
    for content in scenario.given.values().map(Content::bytes).filter(|content| content.len() >= 4) {
        assert!(!all.as_bytes().windows(content.len()).any(|part| part == content), "{name}: shows a secret");
    }
}
