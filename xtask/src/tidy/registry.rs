//! A backend is one file, one registry line, one page and one conformance file: tells which of them is missing.

use super::Finding;
use super::source::{paths, shipped_code};
use super::tree::Tree;

const REGISTRY: &str = "crates/backends/src/registry.rs";

/// A line of the registry.
pub(super) struct Registered {
    /// The module that defines it, such as `azure_certs`.
    pub(super) module: String,
    line: usize,
}

/// The backends in the registry, which lists them as `module::DEFINITION`.
pub(super) fn registered(tree: &Tree) -> Vec<Registered> {
    let code = shipped_code(tree.text(REGISTRY).unwrap_or_default());
    let module = |path: &str| Some(path.strip_suffix("::DEFINITION")?.rsplit("::").next()?.to_owned());
    let mut found: Vec<Registered> = Vec::new();
    for mention in paths(&code) {
        let module = module(&mention.path).filter(|module| found.iter().all(|known| known.module != *module));
        found.extend(module.map(|module| Registered { module, line: mention.line }));
    }
    found
}

/// Every registered backend has its code, its page and its conformance file.
pub(super) fn complete(tree: &Tree) -> Vec<Finding> {
    let backends = registered(tree);
    if backends.is_empty() {
        return vec![Finding::new(REGISTRY, 1, "lists no backend as `module::DEFINITION`")];
    }
    let mut findings = Vec::new();
    for Registered { module, line } in backends {
        let name = module.replace('_', "-");
        let code =
            [format!("crates/backends/src/{module}.rs"), format!("crates/backends/src/{module}/mod.rs")];
        let page = [format!("docs/vaults/{name}.md")];
        let conformance = [format!("crates/backends/tests/conformance/{name}.toml")];
        for places in [&code[..], &page, &conformance] {
            if !places.iter().any(|place| tree.exists(place)) {
                let reason = format!("the backend `{name}` has no {}", places.join(" or "));
                findings.push(Finding::new(REGISTRY, line, reason));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::told;
    use super::*;

    #[test]
    fn what_a_backend_lacks_is_told() {
        let files = [
            (
                "crates/backends/src/registry.rs",
                "const ALL: &[Definition] = &[\n  env::DEFINITION,\n  crate::azure_certs::DEFINITION,\n  hcv::DEFINITION,\n];",
            ),
            ("crates/backends/src/env.rs", ""),
            ("crates/backends/src/azure_certs/mod.rs", ""),
            ("docs/vaults/env.md", ""),
            ("docs/vaults/azure-certs.md", ""),
            ("crates/backends/tests/conformance/env.toml", ""),
        ];
        let expected = [
            "3: the backend `azure-certs` has no crates/backends/tests/conformance/azure-certs.toml",
            "4: the backend `hcv` has no crates/backends/src/hcv.rs or crates/backends/src/hcv/mod.rs",
            "4: the backend `hcv` has no crates/backends/tests/conformance/hcv.toml",
            "4: the backend `hcv` has no docs/vaults/hcv.md",
        ]
        .map(|line| format!("{REGISTRY}:{line}"));
        assert_eq!(told(complete, &files), expected);
    }

    #[test]
    fn a_registry_that_cannot_be_read_is_told() {
        let expected = [format!("{REGISTRY}:1: lists no backend as `module::DEFINITION`")];
        assert_eq!(told(complete, &[]), expected);
    }
}
