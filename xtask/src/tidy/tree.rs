//! The files of the repository, in memory: what git tracks and what it would.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::command::Command;

/// Every file by its path from the root, `/` between names. Only text that a rule reads is loaded.
pub(super) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let list = Command::new("git ls-files -z --cached --others --exclude-standard");
        let paths = list.output(root).ok_or_else(|| format!("this is no git repository: {list}"))?;
        let mut files = BTreeMap::new();
        // A file that is deleted but not yet committed is still listed.
        for path in paths.split('\0').filter(|path| root.join(path).is_file()) {
            let is_read = [".rs", ".toml", ".md"].iter().any(|ending| path.ends_with(ending));
            let bytes = if is_read { fs::read(root.join(path)) } else { Ok(Vec::new()) };
            let bytes = bytes.map_err(|error| format!("{path}: {error}"))?;
            files.insert(path.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self { files: files.iter().map(owned).collect() }
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether there is a file of this path, or one below it.
    pub(super) fn exists(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let mut from_here = self.files.range(path.to_owned()..).map(|(path, _)| path);
        path.is_empty() || self.files.contains_key(path) || from_here.any(|other| other.starts_with(&below))
    }

    /// The files whose path ends so, with their text.
    pub(super) fn ending(&self, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        let all = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        all.filter(move |(path, _)| path.ends_with(ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_exists_when_a_file_is_in_it() {
        let tree = Tree::of(&[("a/b/c.rs", ""), ("a/b.rs", "")]);
        for (path, exists) in
            [("", true), ("a", true), ("a/b", true), ("a/b.rs", true), ("a/b/c", false), ("b", false)]
        {
            assert_eq!(tree.exists(path), exists, "{path}");
        }
    }
}
