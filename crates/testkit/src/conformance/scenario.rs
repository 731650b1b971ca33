//! The format of the scenarios.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use vaultref::{Definition, ErrorKind, Reference, Secret};

use super::Told;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    scenario: Vec<Scenario>,
}

/// One `[[scenario]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The promise, as a sentence; unique in its file.
    pub name: String,
    /// What the store holds: a name, as the store has it, and its content.
    pub given: BTreeMap<String, Content>,
    /// How else the store behaves, in words that only the backend's own set-up knows.
    #[serde(default)]
    pub store: toml::Table,
    /// The options of the vault. What the set-up knows better, such as the store's address, is added.
    #[serde(default)]
    options: BTreeMap<String, toml::Value>,
    /// The reference; `VAULT` in it stands for the vault's name.
    reference: String,
    /// The secret; either this or `error` is there.
    expect: Option<Content>,
    /// The kind of the error.
    error: Option<String>,
    /// The whole message, without the vault's name in front. `STORE` stands for where the store is.
    message: Option<String>,
    /// The whole hint. `STORE` stands for where the store is.
    hint: Option<String>,
    /// Texts that message or hint hold.
    #[serde(default)]
    mentions: Vec<String>,
}

/// What a store holds under a name, or what comes out of it.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Content {
    /// `"text"`
    Text(String),
    /// `{ bytes = [0x6f, 0xff] }`
    Bytes {
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// `{ repeat = "x", times = 3 }`
    Repeat {
        /// What is repeated.
        repeat: String,
        /// How often.
        times: usize,
    },
}

impl Content {
    /// The content itself.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes { bytes } => bytes.clone(),
            Self::Repeat { repeat, times } => repeat.repeat(*times).into_bytes(),
        }
    }
}

/// Reads a file of scenarios. The error says which one contradicts itself.
pub(super) fn parse(definition: &Definition, text: &str) -> Result<Vec<Scenario>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    if file.scenario.is_empty() {
        return Err("there is no scenario".to_owned());
    }
    let mut names = HashSet::new();
    for scenario in &file.scenario {
        let name = scenario.name.as_str();
        if !names.insert(name) {
            return Err(format!("{name}: is there twice"));
        }
        scenario.contradiction(definition).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(file.scenario)
}

impl Scenario {
    fn contradiction(&self, definition: &Definition) -> Result<(), String> {
        if self.expect.is_some() == self.error.is_some() {
            return Err("wants either `expect` or `error`".to_owned());
        }
        let details = self.message.is_some() || self.hint.is_some() || !self.mentions.is_empty();
        if self.error.is_none() && details {
            return Err("has details of an error, and expects none".to_owned());
        }
        if let Some(error) = self.error.as_deref().filter(|e| ErrorKind::ALL.iter().all(|k| k.name() != *e)) {
            return Err(format!("no kind of error is called `{error}`"));
        }
        if !self.reference.starts_with("{vault://VAULT/") || Reference::parse(&self.reference).is_err() {
            return Err(format!("`{}` is not a reference to `VAULT`", self.reference));
        }
        for (name, value) in &self.options {
            if definition.spec(name).is_none() {
                return Err(format!("backend `{}` has no option `{name}`", definition.name));
            }
            if value.is_array() || value.is_table() || value.is_datetime() {
                return Err(format!("option `{name}` wants a text, a number or a boolean"));
            }
        }
        Ok(())
    }

    /// The reference to a vault of this name.
    pub(super) fn reference(&self, vault: &str) -> Reference {
        let text = self.reference.replacen("VAULT", vault, 1);
        Reference::parse(&text)
            .expect("it was parsed when it was read, and a vault's name does not change that")
    }

    /// The options as they are written in settings.
    pub(super) fn options(&self) -> impl Iterator<Item = (String, String)> {
        self.options.iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (name.clone(), text)
        })
    }

    /// Says how a result is not what is expected.
    pub(super) fn check(&self, result: &Result<Secret, Told>) -> Result<(), String> {
        let told = match (result, &self.expect) {
            (Ok(secret), Some(expected)) if secret.expose() == expected.bytes() => return Ok(()),
            (Ok(_), Some(_)) => return Err("another value".to_owned()),
            (Ok(_), None) => return Err("a value instead of an error".to_owned()),
            (Err(told), _) => told,
        };
        let Told { kind, message, hint } = told;
        let all = format!("{kind}: {message} ({hint})");
        let bare = message.strip_prefix("vault `VAULT`: ").unwrap_or(message);
        let as_expected = Some(*kind) == self.error.as_deref()
            && self.message.as_deref().is_none_or(|expected| bare == expected)
            && self.hint.as_deref().is_none_or(|expected| hint == expected)
            && self.mentions.iter().all(|text| all.contains(text.as_str()));
        if as_expected { Ok(()) } else { Err(all) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vaultref::schema::OptionSpec;

    const ENV: Definition = Definition {
        name: "env",
        about: "for tests",
        options: &[OptionSpec { name: "prefix", ..OptionSpec::BLANK }],
        versions: vaultref_core::Versions::None,
        ambient: None,
        open: |_, _| panic!("a scenario that is only read opens nothing"),
    };

    #[test]
    fn a_scenario_that_contradicts_itself_is_refused() {
        let whole = "name = 'a'\ngiven = {}\nreference = '{vault://VAULT/x}'\n";
        for (more, expected) in [
            ("expect = 'x'", Ok(())),
            ("expect = { repeat = 'x', times = 3 }\noptions = { prefix = 'p', ttl = 5 }", Ok(())),
            ("error = 'NotFound'\nmentions = ['a']", Ok(())),
            ("", Err("a: wants either `expect` or `error`")),
            ("expect = 'x'\nerror = 'NotFound'", Err("a: wants either `expect` or `error`")),
            ("expect = 'x'\nhint = 'y'", Err("a: has details of an error, and expects none")),
            ("error = 'Lost'", Err("a: no kind of error is called `Lost`")),
            ("expect = 'x'\noptions = { prefx = 'p' }", Err("a: backend `env` has no option `prefx`")),
            (
                "expect = 'x'\noptions = { prefix = ['p'] }",
                Err("a: option `prefix` wants a text, a number or a boolean"),
            ),
            (
                "expect = 'x'\n[[scenario]]\nname = 'a'\ngiven = {}\nreference = '{vault://VAULT/x}'\nexpect = ''",
                Err("a: is there twice"),
            ),
        ] {
            let read = parse(&ENV, &format!("[[scenario]]\n{whole}{more}"));
            assert_eq!(read.map(drop), expected.map_err(str::to_owned), "{more}");
        }
        let other = "[[scenario]]\nname = 'a'\ngiven = {}\nreference = '{vault://env/x}'\nexpect = ''";
        let message = "a: `{vault://env/x}` is not a reference to `VAULT`";
        assert_eq!(parse(&ENV, other).map(drop), Err(message.to_owned()));
        assert_eq!(parse(&ENV, "scenario = []").map(drop), Err("there is no scenario".to_owned()));
    }
}
