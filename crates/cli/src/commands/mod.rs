//! The commands: one file each, named like the command.

mod check;
mod check_report;
mod check_vaults;
mod config;
mod explain;
mod export;
mod get;
mod manual;
mod render;
mod run;
mod vaults;

pub(crate) use {
    check::check, check_vaults::check_vaults, config::config, explain::explain, export::export, get::get,
    manual::completions, manual::man, render::render, run::run, vaults::vaults,
};
