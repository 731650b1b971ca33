//! The quoted string that JSON, TOML and YAML agree on.

use zeroize::Zeroizing;

/// `value` in double quotes, with JSON's escapes for all that is not printable.
///
/// JSON needs this for quotes, backslashes and C0 controls. TOML adds DEL. YAML adds what its `c-printable` leaves
/// out and, because readers of YAML 1.1 take them as line breaks, U+0085, U+2028 and U+2029. An escape that a format
/// doesn't need does no harm there, so there is one set for all.
pub(super) fn double(value: &str) -> Zeroizing<String> {
    let mut out = with_capacity(2 + value.chars().map(written_bytes).sum::<usize>());
    out.push('"');
    value.chars().for_each(|c| push_escaped(c, &mut out));
    out.push('"');
    out
}

/// `value` in TOML's `"""`, with its line feeds as they are.
pub(super) fn triple(value: &str) -> Zeroizing<String> {
    let mut out = with_capacity(7 + value.chars().map(written_bytes).sum::<usize>());
    // A line feed right after the opening is not part of the string.
    out.push_str("\"\"\"\n");
    value.chars().for_each(|c| if c == '\n' { out.push(c) } else { push_escaped(c, &mut out) });
    out.push_str("\"\"\"");
    out
}

/// Whether YAML's block scalars can hold the character as it is.
pub(super) fn is_printable(c: char) -> bool {
    !matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A string that is never moved by growing, which would leave a copy of a secret in freed memory.
fn with_capacity(bytes: usize) -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(bytes))
}

fn written_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        _ if is_printable(c) => c.len_utf8(),
        _ => "\\u0000".len(),
    }
}

fn push_escaped(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ if is_printable(c) => out.push(c),
        _ => push_unit(c as u16, out),
    }
}

/// `\uXXXX` for one UTF-16 unit. All characters that are not printable have one.
pub(super) fn push_unit(unit: u16, out: &mut String) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        let digit = u32::from(unit >> shift & 0xf);
        out.extend(char::from_digit(digit, 16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_string_is_json_and_fits_its_capacity() {
        let all = (0..=0x10ffff_u32).filter_map(char::from_u32).collect::<String>();
        let quoted = double(&all);
        assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), all);
        assert_eq!(quoted.len(), quoted.capacity());
        assert_eq!(*double("a\"\\\n\u{85}é"), r#""a\"\\\n\u0085é""#);
    }

    #[test]
    fn a_tripled_string_keeps_its_lines() {
        let quoted = triple("a\n\"\"\"\r\nb\\");
        assert_eq!(*quoted, "\"\"\"\na\n\\\"\\\"\\\"\\r\nb\\\\\"\"\"");
        assert!(quoted.capacity() < 32, "{}", quoted.capacity());
    }
}
