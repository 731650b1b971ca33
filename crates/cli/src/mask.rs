//! Finds secrets in output, whatever usual form they are printed in, and puts `[secret]` in their place.
//!
//! A [`Masker`] knows the secrets; a [`MaskStream`] applies it to one stream that arrives in chunks. Every byte
//! that belongs to an occurrence of a form is masked, also where two occurrences overlap: those are masked as one.

mod escapes;
mod forms;
mod stream;

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use vaultref_core::Secret;

use forms::Form;
pub(crate) use stream::MaskStream;

/// What is written in a secret's place.
pub(crate) const PLACEHOLDER: &[u8] = b"[secret]";

/// A form is looked for by its first bytes, and compared in full where these are found. Sixteen keep the searchers
/// small whatever the secrets' length, and let forms that begin alike share one entry, as most of a secret's do.
const HEAD_BYTES_MAX: usize = 16;

/// As many heads as the vector search of aho-corasick takes (Teddy). Measured with 16-byte heads over log lines: 64
/// heads 2.4 GB/s; 128 heads 1.3 GB/s in two groups and 0.12 GB/s in one; 1,024 heads 0.25 and 0.12 GB/s.
const GROUP_HEADS_MAX: usize = 64;

/// The secrets in all their forms, ready to be found.
///
/// The forms are zeroized on drop. The searchers keep the first 16 bytes of each form in tables of aho-corasick that
/// are not; like the child's environment, they live in the memory of a process that is not dumpable.
pub(crate) struct Masker {
    /// Sorted and without duplicates: a binary search answers both "what is here" and "what could this become".
    forms: Vec<Form>,
    /// For each form the longest other form that it begins with.
    within: Vec<Option<usize>>,
    searchers: Vec<AhoCorasick>,
    is_first_byte: [bool; 256],
    form_bytes_max: usize,
    too_short: Vec<usize>,
}

impl Masker {
    /// Prepares to find these secrets.
    pub(crate) fn new(secrets: &[Secret]) -> Self {
        let too_short = forms::too_short(secrets);
        let mut forms: Vec<Form> = secrets.iter().flat_map(|secret| forms::of(secret.expose())).collect();
        forms.sort_unstable_by(|one, other| one.as_slice().cmp(other));
        forms.dedup();

        let mut is_first_byte = [false; 256];
        for form in &forms {
            is_first_byte[usize::from(form[0])] = true;
        }
        Self {
            within: longest_prefixes(&forms),
            searchers: heads(&forms).chunks(GROUP_HEADS_MAX).map(searcher).collect(),
            is_first_byte,
            form_bytes_max: forms.iter().map(|form| form.len()).max().unwrap_or(0),
            too_short,
            forms,
        }
    }

    /// The indexes of those secrets that are not masked because they are so short that they would be found
    /// everywhere: one or two bytes. Empty ones have nothing to hide and are not among them.
    pub(crate) fn too_short(&self) -> &[usize] {
        &self.too_short
    }

    /// The occurrences of forms in `text` that start before `end`, by their start. They may overlap.
    fn find<'a>(&'a self, text: &'a [u8], end: usize) -> impl Iterator<Item = Range<usize>> + 'a {
        let mut heads = Heads::new(&self.searchers, text);
        std::iter::from_fn(move || {
            while let Some(start) = heads.next().filter(|start| *start < end) {
                if let Some(bytes) = self.longest_at(&text[start..]) {
                    return Some(start..start + bytes);
                }
            }
            None
        })
    }

    /// The length of the longest form that `text` begins with.
    fn longest_at(&self, text: &[u8]) -> Option<usize> {
        // Whatever sorts between a prefix of the text and the text begins with that prefix too. So the longest prefix
        // is the last form not after the text, or one of those which that form begins with.
        let mut candidate = self.forms.partition_point(|form| form.as_slice() <= text).checked_sub(1);
        while let Some(index) = candidate {
            if text.starts_with(&self.forms[index]) {
                return Some(self.forms[index].len());
            }
            candidate = self.within[index];
        }
        None
    }

