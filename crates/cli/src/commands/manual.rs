//! `vaultref completions` and `vaultref man`: made from the same definitions as the parser.

use std::path::Path;

use clap::CommandFactory;
use vaultref::{Error, ErrorKind};

use crate::args::{self, Cli};
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
            for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
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
    std::fs::write(&path, page(command)?).map_err(|error| {
        let message = format!("{} cannot be written: {}", path.display(), error.kind());
        vec![Error::new(ErrorKind::InvalidConfig, message).into()]
    })
}
