//! Which vaults there are, and which value each option has for a given reference.

use std::collections::BTreeMap;
use std::fmt;

use vaultref_core::schema::{OptionKind, OptionSpec, RawValue};
use vaultref_core::{
    Ambient, Context, Definition, Error, ErrorKind, QueryValue, Reference, Version, Versions, redacted_vault,
    scan,
};

use crate::declarative::{VaultEntity, is_valid_prefix};
use crate::settings::{Origin, Settings};
use crate::template::Template;
use crate::{Failure, names};

/// A named, configured way to reach a store.
pub struct Vault {
    name: String,
    definition: &'static Definition,
    is_entity: bool,
    set: BTreeMap<&'static str, (RawValue, OptionOrigin)>,
    /// What may stand in for what is not set.
    surroundings: Context,
}

/// Where the value of a vault's option comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionOrigin {
    /// The reference's query.
    Query,
    /// The vault entity's `config`.
    Entity,
    /// A setting: its key, and where that was made.
    Setting(String, Origin),
    /// Something around the process, which stands in where nobody sets anything.
    Ambient(String),
    /// The schema.
    Default,
}

impl fmt::Display for OptionOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query => f.write_str("reference"),
            Self::Entity => f.write_str("vault entity"),
            Self::Setting(key, origin) => write!(f, "{key}, {origin}"),
            Self::Ambient(origin) => write!(f, "{origin}, as the vault sets nothing"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One option of a vault, as it counts for one reference.
#[derive(Clone)]
pub struct EffectiveOption {
    /// The option.
    pub spec: &'static OptionSpec,
    /// Its value as written, which may hold references.
    pub raw: RawValue,
    /// Where it was written.
    pub origin: OptionOrigin,
}

impl EffectiveOption {
    /// The references in the value.
    pub(crate) fn references(&self) -> Vec<Reference> {
        let templates = texts(&self.raw).iter().filter_map(|text| Template::parse(text.as_bytes()).ok());
        templates.flat_map(|template| template.references().cloned().collect::<Vec<_>>()).collect()
    }

    /// The value as it can be shown: of a secret option, only a reference.
    pub fn shown(&self) -> String {
        match &self.raw {
            RawValue::Null => String::new(),
            RawValue::Text(text) if text.is_empty() => String::new(),
            // Beside a reference there may be a part of the secret in clear.
            RawValue::Text(text) if self.spec.kind == OptionKind::Secret => match Reference::parse(text) {
                Ok(reference) => reference.redacted(|_| false),
                Err(_) => "[secret]".to_owned(),
            },
            RawValue::Text(text) => text.clone(),
            RawValue::Boolean(value) => value.to_string(),
            RawValue::List(items) => items.join(","),
        }
    }
}

impl Vault {
    /// The name in references: the backend's for a default vault, the prefix for an entity.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a vault entity; else it is the default vault of its backend.
    pub fn is_entity(&self) -> bool {
        self.is_entity
    }

    /// Whether somebody means to use it: an entity, or a default vault of which something is set, in its
    /// configuration or around the process; or one that needs no configuration.
    pub fn is_in_use(&self) -> bool {
        let needs_none =
            || self.definition.ambient.is_none() && !self.definition.specs().any(|spec| spec.required);
        let around = || self.ambient(&[]).map_or(true, |found| !found.is_empty());
        self.is_entity || !self.set.is_empty() || needs_none() || around()
    }

    /// The kind of store.
    pub fn definition(&self) -> &'static Definition {
        self.definition
    }

    /// What was set for this vault, beside what a reference sets: option, value and origin.
    pub fn set_options(&self) -> impl Iterator<Item = EffectiveOption> + '_ {
        self.set.iter().filter_map(|(name, (raw, origin))| {
            Some(EffectiveOption {
                spec: self.definition.spec(name)?,
                raw: raw.clone(),
                origin: origin.clone(),
            })
        })
    }

    /// The options that count for a reference, each with its origin: query over vault over what the surroundings
    /// give over default. Those that have no value at all are left out.
    pub fn effective(&self, reference: &Reference) -> Vec<EffectiveOption> {
        self.effective_with(reference.options().unwrap_or_default())
    }

    /// The options that count for a reference with this query.
    pub(crate) fn effective_with(&self, query: &[(String, QueryValue)]) -> Vec<EffectiveOption> {
        // What cannot be used there is reported by `check_options`.
        let ambient = self.ambient(query).unwrap_or_default();
        self.definition
            .specs()
            .filter_map(|spec| {
                let in_query = query.iter().find(|(name, _)| spec.is_named(name));
                let default =
                    || spec.default.map(|text| (RawValue::Text(text.to_owned()), OptionOrigin::Default));
                let set = in_query
                    .map(|(_, value)| (RawValue::from(value), OptionOrigin::Query))
                    .or_else(|| self.set.get(spec.name).cloned());
                let around = || {
                    let found = ambient.iter().find(|ambient| ambient.option == spec.name)?;
                    Some((found.value.clone(), OptionOrigin::Ambient(found.origin.clone())))
                };
                let is_nothing = |raw: &RawValue| matches!(spec.read(raw), Ok(None));
                // What stands in also does so where "nothing" was set, if the backend says so.
                let (raw, origin) = match set {
                    Some((raw, _)) if is_nothing(&raw) && around().is_some() => around()?,
                    Some(set) => set,
                    None => around().or_else(default)?,
                };
                Some(EffectiveOption { spec, raw, origin })
            })
            .collect()
    }

    fn ambient(&self, query: &[(String, QueryValue)]) -> Result<Vec<Ambient>, Error> {
        let Some(read) = self.definition.ambient else { return Ok(Vec::new()) };
        let set = |name: &str| {
            let spec = self.definition.spec(name)?;
            let in_query = query.iter().find(|(name, _)| spec.is_named(name));
            in_query
                .map(|(_, value)| RawValue::from(value))
                .or_else(|| self.set.get(spec.name).map(|(raw, _)| raw.clone()))
        };
        read(&self.surroundings, &set)
    }

    /// The options that have another value than without a reference's query, because it sets them, or sets something
    /// that what stood in for them does not go with. What the surroundings give is never the reference's.
    pub(crate) fn overridden(&self, options: &[&EffectiveOption]) -> Vec<&'static str> {
        let own = self.effective_with(&[]);
        let is_own = |option: &EffectiveOption| {
            matches!(option.origin, OptionOrigin::Ambient(_))
                || own.iter().any(|own| own.spec.name == option.spec.name && is_same(own, option))
        };
        options.iter().filter(|option| !is_own(option)).map(|option| option.spec.name).collect()
    }

    /// Names in the reference's query that are no options of this vault.
    pub fn unknown_options<'r>(&self, reference: &'r Reference) -> Vec<&'r str> {
        let query = reference.options().unwrap_or_default();
        query
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| self.definition.spec(name).is_none())
            .collect()
    }

    /// What is wrong with a reference to this vault, as far as its text tells.
    pub fn check(&self, reference: &Reference) -> Vec<Error> {
        self.check_options(reference.options().unwrap_or_default())
            .into_iter()
            .chain(self.check_version(reference))
            .collect()
    }

    /// Values of options that cannot be used, in the query or in the vault's own configuration.
    pub(crate) fn check_options(&self, query: &[(String, QueryValue)]) -> Vec<Error> {
        let ambient = self.ambient(query).err();
        self.effective_with(query).iter().filter_map(|option| self.fault(option)).chain(ambient).collect()
    }

    /// What is wrong with an option's value before references in it are resolved.
    fn fault(&self, option: &EffectiveOption) -> Option<Error> {
        if !texts(&option.raw).iter().any(|text| scan::contains(text.as_bytes())) {
            return option.spec.read(&option.raw).err().map(|why| self.bad_option(option, &why));
        }
        let parsed = texts(&option.raw).iter().map(|text| Template::parse(text.as_bytes()));
        let failure = parsed.filter_map(Result::err).flatten().next()?;
        Some(failure.error.within(format!("option `{}` of vault `{}`", option.spec.name, self.name)))
    }

    /// A version that the backend cannot tell apart.
    pub(crate) fn check_version(&self, reference: &Reference) -> Option<Error> {
        let hint = match (reference.version()?, self.definition.versions) {
            (Version::Number(_), _) | (_, Versions::All) => return None,
            (_, Versions::Previous) => "write `#2` for the previous value, or leave the version out",
            (_, Versions::Numbers) => "versions are numbers, as in `#2`; without one it is the latest",
            (_, Versions::None) => "leave the version out",
        };
        let message = format!("backend `{}` has no such version", self.definition.name);
        Some(Error::new(ErrorKind::InvalidReference, message).with_hint(hint))
    }

    /// The error for an option whose value cannot be used.
    pub(crate) fn bad_option(&self, option: &EffectiveOption, why: &str) -> Error {
        let kind = match option.origin {
            OptionOrigin::Query => ErrorKind::InvalidReference,
            _ => ErrorKind::InvalidConfig,
        };
        let message = format!("option `{}` of vault `{}` {why}", option.spec.name, self.name);
        let doc = option.spec.doc.split_whitespace().collect::<Vec<_>>().join(" ");
        Error::new(kind, message)
            .with_hint(format!("`{}`: {doc} It was set in: {}", option.spec.name, option.origin))
    }
}

