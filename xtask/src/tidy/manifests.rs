//! What every `Cargo.toml` has to say, and the reading of it.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::Finding;
use super::tree::Tree;

/// Every crate has the lints of the workspace, `forbid(unsafe_code)` among them.
pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let lacks = |(path, text): (&str, &str)| {
        let manifest = parsed(text);
        // A workspace of its own, as that of the fuzz targets, has nothing to inherit from.
        let member = manifest.contains_key("package") && !manifest.contains_key("workspace");
        let inherited = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        let breach = member && inherited != Some(&Value::Boolean(true));
        breach.then(|| Finding::new(path, 1, "no `[lints] workspace = true`"))
    };
    manifests(tree).filter_map(lacks).collect()
}

/// Every dependency that the workspace lists is one of a member.
pub(super) fn unused_dependencies(tree: &Tree) -> Vec<Finding> {
    let text = tree.text("Cargo.toml").unwrap_or_default();
    let workspace = parsed(text);
    let listed = workspace.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let used: BTreeSet<String> =
        manifests(tree).flat_map(|(_, text)| dependencies(text)).map(|dependency| dependency.name).collect();
    let names = listed.and_then(Value::as_table).into_iter().flat_map(Table::keys);
    names
        .filter(|name| !used.contains(*name))
        .map(|name| Finding::new("Cargo.toml", line_of(text, name), format!("no crate depends on `{name}`")))
        .collect()
}

/// One line below `[dependencies]` or its relatives.
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) line: usize,
    /// In `[dev-dependencies]`.
    pub(super) for_tests: bool,
}

/// The dependencies of a manifest, those for one platform too.
pub(super) fn dependencies(text: &str) -> Vec<Dependency> {
    let manifest = parsed(text);
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let mut found = Vec::new();
    for table in targets.chain([&manifest]) {
        for (kind, for_tests) in
            [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)]
        {
            let names = table.get(kind).and_then(Value::as_table).into_iter().flat_map(Table::keys);
            found.extend(names.map(|name| Dependency {
                name: name.clone(),
                line: line_of(text, name),
                for_tests,
            }));
        }
    }
    found
}

/// All manifests of the tree.
pub(super) fn manifests(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.ending("Cargo.toml")
}

/// What cargo refuses is not for us to report.
fn parsed(text: &str) -> Table {
    text.parse().unwrap_or_default()
}

fn line_of(text: &str, key: &str) -> usize {
    let starts = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', '=', '.']));
    text.lines().position(starts).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::super::told;
    use super::*;

    #[test]
    fn a_crate_without_the_lints_of_the_workspace_is_told() {
        let files = [
            ("Cargo.toml", "[workspace]\n"),
            ("a/Cargo.toml", "[package]\n[lints]\nworkspace = true\n"),
            ("b/Cargo.toml", "[package]\n[lints.rust]\nunsafe_code = 'warn'\n"),
            ("fuzz/Cargo.toml", "[workspace]\n[package]\n"),
        ];
        assert_eq!(told(lints, &files), ["b/Cargo.toml:1: no `[lints] workspace = true`"]);
    }

    #[test]
    fn a_dependency_that_no_crate_uses_is_told() {
        let files = [
            (
                "Cargo.toml",
                "[workspace]\n[workspace.dependencies]\na = '1'\nb-c = '1'\nd = '1'\ne = '1'\nb = '1'\n",
            ),
            ("a/Cargo.toml", "[package]\n[dependencies]\na.workspace = true\n[dev-dependencies]\nd = '1'\n"),
            ("b/Cargo.toml", "[package]\n[target.'cfg(unix)'.build-dependencies]\ne.workspace = true\n"),
        ];
        let expected = ["Cargo.toml:4: no crate depends on `b-c`", "Cargo.toml:7: no crate depends on `b`"];
        assert_eq!(told(unused_dependencies, &files), expected);
    }
}
