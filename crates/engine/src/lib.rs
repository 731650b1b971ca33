#![doc = include_str!("../README.md")]

mod conf_file;
pub mod declarative;
mod names;
mod settings;

mod cache;
mod cycles;
pub mod entry;
mod hide;
mod json;
mod select;
mod template;
mod vaults;

mod deliver;
mod engine;
mod explain;
mod field;
mod open;
mod watch;

pub mod dotenv;
pub mod render;

use std::ops::Range;

pub use vaultref_core::{
    Check, Clock, Context, Definition, Environment, Error, ErrorKind, Leases, Moment, ParseError, Payload,
    QueryValue, Reference, Resource, Secret, Version, Warn, scan, schema,
};

pub use deliver::StreamError;
pub use engine::{Builder, Engine, SystemClock};
pub use explain::Explanation;
pub use field::{SecretText, Unresolved};
pub use names::closest;
pub use settings::{KnownSettings, Origin, Setting, Settings, SettingsFile, is_secret, known};
pub use template::Template;
pub use vaults::{EffectiveOption, OptionOrigin, Vault, Vaults};
pub use watch::Watched;

/// A failure that has a place in a text.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Where, in bytes of that text.
    pub range: Range<usize>,
    /// What.
    pub error: Error,
}
