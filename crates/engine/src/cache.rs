//! Keeps payloads, one cell per (vault, resource, version), and sees to it that one fetch at a time is under way
//! for each.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;
use tracing::{debug, warn};
use vaultref_core::{Clock, Error, Moment, Payload, Reference, Resource, Secret, Version};

use crate::entry::{Decision, Entry, Policy, State};

type Hasher = foldhash::fast::RandomState;

/// What a payload is cached under: not the reference's key, so that all keys of a resource rotate together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CellKey {
    /// The opened vault: its name and effective options.
    pub vault: u64,
    /// The times may be set per reference, and are then kept apart.
    pub policy: Policy,
    pub resource: Resource,
    pub version: Option<Version>,
}

/// All cells, and the secrets that were selected out of them.
#[derive(Debug)]
pub(crate) struct Cache {
    cells: Mutex<HashMap<CellKey, Arc<Cell>, Hasher>>,
    /// Made with its first entry: that costs some 30 system calls, and a command that resolves each reference once
    /// never needs it.
    selected: OnceLock<papaya::HashMap<Reference, Selected, Hasher>>,
    /// How many there are of each, as far as inserting goes: counting the maps would walk them.
    selected_count: AtomicUsize,
    /// Counts the changes of any cell: while it stands still, nobody has to look whether theirs changed.
    epoch: Arc<AtomicU64>,
    entries_max: usize,
}

#[derive(Debug)]
struct Selected {
    secret: Secret,
    generation: u64,
    cell: Arc<Cell>,
    /// The epoch at which the cell was found to serve this without an end. It spares a look at the cell, which
    /// would cost more than all the rest: it is hardly ever in the processor's cache.
    lasting_at: AtomicU64,
}

/// No epoch is that high.
const NOT_LASTING: u64 = u64::MAX;

impl Cache {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            cells: Mutex::default(),
            selected: OnceLock::new(),
            selected_count: AtomicUsize::new(0),
            epoch: Arc::default(),
            entries_max,
        }
    }

    /// The secret of a reference that was resolved before, if its payload is still to be served unasked. This is
    /// the path of nearly every get: one look-up, no lock, and a look at the clock only where there is a ttl.
    pub(crate) fn selected(&self, reference: &Reference, clock: &dyn Clock) -> Option<Secret> {
        let selected = self.selected.get()?.pin();
        let found = selected.get(reference)?;
        // Read before the cell is: a change in between makes the next get look again.
        let epoch = self.epoch.load(Ordering::Acquire);
        if found.lasting_at.load(Ordering::Relaxed) == epoch {
            return Some(found.secret.clone());
        }
        if !found.cell.serves(found.generation, clock) {
            return None;
        }
        let lasting_at = if found.cell.is_lasting() { epoch } else { NOT_LASTING };
        found.lasting_at.store(lasting_at, Ordering::Relaxed);
        Some(found.secret.clone())
    }

    /// Remembers what was selected for a reference out of a cell's payload of that generation.
    pub(crate) fn remember(&self, reference: &Reference, secret: &Secret, generation: u64, cell: &Arc<Cell>) {
        let all = self.selected.get_or_init(|| papaya::HashMap::with_hasher(Hasher::default())).pin();
        // These cost nothing to make anew: when there are too many, all go, rather than each get paying for order.
        if self.selected_count.fetch_add(1, Ordering::Relaxed) >= self.entries_max {
            all.clear();
            self.selected_count.store(1, Ordering::Relaxed);
        }
        let selected = Selected {
            secret: secret.clone(),
            generation,
            cell: Arc::clone(cell),
            lasting_at: AtomicU64::new(NOT_LASTING),
        };
        all.insert(reference.clone(), selected);
    }

    /// The cell for a resource, made where there is none.
    pub(crate) fn cell(&self, key: CellKey, clock: &dyn Clock) -> Arc<Cell> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(&key) {
            return Arc::clone(cell);
        }
        if cells.len() >= self.entries_max {
            make_room(&mut cells, self.entries_max, clock.now());
        }
        Arc::clone(cells.entry(key).or_insert_with(|| Arc::new(Cell::new(Arc::clone(&self.epoch)))))
    }
}

/// Drops a tenth of the cells: those first that serve nothing any more, then those used least recently. A cell that is
/// watched or being fetched stays.
fn make_room(cells: &mut HashMap<CellKey, Arc<Cell>, Hasher>, entries_max: usize, now: Moment) {
    let mut idle: Vec<(bool, u64, CellKey)> = cells
        .iter()
        .filter(|(_, cell)| !cell.is_watched() && Arc::strong_count(cell) <= 2)
        .map(|(key, cell)| {
            let serves = matches!(cell.entry().state(now), State::Fresh | State::Due | State::Stale);
            (serves, cell.used_at.load(Ordering::Relaxed), key.clone())
        })
        .collect();
    idle.sort_unstable_by_key(|(serves, used_at, _)| (*serves, *used_at));
    let surplus = cells.len().saturating_sub(entries_max - entries_max / 10);
    for (_, _, key) in idle.into_iter().take(surplus.max(1)) {
        cells.remove(&key);
    }
}