/// Whether two ways to write a value mean the same: `true` and `on`.
fn is_same(one: &EffectiveOption, other: &EffectiveOption) -> bool {
    let read = |option: &EffectiveOption| option.spec.read(&option.raw).ok();
    one.raw == other.raw || read(one).is_some_and(|value| Some(value) == read(other))
}

/// The texts of a value, each of which may hold references.
pub(crate) fn texts(raw: &RawValue) -> &[String] {
    match raw {
        RawValue::Text(text) => std::slice::from_ref(text),
        RawValue::List(items) => items,
        RawValue::Null | RawValue::Boolean(_) => &[],
    }
}

/// All vaults: default vaults by their backend's name, entities by their prefix.
pub struct Vaults {
    vaults: BTreeMap<String, Vault>,
    disabled: Vec<&'static str>,
    not_installed: Vec<String>,
    warnings: Vec<Error>,
}

impl Vaults {
    /// Sets up the vaults that the settings and the entities describe. All faults of entities are reported,
    /// with their place in the declarative file.
    pub(crate) fn new(
        registry: &'static [Definition],
        settings: &Settings,
        entities: &[VaultEntity],
        surroundings: &Context,
    ) -> Result<Self, Vec<Failure>> {
        let loaded = settings.loaded_vaults(registry.iter().map(|definition| definition.name));
        let is_loaded = |name: &str| loaded.iter().any(|loaded| loaded == name);
        let mut this = Self {
            vaults: BTreeMap::new(),
            disabled: registry
                .iter()
                .map(|definition| definition.name)
                .filter(|name| !is_loaded(name))
                .collect(),
            not_installed: loaded
                .iter()
                .filter(|name| !registry.iter().any(|d| d.name == **name))
                .cloned()
                .collect(),
            warnings: Vec::new(),
        };
        for definition in registry.iter().filter(|definition| is_loaded(definition.name)) {
            let vault = default_vault(definition, settings, surroundings);
            this.vaults.insert(definition.name.to_owned(), vault);
        }
        this.warn_of_settings(registry, settings);
        let mut failures = Vec::new();
        for entity in entities {
            match this.entity(registry, entity, surroundings) {
                Ok(vault) => drop(this.vaults.insert(entity.prefix.clone(), vault)),
                Err(faults) => failures.extend(faults),
            }
        }
        if failures.is_empty() { Ok(this) } else { Err(failures) }
    }

