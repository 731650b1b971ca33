//! Replaces the references in a JSON, YAML, TOML, dotenv or properties file so that it parses to the resolved values.
//!
//! Two phases, because resolving is asynchronous and is somebody else's work:
//! [`Document::parse`] finds every string (value or key) that holds a reference or a literal and gives its
//! decoded text; whoever resolves replaces the references in these texts; [`Document::write`] gives the file
//! with each of them rewritten so that a parser of the format reads exactly the new text:
//!
//! - A resolved value is text. Where the reference stood without quotes, the value is written with quotes, so
//!   that `0123`, `true` or `null` stay what the store holds. A YAML tag is kept, and with `!!int` the reader gets
//!   a number, because the author asked for one.
//! - A string is decoded first: `"\u007bvault://env/x}"` is a reference in JSON.
//! - Everything else (comments, order, blanks, quotes of other strings) keeps its bytes. So does a string
//!   whose text has not changed.
//! - In YAML `key: {vault://env/x}` is not a string but a mapping with the key `vault://env/x`. It is what people
//!   write and never what they mean, and is treated as the string that it looks like; `{{vault://…}}` too.
//!
//! What each format's values are is told in the module of the format. All of them take time in proportion to
//! the file, and nesting is bounded by their parsers (128 levels in JSON, 255 in YAML, 80 in TOML).

mod format;
mod malformed;
mod splice;

mod dotenv;
mod json;
mod properties;
mod quote;
mod toml;
mod yaml;
mod yaml_block;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use vaultref_core::scan;
use zeroize::Zeroizing;

pub use format::Format;
pub use malformed::Malformed;
pub(crate) use malformed::utf8;
use splice::Splice;

/// A file of a known format, and the strings in it that hold references.
pub struct Document<'t> {
    format: Format,
    text: &'t [u8],
    scalars: Vec<Scalar>,
}

impl<'t> Document<'t> {
    /// Finds the strings to resolve. A file that its format's parser refuses is [`Malformed`].
    ///
    /// [`Format::Text`] has one scalar, the whole text, if it holds a reference and is UTF-8: for texts of any size
    /// and encoding, scan them as a stream instead.
    pub fn parse(format: Format, text: &'t [u8]) -> Result<Self, Malformed> {
        let scalars = match format {
            Format::Text => whole(utf8(text)?),
            Format::Json => json::scalars(utf8(text)?)?,
            Format::Yaml => yaml::scalars(utf8(text)?)?,
            Format::Toml => toml::scalars(utf8(text)?)?,
            Format::Dotenv => dotenv::scalars(text)?,
            Format::Properties => properties::scalars(text)?,
        };
        Ok(Self { format, text, scalars })
    }

    /// The strings that hold something [`scan::scan`] finds, in the order of the file, without overlaps.
    pub fn scalars(&self) -> &[Scalar] {
        &self.scalars
    }

    /// The file with `resolved[i]` in the place of `scalars()[i]`; scalars without one stay as they are.
    ///
    /// Nothing is written if one of the values cannot be.
    pub fn write<T: AsRef<[u8]>>(&self, resolved: &[T]) -> Result<Zeroizing<Vec<u8>>, Unwritable> {
        let mut splice = Splice::new(self.text);
        for (index, (scalar, value)) in self.scalars.iter().zip(resolved).enumerate() {
            let unwritable =
                |reason| Unwritable { format: self.format, index, span: scalar.span.clone(), reason };
            let value = std::str::from_utf8(value.as_ref()).map_err(|_| unwritable(Reason::NotUtf8))?;
            scalar.rewrite(value, &mut splice).map_err(unwritable)?;
        }
        Ok(splice.finish())
    }
}

/// A string of a document that holds at least one reference, literal or unclosed opening.
pub struct Scalar {
    text: Zeroizing<String>,
    span: Range<usize>,
    style: Style,
}

/// How a scalar is written, and what its format's writer has to know about it.
enum Style {
    Text,
    Json,
    Toml(toml::Style),
    Yaml(yaml::Style),
    Dotenv,
    Properties(properties::Style),
}

impl Scalar {
    fn new(text: impl Into<String>, span: Range<usize>, style: Style) -> Self {
        Self { text: Zeroizing::new(text.into()), span, style }
    }

    /// The text that a parser of the format reads here.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it is written in the file, in bytes, with its quotes; in a YAML block, from the first to the last line.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    fn rewrite(&self, value: &str, splice: &mut Splice<'_>) -> Result<(), Reason> {
        if value == *self.text && !matches!(self.style, Style::Yaml(yaml::Style { is_string: false, .. })) {
            return Ok(());
        }
        match &self.style {
            Style::Text => splice.replace(&self.span, value),
            Style::Json => splice.replace(&self.span, &quote::double(value)),
            Style::Toml(style) => splice.replace(&self.span, &style.quote(value)),
            Style::Yaml(style) => return style.rewrite(self, value, splice),
            Style::Dotenv if value.contains('\0') => return Err(Reason::Nul),
            Style::Dotenv => splice.replace(&self.span, &crate::dotenv::quote(value)),
            Style::Properties(style) => splice.replace(&self.span, &style.escape(value)),
        }
        Ok(())
    }
}

impl fmt::Debug for Document<'_> {
    /// Without the text, which holds whatever stands around references.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Document");
        shown.field("format", &self.format).field("scalars", &self.scalars).finish_non_exhaustive()
    }
}

impl fmt::Debug for Scalar {
    /// Without the text: a password in clear may stand beside the reference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scalar").field("span", &self.span).finish_non_exhaustive()
    }
}

fn whole(text: &str) -> Vec<Scalar> {
    scan::contains(text.as_bytes())
        .then(|| Scalar::new(text, 0..text.len(), Style::Text))
        .into_iter()
        .collect()
}

/// A value that cannot be written where its reference stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritable {
    /// The format of the file.
    pub format: Format,
    /// Which of [`Document::scalars`].
    pub index: usize,
    /// Where that scalar is in the file.
    pub span: Range<usize>,
    /// What is wrong with the value.
    pub reason: Reason,
}

/// Why a value cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is not UTF-8, as the strings of all formats are.
    NotUtf8,
    /// It holds a NUL, which a variable of the environment cannot.
    Nul,
    /// It would make the key of a YAML mapping longer (about 1000 bytes) than parsers look ahead for its end.
    KeyTooLong,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            Reason::NotUtf8 => "is not UTF-8",
            Reason::Nul => "holds a NUL",
            Reason::KeyTooLong => "is too long for a key",
        };
        write!(f, "the value {reason} and cannot be written as {}", self.format)
    }
}

impl std::error::Error for Unwritable {}
