//! One token, and how long it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vaultref_core::{Moment, Secret};

use super::api::Auth;

/// How long after its first use a token that was given is renewed: a program that runs once never does that.
const GIVEN_RENEWED_AFTER: Duration = Duration::from_secs(60);

/// A token of one login. What is said about it in logs is its accessor.
#[derive(Clone)]
pub(super) struct Token {
    pub secret: Secret,
    /// Counts the logins: tells one token from the one before it.
    pub number: u64,
    /// Names the token in logs; empty where there is none.
    pub accessor: String,
    pub policies: Vec<String>,
    /// Whether the login was ours: then the token is ours to renew and to revoke.
    pub ours: bool,
    /// Whether its number of uses is limited: then none is spent on anything but what was asked for.
    pub limited: bool,
    /// How often it may still be used, where that is known and limited.
    pub uses_left: Option<Arc<AtomicU64>>,
    pub renewable: bool,
    pub renew_at: Moment,
    pub ends_at: Moment,
}

impl Token {
    /// The token of a login, one use of which is the caller's already.
    pub(super) fn new(auth: Auth, number: u64, now: Moment) -> Self {
        let lease = Duration::from_secs(auth.lease_duration);
        let (renew_at, ends_at) = match lease.is_zero() {
            true => (Moment::NEVER, Moment::NEVER),
            false => (now.after(lease / 3 * 2), now.after(lease)),
        };
        let limited = auth.num_uses > 0;
        Self {
            secret: auth.client_token.0,
            number,
            accessor: auth.accessor,
            policies: auth.policies.unwrap_or_default(),
            ours: true,
            limited,
            uses_left: limited.then(|| Arc::new(AtomicU64::new(auth.num_uses - 1))),
            // That would cost one of its uses.
            renewable: auth.renewable && !limited,
            renew_at,
            ends_at,
        }
    }

    /// Of a token that was given, nothing is known until it is renewed: asking would cost one of its uses.
    pub(super) fn given(secret: Secret, number: u64, now: Moment) -> Self {
        Self {
            secret,
            number,
            accessor: String::new(),
            policies: Vec::new(),
            ours: false,
            limited: false,
            uses_left: None,
            renewable: true,
            renew_at: now.after(GIVEN_RENEWED_AFTER),
            ends_at: Moment::NEVER,
        }
    }

    /// Takes one of the uses of the token; says no when there is none left.
    pub(super) fn take_use(&self) -> bool {
        let Some(left) = &self.uses_left else { return true };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Whether it can no longer be used, though it may not have ended.
    pub(super) fn is_used_up(&self) -> bool {
        self.uses_left.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) == 0)
    }

    /// How long the token will live for certain; what is lent to it lives no longer.
    pub(super) fn certain_life(&self, now: Moment) -> Option<Duration> {
        (!self.renewable && self.ends_at != Moment::NEVER).then(|| self.ends_at.since(now))
    }
}
