//! What a backend returned for one resource: the whole of it, before a key is picked out.

use std::time::Duration;

use crate::Secret;

/// The bytes of one resource, and how long the store lends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    secret: Secret,
    lease: Option<Duration>,
}

impl Payload {
    /// A payload without a lease: its age is judged by the vault's `ttl` alone.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { secret: Secret::new(bytes), lease: None }
    }

    /// Says that the store itself ends the payload's life after `lease`; this overrides the vault's `ttl`.
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// The whole payload as a secret: what a reference without a key gets.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// How long the store lends the payload, counted from the fetch.
    pub fn lease(&self) -> Option<Duration> {
        self.lease
    }
}
