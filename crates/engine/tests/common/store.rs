//! A store that a test holds in its hands: what it answers, how often it was asked, how many asked at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use vaultref::schema::OptionValues;
use vaultref::{Builder, Context, Definition, Error, ErrorKind, Payload, Resource, Version};
use vaultref_core::{Backend, BoxFuture, Versions};

use super::common::builder;

/// The backend `store`.
static REGISTRY: &[Definition] = &[Definition {
    name: "store",
    about: "for tests",
    options: Options::SPECS,
    versions: Versions::All,
    ambient: None,
    open,
}];

/// The stores of all tests of this process by name: `open` can capture nothing.
static STORES: Mutex<BTreeMap<String, Arc<Store>>> = Mutex::new(BTreeMap::new());

vaultref_core::options! {
    /// What a vault is told.
    struct Options {
        /// Which store.
        name: String => { required: true },
        /// Changes nothing but which vault it is.
        realm: Option<String> => {},
    }
}

fn open(values: &OptionValues, _: &Context) -> Result<Arc<dyn Backend>, Error> {
    let options = Options::from_values(values).unwrap();
    match STORES.lock().unwrap().get(&options.name) {
        Some(store) => Ok(Arc::new(Open(Arc::clone(store)))),
        None => Err(Error::new(ErrorKind::InvalidConfig, "there is no such store")),
    }
}

#[derive(Default)]
pub(crate) struct Store {
    answers: Mutex<BTreeMap<&'static str, Result<&'static str, ErrorKind>>>,
    fetched: Mutex<Vec<String>>,
    under_way: AtomicUsize,
    at_once: AtomicUsize,
}

impl Store {
    /// A store, and an engine that reads it under these settings. The name is the test's own.
    pub(crate) fn new(name: &str, settings: &str) -> (Arc<Self>, Builder) {
        let store = Arc::<Self>::default();
        STORES.lock().unwrap().insert(name.to_owned(), Arc::clone(&store));
        (store, builder(REGISTRY, &[], &format!("vault_store_name = {name}\n{settings}"), ""))
    }

    /// From now on, a resource has this payload, or fails in this way.
    pub(crate) fn answers(&self, resource: &'static str, answer: Result<&'static str, ErrorKind>) {
        self.answers.lock().unwrap().insert(resource, answer);
    }

    /// The resources that were fetched since the last call, with their versions.
    pub(crate) fn fetched(&self) -> Vec<String> {
        std::mem::take(&mut self.fetched.lock().unwrap())
    }

    /// How many fetches were under way at once, at the most.
    pub(crate) fn at_once(&self) -> usize {
        self.at_once.load(Ordering::Relaxed)
    }

    fn answer(&self, resource: &str) -> Result<Payload, Error> {
        let answer = self.answers.lock().unwrap().get(resource).copied();
        answer
            .unwrap_or(Err(ErrorKind::NotFound))
            .map(Payload::new)
            .map_err(|kind| Error::new(kind, "refused"))
    }
}

struct Open(Arc<Store>);

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Open")
    }
}

impl Backend for Open {
    fn fetch<'a>(
        &'a self,
        resource: &'a Resource,
        version: Option<&'a Version>,
    ) -> BoxFuture<'a, Result<Payload, Error>> {
        let Self(store) = self;
        let version = version.map(|version| format!("#{version}")).unwrap_or_default();
        Box::pin(async move {
            store.fetched.lock().unwrap().push(format!("{resource}{version}"));
            let under_way = store.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            store.at_once.fetch_max(under_way, Ordering::Relaxed);
            // Others ask while this one is answered. More than one turn, because tokio lets a task take so many
            // permits in each.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            store.under_way.fetch_sub(1, Ordering::Relaxed);
            store.answer(resource.as_str())
        })
    }
}
