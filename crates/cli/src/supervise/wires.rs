//! Decides where the child's stdout and stderr lead: to ours as they are, through a pipe, or through the terminal.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::sync::Arc;

use rustix::fs::fstat;
use rustix::termios::isatty;

use super::terminal::Terminal;

/// What the child gets. As long as it is alive it holds the child's ends of the pipes open.
pub(super) struct Wires {
    pub(super) stdout: Stdio,
    pub(super) stderr: Stdio,
}

/// One stream that vaultref reads, and where the masked text goes.
pub(super) struct Source {
    pub(super) input: Arc<OwnedFd>,
    pub(super) output: OwnedFd,
}

impl Source {
    fn new(input: PipeReader, output: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { input: Arc::new(input.into()), output: output.try_clone_to_owned()? })
    }
}

impl Wires {
    /// Connects both streams. A terminal is inherited, or replaced by `terminal` where there is one.
    pub(super) fn lay(terminal: Option<&Terminal>) -> io::Result<(Self, Vec<Source>)> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let (stdout, stderr) = (stdout.as_fd(), stderr.as_fd());
        let mut sources: Vec<Source> = terminal.map(Terminal::source).transpose()?.into_iter().collect();

        let through_terminal = || terminal.map_or_else(|| Ok(Stdio::inherit()), Terminal::stdio);
        let mut through_pipe = |output| -> io::Result<_> {
            let (reader, writer) = io::pipe()?;
            sources.push(Source::new(reader, output)?);
            Ok(writer)
        };
        let wires = match (isatty(stdout), isatty(stderr)) {
            (true, true) => Self { stdout: through_terminal()?, stderr: through_terminal()? },
            (true, false) => Self { stdout: through_terminal()?, stderr: through_pipe(stderr)?.into() },
            (false, true) => Self { stdout: through_pipe(stdout)?.into(), stderr: through_terminal()? },
            // `2>&1`: with a pipe each, the lines of the two would arrive out of order.
            (false, false) if are_same(stdout, stderr) => {
                let writer = through_pipe(stdout)?;
                Self { stdout: writer.try_clone()?.into(), stderr: writer.into() }
            }
            (false, false) => {
                Self { stdout: through_pipe(stdout)?.into(), stderr: through_pipe(stderr)?.into() }
            }
        };
        Ok((wires, sources))
    }
}

fn are_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let identity = |fd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    identity(one).is_ok_and(|one| identity(other) == Ok(one))
}
