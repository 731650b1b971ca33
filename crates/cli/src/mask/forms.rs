//! Lists the forms in which a secret is printed by those who do not mean to: as it is, line by line, in base64, in hex,
//! percent-encoded, JSON-escaped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use vaultref_core::Secret;
use zeroize::Zeroizing;

use super::escapes;

/// One form of a secret: never empty.
pub(super) type Form = Zeroizing<Vec<u8>>;

/// Shorter secrets are not masked: two bytes are found by chance in every other line of a log.
const SECRET_BYTES_MIN: usize = 3;

/// Shorter pieces of base64 or hex are not masked: six characters of base64 are 36 bits, found by chance once in 64 GiB
/// of random characters. So a secret of five bytes is masked in all three alignments of base64, and one of three bytes
/// in hex, which is found by chance as often as that secret itself.
const ENCODED_BYTES_MIN: usize = 6;

/// Shorter lines of a secret are not masked by themselves. A code of six digits is about the shortest secret on a line
/// of its own; and of the lines which JSON, YAML and PEM share with ordinary text, `}`, `],` and `true,` are shorter.
const LINE_BYTES_MIN: usize = 6;

/// So many letters and digits a line has to have: `------` and `}}}}}}` are no secrets.
const LINE_ALPHANUMERICS_MIN: usize = 4;

/// The indexes of those secrets that have something to hide, but too little to be looked for.
pub(super) fn too_short(secrets: &[Secret]) -> Vec<usize> {
    let is_short = |secret: &Secret| (1..SECRET_BYTES_MIN).contains(&secret.expose().trim_ascii().len());
    secrets.iter().enumerate().filter(|(_, secret)| is_short(secret)).map(|(index, _)| index).collect()
}

/// The forms of one secret, in no order, perhaps with duplicates; none for a secret that is too short.
pub(super) fn of(secret: &[u8]) -> Vec<Form> {
    // White space around a secret hides nothing, and is what gets lost first: `$(cat file)`, `.trim()`, YAML.
    let value = secret.trim_ascii();
    if value.len() < SECRET_BYTES_MIN {
        return Vec::new();
    }
    let mut forms = vec![owned(value)];
    forms.extend(lines(value));
    let encoded = base64(value).into_iter().chain(hex(value));
    forms.extend(encoded.filter(|form| form.len() >= ENCODED_BYTES_MIN));
    forms.extend(escapes::percent(value));
    forms.extend(escapes::json(value));
    forms
}

fn owned(bytes: &[u8]) -> Form {
    Zeroizing::new(bytes.to_vec())
}

/// Each line of a text of several, and the text with the other kind of line ends: a terminal makes `\r\n` of `\n`.
fn lines(value: &[u8]) -> Vec<Form> {
    if !value.contains(&b'\n') {
        return Vec::new();
    }
    let lines = || value.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let joined = |line_end: &[u8]| {
        let mut form = Zeroizing::new(Vec::with_capacity(value.len() * 2));
        for line in lines() {
            form.extend_from_slice(line);
            form.extend_from_slice(line_end);
        }
        let end = form.len() - line_end.len();
        form.truncate(end);
        form
    };
    // Where a text is indented anew, as in YAML, only the lines without their margins stay what they are.
    let worth_hiding = lines().map(<[u8]>::trim_ascii).filter(|line| is_worth_hiding(line)).map(owned);
    [joined(b"\n"), joined(b"\r\n")].into_iter().chain(worth_hiding).collect()
}

fn is_worth_hiding(line: &[u8]) -> bool {
    let is_frame = line.starts_with(b"-----BEGIN ") || line.starts_with(b"-----END ");
    let alphanumerics = line.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    line.len() >= LINE_BYTES_MIN && alphanumerics >= LINE_ALPHANUMERICS_MIN && !is_frame
}

/// Standard and URL-safe base64, whatever stands before and behind the value in what was encoded.
///
/// Three bytes become four characters, so there are three ways in which the value can lie. Characters that hold bits
/// of a neighbour as well are cut off: at most four bits of the value's first and last byte stay visible.
fn base64(value: &[u8]) -> Vec<Form> {
    /// The characters that hold bits of 0, 1 or 2 bytes before the value.
    const LEADING_CHARACTERS: [usize; 3] = [0, 2, 3];
    let mut forms = Vec::new();
    for (leading_bytes, leading_characters) in LEADING_CHARACTERS.into_iter().enumerate() {
        let encoded = encode(&[&[0; 2][..leading_bytes], value]);
        let shared = usize::from(!(leading_bytes + value.len()).is_multiple_of(3));
        forms.push(owned(&encoded[leading_characters..encoded.len() - shared]));
        // Where the value, or the value as a line, is the end of what was encoded, the last character is known too.
        forms.push(owned(&encoded[leading_characters..]));
        forms.push(owned(&encode(&[&[0; 2][..leading_bytes], value, b"\n"])[leading_characters..]));
    }
    // `base64` breaks its lines at 76 characters, as MIME does, and `openssl base64` at 64.
    for encoded in [encode(&[value]), encode(&[value, b"\n"])] {
        for (width, line_end) in [(64, "\n"), (64, "\r\n"), (76, "\n"), (76, "\r\n")] {
            if encoded.len() > width {
                forms.push(wrapped(&encoded, width, line_end));
            }
        }
    }
    let url_safe: Vec<Form> = forms.iter().map(|form| url_safe(form)).collect();
    forms.extend(url_safe);
    forms
}

