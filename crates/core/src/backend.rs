//! What a kind of store has to offer to be a backend.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::schema::{CommonOptions, OptionSpec, OptionValues};
use crate::{Error, Payload, Resource, Secret, Version};

/// A future on the heap, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An opened vault: the way to one store with one set of options.
///
/// It never sees keys, the cache, ttls or retries: those are the engine's. Calls may come from many tasks at once.
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
}

/// Which versions a backend can tell apart. Kong ignores a version that a backend does not know, and so do we
/// for numbers; a text version, which Kong does not have, is refused where it would be ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// None: there is one payload per resource.
    None,
    /// `#2` is the previous one.
    Previous,
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
    /// Opens a vault. `values` holds what was set and what has a default, already checked by the schema; rules
    /// that concern several options are checked here. Does no I/O that can block.
    pub open: Open,
}

/// The shape of [`Definition::open`].
pub type Open = fn(values: &OptionValues, context: &Context) -> Result<Arc<dyn Backend>, Error>;

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

/// What a backend gets from the program around it when a vault is opened.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The process's environment as it was at start.
    pub environment: Arc<Environment>,
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