    /// The vault that a reference names.
    pub fn lookup(&self, name: &str) -> Result<&Vault, Error> {
        if let Some(vault) = self.vaults.get(name) {
            return Ok(vault);
        }
        if self.disabled.contains(&name) {
            let message = format!("vault `{name}` is not enabled");
            let hint = format!("the setting `vaults` leaves it out: add `{name}` or `bundled`");
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint));
        }
        if self.not_installed.iter().any(|missing| missing == name) {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("vault `{name}` is enabled but not installed"),
            )
            .with_hint("the setting `vaults` names it, and no backend is called so"));
        }
        let known: Vec<&str> = self.vaults.keys().map(String::as_str).collect();
        let shown = redacted_vault(name);
        let hint = match name.contains('?') {
            true => {
                "a query stands behind the resource, as in `{vault://env/my_secret?prefix=APP_}`".to_owned()
            }
            false => names::suggestion(name, "vaults", &known),
        };
        Err(Error::new(ErrorKind::InvalidReference, format!("there is no vault `{shown}`")).with_hint(hint))
    }

    /// All vaults in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &Vault> {
        self.vaults.values()
    }

    /// What is odd about the settings without being an error: unknown `vault_*` keys, vaults not installed.
    pub fn warnings(&self) -> &[Error] {
        &self.warnings
    }

    /// The option that a `vault_<backend>_<option>` key sets, if it sets one.
    pub fn option_of_setting(&self, key: &str) -> Option<&'static OptionSpec> {
        self.vaults.values().filter(|vault| !vault.is_entity).find_map(|vault| {
            let definition = vault.definition;
            definition.specs().find(|spec| setting_keys(definition, spec).any(|known| known == key))
        })
    }

    fn warn_of_settings(&mut self, registry: &'static [Definition], settings: &Settings) {
        for name in &self.not_installed {
            self.warnings.push(
                Error::new(ErrorKind::InvalidConfig, format!("vault `{name}` is enabled but not installed"))
                    .with_hint("the setting `vaults` names it, and no backend is called so"),
            );
        }
        let mut set = settings.keys();
        set.retain(|key| key.starts_with("vault_"));
        if set.is_empty() {
            return;
        }
        let known: Vec<String> = registry
            .iter()
            .flat_map(|definition| definition.specs().flat_map(move |spec| setting_keys(definition, spec)))
            .collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        for key in set.into_iter().filter(|key| !known.contains(key)) {
            let hint = match names::closest(key, known.iter().copied()) {
                Some(closest) => format!("did you mean `{closest}`?"),
                None => "no backend that is built in has such an option".to_owned(),
            };
            let message = format!("setting `{key}` has no effect");
            self.warnings.push(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint));
        }
    }

    fn entity(
        &self,
        registry: &'static [Definition],
        entity: &VaultEntity,
        surroundings: &Context,
    ) -> Result<Vault, Vec<Failure>> {
        let fail = |message: String, hint: String| {
            let error = Error::new(ErrorKind::InvalidConfig, message).with_hint(hint);
            vec![Failure { range: entity.range.clone(), error }]
        };
        let prefix = &entity.prefix;
        if !is_valid_prefix(prefix) {
            let hint = "two or more of a-z, 0-9 and `-`, starting with a letter and not ending with `-`";
            return Err(fail(format!("`{prefix}` cannot be a vault's prefix"), hint.to_owned()));
        }
        match self.vaults.get(prefix) {
            Some(vault) if vault.is_entity => {
                return Err(fail(
                    format!("two vaults have the prefix `{prefix}`"),
                    "rename one of them".to_owned(),
                ));
            }
            Some(_) => {
                let hint = "choose another: this one names the backend's default vault".to_owned();
                return Err(fail(format!("prefix `{prefix}` is the name of a backend"), hint));
            }
            None => {}
        }
        let definition =
            self.vaults.get(&entity.backend).filter(|vault| !vault.is_entity).map(|vault| vault.definition);
        let Some(definition) = definition else {
            let known: Vec<&str> =
                registry.iter().map(|d| d.name).filter(|n| self.vaults.contains_key(*n)).collect();
            let hint = names::suggestion(&entity.backend, "backends", &known);
            return Err(fail(format!("vault '{}' is not installed", entity.backend), hint));
        };
        let (name, surroundings) = (prefix.clone(), surroundings.clone());
        let mut vault = Vault { name, definition, is_entity: true, set: BTreeMap::new(), surroundings };
        let mut failures = Vec::new();
        for (name, raw, range) in &entity.config {
            let error = match definition.spec(name) {
                None => {
                    let known: Vec<&str> = definition.specs().map(|spec| spec.name).collect();
                    let hint = names::suggestion(name, "options", &known);
                    Error::new(
                        ErrorKind::InvalidConfig,
                        format!("backend `{}` has no option `{name}`", definition.name),
                    )
                    .with_hint(hint)
                }
                Some(spec) => {
                    let option = EffectiveOption { spec, raw: raw.clone(), origin: OptionOrigin::Entity };
                    vault.set.insert(spec.name, (raw.clone(), OptionOrigin::Entity));
                    match vault.fault(&option) {
                        None => continue,
                        Some(error) => error,
                    }
                }
            };
            failures.push(Failure { range: range.clone(), error });
        }
        if failures.is_empty() { Ok(vault) } else { Err(failures) }
    }
}

