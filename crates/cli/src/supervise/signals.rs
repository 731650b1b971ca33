//! Decides which of the signals that vaultref gets are passed on to the child.
//!
//! The child is in vaultref's process group, so a terminal's signals (Ctrl-C, Ctrl-\, a change of size) reach both, and
//! passing them on would deliver them twice. Those that a process sends reach vaultref alone. The kernel says which is
//! which, and sudo decides in the same way: what a process sent is forwarded, unless it is the child itself; what the
//! terminal sent is forwarded only where the child is in another group and did not get it.
//!
//! signal-hook, and not tokio's signals, because it tells the sender. It compiles a small file of C for it.

use std::io;

use rustix::process::{Pid, Signal, getpgid, getpgrp, getpid, getsid, kill_process};
use signal_hook::iterator::{Handle, SignalsInfo, exfiltrator::WithOrigin};
use signal_hook::low_level::siginfo::{Cause, Origin};

use super::terminal::Attended;

/// What is passed on.
const FORWARDED: [Signal; 7] =
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::WINCH];

/// What only vaultref itself is told: a child's end, and being in the foreground again.
const OWN: [Signal; 2] = [Signal::CHILD, Signal::CONT];

/// The signals that arrive, in no strict order.
pub(super) struct Signals(SignalsInfo<WithOrigin>);

impl Signals {
    /// Starts to collect signals. One that is ignored stays so, for vaultref and for the child: under `nohup` neither
    /// is to be ended by a hang-up, and a shell's background jobs not by Ctrl-C.
    pub(super) fn install() -> io::Result<Self> {
        let ignored = ignored();
        let is_ignored = |signal: &Signal| ignored & (1 << (signal.as_raw() - 1)) != 0;
        let forwarded = FORWARDED.into_iter().filter(|signal| !is_ignored(signal));
        Ok(Self(SignalsInfo::new(forwarded.chain(OWN).map(Signal::as_raw))?))
    }

    /// Waits for a signal; `None` after [`Handle::close`].
    pub(super) fn next(&mut self) -> Option<Received> {
        self.0.forever().next().map(Received)
    }

    /// What makes [`Signals::next`] return `None`.
    pub(super) fn end(&self) -> Handle {
        self.0.handle()
    }
}

/// The set of ignored signals, bit n-1 for signal n. Elsewhere than on Linux none is known to be ignored: the
/// standard interface to ask is not safe Rust.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// A signal, and where it came from.
pub(super) struct Received(Origin);

impl Received {
    /// Whether it says that a child has changed.
    pub(super) fn is_about_children(&self) -> bool {
        self.is(Signal::CHILD)
    }

    /// Whether it says that the terminal has another size.
    pub(super) fn is_new_size(&self) -> bool {
        self.is(Signal::WINCH)
    }

    /// Whether it says that vaultref goes on after a stop.
    pub(super) fn is_continuation(&self) -> bool {
        self.is(Signal::CONT)
    }

    /// Whether it would end a process that does nothing about it, and is meant to.
    pub(super) fn asks_to_end(&self) -> bool {
        [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].into_iter().any(|signal| self.is(signal))
    }

    /// Whether the child should get it and has not got it yet.
    pub(super) fn is_news_for(&self, child: Pid, terminal: Option<&Attended>) -> bool {
        if self.is(Signal::CONT) {
            return false;
        }
        if !self.is_from_kernel() {
            // A child that signals its parent, as the X server does when it is ready, does not mean itself.
            return self.0.process.is_none_or(|sender| sender.pid != child.as_raw_pid());
        }
        match terminal {
            // The pseudo-terminal tells its own programs of its new size. Without a keyboard it is nobody's controlling
            // terminal: then the child may have looked before the size was set, and is told again.
            Some(terminal) if self.is(Signal::WINCH) => !terminal.has_keyboard(),
            // A terminal that hangs up tells the leader of its session alone.
            _ if self.is(Signal::HUP) && getsid(None) == Ok(getpid()) => true,
            _ => getpgid(Some(child)) != Ok(getpgrp()),
        }
    }

    /// Passes it on. That the child has ended meanwhile is no failure: its pid is not free before it is reaped.
    pub(super) fn send_to(&self, child: Pid) {
        if let Some(signal) = Signal::from_named_raw(self.0.signal) {
            let _ = kill_process(child, signal);
        }
    }

    fn is(&self, signal: Signal) -> bool {
        self.0.signal == signal.as_raw()
    }

    /// Linux says so. macOS gives no cause, but also no sender.
    fn is_from_kernel(&self) -> bool {
        match self.0.cause {
            Cause::Kernel => true,
            Cause::Unknown => self.0.process.is_none(),
            _ => false,
        }
    }
}
