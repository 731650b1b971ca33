//! Tells how a reference is read, and what would be done for it, without doing it.

use vaultref_core::{Error, Reference};

use crate::Engine;
use crate::entry::Policy;
use crate::vaults::{EffectiveOption, OptionOrigin, Vault};

/// How a reference is read.
pub struct Explanation<'e> {
    /// The vault it names.
    pub vault: &'e Vault,
    /// The options that count, each with its origin.
    pub options: Vec<EffectiveOption>,
    /// Names in its query that are no options of the vault.
    pub unknown_options: Vec<String>,
    /// The times that govern the payload; `None` where an option that sets them cannot be read as it stands.
    pub policy: Option<Policy>,
    /// What is wrong with it, as far as its text and the configuration tell.
    pub errors: Vec<Error>,
}

impl Engine {
    /// Explains a reference. Nothing is opened or fetched. The error says that there is no such vault.
    pub fn explain(&self, reference: &Reference) -> Result<Explanation<'_>, Error> {
        let vault = self.vaults().lookup(reference.vault())?;
        let options = vault.effective(reference);
        let mut errors = vault.check(reference);
        errors.extend(crate::cycles::check_cycles(self.vaults(), reference).err());
        for spec in vault.definition().specs().filter(|spec| spec.required) {
            let set = |option: &EffectiveOption| !matches!(option.spec.read(&option.raw), Ok(None));
            if !options.iter().any(|option| option.spec.name == spec.name && set(option)) {
                errors.push(crate::open::missing_option(vault, spec.name));
            }
        }
        Ok(Explanation {
            policy: policy(&options),
            unknown_options: vault.unknown_options(reference).into_iter().map(str::to_owned).collect(),
            vault,
            options,
            errors,
        })
    }
}

fn policy(options: &[EffectiveOption]) -> Option<Policy> {
    use vaultref_core::schema::OptionValue;
    let seconds = |name: &str| -> Option<Option<f64>> {
        let Some(option) = options.iter().find(|option| option.spec.name == name) else { return Some(None) };
        match option.spec.read(&option.raw).ok()? {
            Some(OptionValue::Number(seconds)) => Some(Some(seconds)),
            _ => Some(None),
        }
    };
    Some(Policy::from_seconds(seconds("ttl")?, seconds("neg_ttl")?, seconds("resurrect_ttl")?))
}

impl EffectiveOption {
    /// Whether somebody set it; else it is the schema's default.
    pub fn is_set(&self) -> bool {
        self.origin != OptionOrigin::Default
    }
}
