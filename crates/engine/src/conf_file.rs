//! Reads a settings file in `kong.conf`'s format: one `key = value` per line.
//!
//! The rules are Kong's (its parser is Penlight's `config.read`), with three differences, each in favour of
//! whoever looks for a mistake: a `#` inside the braces of a reference belongs to the reference; a line that Kong
//! would lose (a `[section]`, a line without `=`) is an error; values are never rewritten (`00123` stays).

use std::ops::Range;

use vaultref_core::scan::{self, Kind};
use vaultref_core::{Error, ErrorKind};

use crate::Failure;

/// One `key = value` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub key: String,
    /// Without the comment, without blanks at its ends, `\#` read as `#`.
    pub value: String,
    /// Where the key stands, in bytes.
    pub key_range: Range<usize>,
    /// The line's number, from 1.
    pub number: usize,
}

/// Reads a whole file. All lines that cannot be read are reported, each with its place.
pub(crate) fn parse(text: &str) -> Result<Vec<Line>, Vec<Failure>> {
    let (mut lines, mut failures) = (Vec::new(), Vec::new());
    for logical in logical_lines(text) {
        match parse_line(&logical) {
            Ok(line) => lines.extend(line),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(lines) } else { Err(failures) }
}

/// A line with its continuations joined.
struct Logical {
    text: String,
    /// Where its first line stands in the file, and how much of the text that is.
    start: usize,
    first_length: usize,
    number: usize,
}

fn logical_lines(text: &str) -> Vec<Logical> {
    let mut joined: Vec<Logical> = Vec::new();
    let mut continues = false;
    let mut offset = text.len() - text.trim_start_matches('\u{feff}').len();
    for (index, raw) in text[offset..].split_inclusive('\n').enumerate() {
        let line = raw.trim_end_matches(['\n', '\r']);
        let (body, goes_on) = match line.strip_suffix('\\') {
            Some(body) => (body, true),
            None => (line, false),
        };
        match joined.last_mut().filter(|_| continues) {
            Some(last) => last.text.push_str(body),
            None => joined.push(Logical {
                text: body.to_owned(),
                start: offset,
                first_length: body.len(),
                number: index + 1,
            }),
        }
        continues = goes_on;
        offset += raw.len();
    }
    joined
}

impl Logical {
    /// Where a part of the text stands in the file. What lies beyond the first line is told by that line.
    fn place(&self, part: Range<usize>) -> Range<usize> {
        let within = part.end <= self.first_length;
        let part = if within { part } else { 0..self.first_length };
        self.start + part.start..self.start + part.end
    }
}

fn parse_line(line: &Logical) -> Result<Option<Line>, Failure> {
    let text = line.text.trim();
    if text.is_empty() || text.starts_with(['#', ';']) {
        return Ok(None);
    }
    let start = line.text.len() - line.text.trim_start().len();
    let failure = |length: usize, message: &str, hint: &str| Failure {
        range: line.place(start..start + length),
        error: Error::new(ErrorKind::InvalidConfig, message).with_hint(hint),
    };
    if text.starts_with('[') {
        let length = text.find(']').map_or(text.len(), |end| end + 1);
        return Err(failure(length, "a settings file has no sections", "remove this line"));
    }
    let Some((key, value)) = text.split_once('=') else {
        let length = text.find([' ', '\t', ':']).unwrap_or(text.len());
        return Err(failure(
            length,
            "a line without `=`",
            "write `key = value`, or put `#` before a comment",
        ));
    };
    let key = key.trim();
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if key.is_empty() || !key.chars().all(valid) {
        let hint = "a key has letters, digits and `_` only";
        let length = key.find([' ', '\t', ':']).unwrap_or(key.len()).max(1);
        return Err(failure(length, "a key that no setting has", hint));
    }
    let value = without_comment(value.trim_start()).replace("\\#", "#");
    let value = value.trim().to_owned();
    Ok(Some(Line {
        key: key.to_owned(),
        value,
        key_range: line.place(start..start + key.len()),
        number: line.number,
    }))
}

/// Cuts the value at the first `#` that is not escaped and not inside a reference.
fn without_comment(value: &str) -> &str {
    let references: Vec<_> =
        scan::scan(value.as_bytes()).filter(|found| found.kind != Kind::Unclosed).collect();
    let inside = |at: usize| references.iter().any(|found| found.range.contains(&at));
    let escaped = |at: usize| value[..at].ends_with('\\');
    let cut = value.match_indices('#').map(|(at, _)| at).find(|at| !inside(*at) && !escaped(*at));
    cut.map_or(value, |at| &value[..at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &[(&str, &str, usize)]) {
        let lines = parse(text).unwrap();
        let seen: Vec<_> = lines.iter().map(|l| (l.key.as_str(), l.value.as_str(), l.number)).collect();
        assert_eq!(seen, expected, "{text:?}");
        for line in &lines {
            assert_eq!(&text[line.key_range.clone()], line.key);
        }
    }

    #[test]
    fn lines_are_read_as_kong_reads_them() {
        check("a = 1\n\n# c\n ; d\nb=2", &[("a", "1", 1), ("b", "2", 5)]);
        check("a = x # comment", &[("a", "x", 1)]);
        check("a = x#comment", &[("a", "x", 1)]);
        check("a = x\\#y # z", &[("a", "x#y", 1)]);
        check("a = #x", &[("a", "", 1)]);
        check("a = b\\\nc\nd = e", &[("a", "bc", 1), ("d", "e", 3)]);
        check("a = \"q\" \r\nb\t=\tc\r\n", &[("a", "\"q\"", 1), ("b", "c", 2)]);
        check("a = b = c", &[("a", "b = c", 1)]);
        check("\u{feff}a = 1", &[("a", "1", 1)]);
    }

    #[test]
    fn a_hash_inside_a_reference_belongs_to_it() {
        check("a = {vault://env/x#2} # c", &[("a", "{vault://env/x#2}", 1)]);
        check("a = {vault://env/x\\#2}", &[("a", "{vault://env/x#2}", 1)]);
        check("a = {{vault://env/x#2}}", &[("a", "{{vault://env/x#2}}", 1)]);
        check("a = {vault://env/x #2", &[("a", "{vault://env/x", 1)]);
    }

    #[test]
    fn every_line_that_would_be_lost_is_reported() {
        let failures = parse("[section]\nkey: value\na.b = 1\nc = 2\n = 3").unwrap_err();
        let seen: Vec<_> = failures.iter().map(|f| (f.range.clone(), f.error.message())).collect();
        assert_eq!(
            seen,
            [
                (0..9, "a settings file has no sections"),
                (10..13, "a line without `=`"),
                (21..24, "a key that no setting has"),
                (36..37, "a key that no setting has"),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(text in "([a-z=#\\\\ \r\n\\[\\]{}é]|\\{vault://){0,40}") {
            if let Err(failures) = parse(&text) {
                for failure in failures {
                    prop_assert!(text.get(failure.range).is_some());
                }
            }
        }
    }
}
