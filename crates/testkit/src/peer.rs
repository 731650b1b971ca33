//! A scripted HTTP server for tests: says what no real server can be made to say, and remembers what it was asked.
//!
//! ```
//! use serde_json::json;
//! use vaultref_testkit::peer::{Answer, Peer};
//!
//! let peer = Peer::start(|request| match (request.method.as_str(), request.path()) {
//!     ("POST", "/token") => Answer::json(200, json!({"access_token": "t0ken", "expires_in": 3600})),
//!     ("GET", "/busy") => Answer::new(429).header("retry-after", "2"),
//!     ("GET", "/broken") => Answer::json(200, json!({"value": "s3cret"})).torn(),
//!     _ => Answer::text(404, "text/html", "<h1>not here</h1>"),
//! });
//! // … a client does something at peer.address() …
//! assert!(peer.requests().is_empty());
//! ```
//!
//! It runs on threads of its own: a test needs no runtime, and may stop the clock of the one that it has.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certificates::Identity;

mod answer;
mod request;

pub use answer::Answer;
pub use request::Request;

use answer::Ending;

/// A server on 127.0.0.1 that speaks HTTP/1.1. Dropping it closes its connections.
pub struct Peer {
    port: u16,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

struct State {
    handler: Box<Handler>,
    tls: Option<Arc<ServerConfig>>,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Connections>,
    ended: AtomicBool,
}

#[derive(Default)]
struct Connections {
    made: usize,
    /// By number; each is here as long as its thread runs.
    open: BTreeMap<usize, TcpStream>,
}

impl Peer {
    /// Answers each request with what `handler` says, several at a time. Where it panics, the connection is closed.
    pub fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::started(None, Box::new(handler))
    }

    /// [`Peer::start`] behind TLS, with a certificate for `127.0.0.1`, or whatever name a client goes by.
    pub fn start_tls(
        identity: &Identity,
        handler: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::started(Some(identity.server_config()), Box::new(handler))
    }

    fn started(tls: Option<Arc<ServerConfig>>, handler: Box<Handler>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let state = Arc::new(State {
            handler,
            tls,
            requests: Mutex::default(),
            connections: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let accepting = thread::spawn({
            let state = Arc::clone(&state);
            move || state.accept(&listener)
        });
        Self { port, state, accepting: Some(accepting) }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`, or `https://` where it has a certificate.
    pub fn address(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.state.tls.is_some() { "https" } else { "http" }, self.port)
    }

    /// All requests so far, in the order in which they were complete. One is in here before it is answered.
    pub fn requests(&self) -> Vec<Request> {
        locked(&self.state.requests).clone()
    }

    /// How many connections have been made.
    pub fn connections(&self) -> usize {
        locked(&self.state.connections).made
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Release);
        // Wakes the one that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let _ = self.accepting.take().map(JoinHandle::join);
        for connection in locked(&self.state.connections).open.values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("port", &self.port).finish_non_exhaustive()
    }
}

impl State {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            if let Some(connection) = Connection::new(self, &stream) {
                thread::spawn(move || connection.serve(stream));
            }
        }
    }
}

/// One connection, which is listed as long as this is there.
struct Connection {
    state: Arc<State>,
    number: usize,
}

impl Connection {
    fn new(state: &Arc<State>, stream: &TcpStream) -> Option<Self> {
        stream.set_nodelay(true).ok()?;
        let listed = stream.try_clone().ok()?;
        let mut connections = locked(&state.connections);
        connections.made += 1;
        let number = connections.made;
        connections.open.insert(number, listed);
        Some(Self { state: Arc::clone(state), number })
    }

