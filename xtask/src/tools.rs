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

/// Programs that come in Debian's packages.
struct Need {
    what: &'static str,
    /// All in one folder.
    programs: &'static [&'static str],
    packages: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        what: "PostgreSQL, for the tests of the server",
        programs: &["initdb", "pg_ctl", "psql"],
        packages: "postgresql postgresql-client",
    },
    Need { what: "a C++ compiler, for the fuzz targets", programs: &["c++"], packages: "g++" },
];

/// Makes sure that the programs are there which cargo can't build.
pub(crate) fn system(root: &Path) -> Result<(), String> {
    let mut missing = Vec::new();
    for need in NEEDS {
        match need.folder() {
            Some(folder) => println!("{}: {}", need.what, folder.display()),
            None => missing.push(need),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|need| need.what).collect();
    println!("missing: {}", names.join("; "));
    if Command::new("apt-get --version").output(root).is_none() {
        let programs = missing.iter().flat_map(|need| need.programs).copied().collect::<Vec<_>>();
        return Err(format!("install what brings these programs: {}", programs.join(" ")));
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.packages).collect();
    install(root, &packages.join(" "))?;
    match missing.iter().find(|need| need.folder().is_none()) {
        Some(need) => {
            Err(format!("apt-get has installed {}, but there is still no {:?}", need.packages, need.programs))
        }
        None => Ok(()),
    }
}

fn install(root: &Path, packages: &str) -> Result<(), String> {
    let update = Command::new("apt-get update");
    let install = Command::new("apt-get install -y --no-install-recommends").args(packages);
    if !is_root() {
        return Err(format!("only root can install that: sudo {update} && sudo {install}"));
    }
    let (path, content) = CREATE_CLUSTER;
    if !Path::new(path).exists() {
        let written = fs::create_dir_all("/etc/postgresql-common").and_then(|()| fs::write(path, content));
        written.map_err(|error| format!("{path}: {error}"))?;
    }
    update.run(root)?;
    // Nobody is there to answer a question; and the file above is to stay as it is.
    install.env("DEBIAN_FRONTEND", "noninteractive").env("UCF_FORCE_CONFFOLD", "1").run(root)
}

/// The path of cargo-deny, which is built below `target/` once. Unoptimised, that takes 100 s on two cores.
pub(crate) fn cargo_deny(root: &Path) -> Result<String, String> {
    let program = root.join("target/tools/bin/cargo-deny").to_string_lossy().into_owned();
    let version = Command::default().arg(&program).arg("--version").output(root);
    if version.as_deref().map(str::trim) != Some(&format!("cargo-deny {CARGO_DENY_VERSION}")) {
        let install = Command::new("cargo install cargo-deny --locked --debug --root target/tools");
        install.arg("--version").arg(&format!("={CARGO_DENY_VERSION}")).run(root)?;
    }
    Ok(program)
}

impl Need {
    /// Where the programs are: on PATH, or where Debian keeps the servers of PostgreSQL.
    fn folder(&self) -> Option<PathBuf> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders =
            std::env::split_paths(&path).chain(versions.map(|version| version.path().join("bin")));
        folders.find(|folder| self.programs.iter().all(|program| folder.join(program).is_file()))
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
