//! TOML: strings of all four kinds, in values and keys.
//!
//! A resolved value is written as a basic string; if it has several lines and its place was a multi-line string,
//! as a multi-line basic string. What `toml_parser` refuses is malformed; that a key is defined twice is left
//! for the reader of the file to find.

use std::borrow::Cow;

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{Event, EventKind, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{ParseError, Source};
use vaultref_core::scan;
use zeroize::Zeroizing;

use super::{Malformed, Scalar, quote};

/// As in the crate `toml`.
const DEPTH_MAX: u32 = 80;

/// What the writer has to know about a string's place.
pub(super) struct Style {
    multi_line: bool,
}

impl Style {
    pub(super) fn quote(&self, value: &str) -> Zeroizing<String> {
        if self.multi_line && value.contains('\n') { quote::triple(value) } else { quote::double(value) }
    }
}

/// The strings that hold something to resolve.
pub(super) fn scalars(text: &str) -> Result<Vec<Scalar>, Malformed> {
    let source = Source::new(text);
    let mut error: Option<ParseError> = None;
    let mut events = Vec::<Event>::new();
    let mut receiver = ValidateWhitespace::new(&mut events, source);
    let mut receiver = RecursionGuard::new(&mut receiver, DEPTH_MAX);
    parse_document(&source.lex().into_vec(), &mut receiver, &mut error);

    let mut scalars = Vec::new();
    for event in &events {
        let (Some(raw), mut decoded) = (source.get(event), Cow::Borrowed("")) else { continue };
        let is_string = match event.kind() {
            EventKind::SimpleKey => {
                raw.decode_key(&mut decoded, &mut error);
                true
            }
            EventKind::Scalar => raw.decode_scalar(&mut decoded, &mut error) == ScalarKind::String,
            _ => false,
        };
        if is_string && scan::contains(decoded.as_bytes()) {
            let multi_line =
                matches!(event.encoding(), Some(Encoding::MlBasicString | Encoding::MlLiteralString));
            let style = super::Style::Toml(Style { multi_line });
            scalars.push(Scalar::new(decoded, event.span().start()..event.span().end(), style));
        }
    }
    error.map_or(Ok(scalars), |error| Err(malformed(text, &error)))
}

fn malformed(text: &str, error: &ParseError) -> Malformed {
    let at = error.unexpected().or(error.context()).map_or(0, |span| span.start());
    Malformed::new(text, at, error.description().to_owned()).or_unquoted(text)
}

#[cfg(test)]
mod tests {
    use super::super::{Document, Format};
    use super::*;

    fn rendered(text: &str, value: &str) -> String {
        let document = Document::parse(Format::Toml, text.as_bytes()).unwrap();
        let written = document.write(&vec![value; document.scalars().len()]).unwrap();
        String::from_utf8(written.to_vec()).unwrap()
    }

    #[test]
    fn a_value_is_a_basic_string_wherever_it_stands() {
        for (text, value, expected) in [
            ("a = '{vault://e/x}' # {vault://e/x}", "1", "a = \"1\" # {vault://e/x}"),
            ("a = \"\\u007bvault://e/x}\"", "a\nb", "a = \"a\\nb\""),
            ("a = '''{vault://e/x}'''", "true", "a = \"true\""),
            ("a = '''\r\n{vault://e/x}'''", "q\"\nb\t\r\n", "a = \"\"\"\nq\\\"\nb\\t\\r\n\"\"\""),
            ("[t.\"{vault://e/x}\"]\n'{vault://e/x}'.b = 1", "a.b", "[t.\"a.b\"]\n\"a.b\".b = 1"),
            ("a = [ '{vault://e/x}', {b = \"{vault://e/x}\"} ]", "", "a = [ \"\", {b = \"\"} ]"),
            ("\u{feff}a = '{vault://e/x}'", "\u{7f}", "\u{feff}a = \"\\u007f\""),
            ("a = 1.50 # kept\r\nb = 1979-05-27", "", "a = 1.50 # kept\r\nb = 1979-05-27"),
        ] {
            assert_eq!(rendered(text, value), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_toml_is_malformed_with_its_place() {
        for (text, range, message) in [
            ("a = hunter2", 4..5, "string values must be quoted"),
            ("a = \"b", 6..6, "invalid basic string"),
            ("[a", 2..2, "unclosed table"),
            ("a = 01", 4..5, "unexpected leading zero"),
        ] {
            let error = scalars(text).unwrap_err();
            assert_eq!((error.range(), error.message()), (range, message), "{text}");
        }
        let deep = scalars(&format!("a = {}", "[".repeat(1_000_000))).unwrap_err();
        assert_eq!(deep.message(), "cannot recurse further; max recursion depth met");
    }

    #[test]
    fn a_reference_without_quotes_gets_the_hint_to_quote_it() {
        for text in ["a = {vault://env/x}", "b = 1\na = x{vault://env/x}\n"] {
            let error = scalars(text).unwrap_err();
            assert_eq!(error.hint(), Some("put the whole value that holds a reference in quotes"), "{text}");
        }
    }
}
