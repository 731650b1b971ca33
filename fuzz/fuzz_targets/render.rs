//! A document whose strings are replaced is read again, and has the new strings in the places of the old ones.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vaultref::render::{Document, Format};

const FORMATS: [Format; 5] = [Format::Json, Format::Yaml, Format::Toml, Format::Dotenv, Format::Properties];

fuzz_target!(|input: (u8, &str, &[u8])| {
    let (format, value, text) = input;
    let format = FORMATS[usize::from(format) % FORMATS.len()];
    let Ok(document) = Document::parse(format, text) else { return };
    let mut end = 0;
    for scalar in document.scalars() {
        assert!(scalar.span().start >= end && scalar.span().end <= text.len());
        assert!(text.get(scalar.span()).is_some());
        end = scalar.span().end;
    }
    // With a reference behind it, the value is found again as a string to resolve.
    let marked = format!("{value}{{vault://env/x}}");
    let values = vec![marked.as_bytes(); document.scalars().len()];
    let Ok(written) = document.write(&values) else { return };
    let again = Document::parse(format, &written).expect("what was written can be read");
    let texts: Vec<&str> = again.scalars().iter().map(|scalar| scalar.text()).collect();
    // Equal names in one mapping are refused by some formats' parsers, and the values of others' are equal then.
    assert!(texts.iter().all(|text| *text == marked), "{texts:?}");
    assert_eq!(texts.len(), document.scalars().len());
});
