//! JSON: exactly what `serde_json` accepts; every string counts, value or key.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use vaultref_core::scan;

use super::{Malformed, Scalar, Style};

/// The strings that hold something to resolve.
pub(super) fn scalars(text: &str) -> Result<Vec<Scalar>, Malformed> {
    check(text)?;
    let holding = strings(text).filter_map(|span| {
        let decoded = decode(&text[span.clone()])?;
        Some(Scalar::new(decoded, span, Style::Json))
    });
    Ok(holding.collect())
}

/// Reads the whole text as a `serde_json::Value` would be read, and keeps nothing of it.
///
/// `IgnoredAny` would do for the syntax, but lets lone surrogates, `1e999` and any depth of nesting pass.
fn check(text: &str) -> Result<(), Malformed> {
    let mut json = serde_json::Deserializer::from_str(text);
    Anything.deserialize(&mut json).and_then(|()| json.end()).map_err(|error| {
        let message = error.to_string();
        // serde_json's own messages have no text of the file in them; the place is given by `Malformed`.
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        Malformed::new(text, offset(text, error.line(), error.column()), message).or_unquoted(text)
    })
}

/// The byte that serde_json's line (from 1) and column (from 1, in bytes; 0 is the line's break) speak of.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let mut breaks = memchr::memchr_iter(b'\n', text.as_bytes());
    let start = line.checked_sub(2).and_then(|n| breaks.nth(n)).map_or(0, |at| at + 1);
    (start + column).saturating_sub(1).min(text.len())
}

/// The spans of all strings of a valid JSON text, where a quote stands only around strings or after a backslash.
fn strings(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut position = 0;
    std::iter::from_fn(move || {
        let start = position + memchr::memchr(b'"', &bytes[position..])?;
        let mut end = start + 1;
        while bytes.get(end).is_some_and(|byte| *byte != b'"') {
            let special = memchr::memchr2(b'"', b'\\', &bytes[end..])?;
            end += special;
            if bytes[end] == b'\\' {
                end += 2;
            }
        }
        position = end + 1;
        Some(start..position)
    })
}

/// What a string with its quotes stands for, if that holds something to resolve.
fn decode(string: &str) -> Option<String> {
    let may_hold = string.contains('\\') || scan::contains(string.as_bytes());
    let decoded = may_hold.then(|| serde_json::from_str::<String>(string).ok())??;
    scan::contains(decoded.as_bytes()).then_some(decoded)
}

/// Accepts every value and forgets it.
struct Anything;

impl<'de> DeserializeSeed<'de> for Anything {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Anything {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Anything)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Anything)?.is_some() {
            map.next_value_seed(Anything)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Document, Format};
    use super::*;

    #[test]
    fn strings_are_found_decoded_with_their_span() {
        for (text, expected) in [
            ("{}", vec![]),
            (r#""{vault://env/x}""#, vec![("{vault://env/x}", 0..17)]),
            (r#"["a", "\u007bvault://env/x}"]"#, vec![("{vault://env/x}", 6..28)]),
            (
                r#"{"{vault://a/b}": "\"{vault://c/d}\\"}"#,
                vec![("{vault://a/b}", 1..16), ("\"{vault://c/d}\\", 18..37)],
            ),
            (
                r#"["\\", "{{vault://a/b}}", "{vault://"]"#,
                vec![("{{vault://a/b}}", 7..24), ("{vault://", 26..37)],
            ),
            (r#"["\ud83d\ude00é{vault:\/\/a/b}"]"#, vec![("😀é{vault://a/b}", 1..32)]),
        ] {
            let found = scalars(text).unwrap();
            let found = found.iter().map(|s| (s.text(), s.span())).collect::<Vec<_>>();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_value_is_escaped_and_the_rest_keeps_its_bytes() {
        let text = "{ \"a\" : \"x{vault://e/a}\",\r\n\t\"{vault://e/k}\":1.50, \"\\u0041\":\"\\/\" }\n";
        let document = Document::parse(Format::Json, text.as_bytes()).unwrap();
        let written = document.write(&["\"\\\u{1}\n", "é"]).unwrap();
        let expected = "{ \"a\" : \"\\\"\\\\\\u0001\\n\",\r\n\t\"é\":1.50, \"\\u0041\":\"\\/\" }\n";
        assert_eq!(std::str::from_utf8(&written).unwrap(), expected);
    }

    #[test]
    fn what_serde_json_refuses_is_malformed_with_its_place() {
        for (text, range, message) in [
            ("", 0..0, "EOF while parsing a value"),
            ("{\n  \"a\": hunter2\n}", 9..10, "expected value"),
            ("{\"a\": 1,}", 8..9, "trailing comma"),
            ("[1] x", 4..5, "trailing characters"),
            ("\"\\ud800\"", 7..8, "unexpected end of hex escape"),
            ("[1e999]", 5..6, "number out of range"),
            ("\u{feff}{}", 0..3, "expected value"),
            ("\"a\nb\"", 2..3, "control character (\\u0000-\\u001F) found while parsing a string"),
            ("// c\n{}", 0..1, "expected value"),
        ] {
            let error = scalars(text).unwrap_err();
            assert_eq!((error.range(), error.message()), (range, message), "{text}");
        }
        let deep = scalars(&"[".repeat(1_000_000)).unwrap_err();
        assert_eq!(deep.message(), "recursion limit exceeded");
    }

    #[test]
    fn a_reference_without_quotes_gets_the_hint_to_quote_it() {
        let error = scalars("{\n\"a\": {vault://env/x}}").unwrap_err();
        assert_eq!(error.message(), "key must be a string");
        assert_eq!(error.hint(), Some("put the whole value that holds a reference in quotes"));
        assert_eq!(scalars("{\"a\": x\n, \"{vault://env/x}\": 1}").unwrap_err().hint(), None);
    }
}
