//! Vault options that hold references need other vaults: never, in the end, themselves.

use std::collections::HashSet;

use vaultref_core::{Error, ErrorKind, Reference};

use crate::vaults::Vaults;

/// Over how many steps vault options may need each other. Each takes up to 20 KB of the stack, of which a thread has
/// 2 MB.
const CHAIN_MAX: usize = 32;

/// Checks that resolving `reference` does not need itself: an option of a vault may hold a reference to another
/// vault, and so on, but never back. The error prints the chain.
pub(crate) fn check_cycles(vaults: &Vaults, reference: &Reference) -> Result<(), Error> {
    type Chain = Vec<(String, Reference)>;
    fn walk(vaults: &Vaults, reference: &Reference, chain: &mut Chain, done: &mut Done) -> Result<(), Error> {
        let Ok(vault) = vaults.lookup(reference.vault()) else { return Ok(()) };
        if done.contains(reference) {
            return Ok(());
        }
        for option in vault.effective(reference) {
            for inner in option.references() {
                let step = format!("{}.{}", vault.name(), option.spec.name);
                let known = chain.iter().position(|(seen, via)| *seen == step && *via == inner);
                chain.push((step, inner.clone()));
                if let Some(start) = known {
                    return Err(cycle(&chain[start..]));
                }
                if chain.len() > CHAIN_MAX {
                    return Err(too_long(&chain[0].0));
                }
                walk(vaults, &inner, chain, done)?;
                chain.pop();
            }
        }
        done.insert(reference.clone());
        Ok(())
    }
    // Many vaults that share others would otherwise be walked once per path.
    type Done = HashSet<Reference>;
    walk(vaults, reference, &mut Chain::new(), &mut Done::new())
}

fn too_long(step: &str) -> Error {
    let message = format!("vault options need each other over more than {CHAIN_MAX} steps, from {step} on");
    Error::new(ErrorKind::InvalidConfig, message).with_hint("give one of them a plain value")
}

fn cycle(chain: &[(String, Reference)]) -> Error {
    let steps: Vec<String> =
        chain.iter().map(|(step, reference)| format!("{step} = {}", reference.redacted(|_| false))).collect();
    let message = format!("vault options need each other in a circle: {}", steps.join(" → "));
    let hint = "give one of them a plain value, or set it in the reference itself: `?option=value`";
    Error::new(ErrorKind::InvalidConfig, message).with_hint(hint)
}
