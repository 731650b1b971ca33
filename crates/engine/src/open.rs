//! Opens vaults, each once per set of options, and closes them all at the end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OnceCell, Semaphore};
use tracing::debug;
use vaultref_core::schema::{CommonOptions, OptionValues, RawValue};
use vaultref_core::{Backend, BoxFuture, Check, Context, Error, ErrorKind, Leases, Warn, scan};
use zeroize::Zeroize;

use crate::engine::{Engine, OPEN_MAX, first};
use crate::hide::Hidden;
use crate::vaults::{EffectiveOption, Vault};

/// How many fetches a vault has under way at the most. Per vault, so that a store that hangs holds up no other.
const FETCHES_AT_ONCE: usize = 256;

/// How long a store may take to take back what it has lent. Longer, and whoever waits for the program's end would
/// think that it hangs; leases end by themselves anyway.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A vault with one set of options, ready to be asked.
pub(crate) struct Opened {
    pub id: u64,
    pub backend: Arc<dyn Backend>,
    pub fetches: Semaphore,
    /// What the references in its options stood for.
    pub hidden: Hidden,
}

impl Engine {
    /// Finds out how far a vault works, with the options that it has without a reference's. The error says that
    /// it cannot even be opened.
    pub async fn check_vault(&self, name: &str) -> Result<Vec<Check>, Error> {
        let vault = self.vaults().lookup(name)?;
        if let Some(error) = vault.check_options(&[]).into_iter().next() {
            return Err(error);
        }
        let options = vault.effective_with(&[]);
        let opened = self.open(vault, &options).await?;
        let Some(opened) = opened.get() else { return Ok(Vec::new()) };
        let checks = tokio::time::timeout(self.fetch_timeout, opened.backend.check());
        let checks = checks.await.map_err(|_| self.timed_out().within(format!("vault `{name}`")))?;
        let hide = |check: Check| Check {
            result: check.result.map_err(|error| opened.hidden.in_error(error)),
            ..check
        };
        Ok(checks.into_iter().map(hide).collect())
    }

    /// Ends the use of all vaults: what they hold of their stores is given back, leases as `leases` says. To be
    /// called before the program ends or becomes another; waits for three seconds at the most.
    pub async fn close(&self, leases: Leases) {
        let opened: Vec<_> = {
            let mut all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            match leases {
                // What is left can still be revoked, should nobody use it after all.
                Leases::Keep => all.values().cloned().collect(),
                Leases::Revoke => {
                    self.routes.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    all.drain().map(|(_, cell)| cell).collect()
                }
            }
        };
        let closing = opened.iter().filter_map(|cell| cell.get()).map(|opened| opened.backend.close(leases));
        if tokio::time::timeout(CLOSE_TIMEOUT, join_all(closing)).await.is_err() {
            debug!("gave up on closing vaults");
        }
    }

    /// The vault with these options, opened once however many ask.
    pub(crate) async fn open(
        &self,
        vault: &Vault,
        options: &[EffectiveOption],
    ) -> Result<Arc<OnceCell<Opened>>, Error> {
        let own: Vec<&EffectiveOption> = options.iter().filter(|option| !is_common(option)).collect();
        let key = opened_key(vault, &own);
        let cell = {
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            if opened.len() >= OPEN_MAX && !opened.contains_key(&key) {
                opened.clear();
            }
            Arc::clone(opened.entry(key).or_default())
        };
        cell.get_or_try_init(|| async {
            let values = self.values(vault, own.iter().copied()).await?;
            for spec in vault.definition().specs().filter(|spec| spec.required) {
                if !values.contains_key(spec.name) {
                    return Err(missing_option(vault, spec.name));
                }
            }
            debug!(vault = vault.name(), backend = vault.definition().name, "opening");
            let hidden = Hidden::new(&own, &values);
            let context = Context {
                from_reference: vault.overridden(&own),
                warn: self.context.warn.as_ref().map(|warn| named(Arc::clone(warn), vault)),
                ..self.context.clone()
            };
            let backend = (vault.definition().open)(&values, &context)
                .map_err(|error| hidden.in_error(error).within(format!("vault `{}`", vault.name())))?;
            let id = self.opened_count.fetch_add(1, Ordering::Relaxed);
            Ok(Opened { id, backend, fetches: Semaphore::new(FETCHES_AT_ONCE), hidden })
        })
        .await?;
        Ok(cell)
    }

