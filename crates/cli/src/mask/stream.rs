//! Masks one stream that arrives in chunks, and holds back no more than what could still become a secret.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Masker, PLACEHOLDER};

/// One stream on its way through a [`Masker`]. In whatever chunks a text is pushed, the output is the same.
pub(crate) struct MaskStream {
    masker: Arc<Masker>,
    /// What has not been written yet: an end that is the beginning of a form.
    held: Zeroizing<Vec<u8>>,
    /// How many of the held bytes belong to an occurrence whose placeholder has been written.
    masked: usize,
}

impl MaskStream {
    /// The beginning of a stream.
    pub(crate) fn new(masker: Arc<Masker>) -> Self {
        Self { masker, held: Zeroizing::default(), masked: 0 }
    }

    /// Takes a chunk, and appends to `out` what can be said so far.
    pub(crate) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(chunk);
        // A place before the open end cannot become anything else than it is: were the text from there on the
        // beginning of a longer form, the open end would start there.
        self.write(self.masker.open_end(&self.held), out);
    }

    /// Appends to `out` what was held back. After it, a new text begins: at the end of the stream, or where the wait
    /// for the rest of a secret has been long enough.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        self.write(self.held.len(), out);
    }

    /// How many bytes are held back.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Moves the first `end` held bytes to `out`, masked.
    fn write(&mut self, end: usize, out: &mut Vec<u8>) {
        let mut written = self.masked;
        for found in self.masker.find(&self.held, end) {
            if found.start >= written {
                out.extend_from_slice(&self.held[written..found.start]);
                out.extend_from_slice(PLACEHOLDER);
            }
            written = written.max(found.end);
        }
        if written < end {
            out.extend_from_slice(&self.held[written..end]);
        }
        self.masked = written.saturating_sub(end);
        self.held.drain(..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use vaultref_core::Secret;

    fn stream(secrets: &[&[u8]]) -> MaskStream {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        MaskStream::new(Arc::new(Masker::new(&secrets)))
    }

    fn mask(secrets: &[&[u8]], chunks: &[&[u8]]) -> String {
        let (mut stream, mut out) = (stream(secrets), Vec::new());
        for chunk in chunks {
            stream.push(chunk, &mut out);
        }
        stream.flush(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_secret_is_masked_wherever_the_chunks_end() {
        for (secrets, chunks, expected) in [
            (vec!["hunter2"], vec!["pw=hunter2\n"], "pw=[secret]\n"),
            (vec!["hunter2"], vec!["pw=hun", "ter2\n"], "pw=[secret]\n"),
            (vec!["hunter2"], vec!["h", "u", "n", "t", "e", "r", "2"], "[secret]"),
            (vec!["hunter2"], vec!["hunter", "hunter2"], "hunter[secret]"),
            (vec!["hunter2"], vec!["pw=hun"], "pw=hun"),
            (vec!["hunter2", "hunter2hunter3"], vec!["hunter2hun", "ter3!"], "[secret]!"),
            (vec!["hunter2", "hunter2hunter3"], vec!["hunter2hun", "!"], "[secret]hun!"),
            (vec!["abcd", "cdef"], vec!["abcdef"], "[secret]"),
            (vec!["abcd", "cdef"], vec!["abcd", "ef"], "[secret]"),
            (vec!["abcd", "cdef"], vec!["abcde", "abcd"], "[secret]e[secret]"),
            (vec!["aaa"], vec!["aaaa", "aaaa", "b"], "[secret]b"),
            (vec!["abc"], vec!["abc", "abc"], "[secret][secret]"),
            (vec![], vec!["anything", " goes"], "anything goes"),
        ] {
            let secrets: Vec<&[u8]> = secrets.into_iter().map(str::as_bytes).collect();
            let chunks: Vec<&[u8]> = chunks.into_iter().map(str::as_bytes).collect();
            assert_eq!(mask(&secrets, &chunks), expected, "{chunks:?}");
        }
    }

    #[test]
    fn only_the_beginning_of_a_secret_is_held_back() {
        for (text, written, held) in [
            ("Password: ", "Password: ", 0),
            ("the hunter", "the ", 6),
            ("hunter1", "hunter1", 0),
            ("hunter2", "[secret]", 0),
            ("no newline > h", "no newline > ", 1),
        ] {
            let (mut stream, mut out) = (stream(&[b"hunter2"]), Vec::new());
            stream.push(text.as_bytes(), &mut out);
            assert_eq!(
                (String::from_utf8_lossy(&out).as_ref(), stream.held_bytes()),
                (written, held),
                "{text}"
            );
        }
    }

    #[test]
    fn after_a_flush_a_new_text_begins() {
        let (mut stream, mut out) = (stream(&[b"hunter2"]), Vec::new());
        stream.push(b"hunt", &mut out);
        stream.flush(&mut out);
        stream.push(b"er2 hunter2", &mut out);
        assert_eq!(out, b"hunter2 [secret]");
    }

    /// What has to come out, in the plainest way: mark each byte of each occurrence, then write the text.
    fn expected(masker: &Masker, text: &[u8]) -> Vec<u8> {
        let (mut out, mut masked_until) = (Vec::new(), 0);
        for start in 0..text.len() {
            let here = masker
                .forms
                .iter()
                .filter(|form| text[start..].starts_with(form))
                .map(|form| form.len())
                .max();
            if let Some(bytes) = here {
                if start >= masked_until {
                    out.extend_from_slice(PLACEHOLDER);
                }
                masked_until = masked_until.max(start + bytes);
            }
            if start >= masked_until {
                out.push(text[start]);
            }
        }
        out
    }

    /// Few letters, so that secrets overlap each other and themselves, and begin in many places of the text.
    fn secrets() -> impl Strategy<Value = Vec<Vec<u8>>> {
        vec(prop_oneof![vec(b'a'..=b'c', 0..8), vec(any::<u8>(), 0..40)], 0..6)
    }

    /// A piece of the text: a form of a secret, the beginning or the end of one, or anything.
    #[derive(Debug, Clone)]
    enum Piece {
        Form(prop::sample::Index, prop::sample::Index, prop::sample::Index),
        Letters(Vec<u8>),
        Bytes(Vec<u8>),
    }

    fn pieces() -> impl Strategy<Value = Vec<Piece>> {
        let index = any::<prop::sample::Index>;
        vec(
            prop_oneof![
                (index(), index(), index()).prop_map(|(form, from, to)| Piece::Form(form, from, to)),
                vec(b'a'..=b'c', 0..12).prop_map(Piece::Letters),
                vec(any::<u8>(), 0..12).prop_map(Piece::Bytes),
            ],
            0..12,
        )
    }

    fn text(masker: &Masker, pieces: Vec<Piece>) -> Vec<u8> {
        let mut text = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Form(..) if masker.forms.is_empty() => {}
                Piece::Form(form, from, to) => {
                    let form = &masker.forms[form.index(masker.forms.len())];
                    // Two draws out of three are whole forms.
                    let from = from.index(form.len() * 3).saturating_sub(form.len() * 2);
                    let to = form.len() - to.index(form.len() * 3).saturating_sub(form.len() * 2);
                    text.extend_from_slice(form.get(from..to).unwrap_or(form));
                }
                Piece::Letters(bytes) | Piece::Bytes(bytes) => text.extend(bytes),
            }
        }
        text
    }

    proptest! {
        #[test]
        fn every_byte_of_every_form_is_masked_in_whatever_chunks_it_comes(
            secrets in secrets(), pieces in pieces(), sizes in vec(1usize..20, 1..8),
        ) {
            let secrets: Vec<Secret> = secrets.into_iter().map(Secret::new).collect();
            let masker = Arc::new(Masker::new(&secrets));
            let text = text(&masker, pieces);

            let (mut stream, mut out, mut rest) = (MaskStream::new(masker.clone()), Vec::new(), text.as_slice());
            for size in sizes.into_iter().cycle() {
                let (chunk, later) = rest.split_at(size.min(rest.len()));
                stream.push(chunk, &mut out);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            stream.flush(&mut out);
            prop_assert_eq!(&out, &expected(&masker, &text));

            // A form that is made of the placeholder's own letters can be found in the output by chance.
            for form in masker.forms.iter().filter(|form| !form.iter().any(|byte| PLACEHOLDER.contains(byte))) {
                prop_assert!(!out.windows(form.len()).any(|window| window == form.as_slice()));
            }
        }

        #[test]
        fn text_without_secrets_is_left_as_it_is(text in vec(b'k'..=b'z', 0..200), size in 1usize..20) {
            let (mut stream, mut out) = (stream(&[b"klmnA", b"zzzzzzz?", b"\xffkk"]), Vec::new());
            for chunk in text.chunks(size) {
                stream.push(chunk, &mut out);
            }
            stream.flush(&mut out);
            prop_assert_eq!(out, text);
        }
    }
}
