//! Starts a real PostgreSQL server for tests: own folder, free port, gone when the test process is.
//!
//! ```no_run
//! use vaultref_testkit::postgres::Postgres;
//!
//! let server = Postgres::shared();
//! let database = server.create_database();
//! assert_eq!(server.psql(&database, "select 1"), "1\n");
//! ```

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::guard::{Guard, free_port};

/// PostgreSQL refuses to run as root; then this user, `nobody`, runs it.
const NOBODY: u32 = 65534;

/// How often a server is started anew because somebody else took its port in the meantime.
const STARTS_MAX: usize = 3;

/// A running server on 127.0.0.1, with scram passwords. Dropping it stops it and removes its folder; so does
/// the end of the test process, however it ends.
#[derive(Debug)]
pub struct Postgres {
    programs: Programs,
    port: u16,
    superuser: String,
    databases: AtomicU32,
    _guard: Guard,
}

impl Postgres {
    /// The password of the superuser.
    pub const PASSWORD: &str = "opensesame";

    /// Starts a server of one's own, which takes a second or two.
    pub fn start(superuser: &str) -> Self {
        let programs = Programs::find();
        let folder = tempfile::Builder::new().prefix("vaultref-postgres-").tempdir();
        // The guard removes it: it lives longer than this process.
        let folder = folder.expect("a folder for the server can be made").keep();
        let programs = Programs { as_nobody: give_to_nobody_if_root(&folder), folder, ..programs };
        // Before the first thing that would have to be cleaned up.
        let guard = Guard::new(&programs.folder, &programs.stop());
        programs.init(superuser, guard.held());
        let port = programs.start(|| guard.held());
        Self { programs, port, superuser: superuser.to_owned(), databases: AtomicU32::new(0), _guard: guard }
    }

    /// The server that all tests of this process share. They keep apart by [`Postgres::create_database`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("postgres"))
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that the server's programs are in, `psql` among them.
    pub fn programs(&self) -> &Path {
        &self.programs.bin
    }

    /// The name of the superuser.
    pub fn superuser(&self) -> &str {
        &self.superuser
    }

    /// Makes an empty database, and tells its name.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("create database {name}"));
        name
    }

    /// Runs SQL as the superuser; returns rows as lines, columns separated by `|`.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let output = self.try_psql(database, Self::PASSWORD, sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn try_psql(&self, database: &str, password: &str, sql: &str) -> Output {
        let mut psql = self.programs.command("psql");
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password"]);
        psql.args(["--set=ON_ERROR_STOP=1", "--host=127.0.0.1", "--command", sql]);
        psql.args([format!("--port={}", self.port), format!("--username={}", self.superuser)]);
        psql.env("PGPASSWORD", password).arg(database).output().expect("psql was found beside the server")
    }
}

/// Where the server's programs are, and how they are run.
#[derive(Debug)]
struct Programs {
    bin: PathBuf,
    folder: PathBuf,
    as_nobody: bool,
}

impl Programs {
    fn find() -> Self {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut installed: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
        installed.sort();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let candidates = installed.into_iter().rev().chain(std::env::split_paths(&path));
        let complete =
            |bin: &PathBuf| ["initdb", "pg_ctl", "psql"].iter().all(|name| bin.join(name).is_file());
        let bin = candidates.into_iter().find(complete).expect(
            "this test needs a PostgreSQL server, and there is none in /usr/lib/postgresql/*/bin or on PATH: \
             `cargo xtask ci` installs it",
        );
        Self { bin, folder: PathBuf::new(), as_nobody: false }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A program of the server, without the caller's `PG…` variables, and never as root.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]);
        command.arg(self.bin.join(program));
        if !self.as_nobody {
            command = Command::new(self.bin.join(program));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", path)
            .env("LC_ALL", "C")
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    fn stop(&self) -> Command {
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "--silent", "--mode=immediate", "--pgdata"]).arg(self.data());
        stop
    }

    fn init(&self, superuser: &str, held: Stdio) {
        let password = self.folder.join("password");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&password);
        let written = file.and_then(|mut file| file.write_all(Postgres::PASSWORD.as_bytes()));
        written.expect("the server's folder is new and ours");
        if self.as_nobody {
            chown(&password, Some(NOBODY), Some(NOBODY)).expect("root may give a file away");
        }
        let mut initdb = self.command("initdb");
        initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        initdb.arg(format!("--username={superuser}")).arg("--pwfile").arg(&password).arg(self.data());
        run(initdb.stdin(held)).unwrap_or_else(|error| panic!("initdb failed: {error}"));
        fs::remove_file(&password).expect("the server's folder is ours");
    }

    fn start(&self, held: impl Fn() -> Stdio) -> u16 {
        let mut error = String::new();
        for _ in 0..STARTS_MAX {
            let port = free_port();
            let log = self.folder.join("log");
            let mut start = self.command("pg_ctl");
            // -F: what a test writes need not survive a power cut.
            start.arg("-o").arg(format!("-h 127.0.0.1 -p {port} -k '{}' -F", self.folder.display()));
            start.args(["start", "--wait", "--silent", "--pgdata"]).arg(self.data()).arg("--log").arg(&log);
            match run(start.stdin(held())) {
                Ok(()) => return port,
                Err(message) => error = message + &fs::read_to_string(&log).unwrap_or_default(),
            }
        }
        panic!("the server doesn't start: {error}");
    }
}

/// Hands the folder over when we are root; its owner, being the one who made it, tells.
fn give_to_nobody_if_root(folder: &Path) -> bool {
    let root = fs::metadata(folder).expect("the folder was just made").uid() == 0;
    if root {
        chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may give a folder away");
    }
    root
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};
    use std::panic;

    use super::*;

    #[test]
    fn the_superuser_gets_in_with_the_password_only() {
        let server = Postgres::shared();
        assert_eq!(server.psql("postgres", "select current_user, 1 + 1"), "postgres|2\n");
        let refused = server.try_psql("postgres", "wrong", "select 1");
        let message = String::from_utf8_lossy(&refused.stderr);
        assert!(message.contains("password authentication failed"), "{message}");
    }

    #[test]
    fn tests_that_share_the_server_have_databases_of_their_own() {
        let server = Postgres::shared();
        let (one, other) = (server.create_database(), server.create_database());
        server.psql(&one, "create table only_here()");
        let tables = "select count(*) from pg_tables where tablename = 'only_here'";
        assert_eq!((server.psql(&one, tables), server.psql(&other, tables)), ("1\n".into(), "0\n".into()));
    }

    #[test]
    fn a_test_that_panics_leaves_neither_server_nor_folder() {
        let mut seen = None;
        let result = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            let server = Postgres::start("admin");
            assert_eq!(server.superuser(), "admin");
            assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).is_ok());
            assert!(!server.programs.folder.join("password").exists());
            seen = Some((server.port(), server.programs.folder.clone()));
            panic::resume_unwind(Box::new("a failed assertion"));
        }));
        assert!(result.is_err());
        let (port, folder) = seen.unwrap();
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
        assert!(!folder.exists());
    }
}
