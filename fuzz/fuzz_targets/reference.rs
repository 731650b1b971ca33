//! What parses is shown as a text that parses to the same reference, and no text makes the parser panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vaultref_core::Reference;
use vaultref_core::scan::REFERENCE_BYTES_MAX;

fuzz_target!(|text: &str| {
    // The short form, so that the mutations go where the grammar is, and not into the opening.
    let Ok(reference) = Reference::parse_short(text) else { return };
    let shown = reference.to_string();
    // What is decoded twice is written longer than it was read.
    if shown.len() <= REFERENCE_BYTES_MAX {
        assert_eq!(Reference::parse(&shown).as_ref(), Ok(&reference), "{shown}");
    }
    let has_values = reference.options().is_some_and(|options| !options.is_empty());
    let redacted = reference.redacted(|_| false);
    assert_eq!(redacted.contains("[secret]"), has_values || shown.contains("[secret]"), "{redacted}");
});
