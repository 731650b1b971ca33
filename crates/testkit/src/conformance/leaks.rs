//! Finds parts of secrets where none may be.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tracing::Level;
use tracing::subscriber::DefaultGuard;
use vaultref::Definition;
use vaultref::schema::OptionKind;

use super::{Content, Scenario, Store};

/// A run of so many bytes that a secret and a text have in common is no accident.
const PART_BYTES: usize = 6;
/// Shorter secrets are not looked for: they occur in any text.
const SECRET_BYTES_MIN: usize = 4;
/// Of a longer content, what follows is not looked for.
const CONTENT_BYTES_MAX: usize = 4096;

/// What must not be shown.
pub(super) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// All that the store of a scenario holds, and the options that are secret. Of JSON, the values: the names of
    /// members may be told.
    pub(super) fn of(definition: &Definition, scenario: &Scenario, store: &Store) -> Self {
        let is_secret =
            |name: &str| definition.spec(name).is_some_and(|spec| spec.kind == OptionKind::Secret);
        let options = store.options_with(scenario).filter(|(name, _)| is_secret(name));
        let options = options.map(|(_, text)| text.into_bytes());
        let contents = scenario.contents().flat_map(|(_, contents)| contents).map(Content::bytes);
        Self(contents.chain(options).flat_map(|content| values(&content)).collect())
    }

    /// Says that a text holds a part of a secret, without saying which.
    pub(super) fn look_for(&self, text: &str, what: &str) -> Result<(), String> {
        match self.0.iter().any(|secret| holds(text.as_bytes(), secret)) {
            true => Err(format!("{what} shows a part of a secret")),
            false => Ok(()),
        }
    }
}

fn values(content: &[u8]) -> Vec<Vec<u8>> {
    match serde_json::from_slice(content) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => leaves(&value),
        _ => vec![content.to_owned()],
    }
}

fn leaves(value: &Value) -> Vec<Vec<u8>> {
    match value {
        Value::Object(members) => members.values().flat_map(leaves).collect(),
        Value::Array(items) => items.iter().flat_map(leaves).collect(),
        Value::String(text) => vec![text.clone().into_bytes()],
        Value::Number(number) => vec![number.to_string().into_bytes()],
        Value::Bool(_) | Value::Null => Vec::new(),
    }
}

fn holds(text: &[u8], secret: &[u8]) -> bool {
    let secret = &secret[..secret.len().min(CONTENT_BYTES_MAX)];
    let part = secret.len().min(PART_BYTES);
    if part < SECRET_BYTES_MIN {
        return false;
    }
    let shown: HashSet<&[u8]> = text.windows(part).collect();
    secret.windows(part).any(|part| shown.contains(part))
}

/// What is logged on this thread, at any level, until it is taken.
pub(super) struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(super) fn start() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_writer(move || writer.clone())
            .without_time()
            .finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub(super) fn take(self) -> String {
        let lines = self.lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vaultref::schema::OptionSpec;

    use super::*;

    #[test]
    fn a_part_of_a_secret_is_found_and_a_members_name_is_none() {
        for (text, content, expected) in [
            ("got opensesame", "opensesame", true),
            ("got nsesam…", "opensesame", true),
            ("got opens", "opensesame", false),
            ("got 1234", "1234", true),
            ("got 123", "123", false),
            ("it has: password", r#"{"password":"opensesame"}"#, false),
            ("it has: opensesame", r#"{"a":{"password":["opensesame"]}}"#, true),
            ("it has: 54321", r#"{"port":54321}"#, true),
        ] {
            let secrets = Secrets(values(content.as_bytes()));
            assert_eq!(secrets.look_for(text, "it").is_err(), expected, "{text} {content}");
        }
    }

    #[test]
    fn all_versions_and_the_secret_options_of_the_set_up_are_secrets() {
        let definition = Definition {
            name: "test",
            about: "for tests",
            options: &[
                OptionSpec { name: "token", kind: OptionKind::Secret, ..OptionSpec::BLANK },
                OptionSpec { name: "host", ..OptionSpec::BLANK },
            ],
            versions: vaultref_core::Versions::All,
            ambient: None,
            open: |_, _| panic!("nothing is opened to know what is secret"),
        };
        let file = "[[scenario]]\nname = 'a'\nreference = '{vault://VAULT/x}'\nexpect = ''\n\
                    given = { a = 'opensesame' }\nversions = { b = ['oldsesame', 'newsesame'] }";
        let scenario = &super::super::scenario::parse(file).expect("the scenario is whole").scenarios[0];
        let options = vec![("token", "s.1234567".to_owned()), ("host", "127.0.0.1".to_owned())];
        let store = Store { options, ..Store::default() };
        let secrets = Secrets::of(&definition, scenario, &store);
        for (text, expected) in [
            ("opensesame", true),
            ("oldsesame", true),
            ("newsesame", true),
            ("s.1234567", true),
            ("127.0.0.1", false),
        ] {
            assert_eq!(secrets.look_for(text, "it").is_err(), expected, "{text}");
        }
    }

    #[test]
    fn a_log_has_all_that_was_said_on_this_thread() {
        let log = Log::start();
        tracing::trace!(resource = "db", "fetching");
        let lines = log.take();
        assert!(lines.contains("fetching") && lines.contains("resource=\"db\""), "{lines}");
    }
}
