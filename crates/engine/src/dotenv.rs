//! Reads and writes `.env` files: `NAME=value` lines, as the tools that read them agree on where they agree.
//!
//! | written | value | who reads it otherwise |
//! |---|---|---|
//! | `A=b c` | up to the line's end, without blanks around it, nothing escaped | `sh` runs `c`; `sh` and dotenvy take quotes and backslashes inside out |
//! | `A=b #c`, `A= #c` | ` #` starts a comment | |
//! | `A=b#c`, `A=#c` | `#` without a blank before it is text | Node's dotenv: a comment; dotenvy: the second one too |
//! | `A='b'` | up to the next `'`, over several lines if need be, nothing escaped | docker compose, Node: `\'` does not end it |
//! | `A="b"` | likewise, with `\n`, `\r`, `\t`, `\\`, `\"`, `\$`, `` \` ``; any other backslash is text | `sh` keeps `\n`; Node knows no others than `\n` and `\r` |
//! | `` A=`b` `` | likewise, nothing escaped | only Node knows this one; `sh` runs `b` |
//! | `A` | no entry: the variable keeps what the environment says | dotenvy: an error |
//!
//! `export ` may stand before a name and blanks around `=`. After a closing quote only a comment may follow. A line
//! break in quotes is one line feed, also in a file with CRLF. `$` is never expanded, since a value with a `$` in it
//! is far more often a password than a reference to another variable. (`docker run --env-file` is not among these
//! readers: it takes quotes for text.)

use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

use crate::render::Malformed;

/// One variable of a file.
pub struct Entry<'t> {
    /// Its name.
    pub name: &'t str,
    /// Its value, without quotes and escapes.
    pub value: Zeroizing<String>,
    /// Where the name is in the file, in bytes.
    pub name_span: Range<usize>,
    /// Where the value is in the file, with its quotes, in bytes.
    pub value_span: Range<usize>,
    /// The line of the name, from 1.
    pub line: usize,
}

impl fmt::Debug for Entry<'_> {
    /// Without the value, which is mostly a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("line", &self.line).finish_non_exhaustive()
    }
}

/// Reads a file. Names may repeat: the last one counts.
pub fn parse(text: &[u8]) -> Result<Vec<Entry<'_>>, Malformed> {
    let text = crate::render::utf8(text)?;
    let mut lexer = Lexer { text, position: text.len() - text.trim_start_matches('\u{feff}').len(), line: 1 };
    let mut entries = Vec::new();
    while lexer.position < text.len() {
        entries.extend(lexer.line()?);
    }
    Ok(entries)
}

/// A text as it has to be written after `NAME=`, so that as many readers as possible read just this text.
///
/// Bare if there is nothing special in it; else in single quotes, which all read alike; else (a single quote, a
/// carriage return or a backslash at the end) in double quotes with escapes. A NUL, which no variable can hold, is
/// for the caller to refuse.
pub fn quote(value: &str) -> Zeroizing<String> {
    // Twice the length always suffices: a string that grows leaves a copy of the secret behind.
    let mut out = Zeroizing::new(String::with_capacity(2 * value.len() + 2));
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    if !value.is_empty() && value.chars().all(bare) {
        out.push_str(value);
    } else if !value.contains(['\'', '\r']) && !value.ends_with('\\') {
        out.extend(["'", value, "'"]);
    } else {
        out.push('"');
        for c in value.chars() {
            match c {
                // The backtick for `sh`, which would run what a store sent us. dotenvy refuses it, and that is better.
                '\\' | '"' | '$' | '`' => out.extend(['\\', c]),
                '\r' => out.push_str("\\r"),
                // A line feed stays one: `sh` doesn't know `\n`.
                _ => out.push(c),
            }
        }
        out.push('"');
    }
    out
}

/// What counts as nothing outside of quotes; a carriage return, because of lines that end with CRLF.
const BLANKS: [char; 3] = [' ', '\t', '\r'];

struct Lexer<'t> {
    text: &'t str,
    position: usize,
    line: usize,
}

