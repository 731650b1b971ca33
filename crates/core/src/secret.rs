//! A value that must not be seen: zeroized on drop, never printed, compared in constant time.

use std::fmt;
use std::str::Utf8Error;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What the user gets for a reference: any bytes, mostly text. Clones share one buffer.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// Takes the bytes over; the buffer is zeroized when the last clone is dropped.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.into())))
    }

    /// The value itself. Every call is a place where a secret leaves its wrapping: read it out loud in review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value as text. The error says where the first byte that is not UTF-8 stands, not what it is.
    pub fn expose_str(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.0)
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_a_placeholder_however_it_is_wrapped() {
        let wrapped = Some(vec![Secret::new("hunter2")]);
        assert_eq!(format!("{wrapped:?}"), "Some([[secret]])");
    }

    #[test]
    fn secrets_are_equal_by_value() {
        assert_eq!(Secret::new("a"), Secret::new(b"a".to_vec()));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }
}
