//! The exit codes, which are public: scripts rely on them.

use std::process::ExitCode;

use vaultref::ErrorKind;

use crate::report::Problem;

/// All went well.
pub(crate) const OK: u8 = 0;
/// `check` found something.
pub(crate) const FOUND: u8 = 1;
/// `run`: vaultref itself failed, and the command was not started. As with `env`.
pub(crate) const RUN_FAILED: u8 = 125;
/// The table, as the root's `--help` shows it. A wrong usage is clap's 2.
pub(crate) const HELP: &str = "\
Exit codes:
    0  all went well
    1  check: something was found
    2  the command line is wrong
    3  NotFound: the store has no such resource or version
    4  KeyNotFound: the resource has no such key
    5  Denied: the store says no
    6  Unauthenticated: the store does not know us
    7  RateLimited: the store asks us to slow down
    8  Unavailable: the store cannot be reached
    9  Timeout: no answer in time
   10  InvalidReference: malformed, or its vault, version or option cannot be
   11  InvalidConfig: a setting, a vault's option or an input file cannot be used
   12  Corrupt: what the store returned is not JSON, not base64, too large
   13  Internal: a fault of vaultref or its surroundings
  125  run: vaultref failed, nothing was started
  126  run: the command cannot be started
  127  run: the command is not there
Of several failures the first decides.";

/// The code for what went wrong.
pub(crate) fn code(problems: &[Problem]) -> u8 {
    problems.first().map_or(ErrorKind::Internal, |problem| problem.error.kind()).exit_code()
}

/// The process's exit status.
pub(crate) fn status(code: u8) -> ExitCode {
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_kind_with_its_code() {
        for kind in ErrorKind::ALL {
            let line = format!("{:>5}  {}: ", kind.exit_code(), kind.name());
            assert!(HELP.contains(&line), "{line}");
        }
    }
}
