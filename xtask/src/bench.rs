//! `cargo xtask bench`: the benchmarks, and the page that they end in.

use std::path::Path;

use crate::command::Command;

/// Runs all benchmarks on the release build and writes `docs/performance.md`. Takes some minutes.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    for line in [
        "cargo build --release --package vaultref-cli --package vaultref-bench",
        "cargo bench --package vaultref-bench --bench library",
        // Not by `cargo run`: it measures the memory of its children, and those of cargo would be among them.
        "target/release/vaultref-bench",
    ] {
        Command::new(line).run(root)?;
    }
    Ok(())
}
