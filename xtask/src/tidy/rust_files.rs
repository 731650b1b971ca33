//! What no Rust file of ours has: too many lines, unfinished work, silenced lints, forgotten prints.

use super::Finding;
use super::source::{code, without_literals};
use super::tree::Tree;

/// More is two subjects: the second one gets a file of its own.
const LINES_MAX: usize = 500;

pub(super) fn length(tree: &Tree) -> Vec<Finding> {
    let finding = |(path, text): (&str, &str)| {
        let lines = text.lines().count();
        let reason = || format!("{lines} lines: the limit is {LINES_MAX}");
        (lines > LINES_MAX).then(|| Finding::new(path, LINES_MAX + 1, reason()))
    };
    tree.ending(".rs").filter_map(finding).collect()
}

/// Work that is left for later, in code or in a comment; a test that is not run is no test.
pub(super) fn unfinished(tree: &Tree) -> Vec<Finding> {
    const NOTES: &[&str] = &["TODO", "FIXME", "XXX"];
    const CODE: &[&str] = &["todo!", "unimplemented!", "#[ignore"];
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let (text, code) = (without_literals(text), code(text));
        for (at, (line, code)) in (1..).zip(text.lines().zip(code.lines())) {
            let note = NOTES.iter().find(|word| has_word(line, word));
            let found = note.or_else(|| CODE.iter().find(|word| has_word(code, word)));
            findings.extend(
                found.map(|word| Finding::new(path, at, format!("`{word}`: finish it, or leave it out"))),
            );
        }
    }
    findings
}

/// A lint is silenced by `#[expect(…, reason = "…")]`, which complains when it has become superfluous.
pub(super) fn silenced(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let code = code(text);
        for (at, _) in code.match_indices('#') {
            let attribute = code[at + 1..].trim_start_matches('!');
            let line = 1 + code[..at].matches('\n').count();
            if attribute.starts_with("[allow(") {
                findings.push(Finding::new(path, line, "`allow`: write #[expect(…, reason = \"…\")]"));
            }
            let end = attribute.find(")]").unwrap_or(attribute.len());
            if attribute.starts_with("[expect(") && !has_word(&attribute[..end], "reason") {
                findings.push(Finding::new(path, line, "`expect` without a reason"));
            }
        }
    }
    findings
}

/// Only one file of the command line prints, so that nothing else can print a secret.
pub(super) fn prints(tree: &Tree) -> Vec<Finding> {
    const MACROS: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "dbg!"];
    let may = |path: &str| path == "crates/cli/src/output.rs" || path.starts_with("xtask/src/");
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| !may(path)) {
        for (at, line) in (1..).zip(code(text).lines()) {
            let found = MACROS.iter().find(|word| has_word(line, word));
            let reason = |word| format!("`{word}`: only crates/cli/src/output.rs prints");
            findings.extend(found.map(|word| Finding::new(path, at, reason(word))));
        }
    }
    findings
}

fn has_word(text: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let ends_inside = word.ends_with(is_word) && text[at + word.len()..].starts_with(is_word);
        !text[..at].ends_with(is_word) && !ends_inside
    })
}

#[cfg(test)]
mod tests {
    use super::super::told;
    use super::*;

    #[test]
    fn a_long_file_is_told() {
        let (fits, exceeds) = ("\n".repeat(LINES_MAX), "\n".repeat(LINES_MAX + 1));
        let files = [("a.rs", fits.as_str()), ("b.rs", &exceeds), ("c.md", &exceeds)];
        assert_eq!(told(length, &files), ["b.rs:501: 501 lines: the limit is 500"]);
    }

    #[test]
    fn unfinished_work_is_told() {
        for (text, word) in [
            ("\n// TODO: more", "TODO"),
            ("/* FIXME */", "FIXME"),
            ("fn a() { todo!() }", "todo!"),
            ("fn a() { unimplemented!() }", "unimplemented!"),
            ("#[ignore = \"slow\"]", "#[ignore"),
        ] {
            let line = 1 + text.matches('\n').count();
            assert_eq!(
                told(unfinished, &[("a.rs", text)]),
                [format!("a.rs:{line}: `{word}`: finish it, or leave it out")]
            );
        }
        let fine = [("a.rs", "// TODOS, todo!\nlet a = \"TODO todo!\";"), ("b.md", "TODO")];
        assert_eq!(told(unfinished, &fine), [""; 0]);
    }

    #[test]
    fn a_silenced_lint_is_told() {
        let files = [
            ("a.rs", "\n#[allow(dead_code)]\n#![allow(a)]"),
            (
                "b.rs",
                "#[expect(a)]\n#[expect(\n  b,\n  reason = \"c\",\n)]\n// #[allow(a)]\nlet a = \"#[allow(\";",
            ),
        ];
        let expected = [
            "a.rs:2: `allow`: write #[expect(…, reason = \"…\")]",
            "a.rs:3: `allow`: write #[expect(…, reason = \"…\")]",
            "b.rs:1: `expect` without a reason",
        ];
        assert_eq!(told(silenced, &files), expected);
    }

    #[test]
    fn a_print_outside_of_the_output_is_told() {
        let files = [
            ("crates/cli/src/output.rs", "println!()"),
            ("crates/cli/src/main.rs", "// println!\n\"println!\";\neprintln!(\"a\")"),
            ("crates/core/src/a.rs", "dbg!(a); my_print!(b)"),
            ("xtask/src/main.rs", "println!()"),
        ];
        let expected = [
            "crates/cli/src/main.rs:3: `eprintln!`: only crates/cli/src/output.rs prints",
            "crates/core/src/a.rs:1: `dbg!`: only crates/cli/src/output.rs prints",
        ];
        assert_eq!(told(prints, &files), expected);
    }
}
