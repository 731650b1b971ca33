//! The command line of vaultref: the only place where all parts are put together.

mod args;
mod commands;
mod exit;
mod files;
mod hardening;
mod mask;
mod output;
mod report;
mod setup;
mod supervise;
mod variables;

use std::process::ExitCode;

use clap::Parser;
use vaultref::{Leases, Reference};

use crate::args::{Cli, Command, VaultCommand, VaultsCommand};
use crate::hardening::Hardened;
use crate::output::Speaker;
use crate::report::{Problem, Severity};
use crate::setup::Session;

fn main() -> ExitCode {
    let hardened = hardening::harden();
    let cli = Cli::parse();
    let speaker = Speaker::new(cli.global.color);
    let is_run = matches!(cli.command, Command::Run(_));
    match dispatch(cli, &speaker, &hardened) {
        Ok(code) => exit::status(code),
        Err(problems) => exit::status(if is_run { exit::RUN_FAILED } else { exit::code(&problems) }),
    }
}

/// Runs the command. Problems have been told when this returns.
fn dispatch(cli: Cli, speaker: &Speaker, hardened: &Hardened) -> Result<u8, Vec<Problem>> {
    let told = |problems: Vec<Problem>, shown: &dyn Fn(&Reference) -> String| {
        speaker.problems(&problems, Severity::Error, shown);
        problems
    };
    let hidden = |reference: &Reference| reference.redacted(|_| false);
    match &cli.command {
        Command::Completions(args) => {
            return commands::completions(args).map_err(|problems| told(problems, &hidden));
        }
        Command::Man(args) => return commands::man(args).map_err(|problems| told(problems, &hidden)),
        _ => {}
    }
    let session = Session::start(&cli.global, speaker).map_err(|problems| told(problems, &hidden))?;
    let tells_itself =
        matches!(cli.command, Command::Config(_) | Command::Vaults(args::Vaults { command: None, .. }));
    if !tells_itself {
        setup::warn_of_vault_typos(&session.engine, speaker);
    }
    let shown = |reference: &Reference| session.engine.shown(reference);
    let result = match &cli.command {
        Command::Get(args) | Command::Vault { command: VaultCommand::Get(args) } => {
            commands::get(&session, args, speaker)
        }
        Command::Run(args) => commands::run(&session, args, speaker, hardened),
        Command::Render(args) => commands::render(&session, args),
        Command::Check(args) => commands::check(&session, args, speaker),
        Command::Explain(args) => commands::explain(&session, args),
        Command::Config(args) => commands::config(&session, args, speaker),
        Command::Vaults(args) => match &args.command {
            None => commands::vaults(&session, args, speaker),
            Some(VaultsCommand::Check(args)) => commands::check_vaults(&session, args),
        },
        Command::Export(args) => commands::export(&session, args, speaker),
        Command::Completions(_) | Command::Man(_) => Ok(exit::OK),
    };
    let problems = result.map_err(|problems| told(problems, &shown));
    session.close(match &cli.command {
        // Nothing was handed over. With `--json`, what succeeded was.
        Command::Get(args) | Command::Vault { command: VaultCommand::Get(args) }
            if problems.is_err() && !args.json =>
        {
            Leases::Revoke
        }
        Command::Render(_) | Command::Export(_) if problems.is_err() => Leases::Revoke,
        // What was printed or written is in somebody's hands.
        Command::Get(_)
        | Command::Vault { .. }
        | Command::Render(_)
        | Command::Export(_)
        | Command::Config(_) => Leases::Keep,
        _ => Leases::Revoke,
    });
    session.end();
    problems
}
