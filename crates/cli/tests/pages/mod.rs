//! Runs what a page of the manual has a reader do.
//!
//! In a ```` ```console ```` block, `$ ` starts a command, `> ` goes on with it, and the rest is what it prints. A block
//! with a file's name after its language (```` ```yaml app.yaml ````) is that file. All of one page happens in one
//! folder and one shell, from top to bottom, with this build's `vaultref` first on `PATH`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A page that talks to a server. `tests/hcv_page.rs` starts one and runs the page; nobody else does.
pub(crate) const HCV: &str = "docs/vaults/hcv.md";

/// Ends what one step of the script prints.
const SEPARATOR: char = '\u{1e}';

/// The folder that the pages' names start from.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of a page.
pub(crate) fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// What a page has a reader do.
#[derive(Default)]
pub(crate) struct Page {
    script: String,
    /// Each command with the output that the page shows.
    commands: Vec<(String, String)>,
}

/// A command that was run.
pub(crate) struct Ran {
    pub(crate) command: String,
    /// What the page shows.
    pub(crate) shown: String,
    pub(crate) printed: String,
}

impl Page {
    pub(crate) fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(info) = line.strip_prefix("```") else { continue };
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match info.split_once(' ') {
                Some((_, file)) => page.file(file, &block),
                None if info == "console" => page.console(&block),
                None => {}
            }
        }
        page
    }

    fn file(&mut self, name: &str, lines: &[&str]) {
        let text = lines.join("\n");
        let _ = writeln!(self.script, "cat > '{name}' <<'END OF {name}'\n{text}\nEND OF {name}");
    }

    fn console(&mut self, lines: &[&str]) {
        let first = self.commands.len();
        for line in lines {
            match (line.strip_prefix("$ "), line.strip_prefix("> "), self.commands.last_mut()) {
                (Some(command), ..) => self.commands.push((command.to_owned(), String::new())),
                (_, Some(more), Some((command, output))) if output.is_empty() => {
                    let _ = write!(command, "\n{more}");
                }
                (.., Some((_, output))) => output.extend([line, "\n"]),
                (.., None) => panic!("`{line}` stands before the first command"),
            }
        }
        for (command, _) in &self.commands[first..] {
            let command = command.replace("cargo run -q --release --", "vaultref");
            let _ = writeln!(self.script, "{command}\nprintf '\\036'");
        }
    }

    /// Runs the page in a folder, with programs of these folders besides the system's. Ends of lines at the very
    /// end of an output do not count.
    pub(crate) fn run(self, folder: &Path, programs: &[&Path]) -> Vec<Ran> {
        let ours = Path::new(env!("CARGO_BIN_EXE_vaultref")).parent().unwrap();
        let systems = std::env::var_os("PATH").unwrap();
        let all = [ours].into_iter().chain(programs.iter().copied()).map(Path::to_owned);
        let path = std::env::join_paths(all.chain(std::env::split_paths(&systems))).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1\n{}", self.script)]).current_dir(folder);
        shell.env_clear().env("PATH", path).env("HOME", folder);
        let output = String::from_utf8(shell.output().unwrap().stdout).unwrap();
        let outputs: Vec<&str> = output.split_terminator(SEPARATOR).collect();
        assert_eq!(outputs.len(), self.commands.len(), "the shell ended early: {:?}", outputs.last());
        let trimmed = |text: &str| text.trim_end_matches('\n').to_owned();
        let ran = |((command, shown), printed): ((String, String), &str)| Ran {
            command,
            shown: trimmed(&shown),
            printed: trimmed(printed),
        };
        self.commands.into_iter().zip(outputs).map(ran).collect()
    }
}

/// Text about each command that does not print what its page shows, by `is_shown(shown, printed)`.
pub(crate) fn differences(name: &str, ran: &[Ran], is_shown: impl Fn(&str, &str) -> bool) -> String {
    let mut report = String::new();
    for Ran { command, shown, printed } in ran.iter().filter(|ran| !is_shown(&ran.shown, &ran.printed)) {
        let _ = writeln!(report, "{name}: $ {command}\n--- shown\n{shown}\n--- printed\n{printed}\n");
    }
    report
}
