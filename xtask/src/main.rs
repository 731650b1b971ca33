//! `cargo xtask <command>`: what a developer runs, so that a machine needs nothing but cargo to run it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a developer reads what these commands print")]

mod bench;
mod ci;
mod command;
mod tidy;
mod tools;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask ci [--only STEP,STEP]   everything that has to pass, or the steps named
cargo xtask tidy                    the rules of this project that no compiler knows
cargo xtask bench                   measures, and writes docs/performance.md

steps of ci:";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace");
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["ci"] => ci::run(root, None),
        ["ci", "--only", names] => ci::run(root, Some(names)),
        ["tidy"] => tidy::run(root),
        ["bench"] => bench::run(root),
        _ => {
            println!("{USAGE}");
            for step in ci::STEPS {
                println!("  {:8}{}", step.name, step.about);
            }
            return ExitCode::from(u8::from(!matches!(args.as_slice(), [] | ["help" | "--help" | "-h"])) * 2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
