//! Takes the keyboard from the terminal: raw mode, left again in every case, and a thread that copies what is typed.

use std::io::{self, PipeReader};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::process::getpgrp;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use zeroize::Zeroizing;

use super::super::pump::write_all;

/// What is typed, or pasted, between two looks.
const TYPED_BYTES: usize = 4096;

/// How often a process in the background looks whether it is in the foreground.
const BACKGROUND_WAIT: Timespec =
    Timespec { tv_sec: 0, tv_nsec: Duration::from_millis(200).subsec_nanos() as _ };

/// The keyboard, until it is dropped.
pub(super) struct Keyboard(Arc<RawMode>);

impl Keyboard {
    /// Puts the terminal into raw mode and copies what is typed to `master`, until the child has ended.
    pub(super) fn take(
        terminal: BorrowedFd<'_>,
        master: &Arc<OwnedFd>,
        ended: &PipeReader,
    ) -> io::Result<Self> {
        let typist = Typist {
            terminal: terminal.try_clone_to_owned()?,
            master: Arc::downgrade(master),
            ended: ended.try_clone()?,
        };
        let mode = Arc::new(RawMode { terminal: terminal.try_clone_to_owned()?, before: Mutex::new(None) });
        let keyboard = Self(mode);
        keyboard.0.leave_on_panic();
        keyboard.0.enter();
        thread::Builder::new().spawn(move || typist.copy())?;
        Ok(keyboard)
    }

    /// Takes it again after vaultref had been stopped.
    pub(super) fn retake(&self) {
        self.0.enter();
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A terminal in raw mode, and how it was before.
struct RawMode {
    terminal: OwnedFd,
    before: Mutex<Option<Termios>>,
}

impl RawMode {
    /// In the background it does nothing: to change the terminal from there would stop the process.
    fn enter(&self) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_in_foreground(&self.terminal) {
            return;
        }
        if before.is_none() {
            *before = tcgetattr(&self.terminal).ok();
        }
        if let Some(mut raw) = before.clone() {
            raw.make_raw();
            // A terminal that refuses stays usable, line by line.
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, &raw);
        }
    }

    fn leave(&self) {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(before) = before.filter(|_| is_in_foreground(&self.terminal)) {
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, &before);
        }
    }

    /// Released builds abort on a panic, and nothing is dropped then; the hook runs before.
    fn leave_on_panic(self: &Arc<Self>) {
        let (mode, report) = (self.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info| {
            mode.leave();
            report(info);
        }));
    }
}

/// Whether our process group may read and change the terminal. One that is not our controlling terminal asks nobody.
fn is_in_foreground(terminal: &OwnedFd) -> bool {
    tcgetpgrp(terminal).map_or(true, |foreground| foreground == getpgrp())
}

/// Copies what is typed.
struct Typist {
    terminal: OwnedFd,
    master: Weak<OwnedFd>,
    ended: PipeReader,
}

impl Typist {
    fn copy(self) {
        let mut typed = Zeroizing::new(vec![0; TYPED_BYTES]);
        while let Ok(bytes) = self.read(&mut typed) {
            let Some(master) = self.master.upgrade() else { return };
            if bytes == 0 || write_all(&master, &typed[..bytes]).is_err() {
                return;
            }
        }
    }

    /// Waits for something typed; 0 where nothing more will be.
    fn read(&self, typed: &mut [u8]) -> Result<usize, Errno> {
        loop {
            let is_in_foreground = is_in_foreground(&self.terminal);
            let mut fds =
                [PollFd::new(&self.ended, PollFlags::IN), PollFd::new(&self.terminal, PollFlags::IN)];
            // What is typed while another job is in the foreground is not ours, and to read it would stop us.
            let woken = match is_in_foreground {
                true => poll(&mut fds, None),
                false => poll(&mut fds[..1], Some(&BACKGROUND_WAIT)),
            };
            match woken {
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            if !fds[0].revents().is_empty() {
                return Ok(0);
            }
            if !fds[1].revents().is_empty() {
                match read(&self.terminal, &mut *typed) {
                    Err(Errno::INTR) => {}
                    other => return other,
                }
            }
        }
    }
}
