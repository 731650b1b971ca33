//! What was observed on Kong holds here: each row that is marked `same` or `extends`, and for those marked `exempt`
//! what the row's `why` says instead. The rows are in the testkit's `vectors` folder.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vaultref::schema::OptionValue;
use vaultref::{
    Context, Engine, Environment, Error, ErrorKind, Failure, QueryValue, Reference, Settings, SettingsFile,
    Version,
};
use vaultref_backends::REGISTRY;
use vaultref_testkit::vectors::{self, ConfRow, EnvGetRow, Here, ParseRow, ParsedOption};

/// Runs one check per row and reports all rows that fail.
fn check_all<R>(rows: Vec<R>, name: impl Fn(&R) -> String, check: impl Fn(&R) -> Result<(), String>) {
    let total = rows.len();
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| check(row).err().map(|why| format!("{}\n    {why}", name(row))))
        .collect();
    assert!(failures.is_empty(), "{} of {total} rows fail:\n{}", failures.len(), failures.join("\n"));
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, seen: T, expected: T) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err(format!("{what}: {seen:?}, expected {expected:?}")) }
}

#[test]
fn references_are_parsed_as_kong_parses_them() {
    check_all(vectors::parse(), |row| row.input.clone(), check_parse);
}

fn check_parse(row: &ParseRow) -> Result<(), String> {
    let parsed = Reference::parse(&row.input);
    match (row.here, &row.expect) {
        // "a reference ends at its first closing brace"
        (Here::Exempt, _) if row.input.matches('}').count() > 1 => {
            equal("error", parsed.unwrap_err().to_string().as_str(), "not a reference")
        }
        // "exotic number spellings are text versions here", and all that Kong refuses as a version
        (Here::Exempt | Here::Extends, _) => {
            let text = row.input.split_once('#').map(|(_, rest)| rest.trim_end_matches('}').to_owned());
            equal("version", parsed.map_err(|e| e.to_string())?.version().cloned(), text.map(Version::Text))
        }
        (Here::Same, None) => {
            let class = row.error_class.as_deref().ok_or("a row without expectation")?;
            equal("error", parsed.err().map(|error| error.to_string()).as_deref(), Some(class))
        }
        (Here::Same, Some(expect)) => {
            let reference = parsed.map_err(|error| error.to_string())?;
            equal("vault", reference.vault(), &expect.name)?;
            equal("resource", reference.resource().as_str(), &expect.resource)?;
            equal("key", reference.key(), expect.key.as_deref())?;
            let version = expect.version.as_ref().map(|number| Version::parse(&number.to_string()).unwrap());
            equal("version", reference.version(), version.as_ref())?;
            let options = reference.options().map(|options| {
                options
                    .iter()
                    .map(|(name, value)| (name.clone(), query_json(value)))
                    .collect::<BTreeMap<_, _>>()
            });
            let expected = expect.config.as_ref().map(|config| {
                config
                    .iter()
                    .map(|(name, value)| (name.clone(), option_json(value)))
                    .collect::<BTreeMap<_, _>>()
            });
            equal("options", options, expected)
        }
    }
}

fn query_json(value: &QueryValue) -> Value {
    match value {
        QueryValue::Flag => json!(true),
        QueryValue::Text(text) => json!(text),
        QueryValue::List(values) => values.iter().map(query_json).collect(),
    }
}

