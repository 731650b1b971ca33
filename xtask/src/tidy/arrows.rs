//! Which crate may know which: the rings of the design.
//!
//! ```text
//! cli ──▶ server ──▶ engine ──▶ core ◀── backends ◀── cli          testkit, bench, xtask: development only
//! ```
//!
//! Cargo keeps a crate from naming what it doesn't depend on, but not from depending on it; and a part of the
//! standard library is no dependency at all.

use super::Finding;
use super::manifests::{dependencies, manifests};
use super::registry::registered;
use super::source::{Mention, paths, shipped_code};
use super::tree::Tree;

/// A crate of ours, and what it may know.
struct Ring {
    folder: &'static str,
    package: &'static str,
    /// Crates of ours.
    may: &'static [&'static str],
    /// Crates of ours that its tests may know on top.
    may_in_tests: &'static [&'static str],
    /// Crates and modules that it doesn't name.
    never: &'static [&'static str],
    /// Why it doesn't.
    because: &'static str,
}

const RINGS: &[Ring] = &[
    Ring {
        folder: "crates/core",
        package: "vaultref-core",
        may: &[],
        may_in_tests: &["vaultref-testkit"],
        never: &["std::fs", "std::net", "std::env", "std::process", "tokio", "hyper", "reqwest", "axum"],
        because: "core does no I/O and knows no runtime",
    },
    Ring {
        folder: "crates/engine",
        package: "vaultref",
        may: &["vaultref-core"],
        may_in_tests: &["vaultref-backends", "vaultref-testkit"],
        never: &["std::fs", "std::net", "std::env", "tokio::fs", "tokio::net", "hyper", "reqwest", "axum"],
        because: "the engine is handed backends, files and environment",
    },
    Ring {
        folder: "crates/backends",
        package: "vaultref-backends",
        may: &["vaultref-core"],
        may_in_tests: &["vaultref", "vaultref-testkit"],
        never: &[],
        because: "",
    },
    Ring {
        folder: "crates/server",
        package: "vaultref-server",
        may: &["vaultref-core", "vaultref"],
        may_in_tests: &["vaultref-backends", "vaultref-testkit"],
        never: &[],
        because: "",
    },
    Ring {
        folder: "crates/cli",
        package: "vaultref-cli",
        may: &["vaultref-core", "vaultref", "vaultref-backends", "vaultref-server"],
        may_in_tests: &["vaultref-testkit"],
        never: &["vaultref::cache"],
        because: "how the cache works is the engine's own business",
    },
    Ring {
        folder: "crates/testkit",
        package: "vaultref-testkit",
        may: &["vaultref-core", "vaultref"],
        may_in_tests: &[],
        never: &[],
        because: "",
    },
    Ring {
        folder: "crates/bench",
        package: "vaultref-bench",
        may: &["vaultref-core", "vaultref", "vaultref-backends", "vaultref-testkit"],
        may_in_tests: &[],
        never: &[],
        because: "",
    },
    Ring { folder: "xtask", package: "xtask", may: &[], may_in_tests: &[], never: &[], because: "" },
];

const CLI: &str = "crates/cli";
const COMMAND_LINE_PARSERS: &[&str] = &["clap", "clap_complete", "clap_mangen"];

impl Ring {
    /// Why this crate may not name the path, if it may not.
    fn objection(&self, mention: &Mention) -> Option<String> {
        let path = mention.path.as_str();
        let names = |banned: &str| {
            let below = path.strip_prefix(banned).is_some_and(|rest| rest.starts_with("::"));
            below || (path == banned && (mention.imported || banned.contains("::")))
        };
        if let Some(banned) = self.never.iter().find(|banned| names(banned)) {
            return Some(format!("{} names `{banned}`: {}", self.package, self.because));
        }
        if let Some(parser) = COMMAND_LINE_PARSERS.iter().find(|parser| self.folder != CLI && names(parser)) {
            return Some(format!("{} names `{parser}`: only the command line has arguments", self.package));
        }
        let known = |other: &&Ring| other.package == self.package || self.may.contains(&other.package);
        let other = RINGS.iter().find(|other| names(&other.package.replace('-', "_")))?;
        (!known(&other)).then(|| format!("{} may not know {}", self.package, other.package))
    }
}