fn encode(parts: &[&[u8]]) -> Form {
    let bytes = Zeroizing::new(parts.concat());
    let mut encoded = Zeroizing::new(vec![0; bytes.len().div_ceil(3) * 4]);
    let length = STANDARD_NO_PAD.encode_slice(&bytes, &mut encoded).expect("four characters per three bytes");
    encoded.truncate(length);
    encoded
}

fn wrapped(encoded: &[u8], width: usize, line_end: &str) -> Form {
    let mut form =
        Zeroizing::new(Vec::with_capacity(encoded.len() + (encoded.len() / width) * line_end.len()));
    for (index, line) in encoded.chunks(width).enumerate() {
        if index > 0 {
            form.extend_from_slice(line_end.as_bytes());
        }
        form.extend_from_slice(line);
    }
    form
}

fn url_safe(encoded: &[u8]) -> Form {
    let map = |byte: &u8| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => *other,
    };
    Zeroizing::new(encoded.iter().map(map).collect())
}

fn hex(value: &[u8]) -> [Form; 2] {
    [b"0123456789abcdef", b"0123456789ABCDEF"].map(|digits| {
        let mut form = Zeroizing::new(Vec::with_capacity(value.len() * 2));
        for byte in value {
            form.extend_from_slice(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
        form
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn has(secret: &str, form: &str) -> bool {
        of(secret.as_bytes()).iter().any(|found| found.as_slice() == form.as_bytes())
    }

    #[test]
    fn a_secret_has_these_forms() {
        for (secret, forms) in [
            ("abc", vec!["abc", "616263"]),
            ("hunter2", vec!["hunter2", "aHVudGVyMg", "aHVudGVyM", "68756e74657232", "aHVudGVyMgo"]),
            // After one and two bytes: base64 of `:hunter2:` and `u:hunter2:` without what the neighbours share.
            ("hunter2", vec!["h1bnRlcjI", "odW50ZXIy", "odW50ZXIyCg"]),
            (
                "jk>?~\u{ff}",
                vec!["ams+P37Dv", "ams-P37Dvw", "prPj9+w7", "qaz4_fsO_", "6a6b3e3f7ec3bf", "6A6B3E3F7EC3BF"],
            ),
            ("a b/c", vec!["a b/c", "a%20b%2Fc", "a%20b%2fc", "a+b%2Fc", "a%20b/c", r"a b\/c"]),
            (
                "p@$$/~*",
                vec!["p%40%24%24%2F~%2A", "p%40%24%24%2F~*", "p%40%24%24%2F%7E*", "p%40$$%2F~*", "p@$$/~*"],
            ),
            ("say \"é\"\t", vec!["say \"é\"", r#"say \"é\""#, r#"say \"\u00e9\""#, r#"say \"\u00E9\""#]),
            ("key\u{1F511}", vec!["key\u{1F511}", r"key\ud83d\udd11", r"key\uD83D\uDD11", "key%F0%9F%94%91"]),
            (
                "<a&b>'",
                vec![r"\u003ca\u0026b\u003e'", r"\u003ca\u0026b\u003e\u0027", r"\u003Ca\u0026b\u003E\u0027"],
            ),
            (" padded\n", vec!["padded", "706164646564"]),
            (
                "first line\nsecond\n",
                vec!["first line\nsecond", "first line\r\nsecond", "first line", "second"],
            ),
            ("first line\r\nsecond", vec!["first line\nsecond", "first line\r\nsecond"]),
            ("a: 1\n\\b", vec![r"a: 1\n\\b", "a%3A%201%0A%5Cb"]),
        ] {
            let missing: Vec<&str> = forms.into_iter().filter(|form| !has(secret, form)).collect();
            assert_eq!(missing, Vec::<&str>::new(), "of {secret:?}");
        }
    }

    #[test]
    fn what_ordinary_text_is_made_of_is_no_form() {
        for (secret, form) in [
            ("abc", "YWJj"),
            ("abcd", "YWJjZ"),
            ("{\n  \"private\": \"xyzxyz\"\n}", "}"),
            ("[\n  true,\n  \"xyzxyz\"\n]", "true,"),
            ("-----BEGIN KEY-----\nMIIBVgIBADAN\n-----END KEY-----", "-----BEGIN KEY-----"),
            ("-----BEGIN KEY-----\nMIIBVgIBADAN\n-----END KEY-----", "-----END KEY-----"),
            ("title\n------\nsecret one", "------"),
            (" x ", " x "),
            ("ab", "ab"),
            ("", ""),
        ] {
            assert!(!has(secret, form), "{form:?} of {secret:?}");
        }
    }

    #[test]
    fn base64_that_is_broken_into_lines_is_found() {
        let secret = "0123456789".repeat(9);
        let encoded = STANDARD.encode(&secret);
        for width in [64, 76] {
            let (first, second) = encoded.split_at(width);
            assert!(has(&secret, &format!("{first}\n{second}")));
            assert!(has(&secret, &format!("{first}\r\n{second}")));
        }
    }

    proptest! {
        #[test]
        fn whatever_surrounds_a_secret_its_base64_and_hex_hold_a_form(
            before in vec(any::<u8>(), 0..7), secret in vec(33u8..127, 5..60), after in vec(any::<u8>(), 0..7),
        ) {
            let forms = of(&secret);
            let text = [before, secret.clone(), after].concat();
            let hex: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
            for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text), hex] {
                let longest = forms.iter().filter(|form| {
                    encoded.as_bytes().windows(form.len()).any(|window| window == form.as_slice())
                }).map(|form| form.len()).max();
                // All but the two characters at the edges.
                prop_assert!(longest.is_some_and(|bytes| bytes * 3 >= secret.len() * 4 - 6), "{longest:?}");
            }
        }
    }
}
