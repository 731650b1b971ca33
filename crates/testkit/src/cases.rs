//! Runs the command line against case files: what goes in, and everything that has to come out.
//!
//! ```toml
//! [[case]]
//! name = "a secret is written to a file that only its owner reads"
//! args = ["render", "in.txt", "--out", "[ROOT]/out.txt"]
//! env = { MY_SECRET = "s3cret" }             # nothing else is set
//! files = { "in.txt" = "{vault://env/my-secret}" }
//! stdin = ""                                 # what isn't given is empty, or 0
//! status = 0
//! stdout = ""
//! stderr = "wrote [ROOT]/out.txt\n"
//! written = { "out.txt" = { content = "s3cret", mode = "600" } }
//! ```
//!
//! Each case runs in a new folder, which `[ROOT]` stands for. `written` is complete: a file that is left behind,
//! changed or gone without being listed there is a failure too. A `written` file without a mode is just text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use similar::TextDiff;

/// After this a case has failed: no command of ours takes that long.
const CASE_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs all cases of all `*.toml` files in `dir` against the program `bin`; panics with every difference.
pub fn run(dir: &Path, bin: &Path) {
    let mut files: Vec<PathBuf> = match fs::read_dir(dir) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) => panic!("{}: {error}", dir.display()),
    };
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(!files.is_empty(), "no case files in {}", dir.display());

    let mut report = String::new();
    let mut failed = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let cases: Cases =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for case in cases.case {
            let differences = case.differences(bin);
            if !differences.is_empty() {
                failed += 1;
                let _ = writeln!(report, "{}: {}\n{differences}", file.display(), case.name);
            }
        }
    }
    assert!(failed == 0, "{failed} cases failed\n\n{report}");
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    stdin: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    status: i32,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
    #[serde(default)]
    written: BTreeMap<String, Written>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    File(File),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    content: String,
    mode: String,
}

impl Case {
    /// Runs the case; one paragraph for each thing that isn't as expected.
    fn differences(&self, bin: &Path) -> String {
        let folder = tempfile::tempdir().expect("a folder for the case can be made");
        let root = folder.path().canonicalize().expect("the folder was just made");
        let root_text = root.to_str().expect("the folder for temporary files has a name in UTF-8");
        let filled = |text: &str| text.replace("[ROOT]", root_text);
        for (path, content) in &self.files {
            write_file(&root.join(path), &filled(content));
        }
        let mut command = Command::new(bin);
        command.args(self.args.iter().map(|arg| filled(arg))).current_dir(&root).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, filled(value))));
        let Some(actual) = outcome(command, filled(&self.stdin)) else {
            return format!("still running after {CASE_TIMEOUT:?}\n");
        };

        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(root_text, "[ROOT]");
        let mut report = String::new();
        if actual.status != Some(self.status) {
            let got = actual.status.map_or("a signal".to_owned(), |status| status.to_string());
            let _ = writeln!(report, "status: expected {}, got {got}", self.status);
        }
        compare(&mut report, "stdout", &self.stdout, &shown(&actual.stdout));
        compare(&mut report, "stderr", &self.stderr, &shown(&actual.stderr));
        let mut found = BTreeMap::new();
        read_files(&root, &root, &mut found).expect("the folder of the case is readable");
        self.compare_files(&mut report, &found, shown);
        report
    }

    fn compare_files(
        &self,
        report: &mut String,
        found: &BTreeMap<String, (Vec<u8>, u32)>,
        shown: impl Fn(&[u8]) -> String,
    ) {
        for (path, (content, mode)) in found {
            let content = shown(content);
            match (self.written.get(path), self.files.get(path)) {
                (Some(Written::Text(expected)), _) => compare(report, path, expected, &content),
                (Some(Written::File(expected)), _) => {
                    compare(report, path, &expected.content, &content);
                    if expected.mode != format!("{mode:o}") {
                        let _ = writeln!(report, "{path}: expected mode {}, got {mode:o}", expected.mode);
                    }
                }
                (None, Some(given)) => compare(report, path, given, &content),
                (None, None) => {
                    let _ = writeln!(report, "{path}: written, but not expected");
                }
            }
        }
        for path in self.written.keys().chain(self.files.keys()).filter(|path| !found.contains_key(*path)) {
            let _ = writeln!(report, "{path}: not there afterwards");
        }
    }
}

