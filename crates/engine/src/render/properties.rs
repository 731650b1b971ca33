//! Java's `.properties`, read as `java.util.Properties.load` reads it.
//!
//! Keys and values count. A file that is UTF-8 is read as such (as by `load(Reader)` and resource bundles since
//! Java 9), any other as ISO-8859-1 (as by `load(InputStream)`). A resolved value is written in ASCII, with `\uXXXX`
//! for everything else, so that both ways of reading give the same.

use std::iter::Peekable;
use std::ops::Range;

use vaultref_core::scan;
use zeroize::Zeroizing;

use super::quote::push_unit;
use super::{Malformed, Scalar};

/// What the writer has to know about a string's place.
pub(super) enum Style {
    /// A key, and whether `=` or `:` follows it.
    Key {
        has_separator: bool,
    },
    Value,
}

/// The keys and values that hold something to resolve.
pub(super) fn scalars(text: &[u8]) -> Result<Vec<Scalar>, Malformed> {
    match std::str::from_utf8(text) {
        Ok(text) => read(text.char_indices().map(|(at, c)| Char { c, span: at..at + c.len_utf8() })),
        Err(_) => {
            read(text.iter().enumerate().map(|(at, byte)| Char { c: char::from(*byte), span: at..at + 1 }))
        }
    }
}

/// A character of the file and where it is.
struct Char {
    c: char,
    span: Range<usize>,
}

fn read(chars: impl Iterator<Item = Char>) -> Result<Vec<Scalar>, Malformed> {
    let mut chars = chars.peekable();
    let mut scalars = Vec::new();
    while let Some(line) = logical_line(&mut chars) {
        let (key, value, has_separator) = split(&line);
        scalars.extend(scalar(key, Style::Key { has_separator })?);
        scalars.extend(scalar(value, Style::Value)?);
    }
    Ok(scalars)
}

/// The next line with a key: natural lines joined, comments and empty lines passed over.
///
/// This is `Properties.LineReader.readLine`, oddities included: after a line of nothing but a backslash, the next
/// line may still be a comment.
fn logical_line(chars: &mut Peekable<impl Iterator<Item = Char>>) -> Option<Vec<Char>> {
    let mut line = Vec::new();
    let (mut leading, mut continued, mut escaped) = (true, false, false);
    while let Some(char) = chars.next() {
        let ends_line = matches!(char.c, '\n' | '\r');
        if leading {
            if is_blank(char.c) || ends_line && !continued {
                continue;
            }
            (leading, continued) = (false, false);
        }
        if line.is_empty() && matches!(char.c, '#' | '!') {
            chars.find(|char| matches!(char.c, '\n' | '\r'));
            leading = true;
        } else if !ends_line {
            escaped = char.c == '\\' && !escaped;
            line.push(char);
        } else if escaped {
            line.pop();
            chars.next_if(|next| char.c == '\r' && next.c == '\n');
            (leading, continued, escaped) = (true, true, false);
        } else if line.is_empty() {
            leading = true;
        } else {
            return Some(line);
        }
    }
    if escaped {
        line.pop();
    }
    (!line.is_empty()).then_some(line)
}

