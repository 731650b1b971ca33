//! `vaultref completions` and `vaultref man`: made from the same definitions as the parser.

use std::path::Path;

use clap::CommandFactory;

use crate::args::{self, Cli};
use crate::files::unwritable;
use crate::output;
use crate::report::Problem;

pub(crate) fn completions(args: &args::Completions) -> Result<u8, Vec<Problem>> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vaultref", &mut script);
    output::data(&script)?;
    Ok(crate::exit::OK)
}

pub(crate) fn man(args: &args::Man) -> Result<u8, Vec<Problem>> {
    let mut command = Cli::command();
    command.build();
    match &args.output {
        None => output::data(&page(&command)?)?,
        Some(directory) => {
            write_page(directory, "vaultref", &command)?;
            let is_own =
                |subcommand: &&clap::Command| !subcommand.is_hide_set() && subcommand.get_name() != "help";
            for subcommand in command.get_subcommands().filter(is_own) {
                write_page(directory, &format!("vaultref-{}", subcommand.get_name()), subcommand)?;
            }
        }
    }
    Ok(crate::exit::OK)
}

fn page(command: &clap::Command) -> Result<Vec<u8>, Vec<Problem>> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command.clone()).render(&mut page);
    rendered.map_err(|error| vec![output::write_failed(&error)])?;
    Ok(page)
}

fn write_page(directory: &Path, name: &str, command: &clap::Command) -> Result<(), Vec<Problem>> {
    let path = directory.join(format!("{name}.1"));
    std::fs::write(&path, page(command)?).map_err(|error| vec![unwritable(&path, &error)])
}
