//! How often a start with a hundred secrets goes back and forth to a vault that is far away.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use vaultref::{Engine, Environment, Reference, Settings};
use vaultref_backends::REGISTRY;
use vaultref_testkit::certificates::Authority;
use vaultref_testkit::openbao::{Config, OpenBao, Tls};
use vaultref_testkit::proxy::Proxy;

const SECRETS: usize = 100;
/// How long each byte is on the way, each way.
const DELAY: Duration = Duration::from_millis(20);
/// How often it is measured; the median counts.
const RUNS: usize = 9;

/// What was measured.
pub(crate) struct Network {
    pub(crate) round_trips: f64,
    pub(crate) round_trips_tls: f64,
    /// What the plain run takes where nothing is far away: the server's work, mostly.
    near: Duration,
    requests: usize,
    logins: usize,
    connections: usize,
    connections_tls: usize,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, logins, connections, connections_tls, .. } = self;
        let near = self.near.as_secs_f64() * 1e3;
        write!(
            f,
            "The {SECRETS} secrets took {requests} requests, {logins} of them a login, over {connections} connections; with \
             TLS, where HTTP/2 is spoken, over {connections_tls}. Without the delay they take {near:.0} ms, most of which is \
             the server's."
        )
    }
}

/// Measures with and without TLS.
pub(crate) fn measure() -> Result<Network, Box<dyn Error>> {
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    let tls = Tls {
        certificate: identity.certificate,
        key: identity.key,
        client_authority: None,
        client_required: false,
    };
    let (plain, secure) = (Config::default(), Config { tls: Some(tls), ..Config::default() });
    let plain = run(plain, &[])?;
    let with_tls = [("protocol", "https".to_owned()), ("ca_cert", authority.pem())];
    let secure = run(secure, &with_tls)?;
    let round_trips = |time: Duration| time.as_secs_f64() / (2 * DELAY).as_secs_f64();
    Ok(Network {
        round_trips: round_trips(plain.far),
        round_trips_tls: round_trips(secure.far),
        near: plain.near,
        requests: plain.requests.len(),
        logins: plain.requests.iter().filter(|request| request.contains("/login")).count(),
        connections: plain.connections,
        connections_tls: secure.connections,
    })
}

/// The median times without and with the delay; connections and requests of the last run.
struct Measured {
    near: Duration,
    far: Duration,
    connections: usize,
    requests: Vec<String>,
}

fn run(config: Config, options: &[(&str, String)]) -> Result<Measured, Box<dyn Error>> {
    let server = OpenBao::start(config);
    server.init();
    server.unseal();
    server.mount_kv("kv1", 1);
    server.put("sys/policies/acl/reader", json!({"policy": "path \"kv1/*\" {capabilities = [\"read\"]}"}));
    // Not `userpass`: the server takes longer to verify a password than all the rest takes.
    server.put("sys/auth/approle", json!({"type": "approle"}));
    server.put("auth/approle/role/app", json!({"token_policies": ["reader"], "token_ttl": "1h"}));
    let id =
        |answer: serde_json::Value, name: &str| answer["data"][name].as_str().unwrap_or_default().to_owned();
    let role_id = id(server.get("auth/approle/role/app/role-id"), "role_id");
    let secret_id = id(server.put("auth/approle/role/app/secret-id", json!({})), "secret_id");
    for number in 0..SECRETS {
        server.put(&format!("kv1/s{number}"), json!({"foo": "bar"}));
    }
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], server.port())));
    let fixed = [
        ("port", proxy.port().to_string()),
        ("mount", "kv1".to_owned()),
        ("auth_method", "approle".to_owned()),
        ("approle_role_id", role_id),
        ("approle_secret_id", secret_id),
    ];
    let flags: Vec<(String, String)> = fixed
        .iter()
        .chain(options)
        .map(|(name, value)| (format!("vault_hcv_{name}"), value.clone()))
        .collect();
    let flags: Vec<(&str, String)> = flags.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let references: Vec<Reference> = (0..SECRETS)
        .map(|number| Reference::parse(&format!("{{vault://hcv/s{number}/foo}}")))
        .collect::<Result<_, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let median = |delay: Duration| -> Result<Duration, Box<dyn Error>> {
        proxy.set_delay(delay, delay);
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let settings =
                Settings::load(None, &Environment::default(), &flags).map_err(|_| "bad settings")?;
            let engine = Engine::builder(REGISTRY).settings(settings).build().map_err(|_| "bad settings")?;
            proxy.forget();
            let start = Instant::now();
            let results = runtime.block_on(engine.resolve_many(&references));
            times.push(start.elapsed());
            results.into_iter().collect::<Result<Vec<_>, _>>()?;
        }
        times.sort_unstable();
        Ok(times[RUNS / 2])
    };
    let (near, far) = (median(Duration::ZERO)?, median(DELAY)?);
    Ok(Measured { near, far, connections: proxy.connections(), requests: proxy.requests() })
}