    /// Where the longest end of `text` starts that more text could make a form of, or a longer one than it is.
    fn open_end(&self, text: &[u8]) -> usize {
        let earliest = (text.len() + 1).saturating_sub(self.form_bytes_max);
        (earliest..text.len())
            .find(|start| self.is_first_byte[usize::from(text[*start])] && self.is_open(&text[*start..]))
            .unwrap_or(text.len())
    }

    /// Whether a form begins with `text` and goes on.
    fn is_open(&self, text: &[u8]) -> bool {
        let next = self.forms.partition_point(|form| form.as_slice() <= text);
        self.forms.get(next).is_some_and(|form| form.starts_with(text))
    }
}

fn longest_prefixes(sorted: &[Form]) -> Vec<Option<usize>> {
    let mut within: Vec<Option<usize>> = Vec::with_capacity(sorted.len());
    for (index, form) in sorted.iter().enumerate() {
        let mut candidate = index.checked_sub(1);
        while let Some(prefix) = candidate.filter(|prefix| !form.starts_with(&sorted[*prefix])) {
            candidate = within[prefix];
        }
        within.push(candidate);
    }
    within
}

/// The first bytes of the forms, without those that begin with another head: a place where that one is found is
/// looked at in any case.
fn heads(sorted: &[Form]) -> Vec<&[u8]> {
    let mut heads: Vec<&[u8]> = Vec::new();
    for form in sorted {
        let head = &form[..form.len().min(HEAD_BYTES_MAX)];
        if heads.last().is_none_or(|last| !head.starts_with(last)) {
            heads.push(head);
        }
    }
    heads
}

fn searcher(heads: &[&[u8]]) -> AhoCorasick {
    AhoCorasick::builder()
        // The default kind gives up the vector search.
        .match_kind(MatchKind::LeftmostFirst)
        // The automaton is the vector search's understudy: a DFA would take ten times the memory and five times the
        // time to build.
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(heads)
        .expect("64 heads of 16 bytes are far below the automaton's limits")
}

/// The places in a text where any of the heads is found, in order.
struct Heads<'a> {
    text: &'a [u8],
    at: usize,
    /// Each searcher's next find: all it has to say before is known.
    next: Vec<(&'a AhoCorasick, Option<usize>)>,
}

impl<'a> Heads<'a> {
    fn new(searchers: &'a [AhoCorasick], text: &'a [u8]) -> Self {
        let next = searchers.iter().map(|searcher| (searcher, find_from(searcher, text, 0))).collect();
        Self { text, at: 0, next }
    }
}

impl Iterator for Heads<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        for (searcher, next) in &mut self.next {
            if next.is_some_and(|start| start < self.at) {
                *next = find_from(searcher, self.text, self.at);
            }
        }
        let start = self.next.iter().filter_map(|(_, next)| *next).min()?;
        self.at = start + 1;
        Some(start)
    }
}

fn find_from(searcher: &AhoCorasick, text: &[u8], at: usize) -> Option<usize> {
    searcher.find(Input::new(text).range(at..)).map(|found| found.start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_one_and_two_bytes_are_named() {
        let secrets = ["", "a", "abc", "ab\n", "\n"].map(Secret::new);
        assert_eq!(Masker::new(&secrets).too_short(), [1, 3]);
    }

    #[test]
    fn the_longest_form_is_found_however_many_there_are() {
        // Many that begin alike, and more that do not than one searcher takes.
        let alike = (100..400).map(|i| format!("a common beginning {i}"));
        let different = (100..400).map(|i| format!("{i} at the beginning"));
        let longer = ["a common beginning 12345".to_owned()];
        let secrets: Vec<Secret> = alike.chain(different).chain(longer).map(Secret::new).collect();
        let masker = Masker::new(&secrets);
        let text =
            "a common beginning 123456, a common beginning 399, a common beginning 99, 123 at the beginning";
        let found: Vec<&str> = masker.find(text.as_bytes(), text.len()).map(|range| &text[range]).collect();
        assert_eq!(found, ["a common beginning 12345", "a common beginning 399", "123 at the beginning"]);
        assert!(masker.searchers.len() > 1);
    }
}
