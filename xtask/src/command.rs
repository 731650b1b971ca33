//! One command to run, which can be shown the way a person would type it.

use std::fmt;
use std::path::Path;
use std::process::Stdio;

/// A program, its arguments and the variables set for it. `Display` gives a line for a shell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Command {
    envs: Vec<(String, String)>,
    words: Vec<String>,
}

impl Command {
    /// A command from its words, separated by spaces: none of them may hold one.
    pub(crate) fn new(line: &str) -> Self {
        Self::default().args(line)
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds arguments, separated by spaces.
    pub(crate) fn args(mut self, line: &str) -> Self {
        self.words.extend(line.split_whitespace().map(str::to_owned));
        self
    }

    /// Adds one argument, which may hold anything.
    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.words.push(arg.to_owned());
        self
    }

    /// Runs it in `dir`. The error is what to do to see it fail again.
    pub(crate) fn run(&self, dir: &Path) -> Result<(), String> {
        let status = self.prepared(dir).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(format!("repeat with: {self}")),
            Err(error) => Err(format!("{self}: {error}")),
        }
    }

    /// What it prints, where it can be run and succeeds.
    pub(crate) fn output(&self, dir: &Path) -> Option<String> {
        let output = self.prepared(dir).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn prepared(&self, dir: &Path) -> std::process::Command {
        let mut command = std::process::Command::new(&self.words[0]);
        command
            .args(&self.words[1..])
            .envs(self.envs.iter().map(|(name, value)| (name, value)))
            .current_dir(dir);
        command
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let envs = self.envs.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let words = self.words.iter().map(|word| quoted(word));
        f.write_str(&envs.chain(words).collect::<Vec<_>>().join(" "))
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let command = Command::new("cargo doc --no-deps").env("RUSTDOCFLAGS", "-D warnings").arg("it's");
        assert_eq!(command.to_string(), r"RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'it'\''s'");
    }

    #[test]
    fn a_failure_says_how_to_repeat_it() {
        let command = Command::new("sh -c").env("X", "3").arg("exit $X");
        assert_eq!(command.run(Path::new("/")), Err("repeat with: X=3 sh -c 'exit $X'".to_owned()));
        assert_eq!(Command::new("sh -c").arg("exit 0").run(Path::new("/")), Ok(()));
    }
}
