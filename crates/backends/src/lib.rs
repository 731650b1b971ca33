//! The stores that vaultref can read from, one module each, and the [`REGISTRY`] that names them all.
//!
//! To add one, write its module with a `DEFINITION`, add its line to the registry and its feature to
//! `Cargo.toml`, and describe it in `docs/vaults/<name>.md` and `tests/conformance/<name>.toml`.
//! A backend never imports another one, nor the engine that calls it.

mod registry;

#[cfg(feature = "env")]
mod env;
#[cfg(feature = "fs")]
mod fs;

#[cfg(feature = "hcv")]
mod hcv;

#[cfg(feature = "hcv")]
mod credentials;
#[cfg(feature = "http")]
mod http;
#[cfg(any(feature = "env", feature = "fs"))]
mod nearest;

pub use registry::REGISTRY;
