//! Finds references in text of any kind: configuration files, environment values, whole templates.
//!
//! A reference starts with `{vault://` and ends at the first `}`. `{{vault://…}}` stands for the literal text
//! `{vault://…}`. Everything else is text. The scan is one `memmem` pass and holds no state but a position.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

/// How every reference starts.
pub const OPENING: &str = "{vault://";

/// The longest reference there is, in bytes. Longer ones are reported as [`Kind::Unclosed`], so that a stray
/// opening in a large file costs a bounded look-ahead.
pub const REFERENCE_BYTES_MAX: usize = 8192;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(OPENING));

/// What was found at a [`Found::range`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{vault://…}`: the range is the reference with its braces.
    Reference,
    /// `{{vault://…}}`: the range has both pairs of braces; the text it stands for lacks the outer pair.
    Literal,
    /// `{vault://` without an end: the end of the text, the size limit, or a byte that no reference in a text holds
    /// (see [`ends_reference`]) came first. The range ends there.
    Unclosed,
}

/// One place in a text that is not plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Bytes from the start of the scanned text.
    pub range: Range<usize>,
    /// What stands there.
    pub kind: Kind,
}

impl Found {
    /// The text that a [`Kind::Literal`] stands for: the range without its outer braces.
    pub fn literal<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.range.start + 1..self.range.end - 1]
    }
}

/// Finds the references, literals and unclosed openings of a whole text, in order and without overlaps.
pub fn scan(text: &[u8]) -> Scan<'_> {
    Scan { text, position: 0, complete: true }
}

/// Like [`scan`], for a text that goes on: stops where more input could change the answer, and
/// [`Scan::position`] then says up to where it is final.
pub fn scan_partial(text: &[u8]) -> Scan<'_> {
    Scan { text, position: 0, complete: false }
}

/// Whether a byte cannot be part of a reference that stands in a text: blanks, control characters, quotes and `{`.
/// They have to be percent-encoded.
///
/// Without this, one forgotten `}` would make a reference of all that follows up to the next one, with the passwords
/// on the way in the names that messages and logs show.
pub const fn ends_reference(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'"' | b'\'' | b'`' | b'{' | 0x7f)
}

/// Whether the whole text is a reference, and nothing but one. Kong knows only such, and lets them hold what ends one
/// that stands in a text: see [`ends_reference`].
pub fn is_reference(text: &[u8]) -> bool {
    let inner = text.strip_prefix(OPENING.as_bytes()).and_then(|rest| rest.strip_suffix(b"}"));
    inner.is_some_and(|inner| !inner.contains(&b'}') && !contains(inner))
}

/// Whether the text holds anything that [`scan`] would report.
pub fn contains(text: &[u8]) -> bool {
    FINDER.find(text).is_some()
}

/// The iterator behind [`scan`] and [`scan_partial`].
#[derive(Clone)]
pub struct Scan<'t> {
    text: &'t [u8],
    position: usize,
    complete: bool,
}

impl Scan<'_> {
    /// Where the next look starts. After the last item: the text before this is final, and for
    /// [`scan_partial`] the text from here has to be seen again together with what follows.
    pub fn position(&self) -> usize {
        self.position
    }

    /// How the text from an opening at `start` goes on; `None` when that can't be told yet.
    fn classify(&self, start: usize) -> Option<Found> {
        let body = start + OPENING.len();
        let limit = self.text.len().min(start + REFERENCE_BYTES_MAX);
        let close = memchr::memchr(b'}', &self.text[body..limit]).map(|at| body + at);
        let Some(close) = close else {
            let undecided = !self.complete && limit == self.text.len();
            return (!undecided).then(|| self.unclosed(start));
        };
        let inner = &self.text[body..close];
        if FINDER.find(inner).is_some() {
            return Some(self.unclosed(start));
        }
        let end = close + 1;
        if start > self.position && self.text[start - 1] == b'{' {
            match self.text.get(end) {
                Some(b'}') => return Some(Found { range: start - 1..end + 1, kind: Kind::Literal }),
                None if !self.complete => return None,
                _ => {}
            }
        }
        if inner.iter().copied().any(ends_reference) {
            return Some(self.unclosed(start));
        }
        Some(Found { range: start..end, kind: Kind::Reference })
    }

    fn unclosed(&self, start: usize) -> Found {
        const SHOWN_BYTES: usize = 80;
        let body = start + OPENING.len();
        let rest = &self.text[body..self.text.len().min(body + SHOWN_BYTES)];
        let end = rest.iter().copied().position(ends_reference).unwrap_or(rest.len());
        Found { range: start..body + end, kind: Kind::Unclosed }
    }

    /// The start of a tail that could be the beginning of `{{vault://`.
    fn open_tail(&self) -> usize {
        let rest = &self.text[self.position..];
        let opening = OPENING.as_bytes();
        let tail = (1..opening.len().min(rest.len() + 1)).rev().find(|&n| rest.ends_with(&opening[..n]));
        let start = self.text.len() - tail.unwrap_or(0);
        let doubled = tail.is_some() && start > self.position && self.text[start - 1] == b'{';
        start - usize::from(doubled)
    }
}