/// A crate depends on those of ours that it may know, and on nothing that its ring has no use for.
pub(super) fn in_manifests(tree: &Tree) -> Vec<Finding> {
    let ours = |path: &str| path.starts_with("crates/") || path.starts_with("xtask/");
    let mut findings = Vec::new();
    for (path, text) in manifests(tree).filter(|(path, _)| ours(path)) {
        let Some(ring) = RINGS.iter().find(|ring| path == format!("{}/Cargo.toml", ring.folder)) else {
            findings.push(Finding::new(path, 1, "a crate that is in no ring of xtask/src/tidy/arrows.rs"));
            continue;
        };
        for dependency in dependencies(text) {
            let name = dependency.name.as_str();
            let is_ours = RINGS.iter().any(|ring| ring.package == name);
            let excused = dependency.for_tests && (!is_ours || ring.may_in_tests.contains(&name));
            let mention = Mention { line: dependency.line, path: name.replace('-', "_"), imported: true };
            if let Some(reason) = ring.objection(&mention).filter(|_| !excused) {
                findings.push(Finding::new(path, dependency.line, reason));
            }
        }
    }
    findings
}

/// Code that ships names only what its ring may know.
pub(super) fn in_code(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let Some(ring) = RINGS.iter().find(|ring| path.starts_with(&format!("{}/src/", ring.folder))) else {
            continue;
        };
        let mentions = paths(&shipped_code(text));
        let objections = mentions.iter().filter_map(|mention| Some((mention.line, ring.objection(mention)?)));
        findings.extend(objections.map(|(line, reason)| Finding::new(path, line, reason)));
    }
    findings
}

/// A backend names no other, and what backends share names none of them.
pub(super) fn between_backends(tree: &Tree) -> Vec<Finding> {
    const SRC: &str = "crates/backends/src/";
    let backends: Vec<String> = registered(tree).into_iter().map(|backend| backend.module).collect();
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let Some(module) = path.strip_prefix(SRC).and_then(|path| path.strip_suffix(".rs")) else { continue };
        let module: Vec<&str> = module.split('/').filter(|name| *name != "mod").collect();
        if ["registry", "lib"].contains(&module[0]) {
            continue;
        }
        for mention in paths(&shipped_code(text)) {
            let Some(other) = sibling(&mention.path, module.len()) else { continue };
            if other != module[0] && backends.iter().any(|backend| backend == other) {
                let reason = format!("`{}` names the backend `{other}`: share what both need", module[0]);
                findings.push(Finding::new(path, mention.line, reason));
            }
        }
    }
    findings
}