/// Key, value, and whether `=` or `:` stands between them.
fn split(line: &[Char]) -> (&[Char], &[Char], bool) {
    let mut escaped = false;
    let key = line.iter().position(|char| {
        let ends = !escaped && (is_separator(char.c) || is_blank(char.c));
        escaped = char.c == '\\' && !escaped;
        ends
    });
    let key = key.unwrap_or(line.len());
    let mut has_separator = false;
    let value = line[key..].iter().position(|char| {
        let separates = is_separator(char.c) && !has_separator;
        has_separator |= separates;
        !separates && !is_blank(char.c)
    });
    (&line[..key], &line[value.map_or(line.len(), |at| key + at)..], has_separator)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

fn is_separator(c: char) -> bool {
    matches!(c, '=' | ':')
}

/// The key or value as a scalar, if it holds something to resolve.
fn scalar(chars: &[Char], style: Style) -> Result<Option<Scalar>, Malformed> {
    let (Some(first), Some(last)) = (chars.first(), chars.last()) else { return Ok(None) };
    let span = first.span.start..last.span.end;
    if !chars.iter().any(|char| matches!(char.c, '{' | '\\')) {
        return Ok(None);
    }
    let units = unescape(chars)?;
    let text = String::from_utf16_lossy(&units);
    if !scan::contains(text.as_bytes()) {
        return Ok(None);
    }
    // A lone surrogate is a character to Java and not to us. Elsewhere in the file it does not matter.
    if char::decode_utf16(units).any(|unit| unit.is_err()) {
        return Err(Malformed::at(span, "a lone surrogate beside a reference"));
    }
    Ok(Some(Scalar::new(text, span, super::Style::Properties(style))))
}

/// UTF-16, because a character beyond the basic plane is written as two escapes.
fn unescape(chars: &[Char]) -> Result<Vec<u16>, Malformed> {
    let mut units = Vec::with_capacity(chars.len());
    let mut rest = chars.iter();
    while let Some(char) = rest.next() {
        if char.c != '\\' {
            units.extend_from_slice(char.c.encode_utf16(&mut [0; 2]));
            continue;
        }
        let Some(escaped) = rest.next() else { break };
        match escaped.c {
            'u' => {
                let digits = rest.by_ref().take(4).map_while(|digit| digit.c.to_digit(16));
                let (count, unit) =
                    digits.fold((0, 0), |(count, unit), digit| (count + 1, unit << 4 | digit));
                let unit = u16::try_from(unit).ok().filter(|_| count == 4);
                let at = char.span.start..escaped.span.end;
                units.push(unit.ok_or_else(|| Malformed::at(at, "`\\u` without four hexadecimal digits"))?);
            }
            't' => units.push(u16::from(b'\t')),
            'n' => units.push(u16::from(b'\n')),
            'r' => units.push(u16::from(b'\r')),
            'f' => units.push(0x0c),
            other => units.extend_from_slice(other.encode_utf16(&mut [0; 2])),
        }
    }
    Ok(units)
}

impl Style {
    /// `value` as it has to be written here. An empty key needs a separator after it to be seen.
    pub(super) fn escape(&self, value: &str) -> Zeroizing<String> {
        const BYTES_MAX: usize = "\\u0000\\u0000".len();
        let mut out = Zeroizing::new(String::with_capacity(value.chars().count() * BYTES_MAX + 1));
        if value.is_empty() && matches!(self, Self::Key { has_separator: false }) {
            out.push('=');
        }
        let is_key = matches!(self, Self::Key { .. });
        for (index, c) in value.chars().enumerate() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\t' => out.push_str("\\t"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\x0c' => out.push_str("\\f"),
                ' ' | '=' | ':' if is_key || index == 0 => out.extend(['\\', c]),
                '#' | '!' if index == 0 => out.extend(['\\', c]),
                ' '..='~' => out.push(c),
                _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| push_unit(*unit, &mut out)),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Document, Format};
    use super::*;

    fn found(text: &[u8]) -> Vec<(String, Range<usize>)> {
        scalars(text).unwrap().iter().map(|scalar| (scalar.text().to_owned(), scalar.span())).collect()
    }

    #[test]
    fn keys_and_values_are_found_decoded_with_their_span() {
        for (text, expected) in [
            ("a={vault://e/x}", vec![("{vault://e/x}", 2..15)]),
            ("  a \t:  {vault://e/x}  ", vec![("{vault://e/x}  ", 8..23)]),
            ("a {vault\\://e/x}", vec![("{vault://e/x}", 2..16)]),
            ("{vault\\://e/x}\\ y z", vec![("{vault://e/x} y", 0..17)]),
            ("{vault://e/x}", vec![]),
            ("a = \\u007bvault://e/x} \\\r\n   \\ z\r\nb=", vec![("{vault://e/x}  z", 4..32)]),
            ("# {vault://e/x}\\\n! {vault://e/x}\na=b\\\n#{vault://e/x}", vec![("b#{vault://e/x}", 35..52)]),
            ("\\\n# {vault://e/x}\na={vault://e/x}\\", vec![("{vault://e/x}", 20..33)]),
            ("a=\\ud83d\\ude00é{vault://e/x}\\", vec![("😀é{vault://e/x}", 2..29)]),
            ("a\\==b={vault://e/x}", vec![("b={vault://e/x}", 4..19)]),
        ] {
            let expected =
                expected.into_iter().map(|(text, span)| (text.to_owned(), span)).collect::<Vec<_>>();
            assert_eq!(found(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(found(b"a=\xe9{vault://e/x}"), [("é{vault://e/x}".to_owned(), 2..16)]);
    }

    #[test]
    fn a_value_is_written_in_ascii_with_the_escapes_it_needs() {
        for (text, value, expected) in [
            ("a {vault://e/x} ", "= b:#!", "a \\= b:#!"),
            (
                "a={vault\\://e/x}\n# c",
                " é😀\\\u{c}\r\n\t",
                "a=\\ \\u00e9\\ud83d\\ude00\\\\\\f\\r\\n\\t\n# c",
            ),
            ("{vault\\://e/x}\\ = 1", "# a=b:c", "\\#\\ a\\=b\\:c= 1"),
            ("{vault\\://e/x} = 1", "", " = 1"),
            ("{vault\\://e/x} 1", "", "= 1"),
            ("{vault\\://e/x}", "", "="),
        ] {
            let document = Document::parse(Format::Properties, text.as_bytes()).unwrap();
            let written = document.write(&[value]).unwrap();
            assert_eq!(std::str::from_utf8(&written).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_java_refuses_is_malformed_with_its_place() {
        for (text, range) in [("a=b\nc=\\u12g4", 6..8), ("\\u", 0..2), ("a=\\ud83d{vault://e/x}", 2..21)] {
            assert_eq!(scalars(text.as_bytes()).unwrap_err().range(), range, "{text}");
        }
        assert_eq!(found(b"a=\\ud83d\nb={vault://e/x}").len(), 1);
    }
}
