//! Keeps a secret that became an option of a vault out of what the vault's backend says.
//!
//! A backend names its options in messages, `prefix` above all: they are configuration. Where the value came out of a
//! reference, it may be a secret all the same, and the backend cannot know.

use vaultref_core::schema::{OptionValue, OptionValues};
use vaultref_core::{Error, Secret, scan};
use zeroize::Zeroizing;

use crate::vaults::{EffectiveOption, texts};

/// Shorter values stay: they would be found in half of all words, and say little.
const VALUE_BYTES_MIN: usize = 3;

/// The values of options that came out of references.
pub(crate) struct Hidden(Vec<Secret>);

impl Hidden {
    /// Takes those of `values` that were written with a reference in them.
    pub(crate) fn new(options: &[&EffectiveOption], values: &OptionValues) -> Self {
        let refers = |option: &&&EffectiveOption| {
            texts(&option.raw).iter().any(|text| scan::contains(text.as_bytes()))
        };
        let referring = options.iter().filter(refers);
        let value = |option: &&EffectiveOption| match values.get(option.spec.name) {
            Some(OptionValue::Text(text)) => vec![Secret::new(text.as_str())],
            Some(OptionValue::Secret(secret)) => vec![secret.clone()],
            Some(OptionValue::List(items)) => items.iter().map(|item| Secret::new(item.as_str())).collect(),
            _ => Vec::new(),
        };
        let secrets = referring.flat_map(value).filter(|secret| secret.expose().len() >= VALUE_BYTES_MIN);
        Self(secrets.collect())
    }

    /// The error without them.
    pub(crate) fn in_error(&self, error: Error) -> Error {
        if self.0.is_empty() {
            return error;
        }
        let hidden = Error::new(error.kind(), self.in_text(error.message()));
        match error.hint() {
            Some(hint) => hidden.with_hint(self.in_text(hint)),
            None => hidden,
        }
    }

    fn in_text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            let value = folded(secret.expose());
            let mut from = 0;
            while let Some(at) = memchr::memmem::find(&folded(text.as_bytes())[from..], &value) {
                let range = from + at..from + at + value.len();
                // A value that begins or ends within a character of the message is none of its parts.
                if text.get(range.clone()).is_some() {
                    text.replace_range(range, "[secret]");
                    from += at + "[secret]".len();
                } else {
                    from += at + 1;
                }
            }
        }
        text
    }
}

/// The bytes as a backend may write them: `env` turns a prefix into upper case, and `-` into `_`.
fn folded(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let fold = |byte: &u8| if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    Zeroizing::new(bytes.iter().map(fold).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vaultref_core::ErrorKind;

    #[test]
    fn a_value_is_hidden_wherever_and_however_it_is_written() {
        let hidden = Hidden(vec![Secret::new("/run/My-Secret"), Secret::new("é!x")]);
        let error = Error::new(ErrorKind::NotFound, "no file `a` in `/run/My-Secret` (/RUN/MY_SECRET/é!x)")
            .with_hint("/run/My-Secret/run/My-Secret");
        let error = hidden.in_error(error);
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.message(), "no file `a` in `[secret]` ([secret]/[secret])");
        assert_eq!(error.hint(), Some("[secret][secret]"));
    }
}
