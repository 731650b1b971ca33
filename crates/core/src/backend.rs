//! What a kind of store has to offer to be a backend.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::schema::{CommonOptions, OptionSpec, OptionValues, RawValue};
use crate::{Clock, Error, ManualClock, Payload, Resource, Secret, Version};

/// A future on the heap, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An opened vault: the way to one store with one set of options.
///
/// It never sees keys, the cache or ttls: those are the engine's. Calls may come from many tasks at once.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Reads one resource.
    ///
    /// - A resource or version that is not there is [`NotFound`](crate::ErrorKind::NotFound); an empty payload
    ///   is a payload.
    /// - The kind of an error comes from a status code or a typed error, never from a message's text.
    /// - Neither error nor log holds any part of a payload.
    /// - Asking twice does no harm. The engine asks once at a time for one resource and version, limits the
    ///   time, and drops the future when nobody waits any more.
    fn fetch<'a>(
        &'a self,
        resource: &'a Resource,
        version: Option<&'a Version>,
    ) -> BoxFuture<'a, Result<Payload, Error>>;

    /// Finds out how far this vault works, one step after the other: whether the store is reached, who we are to
    /// it. A step that cannot be taken, because one before it failed, is left out.
    ///
    /// - No step holds a value, or the name of a resource that nobody asked for.
    /// - Every step that waits has a time limit of its own; the engine limits the whole.
    fn check(&self) -> BoxFuture<'_, Vec<Check>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Gives back what the store has lent: called when nobody will ask any more.
    ///
    /// - It may be called again, and the vault may be asked again.
    /// - [`Leases::Keep`] says that what was fetched is still in use elsewhere, and has to go on working.
    /// - What cannot be given back is logged, and ends by itself.
    fn close(&self, leases: Leases) -> BoxFuture<'_, ()> {
        let _ = leases;
        Box::pin(std::future::ready(()))
    }
}

/// One step of [`Backend::check`].
#[derive(Debug, Clone)]
pub struct Check {
    /// What was looked at, in a word or two: `address`, `login`.
    pub what: &'static str,
    /// What was found, as a lower-case fragment, or why it does not work.
    pub result: Result<String, Error>,
}

/// What becomes of the leases that a store has given, when a vault is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leases {
    /// Somebody else goes on using what was fetched: a program that was started with it, the reader of a file.
    Keep,
    /// Nobody does: they are revoked.
    Revoke,
}

/// Which versions a backend can tell apart. Kong ignores a version that a backend does not know, and so do we
/// for numbers; a text version, which Kong does not have, is refused where it would be ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// None: there is one payload per resource.
    None,
    /// `#2` is the previous one.
    Previous,
    /// Numbers.
    Numbers,
    /// Numbers and text.
    All,
}

/// A kind of store: its name, its options, and how a vault of this kind is opened.
#[derive(Clone, Copy)]
pub struct Definition {
    /// The backend's name, which is also the name of its default vault.
    pub name: &'static str,
    /// What it reads from, in a few words.
    pub about: &'static str,
    /// The options of its own; [`CommonOptions`] come on top.
    pub options: &'static [OptionSpec],
    /// Which versions it knows.
    pub versions: Versions,
    /// What stands in where neither a reference nor a vault sets anything, such as the variables of another tool
    /// for the same store.
    pub ambient: Option<ReadAmbient>,
    /// Opens a vault. `values` holds what was set and what has a default, already checked by the schema; rules
    /// that concern several options are checked here. Does no I/O that can block.
    pub open: Open,
}

/// The shape of [`Definition::open`].
pub type Open = fn(values: &OptionValues, context: &Context) -> Result<Arc<dyn Backend>, Error>;

/// The shape of [`Definition::ambient`]. `set` gives what a reference or a vault sets an option to, as it is written.
/// The error is about something in the surroundings that cannot be used.
pub type ReadAmbient =
    fn(context: &Context, set: &dyn Fn(&str) -> Option<RawValue>) -> Result<Vec<Ambient>, Error>;

/// A value that the surroundings of the process give an option that nobody set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambient {
    /// The option's name.
    pub option: &'static str,
    /// Its value.
    pub value: RawValue,
    /// Where it comes from, as in "variable VAULT_ADDR".
    pub origin: String,
}

impl Definition {
    /// All options: its own, then the common ones that it does not define itself.
    pub fn specs(&self) -> impl Iterator<Item = &'static OptionSpec> {
        let own = self.options;
        let common = CommonOptions::SPECS.iter();
        own.iter().chain(common.filter(move |spec| !own.iter().any(|own| own.name == spec.name)))
    }

    /// The option that goes by this name.
    pub fn spec(&self, name: &str) -> Option<&'static OptionSpec> {
        self.specs().find(|spec| spec.is_named(name))
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Definition").field(&self.name).finish()
    }
}

/// Takes a warning, for people.
pub type Warn = Arc<dyn Fn(&Error) + Send + Sync>;

/// What a backend gets from the program around it when a vault is opened.
#[derive(Clone)]
pub struct Context {
    /// The process's environment as it was at start.
    pub environment: Arc<Environment>,
    /// Where time comes from. Stands still until an engine puts its own here.
    pub clock: Arc<dyn Clock>,
    /// Who is told of what is odd about a vault without being an error. Nobody, unless the program says so.
    pub warn: Option<Warn>,
    /// The options that have another value than without the query of the reference at hand, as it is what says so.
    /// A backend does not send a vault's credentials where such an option points.
    pub from_reference: Vec<&'static str>,
}

impl Context {
    /// What a process with this environment gives.
    pub fn new(environment: impl Into<Arc<Environment>>) -> Self {
        let clock = Arc::new(ManualClock::default());
        Self { environment: environment.into(), clock, warn: None, from_reference: Vec::new() }
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new(Environment::default())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("environment", &self.environment)
            .field("from_reference", &self.from_reference)
            .finish_non_exhaustive()
    }
}

/// Environment variables, taken once. Values are secrets: they print as such and are zeroized.
#[derive(Debug, Clone, Default)]
pub struct Environment(HashMap<OsString, Secret>);

impl Environment {
    /// The value of a variable, byte for byte.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&Secret> {
        self.0.get(name.as_ref())
    }

    /// The names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.0.keys().map(OsString::as_os_str)
    }
}

impl<N: Into<OsString>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), Secret::new(value))).collect())
    }
}
