//! Stands between a client and a server in tests: delays, cuts, garbles and swallows, and counts what passes.
//!
//! ```no_run
//! use std::time::Duration;
//! use vaultref_testkit::proxy::{Fault, Proxy};
//!
//! let proxy = Proxy::start("127.0.0.1:8200".parse().unwrap());
//! proxy.set_delay(Duration::from_millis(20), Duration::from_millis(20));
//! // … a client does something at proxy.address() …
//! assert_eq!(proxy.requests(), ["POST /v1/auth/approle/login", "GET /v1/secret/data/db"]);
//! proxy.set(Fault::Blackhole);
//! // … it has to notice …
//! ```
//!
//! It runs on a thread of its own: a test needs no runtime, and may stop the clock of the one that it has.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::{mpsc as async_mpsc, watch};

use crate::guard::free_port;

mod connection;
mod framing;

/// How often somebody else may take the port that was found.
const BINDS_MAX: usize = 5;

/// A TCP proxy on 127.0.0.1. Dropping it resets its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    /// Gone when the proxy is dropped, which ends its thread.
    commands: Option<async_mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

/// What the proxy does to connections, those that are open as well as new ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Everything passes.
    #[default]
    None,
    /// Open connections are reset, and nobody listens.
    Refuse,
    /// Open connections are reset, and new ones too, as soon as they are made.
    Reset,
    /// Connections are made, and nothing passes until the fault is over. Then it does.
    Blackhole,
    /// Each connection is closed after so many more bytes from the server.
    Cut(u64),
    /// The lowest bit of every byte in the server's bodies is flipped. Where a body has no length, in what isn't
    /// HTTP/1.1 and behind TLS, everything from the server is taken for a body.
    Corrupt,
}