struct Outcome {
    status: Option<i32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// What the command ends with; `None` when it doesn't end in time.
fn outcome(mut command: Command, stdin: String) -> Option<Outcome> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
    let mut input = child.stdin.take().expect("stdin is a pipe");
    // A program may end without reading its input: that is no failure.
    thread::spawn(move || input.write_all(stdin.as_bytes()));
    let stdout = drained(child.stdout.take().expect("stdout is a pipe"));
    let stderr = drained(child.stderr.take().expect("stderr is a pipe"));
    let (Ok(stdout), Ok(stderr)) = (stdout.recv_timeout(CASE_TIMEOUT), stderr.recv_timeout(CASE_TIMEOUT))
    else {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    };
    let status = child.wait().expect("the child is ours").code();
    Some(Outcome { status, stdout, stderr })
}

fn drained(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

fn write_file(path: &Path, content: &str) {
    let parent = path.parent().expect("a file of a case is inside its folder");
    let written = fs::create_dir_all(parent).and_then(|()| fs::write(path, content));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Content and permissions of every file below `dir`, by its path from `root`.
fn read_files(root: &Path, dir: &Path, found: &mut BTreeMap<String, (Vec<u8>, u32)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            read_files(root, &path, found)?;
            continue;
        }
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let mode = entry.metadata()?.permissions().mode() & 0o7777;
        found.insert(name, (fs::read(&path)?, mode));
    }
    Ok(())
}

fn compare(report: &mut String, what: &str, expected: &str, actual: &str) {
    if expected != actual {
        let diff = TextDiff::from_lines(expected, actual);
        let diff = diff.unified_diff().header("expected", "actual").to_string();
        let _ = writeln!(report, "{what}:\n{diff}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The difference that a case, run by the shell, is reported to have.
    fn difference(case: &str) -> String {
        let case: Case = toml::from_str(&format!("name = 'x'\n{case}")).unwrap();
        case.differences(Path::new("/bin/sh"))
    }

    #[test]
    fn a_case_that_says_what_happens_passes() {
        let case = r#"
            args = ["-c", 'read line; echo "$line $X $HOME"; cat in/a; echo "[ROOT]" >&2; umask 077; echo -n y > b; exit 3']
            env = { X = "[ROOT]/x" }
            stdin = "hello\n"
            files = { "in/a" = "from a file\n" }
            status = 3
            stdout = "hello [ROOT]/x \nfrom a file\n"
            stderr = "[ROOT]\n"
            written = { b = { content = "y", mode = "600" } }
        "#;
        assert_eq!(difference(case), "");
    }

    #[test]
    fn every_wrong_expectation_is_told() {
        for (case, told) in [
            ("args = ['-c', 'exit 1']", "status: expected 0, got 1\n"),
            ("args = ['-c', 'kill -9 $$']", "status: expected 0, got a signal\n"),
            (
                "args = ['-c', 'echo b']\nstdout = \"a\\n\"",
                "stdout:\n--- expected\n+++ actual\n@@ -1 +1 @@\n-a\n+b\n\n",
            ),
            ("args = ['-c', 'echo b >&2']", "stderr:\n--- expected\n+++ actual\n@@ -0,0 +1 @@\n+b\n\n"),
            (
                "args = ['-c', 'umask 022; echo a > f']\nwritten = { f = { content = \"a\\n\", mode = '600' } }",
                "f: expected mode 600, got 644\n",
            ),
            ("args = ['-c', 'echo a > f']", "f: written, but not expected\n"),
            ("args = ['-c', 'rm f']\nfiles = { f = '' }", "f: not there afterwards\n"),
            ("args = ['-c', ':']\nwritten = { f = '' }", "f: not there afterwards\n"),
            (
                "args = ['-c', 'echo b > f']\nfiles = { f = \"a\\n\" }",
                "f:\n--- expected\n+++ actual\n@@ -1 +1 @@\n-a\n+b\n\n",
            ),
        ] {
            assert_eq!(difference(case), told, "{case}");
        }
    }

    #[test]
    fn all_failures_of_a_folder_are_reported_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let case = |name: &str| format!("[[case]]\nname = '{name}'\nargs = ['-c', 'exit 1']\n");
        fs::write(dir.path().join("a.toml"), case("first") + &case("second")).unwrap();
        fs::write(dir.path().join("b.toml"), case("third")).unwrap();
        let panicked = std::panic::catch_unwind(|| run(dir.path(), Path::new("/bin/sh"))).unwrap_err();
        let message = panicked.downcast_ref::<String>().unwrap();
        assert!(message.starts_with("3 cases failed\n"), "{message}");
        for name in ["a.toml: first", "a.toml: second", "b.toml: third"] {
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn a_folder_without_cases_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        assert!(std::panic::catch_unwind(|| run(dir.path(), Path::new("/bin/sh"))).is_err());
    }
}