/// The cached payload of one resource.
#[derive(Debug)]
pub(crate) struct Cell {
    /// The cache's.
    epoch: Arc<AtomicU64>,
    entry: Mutex<Entry>,
    /// Held by whoever fetches; those who wait for it share the result.
    flight: tokio::sync::Mutex<Option<(u64, Error)>>,
    /// Counts the fetches that ended, so that one who waited knows whether its question was answered meanwhile.
    attempts: AtomicU64,
    /// Until when the payload is served unasked, in nanoseconds of the clock.
    served_until: AtomicU64,
    used_at: AtomicU64,
    /// The payload's generation: counts those that differ from the one before.
    generation: AtomicU64,
    /// Tells watchers of each generation; made with the first of them.
    changed: OnceLock<watch::Sender<u64>>,
}

impl Cell {
    fn new(epoch: Arc<AtomicU64>) -> Self {
        Self {
            epoch,
            entry: Mutex::default(),
            flight: tokio::sync::Mutex::default(),
            attempts: AtomicU64::new(0),
            served_until: AtomicU64::new(0),
            used_at: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            changed: OnceLock::new(),
        }
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        // The entry is changed by assignments only: a panic elsewhere leaves it whole.
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serves(&self, generation: u64, clock: &dyn Clock) -> bool {
        let until = self.served_until.load(Ordering::Acquire);
        self.generation.load(Ordering::Acquire) == generation
            && (until == u64::MAX || until > 0 && clock.now().as_nanos() < until)
    }

    /// Whether the payload is served without an end, unless something changes.
    fn is_lasting(&self) -> bool {
        self.served_until.load(Ordering::Acquire) == u64::MAX
    }

    /// Whether a fetch has ended before.
    pub(crate) fn was_asked(&self) -> bool {
        self.attempts.load(Ordering::Relaxed) > 0
    }

    /// Hears of each new generation.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.get_or_init(|| watch::Sender::new(0)).subscribe()
    }

    fn is_watched(&self) -> bool {
        self.changed.get().is_some_and(|changed| changed.receiver_count() > 0)
    }

    /// The state at this moment.
    pub(crate) fn state(&self, now: Moment) -> State {
        self.entry().state(now)
    }

    /// The payload with its generation: from the cache where it may be served, else fetched. However many ask,
    /// `fetch` runs once at a time, and all who waited share what it gave.
    pub(crate) async fn get<F>(
        &self,
        policy: &Policy,
        clock: &dyn Clock,
        fetch: impl Fn() -> F,
    ) -> Result<(Payload, u64), Error>
    where
        F: Future<Output = Result<Payload, Error>>,
    {
        self.used_at.store(clock.now().as_nanos(), Ordering::Relaxed);
        let seen = self.attempts.load(Ordering::Acquire);
        if let Some(answer) = self.answer(clock.now()) {
            return answer;
        }
        let mut flight = self.flight.lock().await;
        if self.attempts.load(Ordering::Acquire) != seen {
            // A fetch ended since we asked. It was for us too, if it failed; if not, its payload is in the entry.
            if let Some(answer) = self.answer(clock.now()) {
                return answer;
            }
            if let Some((attempt, error)) = flight.as_ref().filter(|(attempt, _)| *attempt > seen) {
                debug!(attempt, kind = %error.kind(), "sharing a failed fetch");
                return Err(error.clone());
            }
        }
        let result = fetch().await;
        let attempt = self.attempts.fetch_add(1, Ordering::AcqRel) + 1;
        *flight = result.as_ref().err().map(|error| (attempt, error.clone()));
        self.settle(policy, clock.now(), result)
    }

    /// What the cache alone can answer.
    fn answer(&self, now: Moment) -> Option<Result<(Payload, u64), Error>> {
        match self.entry().decide(now) {
            Decision::Serve(payload) => Some(Ok((payload, self.generation.load(Ordering::Acquire)))),
            Decision::Refuse(error) => Some(Err(error)),
            Decision::Fetch => None,
        }
    }

