//! The engine: takes references and gives secrets.
//!
//! ```text
//! text ─scan─▶ Reference ─lookup─▶ Vault ─cache─▶ hit ─────────────▶ Payload ─select─▶ Secret
//!                                             └─ miss ─fetch─▶ backend ─┘
//! ```

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::OnceCell;
use tracing::{debug, warn};
use vaultref_core::schema::{CommonOptions, OptionValue, RawValue};
use vaultref_core::{
    Clock, Context, Definition, Error, ErrorKind, Moment, Payload, QueryValue, Reference, Secret, scan,
};
use zeroize::Zeroize;

use crate::Failure;
use crate::cache::{Cache, Cell, CellKey};
use crate::cycles::check_cycles;
use crate::declarative::VaultEntity;
use crate::entry::{Policy, State};
use crate::open::{Opened, is_common, missing_option};
use crate::select::select;
use crate::settings::{self, Settings};
use crate::template::Template;
use crate::vaults::{Vault, Vaults};

/// How many differently configured ways into vaults are kept open. References with ever new options in their
/// queries would otherwise each leave one behind.
pub(crate) const OPEN_MAX: usize = 1024;

/// The system's monotonic clock, as coarse as the kernel's tick (1 to 10 ms): a tenth of the cost of the precise one.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let time = clock_gettime(ClockId::MonotonicCoarse);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
        Moment::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }
}

/// What an [`Engine`] is made of.
pub struct Builder {
    registry: &'static [Definition],
    settings: Settings,
    entities: Vec<VaultEntity>,
    context: Context,
    clock: Arc<dyn Clock>,
}

impl Builder {
    /// The settings: which default vaults there are and how they are configured. Default: none made.
    pub fn settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// The vault entities. Default: none.
    pub fn entities(self, entities: Vec<VaultEntity>) -> Self {
        Self { entities, ..self }
    }

    /// What backends get from the process, its environment above all. Default: an empty one.
    pub fn context(self, context: Context) -> Self {
        Self { context, ..self }
    }

    /// Where time comes from. Default: [`SystemClock`].
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Makes the engine. Nothing is opened or fetched yet. The errors are those of the entities, with their
    /// places in the declarative file, and of the settings that the engine itself needs (at 0..0).
    pub fn build(self) -> Result<Engine, Vec<Failure>> {
        let context = Context { clock: Arc::clone(&self.clock), ..self.context };
        let vaults = Vaults::new(self.registry, &self.settings, &self.entities, &context)?;
        let number = |key: &str| {
            let Some(setting) = self.settings.get(key) else { return Ok(None) };
            let text = setting.text.unwrap_or_default();
            settings::read(key, &text).map_err(|error| {
                let hint = match scan::contains(text.as_bytes()) {
                    true => format!(
                        "it was set in: {}; it counts before a reference can be resolved",
                        setting.origin
                    ),
                    false => format!("it was set in: {}", setting.origin),
                };
                vec![Failure { range: 0..0, error: error.with_hint(hint) }]
            })
        };
        let fetch_timeout = match number("fetch_timeout")? {
            Some(OptionValue::Number(seconds)) => Duration::from_secs_f64(seconds),
            _ => Duration::from_secs(30),
        };
        let entries_max = match number("entries_max")? {
            Some(OptionValue::Integer(entries)) => usize::try_from(entries).unwrap_or(usize::MAX),
            _ => 10_000,
        };
        Ok(Engine {
            vaults,
            settings: self.settings,
            context,
            clock: self.clock,
            cache: Cache::new(entries_max),
            routes: Mutex::default(),
            opened: Mutex::default(),
            opened_count: AtomicU64::new(0),
            fetch_timeout,
        })
    }
}

/// Resolves references. One per process is enough; share it behind an `Arc`.
///
/// Its methods have to be called within a tokio runtime that has its timer enabled.
pub struct Engine {
    vaults: Vaults,
    settings: Settings,
    pub(crate) context: Context,
    clock: Arc<dyn Clock>,
    cache: Cache,
    pub(crate) routes: Mutex<HashMap<RouteKey, Arc<Route>>>,
    pub(crate) opened: Mutex<HashMap<String, Arc<OnceCell<Opened>>>>,
    pub(crate) opened_count: AtomicU64,
    pub(crate) fetch_timeout: Duration,
}

/// What a vault's configuration and the options in a reference's query say about how to get its secret. References
/// without options share one per vault.
pub(crate) struct Route {
    opened: Arc<OnceCell<Opened>>,
    policy: Policy,
    base64_decode: bool,
}