    /// The options' values, references in them resolved.
    pub(crate) fn values<'a>(
        &'a self,
        vault: &'a Vault,
        options: impl Iterator<Item = &'a EffectiveOption> + Send + 'a,
    ) -> BoxFuture<'a, Result<OptionValues, Error>> {
        Box::pin(async move {
            let mut values = OptionValues::new();
            for option in options {
                let mut raw = option.raw.clone();
                for text in texts_mut(&mut raw).iter_mut().filter(|text| scan::contains(text.as_bytes())) {
                    let context = format!("option `{}` of vault `{}`", option.spec.name, vault.name());
                    let rendered = self.setting_text(text).await;
                    *text = rendered.map_err(|failures| first(failures).within(&context))?;
                }
                let value = option.spec.read(&raw).map_err(|why| vault.bad_option(option, &why));
                texts_mut(&mut raw).iter_mut().for_each(Zeroize::zeroize);
                // An option that is set to nothing has its default, if there is one.
                let default = || option.spec.default.map(|text| RawValue::Text(text.to_owned()));
                let value = match value? {
                    None => default().and_then(|raw| option.spec.read(&raw).ok().flatten()),
                    value => value,
                };
                if let Some(value) = value {
                    values.insert(option.spec.name, value);
                }
            }
            Ok(values)
        })
    }
}

fn texts_mut(raw: &mut RawValue) -> &mut [String] {
    match raw {
        RawValue::Text(text) => std::slice::from_mut(text),
        RawValue::List(items) => items,
        RawValue::Null | RawValue::Boolean(_) => &mut [],
    }
}

pub(crate) fn is_common(option: &EffectiveOption) -> bool {
    CommonOptions::SPECS.iter().any(|common| common.name == option.spec.name)
}

/// What tells one way into a vault from another: its name, and each option that is set. It may hold a literal
/// secret, as the settings do, and goes nowhere. Texts are told with their lengths: a reference's query can hold any
/// byte, and must not be able to write another option's value.
fn opened_key(vault: &Vault, own: &[&EffectiveOption]) -> String {
    let sized = |text: &String| format!("{}:{text}", text.len());
    let mut key = vault.name().to_owned();
    for option in own {
        let value = match &option.raw {
            RawValue::Null => "-".to_owned(),
            RawValue::Boolean(value) => value.to_string(),
            RawValue::Text(text) => sized(text),
            RawValue::List(items) => format!("[{}]", items.iter().map(sized).collect::<String>()),
        };
        key.push_str(&format!("\0{}={value}", option.spec.name));
    }
    key
}

/// A warning names the vault that it is about.
fn named(warn: Warn, vault: &Vault) -> Warn {
    let name = format!("vault `{}`", vault.name());
    Arc::new(move |warning| warn(&warning.clone().within(&name)))
}

pub(crate) fn missing_option(vault: &Vault, name: &str) -> Error {
    let message = format!("vault `{}` wants the option `{name}`", vault.name());
    let definition = vault.definition();
    let hint = match definition.spec(name) {
        Some(spec) if !vault.is_entity() => {
            let key = crate::vaults::setting_keys(definition, spec).next().unwrap_or_default();
            format!("set `{key}` in the settings file, or `KONG_{}` in the environment", key.to_uppercase())
        }
        _ => "set it in the vault's `config`".to_owned(),
    };
    Error::new(ErrorKind::InvalidConfig, message).with_hint(hint)
}