    /// Takes the result of a fetch into the entry, and says what the one who asked gets.
    fn settle(
        &self,
        policy: &Policy,
        now: Moment,
        result: Result<Payload, Error>,
    ) -> Result<(Payload, u64), Error> {
        let mut entry = self.entry();
        let chance = spread(self.attempts.load(Ordering::Relaxed));
        let answer = match result {
            Ok(payload) => {
                let changed = entry.succeeded(now, payload.clone(), policy, chance);
                let generation = self.generation.load(Ordering::Acquire) + u64::from(changed);
                self.generation.store(generation, Ordering::Release);
                if let (true, Some(watchers)) = (changed, self.changed.get()) {
                    watchers.send_replace(generation);
                }
                Ok((payload, generation))
            }
            Err(error) => {
                let dropped = entry.failed(now, &error, policy, chance);
                if dropped {
                    warn!(kind = %error.kind(), "dropped a secret that could not be refreshed in time");
                }
                match entry.decide(now) {
                    Decision::Serve(payload) => {
                        warn!(kind = %error.kind(), "serving an old secret: refreshing it failed");
                        Ok((payload, self.generation.load(Ordering::Acquire)))
                    }
                    _ => Err(error),
                }
            }
        };
        self.served_until.store(entry.served_until(now).as_nanos(), Ordering::Release);
        self.epoch.fetch_add(1, Ordering::Release);
        answer
    }
}

/// A number from 0 to 1 that differs from cell to cell and from attempt to attempt. It spreads load; it need not be
/// hard to guess.
fn spread(attempt: u64) -> f64 {
    use std::hash::BuildHasher;
    (Hasher::default().hash_one(attempt) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use vaultref_core::{ErrorKind, ManualClock};

    fn policy(ttl: f64, neg_ttl: f64) -> Policy {
        Policy::from_seconds(Some(ttl), Some(neg_ttl), None)
    }

    /// Runs `asking` gets of one cell at once against a fetch that takes a moment; gives the number of fetches and
    /// of successes.
    async fn at_once(asking: usize, result: Result<Payload, Error>) -> (u64, usize) {
        let (cell, clock, fetches) = (Cell::new(Arc::default()), ManualClock::default(), AtomicU64::new(0));
        let gets = (0..asking).map(|_| {
            cell.get(
                &const { Policy { ttl: None, neg_ttl: None, resurrect_ttl: Duration::ZERO } },
                &clock,
                || async {
                    fetches.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    result.clone()
                },
            )
        });
        let results = futures_util::future::join_all(gets).await;
        (fetches.into_inner(), results.iter().filter(|result| result.is_ok()).count())
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cost_one_fetch_and_all_get_its_result() {
        assert_eq!(at_once(500, Ok(Payload::new("a"))).await, (1, 500));
        assert_eq!(at_once(500, Err(Error::new(ErrorKind::Unavailable, "down"))).await, (1, 0));
    }

    #[tokio::test]
    async fn a_get_that_is_dropped_leaves_the_fetch_to_the_next() {
        let (cell, clock) = (Cell::new(Arc::default()), ManualClock::default());
        let policy = policy(0.0, 0.0);
        let hangs = cell.get(&policy, &clock, std::future::pending);
        assert!(tokio::time::timeout(Duration::from_millis(1), hangs).await.is_err());
        let (payload, _) = cell.get(&policy, &clock, || async { Ok(Payload::new("a")) }).await.unwrap();
        assert!(payload == Payload::new("a"));
    }

    #[tokio::test]
    async fn an_old_payload_is_served_while_refreshing_fails_and_tries_are_spaced() {
        let (cell, clock) = (Cell::new(Arc::default()), ManualClock::default());
        let policy = policy(10.0, 0.0);
        let tries = AtomicU64::new(0);
        let fetch = |result: Result<Payload, Error>| {
            let tries = &tries;
            move || {
                tries.fetch_add(1, Ordering::Relaxed);
                std::future::ready(result.clone())
            }
        };
        cell.get(&policy, &clock, fetch(Ok(Payload::new("a")))).await.unwrap();
        clock.advance(Duration::from_secs(10));
        for _ in 0..100 {
            let down = Err(Error::new(ErrorKind::Unavailable, "down"));
            let (payload, generation) = cell.get(&policy, &clock, fetch(down)).await.unwrap();
            assert!(payload == Payload::new("a") && generation == 1);
        }
        assert_eq!(tries.load(Ordering::Relaxed), 2);
        clock.advance(Duration::from_secs(2));
        let (payload, generation) = cell.get(&policy, &clock, fetch(Ok(Payload::new("b")))).await.unwrap();
        assert!(payload == Payload::new("b") && generation == 2);
    }

    #[test]
    fn the_number_of_cells_is_bounded() {
        let (cache, clock) = (Cache::new(100), ManualClock::default());
        for number in 0..1000 {
            let resource = Resource::new(number.to_string()).unwrap();
            cache.cell(CellKey { vault: 0, policy: policy(0.0, 0.0), resource, version: None }, &clock);
            assert!(cache.cells.lock().unwrap().len() <= 100);
        }
    }
}
