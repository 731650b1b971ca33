//! The list of all backends that this build carries.

use vaultref_core::Definition;

/// Every backend, in the order of the manual.
pub static REGISTRY: &[Definition] = &[
    #[cfg(feature = "env")]
    crate::env::DEFINITION,
    #[cfg(feature = "fs")]
    crate::fs::DEFINITION,
    #[cfg(feature = "hcv")]
    crate::hcv::DEFINITION,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_backend_has_a_name_of_its_own_that_a_setting_can_carry() {
        let mut names = HashSet::new();
        for definition in REGISTRY {
            let name = definition.name;
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
        }
    }

    #[test]
    fn every_option_says_what_it_is_for_and_has_a_default_that_it_accepts() {
        for definition in REGISTRY {
            for spec in definition.specs() {
                let option = format!("{} of {}", spec.name, definition.name);
                assert!(!spec.doc.trim().is_empty(), "{option}");
                assert!(!(spec.required && spec.default.is_some()), "{option}");
                if let Some(default) = spec.default {
                    let raw = vaultref_core::schema::RawValue::Text(default.to_owned());
                    assert!(matches!(spec.read(&raw), Ok(Some(_))), "{option}");
                }
            }
        }
    }
}
