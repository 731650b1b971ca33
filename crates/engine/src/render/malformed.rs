//! The error for a file that its format's parser refuses.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use vaultref_core::scan;

/// A file that is not what its format says: where, and why. It holds nothing of the file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    range: Range<usize>,
    message: Cow<'static, str>,
    hint: Option<&'static str>,
}

impl Malformed {
    /// A fault in `text` that starts at the byte `at`. The message is a lower-case fragment.
    pub(crate) fn new(text: &str, at: usize, message: impl Into<Cow<'static, str>>) -> Self {
        let start = text.floor_char_boundary(at);
        let end = text.ceil_char_boundary((start + 1).min(text.len()));
        Self::at(start..end, message)
    }

    /// A fault in these bytes.
    pub(crate) fn at(range: Range<usize>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { range, message: message.into(), hint: None }
    }

    /// Adds the way out that fits most often, where the line of the fault holds a reference.
    pub(crate) fn or_unquoted(mut self, text: &str) -> Self {
        // The fault itself may be on the line, before or after the reference, that it leaves unfinished.
        const LINE_BYTES_MAX: usize = 4096;
        let from = text.floor_char_boundary(self.range.start.saturating_sub(LINE_BYTES_MAX));
        let to = text.ceil_char_boundary((self.range.end + LINE_BYTES_MAX).min(text.len()));
        let start = text[from..self.range.start].rfind('\n').map_or(from, |at| from + at);
        let end = text[self.range.end..to].find('\n').map_or(to, |at| self.range.end + at);
        if scan::contains(&text.as_bytes()[start..end]) {
            self.hint = Some("put the whole value that holds a reference in quotes");
        }
        self
    }

    /// The bytes of the file that the parser stumbled over.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// What the parser says.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the reader can do, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Malformed {}

/// The text of a file, if it is UTF-8.
pub(crate) fn utf8(text: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(text).map_err(|error| {
        let start = error.valid_up_to();
        let end = error.error_len().map_or(text.len(), |length| start + length);
        Malformed::at(start..end, "not UTF-8")
    })
}