impl fmt::Debug for Scan<'_> {
    /// Without the text, which is whatever stands around references.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Iterator for Scan<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        let Some(at) = FINDER.find(&self.text[self.position..]) else {
            self.position = if self.complete { self.text.len() } else { self.open_tail() };
            return None;
        };
        let start = self.position + at;
        let Some(found) = self.classify(start) else {
            let doubled = start > self.position && self.text[start - 1] == b'{';
            self.position = start - usize::from(doubled);
            // Asking again gives the same answer: nothing before the end of this text is decided any more.
            self.text = &self.text[..self.position];
            return None;
        };
        self.position = found.range.end;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        let mut out = String::new();
        for found in scan(text.as_bytes()) {
            let part = &text[found.range];
            out += &match found.kind {
                Kind::Reference => format!("R[{part}]"),
                Kind::Literal => format!("L[{part}]"),
                Kind::Unclosed => format!("U[{part}]"),
            };
        }
        out
    }

    #[test]
    fn references_literals_and_unclosed_openings_are_told_apart() {
        for (text, expected) in [
            ("", ""),
            ("plain {text} }{", ""),
            ("{vault://env/x}", "R[{vault://env/x}]"),
            ("a{vault://env/x}b{vault://env/y}", "R[{vault://env/x}]R[{vault://env/y}]"),
            ("{vault://env/x}}", "R[{vault://env/x}]"),
            ("{{vault://env/x}}", "L[{{vault://env/x}}]"),
            ("{{vault://env/x} }", "R[{vault://env/x}]"),
            ("{{{vault://env/x}}}", "L[{{vault://env/x}}]"),
            ("{{vault://a/b}}{vault://c/d}", "L[{{vault://a/b}}]R[{vault://c/d}]"),
            ("{VAULT://env/x}", ""),
            ("{vault://env/x", "U[{vault://env/x]"),
            ("a: {vault://env/x\nb: {vault://env/y}", "U[{vault://env/x]R[{vault://env/y}]"),
            ("{vault://a{vault://b/c}", "U[{vault://a]R[{vault://b/c}]"),
            ("{vault://}", "R[{vault://}]"),
            (r#"{"a": "{vault://env/x", "b": "hunter2"}"#, "U[{vault://env/x]"),
            ("a: '{vault://env/x', b: c}", "U[{vault://env/x]"),
            ("a: {vault://env/x\nb: hunter2\nc: }", "U[{vault://env/x]"),
            ("{vault://env/x b}", "U[{vault://env/x]"),
            ("{vault://env/a{b}", "U[{vault://env/a]"),
            ("{{vault://a b}}", "L[{{vault://a b}}]"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn a_reference_has_a_size_limit() {
        let fits = format!("{OPENING}{}}}", "x".repeat(REFERENCE_BYTES_MAX - OPENING.len() - 1));
        assert_eq!(scan(fits.as_bytes()).next().map(|found| found.kind), Some(Kind::Reference));
        let exceeds = format!("{OPENING}{}}}", "x".repeat(REFERENCE_BYTES_MAX - OPENING.len()));
        assert_eq!(scan(exceeds.as_bytes()).next().map(|found| found.kind), Some(Kind::Unclosed));
    }

    /// The same rules, written as a walk over every byte.
    fn naive(text: &[u8]) -> Vec<Found> {
        let opens = |at: usize| text[at..].starts_with(OPENING.as_bytes());
        let (mut found, mut from, mut at) = (Vec::new(), 0, 0);
        while at < text.len() {
            if !opens(at) {
                at += 1;
                continue;
            }
            let close = (at + OPENING.len()..text.len()).find(|&i| text[i] == b'}');
            let next = (at + 1..text.len()).find(|&i| opens(i));
            let odd = (at + OPENING.len()..text.len()).find(|&i| b"\n \"{".contains(&text[i]));
            let item = match close {
                Some(close)
                    if next.is_none_or(|next| next > close)
                        && at > from
                        && text[at - 1] == b'{'
                        && text.get(close + 1) == Some(&b'}') =>
                {
                    Found { range: at - 1..close + 2, kind: Kind::Literal }
                }
                Some(close) if odd.is_none_or(|odd| odd > close) => {
                    Found { range: at..close + 1, kind: Kind::Reference }
                }
                _ => Found { range: at..odd.unwrap_or(text.len()), kind: Kind::Unclosed },
            };
            from = item.range.end;
            at = from;
            found.push(item);
        }
        found
    }

    fn texts() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("{vault://"),
            Just("{"),
            Just("}"),
            Just("{vault:/"),
            Just("env/x"),
            Just("\n"),
            Just("\" "),
            Just("é"),
        ];
        proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn the_scan_finds_what_a_naive_walk_finds(text in texts()) {
            prop_assert_eq!(scan(text.as_bytes()).collect::<Vec<_>>(), naive(text.as_bytes()));
        }

        #[test]
        fn a_text_in_chunks_gives_what_the_whole_gives(text in texts(), size in 1..20usize) {
            let (mut window, mut offset, mut found) = (Vec::new(), 0, Vec::new());
            for chunk in text.as_bytes().chunks(size) {
                window.extend_from_slice(chunk);
                let mut scan = scan_partial(&window);
                found.extend(scan.by_ref().map(|f| Found {
                    range: f.range.start + offset..f.range.end + offset, kind: f.kind,
                }).filter(|f| f.kind != Kind::Unclosed));
                let done = scan.position();
                offset += done;
                window.drain(..done);
            }
            found.extend(scan(&window).map(|f| Found {
                range: f.range.start + offset..f.range.end + offset, kind: f.kind,
            }).filter(|f| f.kind != Kind::Unclosed));
            let whole = scan(text.as_bytes()).filter(|f| f.kind != Kind::Unclosed).collect::<Vec<_>>();
            prop_assert_eq!(found, whole);
        }
    }
}
