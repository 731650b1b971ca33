//! Renders whole files: as a stream of text of any size, or as a document of a known format.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::ops::Range;

use vaultref_core::scan::{self, Found, Kind};
use vaultref_core::{Error, ErrorKind, Reference, Secret};
use zeroize::Zeroizing;

use crate::render::{Document, Format};
use crate::template::{parse_reference, unclosed};
use crate::{Engine, Failure};

/// How much of a stream is in memory at a time. It fits the processor's cache, and is well over the longest reference.
const WINDOW_BYTES: usize = 256 * 1024;
/// How many references a stream remembers the secrets of, so that one that occurs often is looked up once.
const REMEMBERED_MAX: usize = 1024;
/// After so many failures a stream is given up.
const FAILURES_MAX: usize = 1000;

/// Why a stream was not rendered to its end.
#[derive(Debug)]
pub enum StreamError {
    /// The input cannot be read.
    Read(io::Error),
    /// The output cannot be written.
    Write(io::Error),
    /// References that failed, with their places in the input. Nothing was written from the first one's window on;
    /// an input of at most 256 KiB is written whole or not at all.
    Failures(Vec<Failure>),
}

impl Engine {
    /// Copies text with its references replaced, byte for byte, in constant memory.
    pub async fn render_stream(
        &self,
        mut input: impl Read,
        mut output: impl Write,
    ) -> Result<(), StreamError> {
        let mut window = Zeroizing::new(vec![0; WINDOW_BYTES]);
        let mut stream = Stream { engine: self, remembered: HashMap::default(), failures: Vec::new() };
        let (mut filled, mut offset) = (0, 0);
        loop {
            let read = fill(&mut input, &mut window[filled..]).map_err(StreamError::Read)?;
            filled += read;
            let complete = filled < WINDOW_BYTES;
            let done = stream.window(&window[..filled], complete, offset, &mut output).await?;
            if complete || stream.failures.len() >= FAILURES_MAX {
                break;
            }
            window.copy_within(done..filled, 0);
            (filled, offset) = (filled - done, offset + done);
        }
        if !stream.failures.is_empty() {
            return Err(StreamError::Failures(stream.failures));
        }
        output.flush().map_err(StreamError::Write)
    }

    /// The document with its references replaced, so that it parses to exactly the resolved values. All failures are
    /// reported, with their places.
    pub async fn render_document(
        &self,
        format: Format,
        text: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Vec<Failure>> {
        let document = Document::parse(format, text).map_err(|malformed| {
            let hint =
                malformed.hint().unwrap_or("as text, references are replaced whatever stands around them");
            let error = Error::new(ErrorKind::InvalidConfig, malformed.message()).with_hint(hint);
            vec![Failure { range: malformed.range(), error }]
        })?;
        let results =
            self.render_many(document.scalars().iter().map(|scalar| scalar.text().as_bytes())).await;
        let (mut values, mut failures) = (Vec::new(), Vec::new());
        for (scalar, result) in document.scalars().iter().zip(results) {
            match result {
                Ok(secret) => values.push(secret),
                Err(faults) => failures.extend(faults.into_iter().map(|failure| Failure {
                    range: locate(text, scalar.span(), scalar.text(), failure.range),
                    error: failure.error,
                })),
            }
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        let values: Vec<&[u8]> = values.iter().map(Secret::expose).collect();
        document.write(&values).map_err(|unwritable| {
            let error = Error::new(ErrorKind::Corrupt, unwritable.to_string());
            vec![Failure { range: unwritable.span, error }]
        })
    }
}

/// The place in the file of a part of a scalar's decoded text: its own, where it stands there as it is, else the
/// scalar's.
fn locate(text: &[u8], span: Range<usize>, decoded: &str, part: Range<usize>) -> Range<usize> {
    let part = &decoded.as_bytes()[part];
    match memchr::memmem::find(&text[span.clone()], part) {
        Some(at) => span.start + at..span.start + at + part.len(),
        None => span,
    }
}

/// Reads until the buffer is full or the input ends.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

struct Stream<'e> {
    engine: &'e Engine,
    remembered: HashMap<Vec<u8>, Secret, foldhash::fast::RandomState>,
    failures: Vec<Failure>,
}

impl Stream<'_> {
    /// Renders as much of the window as is decided, and says how much that is.
    async fn window(
        &mut self,
        text: &[u8],
        complete: bool,
        offset: usize,
        output: &mut impl Write,
    ) -> Result<usize, StreamError> {
        let mut scan = if complete { scan::scan(text) } else { scan::scan_partial(text) };
        let found: Vec<Found> = scan.by_ref().collect();
        let done = scan.position();
        self.resolve(text, &found, offset).await;
        if !self.failures.is_empty() {
            return Ok(done);
        }
        let mut copied = 0;
        for place in &found {
            output.write_all(&text[copied..place.range.start]).map_err(StreamError::Write)?;
            let replacement = match place.kind {
                Kind::Literal => place.literal(text),
                _ => self.remembered.get(&text[place.range.clone()]).map_or(&[][..], Secret::expose),
            };
            output.write_all(replacement).map_err(StreamError::Write)?;
            copied = place.range.end;
        }
        output.write_all(&text[copied..done]).map_err(StreamError::Write)?;
        Ok(done)
    }

    /// Resolves all references of a window at once, those that are not known yet.
    async fn resolve(&mut self, text: &[u8], found: &[Found], offset: usize) {
        if self.remembered.len() > REMEMBERED_MAX {
            self.remembered.clear();
        }
        let mut wanted: Vec<(Reference, Range<usize>)> = Vec::new();
        for place in found {
            let range = place.range.clone();
            let parsed = match place.kind {
                Kind::Literal => continue,
                Kind::Unclosed => Err(unclosed()),
                Kind::Reference if self.remembered.contains_key(&text[range.clone()]) => continue,
                Kind::Reference => parse_reference(&text[range.clone()]),
            };
            match parsed {
                Ok(reference) => wanted.push((reference, range)),
                Err(error) => self.failures.push(failure(offset, range, error)),
            }
        }
        let results = self.engine.resolve_many(wanted.iter().map(|(reference, _)| reference)).await;
        for ((_, range), result) in wanted.into_iter().zip(results) {
            match result {
                Ok(secret) => drop(self.remembered.insert(text[range].to_vec(), secret)),
                Err(error) => self.failures.push(failure(offset, range, error)),
            }
        }
    }
}

fn failure(offset: usize, range: Range<usize>, error: Error) -> Failure {
    Failure { range: range.start + offset..range.end + offset, error }
}
