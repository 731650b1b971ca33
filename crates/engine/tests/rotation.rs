//! Secrets that change while the program runs: when a new one is seen, and who is told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;
#[path = "common/store.rs"]
mod store;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use vaultref::entry::State;
use vaultref::{Engine, ErrorKind, Reference, Secret};
use vaultref_core::ManualClock;

use common::{got, told};
use store::Store;

/// A store, an engine that reads it under these settings, and the clock of both.
struct Scene {
    store: Arc<Store>,
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
}

impl Scene {
    fn new(name: &str, settings: &str) -> Self {
        let clock = Arc::<ManualClock>::default();
        let (store, builder) = Store::new(name, settings);
        Self { store, engine: Arc::new(builder.clock(clock.clone()).build().unwrap()), clock }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// What a get gives, and how many fetches it cost.
    async fn get(&self, reference: &str) -> (Result<String, String>, usize) {
        let result = got(&self.engine, reference).await;
        (result, self.store.fetched().len())
    }

    async fn state(&self, reference: &str) -> State {
        self.engine.state(&reference.parse().unwrap()).await.unwrap()
    }

    fn cached(&self, reference: &str) -> Option<Secret> {
        self.engine.cached(&reference.parse::<Reference>().unwrap())
    }
}

fn ok(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn failed(kind: &str) -> Result<String, String> {
    Err(format!("{kind}: vault `store`: refused"))
}

const A: &str = "{vault://store/a}";

#[tokio::test]
async fn a_changed_value_is_seen_by_the_first_get_after_the_ttl() {
    let scene = Scene::new("ttl", "vault_store_ttl = 60");
    scene.store.answers("a", Ok("old"));
    assert_eq!(scene.get(A).await, (ok("old"), 1));
    assert_eq!(scene.get(A).await, (ok("old"), 0));
    scene.store.answers("a", Ok("new"));
    // A refresh starts up to a tenth of the ttl early.
    scene.pass(53);
    assert_eq!(scene.cached(A), Some(Secret::new("old")));
    assert_eq!(scene.get(A).await, (ok("old"), 0));
    assert_eq!(scene.state(A).await, State::Fresh);
    scene.pass(7);
    assert_eq!(scene.cached(A), None);
    assert_eq!(scene.state(A).await, State::Due);
    assert_eq!(scene.get(A).await, (ok("new"), 1));
    assert_eq!(scene.get(A).await, (ok("new"), 0));
    assert_eq!(scene.cached(A), Some(Secret::new("new")));
}

#[tokio::test]
async fn however_many_ask_for_a_due_secret_it_is_refreshed_once() {
    let scene = Scene::new("due", "vault_store_ttl = 60");
    let gets = async || {
        let reference: Reference = A.parse().unwrap();
        scene.engine.resolve_many(std::iter::repeat_n(&reference, 500)).await
    };
    scene.store.answers("a", Ok("old"));
    assert!(gets().await.iter().flatten().all(|secret| secret == &Secret::new("old")));
    scene.store.answers("a", Ok("new"));
    scene.pass(60);
    assert!(gets().await.iter().flatten().all(|secret| secret == &Secret::new("new")));
    scene.store.answers("a", Err(ErrorKind::Unavailable));
    scene.pass(60);
    let stale = gets().await;
    assert!(stale.iter().all(|result| result.as_ref().unwrap() == &Secret::new("new")));
    assert_eq!((scene.store.fetched().len(), scene.store.at_once()), (3, 1));
}

#[tokio::test]
async fn all_members_of_a_payload_change_at_once() {
    let scene = Scene::new("members", "vault_store_ttl = 60");
    let (user, password) = ("{vault://store/db/user}", "{vault://store/db/password}");
    scene.store.answers("db", Ok(r#"{"user":"one","password":"1"}"#));
    for _ in 0..2 {
        assert_eq!(got(&scene.engine, user).await, ok("one"));
        assert_eq!(got(&scene.engine, password).await, ok("1"));
    }
    scene.store.fetched();
    scene.store.answers("db", Ok(r#"{"user":"two","password":"2"}"#));
    scene.pass(60);
    assert_eq!(scene.get(user).await, (ok("two"), 1));
    assert_eq!(scene.cached(password), None);
    assert_eq!(scene.get(password).await, (ok("2"), 0));
}

#[tokio::test]
async fn without_a_ttl_a_secret_is_never_asked_for_again() {
    for (name, settings, reference) in [
        ("no-ttl", "", A),
        ("zero-ttl", "vault_store_ttl = 0", A),
        ("zero-in-reference", "vault_store_ttl = 60", "{vault://store/a?ttl=0}"),
    ] {
        let scene = Scene::new(name, settings);
        scene.store.answers("a", Ok("old"));
        assert_eq!(scene.get(reference).await, (ok("old"), 1));
        scene.store.answers("a", Ok("new"));
        scene.pass(10 * 365 * 24 * 3600);
        assert_eq!(scene.get(reference).await, (ok("old"), 0));
        assert_eq!(scene.get(reference).await, (ok("old"), 0));
    }
}

#[tokio::test]
async fn a_reference_can_have_a_ttl_of_its_own() {
    let scene = Scene::new("own-ttl", "vault_store_ttl = 3600");
    let short = "{vault://store/a?ttl=10}";
    scene.store.answers("a", Ok("old"));
    assert_eq!(scene.get(A).await, (ok("old"), 1));
    assert_eq!(scene.get(short).await, (ok("old"), 1));
    scene.store.answers("a", Ok("new"));
    scene.pass(10);
    assert_eq!(scene.get(short).await, (ok("new"), 1));
    assert_eq!(scene.get(A).await, (ok("old"), 0));
}

#[tokio::test]
async fn an_old_secret_is_served_while_the_store_fails_and_until_its_resurrect_ttl_is_over() {
    for (name, kind) in [
        ("unavailable", ErrorKind::Unavailable),
        ("deleted", ErrorKind::NotFound),
        ("locked-out", ErrorKind::Unauthenticated),
    ] {
        let scene = Scene::new(name, "vault_store_ttl = 60\nvault_store_resurrect_ttl = 100");
        scene.store.answers("a", Ok("old"));
        assert_eq!(scene.get(A).await, (ok("old"), 1));
        scene.store.answers("a", Err(kind));
        scene.pass(60);
        assert_eq!(scene.get(A).await, (ok("old"), 1));
        assert_eq!(scene.state(A).await, State::Stale);
        // The store is given time: a second at least half of which passes before the next attempt.
        assert_eq!(scene.get(A).await, (ok("old"), 0));
        scene.pass(1);
        assert_eq!(scene.get(A).await, (ok("old"), 1));
        scene.pass(98);
        assert_eq!(scene.get(A).await, (ok("old"), 1));
        scene.pass(1);
        assert_eq!(scene.state(A).await, State::Gone);
        assert_eq!(scene.cached(A), None);
        assert_eq!(scene.get(A).await, (failed(kind.name()), 1));
        assert_eq!(scene.state(A).await, State::Absent);
        scene.store.answers("a", Ok("new"));
        assert_eq!(scene.get(A).await, (ok("new"), 1));
    }
}

#[tokio::test]
async fn a_store_that_comes_back_is_believed_again() {
    let scene = Scene::new("back", "vault_store_ttl = 60");
    scene.store.answers("a", Ok("old"));
    scene.get(A).await.0.unwrap();
    scene.store.answers("a", Err(ErrorKind::Timeout));
    scene.pass(60);
    assert_eq!(scene.get(A).await, (ok("old"), 1));
    scene.store.answers("a", Ok("new"));
    scene.pass(1);
    assert_eq!(scene.get(A).await, (ok("new"), 1));
    assert_eq!(scene.state(A).await, State::Fresh);
}

#[tokio::test]
async fn not_found_is_remembered_for_neg_ttl_and_other_failures_are_not() {
    let scene = Scene::new("neg-ttl", "vault_store_neg_ttl = 30");
    assert_eq!(scene.get(A).await, (failed("NotFound"), 1));
    scene.store.answers("a", Ok("new"));
    scene.pass(29);
    assert_eq!(scene.get(A).await, (failed("NotFound"), 0));
    scene.pass(1);
    assert_eq!(scene.get(A).await, (ok("new"), 1));

    let down = "{vault://store/down}";
    scene.store.answers("down", Err(ErrorKind::Unavailable));
    assert_eq!(scene.get(down).await, (failed("Unavailable"), 1));
    assert_eq!(scene.get(down).await, (failed("Unavailable"), 1));

    let scene = Scene::new("no-neg-ttl", "");
    assert_eq!(scene.get(A).await, (failed("NotFound"), 1));
    assert_eq!(scene.get(A).await, (failed("NotFound"), 1));
}

#[tokio::test]
async fn only_those_whose_member_changed_are_woken() {
    let scene = Scene::new("watch", "vault_store_ttl = 60");
    let user: Reference = "{vault://store/db/user}".parse().unwrap();
    let password: Reference = "{vault://store/db/password}".parse().unwrap();
    scene.store.answers("db", Ok(r#"{"user":"app","password":"1"}"#));
    let mut of_user = scene.engine.watch(&user).await.unwrap();
    let mut of_password = scene.engine.watch(&password).await.unwrap();
    assert_eq!(of_password.current(), &Secret::new("1"));
    assert!(of_user.changed().now_or_never().is_none() && of_password.changed().now_or_never().is_none());

    scene.pass(60);
    scene.engine.resolve(&user).await.unwrap();
    assert!(of_user.changed().now_or_never().is_none() && of_password.changed().now_or_never().is_none());

    scene.store.answers("db", Ok(r#"{"user":"app","password":"2"}"#));
    scene.pass(60);
    scene.engine.resolve(&user).await.unwrap();
    assert!(of_user.changed().now_or_never().is_none());
    assert_eq!(of_password.current(), &Secret::new("1"));
    assert_eq!(of_password.changed().now_or_never().unwrap().unwrap(), &Secret::new("2"));
    assert_eq!(of_password.current(), &Secret::new("2"));
    assert!(of_password.changed().now_or_never().is_none());

    // One who waits is woken by whoever gets the new payload.
    scene.store.answers("db", Ok(r#"{"user":"root","password":"2"}"#));
    scene.pass(60);
    let (woken, _) = tokio::join!(of_user.changed(), scene.engine.resolve(&password));
    assert_eq!(woken.unwrap(), &Secret::new("root"));
}

#[tokio::test]
async fn one_who_watches_hears_that_the_member_is_gone_and_that_it_is_back() {
    let scene = Scene::new("member-gone", "vault_store_ttl = 60");
    let reference: Reference = "{vault://store/db/user}".parse().unwrap();
    scene.store.answers("db", Ok(r#"{"user":"app"}"#));
    let mut watched = scene.engine.watch(&reference).await.unwrap();
    scene.store.answers("db", Ok(r#"{"name":"app"}"#));
    scene.pass(60);
    let missing = scene.engine.resolve(&reference).await.unwrap_err();
    let heard = watched.changed().now_or_never().unwrap().unwrap_err();
    assert_eq!(told(&heard), told(&missing));
    assert!(watched.changed().now_or_never().is_none());
    scene.store.answers("db", Ok(r#"{"user":"root"}"#));
    scene.pass(60);
    scene.engine.resolve(&reference).await.unwrap();
    assert_eq!(watched.changed().now_or_never().unwrap().unwrap(), &Secret::new("root"));
}

#[tokio::test]
async fn a_change_is_not_missed_by_one_who_gave_up_while_looking_at_it() {
    let scene = Scene::new("given-up", "vault_store_ttl = 60");
    let reference: Reference = A.parse().unwrap();
    scene.store.answers("a", Ok("old"));
    let mut watched = scene.engine.watch(&reference).await.unwrap();
    scene.store.answers("a", Ok("new"));
    scene.pass(60);
    scene.engine.resolve(&reference).await.unwrap();
    // By the time of the look, the new payload is due itself; whoever watches gives up during that fetch.
    scene.pass(60);
    assert!(watched.changed().now_or_never().is_none());
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(30), watched.changed()).await.unwrap().unwrap(),
        &Secret::new("new")
    );
}