    fn serve(self, stream: TcpStream) {
        let Ok(control) = stream.try_clone() else { return };
        let ending = match &self.state.tls {
            None => self.converse(stream),
            Some(config) => {
                let session =
                    ServerConnection::new(Arc::clone(config)).expect("the configuration is complete");
                let mut stream = StreamOwned::new(session, stream);
                let ending = self.converse(&mut stream);
                if ending != Ending::Torn {
                    // Without it, a client takes the end for an attack.
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
                ending
            }
        };
        if ending == Ending::Reset {
            answer::reset_on_close(&control);
        }
    }

    /// Answers requests until one side has enough.
    fn converse(&self, stream: impl Read + Write) -> Ending {
        let mut stream = BufReader::new(stream);
        while let Ok(Some(request)) = Request::read(&mut stream) {
            locked(&self.state.requests).push(request.clone());
            let answer = (self.state.handler)(&request);
            let written = answer.write(stream.get_mut(), request.method == "HEAD");
            match answer.ending() {
                Ending::KeepAlive if written.is_ok() && request.keep_alive => {}
                Ending::Hang => answer::wait_for_the_end(&mut stream),
                ending => return ending,
            }
        }
        Ending::Close
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // It would hold the connection open.
        locked(&self.state.connections).open.remove(&self.number);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use serde_json::json;

    use super::*;
    use crate::certificates::Authority;
    use crate::http;

    fn connect(peer: &Peer) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, peer.port())).unwrap()
    }

    /// All that is sent on one connection in answer to these bytes.
    fn sent(peer: &Peer, bytes: &str) -> std::io::Result<String> {
        let mut stream = connect(peer);
        stream.write_all(bytes.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    }

    fn peer() -> Peer {
        Peer::start(|request| match request.path() {
            "/json" => Answer::json(200, json!({"got": request.text()})),
            "/none" => Answer::new(204),
            "/busy" => Answer::new(429).header("Retry-After", "2").close(),
            "/moved" => Answer::redirect(302, "/json").close(),
            "/torn" => Answer::text(200, "text/plain", "0123456789").torn(),
            "/reset" => Answer::reset(),
            "/hang" => Answer::hang(),
            path => panic!("unexpected: {path}"),
        })
    }

    #[test]
    fn one_connection_has_many_requests_and_all_are_remembered() {
        let peer = peer();
        let answers = sent(
            &peer,
            "POST /json?a=b HTTP/1.1\r\nA: b\r\ncontent-length: 2\r\n\r\nhiGET /none HTTP/1.1\r\n\r\n\
             HEAD /json HTTP/1.1\r\n\r\nGET /busy HTTP/1.1\r\n\r\n",
        );
        assert_eq!(
            answers.unwrap(),
            "HTTP/1.1 200 OK\r\ncontent-length: 12\r\ncontent-type: application/json\r\n\r\n{\"got\":\"hi\"}\
             HTTP/1.1 204 OK\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 10\r\ncontent-type: application/json\r\n\r\n\
             HTTP/1.1 429 Client Error\r\ncontent-length: 0\r\nRetry-After: 2\r\nconnection: close\r\n\r\n"
        );
        let requests = peer.requests();
        let paths: Vec<_> =
            requests.iter().map(|request| (&*request.method, &*request.path_and_query)).collect();
        assert_eq!(paths, [("POST", "/json?a=b"), ("GET", "/none"), ("HEAD", "/json"), ("GET", "/busy")]);
        assert_eq!((requests[0].header("a"), requests[0].text()), (Some("b"), "hi".to_owned()));
        assert_eq!(peer.connections(), 1);
    }

    #[test]
    fn behind_tls_it_answers_those_who_trust_its_authority() {
        let authority = Authority::new();
        let peer =
            Peer::start_tls(&authority.server(&["127.0.0.1"]), |_| Answer::json(200, json!("hi")).close());
        let connect = |authority: &Authority| authority.connect(peer.port(), None);
        let answer = http::exchange(connect(&authority), "GET", "/", &[], b"").unwrap();
        assert_eq!((answer.status, answer.json()), (200, json!("hi")));
        assert!(http::exchange(connect(&Authority::new()), "GET", "/", &[], b"").is_err());
        assert_eq!(peer.requests().len(), 1);
        assert_eq!(peer.address(), format!("https://127.0.0.1:{}", peer.port()));
    }

    #[test]
    fn a_torn_answer_lacks_half_of_its_body() {
        let answer = sent(&peer(), "GET /torn HTTP/1.1\r\n\r\n").unwrap();
        let expected = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\ncontent-type: text/plain\r\n\r\n01234";
        assert_eq!(answer, expected);
    }

    #[test]
    fn a_reset_is_told_from_an_end() {
        let peer = peer();
        let error = sent(&peer, "GET /reset HTTP/1.1\r\n\r\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        // What the handler doesn't expect, and what is no HTTP, has no answer.
        assert_eq!(sent(&peer, "GET /other HTTP/1.1\r\n\r\n").unwrap(), "");
        assert_eq!(sent(&peer, "no HTTP\r\n\r\n").unwrap(), "");
        assert_eq!(peer.requests().len(), 2);
    }

    #[test]
    fn a_hanging_request_keeps_no_other_one_waiting_and_ends_with_the_peer() {
        let peer = peer();
        let mut hanging = connect(&peer);
        hanging.write_all(b"GET /hang HTTP/1.1\r\n\r\n").unwrap();
        while peer.requests().is_empty() {
            thread::yield_now();
        }
        assert!(sent(&peer, "GET /busy HTTP/1.1\r\n\r\n").unwrap().starts_with("HTTP/1.1 429 "));
        hanging.set_nonblocking(true).unwrap();
        assert_eq!(hanging.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        hanging.set_nonblocking(false).unwrap();
        drop(peer);
        assert_eq!(hanging.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn redirects_are_sent_and_a_port_is_told() {
        let peer = peer();
        let answer = sent(&peer, "GET /moved HTTP/1.1\r\n\r\n").unwrap();
        assert!(answer.contains("\r\nlocation: /json\r\n"), "{answer}");
        assert_eq!(peer.address(), format!("http://127.0.0.1:{}", peer.port()));
    }
}
