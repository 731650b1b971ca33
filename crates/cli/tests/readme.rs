//! What README.md and docs/ say is so: their commands print what the pages show, their tables name what there is.
//!
//! In a ```` ```console ```` block, `$ ` starts a command, `> ` goes on with it, and the rest is what it prints. A block
//! with a file's name after its language (```` ```yaml app.yaml ````) is that file. All of one page happens in one
//! folder and one shell, from top to bottom, with this build's `vaultref` first on `PATH`.

#![expect(clippy::unwrap_used, reason = "a page that cannot be read has failed")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use vaultref::schema::{CommonOptions, OptionSpec};
use vaultref::{ErrorKind, KnownSettings, Reference, Version};

#[test]
fn every_command_prints_what_its_page_shows() {
    let mut report = String::new();
    for path in pages() {
        let page = Page::read(&std::fs::read_to_string(&path).unwrap());
        for (command, expected, printed) in page.run() {
            if printed != expected {
                let place = path.strip_prefix(root()).unwrap().display();
                let _ =
                    writeln!(report, "{place}: $ {command}\n--- shown\n{expected}\n--- printed\n{printed}\n");
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// README.md and all pages below docs/.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", "docs/vaults"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        pages.extend(
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension() == Some("md".as_ref())),
        );
    }
    pages.sort();
    pages
}

/// Ends what one step of the script prints.
const SEPARATOR: char = '\u{1e}';

/// What a page has a reader do.
#[derive(Default)]
struct Page {
    script: String,
    /// Each command with the output that the page shows.
    commands: Vec<(String, String)>,
}

impl Page {
    fn read(text: &str) -> Self {
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

    /// Each command, what the page shows, and what it prints; ends of lines at the very end do not count.
    fn run(self) -> Vec<(String, String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let bin = Path::new(env!("CARGO_BIN_EXE_vaultref")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1\n{}", self.script)]).current_dir(&folder);
        shell.env_clear().env("PATH", path).env("HOME", folder.path());
        let output = String::from_utf8(shell.output().unwrap().stdout).unwrap();
        let mut printed = output.split(SEPARATOR).map(|text| text.trim_end_matches('\n').to_owned());
        let with_output = |(command, shown): (String, String)| {
            let shown = shown.trim_end_matches('\n').to_owned();
            (command, shown, printed.next().unwrap_or_default())
        };
        self.commands.into_iter().map(with_output).collect()
    }
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The rows of a page's tables that start with code.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.filter(|row| row.starts_with('`')).map(|row| row.split(" | ").map(bare).collect()).collect()
}

/// A cell without its backticks, where it is nothing but code.
fn bare(cell: &str) -> &str {
    let code = cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    code.filter(|code| !code.contains('`')).unwrap_or(cell)
}

#[test]
fn every_setting_and_common_option_is_in_the_manual_with_its_default() {
    let text = page("docs/configuration.md");
    let rows = rows(&text);
    let documented = |spec: &OptionSpec| {
        let default = spec.default.unwrap_or("none");
        rows.iter().any(|row| row[0] == spec.name && row[1] == spec.kind.noun() && row[2] == default)
    };
    let specs = KnownSettings::SPECS.iter().chain(CommonOptions::SPECS);
    let missing: Vec<_> = specs.filter(|spec| !documented(spec)).map(|spec| spec.name).collect();
    assert!(missing.is_empty(), "docs/configuration.md lacks a row `name | type | default` for {missing:?}");
}

#[test]
fn every_kind_of_error_is_in_the_manual_with_its_exit_code() {
    let text = page("docs/exit-codes.md");
    for kind in ErrorKind::ALL {
        let again = if kind.is_retryable() { "yes" } else { "no" };
        let expected = [kind.exit_code().to_string(), kind.name().to_owned(), again.to_owned()];
        assert!(rows(&text).iter().any(|row| row[..3] == expected), "docs/exit-codes.md lacks {expected:?}");
    }
}

#[test]
fn every_example_of_the_grammar_is_read_as_the_manual_says() {
    let text = page("docs/references.md");
    let examples: Vec<_> = rows(&text).into_iter().filter(|row| row[0].contains("vault://")).collect();
    assert!(examples.len() > 20, "docs/references.md has {} examples", examples.len());
    for row in examples {
        let read = match Reference::parse(row[0]) {
            Err(error) => vec![error.to_string(), error.hint().to_owned()],
            Ok(reference) => {
                let version = reference.version().map(|version| match version {
                    Version::Number(number) => format!("number {number}"),
                    Version::Text(text) => format!("text {text}"),
                });
                let key = reference.key().map(str::to_owned);
                let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                let resource = reference.resource().to_string();
                vec![reference.vault().to_owned(), resource, or_dash(key), or_dash(version)]
            }
        };
        assert_eq!(row[1..], read, "docs/references.md: {}", row[0]);
    }
}

#[test]
fn the_index_names_every_page() {
    let index = page("docs/README.md");
    for path in pages() {
        let Ok(path) = path.strip_prefix(root().join("docs")) else { continue };
        let link = format!("]({})", path.display());
        assert!(path == Path::new("README.md") || index.contains(&link), "docs/README.md lacks {link}");
    }
}