/// The module right below the crate that a path leads to, seen from a module `depth` below the crate.
fn sibling(path: &str, depth: usize) -> Option<&str> {
    let mut names = path.split("::");
    let mut first = names.next();
    let mut ups = 0;
    while first == Some("super") {
        ups += 1;
        first = names.next();
    }
    match first {
        Some("crate") => names.next(),
        name if ups > 0 && ups == depth => name,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::told;
    use super::*;

    #[test]
    fn a_crate_that_depends_on_the_wrong_one_is_told() {
        let files = [
            ("crates/core/Cargo.toml", "[dependencies]\nserde = '1'\ntokio.workspace = true\n"),
            (
                "crates/engine/Cargo.toml",
                "[dependencies]\nvaultref-core = '1'\nvaultref-server = '1'\n[dev-dependencies]\nvaultref-backends = '1'\ntokio = '1'\n",
            ),
            ("crates/backends/Cargo.toml", "[dependencies]\nvaultref = '1'\n"),
            (
                "crates/server/Cargo.toml",
                "[target.'cfg(unix)'.dependencies]\nvaultref-backends = '1'\nclap = '1'\n",
            ),
            ("crates/cli/Cargo.toml", "[dependencies]\nclap = '1'\nvaultref = '1'\nvaultref-testkit = '1'\n"),
            ("crates/new/Cargo.toml", "[package]\n"),
            ("fuzz/Cargo.toml", "[dependencies]\nvaultref = '1'\n"),
        ];
        let expected = [
            "crates/backends/Cargo.toml:2: vaultref-backends may not know vaultref",
            "crates/cli/Cargo.toml:4: vaultref-cli may not know vaultref-testkit",
            "crates/core/Cargo.toml:3: vaultref-core names `tokio`: core does no I/O and knows no runtime",
            "crates/engine/Cargo.toml:3: vaultref may not know vaultref-server",
            "crates/new/Cargo.toml:1: a crate that is in no ring of xtask/src/tidy/arrows.rs",
            "crates/server/Cargo.toml:2: vaultref-server may not know vaultref-backends",
            "crates/server/Cargo.toml:3: vaultref-server names `clap`: only the command line has arguments",
        ];
        assert_eq!(told(in_manifests, &files), expected);
    }

    #[test]
    fn code_that_names_the_wrong_crate_or_module_is_told() {
        let engine = "vaultref names `std::env`: the engine is handed backends, files and environment";
        for (path, code, expected) in [
            (
                "core/src/a.rs",
                "use std::{fmt,\nfs};",
                Some("2: vaultref-core names `std::fs`: core does no I/O and knows no runtime"),
            ),
            ("core/src/a.rs", "// std::fs\nlet a = \"std::fs\";", None),
            ("core/src/a.rs", "use vaultref_core::A; use std::path;", None),
            ("core/src/a.rs", "vaultref::Engine::new()", Some("1: vaultref-core may not know vaultref")),
            ("engine/src/a/b.rs", "fn a() { std::env::var(b) }", Some(&format!("1: {engine}"))),
            ("engine/src/a.rs", "#[cfg(test)] mod tests { use std::env; use vaultref_backends::A; }", None),
            ("engine/src/a.rs", "let tokio = axum + hyper;", None),
            ("engine/tests/a.rs", "use std::env; use vaultref_backends::A;", None),
            ("backends/src/a.rs", "use vaultref;", Some("1: vaultref-backends may not know vaultref")),
            (
                "server/src/a.rs",
                "vaultref_backends::A",
                Some("1: vaultref-server may not know vaultref-backends"),
            ),
            (
                "server/src/a.rs",
                "#[derive(clap::Args)]",
                Some("1: vaultref-server names `clap`: only the command line has arguments"),
            ),
            ("cli/src/a.rs", "use clap::Args; use vaultref::Engine; use std::env;", None),
            (
                "cli/src/a.rs",
                "use vaultref::{Engine, cache::Entry};",
                Some(
                    "1: vaultref-cli names `vaultref::cache`: how the cache works is the engine's own business",
                ),
            ),
        ] {
            let found = told(in_code, &[(&format!("crates/{path}"), code)]);
            let expected: Vec<String> =
                expected.iter().map(|reason| format!("crates/{path}:{reason}")).collect();
            assert_eq!(found, expected, "{code}");
        }
    }

    #[test]
    fn a_backend_that_names_another_is_told() {
        let registry =
            ("crates/backends/src/registry.rs", "use crate::{env, hcv}; [env::DEFINITION, hcv::DEFINITION]");
        for (path, code, expected) in [
            (
                "env.rs",
                "use crate::hcv::Token;",
                Some("1: `env` names the backend `hcv`: share what both need"),
            ),
            ("env.rs", "use crate::http; use crate::env::A; use super::http::B;", None),
            ("env.rs", "\nsuper::hcv::a()", Some("2: `env` names the backend `hcv`: share what both need")),
            ("hcv/mod.rs", "use super::env;", Some("1: `hcv` names the backend `env`: share what both need")),
            ("hcv/auth.rs", "use super::env; use crate::hcv::a;", None),
            (
                "hcv/auth.rs",
                "use super::super::env;",
                Some("1: `hcv` names the backend `env`: share what both need"),
            ),
            ("http.rs", "use crate::env;", Some("1: `http` names the backend `env`: share what both need")),
            ("lib.rs", "use crate::env;", None),
        ] {
            let path = format!("crates/backends/src/{path}");
            let found = told(between_backends, &[registry, (&path, code)]);
            let expected: Vec<String> = expected.iter().map(|reason| format!("{path}:{reason}")).collect();
            assert_eq!(found, expected, "{code}");
        }
    }
}