/// What a route depends on: the vault's name, and the query's options.
pub(crate) type RouteKey = (String, Option<Vec<(String, QueryValue)>>);

/// A route, and the cell of one reference.
struct Plan {
    route: Arc<Route>,
    cell: Arc<Cell>,
}

impl Engine {
    /// Starts an engine on these backends, usually `vaultref_backends::REGISTRY`.
    pub fn builder(registry: &'static [Definition]) -> Builder {
        Builder {
            registry,
            settings: Settings::default(),
            entities: Vec::new(),
            context: Context::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// The vaults there are.
    pub fn vaults(&self) -> &Vaults {
        &self.vaults
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The secret of a reference: from the cache, or fetched.
    pub async fn resolve(&self, reference: &Reference) -> Result<Secret, Error> {
        match self.cached(reference) {
            Some(secret) => Ok(secret),
            None => self
                .resolve_anew(reference)
                .await
                .map_err(|error| error.with_reference(self.shown(reference))),
        }
    }

    /// The secret of a reference that was resolved before, if it can be served without asking anybody.
    pub fn cached(&self, reference: &Reference) -> Option<Secret> {
        self.cache.selected(reference, &*self.clock)
    }

    /// The secrets of many references, in their order, each with its own result. References to one resource cost
    /// one fetch; fetches run at once, 256 per vault at the most.
    pub async fn resolve_many<'r>(
        &self,
        references: impl IntoIterator<Item = &'r Reference>,
    ) -> Vec<Result<Secret, Error>> {
        join_all(references.into_iter().map(|reference| self.resolve(reference))).await
    }

    /// The text with its references replaced, byte for byte; `{{vault://…}}` becomes `{vault://…}`. All failures
    /// are reported, each with its place.
    pub async fn render(&self, text: &[u8]) -> Result<Secret, Vec<Failure>> {
        let template = Template::parse(text)?;
        let results = self.resolve_many(template.references()).await;
        let (mut secrets, mut failures) = (Vec::new(), Vec::new());
        for ((_, range), result) in template.places().zip(results) {
            match result {
                Ok(secret) => secrets.push(secret),
                Err(error) => failures.push(Failure { range, error }),
            }
        }
        if failures.is_empty() { Ok(template.fill(&secrets)) } else { Err(failures) }
    }

    /// The texts with their references replaced, in their order, each with its own result.
    pub async fn render_many<'t>(
        &self,
        texts: impl IntoIterator<Item = &'t [u8]>,
    ) -> Vec<Result<Secret, Vec<Failure>>> {
        join_all(texts.into_iter().map(|text| self.render(text))).await
    }

    /// The effective value of a setting, its references resolved; `None` where it has none. A list is split at
    /// its commas first, so that a comma in a secret stays.
    pub async fn setting(&self, key: &str) -> Result<Option<OptionValue>, Vec<Failure>> {
        let Some(text) = self.settings.get(key).and_then(|setting| setting.text) else { return Ok(None) };
        let whole = 0..text.len();
        let failure = |error| vec![Failure { range: whole.clone(), error }];
        if settings::known(key).is_some_and(|spec| spec.kind == vaultref_core::schema::OptionKind::List) {
            let mut items = Vec::new();
            for item in settings::list(&text) {
                // `vaults` says which vaults there are: none can be asked before it is known.
                if key == "vaults" && scan::contains(item.as_bytes()) {
                    let message = "setting `vaults` cannot hold a reference";
                    let hint = "it decides which vaults there are: write their names";
                    return Err(failure(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint)));
                }
                items.push(self.setting_text(&item).await?);
            }
            return Ok(Some(OptionValue::List(items)));
        }
        let mut text = self.setting_text(&text).await?;
        let value = match self.vaults.option_of_setting(key) {
            Some(spec) => spec
                .read(&RawValue::Text(text.clone()))
                .map_err(|why| Error::new(ErrorKind::InvalidConfig, format!("setting `{key}` {why}"))),
            None => settings::read(key, &text),
        }
        .map_err(failure);
        text.zeroize();
        value
    }

    pub(crate) async fn setting_text(&self, text: &str) -> Result<String, Vec<Failure>> {
        let secret = self.render(text.as_bytes()).await?;
        secret.expose_str().map(str::to_owned).map_err(|_| {
            let error =
                Error::new(ErrorKind::InvalidConfig, "a setting wants text, and the secret is binary");
            vec![Failure { range: 0..text.len(), error }]
        })
    }

