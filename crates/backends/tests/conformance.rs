//! Holds every backend against the common scenarios and those in `conformance/<backend>.toml`; how that is done, and
//! the format, are in the testkit's `conformance`.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its store has failed")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use vaultref::{Context, Environment};
use vaultref_backends::REGISTRY;
use vaultref_testkit::conformance::{Conformance, Fault, Scenario, Store};
use vaultref_testkit::openbao::{Config, OpenBao};
use vaultref_testkit::peer::{Answer, Peer};

#[tokio::test]
async fn every_backend_keeps_its_promises() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    for definition in REGISTRY {
        let install = async |scenario: &Scenario| install(definition.name, scenario);
        Conformance::load(REGISTRY, definition.name, &folder).run(install).await;
    }
}

/// Sets a backend's store up with what a scenario gives.
fn install(backend: &str, scenario: &Scenario) -> Store {
    match backend {
        "env" => environment(scenario),
        "fs" => directory(scenario),
        "hcv" => vault(scenario),
        other => panic!("nobody has said how to set up a store for `{other}`"),
    }
}

fn environment(scenario: &Scenario) -> Store {
    let mut variables = Vec::new();
    for (name, contents) in scenario.contents() {
        let name = match scenario.is_common {
            true => name.replace('-', "_").to_ascii_uppercase(),
            false => name.to_owned(),
        };
        let suffixes = ["", "_PREVIOUS"].iter().zip(contents.iter().rev());
        variables.extend(suffixes.map(|(suffix, content)| (format!("{name}{suffix}"), content.bytes())));
    }
    Store { context: Context::new(Environment::from_iter(variables)), ..Store::default() }
}

fn directory(scenario: &Scenario) -> Store {
    let directory = tempfile::tempdir().unwrap();
    let (inside, outside) = (directory.path().join("inside"), directory.path().join("outside"));
    for (name, contents) in scenario.contents() {
        let [content] = contents else { panic!("a file has one version") };
        let [file, target] = [&inside, &outside].map(|folder| folder.join(name));
        for path in [&file, &target] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        match scenario.fault {
            None => std::fs::write(file, content.bytes()).unwrap(),
            Some(Fault::Denied) => {
                std::fs::write(&target, content.bytes()).unwrap();
                symlink(target, file).unwrap();
            }
            Some(fault) => panic!("a directory has no way to be {fault:?}"),
        }
    }
    let place = inside.to_str().unwrap().to_owned();
    Store {
        options: vec![("prefix", place.clone())],
        place,
        kept: Some(Box::new(directory)),
        ..Store::default()
    }
}

/// A mount of its own on a real server that all share, or a server with a fault.
fn vault(scenario: &Scenario) -> Store {
    let server = OpenBao::shared();
    let mount = scenario.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    // It is there already when the scenario is run with the vault entity.
    if server.request("GET", &format!("sys/mounts/{mount}"), None).0 != 200 {
        server.mount_kv(&mount, 2);
        fill(server, &mount, scenario);
    }
    let policies = if scenario.fault == Some(Fault::Denied) { json!(["default"]) } else { json!([mount]) };
    let token = server.put("auth/token/create", json!({"policies": policies}));
    let token = match scenario.fault {
        Some(Fault::Unauthenticated) => "s.Zq8vK2xW9LmN4pRtYb".to_owned(),
        _ => token["auth"]["client_token"].as_str().unwrap().to_owned(),
    };
    let (port, kept) = match scenario.fault {
        None | Some(Fault::Denied | Fault::Unauthenticated | Fault::RateLimited) => (server.port(), None),
        Some(Fault::Unavailable) => (sealed().port(), None),
        Some(Fault::Timeout) => (paused().port(), None),
        Some(Fault::Refused) => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            (listener.local_addr().unwrap().port(), None)
        }
        // What follows, no real server can be made to do.
        Some(fault) => {
            let peer = faulty(fault);
            (peer.port(), Some(Box::new(peer) as _))
        }
    };
    let options =
        vec![("port", port.to_string()), ("kv", "v2".to_owned()), ("mount", mount), ("token", token)];
    Store { options, place: format!("127.0.0.1:{port}"), kept, ..Store::default() }
}

fn fill(server: &OpenBao, mount: &str, scenario: &Scenario) {
    for (name, contents) in scenario.contents() {
        let name = name.replace('%', "%25").replace(' ', "%20").replace('+', "%2B");
        for content in contents {
            let data: Value = serde_json::from_slice(&content.bytes()).unwrap();
            server.put(&format!("{mount}/data/{name}"), json!({"data": data}));
        }
    }
    let policy = format!("path \"{mount}/*\" {{capabilities = [\"read\"]}}");
    server.put(&format!("sys/policies/acl/{mount}"), json!({"policy": policy}));
    if scenario.fault == Some(Fault::RateLimited) {
        let quota = json!({"path": format!("{mount}/"), "rate": 1, "interval": "1h"});
        server.put(&format!("sys/quotas/rate-limit/{mount}"), quota);
        // The one that is allowed to this address.
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        let request = format!("GET /v1/{mount}/data/db HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
}

fn sealed() -> &'static OpenBao {
    static SEALED: OnceLock<OpenBao> = OnceLock::new();
    SEALED.get_or_init(|| {
        let server = OpenBao::start(Config::default());
        server.init();
        server
    })
}

fn paused() -> &'static OpenBao {
    static PAUSED: OnceLock<OpenBao> = OnceLock::new();
    PAUSED.get_or_init(|| {
        let server = OpenBao::dev();
        server.pause();
        server
    })
}

fn faulty(fault: Fault) -> Peer {
    let failed = AtomicBool::new(false);
    Peer::start(move |_| {
        let secret = json!({"data": {"data": {"password": "opensesame"}, "metadata": {"version": 1}}});
        let answer = Answer::json(200, secret);
        match fault {
            Fault::FailsThenWorks if failed.swap(true, Ordering::Relaxed) => answer,
            Fault::FailsThenWorks => Answer::json(500, json!({"errors": ["internal error"]})),
            Fault::NotJson => Answer::text(200, "text/html", "<h1>Please log in</h1>"),
            _ => answer.torn(),
        }
    })
}
