//! Remembers what the server lent, so that it can be given back at the end.

use std::sync::{Mutex, PoisonError};

use vaultref_core::{Moment, Secret};

/// So many leases are remembered; those beyond end by themselves.
const LEASES_MAX: usize = 10_000;

/// The leases that are not over.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<Vec<Lease>>);

#[derive(Debug)]
pub(super) struct Lease {
    /// Whoever knows it can revoke the lease, given the right: it is kept like a secret.
    pub id: Secret,
    /// The number of the token that it hangs on.
    pub token: u64,
    ends_at: Moment,
}

impl Leases {
    /// Takes a lease in; those that are over by now go.
    pub(super) fn add(&self, id: &str, token: u64, ends_at: Moment, now: Moment) {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leases.retain(|lease| now < lease.ends_at);
        if leases.len() < LEASES_MAX {
            leases.push(Lease { id: Secret::new(id), token, ends_at });
        }
    }

    /// Whether one is not over yet.
    pub(super) fn any(&self, now: Moment) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|lease| now < lease.ends_at)
    }

    /// Hands out all that are not over.
    pub(super) fn take(&self, now: Moment) -> Vec<Lease> {
        let mut leases = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        leases.retain(|lease| now < lease.ends_at);
        leases
    }
}
