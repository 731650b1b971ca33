//! Checks the rules of this project that no compiler knows; what breaks one is told with file and line.
//!
//! Each rule is one function from the files to what is wrong with them.

mod arrows;
mod links;
mod manifests;
mod registry;
mod rust_files;
mod source;
mod tree;

use std::fmt;
use std::path::Path;

use tree::Tree;

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    reason: String,
}

impl Finding {
    fn new(path: &str, line: usize, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, reason: reason.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.reason)
    }
}

const RULES: &[fn(&Tree) -> Vec<Finding>] = &[
    arrows::in_manifests,
    arrows::in_code,
    arrows::between_backends,
    registry::complete,
    manifests::lints,
    manifests::unused_dependencies,
    rust_files::length,
    rust_files::unfinished,
    rust_files::silenced,
    rust_files::prints,
    links::internal,
];

/// Prints every breach; fails when there is one.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let tree = Tree::read(root)?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => Err(format!("{count} to tidy; repeat with: cargo xtask tidy")),
    }
}

/// What a rule says about a tree, in the order in which it is printed: for the tests of the rules.
#[cfg(test)]
fn told(rule: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
    let mut findings = rule(&Tree::of(files));
    findings.sort();
    findings.iter().map(Finding::to_string).collect()
}
