//! Finds the servers that `cargo xtask ci --only tools` installs below `target/tools`.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder in which Python keeps installed packages, which bring programs that are not written in Python too.
pub(crate) fn python_packages() -> PathBuf {
    let versions = fs::read_dir(python().join("lib")).into_iter().flatten().flatten();
    let mut folders = versions.map(|version| version.path().join("site-packages"));
    folders.find(|folder| folder.is_dir()).unwrap_or_else(|| missing("Python's packages"))
}

/// The path, or a panic that says how to get there.
pub(crate) fn found(path: PathBuf) -> PathBuf {
    match path.is_file() {
        true => path,
        false => missing(&path.display().to_string()),
    }
}

/// Always below the workspace, wherever cargo has been told to build.
fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/python")
}

fn missing(what: &str) -> ! {
    panic!("this test needs what is missing, {what}: `cargo xtask ci --only tools` installs it")
}
