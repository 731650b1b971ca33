//! Runs one server process for tests: in a folder of its own, to be paused, killed and started again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::guard::Guard;

/// Writes down which process it is, and becomes the server. The guard kills whoever stands there, and waits for
/// this to be written: until then the shell holds the guard's input as its own.
const BECOME: &str = r#"echo $$ > "$1"; shift; exec "$@" < /dev/null"#;

/// A stopped process ends too. The second try is for what was written while it died.
const STOP: &str = r#"test -s "$1" && kill -KILL $(cat "$1"); rm -rf "$2" || { sleep 0.5; rm -rf "$2"; }"#;

/// After this a server has failed to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is looked whether a server has started.
const START_POLL: Duration = Duration::from_millis(5);

/// A folder, and the server that runs in it, if any. It is gone when the test process is.
#[derive(Debug)]
pub(crate) struct Process {
    folder: PathBuf,
    child: Mutex<Option<Child>>,
    _guard: Guard,
}

impl Process {
    /// Makes the folder. Its name starts with `prefix`.
    pub(crate) fn new(prefix: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir();
        // The guard removes it: it lives longer than this process.
        let folder = folder.expect("a folder for the server can be made").keep();
        let mut stop = Command::new("/bin/sh");
        stop.args(["-c", STOP, "sh"]).arg(folder.join("pid")).arg(&folder);
        let guard = Guard::new(&folder, &stop);
        Self { folder, child: Mutex::new(None), _guard: guard }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the server, and returns when `ready` says so. It gets nothing of the caller's environment but PATH,
    /// and keeps its files, what it prints among them, in the folder. The error is what it printed when it ended.
    pub(crate) fn start(&self, server: &Command, ready: impl Fn() -> bool) -> Result<(), String> {
        let mut child = self.child();
        assert!(child.is_none(), "the server runs already");
        let output = File::create(self.folder.join("log")).expect("the server's folder is ours");
        let errors = output.try_clone().expect("there is a free file descriptor");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", BECOME, "sh"]).arg(self.pid()).arg(server.get_program()).args(server.get_args());
        shell.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &self.folder);
        shell.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.current_dir(&self.folder).stdin(self._guard.held()).stdout(output).stderr(errors);
        *child = Some(shell.spawn().expect("there is a shell"));
        let started = Instant::now();
        while !ready() {
            let ended = child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || started.elapsed() > START_TIMEOUT {
                drop(child);
                self.kill();
                return Err(self.log());
            }
            thread::sleep(START_POLL);
        }
        Ok(())
    }

    /// What the server has printed since it was started.
    pub(crate) fn log(&self) -> String {
        fs::read(self.folder.join("log")).map_or_else(|error| error.to_string(), |log| lossy(&log))
    }

    /// The server takes connections, and no longer answers.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// The server goes on after [`Process::pause`].
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The server ends as in a power cut.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            // Before the process is waited for: after that, the number may be somebody else's.
            let _ = fs::remove_file(self.pid());
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: Signal) {
        let child = self.child();
        let child = child.as_ref().expect("a server that was killed has to be started first");
        let sent = kill_process(Pid::from_child(child), signal);
        sent.unwrap_or_else(|error| panic!("the server is gone: {error}\n{}", self.log()));
    }

    fn pid(&self) -> PathBuf {
        self.folder.join("pid")
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::env;

    use rustix::process::test_kill_process;

    use super::*;

    /// Where the process that is to be killed tells what it has started.
    const TOLD: &str = "VAULTREF_TESTKIT_TOLD";

    fn sleeper() -> Process {
        let process = Process::new("vaultref-sleeper-");
        let mut command = Command::new("sleep");
        command.arg("1000");
        process.start(&command, || process.pid().exists()).unwrap();
        process
    }

    #[test]
    fn a_test_process_that_is_killed_leaves_neither_a_paused_server_nor_its_folder() {
        if let Some(told) = env::var_os(TOLD) {
            let process = sleeper();
            process.pause();
            fs::write(&told, process.folder().to_str().unwrap()).unwrap();
            thread::sleep(START_TIMEOUT);
            return;
        }
        let told = tempfile::NamedTempFile::new().unwrap();
        let name =
            "process::tests::a_test_process_that_is_killed_leaves_neither_a_paused_server_nor_its_folder";
        let mut tests = Command::new(env::current_exe().unwrap());
        let mut tests = tests.args(["--exact", name]).env(TOLD, told.path()).spawn().unwrap();
        let folder = loop {
            let folder = fs::read_to_string(told.path()).unwrap();
            if !folder.is_empty() {
                break PathBuf::from(folder);
            }
            thread::sleep(START_POLL);
        };
        let number: i32 = fs::read_to_string(folder.join("pid")).unwrap().trim().parse().unwrap();
        tests.kill().unwrap();
        tests.wait().unwrap();
        let killed = Instant::now();
        let server = Pid::from_raw(number).unwrap();
        while folder.exists() || test_kill_process(server).is_ok() {
            assert!(killed.elapsed() < START_TIMEOUT, "process {number} and {} are left", folder.display());
            thread::sleep(START_POLL);
        }
    }

    #[test]
    fn a_server_that_ends_is_told_with_what_it_printed() {
        let process = Process::new("vaultref-sleeper-");
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $HOME; echo $PATH $NAME; echo no such port >&2; exit 1"])
            .env("NAME", "value");
        let folder = process.folder().to_owned();
        let expected = format!("{}\n{} value\nno such port\n", folder.display(), env::var("PATH").unwrap());
        assert_eq!(process.start(&command, || false), Err(expected));
        drop(process);
        assert!(!folder.exists());
    }

    #[test]
    fn a_killed_server_can_be_started_again() {
        let process = sleeper();
        process.kill();
        process.kill();
        let mut command = Command::new("sleep");
        process.start(command.arg("1000"), || process.pid().exists()).unwrap();
        process.pause();
        process.resume();
    }
}
