//! The rows observed on Kong: read these to hold our own code against them.
//!
//! What a row is, and which rows differ here on purpose, is told in `vectors/README.md`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};

/// What references mean: `vectors/parse.json`.
pub fn parse() -> Vec<ParseRow> {
    rows(include_str!("../vectors/parse.json"))
}

/// What the `env` vault answers: `vectors/env_get.json`.
pub fn env_get() -> Vec<EnvGetRow> {
    rows(include_str!("../vectors/env_get.json"))
}

/// What a configuration amounts to: `vectors/conf.json`.
pub fn conf() -> Vec<ConfRow> {
    rows(include_str!("../vectors/conf.json"))
}

/// How vaultref treats a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Here {
    /// It must hold here too.
    Same,
    /// Kong refuses it; here it has a meaning.
    Extends,
    /// It differs here on purpose, or exists only in Kong.
    Exempt,
}

/// One text, and the reference that it is or why it is none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParseRow {
    /// The text.
    pub input: String,
    /// What the row is about.
    pub note: String,
    /// Whether Kong takes the text for a reference at all, well-formed or not.
    pub is_reference: bool,
    /// The reference; either this or `error_class` is there.
    pub expect: Option<ParsedReference>,
    /// Kong's message without the text that it is about.
    pub error_class: Option<String>,
    /// Kong's message.
    pub error: Option<String>,
    /// How the row is treated here.
    pub here: Here,
    /// Why it is not treated the same.
    pub why: Option<String>,
}

/// The parts of a reference, as Kong tells them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParsedReference {
    /// The vault.
    pub name: String,
    /// What its backend is asked for.
    pub resource: String,
    /// The member of the payload.
    pub key: Option<String>,
    /// The version, where it is a number that JSON can write.
    pub version: Option<Number>,
    /// The version as Kong prints it.
    pub version_repr: Option<String>,
    /// The options of the query; `None` without a query.
    pub config: Option<BTreeMap<String, ParsedOption>>,
}

/// The value of one option in a query.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ParsedOption {
    /// `?option`, always `true`.
    Flag(bool),
    /// `?option=text`
    Text(String),
    /// `?option=a&option=b`
    List(Vec<ParsedOption>),
}

/// One reference to the `env` vault, and what it resolves to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvGetRow {
    /// What the row is about; unique.
    pub name: String,
    /// The reference.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The process environment.
    pub env: BTreeMap<String, String>,
    /// The settings, such as `vault_env_prefix`.
    pub conf: BTreeMap<String, String>,
    /// The secret; either this or `error` is there.
    pub value: Option<String>,
    /// Kong's message.
    pub error: Option<String>,
    /// How the row is treated here.
    pub here: Here,
    /// Why it is not treated the same.
    pub why: Option<String>,
}

/// One configuration from its sources, and the settings that it amounts to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfRow {
    /// What the row is about; unique.
    pub name: String,
    /// The content of the configuration file.
    pub file: String,
    /// The process environment.
    pub env: BTreeMap<String, String>,
    /// Settings given on the command line.
    pub args: BTreeMap<String, String>,
    /// How Kong was called.
    pub opts: ConfOpts,
    /// The settings that were looked at; `null` is unset. Either this or `error` is there.
    pub expect: Option<BTreeMap<String, Value>>,
    /// Kong's message.
    pub error: Option<String>,
    /// What to know about the row.
    pub note: Option<String>,
    /// How the row is treated here.
    pub here: Here,
    /// Why it is not treated the same.
    pub why: Option<String>,
}

/// How Kong was called for a [`ConfRow`].
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfOpts {
    /// As by `kong start`: references are resolved.
    pub starting: bool,
    /// As before another command: references are left alone.
    pub pre_cmd: bool,
}

fn rows<T: DeserializeOwned>(text: &str) -> Vec<T> {
    serde_json::from_str(text).expect("the files in vectors/ are rows of these types")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_and_says_why_it_differs() {
        check("parse", 179, parse().iter().map(|row| (row.here, &row.why)));
        check("env_get", 43, env_get().iter().map(|row| (row.here, &row.why)));
        check("conf", 104, conf().iter().map(|row| (row.here, &row.why)));
    }

    fn check<'r>(file: &str, count: usize, rows: impl Iterator<Item = (Here, &'r Option<String>)>) {
        let rows: Vec<_> = rows.collect();
        assert_eq!(rows.len(), count, "{file}");
        for (at, (here, why)) in rows.into_iter().enumerate() {
            assert_eq!(here != Here::Same, why.is_some(), "row {at} of {file}");
        }
    }

    #[test]
    fn every_row_ends_in_a_result_or_in_an_error() {
        let parse =
            parse().into_iter().map(|row| (row.input, row.expect.is_some(), row.error_class.is_some()));
        let env_get = env_get().into_iter().map(|row| (row.name, row.value.is_some(), row.error.is_some()));
        let conf = conf().into_iter().map(|row| (row.name, row.expect.is_some(), row.error.is_some()));
        for (row, result, error) in parse.chain(env_get).chain(conf) {
            assert_ne!(result, error, "{row}");
        }
    }
}
