//! What is found lies in the text, in order, and is what it is said to be; a text in chunks gives what the whole
//! gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vaultref_core::scan::{self, Found, Kind, OPENING, scan, scan_partial};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, text) = input;
    let whole: Vec<Found> = scan(text).collect();
    assert_eq!(whole.is_empty(), !scan::contains(text));
    let mut end = 0;
    for found in &whole {
        assert!(found.range.start >= end);
        check(&text[found.range.clone()], found.kind);
        end = found.range.end;
    }
    assert_eq!(in_chunks(text, usize::from(size) + 1), whole);
});

fn check(part: &[u8], kind: Kind) {
    let opening = OPENING.as_bytes();
    match kind {
        Kind::Reference => assert!(part.starts_with(opening) && part.ends_with(b"}")),
        Kind::Literal => assert!(part[1..].starts_with(opening) && part[0] == b'{' && part.ends_with(b"}}")),
        Kind::Unclosed => assert!(part.starts_with(opening) && !part.contains(&b'\n')),
    }
}

/// As a reader of a stream does it: keeps what isn't final yet, and looks at it again with what follows.
fn in_chunks(text: &[u8], size: usize) -> Vec<Found> {
    let (mut window, mut offset, mut found) = (Vec::new(), 0, Vec::new());
    let moved = |item: Found, by: usize| Found { range: item.range.start + by..item.range.end + by, ..item };
    for chunk in text.chunks(size) {
        window.extend_from_slice(chunk);
        let mut scan = scan_partial(&window);
        found.extend(scan.by_ref().map(|item| moved(item, offset)));
        let done = scan.position();
        offset += done;
        window.drain(..done);
    }
    found.extend(scan(&window).map(|item| moved(item, offset)));
    found
}
