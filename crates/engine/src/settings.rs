//! The settings of vaultref: which there are, and where each one's value comes from.
//!
//! Precedence: command-line flag > `VAULTREF_<KEY>` > `KONG_<KEY>` > settings file > default. Keys are Kong's
//! where Kong has one. A value is kept as text, because it may hold references: those are resolved when a
//! setting is needed, by [`Engine::setting`](crate::Engine::setting).

use std::collections::BTreeMap;
use std::fmt;

use vaultref_core::schema::{OptionKind, OptionSpec, OptionValue, RawValue, Rule};
use vaultref_core::{Environment, Error, ErrorKind, Secret};

use crate::{Failure, conf_file, names};

vaultref_core::options! {
    /// The settings there are, beside the open family `vault_<backend>_<option>`.
    pub struct KnownSettings {
        /// Which backends can be used: `bundled` for all that are built in, names for some, `off` for none.
        vaults: Vec<String> => { default: Some("bundled") },
        /// A declarative file with vault entities (`vaults:`), in Kong's format. Example: `/etc/kong/kong.yml`.
        declarative_config: Option<String> => {},
        /// How much is logged to standard error. Example: `info`.
        log_level: Option<String> => { rule: Rule::OneOf(LOG_LEVELS) },
        /// Seconds after which a fetch from a store is given up.
        fetch_timeout: f64 => { default: Some("30"), rule: Rule::Between(0.001, 3600.0) },
        /// How many payloads are kept in memory at the most.
        entries_max: u64 => { default: Some("10000"), rule: Rule::Between(1.0, 1e7) },
        /// Kind of the database that holds vault entities. Example: `postgres`.
        database: Option<String> => { rule: Rule::OneOf(&["postgres", "off"]) },
        /// Host of the PostgreSQL server. Example: `127.0.0.1`.
        pg_host: Option<String> => {},
        /// Port of the PostgreSQL server. Example: `5432`.
        pg_port: Option<u64> => { rule: Rule::Between(0.0, 65535.0) },
        /// PostgreSQL user. Example: `kong`.
        pg_user: Option<String> => {},
        /// Password of the PostgreSQL user. Example: `{vault://env/my_secret_postgres_password}`.
        pg_password: Option<Secret> => {},
        /// PostgreSQL database. Example: `kong`.
        pg_database: Option<String> => {},
        /// PostgreSQL schema. Example: `public`.
        pg_schema: Option<String> => {},
        /// Milliseconds for connecting, reading and writing. Example: `5000`.
        pg_timeout: Option<u64> => {},
        /// Whether the connection to PostgreSQL uses TLS.
        pg_ssl: Option<bool> => {},
        /// Whether PostgreSQL's certificate is verified.
        pg_ssl_verify: Option<bool> => {},
    }
}

/// Kong's levels, and `trace` below them.
const LOG_LEVELS: &[&str] = &["trace", "debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];

/// The prefix of the open family of settings that configure default vaults.
const VAULT_PREFIX: &str = "vault_";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the settings file.
    File {
        /// The file's name as it was given.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A command-line flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One setting's text and origin.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// The text as it was written; `None` where the default counts and there is none.
    pub text: Option<String>,
    /// Where it was written.
    pub origin: Origin,
}

/// A file with settings: its name for messages, and its text.
#[derive(Clone, Copy)]
pub struct SettingsFile<'a> {
    /// The name for messages.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
}

/// All settings that were made, by key.
#[derive(Clone, Default)]
pub struct Settings {
    set: BTreeMap<String, Setting>,
    unknown: Vec<(String, Origin)>,
}

impl Settings {
    /// Puts the sources together. The errors are those of the file, each with its place in it.
    pub fn load(
        file: Option<SettingsFile<'_>>,
        environment: &Environment,
        flags: &[(&str, String)],
    ) -> Result<Self, Vec<Failure>> {
        let mut settings = Self::default();
        if let Some(file) = file {
            for line in conf_file::parse(file.text)? {
                let origin = Origin::File { name: file.name.to_owned(), line: line.number };
                // An empty value in a file stands for the default, as in Kong's own template.
                match line.value.as_str() {
                    "" => drop(settings.set.remove(&line.key)),
                    _ => settings.put(line.key, line.value, origin),
                }
            }
        }
        for prefix in ["KONG_", "VAULTREF_"] {
            settings.read_variables(prefix, environment);
        }
        for (key, text) in flags {
            settings.put((*key).to_owned(), text.clone(), Origin::Flag(format!("--set {key}")));
        }
        Ok(settings)
    }