    /// A reference's text for messages: values of options that may be secret are left out.
    pub fn shown(&self, reference: &Reference) -> String {
        let definition = self.vaults.lookup(reference.vault()).ok().map(Vault::definition);
        reference.redacted(|name| {
            let spec = definition.and_then(|definition| definition.spec(name));
            spec.is_some_and(|spec| spec.kind != vaultref_core::schema::OptionKind::Secret)
        })
    }

    /// In which state the payload of a reference is that was resolved before.
    pub async fn state(&self, reference: &Reference) -> Result<State, Error> {
        Ok(self.plan(reference).await?.cell.state(self.clock.now()))
    }

    pub(crate) async fn resolve_anew(&self, reference: &Reference) -> Result<Secret, Error> {
        let plan = self.plan(reference).await?;
        let is_known = plan.cell.was_asked();
        let (payload, generation) = self.payload(&plan, reference).await?;
        let secret = select(&payload, reference.key(), plan.route.base64_decode)?;
        // Most references of a command are resolved once: the short path is laid from the second time on.
        if is_known {
            self.cache.remember(reference, &secret, generation, &plan.cell);
        }
        Ok(secret)
    }

    pub(crate) async fn cell(&self, reference: &Reference) -> Result<Arc<Cell>, Error> {
        Ok(self.plan(reference).await?.cell)
    }

    async fn payload(&self, plan: &Plan, reference: &Reference) -> Result<(Payload, u64), Error> {
        let fetch = || async {
            let Some(opened) = plan.route.opened.get() else {
                return Err(Error::new(ErrorKind::Internal, "the vault was closed while it was asked"));
            };
            let _permit = opened.fetches.acquire().await.expect("nobody closes the semaphore");
            let fetch = opened.backend.fetch(reference.resource(), reference.version());
            debug!(vault = reference.vault(), resource = %reference.resource(), "fetching");
            let result = tokio::time::timeout(self.fetch_timeout, fetch)
                .await
                .unwrap_or_else(|_| Err(self.timed_out()));
            if let Err(error) = &result {
                warn!(vault = reference.vault(), resource = %reference.resource(), kind = %error.kind(), "fetch failed");
            }
            result.map_err(|error| {
                opened.hidden.in_error(error).within(format!("vault `{}`", reference.vault()))
            })
        };
        plan.cell.get(&plan.route.policy, &*self.clock, fetch).await
    }

    pub(crate) fn timed_out(&self) -> Error {
        let seconds = self.fetch_timeout.as_secs_f64();
        Error::new(ErrorKind::Timeout, format!("no answer within {seconds} s"))
            .with_hint("the setting `fetch_timeout` says how long to wait")
    }

    async fn plan(&self, reference: &Reference) -> Result<Plan, Error> {
        let vault = self.vaults.lookup(reference.vault())?;
        if let Some(error) = vault.check_version(reference) {
            return Err(error);
        }
        let route = self.route(vault, reference).await?;
        let key = CellKey {
            vault: route.opened.get().map(|opened| opened.id).unwrap_or_default(),
            policy: route.policy,
            resource: reference.resource().clone(),
            version: reference.version().cloned(),
        };
        Ok(Plan { cell: self.cache.cell(key, &*self.clock), route })
    }

    async fn route(&self, vault: &Vault, reference: &Reference) -> Result<Arc<Route>, Error> {
        let key: RouteKey = (vault.name().to_owned(), reference.options().map(<[_]>::to_vec));
        let known = self.routes.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(route) = known {
            return Ok(route);
        }
        if let Some(error) = vault.check_options(reference.options().unwrap_or_default()).into_iter().next() {
            return Err(error);
        }
        for name in vault.unknown_options(reference) {
            warn!(vault = vault.name(), option = name, "unknown option in a reference");
        }
        // Here and not where a vault is opened: that it is open says nothing about the options that every vault has.
        check_cycles(&self.vaults, reference)?;
        let options = vault.effective(reference);
        let opened = self.open(vault, &options).await?;
        let common = self.values(vault, options.iter().filter(|option| is_common(option))).await?;
        let common = CommonOptions::from_values(&common).map_err(|name| missing_option(vault, name))?;
        let policy = Policy::from_seconds(common.ttl, common.neg_ttl, common.resurrect_ttl);
        let route = Arc::new(Route { opened, policy, base64_decode: common.base64_decode });
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if routes.len() >= OPEN_MAX {
            routes.clear();
        }
        routes.insert(key, Arc::clone(&route));
        Ok(route)
    }
}

pub(crate) fn first(failures: Vec<Failure>) -> Error {
    let internal = || Error::new(ErrorKind::Internal, "a failure without a cause");
    failures.into_iter().next().map_or_else(internal, |failure| failure.error)
}
