//! Installs what the checks need and a fresh machine lacks.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::command::Command;

const CARGO_DENY_VERSION: &str = "0.20.2";

/// Read by Debian's package when it is installed: otherwise it makes a cluster and starts it at port 5432, on
/// a machine whose owner asked for tests.
const CREATE_CLUSTER: (&str, &str) =
    ("/etc/postgresql-common/createcluster.conf", "create_main_cluster = false\n");

/// Makes sure that the programs of a PostgreSQL server are there; where they are is up to the tests.
pub(crate) fn postgres(root: &Path) -> Result<(), String> {
    if let Some(bin) = postgres_bin() {
        println!("PostgreSQL: {}", bin.display());
        return Ok(());
    }
    let update = Command::new("apt-get update");
    let install = Command::new("apt-get install -y --no-install-recommends postgresql postgresql-client");
    if Command::new("apt-get --version").output(root).is_none() {
        return Err("install PostgreSQL, so that initdb, pg_ctl and psql are on PATH".to_owned());
    }
    if !is_root() {
        return Err(format!("PostgreSQL is needed by tests: sudo {update} && sudo {install}"));
    }
    let (path, content) = CREATE_CLUSTER;
    if !Path::new(path).exists() {
        let written = fs::create_dir_all("/etc/postgresql-common").and_then(|()| fs::write(path, content));
        written.map_err(|error| format!("{path}: {error}"))?;
    }
    update.run(root)?;
    install.env("DEBIAN_FRONTEND", "noninteractive").env("UCF_FORCE_CONFFOLD", "1").run(root)?;
    postgres_bin()
        .map(|_| ())
        .ok_or_else(|| "apt-get has installed PostgreSQL, but not its server".to_owned())
}

/// The path of cargo-deny, which is built below `target/` once; unoptimised, as it then takes 100 s on two cores.
pub(crate) fn cargo_deny(root: &Path) -> Result<String, String> {
    let tools = root.join("target/tools");
    let program = tools.join("bin/cargo-deny").to_string_lossy().into_owned();
    let version = Command::default().arg(&program).arg("--version").output(root);
    if version.as_deref().map(str::trim) != Some(&format!("cargo-deny {CARGO_DENY_VERSION}")) {
        let install = Command::new("cargo install cargo-deny --locked --debug --root target/tools");
        install.arg("--version").arg(&format!("={CARGO_DENY_VERSION}")).run(root)?;
    }
    Ok(program)
}

fn postgres_bin() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = versions.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = installed.chain(std::env::split_paths(&path));
    candidates.find(|bin| ["initdb", "pg_ctl", "psql"].iter().all(|name| bin.join(name).is_file()))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
