//! Runs everything that has to pass before a change goes in, and tells what took how long.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::command::Command;
use crate::{tidy, tools};

/// One step of `cargo xtask ci`.
pub(crate) struct Step {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it does, for people.
    pub(crate) about: &'static str,
    run: fn(&Path) -> Result<(), String>,
}

/// In the order in which they run: what is quick to fail comes first.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "tools",
        about: "what cargo cannot build is installed: PostgreSQL, a C++ compiler, servers from PyPI",
        run: tools::install,
    },
    Step { name: "fmt", about: "the code is formatted", run: fmt },
    Step { name: "tidy", about: "the project's own rules hold", run: tidy::run },
    Step { name: "clippy", about: "no lint is violated", run: clippy },
    Step { name: "test", about: "all tests pass, those in the documentation too", run: test },
    Step { name: "doc", about: "the documentation builds, and its links lead somewhere", run: doc },
    Step { name: "fuzz", about: "the fuzz targets build", run: fuzz },
    Step { name: "deny", about: "licences, sources and versions of all dependencies are allowed", run: deny },
];

/// Runs all steps, or those named, separated by commas. One that fails doesn't keep the others from running.
pub(crate) fn run(root: &Path, only: Option<&str>) -> Result<(), String> {
    let mut results = Vec::new();
    for step in chosen(only)? {
        println!("\n==> {}: {}", step.name, step.about);
        let start = Instant::now();
        let result = (step.run)(root);
        if let Err(message) = &result {
            println!("{message}");
        }
        let took = start.elapsed();
        println!("<== {}", line(step, &result, took));
        results.push((step, result, took));
    }
    println!();
    for (step, result, took) in &results {
        println!("{}", line(step, result, *took));
    }
    println!("all     {:>18}", seconds(results.iter().map(|(_, _, took)| *took).sum()));
    let failures: Vec<String> =
        results.iter().filter_map(|(step, result, _)| Some(failure(step, result.as_ref().err()?))).collect();
    match failures.is_empty() {
        true => Ok(()),
        false => Err(format!("\n{}", failures.join("\n"))),
    }
}

fn chosen(only: Option<&str>) -> Result<Vec<&'static Step>, String> {
    let Some(only) = only else { return Ok(STEPS.iter().collect()) };
    let find = |name: &str| {
        let known = || STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
        STEPS
            .iter()
            .find(|step| step.name == name)
            .ok_or_else(|| format!("no step `{name}`; there are {}", known()))
    };
    only.split(',').map(find).collect()
}

fn line(step: &Step, result: &Result<(), String>, took: Duration) -> String {
    let outcome = if result.is_ok() { "ok" } else { "FAILED" };
    format!("{:8}{outcome:>8}{:>10}", step.name, seconds(took))
}

fn failure(step: &Step, message: &str) -> String {
    format!("{} failed\n  {}\n  or: cargo xtask ci --only {0}", step.name, message.replace('\n', "\n  "))
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

fn fmt(root: &Path) -> Result<(), String> {
    Command::new("cargo fmt --all --check").run(root)
}

fn clippy(root: &Path) -> Result<(), String> {
    Command::new("cargo clippy --workspace --all-targets --locked -- -D warnings").run(root)
}

fn test(root: &Path) -> Result<(), String> {
    Command::new("cargo test --workspace --locked --no-fail-fast").run(root)
}

fn doc(root: &Path) -> Result<(), String> {
    Command::new("cargo doc --workspace --no-deps --locked").env("RUSTDOCFLAGS", "-D warnings").run(root)
}

/// On a stable toolchain too: without a nightly one they are linked, but not instrumented.
fn fuzz(root: &Path) -> Result<(), String> {
    Command::new("cargo build --manifest-path fuzz/Cargo.toml --locked").run(root)
}

/// Without `advisories`: they are fetched from GitHub, which need not be in reach.
fn deny(root: &Path) -> Result<(), String> {
    let deny = tools::cargo_deny(root)?;
    Command::default().arg(&deny).args("check bans licenses sources").run(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_chosen_by_name() {
        let names = |only| chosen(only).map(|steps| steps.iter().map(|step| step.name).collect::<Vec<_>>());
        assert_eq!(names(Some("clippy,fmt")), Ok(vec!["clippy", "fmt"]));
        assert_eq!(names(None).map(|names| names.len()), Ok(STEPS.len()));
        let message = names(Some("fmt,lint")).unwrap_err();
        assert_eq!(message, "no step `lint`; there are tools, fmt, tidy, clippy, test, doc, fuzz, deny");
    }
}