/// What has passed the proxy.
#[derive(Debug, Default)]
struct Shared {
    connections: AtomicUsize,
    to_server: AtomicU64,
    to_client: AtomicU64,
    requests: Mutex<Vec<String>>,
    delays: Mutex<Delays>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Delays {
    to_server: Duration,
    to_client: Duration,
}

#[derive(Debug)]
struct Command {
    fault: Fault,
    done: mpsc::Sender<()>,
}

impl Proxy {
    /// Starts one before a server, which need not be there yet: a connection to the proxy is closed without it.
    pub fn start(upstream: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let (commands, received) = async_mpsc::unbounded_channel();
        let (started, port) = mpsc::channel();
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || run(upstream, &shared, received, &started)
        });
        let port = port.recv().expect("the thread tells its port before it waits for anything");
        Self { port, shared, commands: Some(commands), thread: Some(thread) }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`, for an upstream that speaks plain HTTP.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Changes what it does; when this returns, it does.
    pub fn set(&self, fault: Fault) {
        let (done, is_done) = mpsc::channel();
        let commands = self.commands.as_ref().expect("it is there until the proxy is dropped");
        commands.send(Command { fault, done }).expect("the thread runs until the proxy is dropped");
        is_done.recv().expect("the thread does what it is told");
    }

    /// From now on, bytes are on the way for so long, each way. How many pass in a given time stays the same. Making
    /// a connection takes no longer: the system does that.
    pub fn set_delay(&self, to_server: Duration, to_client: Duration) {
        *locked(&self.shared.delays) = Delays { to_server, to_client };
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many bytes have arrived from clients, and how many from the server.
    pub fn bytes(&self) -> (u64, u64) {
        (self.shared.to_server.load(Ordering::Relaxed), self.shared.to_client.load(Ordering::Relaxed))
    }

    /// The requests that clients have sent, `GET /v1/secret/data/db?version=1`, oldest first. In HTTP/1.1 without
    /// TLS, and with bodies that have a length: there is nothing after a body in chunks.
    pub fn requests(&self) -> Vec<String> {
        locked(&self.shared.requests).clone()
    }

    /// Forgets requests and counts.
    pub fn forget(&self) {
        locked(&self.shared.requests).clear();
        self.shared.connections.store(0, Ordering::Relaxed);
        self.shared.to_server.store(0, Ordering::Relaxed);
        self.shared.to_client.store(0, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(
    upstream: SocketAddr,
    shared: &Arc<Shared>,
    commands: async_mpsc::UnboundedReceiver<Command>,
    started: &mpsc::Sender<u16>,
) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("there is a free file descriptor");
    runtime.block_on(async {
        let listener = bind_anywhere().await;
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let _ = started.send(port);
        accept(listener, upstream, shared, commands).await;
    });
}

/// Takes connections and commands until the proxy is dropped.
async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    shared: &Arc<Shared>,
    mut commands: async_mpsc::UnboundedReceiver<Command>,
) {
    let address = listener.local_addr().expect("a bound socket has an address");
    let mut listener = Some(listener);
    let (fault, faults) = watch::channel(Fault::None);
    loop {
        tokio::select! {
            // What was commanded holds for a connection that is made afterwards.
            biased;
            command = commands.recv() => {
                let Some(Command { fault: commanded, done }) = command else { return };
                fault.send_replace(commanded);
                match commanded {
                    Fault::Refuse => listener = None,
                    _ if listener.is_none() => listener = Some(bind(address).await),
                    _ => {}
                }
                let _ = done.send(());
            }
            client = accepted(listener.as_ref()) => {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connection::serve(client, upstream, Arc::clone(shared), faults.clone()));
            }
        }
    }
}

/// The next connection; never one where nobody listens.
async fn accepted(listener: Option<&TcpListener>) -> tokio::net::TcpStream {
    loop {
        match listener {
            Some(listener) => match listener.accept().await {
                Ok((client, _)) => return client,
                Err(_) => tokio::task::yield_now().await,
            },
            None => std::future::pending().await,
        }
    }
}

/// Not just any port: this one has to be free again after it was given up for a while.
async fn bind_anywhere() -> TcpListener {
    for _ in 0..BINDS_MAX {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).await {
            return listener;
        }
    }
    panic!("every port that was free was taken a moment later");
}

async fn bind(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address)
        .await
        .unwrap_or_else(|error| panic!("{address} is somebody else's now: {error}"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::http;
    use crate::peer::{Answer, Peer};

    const BIG: usize = 8 * 1024 * 1024;

    fn peer() -> Peer {
        Peer::start(|request| match request.path() {
            "/big" => Answer::text(200, "text/plain", vec![b'a'; BIG]),
            _ => Answer::json(200, json!({"got": request.text()})),
        })
    }

    fn before(peer: &Peer) -> Proxy {
        Proxy::start((Ipv4Addr::LOCALHOST, peer.port()).into())
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap()
    }

    fn get(proxy: &Proxy, path: &str) -> std::io::Result<http::Response> {
        http::exchange(connect(proxy), "GET", path, &[], b"")
    }

    #[test]
    fn what_passes_is_counted() {
        let (peer, body) = (peer(), "GET /not/a/request HTTP/1.1\r\n\r\n");
        let proxy = before(&peer);
        let mut stream = connect(&proxy);
        for path in ["/login", "/read?version=1"] {
            write!(stream, "POST {path} HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
        assert_eq!(proxy.requests(), ["POST /login", "POST /read?version=1"]);
        assert_eq!(proxy.bytes().1, answers.len() as u64);
        assert_eq!((proxy.connections(), peer.connections()), (1, 1));
        proxy.forget();
        assert_eq!((proxy.requests(), proxy.bytes(), proxy.connections()), (vec![], (0, 0), 0));
        assert_eq!(proxy.address(), format!("http://127.0.0.1:{}", proxy.port()));
    }

    #[test]
    fn a_delay_is_added_once_however_much_passes() {
        let peer = peer();
        let proxy = before(&peer);
        let delay = Duration::from_millis(30);
        proxy.set_delay(delay, delay);
        let start = Instant::now();
        assert_eq!(get(&proxy, "/big").unwrap().body.len(), BIG);
        let took = start.elapsed();
        // One after the other, the reads would take 15 s.
        assert!((2 * delay..100 * delay).contains(&took), "{took:?}");
    }

    #[test]
    fn nobody_listens_while_it_refuses_and_then_at_the_same_port_again() {
        let peer = peer();
        let proxy = before(&peer);
        let mut open = connect(&proxy);
        assert_eq!(get(&proxy, "/").unwrap().status, 200);
        proxy.set(Fault::Refuse);
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(open.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        proxy.set(Fault::None);
        assert_eq!(get(&proxy, "/").unwrap().status, 200);
    }

    #[test]
    fn connections_are_reset_as_soon_as_they_are_made() {
        let peer = peer();
        let proxy = before(&peer);
        let mut open = connect(&proxy);
        proxy.set(Fault::Reset);
        assert_eq!(open.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(connect(&proxy).read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(peer.requests(), []);
    }

    #[test]
    fn what_a_black_hole_has_taken_arrives_when_it_is_over() {
        let peer = peer();
        let proxy = before(&peer);
        proxy.set(Fault::Blackhole);
        let mut stream = connect(&proxy);
        stream.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(peer.requests(), []);
        proxy.set(Fault::None);
        stream.set_read_timeout(None).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 1);
        assert_eq!(peer.requests().len(), 1);
    }

    #[test]
    fn answers_are_cut_after_so_many_bytes() {
        let peer = peer();
        let proxy = before(&peer);
        let mut stream = connect(&proxy);
        let mut head = [0; 12];
        for _ in 0..2 {
            stream.write_all(b"GET /big HTTP/1.1\r\n\r\n").unwrap();
        }
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        proxy.set(Fault::Cut(100_000));
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        // What had passed by then is on top.
        assert!((100_000..2 * BIG).contains(&rest.len()), "{}", rest.len());
        for bytes in [40, 0] {
            proxy.set(Fault::Cut(bytes));
            let mut stream = connect(&proxy);
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert_eq!(answer.len() as u64, bytes);
        }
    }

    #[test]
    fn bodies_are_garbled_and_heads_are_not() {
        let peer = peer();
        let proxy = before(&peer);
        let sound = get(&proxy, "/").unwrap();
        proxy.set(Fault::Corrupt);
        let garbled = get(&proxy, "/").unwrap();
        assert_eq!((garbled.head, garbled.body.len()), (sound.head, sound.body.len()));
        assert!(garbled.body.iter().zip(&sound.body).all(|(garbled, sound)| garbled ^ sound == 1));
    }

    #[test]
    fn a_connection_is_closed_where_the_server_is_not_there() {
        let proxy = Proxy::start((Ipv4Addr::LOCALHOST, free_port()).into());
        assert_eq!(connect(&proxy).read(&mut [0]).unwrap(), 0);
        let mut open = connect(&proxy);
        drop(proxy);
        assert_eq!(open.read(&mut [0]).unwrap_or_default(), 0);
    }
}
