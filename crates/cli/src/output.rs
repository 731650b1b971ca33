//! All that vaultref prints: data on standard output, words for people on standard error.

use std::io::{self, IsTerminal, Write};

use vaultref::{Error, ErrorKind, Reference};

use crate::args::ColorWhen;
use crate::report::{self, Problem, Severity};

/// Writes data to standard output. A reader that has gone away ends the program as a filter ends: quietly.
pub(crate) fn data(bytes: &[u8]) -> Result<(), Vec<Problem>> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| vec![write_failed(&error)])
}

/// Writes a JSON value and a newline to standard output.
pub(crate) fn json(value: &serde_json::Value) -> Result<(), Vec<Problem>> {
    data(format!("{value:#}\n").as_bytes())
}

/// The problem of an output that cannot be written.
pub(crate) fn write_failed(error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(i32::from(crate::exit::OK));
    }
    Error::new(ErrorKind::Internal, format!("standard output cannot be written: {}", error.kind())).into()
}

/// Who tells people what is wrong, in colour or not.
#[derive(Clone, Copy)]
pub(crate) struct Speaker {
    color: bool,
}

impl Speaker {
    /// Colours on a terminal, unless a flag or `NO_COLOR` says otherwise.
    pub(crate) fn new(when: ColorWhen) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => io::stderr().is_terminal() && !forbidden && !dumb,
        };
        Self { color }
    }

    /// Reports problems, each with its place.
    pub(crate) fn problems(
        &self,
        problems: &[Problem],
        severity: Severity,
        shown: &dyn Fn(&Reference) -> String,
    ) {
        for problem in problems {
            self.say(&report::text(problem, severity, self.color, shown));
        }
    }

    /// Reports a warning without a place.
    pub(crate) fn warning(&self, error: Error) {
        self.problems(&[error.into()], Severity::Warning, &|reference| reference.redacted(|_| false));
    }

    /// Writes a line to standard error. That it cannot be written is nothing anybody could be told.
    pub(crate) fn say(&self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

/// Lines of cells, padded so that columns stand below each other.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out
}