    fn read_variables(&mut self, prefix: &str, environment: &Environment) {
        let mut names: Vec<&str> = environment.names().filter_map(|name| name.to_str()).collect();
        names.sort_unstable();
        for name in names {
            let Some(key) = name.strip_prefix(prefix).filter(|key| !key.contains(|c: char| c.is_lowercase()))
            else {
                continue;
            };
            let key = key.to_ascii_lowercase();
            let Some(Ok(text)) = environment.get(name).map(Secret::expose_str) else { continue };
            if known(&key).is_some() || key.starts_with(VAULT_PREFIX) {
                self.put(key, text.trim().to_owned(), Origin::Variable(name.to_owned()));
            } else if prefix == "VAULTREF_" && closest(&key).is_some() {
                self.unknown.push((key, Origin::Variable(name.to_owned())));
            }
        }
    }

    fn put(&mut self, key: String, text: String, origin: Origin) {
        if known(&key).is_none() && !key.starts_with(VAULT_PREFIX) {
            self.unknown.push((key, origin));
            return;
        }
        self.set.insert(key, Setting { text: Some(text), origin });
    }

    /// A setting's text and origin, the default included; `None` for a key that is neither known nor set.
    pub fn get(&self, key: &str) -> Option<Setting> {
        let default = || {
            known(key).map(|spec| Setting { text: spec.default.map(str::to_owned), origin: Origin::Default })
        };
        self.set.get(key).cloned().or_else(default)
    }

    /// The keys of all settings that are known or set, in alphabetical order.
    pub fn keys(&self) -> Vec<&str> {
        let known = KnownSettings::SPECS.iter().map(|spec| spec.name);
        let mut keys: Vec<&str> = known.chain(self.set.keys().map(String::as_str)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// What was set under keys that mean nothing here: each with its origin, and the key that may be meant.
    /// A `kong.conf` has many of the first sort without a fault.
    pub fn unknown(&self) -> impl Iterator<Item = (&str, &Origin, Option<&'static str>)> {
        self.unknown.iter().map(|(key, origin)| (key.as_str(), origin, closest(key)))
    }

    /// The backends that the setting `vaults` names, of those there are: `bundled` stands for all, `off` in the
    /// first place for none. Names of no backend are kept: the caller says that they are not installed.
    pub fn loaded_vaults<'a>(&'a self, bundled: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let text = self.get("vaults").and_then(|setting| setting.text).unwrap_or_default();
        let words = list(&text);
        if words.first().is_some_and(|word| word == "off") {
            return Vec::new();
        }
        let mut loaded: Vec<String> =
            words.iter().filter(|w| !matches!(w.as_str(), "bundled" | "off")).cloned().collect();
        if words.iter().any(|word| word == "bundled") {
            loaded.extend(bundled.into_iter().map(str::to_owned));
        }
        loaded.sort_unstable();
        loaded.dedup();
        loaded
    }
}

/// The description of a known setting.
pub fn known(key: &str) -> Option<&'static OptionSpec> {
    KnownSettings::SPECS.iter().find(|spec| spec.name == key)
}

/// Whether a setting's literal value must not be shown: passwords, and vault options of unknown meaning.
pub fn is_secret(key: &str) -> bool {
    known(key).is_some_and(|spec| spec.kind == OptionKind::Secret)
}

/// Reads a setting's resolved text as its kind wants it. Booleans are Kong's: `on` and `true` are true, anything
/// else is false. The text never occurs in the error.
pub(crate) fn read(key: &str, text: &str) -> Result<Option<OptionValue>, Error> {
    let Some(spec) = known(key) else { return Ok(Some(OptionValue::Text(text.to_owned()))) };
    let value = match spec.kind {
        OptionKind::Boolean => Ok(Some(OptionValue::Boolean(matches!(text, "on" | "true")))),
        // An empty secret is a value; the other kinds have no empty value.
        OptionKind::Secret => Ok(Some(OptionValue::Secret(Secret::new(text)))),
        OptionKind::Text if text.is_empty() => Ok(Some(OptionValue::Text(String::new()))),
        _ => spec.read(&RawValue::Text(text.to_owned())),
    };
    value.map_err(|why| Error::new(ErrorKind::InvalidConfig, format!("setting `{key}` {why}")))
}

/// Splits a list as Kong does: at commas, blanks trimmed, empty items dropped.
pub(crate) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// The known key that a mistyped one may mean.
fn closest(key: &str) -> Option<&'static str> {
    names::closest(key, KnownSettings::SPECS.iter().map(|spec| spec.name))
}
