//! Holds a backend against its scenarios, through the engine: what a store holds, a reference, and what comes out.
//!
//! The scenarios, whose format [`Scenario`] describes, are in two files:
//!
//! - `conformance/common.toml` has those that are the same for every backend. Some need what not every store has, or
//!   a [`Fault`] that not every set-up can cause;
//! - `<backend>.toml` has those of its own, such as its messages. Its head says under `capabilities` what the backend
//!   declares, and under `skips` which common scenarios are not run for want of the rest: exactly those, so that a
//!   new common scenario is a decision for each backend.
//!
//! A backend's test says how its store is set up, and the rest is done here:
//!
//! - each scenario is run against the default vault, set up by `vault_<backend>_<option>` settings, and against a
//!   vault entity with the same options; both have to agree;
//! - [`GETS_AT_ONCE`] gets run at once: they get the same answer, and cost at most one fetch;
//! - a get after that is answered from the cache;
//! - nothing that is printed on the way holds a part of what the store holds, or of an option that is secret: error,
//!   log, `Debug` of the backend.

use std::any::Any;
use std::path::Path;

use vaultref::declarative::VaultEntity;
use vaultref::schema::RawValue;
use vaultref::{Context, Definition, Engine, Environment, Error, Failure, Secret, Settings};

mod common;
mod counting;
mod leaks;
#[cfg(test)]
mod model;
mod scenario;

pub use common::Fault;
pub use scenario::{Content, Scenario};

use counting::Counter;
use leaks::{Log, Secrets};

/// So many ask for the same secret at the same moment.
pub const GETS_AT_ONCE: usize = 200;

/// The prefix of the vault entity.
const ENTITY: &str = "conformance";

/// A backend and its scenarios.
pub struct Conformance {
    definition: &'static Definition,
    /// All backends, with the one under test wrapped so that its fetches are counted.
    registry: &'static [Definition],
    scenarios: Vec<Scenario>,
}

