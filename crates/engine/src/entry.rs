//! Decides, for one cached payload and a moment in time, whether to serve, refresh or drop it.
//!
//! Pure: no clock, no I/O, no randomness of its own. The rules and Kong's defects that they avoid are in
//! `docs/ttl.md`.

use std::time::Duration;

use vaultref_core::schema::TTL_MAX_SECONDS;
use vaultref_core::{Error, ErrorKind, Moment, Payload};

/// The wait after the first failed refresh; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest wait between two attempts to refresh.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Refreshing starts early by up to this part of the ttl.
const JITTER: f64 = 0.1;

/// The three times that govern a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// After this a payload is due for refresh; `None`: never by time.
    pub ttl: Option<Duration>,
    /// For this long a "not found" is remembered; `None`: not at all.
    pub neg_ttl: Option<Duration>,
    /// For this long after its ttl a payload is served while refreshing it fails.
    pub resurrect_ttl: Duration,
}

impl Policy {
    /// From the options' seconds. Unset or 0 means "never" for `ttl` and "not at all" for `neg_ttl`.
    pub fn from_seconds(ttl: Option<f64>, neg_ttl: Option<f64>, resurrect_ttl: Option<f64>) -> Self {
        let duration = |seconds: f64| Duration::from_secs_f64(seconds.clamp(0.0, TTL_MAX_SECONDS));
        let positive = |seconds: Option<f64>| seconds.filter(|seconds| *seconds > 0.0).map(duration);
        Self {
            ttl: positive(ttl),
            neg_ttl: positive(neg_ttl),
            resurrect_ttl: duration(resurrect_ttl.unwrap_or(TTL_MAX_SECONDS)),
        }
    }
}

/// How old a cached payload is, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing is cached.
    Absent,
    /// Younger than its ttl.
    Fresh,
    /// About to reach its ttl, or past it and not tried yet.
    Due,
    /// Past its ttl, refreshing fails, within the resurrect ttl.
    Stale,
    /// Past the resurrect ttl: no longer served.
    Gone,
}

/// What to do for one get.
#[derive(Debug, Clone)]
pub(crate) enum Decision {
    /// The cached payload is good, or as good as it gets until the next attempt is due.
    Serve(Payload),
    /// Ask the store.
    Fetch,
    /// The store said "not found" a short while ago.
    Refuse(Error),
}

/// The cached state of one resource.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    held: Option<Held>,
    refused: Option<(Error, Moment)>,
}

#[derive(Debug)]
struct Held {
    payload: Payload,
    refresh_at: Moment,
    due_at: Moment,
    gone_at: Moment,
    failures: u32,
    retry_at: Moment,
}

impl Entry {
    /// In which state the entry is at this moment.
    pub(crate) fn state(&self, now: Moment) -> State {
        match &self.held {
            None => State::Absent,
            Some(held) if now >= held.gone_at => State::Gone,
            Some(held) if now >= held.due_at && held.failures > 0 => State::Stale,
            Some(held) if now >= held.refresh_at => State::Due,
            Some(_) => State::Fresh,
        }
    }

    /// What to do for a get at this moment.
    pub(crate) fn decide(&self, now: Moment) -> Decision {
        match (self.state(now), &self.held) {
            (State::Fresh, Some(held)) => Decision::Serve(held.payload.clone()),
            (State::Due | State::Stale, Some(held)) if now < held.retry_at => {
                Decision::Serve(held.payload.clone())
            }
            (State::Due | State::Stale, _) => Decision::Fetch,
            _ => match &self.refused {
                Some((error, until)) if now < *until => Decision::Refuse(error.clone()),
                _ => Decision::Fetch,
            },
        }
    }

    /// Until when [`Entry::decide`] answers `Serve` without being asked again; `START` when it does not now.
    pub(crate) fn served_until(&self, now: Moment) -> Moment {
        match &self.held {
            Some(held) if self.state(now) == State::Fresh => held.refresh_at,
            Some(held) if now < held.gone_at && now < held.retry_at => held.retry_at.min(held.gone_at),
            _ => Moment::START,
        }
    }

