//! Runs a command as its parent: masks secrets in its output, forwards signals to it, ends as it ends.
//!
//! One thread per output stream reads, masks and writes; the calling thread sees to signals and to the end of the
//! child. Nothing else happens between the child and the world: it has exactly the environment it is given, stays in
//! vaultref's process group (so that a terminal's Ctrl-C and Ctrl-Z reach it as ever), and stdin is its own.

mod pump;
mod signals;
mod terminal;
#[cfg(test)]
mod tests;
mod wires;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, PipeReader};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, wait, waitpid};

use crate::mask::Masker;
use pump::Pump;
use signals::Signals;
use terminal::{Attended, Terminal};
use wires::{Source, Wires};

/// A thread that looks after one stream.
type Running = JoinHandle<io::Result<()>>;

/// What to run. No part of it is printed, but for the program's name in an error.
pub(crate) struct CommandSpec {
    /// A path, or a name to look for in the `PATH` of `environment`.
    pub(crate) program: OsString,
    /// The arguments behind the program's name: never a secret, everybody on the machine can read them.
    pub(crate) args: Vec<OsString>,
    /// The whole environment of the command: nothing is inherited beside it.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// Which of stdout and stderr are masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaskWhen {
    /// Those that are not a terminal. A terminal is handed to the command untouched, as one wants it for full-screen
    /// programs, and as nobody but the user sees it.
    Streams,
    /// All. What is a terminal becomes a pseudo-terminal for the command, with vaultref between the two.
    Always,
}

/// Why a command could not be run, or not be looked after.
#[derive(Debug)]
pub(crate) enum SuperviseError {
    /// There is no such program.
    NotFound(OsString),
    /// The program is there, and the system refuses to run it.
    NotExecutable(OsString, io::Error),
    /// vaultref itself failed at this.
    Own(&'static str, io::Error),
}

impl SuperviseError {
    /// 127, 126 and 125, as `env` and the shell have it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            Self::NotExecutable(..) => 126,
            Self::Own(..) => 125,
        }
    }
}

impl fmt::Display for SuperviseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(program) => write!(f, "command `{}` not found", program.display()),
            Self::NotExecutable(program, error) => write!(f, "cannot run `{}`: {error}", program.display()),
            Self::Own(what, error) => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for SuperviseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotFound(_) => None,
            Self::NotExecutable(_, error) | Self::Own(_, error) => Some(error),
        }
    }
}

/// How long the output of a child that has ended is still written after a signal to end. A signal may come for the
/// child and after it: `timeout` sends two. What the child said last is written in this time unless nobody reads it.
const FINISH_MAX: Duration = Duration::from_millis(200);

/// What failed, for [`SuperviseError::Own`].
fn own(what: &'static str) -> impl Fn(io::Error) -> SuperviseError {
    move |error| SuperviseError::Own(what, error)
}

/// Runs the command to its end and returns its exit code; 128 + n where signal n ended it.
///
/// It returns when the command has ended and its output is written. Children that the command leaves behind with
/// its stdout or stderr in their hands are listened to for a second of silence, and for five in all.
///
/// The signals' handlers stay in place when it returns: the caller is meant to exit.
pub(crate) fn supervise(command: CommandSpec, masker: Masker, when: MaskWhen) -> Result<u8, SuperviseError> {
    // Before the spawn: a signal that arrives meanwhile waits for the child instead of ending vaultref alone.
    let mut signals = Signals::install().map_err(own("handle signals"))?;
    // The threads learn of the child's end when `running` is dropped.
    let (ended, running) = io::pipe().map_err(own("open a pipe"))?;
    let terminal = match when {
        MaskWhen::Always => Terminal::open(&ended).map_err(own("open a pseudo-terminal"))?,
        MaskWhen::Streams => None,
    };
    let (wires, sources) = Wires::lay(terminal.as_ref()).map_err(own("connect the command's output"))?;
    let pumps = start(sources, &ended, masker).map_err(own("read the command's output"))?;

    let (child, terminal) = spawn(command, wires, terminal)?;
    let status = watch(child, &mut signals, terminal.as_ref()).map_err(own("wait for the command"))?;
    drop(running);
    finish(pumps, &mut signals).map_err(own("write the command's output"))?;
    Ok(exit_code(status))
}

