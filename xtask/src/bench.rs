//! `cargo xtask bench`: the benchmarks, and the page that they end in.

use std::path::Path;

use crate::command::Command;

/// Runs all benchmarks on the release build and writes `docs/performance.md`. Takes some minutes.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    for line in [
        // The last one too, now: what compiles it would count among its children, whose memory it measures.
        "cargo build --release --package vaultref-cli --package vaultref-bench",
        "cargo bench --package vaultref-bench --bench library",
        "cargo run --release --package vaultref-bench",
    ] {
        Command::new(line).run(root)?;
    }
    Ok(())
}
