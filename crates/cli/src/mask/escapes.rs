//! Percent-encodes and JSON-escapes a secret in the ways that the libraries of other languages do.

use std::io::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use zeroize::Zeroizing;

use super::forms::Form;

/// What RFC 3986 leaves as it is: Python's `quote(safe='')`, Ruby's `ERB::Util.url_encode`.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// `encodeURIComponent` of JavaScript.
const COMPONENT: &AsciiSet = &UNRESERVED.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');
/// A form's fields: browsers, Java's `URLEncoder`.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
/// A path: Python's `quote`.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');
/// User and password in a URL, by RFC 3986.
const USER: &AsciiSet =
    &COMPONENT.remove(b'$').remove(b'&').remove(b'+').remove(b',').remove(b';').remove(b'=');
/// Only what cannot be anywhere in a URL: `encodeURI` of JavaScript.
const URI: &AsciiSet = &USER.remove(b'/').remove(b'?').remove(b':').remove(b'@').remove(b'#');

/// The sets of characters that are escaped, and what becomes of a space.
const PERCENT_STYLES: [(&AsciiSet, &str); 8] = [
    (UNRESERVED, "%20"),
    (UNRESERVED, "+"),
    (COMPONENT, "%20"),
    (FORM, "%20"),
    (FORM, "+"),
    (PATH, "%20"),
    (USER, "%20"),
    (URI, "%20"),
];

/// The percent-encoded forms, with upper and lower hexadecimal digits.
pub(super) fn percent(value: &[u8]) -> Vec<Form> {
    let encode = |(escaped, space): (&'static AsciiSet, &str), lower: bool| {
        let mut form = Zeroizing::new(Vec::with_capacity(value.len() * 3));
        for piece in percent_encode(value, escaped) {
            match piece {
                "%20" => form.extend_from_slice(space.as_bytes()),
                // `%` itself is in every set, so a piece that begins with it is an escape.
                escape if lower && escape.starts_with('%') => {
                    form.extend(escape.bytes().map(|b| b.to_ascii_lowercase()))
                }
                other => form.extend_from_slice(other.as_bytes()),
            }
        }
        form
    };
    PERCENT_STYLES.into_iter().flat_map(|style| [encode(style, false), encode(style, true)]).collect()
}

/// How a library writes JSON where JSON leaves it the choice.
#[derive(Clone, Copy)]
struct JsonStyle {
    /// Whether a character becomes `\uXXXX` though it need not.
    escapes: fn(char) -> bool,
    upper: bool,
    slash: bool,
}

/// serde_json, `JSON.stringify`.
const PLAIN: JsonStyle = JsonStyle { escapes: |_| false, upper: false, slash: false };

const JSON_STYLES: [JsonStyle; 8] = [
    PLAIN,
    // PHP with JSON_UNESCAPED_UNICODE.
    JsonStyle { slash: true, ..PLAIN },
    // Python.
    JsonStyle { escapes: |c| !c.is_ascii(), ..PLAIN },
    JsonStyle { escapes: |c| !c.is_ascii(), upper: true, ..PLAIN },
    // PHP.
    JsonStyle { escapes: |c| !c.is_ascii(), slash: true, ..PLAIN },
    // Go, Rails.
    JsonStyle { escapes: |c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'), ..PLAIN },
    // Gson.
    JsonStyle { escapes: |c| matches!(c, '<' | '>' | '&' | '=' | '\'' | '\u{2028}' | '\u{2029}'), ..PLAIN },
    // .NET.
    JsonStyle {
        escapes: |c| !c.is_ascii() || matches!(c, '"' | '&' | '\'' | '+' | '<' | '>' | '`'),
        upper: true,
        ..PLAIN
    },
];

/// The JSON-escaped forms, without quotes; none where the secret is not text.
pub(super) fn json(value: &[u8]) -> Vec<Form> {
    let Ok(text) = std::str::from_utf8(value) else { return Vec::new() };
    JSON_STYLES.into_iter().map(|style| json_in(style, text)).collect()
}

fn json_in(style: JsonStyle, text: &str) -> Form {
    // No character grows more than sixfold, so the buffer never moves and leaves a copy behind.
    let mut form = Zeroizing::new(Vec::with_capacity(text.len() * 6));
    for c in text.chars() {
        let short = match c {
            _ if (style.escapes)(c) => None,
            '"' => Some(r#"\""#),
            '\\' => Some(r"\\"),
            '\n' => Some(r"\n"),
            '\r' => Some(r"\r"),
            '\t' => Some(r"\t"),
            '\u{8}' => Some(r"\b"),
            '\u{c}' => Some(r"\f"),
            '/' if style.slash => Some(r"\/"),
            _ => None,
        };
        match short {
            Some(escape) => form.extend_from_slice(escape.as_bytes()),
            None if c < ' ' || (style.escapes)(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    match style.upper {
                        true => write!(form, "\\u{unit:04X}"),
                        false => write!(form, "\\u{unit:04x}"),
                    }
                    .expect("a Vec takes any bytes");
                }
            }
            None => form.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_plain_style_is_that_of_serde_json(text in any::<String>()) {
            let quoted = format!("\"{}\"", String::from_utf8_lossy(&json_in(PLAIN, &text)));
            prop_assert_eq!(quoted, serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn every_form_reads_back_as_the_secret(text in any::<String>()) {
            for form in json(text.as_bytes()) {
                let quoted = format!("\"{}\"", String::from_utf8_lossy(&form));
                prop_assert_eq!(&serde_json::from_str::<String>(&quoted).unwrap(), &text);
            }
            for form in percent(text.as_bytes()) {
                let spaced: Vec<u8> = form.iter().map(|b| if *b == b'+' && text.contains(' ') { b' ' } else { *b }).collect();
                let plain = percent_encoding::percent_decode(&spaced).decode_utf8_lossy().into_owned();
                prop_assert!(plain == text || text.contains('+'));
            }
        }
    }
}
