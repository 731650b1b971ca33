//! A server that stops, dies, comes back and is sealed, while fifty tasks go on asking.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use vaultref::{Engine, Environment, Reference, Settings};
use vaultref_backends::REGISTRY;
use vaultref_testkit::openbao::{Config, OpenBao, Storage};
use vaultref_testkit::proxy::{Fault, Proxy};

use crate::support::{approle, borrowed, engine, engine_at, get_all, role};

const TASKS: usize = 50;
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// What a loaded machine may add to that.
const SLACK: Duration = Duration::from_secs(3);
/// How long an outage or a recovery may take to reach everybody.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one task has seen.
#[derive(Default)]
struct Seen {
    successes: AtomicU64,
    failures: AtomicU64,
}

/// Tasks that ask, each for a secret of its own, which is never served from the cache.
struct Crowd {
    seen: Arc<Vec<Seen>>,
    ended: Arc<AtomicBool>,
    longest_nanos: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    fn start(engine: &Arc<Engine>) -> Self {
        let seen: Arc<Vec<Seen>> = Arc::new((0..TASKS).map(|_| Seen::default()).collect());
        let (ended, longest_nanos) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let ask = |number: usize| {
            let (engine, seen) = (Arc::clone(engine), Arc::clone(&seen));
            let (ended, longest) = (Arc::clone(&ended), Arc::clone(&longest_nanos));
            async move {
                let reference = format!("{{vault://hcv/s{number}/foo?ttl=0.001&resurrect_ttl=0}}");
                let reference: Reference = reference.parse().unwrap();
                while !ended.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    let counter = match engine.resolve(&reference).await {
                        Ok(secret) => {
                            assert_eq!(secret.expose_str(), Ok(number.to_string().as_str()));
                            &seen[number].successes
                        }
                        Err(_) => &seen[number].failures,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap();
                    longest.fetch_max(nanos, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        let tasks = (0..TASKS).map(|number| tokio::spawn(ask(number))).collect();
        Self { seen, ended, longest_nanos, tasks }
    }

    /// Waits until every task has seen one more of these.
    async fn all_see(&self, what: &str, counter: impl Fn(&Seen) -> &AtomicU64) {
        let before: Vec<u64> = self.seen.iter().map(|seen| counter(seen).load(Ordering::Relaxed)).collect();
        let start = Instant::now();
        let is_behind = || {
            let now = self.seen.iter().map(|seen| counter(seen).load(Ordering::Relaxed));
            now.zip(&before).filter(|(now, before)| now <= before).count()
        };
        while is_behind() > 0 {
            assert!(start.elapsed() < PATIENCE, "{what}: {} tasks have not seen it", is_behind());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn all_succeed(&self, when: &str) {
        self.all_see(when, |seen| &seen.successes).await;
    }

    async fn all_fail(&self, when: &str) {
        self.all_see(when, |seen| &seen.failures).await;
    }

    /// Ends the tasks; the number of gets, and how long the longest took.
    async fn end(self) -> (u64, Duration) {
        self.ended.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let gets = self.seen.iter().map(|seen| load(&seen.successes) + load(&seen.failures)).sum();
        (gets, Duration::from_nanos(load(&self.longest_nanos)))
    }
}

/// A server whose content survives its death, with `s0` to `s49` for the role `app`.
fn server() -> OpenBao {
    let server = OpenBao::start(Config { storage: Storage::Raft, ..Config::default() });
    server.init();
    server.unseal();
    server.mount_kv("kv1", 1);
    server.put("sys/policies/acl/reader", json!({"policy": "path \"kv1/*\" {capabilities = [\"read\"]}"}));
    server.put("sys/auth/approle", json!({"type": "approle"}));
    role(&server, json!({}));
    for number in 0..TASKS {
        server.put(&format!("kv1/s{number}"), json!({"foo": number.to_string()}));
    }
    server
}

fn proxy(server: &OpenBao) -> Proxy {
    Proxy::start(SocketAddr::from(([127, 0, 0, 1], server.port())))
}

fn logins(requests: &[String]) -> u64 {
    requests.iter().filter(|request| request.starts_with("POST /v1/auth/approle/login")).count() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_hurt_for_as_long_as_they_last_and_cause_no_storm() {
    let server = server();
    let proxy = proxy(&server);
    let (port, options) = (proxy.port().to_string(), approle(&server));
    let mut flags: Vec<(String, String)> = borrowed(&options)
        .iter()
        .map(|(name, value)| (format!("vault_hcv_{name}"), (*value).to_owned()))
        .collect();
    flags.extend([
        ("vault_hcv_port".to_owned(), port),
        ("vault_hcv_request_timeout".to_owned(), "0.5".to_owned()),
        ("fetch_timeout".to_owned(), FETCH_TIMEOUT.as_secs_f64().to_string()),
    ]);
    let flags: Vec<(&str, String)> = flags.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let settings = Settings::load(None, &Environment::default(), &flags).unwrap();
    let engine = Arc::new(Engine::builder(REGISTRY).settings(settings).build().unwrap());

    let crowd = Crowd::start(&engine);
    crowd.all_succeed("at the start").await;

    server.pause();
    crowd.all_fail("while the server stands still").await;
    server.resume();
    crowd.all_succeed("when it goes on").await;

    server.kill();
    crowd.all_fail("while the server is dead").await;
    server.restart();
    crowd.all_fail("while it is back and sealed").await;
    server.unseal();
    crowd.all_succeed("when it is unsealed").await;

    server.seal();
    crowd.all_fail("while it is sealed").await;
    server.unseal();
    crowd.all_succeed("when it is unsealed again").await;

    proxy.set(Fault::Blackhole);
    crowd.all_fail("while the network swallows everything").await;
    proxy.set(Fault::None);
    crowd.all_succeed("when the network is back").await;

    // All at once forget the token.
    server.put("sys/leases/revoke-prefix/auth/approle", json!({}));
    crowd.all_succeed("after the token was revoked").await;

    let (gets, longest) = crowd.end().await;
    assert!(longest < FETCH_TIMEOUT + SLACK, "a get took {longest:?}");
    let requests = proxy.requests();
    // A get costs one request, which is repeated twice at most. The token outlives all but its revocation, which is
    // found out by one look-up and leads to one login; each outage may catch a login that is under way.
    let (made, logins) = (requests.len() as u64, logins(&requests));
    assert!(made <= 3 * gets + 50, "{made} requests for {gets} gets");
    assert!((2..=10).contains(&logins), "{logins} logins");
}

#[tokio::test]
async fn a_hundred_secrets_take_one_login_and_a_bounded_number_of_connections() {
    let server = crate::support::server();
    for number in 0..100 {
        server.put(&format!("kv1/s{number}"), json!({"foo": number.to_string()}));
    }
    let proxy = proxy(&server);
    let (port, options) = (proxy.port().to_string(), approle(&server));
    let (engine, _) = engine(&server, &[&borrowed(&options)[..], &[("port", &port)]].concat());
    let all = (0..100).map(|number| format!("{{vault://hcv/s{number}/foo}}"));
    assert_eq!(get_all(&engine, all).await, 100);
    let requests = proxy.requests();
    assert_eq!((requests.len(), logins(&requests)), (101, 1));
    assert!(proxy.connections() <= 101, "{} connections", proxy.connections());
}

#[tokio::test]
async fn an_answer_that_was_changed_on_the_way_is_not_delivered() {
    let server = crate::support::server();
    server.put("kv1/s0", json!({"foo": "0"}));
    let proxy = proxy(&server);
    let port = proxy.port().to_string();
    let options = [("port", port.as_str()), ("token", "root"), ("mount", "kv1"), ("request_timeout", "2")];
    for (fault, kind) in [
        (Fault::Corrupt, "Corrupt"),
        (Fault::Cut(200), "Unavailable"),
        (Fault::Reset, "Unavailable"),
        (Fault::Refuse, "Unavailable"),
    ] {
        proxy.set(fault);
        let (engine, _) = engine_at(&options, vaultref::Context::default());
        let error = crate::support::get(&engine, "{vault://hcv/s0/foo}").await.unwrap_err();
        assert!(error.starts_with(kind), "{fault:?}: {error}");
        proxy.set(Fault::None);
        assert_eq!(
            crate::support::get(&engine, "{vault://hcv/s0/foo}").await.as_deref(),
            Ok("0"),
            "{fault:?}"
        );
    }
}