/// Starts the threads, before the child: after it nothing may fail that would leave it without us.
fn start(sources: Vec<Source>, ended: &PipeReader, masker: Masker) -> io::Result<Vec<Running>> {
    let masker = Arc::new(masker);
    let start = |source| {
        let pump = Pump::new(source, ended, masker.clone())?;
        thread::Builder::new().spawn(|| pump.run())
    };
    sources.into_iter().map(start).collect()
}

/// Starts the command. Its environment, and so a copy of the secrets, is freed here; std does not zeroize it, and the
/// command holds the same for as long as it runs.
fn spawn(
    spec: CommandSpec,
    wires: Wires,
    terminal: Option<Terminal>,
) -> Result<(Pid, Option<Attended>), SuperviseError> {
    let CommandSpec { program, args, environment } = spec;
    let mut command = Command::new(&program);
    command.args(args).env_clear().envs(environment);
    let spawned = match terminal {
        Some(terminal) => terminal.spawn(command, wires).map(|(child, terminal)| (child, Some(terminal))),
        None => command.stdout(wires.stdout).stderr(wires.stderr).spawn().map(|child| (child, None)),
    };
    match spawned {
        Ok((child, terminal)) => Ok((Pid::from_child(&child), terminal)),
        Err(error) => Err(spawn_error(program, error)),
    }
}

fn spawn_error(program: OsString, error: io::Error) -> SuperviseError {
    use io::ErrorKind;
    let out_of = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    match error.kind() {
        ErrorKind::NotFound => SuperviseError::NotFound(program),
        // A NUL byte among what the command was to be given.
        ErrorKind::InvalidInput if error.raw_os_error().is_none() => {
            SuperviseError::Own("pass an argument or a variable with a NUL byte in it", error)
        }
        // No process or pipe to be had: nothing that the program is to blame for.
        ErrorKind::WouldBlock | ErrorKind::OutOfMemory => SuperviseError::Own("start a process", error),
        _ if out_of(Errno::MFILE) || out_of(Errno::NFILE) => SuperviseError::Own("start a process", error),
        _ => SuperviseError::NotExecutable(program, error),
    }
}

/// Forwards signals until the child has ended.
fn watch(child: Pid, signals: &mut Signals, terminal: Option<&Attended>) -> io::Result<WaitStatus> {
    // The child may have ended before the first signal is looked at: then its SIGCHLD is the first one.
    while let Some(signal) = signals.next() {
        if signal.is_about_children() {
            if let Some(status) = reap(child)? {
                return Ok(status);
            }
            continue;
        }
        if let Some(terminal) = terminal {
            terminal.follow(&signal);
        }
        if signal.is_news_for(child, terminal) {
            signal.send_to(child);
        }
    }
    Err(io::Error::other("the signals came to an end"))
}

/// Looks for the child's end. As process 1 of a container vaultref is also the parent of all orphans there.
fn reap(child: Pid) -> io::Result<Option<WaitStatus>> {
    if getpid() != Pid::INIT {
        return Ok(waitpid(Some(child), WaitOptions::NOHANG)?.map(|(_, status)| status));
    }
    while let Some((pid, status)) = wait(WaitOptions::NOHANG)? {
        if pid == child {
            return Ok(Some(status));
        }
    }
    Ok(None)
}

/// Lets the threads write what there is to be written. Who wants to have it sooner sends a signal that ends.
fn finish(pumps: Vec<Running>, signals: &mut Signals) -> io::Result<()> {
    let (done, is_done) = mpsc::channel();
    let end = signals.end();
    thread::Builder::new().spawn(move || {
        let panicked = |_| Err(io::Error::other("a thread panicked"));
        let results: Vec<_> = pumps.into_iter().map(|pump| pump.join().unwrap_or_else(panicked)).collect();
        // Nobody listens any more when a signal came first.
        let _ = done.send(results.into_iter().collect());
        end.close();
    })?;
    while signals.next().is_some_and(|signal| !signal.asks_to_end()) {}
    is_done.recv_timeout(FINISH_MAX).unwrap_or(Ok(()))
}

fn exit_code(status: WaitStatus) -> u8 {
    // Both are numbers of at most eight bits; a child that neither exited nor was ended by a signal is not reported.
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(125)
}
