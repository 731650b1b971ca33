//! Copies a file while pieces of it are replaced, into a buffer that leaves no traces when it grows.

use std::ops::Range;

use zeroize::Zeroizing;

/// The file so far: everything before `done` is written, changed or not.
pub(super) struct Splice<'t> {
    text: &'t [u8],
    done: usize,
    out: Zeroizing<Vec<u8>>,
    /// A place in the file and in what is written.
    mark: Option<(usize, usize)>,
}

impl<'t> Splice<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, done: 0, out: Zeroizing::new(Vec::with_capacity(text.len() * 2)), mark: None }
    }

    /// Copies up to `range`, then writes `new` instead of it.
    pub(super) fn replace(&mut self, range: &Range<usize>, new: &str) {
        self.copy_to(range.start);
        self.push(new);
        self.skip_to(range.end);
    }

    /// Copies what stands before `end`.
    pub(super) fn copy_to(&mut self, end: usize) {
        let text = self.text;
        self.append(&text[self.done.min(end)..end]);
        self.skip_to(end);
    }

    /// Leaves out what stands before `end`.
    pub(super) fn skip_to(&mut self, end: usize) {
        self.done = self.done.max(end);
    }

    pub(super) fn push(&mut self, new: &str) {
        self.append(new.as_bytes());
    }

    pub(super) fn text(&self) -> &'t [u8] {
        self.text
    }

    /// Copies up to `start`, unless it was the last mark already; gives how much had been written there.
    pub(super) fn mark(&mut self, start: usize) -> usize {
        match self.mark {
            Some((place, written)) if place == start => written,
            _ => {
                self.copy_to(start);
                self.mark = Some((start, self.out.len()));
                self.out.len()
            }
        }
    }

    /// How much has been written.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn finish(mut self) -> Zeroizing<Vec<u8>> {
        self.copy_to(self.text.len());
        self.out
    }

    /// A `Vec` that grows by itself frees its old buffer with the secrets in it; this one is wiped.
    fn append(&mut self, bytes: &[u8]) {
        let needed = self.out.len() + bytes.len();
        if needed > self.out.capacity() {
            let mut bigger = Zeroizing::new(Vec::with_capacity(needed * 2));
            bigger.extend_from_slice(&self.out);
            self.out = bigger;
        }
        self.out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_replaced_is_copied() {
        let mut splice = Splice::new(b"one two three");
        splice.replace(&(4..7), &"2".repeat(40));
        splice.copy_to(8);
        splice.skip_to(9);
        splice.push("T");
        assert_eq!(splice.finish().as_slice(), format!("one {} Three", "2".repeat(40)).as_bytes());
    }
}
