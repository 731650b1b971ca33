//! `vaultref run`: becomes a command with secrets in its environment.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use tokio::sync::oneshot;
use vaultref::{Error, ErrorKind, Leases, Secret};

use crate::args;
use crate::hardening::Hardened;
use crate::mask::Masker;
use crate::output::Speaker;
use crate::report::{Problem, Severity};
use crate::setup::Session;
use crate::supervise::{CommandSpec, MaskWhen, SuperviseError, supervise};
use crate::variables::{self, Variable};

/// Does not return where it succeeds without `--mask`: vaultref is the command then.
pub(crate) fn run(
    session: &Session,
    args: &args::Run,
    speaker: &Speaker,
    hardened: &Hardened,
) -> Result<u8, Vec<Problem>> {
    let variables = variables::assemble(session, &args.variables, speaker)?;
    let (program, arguments) = args.command.split_first().expect("clap requires a command");
    let spec = CommandSpec {
        program: program.clone(),
        args: arguments.to_vec(),
        environment: variables.iter().map(|v| (v.name.clone(), variables::os_value(&v.value))).collect(),
    };
    let result = match args.mask {
        None => {
            // The command goes on using what was lent to it.
            session.close(Leases::Keep);
            Err(become_command(&spec, hardened))
        }
        Some(when) => {
            let masker = masker(session, &variables, speaker)?;
            // The command inherits the limit from us; we write no core even so, as we are not dumpable.
            hardened.restore();
            looked_after(session, || supervise(spec, masker, when.into()))
        }
    };
    result.or_else(|error| {
        let problem = Error::new(ErrorKind::InvalidConfig, error.to_string()).into();
        speaker.problems(&[problem], Severity::Error, &|_| String::new());
        Ok(error.exit_code())
    })
}

/// Goes on renewing what the command uses, while `work` waits for it.
fn looked_after<T>(session: &Session, work: impl FnOnce() -> T) -> T {
    let (done, wait) = oneshot::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| session.runtime.block_on(wait));
        // Dropped however the work ends, which ends the wait.
        let _done = done;
        work()
    })
}

impl From<args::MaskWhen> for MaskWhen {
    fn from(when: args::MaskWhen) -> Self {
        match when {
            args::MaskWhen::Auto => Self::Streams,
            args::MaskWhen::Always => Self::Always,
        }
    }
}

/// Replaces this process by the command; the return is the failure.
fn become_command(spec: &CommandSpec, hardened: &Hardened) -> SuperviseError {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env_clear().envs(spec.environment.iter().map(|(name, value)| (name, value)));
    hardened.restore();
    let error = command.exec();
    match error.kind() {
        io::ErrorKind::NotFound => SuperviseError::NotFound(spec.program.clone()),
        _ => SuperviseError::NotExecutable(spec.program.clone(), error),
    }
}

/// What to replace in the command's output: the secrets that it is given.
fn masker(session: &Session, variables: &[Variable], speaker: &Speaker) -> Result<Masker, Vec<Problem>> {
    let mut secrets: Vec<(&Variable, Secret)> = Vec::new();
    for variable in variables {
        secrets.extend(variable.secrets(session)?.into_iter().map(|secret| (variable, secret)));
    }
    let masker = Masker::new(&secrets.iter().map(|(_, secret)| secret.clone()).collect::<Vec<_>>());
    for index in masker.too_short() {
        let message =
            format!("a secret in variable {} is too short to be masked", secrets[*index].0.name.display());
        let hint = "masking it would garble ordinary output";
        speaker.warning(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint));
    }
    Ok(masker)
}
