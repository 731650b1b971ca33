//! Dotenv: the values of [`crate::dotenv::parse`]. Names cannot hold references.

use vaultref_core::scan;

use super::{Malformed, Scalar, Style};
use crate::dotenv;

/// The values that hold something to resolve.
pub(super) fn scalars(text: &[u8]) -> Result<Vec<Scalar>, Malformed> {
    let entries = dotenv::parse(text)?.into_iter();
    let holding = entries.filter(|entry| scan::contains(entry.value.as_bytes()));
    Ok(holding.map(|entry| Scalar::new(entry.value.as_str(), entry.value_span, Style::Dotenv)).collect())
}