    /// Takes a fetched payload in. `chance` from 0 to 1 spreads the refreshes of many. Says whether the payload
    /// differs from the one before.
    pub(crate) fn succeeded(&mut self, now: Moment, payload: Payload, policy: &Policy, chance: f64) -> bool {
        // A lease of no length is no lease.
        let lease = payload.lease().filter(|lease| !lease.is_zero());
        let due_at = lease.or(policy.ttl).map_or(Moment::NEVER, |life| now.after(life));
        let early = match (lease, policy.ttl) {
            // The store ends the payload's life: two thirds of the way leave time for some attempts.
            (Some(lease), _) => lease / 3,
            (None, Some(ttl)) => ttl.mul_f64(JITTER * chance.clamp(0.0, 1.0)),
            (None, None) => Duration::ZERO,
        };
        let refresh_at = match due_at {
            Moment::NEVER => Moment::NEVER,
            due_at => Moment::from_nanos(due_at.as_nanos().saturating_sub(nanos(early))),
        };
        let changed = self.held.as_ref().is_none_or(|held| held.payload.secret() != payload.secret());
        let gone_at = due_at.after(policy.resurrect_ttl);
        self.held = Some(Held { payload, refresh_at, due_at, gone_at, failures: 0, retry_at: Moment::START });
        self.refused = None;
        changed
    }

