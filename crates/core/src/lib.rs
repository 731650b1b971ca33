//! The nouns of vaultref: what a reference is, what a vault's backend is asked, what it answers.
//!
//! Nothing here reads a file, a socket, the environment or the time of day, and nothing here depends on a
//! runtime. The verbs (look up, fetch, cache, select, render) are in the crate `vaultref`; the backends are in
//! `vaultref-backends`. In reading order:
//!
//! - [`scan`] finds references in any text;
//! - [`Reference`] is one of them, parsed;
//! - [`Resource`] and [`Version`] are what a backend is asked for;
//! - [`Payload`] is what it returns, [`Secret`] is what the user gets;
//! - [`Backend`] and [`Definition`] are what a kind of store has to offer;
//! - [`schema`] describes its options, once, for parser, validation and manual;
//! - [`Error`] says what went wrong, and what the caller can do about it;
//! - [`Clock`] is where time comes from.

pub mod scan;

mod reference;
mod resource;

mod payload;
mod secret;

mod backend;
pub mod schema;

mod clock;
mod error;

pub use backend::{
    Ambient, Backend, BoxFuture, Check, Context, Definition, Environment, Leases, Open, ReadAmbient,
    Versions, Warn,
};
pub use clock::{Clock, ManualClock, Moment};
pub use error::{Error, ErrorKind};
pub use payload::Payload;
pub use reference::{ParseError, QueryValue, Reference, redacted_vault};
pub use resource::{Resource, Version};
pub use secret::Secret;