impl<'t> Lexer<'t> {
    /// Reads one line (more, if a value goes on) with its end.
    fn line(&mut self) -> Result<Option<Entry<'t>>, Malformed> {
        self.skip_blanks();
        if self.ends_line(true) {
            self.next_line();
            return Ok(None);
        }
        let mut name_span = self.name()?;
        let mut blanks = self.skip_blanks();
        let is_prefix = &self.text[name_span.clone()] == "export" && blanks && !self.rest().starts_with('=');
        if is_prefix && !self.ends_line(true) {
            name_span = self.name()?;
            blanks = self.skip_blanks();
        }
        if self.ends_line(blanks) {
            self.next_line();
            return Ok(None);
        }
        if !self.rest().starts_with('=') {
            return Err(self.malformed("expected `=` after the name"));
        }
        self.position += 1;
        let line = self.line;
        let (value, value_span) = self.value()?;
        self.next_line();
        Ok(Some(Entry { name: &self.text[name_span.clone()], value, name_span, value_span, line }))
    }

    fn name(&mut self) -> Result<Range<usize>, Malformed> {
        let rest = self.rest();
        let length =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_.-".contains(c))).unwrap_or(rest.len());
        if !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return Err(self.malformed("expected the name of a variable"));
        }
        let start = self.position;
        self.position += length;
        Ok(start..self.position)
    }

    /// The value after `=`; the position is then at the line's end or at a comment.
    fn value(&mut self) -> Result<(Zeroizing<String>, Range<usize>), Malformed> {
        let after_separator = self.position;
        let blanks = self.skip_blanks();
        match self.rest().chars().next() {
            Some(quote @ ('\'' | '"' | '`')) => self.quoted(quote),
            Some('#') if blanks => Ok((Zeroizing::default(), after_separator..after_separator)),
            _ => Ok(self.bare()),
        }
    }

    fn bare(&mut self) -> (Zeroizing<String>, Range<usize>) {
        let start = self.position;
        let line = &self.rest()[..self.line_length()];
        let comment = line.match_indices('#').map(|(at, _)| at).find(|at| line[..*at].ends_with(BLANKS));
        let value = line[..comment.unwrap_or(line.len())].trim_end_matches(BLANKS);
        self.position += value.len();
        self.skip_blanks();
        (Zeroizing::new(value.to_owned()), start..start + value.len())
    }

    fn quoted(&mut self, quote: char) -> Result<(Zeroizing<String>, Range<usize>), Malformed> {
        let start = self.position;
        let mut value = Zeroizing::new(String::new());
        let mut chars = self.text[start + 1..].char_indices().peekable();
        let end = loop {
            let Some((at, c)) = chars.next() else {
                return Err(Malformed::new(self.text, start, "quote without an end"));
            };
            match c {
                _ if c == quote => break start + 1 + at + 1,
                '\r' if chars.peek().is_some_and(|(_, next)| *next == '\n') => {}
                '\\' if quote == '"' => {
                    let escape =
                        chars.next_if(|(_, next)| r#"nrt\"$`"#.contains(*next)).map(|(_, next)| next);
                    value.push(match escape {
                        Some('n') => '\n',
                        Some('r') => '\r',
                        Some('t') => '\t',
                        Some(other) => other,
                        None => '\\',
                    });
                }
                _ => {
                    self.line += usize::from(c == '\n');
                    value.push(c);
                }
            }
        };
        self.position = end;
        let blanks = self.skip_blanks();
        if !self.ends_line(blanks) {
            return Err(self.malformed("expected the line's end after the closing quote"));
        }
        Ok((value, start..end))
    }

    fn rest(&self) -> &'t str {
        &self.text[self.position..]
    }

    fn line_length(&self) -> usize {
        memchr::memchr(b'\n', self.rest().as_bytes()).unwrap_or(self.rest().len())
    }

    /// Passes over blanks and tells whether there were any.
    fn skip_blanks(&mut self) -> bool {
        let rest = self.rest();
        let blanks = rest.len() - rest.trim_start_matches(BLANKS).len();
        self.position += blanks;
        blanks > 0
    }

    /// Whether nothing follows on this line, or a comment, which takes a blank before it.
    fn ends_line(&self, blanks: bool) -> bool {
        let rest = self.rest();
        rest.is_empty() || rest.starts_with('\n') || blanks && rest.starts_with('#')
    }

    fn next_line(&mut self) {
        self.position = (self.position + self.line_length() + 1).min(self.text.len());
        self.line += 1;
    }

    fn malformed(&self, message: &'static str) -> Malformed {
        Malformed::new(self.text, self.position, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        let entries = parse(text.as_bytes()).unwrap();
        entries.iter().map(|entry| (entry.name.to_owned(), entry.value.to_string())).collect()
    }

    #[test]
    fn a_line_gives_the_value_that_most_readers_see() {
        for (line, expected) in [
            ("A=b", "b"),
            ("  export\tA =  b c \t", "b c"),
            ("A=", ""),
            ("A= #c", ""),
            ("A=#c", "#c"),
            ("A=b#c #d", "b#c"),
            ("A=b\t# 'd", "b"),
            ("A={vault://e/x#2} #3", "{vault://e/x#2}"),
            (r#"A={"b": 'c\n'}"#, r#"{"b": 'c\n'}"#),
            ("A=b=c", "b=c"),
            ("A=$B${C}", "$B${C}"),
            (r"A='b\n$C#d'  # e", r"b\n$C#d"),
            ("A=''", ""),
            (r#"A="b\n\r\t\\\"\$\`\a\'$B""#, "b\n\r\t\\\"$`\\a\\'$B"),
            ("A=`b\\n'\"$`", "b\\n'\"$"),
            ("A='b\r\nc'\r", "b\nc"),
            ("A=b\r\n", "b"),
            ("A='b' \r\r\n", "b"),
            ("A=b\r # c", "b"),
            ("A=\"b\n# c\"", "b\n# c"),
            ("A=é\u{a0}", "é\u{a0}"),
        ] {
            assert_eq!(parsed(line), [("A".to_owned(), expected.to_owned())], "{line:?}");
        }
    }

    #[test]
    fn lines_without_a_value_are_passed_over_and_places_are_told() {
        let text = "\u{feff}# A=1\r\n\r\nA\nexport A\nexport # c\nexport=1\n2.b-C='x\ny' # z\n  D =\"é\"\n";
        let entries = parse(text.as_bytes()).unwrap();
        let places = entries
            .iter()
            .map(|entry| (entry.line, &text[entry.name_span.clone()], &text[entry.value_span.clone()]));
        let expected = [(6, "export", "1"), (7, "2.b-C", "'x\ny'"), (9, "D", "\"é\"")];
        assert_eq!(places.collect::<Vec<_>>(), expected);
        assert_eq!(format!("{:?}", entries[2]), "Entry { name: \"D\", line: 9, .. }");
    }

    #[test]
    fn a_line_that_readers_would_not_agree_on_is_malformed() {
        for (text, at, message) in [
            ("A B=1", 2, "expected `=` after the name"),
            ("A: b", 1, "expected `=` after the name"),
            ("A#b", 1, "expected `=` after the name"),
            ("=b", 0, "expected the name of a variable"),
            ("export =b\nexport -", 17, "expected the name of a variable"),
            ("{vault://env/x}=b", 0, "expected the name of a variable"),
            ("A=1\nB='c\nC=d", 6, "quote without an end"),
            ("A='it\\'s'", 7, "expected the line's end after the closing quote"),
            ("A=\"b\"#c", 5, "expected the line's end after the closing quote"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!((error.range().start, error.message()), (at, message), "{text:?}");
        }
        assert_eq!(parse(b"A=\xff").unwrap_err().range(), 2..3);
    }

    #[test]
    fn a_value_is_quoted_no_more_than_it_needs() {
        for (value, quoted) in [
            ("", "''"),
            ("postgres://app:x@db:5432/a?b=c%20", "'postgres://app:x@db:5432/a?b=c%20'"),
            ("a-b_c.d/e:f@g%h+i,j=k", "a-b_c.d/e:f@g%h+i,j=k"),
            ("null", "null"),
            ("a b#$\"`\\n\n", "'a b#$\"`\\n\n'"),
            ("it's", "\"it's\""),
            ("'\"$`\\\n\t", "\"'\\\"\\$\\`\\\\\n\t\""),
            ("a\r\n", "\"a\\r\n\""),
            ("a\\", "\"a\\\\\""),
        ] {
            assert_eq!(*quote(value), quoted);
            assert_eq!(parsed(&format!("A={quoted}")), [("A".to_owned(), value.to_owned())]);
        }
    }

    fn values() -> impl Strategy<Value = String> {
        let dense = proptest::sample::select(vec![
            "'", "\"", "`", "\\", "$", "${A}", "#", " #", " ", "\t", "\n", "\r", "\r\n", "a", "=", "é", "😀",
            "\u{85}", "\u{2028}", "\u{feff}", "export ", "A=", "\\n", "!", "~", "*", ";", "&",
        ]);
        prop_oneof![".*", proptest::collection::vec(dense, 0..10).prop_map(|parts| parts.concat())]
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(value in values(), blank in "[ \t]{0,2}", comment in "( # .*)?") {
            let text = format!("B='\n'\nA={blank}{}{comment}\nC=1\n", *quote(&value));
            let entries = parse(text.as_bytes()).unwrap();
            prop_assert_eq!(entries.len(), 3);
            prop_assert_eq!(entries[1].value.as_str(), value);
        }

        #[test]
        fn dotenvy_reads_what_is_quoted(value in values()) {
            // It has no `\r` and no backtick in its double quotes, and refuses both.
            let value = value.replace('\r', "");
            let value = if quote(&value).starts_with('"') { value.replace('`', "") } else { value };
            let quoted = quote(&value);
            let text = format!("A={}\nB=1\n", *quoted);
            let read = dotenvy::from_read_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
            prop_assert_eq!(read, [("A".to_owned(), value), ("B".to_owned(), "1".to_owned())]);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in values(), bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for text in [format!("A={text}").as_bytes(), text.as_bytes(), &bytes] {
                for entry in parse(text).into_iter().flatten() {
                    prop_assert!(std::str::from_utf8(&text[entry.value_span]).is_ok());
                    prop_assert_eq!(&text[entry.name_span], entry.name.as_bytes());
                }
            }
        }
    }
}
