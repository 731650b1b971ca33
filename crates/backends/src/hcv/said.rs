//! What a server says about a failure, as far as it can be shown: a server may repeat what it was sent.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use percent_encoding::utf8_percent_encode;
use vaultref_core::Secret;
use zeroize::Zeroizing;

use crate::http::ENCODED;

/// The longest text of a server that is shown.
const CHARS_MAX: usize = 300;
/// A run of so many bytes that a text has in common with a secret is no accident.
const PART_BYTES: usize = 8;

/// The texts in one line, unless they hold a part of one of the secrets that were sent, plain or in a form that servers
/// write: JSON, percent-encoding, base64, hexadecimal, in any case.
pub(super) fn shown(texts: &[String], sent: &[&Secret]) -> Option<String> {
    let words: Vec<&str> = texts.iter().flat_map(|text| text.split_whitespace()).collect();
    // What is not looked at is not shown either.
    let text: String = words.join(" ").chars().filter(|c| !c.is_control()).take(CHARS_MAX).collect();
    let folded = text.to_ascii_lowercase().replace('-', "+").replace('_', "/");
    let repeats =
        |secret: &&Secret| forms(secret.expose().trim_ascii()).iter().any(|form| holds(&folded, form));
    (!text.is_empty() && !sent.iter().any(repeats)).then_some(text)
}

/// How a secret may be written, folded as the text is.
fn forms(secret: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(String::from_utf8_lossy(secret).into_owned());
    let mut forms = vec![
        secret.to_vec(),
        serde_json::to_vec(&*text).unwrap_or_default().trim_ascii().to_vec(),
        utf8_percent_encode(&text, ENCODED).to_string().into_bytes(),
        secret.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(),
    ];
    // JSON's quotes are none of the secret's.
    forms[1].retain(|byte| *byte != b'"');
    // Within a longer text, base64 begins at any of three places.
    forms.extend(
        (0..3).filter_map(|skip| Some(BASE64_STANDARD_NO_PAD.encode(secret.get(skip..)?).into_bytes())),
    );
    let fold = |byte: &mut u8| {
        *byte = match byte.to_ascii_lowercase() {
            b'-' => b'+',
            b'_' => b'/',
            byte => byte,
        }
    };
    forms.iter_mut().for_each(|form| form.iter_mut().for_each(fold));
    forms.into_iter().map(Zeroizing::new).collect()
}

fn holds(text: &str, form: &[u8]) -> bool {
    let part = form.len().min(PART_BYTES);
    if part == 0 {
        return false;
    }
    let parts: HashSet<&[u8]> = text.as_bytes().windows(part).collect();
    form.windows(part).any(|part| parts.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_a_part_of_what_was_sent_is_not_shown() {
        let secret = Secret::new("Geh\"eim/P\u{e4}ssw+rd#12345");
        for (text, expected) in [
            ("role \"app\"\n could not   be found", Some("role \"app\" could not be found")),
            ("", None),
            ("got Geh\"eim/P\u{e4}ssw+rd#12345", None),
            ("got h\"eim/P\u{e4}ssw+r", None),
            ("got GEH\"EIM/P\u{e4}SSW+RD#12345", None),
            (r#"got Geh\"eim/P\u00e4ssw+rd#12345"#, None),
            ("got Geh%22eim%2FP%C3%A4ssw%2Brd%2312345", None),
            ("got R2VoImVpbS9Qw6Rzc3crcmQjMTIzNDU=", None),
            ("got dXNlcjpHZWgiZWltL1DDpHNzdytyZCMxMjM0NQ", None),
            ("got 476568226569", None),
        ] {
            assert_eq!(shown(&[text.to_owned()], &[&secret]).as_deref(), expected, "{text}");
        }
        assert_eq!(shown(&["the pin 1234 is wrong".to_owned()], &[&Secret::new("1234")]), None);
        assert_eq!(shown(&["fine".to_owned()], &[&Secret::new("")]).as_deref(), Some("fine"));
    }
}
