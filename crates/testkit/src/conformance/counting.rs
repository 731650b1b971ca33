//! Wraps a backend so that its fetches are counted, and take long enough for others to ask meanwhile.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vaultref::schema::OptionValues;
use vaultref::{Context, Definition, Error, Payload, Resource, Version};
use vaultref_core::{Backend, BoxFuture, Open};

thread_local! {
    /// What `open`, which can capture nothing, has to know: the backend that it stands for, and who counts.
    static UNDER_TEST: RefCell<Option<(Open, Counter)>> = const { RefCell::new(None) };
}

/// Counts what happens to the backend under test on this thread.
#[derive(Clone, Default)]
pub(super) struct Counter {
    fetches: Arc<AtomicUsize>,
    opened: Arc<std::sync::Mutex<String>>,
}

impl Counter {
    /// Starts counting for this backend.
    pub(super) fn start(definition: &Definition) -> Self {
        let counter = Self::default();
        UNDER_TEST.set(Some((definition.open, counter.clone())));
        counter
    }

    /// How many fetches were started.
    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }

    /// What the backends that were opened print for `Debug`.
    pub(super) fn opened(&self) -> String {
        self.opened.lock().expect("nobody panics while holding it").clone()
    }
}

/// The registry with one backend wrapped. Lives for ever, as a registry does.
pub(super) fn wrapped(registry: &'static [Definition], backend: &str) -> &'static [Definition] {
    let wrap = |definition: &Definition| match definition.name == backend {
        true => Definition { open, ..*definition },
        false => *definition,
    };
    Vec::leak(registry.iter().map(wrap).collect())
}

fn open(values: &OptionValues, context: &Context) -> Result<Arc<dyn Backend>, Error> {
    let (open, counter) =
        UNDER_TEST.with_borrow(Clone::clone).expect("the engine runs where counting started");
    let backend = open(values, context)?;
    counter.opened.lock().expect("nobody panics while holding it").push_str(&format!("{backend:?}\n"));
    Ok(Arc::new(Counting { backend, counter }))
}

struct Counting {
    backend: Arc<dyn Backend>,
    counter: Counter,
}

impl std::fmt::Debug for Counting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.backend.fmt(f)
    }
}

impl Backend for Counting {
    fn fetch<'a>(
        &'a self,
        resource: &'a Resource,
        version: Option<&'a Version>,
    ) -> BoxFuture<'a, Result<Payload, Error>> {
        Box::pin(async move {
            self.counter.fetches.fetch_add(1, Ordering::Relaxed);
            // All who ask at this moment have their turn before the answer is there.
            tokio::task::yield_now().await;
            self.backend.fetch(resource, version).await
        })
    }
}
