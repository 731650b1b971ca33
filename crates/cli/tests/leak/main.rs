//! A canary secret goes through every command and every error path, and is found where it was asked for only.
//!
//! Each row runs in a folder of its own, which is also where temporary files go, with all logging on. Afterwards the
//! canary, a part of it, or one of its encodings is looked for in standard error, in standard output, and in every
//! file but the ones that held it before.

#![expect(clippy::unwrap_used, reason = "a step that fails has failed the test")]

mod canary;
mod debug;
mod failures;
mod hcv;
mod processes;
mod successes;
mod texts;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use canary::{CANARY, Search};

/// Where a row's canary may appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nowhere,
    Stdout,
    /// The file of this name.
    File(&'static str),
}

/// How a row's run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    /// With words about it.
    Failing,
    /// As the command that it runs, which fails.
    AsTheCommand,
}

/// One run of the command line.
struct Row {
    args: Vec<String>,
    variables: Vec<(String, Vec<u8>)>,
    files: Vec<(String, Vec<u8>)>,
    stdin: Vec<u8>,
    asked: Asked,
    ends: Ends,
}

impl Row {
    /// A command that succeeds without the canary in its output.
    fn new<A: Into<String>>(args: impl IntoIterator<Item = A>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
            files: Vec::new(),
            stdin: Vec::new(),
            asked: Asked::Nowhere,
            ends: Ends::Well,
        }
    }

    fn asks(self, asked: Asked) -> Self {
        Self { asked, ..self }
    }

    fn fails(self) -> Self {
        Self { ends: Ends::Failing, ..self }
    }

    fn fails_as_the_command(self) -> Self {
        Self { ends: Ends::AsTheCommand, ..self }
    }

    fn variable(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    fn file(mut self, name: &str, text: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), text.into()));
        self
    }

    fn stdin(self, text: impl Into<Vec<u8>>) -> Self {
        Self { stdin: text.into(), ..self }
    }

    /// Panics where the canary is found, and where the row does not do what it is there for.
    fn check(&self, search: &Search) {
        let folder = tempfile::tempdir().unwrap();
        let output = self.run(folder.path());
        let file = self
            .files
            .first()
            .map(|(name, text)| (name, String::from_utf8_lossy(&text[..text.len().min(200)])));
        let name = format!("{:?} {file:?}", self.args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), self.ends == Ends::Well, "{name}\n{stderr}");
        assert!(!search.finds_in(&output.stderr), "standard error of {name}\n{stderr}");
        let printed = search.finds_in(&output.stdout);
        assert_eq!(printed, self.asked == Asked::Stdout, "standard output of {name}");
        let told = stderr.contains("error: ") || self.args.iter().any(|arg| arg == "--format");
        assert!(told || self.ends != Ends::Failing, "{name}\n{stderr}");

        let mut found = Vec::new();
        for (path, text) in files_below(folder.path()) {
            let given =
                self.files.iter().any(|(name, given)| folder.path().join(name) == path && *given == text);
            if !given && search.finds_in(&text) {
                found.push(path.strip_prefix(folder.path()).unwrap().to_owned());
            }
        }
        let asked: Vec<PathBuf> = match self.asked {
            Asked::File(name) => vec![name.into()],
            _ => Vec::new(),
        };
        assert_eq!(found, asked, "files of {name}");
    }

    fn run(&self, folder: &Path) -> Output {
        let temporary = folder.join("tmp");
        fs::create_dir(&temporary).unwrap();
        for (name, text) in &self.files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        // What stands behind the two dashes is the command's.
        let own = self.args.iter().position(|arg| arg == "--").unwrap_or(self.args.len());
        let mut command = Command::new(env!("CARGO_BIN_EXE_vaultref"));
        command.args(&self.args[..own]).arg("-vvv").args(&self.args[own..]).current_dir(folder).env_clear();
        command.env("TMPDIR", &temporary).env("HOME", folder).env("KONG_LOG_LEVEL", "trace");
        command.env("CANARY", CANARY).env("PATH", "/usr/bin:/bin").env("RUST_BACKTRACE", "1");
        for (name, value) in &self.variables {
            command.env(name, OsStr::from_bytes(value));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that fails may not read its input.
        let _ = child.stdin.take().unwrap().write_all(&self.stdin);
        child.wait_with_output().unwrap()
    }
}

/// Every file in the folder, with its content.
fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    files
}

fn check_all(rows: Vec<Row>) {
    let search = Search::new();
    for row in rows {
        row.check(&search);
    }
}