fn option_json(value: &ParsedOption) -> Value {
    match value {
        ParsedOption::Flag(flag) => json!(flag),
        ParsedOption::Text(text) => json!(text),
        ParsedOption::List(values) => values.iter().map(option_json).collect(),
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn engine(environment: Environment, settings: Settings) -> Engine {
    let context = Context::new(environment);
    Engine::builder(REGISTRY).settings(settings).context(context).build().unwrap()
}

#[test]
fn the_env_vault_gives_what_kong_gives() {
    check_all(vectors::env_get(), |row| row.name.clone(), check_env_get);
}

fn check_env_get(row: &EnvGetRow) -> Result<(), String> {
    let file: String = row.conf.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let environment = Environment::from_iter(row.env.clone());
    let settings =
        Settings::load(Some(SettingsFile { name: "kong.conf", text: &file }), &environment, &[]).unwrap();
    let engine = engine(environment, settings);
    let result = Reference::parse(&row.reference)
        .map_err(Error::from)
        .and_then(|reference| block_on(engine.resolve(&reference)));
    let value = result.as_ref().ok().map(|secret| secret.expose_str().unwrap().to_owned());
    match (row.here, row.why.as_deref()) {
        (Here::Exempt, Some("objects and arrays become compact JSON here")) => {
            equal("value", value.as_deref(), Some("[\"a\"]"))
        }
        (
            Here::Exempt,
            Some("an invalid override is an error here" | "exotic number spellings are text versions here"),
        ) => equal("kind", result.err().map(|error| error.kind()), Some(ErrorKind::InvalidReference)),
        (Here::Exempt, why) => Err(format!("nothing is said about {why:?}")),
        _ => equal("value", value, row.value.clone()),
    }
}

#[test]
fn settings_are_read_as_kong_reads_them() {
    check_all(vectors::conf(), |row| row.name.clone(), check_conf);
}

/// The outcome of loading a row's settings and resolving those that the row names.
fn load(row: &ConfRow, keys: &[&str]) -> Result<BTreeMap<String, Value>, Vec<Failure>> {
    let environment = Environment::from_iter(row.env.clone());
    let settings =
        Settings::load(Some(SettingsFile { name: "kong.conf", text: &row.file }), &environment, &[])?;
    let engine = engine(environment, settings);
    let mut values = BTreeMap::new();
    for key in keys {
        let value = match *key {
            "loaded_vaults" => {
                let loaded = engine.settings().loaded_vaults(["env"]);
                Some(
                    loaded
                        .into_iter()
                        .map(|name| (name, json!(true)))
                        .collect::<serde_json::Map<_, _>>()
                        .into(),
                )
            }
            key => block_on(engine.setting(key))?.map(|value| match value {
                OptionValue::Text(text) => json!(text),
                OptionValue::Secret(secret) => json!(secret.expose_str().unwrap()),
                OptionValue::Integer(number) => json!(number),
                OptionValue::Number(number) => json!(number),
                OptionValue::Boolean(value) => json!(value),
                OptionValue::List(items) => json!(items),
            }),
        };
        values.insert((*key).to_owned(), value.unwrap_or(Value::Null));
    }
    Ok(values)
}

fn check_conf(row: &ConfRow) -> Result<(), String> {
    let file_keys = row.file.lines().filter_map(|line| Some(line.split_once('=')?.0.trim().to_owned()));
    let env_keys = row.env.keys().filter_map(|name| Some(name.strip_prefix("KONG_")?.to_lowercase()));
    let mut keys: Vec<String> =
        file_keys.chain(env_keys).chain(row.expect.iter().flat_map(|e| e.keys().cloned())).collect();
    keys.retain(|key| !key.starts_with(['#', '$']));
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let loaded = load(row, &keys);
    let expect_value = |key: &str, expected: Value| match &loaded {
        Ok(values) => equal(key, values.get(key).cloned().unwrap_or(Value::Null), expected),
        Err(failures) => Err(format!("{failures:?}")),
    };
    let expect_error = |kind: ErrorKind| {
        let seen = loaded.as_ref().err().map(|failures| failures[0].error.kind());
        equal("kind", seen, Some(kind))
    };
    match (row.here, row.why.as_deref().unwrap_or_default()) {
        (Here::Exempt, why) => match why {
            "a # inside the braces of a reference belongs to the reference" => {
                expect_value("pg_password", json!("prev"))
            }
            "an empty secret is a value here" => expect_value(keys[0], json!("")),
            "sections are an error here"
            | "a line without = is an error here"
            | "key spelling is strict here" => expect_error(ErrorKind::InvalidConfig),
            "an unknown key is reported here" if row.file.contains("PG_PASSWORD") => {
                let file = SettingsFile { name: "kong.conf", text: &row.file };
                let settings = Settings::load(Some(file), &Environment::default(), &[]).unwrap();
                equal(
                    "unknown",
                    settings.unknown().map(|(key, _, meant)| (key, meant)).collect(),
                    vec![("PG_PASSWORD", Some("pg_password"))],
                )
            }
            "an unknown key is reported here" => expect_error(ErrorKind::KeyNotFound),
            "numbers and booleans become text here" => {
                let text = if row.name.contains("boolean") { "true" } else { "1" };
                expect_value("pg_password", json!(text))
            }
            "objects become compact JSON here" => expect_value("pg_password", json!("{\"b\":\"c\"}")),
            "an index selects from an array here" => expect_value("pg_password", json!("y")),
            "values are never rewritten" => {
                let text = row.file.trim().trim_start_matches("pg_password = ");
                expect_value("pg_password", json!(text))
            }
            "resolved values are delivered byte for byte here" => {
                expect_value("pg_password", json!(row.env["TEST_A"]))
            }
            "a reference that cannot be resolved is an error here"
                if row.expect.as_ref().is_some_and(|e| e.contains_key("pg_password")) =>
            {
                expect_value("pg_password", json!("v"))
            }
            "a reference that cannot be resolved is an error here" | "error text differs"
                if loaded.is_err() =>
            {
                Ok(())
            }
            "an invalid override is an error here" | "text version here" => {
                expect_error(ErrorKind::InvalidReference)
            }
            "an invalid vault setting is an error here"
            | "an invalid setting is an error here"
            | "a vault option that needs its own vault is a cycle, an error here" => {
                expect_error(ErrorKind::InvalidConfig)
            }
            "all failures are reported here" => expect_error(ErrorKind::NotFound),
            "no such mode here" => expect_error(ErrorKind::NotFound),
            // A key that means nothing here is kept as unknown, and its value is nowhere.
            "a Kong-only key" => {
                let file = SettingsFile { name: "kong.conf", text: &row.file };
                let settings = Settings::load(Some(file), &Environment::default(), &[]).unwrap();
                let unknown = settings.unknown().any(|(key, ..)| row.file.contains(key));
                equal("reported as unknown", unknown, true)
            }
            "env names are upper-case here" => expect_value("vault_foo_bar", Value::Null),
            why => Err(format!("nothing is said about {why:?}")),
        },
        (_, _) => match (&row.expect, &row.error) {
            (Some(expect), _) => expect.iter().try_for_each(|(key, value)| {
                let value = if *key == "loaded_vaults" && value.as_array().is_some() {
                    json!({})
                } else {
                    value.clone()
                };
                let value = if *key == "vaults" && value == json!({}) { json!([]) } else { value };
                expect_value(key, value)
            }),
            (None, _) => match &loaded {
                Err(_) => Ok(()),
                Ok(values) => Err(format!("no error, but {values:?}")),
            },
        },
    }
}