    /// Takes a failed fetch in. A payload that is still within its times stays, whatever the failure: deleted
    /// upstream is a failed refresh too. Says whether a payload was dropped.
    pub(crate) fn failed(&mut self, now: Moment, error: &Error, policy: &Policy, chance: f64) -> bool {
        let gone = self.state(now) == State::Gone;
        if gone {
            self.held = None;
        }
        match &mut self.held {
            Some(held) => {
                let doubled = BACKOFF_FIRST.saturating_mul(1 << held.failures.min(16));
                held.failures = held.failures.saturating_add(1);
                // Half of the wait is random, so that many clients of one store do not come back at once.
                held.retry_at =
                    now.after(doubled.min(BACKOFF_MAX).mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0)));
            }
            None => {
                let remembered = policy.neg_ttl.filter(|_| error.kind() == ErrorKind::NotFound);
                self.refused = remembered.map(|neg_ttl| (error.clone(), now.after(neg_ttl)));
            }
        }
        gone
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to an entry, at which second, and the state after it.
    enum Step {
        /// A fetch returns this.
        Ok(&'static str),
        /// A fetch fails.
        Fails(ErrorKind),
        /// A get: the text that is served, or what else is decided.
        Get(&'static str),
    }
    use Step::{Fails, Get, Ok as Fetched};

    fn policy(ttl: f64, neg_ttl: f64, resurrect_ttl: Option<f64>) -> Policy {
        Policy::from_seconds(Some(ttl), Some(neg_ttl), resurrect_ttl)
    }

    fn check(name: &str, policy: Policy, steps: &[(u64, Step, State)]) {
        let mut entry = Entry::default();
        for (index, (second, step, expected)) in steps.iter().enumerate() {
            let now = Moment::START.after(Duration::from_secs(*second));
            match step {
                Fetched(text) => drop(entry.succeeded(now, Payload::new(*text), &policy, 0.0)),
                Fails(kind) => drop(entry.failed(now, &Error::new(*kind, "no"), &policy, 1.0)),
                Get(expected) => {
                    let text = |payload: &Payload| payload.secret().expose_str().unwrap().to_owned();
                    let seen = match entry.decide(now) {
                        Decision::Serve(payload) => text(&payload),
                        Decision::Fetch => "fetch".to_owned(),
                        Decision::Refuse(error) => error.kind().name().to_owned(),
                    };
                    assert_eq!(seen, *expected, "{name}, step {index}");
                }
            }
            assert_eq!(entry.state(now), *expected, "{name}, step {index}");
        }
    }

    #[test]
    fn a_payload_goes_from_fresh_to_due_to_stale_to_gone() {
        check(
            "life",
            policy(60.0, 0.0, Some(100.0)),
            &[
                (0, Get("fetch"), State::Absent),
                (0, Fetched("a"), State::Fresh),
                (59, Get("a"), State::Fresh),
                (60, Get("fetch"), State::Due),
                (60, Fails(ErrorKind::Unavailable), State::Stale),
                (60, Get("a"), State::Stale),
                (61, Get("fetch"), State::Stale),
                (159, Get("fetch"), State::Stale),
                (160, Get("fetch"), State::Gone),
                (160, Fails(ErrorKind::Unavailable), State::Absent),
                (161, Fetched("b"), State::Fresh),
            ],
        );
    }

    #[test]
    fn unset_and_zero_ttl_mean_never_by_time() {
        for ttl in [None, Some(0.0)] {
            check(
                "no ttl",
                Policy::from_seconds(ttl, None, None),
                &[(0, Fetched("a"), State::Fresh), (1_000_000_000, Get("a"), State::Fresh)],
            );
        }
    }

    #[test]
    fn a_short_ttl_is_as_long_as_it_says() {
        // Kong works in steps of 60 s and gives up resurrection where ttl + resurrect_ttl is at most 120 s.
        check(
            "short",
            policy(10.0, 0.0, Some(10.0)),
            &[
                (0, Fetched("a"), State::Fresh),
                (10, Get("fetch"), State::Due),
                (10, Fails(ErrorKind::Unavailable), State::Stale),
                (19, Get("fetch"), State::Stale),
                (20, Get("fetch"), State::Gone),
            ],
        );
    }

    #[test]
    fn deleted_upstream_never_replaces_a_good_value_within_its_times() {
        check(
            "deleted",
            policy(10.0, 100.0, Some(50.0)),
            &[
                (0, Fetched("a"), State::Fresh),
                (10, Fails(ErrorKind::NotFound), State::Stale),
                (30, Fails(ErrorKind::NotFound), State::Stale),
                (59, Get("fetch"), State::Stale),
                (60, Get("fetch"), State::Gone),
                (60, Fails(ErrorKind::NotFound), State::Absent),
                (61, Get("NotFound"), State::Absent),
            ],
        );
    }

    #[test]
    fn not_found_is_remembered_for_neg_ttl_and_other_failures_are_not() {
        check(
            "neg_ttl",
            policy(0.0, 30.0, None),
            &[
                (0, Fails(ErrorKind::NotFound), State::Absent),
                (29, Get("NotFound"), State::Absent),
                (30, Get("fetch"), State::Absent),
                (30, Fails(ErrorKind::Unavailable), State::Absent),
                (30, Get("fetch"), State::Absent),
            ],
        );
        check(
            "no neg_ttl",
            policy(0.0, 0.0, None),
            &[(0, Fails(ErrorKind::NotFound), State::Absent), (0, Get("fetch"), State::Absent)],
        );
    }

    #[test]
    fn failed_refreshes_back_off_up_to_a_minute() {
        let mut entry = Entry::default();
        let policy = policy(10.0, 0.0, None);
        entry.succeeded(Moment::START, Payload::new("a"), &policy, 0.0);
        let now = Moment::START.after(Duration::from_secs(10));
        let mut waits = Vec::new();
        for _ in 0..9 {
            entry.failed(now, &Error::new(ErrorKind::Timeout, "no"), &policy, 1.0);
            waits.push(entry.served_until(now).since(now).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn refreshes_start_early_by_up_to_a_tenth_of_the_ttl() {
        for (chance, expected) in [(0.0, 100), (0.5, 95), (1.0, 90)] {
            let mut entry = Entry::default();
            entry.succeeded(Moment::START, Payload::new("a"), &policy(100.0, 0.0, None), chance);
            assert_eq!(entry.served_until(Moment::START).since(Moment::START).as_secs(), expected);
        }
    }

    #[test]
    fn a_lease_overrides_the_ttl_and_is_refreshed_at_two_thirds() {
        let mut entry = Entry::default();
        let payload = Payload::new("a").with_lease(Duration::from_secs(90));
        entry.succeeded(Moment::START, payload, &policy(10.0, 0.0, None), 0.7);
        assert_eq!(entry.served_until(Moment::START).since(Moment::START).as_secs(), 60);
    }

    #[test]
    fn an_equal_payload_is_no_change() {
        let mut entry = Entry::default();
        let policy = policy(10.0, 0.0, None);
        assert!(entry.succeeded(Moment::START, Payload::new("a"), &policy, 0.0));
        assert!(!entry.succeeded(Moment::START, Payload::new("a"), &policy, 0.0));
        assert!(entry.succeeded(Moment::START, Payload::new("b"), &policy, 0.0));
    }

    #[test]
    fn its_debug_output_shows_no_payload() {
        let mut entry = Entry::default();
        entry.succeeded(Moment::START, Payload::new("hunter2"), &policy(10.0, 0.0, None), 0.0);
        let shown = format!("{entry:?}");
        assert!(shown.contains("[secret]") && !shown.contains("hunter2"), "{shown}");
    }
}
