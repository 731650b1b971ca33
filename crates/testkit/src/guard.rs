//! Cleans up behind the servers that tests start, however the test process ends.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range that Linux hands out for outgoing connections: a server that is started again finds its port
/// free. A prime count of ports, so that the steps below come by all of them.
const PORTS: (u32, u32) = (12_000, 19_997);

/// A shell that waits for its input to end, runs a command that stops the server, and removes the server's folder.
///
/// The other end is held by this process: it also closes when the process is killed, and for a server in a
/// `static`, which is never dropped. In a process group of its own, the guard outlives a Ctrl-C that ends the tests.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// To be there before the first thing that would have to be cleaned up.
    pub(crate) fn new(folder: &Path, stop: &Command) -> Self {
        const SCRIPT: &str = r#"folder=$1; shift; cd /; cat >/dev/null; "$@"; rm -rf "$folder""#;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "sh"]).arg(folder).arg(stop.get_program()).args(stop.get_args());
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self(shell.spawn().expect("there is a shell"))
    }

    /// As input for what makes and starts the server: the guard lets it finish, and stops the server then.
    pub(crate) fn held(&self) -> Stdio {
        let input = self.0.stdin.as_ref().expect("the guard's input is a pipe");
        Stdio::from(input.as_fd().try_clone_to_owned().expect("there is a free file descriptor"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Closes the guard's input, which is its sign to clean up, and waits until it is done.
        let _ = self.0.wait();
    }
}

/// A port on 127.0.0.1 that nobody listens on. Somebody may before its taker does: try again then.
pub(crate) fn free_port() -> u16 {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    let (first, count) = PORTS;
    // Test processes that run at once start at places of their own.
    let place = |_| std::process::id().wrapping_mul(499).wrapping_add(TRIES.fetch_add(1, Ordering::Relaxed));
    let ports = (0..count).map(place).map(|place| u16::try_from(first + place % count));
    let mut ports = ports.map(|port| port.expect("the range ends below 65536"));
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.find(free).expect("there is a free port")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn shell(script: &str, args: &[&Path]) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script, "sh"]).args(args);
        shell
    }

    #[test]
    fn what_starts_the_server_is_done_before_it_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let (made, told) = (folder.path().join("made"), tempfile::NamedTempFile::new().unwrap());
        let guard = Guard::new(folder.path(), &shell(r#"cat "$1" > "$2""#, &[&made, told.path()]));
        // The command has the input as well, and is gone after this line.
        let mut start =
            shell(r#"sleep 0.2; echo started > "$1""#, &[&made]).stdin(guard.held()).spawn().unwrap();
        drop(guard);
        assert_eq!(fs::read_to_string(told.path()).unwrap(), "started\n");
        assert!(!folder.path().exists());
        start.wait().unwrap();
    }

    #[test]
    fn ports_differ_from_one_to_the_next() {
        let ports: Vec<u16> = (0..50).map(|_| free_port()).collect();
        let mut different = ports.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), ports.len());
    }
}
