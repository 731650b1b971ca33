//! What a backend is asked for: the name of a resource, and which version of it.

use std::fmt;

/// The name of what is fetched, as the backend knows it: percent-decoded, never empty, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource(String);

impl Resource {
    /// Wraps a decoded name; `None` for the empty one.
    pub fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        (!name.is_empty()).then_some(Self(name))
    }

    /// The name as text, slashes included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which version of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// `#2`: a decimal integer, at most [`Version::NUMBER_MAX`].
    Number(u64),
    /// `#AWSPREVIOUS`: anything else; a stage, a label, an alias, a GUID.
    Text(String),
}

impl Version {
    /// The largest version that is a number, 2^53 - 1. Kong's numbers are doubles, and JSON readers have no
    /// others either: a longer run of digits names a version only exactly, as text.
    pub const NUMBER_MAX: u64 = (1 << 53) - 1;

    /// Reads what follows the `#` of a reference. White space around a number is ignored, as in Kong;
    /// `None` when nothing is there.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_ascii();
        if digits.is_empty() {
            return None;
        }
        let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        Some(match number {
            Some(number) if number <= Self::NUMBER_MAX => Self::Number(number),
            _ => Self::Text(text.to_owned()),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_integers_are_numbers_and_the_rest_is_text() {
        let text = |text: &str| Some(Version::Text(text.to_owned()));
        for (given, expected) in [
            ("2", Some(Version::Number(2))),
            (" 1\n", Some(Version::Number(1))),
            ("007", Some(Version::Number(7))),
            ("9007199254740991", Some(Version::Number(Version::NUMBER_MAX))),
            ("9007199254740993", text("9007199254740993")),
            ("99999999999999999999", text("99999999999999999999")),
            ("-1", text("-1")),
            ("1.0", text("1.0")),
            ("0x2", text("0x2")),
            ("latest", text("latest")),
            ("%31", text("%31")),
            ("", None),
            (" \t", None),
        ] {
            assert_eq!(Version::parse(given), expected, "{given:?}");
        }
    }
}