fn default_vault(definition: &'static Definition, settings: &Settings, surroundings: &Context) -> Vault {
    let mut set = BTreeMap::new();
    // Most vaults are not configured, and a backend may have dozens of options: their keys are not even written then.
    let keys = format!("vault_{}_", definition.name.replace('-', "_"));
    let is_configured = settings.keys().iter().any(|key| key.starts_with(&keys));
    for spec in definition.specs().filter(|_| is_configured) {
        for key in setting_keys(definition, spec) {
            if let Some(setting) = settings.get(&key) {
                let raw = setting.text.map_or(RawValue::Null, RawValue::Text);
                set.entry(spec.name).or_insert((raw, OptionOrigin::Setting(key, setting.origin)));
            }
        }
    }
    let (name, surroundings) = (definition.name.to_owned(), surroundings.clone());
    Vault { name, definition, is_entity: false, set, surroundings }
}

/// The keys under which an option of a default vault is set, the proper one first.
pub(crate) fn setting_keys(
    definition: &Definition,
    spec: &'static OptionSpec,
) -> impl Iterator<Item = String> {
    let backend = definition.name.replace('-', "_");
    let names = std::iter::once(spec.name).chain(spec.aliases.iter().copied());
    names.map(move |name| format!("vault_{backend}_{name}"))
}
