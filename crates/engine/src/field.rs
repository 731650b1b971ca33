//! Types for a program's own configuration: a field that holds a literal or references, and a whole configuration
//! whose fields are resolved in one call.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::de::{Deserialize, Deserializer, Error as _};
use vaultref_core::{Secret, scan};

use crate::{Engine, Failure, Template};

/// A configuration value that is a literal, a reference, or a text with references in it.
///
/// A literal is there at once. A value with references can only be read as part of an [`Unresolved`]
/// configuration, so that a resolved configuration never holds an unresolved field.
#[derive(Clone)]
pub struct SecretText(Arc<Slot>);

struct Slot {
    text: Secret,
    resolved: OnceLock<Secret>,
}

impl SecretText {
    /// The value.
    pub fn secret(&self) -> &Secret {
        // A slot with references leaves this module only inside Unresolved, which fills it before it opens.
        self.0.resolved.get().unwrap_or(&self.0.text)
    }

    /// The value as text; the error says where it is not UTF-8.
    pub fn expose_str(&self) -> Result<&str, std::str::Utf8Error> {
        self.secret().expose_str()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

thread_local! {
    /// The fields met so far by the Unresolved configurations that are being read on this thread.
    static READING: RefCell<Vec<Vec<Arc<Slot>>>> = const { RefCell::new(Vec::new()) };
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Secret::new(String::deserialize(deserializer)?);
        let slot = Arc::new(Slot { text, resolved: OnceLock::new() });
        if !scan::contains(slot.text.expose()) {
            return Ok(Self(slot));
        }
        READING.with_borrow_mut(|reading| match reading.last_mut() {
            Some(fields) => {
                fields.push(Arc::clone(&slot));
                Ok(Self(slot))
            }
            None => {
                Err(D::Error::custom("a value with references has to be read as part of `Unresolved<…>`"))
            }
        })
    }
}

/// A configuration that was read and whose references are not resolved yet.
pub struct Unresolved<T> {
    config: T,
    fields: Vec<Arc<Slot>>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unresolved<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Ends the reading also when it panics, so that a later one on this thread starts clean.
        struct Reading;
        impl Reading {
            fn end(self) -> Vec<Arc<Slot>> {
                std::mem::forget(self);
                READING.with_borrow_mut(Vec::pop).unwrap_or_default()
            }
        }
        impl Drop for Reading {
            fn drop(&mut self) {
                READING.with_borrow_mut(Vec::pop);
            }
        }
        READING.with_borrow_mut(|reading| reading.push(Vec::new()));
        let reading = Reading;
        let config = T::deserialize(deserializer)?;
        Ok(Self { config, fields: reading.end() })
    }
}

impl<T> Unresolved<T> {
    /// Resolves all fields at once. All failures are reported; a place is one in the text of its own field.
    pub async fn resolve(self, engine: &Engine) -> Result<T, Vec<Failure>> {
        let fields: Vec<_> = self.fields().collect();
        let results = engine.render_many(fields.iter().map(|slot| slot.text.expose())).await;
        let mut failures = Vec::new();
        for (slot, result) in fields.into_iter().zip(results) {
            match result {
                Ok(secret) => drop(slot.resolved.set(secret)),
                Err(faults) => failures.extend(faults),
            }
        }
        if failures.is_empty() { Ok(self.config) } else { Err(failures) }
    }

    /// The references in the fields, for a check without resolving.
    pub fn references(&self) -> Vec<vaultref_core::Reference> {
        let templates = self.fields().filter_map(|slot| Template::parse(slot.text.expose()).ok());
        templates.flat_map(|template| template.references().cloned().collect::<Vec<_>>()).collect()
    }

    /// The fields with references. One that serde tried and dropped again (an untagged enum does that) is nobody's.
    fn fields(&self) -> impl Iterator<Item = &Arc<Slot>> {
        self.fields.iter().filter(|slot| Arc::strong_count(slot) > 1)
    }
}
