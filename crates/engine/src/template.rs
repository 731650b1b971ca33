//! A text with references in it, parsed: what is copied, what is resolved.

use std::fmt;
use std::ops::Range;

use vaultref_core::scan::{self, Kind};
use vaultref_core::{Error, ErrorKind, Reference, Secret};
use zeroize::Zeroizing;

use crate::Failure;

/// A text whose references are parsed. It borrows the text.
pub struct Template<'t> {
    pieces: Vec<Piece<'t>>,
}

enum Piece<'t> {
    Text(&'t [u8]),
    Reference(Reference, Range<usize>),
}

impl<'t> Template<'t> {
    /// Finds and parses all references. All that cannot be parsed are reported, with their places.
    pub fn parse(text: &'t [u8]) -> Result<Self, Vec<Failure>> {
        if scan::is_reference(text) {
            let range = 0..text.len();
            return match parse_reference(text) {
                Ok(reference) => Ok(Self { pieces: vec![Piece::Reference(reference, range)] }),
                Err(error) => Err(vec![Failure { range, error }]),
            };
        }
        let (mut pieces, mut failures, mut copied) = (Vec::new(), Vec::new(), 0);
        for found in scan::scan(text) {
            let range = found.range.clone();
            if copied < range.start {
                pieces.push(Piece::Text(&text[copied..range.start]));
            }
            copied = range.end;
            match found.kind {
                Kind::Literal => pieces.push(Piece::Text(found.literal(text))),
                Kind::Unclosed => failures.push(Failure { range, error: unclosed() }),
                Kind::Reference => match parse_reference(&text[range.clone()]) {
                    Ok(reference) => pieces.push(Piece::Reference(reference, range)),
                    Err(error) => failures.push(Failure { range, error }),
                },
            }
        }
        if copied < text.len() {
            pieces.push(Piece::Text(&text[copied..]));
        }
        if failures.is_empty() { Ok(Self { pieces }) } else { Err(failures) }
    }

    /// The references in their order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.places().map(|(reference, _)| reference)
    }

    /// The references with their places in the text.
    pub fn places(&self) -> impl Iterator<Item = (&Reference, Range<usize>)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Reference(reference, range) => Some((reference, range.clone())),
            Piece::Text(_) => None,
        })
    }

    /// The text with one secret per reference put in.
    pub(crate) fn fill(&self, secrets: &[Secret]) -> Secret {
        if let ([Piece::Reference(..)], [secret]) = (self.pieces.as_slice(), secrets) {
            return secret.clone();
        }
        let mut secrets = secrets.iter();
        let parts: Vec<&[u8]> = self
            .pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Text(text) => Some(*text),
                Piece::Reference(..) => secrets.next().map(Secret::expose),
            })
            .collect();
        // Allocated once at its size: growing would leave parts of secrets behind.
        let mut filled = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
        parts.iter().for_each(|part| filled.extend_from_slice(part));
        filled.into()
    }
}

impl fmt::Debug for Template<'_> {
    /// Without the text around the references: a password in clear may be part of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.references()).finish()
    }
}

/// Parses the bytes of one reference.
pub(crate) fn parse_reference(bytes: &[u8]) -> Result<Reference, Error> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::new(ErrorKind::InvalidReference, "reference is not utf-8"))?;
    Reference::parse(text).map_err(Error::from)
}

pub(crate) fn unclosed() -> Error {
    Error::new(ErrorKind::InvalidReference, "reference is not closed")
        .with_hint("end it with `}`, and write blanks and quotes in it as `%20` and `%22`; `{{vault://…}}` is plain text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_literals_and_references_are_put_together() {
        let template = Template::parse(b"a {vault://env/x} {{vault://b}} {vault://env/y}").unwrap();
        assert_eq!(
            template.references().map(ToString::to_string).collect::<Vec<_>>(),
            ["{vault://env/x}", "{vault://env/y}",]
        );
        let filled = template.fill(&[Secret::new("1"), Secret::new("2")]);
        assert_eq!(filled.expose(), b"a 1 {vault://b} 2");
    }

    #[test]
    fn a_text_that_is_one_reference_may_hold_what_kong_lets_it_hold() {
        for text in
            ["{vault://env/a b}", "{vault://env/a\nb}", "{vault://env/a?x=\"y\"}", "{vault://env/a# 1 }"]
        {
            assert_eq!(Template::parse(text.as_bytes()).unwrap().references().count(), 1, "{text}");
        }
        for text in ["{vault://env/a b} ", "{vault://a{vault://b/c}", "{vault://env/a\"}, {\"}"] {
            assert!(Template::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn its_debug_output_shows_neither_text_nor_options() {
        let template = Template::parse(b"hunter2 {vault://env/x?token=hunter2} {{vault://hunter2}}").unwrap();
        assert_eq!(format!("{template:?}"), "[{vault://env/x?token=[secret]}]");
    }

    #[test]
    fn every_malformed_reference_is_reported() {
        let failures =
            Template::parse(b"{vault://env} {vault://env/x} {vault:///x} {vault://env/y").unwrap_err();
        let seen: Vec<_> = failures.iter().map(|f| (f.range.clone(), f.error.message())).collect();
        assert_eq!(
            seen,
            [
                (0..13, "reference url is missing path"),
                (30..42, "reference url is missing host"),
                (43..57, "reference is not closed"),
            ]
        );
    }
}
