//! The canary: a secret that nothing else looks like, and the search for it in whatever form.

use std::collections::HashSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Random-looking, with what base64, percent-encoding and quotes change.
pub(crate) const CANARY: &str = "Zk7+qW2/xV9=rT4~mB8nL3pY6sD1fG5hJ0cQaE";

/// So much of it is a leak.
const PART_BYTES: usize = 8;

/// What to look for.
pub(crate) struct Search {
    /// All parts of all forms, in lower case: `env` writes names in upper case.
    parts: HashSet<Vec<u8>>,
    /// As a list of numbers, which is how Rust shows bytes.
    numbers: Vec<String>,
}

impl Search {
    pub(crate) fn new() -> Self {
        let mut forms = vec![CANARY.to_owned(), utf8_percent_encode(CANARY, NON_ALPHANUMERIC).to_string()];
        for skipped in 0..3 {
            forms.push(STANDARD.encode(&CANARY[skipped..]));
            forms.push(URL_SAFE.encode(&CANARY[skipped..]));
        }
        forms.push(CANARY.bytes().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }));
        let parts =
            forms.iter().flat_map(|form| form.as_bytes().windows(PART_BYTES).map(<[u8]>::to_ascii_lowercase));
        let numbers = CANARY.as_bytes().windows(PART_BYTES / 2).map(|part| {
            let list = format!("{part:?}");
            list.trim_matches(['[', ']']).to_owned()
        });
        Self { parts: parts.collect(), numbers: numbers.collect() }
    }

    /// Whether a text holds the canary or a part of it.
    pub(crate) fn finds_in(&self, text: &[u8]) -> bool {
        let lower = text.to_ascii_lowercase();
        let shown = String::from_utf8_lossy(&lower);
        lower.windows(PART_BYTES).any(|part| self.parts.contains(part))
            || self.numbers.iter().any(|numbers| shown.contains(numbers))
    }
}

#[test]
fn the_canary_is_found_in_every_form_and_in_parts() {
    let search = Search::new();
    for text in [
        CANARY.to_owned(),
        CANARY.to_uppercase(),
        format!("x{}y", &CANARY[5..13]),
        STANDARD.encode(format!("{CANARY}\n")),
        STANDARD.encode(format!("a{CANARY}")),
        STANDARD.encode(format!("ab{CANARY}")),
        URL_SAFE.encode(CANARY),
        utf8_percent_encode(CANARY, NON_ALPHANUMERIC).to_string(),
        "5A6B372B71".to_owned(),
        format!("{:?}", &CANARY.as_bytes()[3..8]),
    ] {
        assert!(search.finds_in(text.as_bytes()), "{text}");
    }
    for text in
        ["", "[secret]", &CANARY[5..12], "vault `env`: variable `CANARY` is not set", "{vault://env/canary}"]
    {
        assert!(!search.finds_in(text.as_bytes()), "{text}");
    }
}
