//! The format of the scenarios.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use vaultref::{Definition, ErrorKind, Reference, Secret};

use super::Told;
use super::common::{self, Fault};

/// A file of scenarios.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// What the backend declares about itself: names that `common.rs` lists.
    #[serde(default)]
    pub(super) capabilities: Vec<String>,
    /// The names of the common scenarios that it is not held against for that.
    #[serde(default)]
    pub(super) skips: Vec<String>,
    #[serde(rename = "scenario")]
    pub(super) scenarios: Vec<Scenario>,
}

/// One `[[scenario]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The promise, as a sentence; unique.
    pub name: String,
    /// Whether it is in the common file.
    #[serde(skip)]
    pub is_common: bool,
    /// What the backend has to declare for it, beside the fault.
    #[serde(default)]
    needs: Vec<String>,
    /// What the store holds: a name and its content.
    #[serde(default)]
    given: BTreeMap<String, Content>,
    /// What the store holds in several versions: a name and the contents, the oldest first.
    #[serde(default)]
    versions: BTreeMap<String, Vec<Content>>,
    /// How the store lets us down.
    pub fault: Option<Fault>,
    /// How else the store behaves, in words that only the backend's own set-up knows.
    #[serde(default)]
    pub store: toml::Table,
    /// Settings of the engine.
    #[serde(default)]
    settings: BTreeMap<String, toml::Value>,
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
    /// `["text", { repeat = "x", times = 3 }]`, one after the other
    Parts(Vec<Content>),
}

impl Content {
    /// The content itself.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes { bytes } => bytes.clone(),
            Self::Repeat { repeat, times } => repeat.repeat(*times).into_bytes(),
            Self::Parts(parts) => parts.iter().flat_map(Self::bytes).collect(),
        }
    }
}

/// Reads a file of scenarios. The error says which one contradicts itself.
pub(super) fn parse(text: &str) -> Result<File, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    if file.scenarios.is_empty() {
        return Err("there is no scenario".to_owned());
    }
    let mut names = HashSet::new();
    for scenario in &file.scenarios {
        let name = scenario.name.as_str();
        if !names.insert(name) {
            return Err(format!("{name}: is there twice"));
        }
        scenario.contradiction().map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(file)
}

impl Scenario {
    /// What the store holds: names, and the contents under each, of which the last is the current one. A name is one
    /// that the store has; in a common scenario it is that of a resource.
    pub fn contents(&self) -> impl Iterator<Item = (&str, &[Content])> {
        let given = self.given.iter().map(|(name, content)| (name.as_str(), std::slice::from_ref(content)));
        given.chain(self.versions.iter().map(|(name, contents)| (name.as_str(), contents.as_slice())))
    }

    /// The capabilities that a backend has to declare for it.
    pub(super) fn needs(&self) -> impl Iterator<Item = &str> {
        self.needs.iter().map(String::as_str).chain(self.fault.map(Fault::capability))
    }

    fn contradiction(&self) -> Result<(), String> {
        self.needs.iter().try_for_each(|name| common::is_known(name))?;
        if self.contents().any(|(_, contents)| contents.is_empty()) {
            return Err("gives something in no version".to_owned());
        }
        if let Some(name) = self.given.keys().find(|name| self.versions.contains_key(*name)) {
            return Err(format!("gives `{name}` with versions and without"));
        }
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
        for (name, value) in self.settings.iter().chain(&self.options) {
            if value.is_array() || value.is_table() || value.is_datetime() {
                return Err(format!("`{name}` wants a text, a number or a boolean"));
            }
        }
        match self.settings.keys().find(|key| vaultref::known(key).is_none()) {
            Some(key) => Err(format!("there is no setting `{key}`")),
            None => Ok(()),
        }
    }

    /// Refuses an option that the backend does not have.
    pub(super) fn check_options(&self, definition: &Definition) -> Result<(), String> {
        match self.options.keys().find(|name| definition.spec(name).is_none()) {
            Some(name) => Err(format!("{}: backend `{}` has no option `{name}`", self.name, definition.name)),
            None => Ok(()),
        }
    }

    /// The reference to a vault of this name.
    pub(super) fn reference(&self, vault: &str) -> Reference {
        let text = self.reference.replacen("VAULT", vault, 1);
        Reference::parse(&text)
            .expect("it was parsed when it was read, and a vault's name does not change that")
    }

    /// The options as they are written in settings.
    pub(super) fn options(&self) -> impl Iterator<Item = (String, String)> {
        written(&self.options)
    }

    /// The settings as they are written.
    pub(super) fn settings(&self) -> impl Iterator<Item = (String, String)> {
        written(&self.settings)
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

fn written(values: &BTreeMap<String, toml::Value>) -> impl Iterator<Item = (String, String)> {
    values.iter().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.clone(), text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_contradicts_itself_is_refused() {
        let whole = "name = 'a'\nreference = '{vault://VAULT/x}'\n";
        for (more, expected) in [
            ("expect = 'x'", Ok(())),
            ("expect = { repeat = 'x', times = 3 }\noptions = { prefix = 'p', ttl = 5 }", Ok(())),
            ("error = 'NotFound'\nmentions = ['a']", Ok(())),
            ("expect = ''\nneeds = ['slash']\nversions = { x = ['', ''] }\ngiven = { y = [] }", Ok(())),
            ("error = 'Timeout'\nfault = 'timeout'\nsettings = { fetch_timeout = 0.3 }", Ok(())),
            ("", Err("a: wants either `expect` or `error`")),
            ("expect = 'x'\nerror = 'NotFound'", Err("a: wants either `expect` or `error`")),
            ("expect = 'x'\nhint = 'y'", Err("a: has details of an error, and expects none")),
            ("error = 'Lost'", Err("a: no kind of error is called `Lost`")),
            ("expect = ''\nversions = { x = [] }", Err("a: gives something in no version")),
            (
                "expect = ''\nversions = { x = ['x'] }\ngiven = { x = 'x' }",
                Err("a: gives `x` with versions and without"),
            ),
            ("expect = 'x'\nsettings = { fetch = 1 }", Err("a: there is no setting `fetch`")),
            (
                "expect = 'x'\noptions = { prefix = ['p'] }",
                Err("a: `prefix` wants a text, a number or a boolean"),
            ),
            (
                "expect = 'x'\n[[scenario]]\nname = 'a'\nreference = '{vault://VAULT/x}'\nexpect = ''",
                Err("a: is there twice"),
            ),
        ] {
            let read = parse(&format!("[[scenario]]\n{whole}{more}"));
            assert_eq!(read.map(drop), expected.map_err(str::to_owned), "{more}");
        }
        let other = "[[scenario]]\nname = 'a'\nreference = '{vault://env/x}'\nexpect = ''";
        let message = "a: `{vault://env/x}` is not a reference to `VAULT`";
        assert_eq!(parse(other).map(drop), Err(message.to_owned()));
        assert_eq!(parse("scenario = []").map(drop), Err("there is no scenario".to_owned()));
    }

    #[test]
    fn parts_follow_each_other() {
        let content = Content::Parts(vec![
            Content::Text("a".to_owned()),
            Content::Repeat { repeat: "b".to_owned(), times: 2 },
            Content::Bytes { bytes: vec![0xff] },
        ]);
        assert_eq!(content.bytes(), b"abb\xff");
    }
}
