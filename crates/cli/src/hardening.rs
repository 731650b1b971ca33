//! Keeps secrets inside the process: no core dump, no debugger of the same user, no swap where that is permitted.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// What was changed, and has to be given back to a command that is started.
pub(crate) struct Hardened {
    core: Rlimit,
}

/// Hardens the process. What the system refuses is left: that is no reason not to work.
pub(crate) fn harden() -> Hardened {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let core = getrlimit(Resource::Core);
    // The soft limit only: it can be raised again.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: core.maximum });
    // Under a limit, allocations would fail that have nothing to do with secrets. `None` is "no limit".
    if getrlimit(Resource::Memlock).current.is_none() {
        let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
    Hardened { core }
}

impl Hardened {
    /// Restores what a command that is started would inherit.
    pub(crate) fn restore(&self) {
        let _ = setrlimit(Resource::Core, self.core);
    }
}
