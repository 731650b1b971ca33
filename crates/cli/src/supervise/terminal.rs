//! Puts a pseudo-terminal between the child and the terminal, so that the child's output can be masked and the child
//! still finds itself on a terminal.
//!
//! Where both stdin and stdout are terminals, vaultref also takes the keyboard: the real terminal goes into raw mode,
//! what is typed is copied, and the child leads a session of its own whose controlling terminal is the pseudo-terminal.
//! Ctrl-C and changes of size work there as ever; Ctrl-Z stops the jobs of a shell there, but not the child itself, as
//! nobody in that session could continue it. In a pipeline the keyboard belongs to others (`… | less`): then only the
//! output goes through the pseudo-terminal, and the child stays in our session.

mod keyboard;

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Weak};

use pty_process::blocking::{Command as SessionCommand, Pts, open};
use rustix::termios::{
    OptionalActions, OutputModes, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use super::signals::Received;
use super::wires::{Source, Wires};
use keyboard::Keyboard;

/// A pseudo-terminal for a child that is about to be spawned.
pub(super) struct Terminal {
    /// Held open here until the child has it: a pseudo-terminal that nobody holds is at its end.
    child_end: Pts,
    attended: Attended,
    master: Arc<OwnedFd>,
}

impl Terminal {
    /// Opens one in the likeness of the terminal that stdout or stderr is; `None` where neither is one. Where the two
    /// are different terminals, both streams end up on that of stdout.
    pub(super) fn open(ended: &PipeReader) -> io::Result<Option<Self>> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let outer = match (isatty(&stdout), isatty(&stderr)) {
            (true, _) => stdout.as_fd().try_clone_to_owned()?,
            (false, true) => stderr.as_fd().try_clone_to_owned()?,
            (false, false) => return Ok(None),
        };
        let takes_keyboard = isatty(&stdin) && isatty(&stdout);

        let (master, child_end) = open().map_err(io::Error::other)?;
        let mut attributes = tcgetattr(&outer)?;
        if !takes_keyboard {
            // The real terminal goes on to make `\r\n` of `\n`: once is enough.
            attributes.output_modes.remove(OutputModes::OPOST);
        }
        tcsetattr(&child_end, OptionalActions::Now, &attributes)?;

        let master = Arc::new(OwnedFd::from(master));
        let keyboard = match takes_keyboard {
            true => Some(Keyboard::take(stdin.as_fd(), &master, ended)?),
            false => None,
        };
        let attended = Attended { outer, master: Arc::downgrade(&master), keyboard };
        attended.resize();
        Ok(Some(Self { child_end, attended, master }))
    }

    /// Our end of it.
    pub(super) fn source(&self) -> io::Result<Source> {
        Ok(Source { input: self.master.clone(), output: self.attended.outer.try_clone()? })
    }

    /// The child's end, for one of its streams.
    pub(super) fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.child_end.as_fd().try_clone_to_owned()?.into())
    }

    /// Spawns the child on it.
    pub(super) fn spawn(self, mut command: Command, wires: Wires) -> io::Result<(Child, Attended)> {
        let child = match self.attended.has_keyboard() {
            // pty-process does between fork and exec what safe Rust cannot: setsid and TIOCSCTTY.
            true => SessionCommand::from(command)
                .stdout(wires.stdout)
                .stderr(wires.stderr)
                .spawn(self.child_end)
                .map_err(|error| match error {
                    pty_process::Error::Io(error) => error,
                    pty_process::Error::Rustix(error) => error.into(),
                })?,
            false => command.stdout(wires.stdout).stderr(wires.stderr).spawn()?,
        };
        Ok((child, self.attended))
    }
}

/// A pseudo-terminal that a child runs on. When it is dropped, the real terminal is what it was before.
pub(super) struct Attended {
    outer: OwnedFd,
    /// Only its reader keeps it open: when that stops, the child's terminal hangs up.
    master: Weak<OwnedFd>,
    keyboard: Option<Keyboard>,
}

impl Attended {
    /// Whether the keyboard goes through it too.
    pub(super) fn has_keyboard(&self) -> bool {
        self.keyboard.is_some()
    }

    /// Does what the real terminal's signals ask for.
    pub(super) fn follow(&self, signal: &Received) {
        if signal.is_new_size() {
            self.resize();
        }
        if signal.is_continuation() {
            // The shell has set the terminal to its own liking meanwhile, and perhaps its size has changed.
            self.keyboard.iter().for_each(Keyboard::retake);
            self.resize();
        }
    }

    /// Gives the pseudo-terminal the size of the real one. Where that has none, the child sees none either.
    fn resize(&self) {
        if let (Some(master), Ok(size)) = (self.master.upgrade(), tcgetwinsize(&self.outer)) {
            let _ = tcsetwinsize(&master, size);
        }
    }
}
