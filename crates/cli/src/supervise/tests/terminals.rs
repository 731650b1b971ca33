//! Terminals: each test opens one and runs vaultref as its session's leader.

use pty_process::Size;
use pty_process::blocking::{Command as SessionCommand, Pty, open};
use rustix::termios::{LocalModes, tcgetattr};

use super::*;

/// A terminal, and a vaultref on it.
struct Session {
    terminal: Pty,
    vaultref: Child,
}

impl Session {
    fn start(script: &str, always: bool, change: impl FnOnce(SessionCommand) -> SessionCommand) -> Self {
        let (terminal, child_end) = open().unwrap();
        terminal.resize(Size::new(33, 101)).unwrap();
        let inner = vaultref_with(&["sh", "-c", script], always);
        let command = SessionCommand::new(inner.get_program())
            .args(inner.get_args())
            .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let vaultref = change(command).spawn(child_end).unwrap();
        Self { terminal, vaultref }
    }

    fn type_text(&mut self, text: &[u8]) {
        self.terminal.write_all(text).unwrap();
    }

    fn read_until(&mut self, end: &str) -> String {
        read_until(&mut self.terminal, end)
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ICANON)
    }
}

/// Which of its streams a shell finds to be terminals, how large, and the secret.
const LOOK: &str =
    "for i in 0 1 2; do test -t $i && echo $i; done; stty size </dev/tty; echo hunter2; echo end >&2";

#[test]
fn a_terminal_is_left_alone_unless_it_is_to_be_masked() {
    for (always, secret) in [(false, "hunter2"), (true, "[secret]")] {
        let mut session = Session::start(LOOK, always, |command| command);
        let seen = session.read_until("end\r\n");
        let expected = format!("0\r\n1\r\n2\r\n33 101\r\n{secret}\r\nend\r\n");
        assert_eq!(seen.split_once("1 test\r\n").unwrap().1, expected);
        assert!(session.vaultref.wait().unwrap().success());
        assert!(!session.is_raw());
    }
}

#[test]
fn in_a_pipeline_each_stream_is_masked_in_its_own_way() {
    let mut session = Session::start(LOOK, true, |command| command.stdout(Stdio::piped()));
    // Out of order: the terminal and the pipe have a thread each.
    assert_eq!(session.read_until("end\r\n"), "end\r\n");
    let (status, stdout) = finish(session.vaultref);
    assert_eq!(stdout.strip_prefix(PREFACE).unwrap(), "0\n2\n33 101\n[secret]\n");
    assert!(status.success());
}

#[test]
fn what_is_typed_reaches_the_command_and_its_echo_is_masked() {
    let mut session = Session::start("echo ready; read a; echo got $a", true, |command| command);
    session.read_until("ready\r\n");
    assert!(session.is_raw());
    session.type_text(b"hunter2\r");
    assert_eq!(session.read_until("]\r\n"), "[secret]\r\n");
    assert_eq!(session.read_until("]\r\n"), "got [secret]\r\n");
    assert!(session.vaultref.wait().unwrap().success());
    assert!(!session.is_raw());
}

#[test]
fn the_terminal_is_restored_when_a_signal_ends_the_command() {
    let mut session = Session::start("echo ready; exec sleep 60", true, |command| command);
    session.read_until("ready\r\n");
    send(&session.vaultref, Signal::TERM);
    assert_eq!(session.vaultref.wait().unwrap().code(), Some(143));
    assert!(!session.is_raw());
}

#[test]
fn control_c_interrupts_the_command_once() {
    let script = format!("trap 'echo interrupted' INT; trap 'kill $!; exit 5' USR1; {WAIT}");
    let piped = |command: SessionCommand| command.stdout(Stdio::piped()).stderr(Stdio::piped());

    // The terminal signals vaultref and the command alike.
    let mut session = Session::start(&script, false, piped);
    let stdout = session.vaultref.stdout.as_mut().unwrap();
    read_until(stdout, "ready\n");
    session.terminal.write_all(b"\x03").unwrap();
    read_until(stdout, "interrupted\n");
    send(&session.vaultref, Signal::USR1);
    let (status, rest) = finish(session.vaultref);
    assert_eq!((status.code(), rest.as_str()), (Some(5), ""));

    // The pseudo-terminal signals the command.
    let mut session = Session::start(&script, true, |command| command);
    session.read_until("ready\r\n");
    session.type_text(b"\x03");
    session.read_until("interrupted\r\n");
    send(&session.vaultref, Signal::USR1);
    assert_eq!(session.vaultref.wait().unwrap().code(), Some(5));
}

#[test]
fn the_command_learns_of_a_new_size() {
    let script = format!("trap 'stty size; kill $!; exit 6' WINCH; {WAIT}");
    for always in [false, true] {
        let mut session = Session::start(&script, always, |command| command);
        session.read_until("ready\r\n");
        session.terminal.resize(Size::new(44, 55)).unwrap();
        assert_eq!(session.read_until("\r\n"), "44 55\r\n");
        assert_eq!(session.vaultref.wait().unwrap().code(), Some(6));
    }
}

#[test]
fn a_terminal_that_hangs_up_ends_the_command() {
    for always in [false, true] {
        let mut session = Session::start("echo ready; exec sleep 60", always, |command| command);
        session.read_until("ready\r\n");
        drop(session.terminal);
        let status = session.vaultref.wait().unwrap();
        assert_eq!(status.code(), Some(129), "always: {always}");
    }
}