/// A store that is set up for one scenario.
#[derive(Default)]
pub struct Store {
    /// What the backend gets from the process.
    pub context: Context,
    /// Options that only the set-up knows, such as the store's address. They come on top of the scenario's.
    pub options: Vec<(&'static str, String)>,
    /// What `STORE` stands for in expected messages.
    pub place: String,
    /// What has to live as long as the store: a directory, a server.
    pub kept: Option<Box<dyn Any>>,
}

impl Store {
    /// The vault's options: the scenario's, and those that only the set-up knows.
    fn options_with(&self, scenario: &Scenario) -> impl Iterator<Item = (String, String)> {
        let own = self.options.iter().map(|(name, text)| ((*name).to_owned(), text.clone()));
        scenario.options().chain(own)
    }
}

impl Conformance {
    /// Reads `<folder>/<backend>.toml`. Panics where a scenario contradicts itself, or what the backend declares is
    /// not so.
    pub fn load(registry: &'static [Definition], backend: &str, folder: &Path) -> Self {
        let path = folder.join(format!("{backend}.toml"));
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::read(registry, backend, common::TEXT, &text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn read(registry: &'static [Definition], backend: &str, common: &str, own: &str) -> Result<Self, String> {
        let definition = registry.iter().find(|definition| definition.name == backend);
        let definition = definition.ok_or_else(|| format!("there is no backend `{backend}`"))?;
        let common = scenario::parse(common).map_err(|why| format!("common.toml: {why}"))?;
        let scenarios = common::choose(definition, common, scenario::parse(own)?)?;
        scenarios.iter().try_for_each(|scenario| scenario.check_options(definition))?;
        Ok(Self { definition, registry: counting::wrapped(registry, backend), scenarios })
    }

    /// Runs all scenarios on fresh stores, two each, within a current-thread runtime that has its timer enabled, and
    /// its I/O where the backend needs that. Panics with the list of those that fail.
    pub async fn run(&self, install: impl AsyncFn(&Scenario) -> Store) {
        let failures = self.failures(install).await;
        let (backend, failed, total) = (self.definition.name, failures.len(), self.scenarios.len());
        assert!(failed == 0, "{backend}: {failed} of {total} scenarios fail\n{}", failures.join("\n"));
    }

    async fn failures(&self, install: impl AsyncFn(&Scenario) -> Store) -> Vec<String> {
        let mut failures = Vec::new();
        for scenario in &self.scenarios {
            let by_default = self.outcome(Vault::Default, scenario, &install(scenario).await).await;
            let by_entity = self.outcome(Vault::Entity, scenario, &install(scenario).await).await;
            let outcome = match (by_default, by_entity) {
                (Ok(one), Ok(other)) if one != other => Err("a vault entity gives another answer".to_owned()),
                (one, other) => one.and(other),
            };
            failures.extend(outcome.err().map(|why| format!("{}: {why}", scenario.name)));
        }
        failures
    }

    /// What the scenario's reference gives, in words that do not depend on the vault; or how that is not what the
    /// scenario expects.
    async fn outcome(
        &self,
        vault: Vault,
        scenario: &Scenario,
        store: &Store,
    ) -> Result<Result<Secret, String>, String> {
        let secrets = Secrets::of(self.definition, scenario, store);
        let (counter, log) = (Counter::start(self.definition), Log::start());
        let result = self.resolve(vault, scenario, store, &counter).await?;
        secrets.look_for(&log.take(), "log")?;
        secrets.look_for(&counter.opened(), "`Debug` of the backend")?;
        if let Err(error) = &result {
            let shown = format!("{error} {error:?} {}", error.hint().unwrap_or_default());
            secrets.look_for(&shown, "error")?;
        }
        let result = result.map_err(|error| neutral(&error, vault.name(self.definition), &store.place));
        scenario.check(&result)?;
        Ok(result.map_err(|told| told.message))
    }

    /// Asks many times, and says what all got.
    async fn resolve(
        &self,
        vault: Vault,
        scenario: &Scenario,
        store: &Store,
        counter: &Counter,
    ) -> Result<Result<Secret, Error>, String> {
        let reference = scenario.reference(vault.name(self.definition));
        let engine = match self.engine(vault, scenario, store) {
            Ok(engine) => engine,
            Err(failures) => {
                return failures.into_iter().next().map(|f| Err(f.error)).ok_or_else(String::new);
            }
        };
        let at_once = engine.resolve_many(std::iter::repeat_n(&reference, GETS_AT_ONCE)).await;
        let fetches = counter.fetches();
        // Nor does a fault count that no fetch has met.
        let is_due = at_once[0].is_ok() || scenario.fault.is_some();
        if fetches > 1 || (fetches == 0 && is_due) {
            return Err(format!("{GETS_AT_ONCE} gets at once cost {fetches} fetches"));
        }
        if at_once.iter().any(|result| !is_same(result, &at_once[0])) {
            return Err("gets at once got different answers".to_owned());
        }
        if at_once[0].is_ok() {
            let again = engine.resolve(&reference).await;
            let cached = engine.cached(&reference).ok_or("a secret is not served from the cache")?;
            if !is_same(&again, &at_once[0]) || !is_same(&Ok(cached), &at_once[0]) || counter.fetches() != 1 {
                return Err("a later get got another answer".to_owned());
            }
        }
        at_once.into_iter().next().ok_or_else(String::new)
    }

    fn engine(&self, vault: Vault, scenario: &Scenario, store: &Store) -> Result<Engine, Vec<Failure>> {
        let options: Vec<(String, String)> = store.options_with(scenario).collect();
        let backend = self.definition.name.replace('-', "_");
        let of_default = options.iter().map(|(name, text)| (format!("vault_{backend}_{name}"), text.clone()));
        let set: Vec<(String, String)> = match vault {
            Vault::Default => scenario.settings().chain(of_default).collect(),
            Vault::Entity => scenario.settings().collect(),
        };
        let set: Vec<(&str, String)> = set.iter().map(|(key, text)| (key.as_str(), text.clone())).collect();
        let settings = Settings::load(None, &Environment::default(), &set)?;
        let builder = Engine::builder(self.registry).context(store.context.clone()).settings(settings);
        match vault {
            Vault::Default => builder.build(),
            Vault::Entity => {
                let config = options.into_iter().map(|(name, text)| (name, RawValue::Text(text), 0..0));
                let entity = VaultEntity {
                    prefix: ENTITY.to_owned(),
                    backend: self.definition.name.to_owned(),
                    description: None,
                    id: None,
                    tags: Vec::new(),
                    config: config.collect(),
                    range: 0..0,
                };
                builder.entities(vec![entity]).build()
            }
        }
    }
}

/// Which vault a scenario is run against.
#[derive(Clone, Copy)]
enum Vault {
    Default,
    Entity,
}

impl Vault {
    fn name(self, definition: &Definition) -> &'static str {
        match self {
            Self::Default => definition.name,
            Self::Entity => ENTITY,
        }
    }
}

fn is_same(one: &Result<Secret, Error>, other: &Result<Secret, Error>) -> bool {
    match (one, other) {
        // As bytes: secrets themselves are compared in constant time, which takes long for large ones.
        (Ok(one), Ok(other)) => one.expose() == other.expose(),
        (Err(one), Err(other)) => format!("{one:?}") == format!("{other:?}") && one.hint() == other.hint(),
        _ => false,
    }
}

/// An error as scenarios tell it: without the names of the vault and of the place of the store.
struct Told {
    kind: &'static str,
    message: String,
    hint: String,
}

fn neutral(error: &Error, vault: &str, place: &str) -> Told {
    let neutral = |text: &str| {
        let text = text.replace(&format!("vault `{vault}`"), "vault `VAULT`");
        if place.is_empty() { text } else { text.replace(place, "STORE") }
    };
    let hint = neutral(error.hint().unwrap_or_default());
    Told { kind: error.kind().name(), message: neutral(error.message()), hint }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vaultref::{ErrorKind, Payload, Resource, Version};
    use vaultref_core::{Backend, BoxFuture, Versions};

    use super::*;

    /// A store that holds one secret and keeps it badly.
    struct Careless(Secret);

    impl std::fmt::Debug for Careless {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(if self.0.expose() == b"debuggable" { "debuggable" } else { "Careless" })
        }
    }

