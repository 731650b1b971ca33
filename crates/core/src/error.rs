//! What went wrong, by what the caller can do about it.

use std::fmt;
use std::sync::Arc;

/// The kinds of failure. One table maps each to a name, retry, exit code and HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The store has no such resource or version.
    NotFound,
    /// The resource is there, the key is not in it.
    KeyNotFound,
    /// The store knows us and says no.
    Denied,
    /// The store does not know us: no login, or one that has ended.
    Unauthenticated,
    /// The store asks us to slow down.
    RateLimited,
    /// The store cannot be reached, or says that it cannot answer now.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// The text is not a reference, or names a vault or version that cannot be.
    InvalidReference,
    /// A setting, a vault's option or an input file cannot be used as it is.
    InvalidConfig,
    /// What the store returned is not what it should be: not JSON where a key was asked for, bad base64.
    Corrupt,
    /// A fault of vaultref or its surroundings.
    Internal,
}

impl ErrorKind {
    /// All kinds, in the order of the manual.
    pub const ALL: [Self; 11] = [
        Self::NotFound,
        Self::KeyNotFound,
        Self::Denied,
        Self::Unauthenticated,
        Self::RateLimited,
        Self::Unavailable,
        Self::Timeout,
        Self::InvalidReference,
        Self::InvalidConfig,
        Self::Corrupt,
        Self::Internal,
    ];

    /// The table: name, whether trying again can help, exit code, HTTP status.
    const fn row(self) -> (&'static str, bool, u8, u16) {
        match self {
            Self::NotFound => ("NotFound", false, 3, 404),
            Self::KeyNotFound => ("KeyNotFound", false, 4, 404),
            Self::Denied => ("Denied", false, 5, 403),
            Self::Unauthenticated => ("Unauthenticated", false, 6, 502),
            Self::RateLimited => ("RateLimited", true, 7, 503),
            Self::Unavailable => ("Unavailable", true, 8, 503),
            Self::Timeout => ("Timeout", true, 9, 504),
            Self::InvalidReference => ("InvalidReference", false, 10, 400),
            Self::InvalidConfig => ("InvalidConfig", false, 11, 500),
            Self::Corrupt => ("Corrupt", false, 12, 502),
            Self::Internal => ("Internal", false, 13, 500),
        }
    }

    /// The kind's name, as it appears in JSON output and in the manual.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub const fn is_retryable(self) -> bool {
        self.row().1
    }

    /// The process's exit status.
    pub const fn exit_code(self) -> u8 {
        self.row().2
    }

    /// The status of an HTTP answer.
    pub const fn http_status(self) -> u16 {
        self.row().3
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure: its kind, a lower-case message, the reference it is about, and a way out.
///
/// No part of it ever holds a secret. Clones are cheap, because all who wait for one fetch get the same error.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    reference: Option<String>,
    hint: Option<String>,
}

impl Error {
    /// A failure of this kind. The message is a lower-case fragment without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), reference: None, hint: None }))
    }

    /// Adds the way out: what the reader can do.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        self.change(|inner| inner.hint = Some(hint.into()))
    }

    /// Adds the reference this is about, unless one is there already: the innermost knows best.
    pub fn with_reference(self, reference: impl fmt::Display) -> Self {
        if self.0.reference.is_some() {
            return self;
        }
        self.change(|inner| inner.reference = Some(reference.to_string()))
    }

    /// Puts `context` and a colon before the message.
    pub fn within(self, context: impl fmt::Display) -> Self {
        self.change(|inner| inner.message = format!("{context}: {}", inner.message))
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without reference and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The reference this is about, where there is one.
    pub fn reference(&self) -> Option<&str> {
        self.0.reference.as_deref()
    }

    /// What the reader can do, where that is known.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(reference) = &self.0.reference {
            write!(f, " [{reference}]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.kind())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_its_own_exit_code_clear_of_those_of_shells_and_usage() {
        let codes: HashSet<u8> = ErrorKind::ALL.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        assert!(codes.iter().all(|code| (3..=63).contains(code)));
    }

    #[test]
    fn an_error_reads_message_then_reference() {
        let error = Error::new(ErrorKind::NotFound, "variable `X` is not set")
            .with_reference("{vault://env/x}")
            .with_reference("{vault://outer/y}")
            .within("vault `env`");
        assert_eq!(error.to_string(), "vault `env`: variable `X` is not set [{vault://env/x}]");
    }
}