    impl Backend for Careless {
        fn fetch<'a>(
            &'a self,
            resource: &'a Resource,
            _: Option<&'a Version>,
        ) -> BoxFuture<'a, Result<Payload, Error>> {
            let secret = self.0.expose_str().expect("the test gives text");
            let denied = |message: &str| Err(Error::new(ErrorKind::Denied, message));
            Box::pin(std::future::ready(match resource.as_str() {
                "logs" => {
                    tracing::info!("it is {secret}");
                    Ok(Payload::new(secret))
                }
                "tells" => denied(&format!("{} has another right", &secret[2..8])),
                "denies" => denied("no right"),
                _ => Ok(Payload::new(secret)),
            }))
        }
    }

    static REGISTRY: &[Definition] = &[Definition {
        name: "careless",
        about: "for tests",
        options: &[],
        versions: Versions::None,
        ambient: None,
        open: |_, context| match context.environment.get("SECRET") {
            Some(secret) => Ok(Arc::new(Careless(secret.clone()))),
            None => Err(Error::new(ErrorKind::InvalidConfig, "no secret")),
        },
    }];

    /// Two that it keeps, and one that it would break if it were run.
    const COMMON: &str = "
        [[scenario]]
        name = 'versions'
        needs = ['versions:ignored']
        given = { SECRET = 'opensesame' }
        reference = '{vault://VAULT/x#2}'
        expect = 'opensesame'
        [[scenario]]
        name = 'denials'
        fault = 'denied'
        given = { SECRET = 'opensesame' }
        reference = '{vault://VAULT/denies}'
        error = 'Denied'
        [[scenario]]
        name = 'slashes'
        needs = ['slash']
        given = { SECRET = 'opensesame' }
        reference = '{vault://VAULT/x/}'
        expect = 'shutsesame'
    ";

    async fn failures(given: &str, resource: &str, expected: &str) -> Vec<String> {
        let given = if given.is_empty() { String::new() } else { format!("SECRET = '{given}'") };
        let own = format!(
            "capabilities = ['versions:ignored', 'fault:denied']\nskips = ['slashes']\n\
             [[scenario]]\nname = 'a'\ngiven = {{ {given} }}\n\
             reference = '{{vault://VAULT/{resource}}}'\n{expected}"
        );
        let this = Conformance::read(REGISTRY, "careless", COMMON, &own).expect("the scenarios are whole");
        this.failures(async |scenario: &Scenario| {
            let current =
                |(name, contents): (&str, &[Content])| Some((name.to_owned(), contents.last()?.bytes()));
            let variables = scenario.contents().filter_map(current);
            Store { context: Context::new(Environment::from_iter(variables)), ..Store::default() }
        })
        .await
    }

    #[tokio::test]
    async fn a_broken_promise_is_found() {
        for (given, resource, expected, failure) in [
            ("opensesame", "x", "expect = 'opensesame'", None),
            ("opensesame", "denies", "error = 'Denied'\nmessage = 'no right'\nhint = ''", None),
            ("opensesame", "x", "expect = 'sesame'", Some("another value")),
            ("opensesame", "x", "error = 'Denied'", Some("a value instead of an error")),
            ("opensesame", "denies", "expect = 'x'", Some("Denied: vault `VAULT`: no right ()")),
            ("opensesame", "denies", "error = 'NotFound'", Some("Denied: vault `VAULT`: no right ()")),
            (
                "opensesame",
                "denies",
                "error = 'Denied'\nmentions = ['x']",
                Some("Denied: vault `VAULT`: no right ()"),
            ),
            ("opensesame", "tells", "error = 'Denied'", Some("error shows a part of a secret")),
            (
                "",
                "tells",
                "error = 'Denied'\nversions = { SECRET = ['x', 'opensesame'] }",
                Some("error shows a part of a secret"),
            ),
            (
                "",
                "denies",
                "error = 'InvalidConfig'\nfault = 'denied'",
                Some("200 gets at once cost 0 fetches"),
            ),
            ("opensesame", "logs", "expect = 'opensesame'", Some("log shows a part of a secret")),
            (
                "debuggable",
                "x",
                "expect = 'debuggable'",
                Some("`Debug` of the backend shows a part of a secret"),
            ),
        ] {
            let expected_failures: Vec<String> = failure.iter().map(|why| format!("a: {why}")).collect();
            assert_eq!(failures(given, resource, expected).await, expected_failures, "{resource}");
        }
    }

    #[test]
    fn an_option_that_the_backend_does_not_have_is_told() {
        let own = "capabilities = ['versions:ignored', 'fault:denied']\nskips = ['slashes']\n\
                   [[scenario]]\nname = 'a'\noptions = { prefx = 'p' }\n\
                   reference = '{vault://VAULT/x}'\nexpect = ''";
        let told = Conformance::read(REGISTRY, "careless", COMMON, own).err();
        assert_eq!(told.as_deref(), Some("a: backend `careless` has no option `prefx`"));
    }
}
