//! Passes on what one connection through the proxy brings, as far as the fault of the moment lets it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::framing::Framing;
use super::{Fault, Shared, locked};

/// So much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// So many reads may be on the way: 64 MiB.
const READS_MAX: usize = 4096;

/// Bytes on their way, and when they arrive.
type Arrival = (Instant, Vec<u8>);

/// Why both sides are closed before they have ended.
struct Cut;

/// Until both sides have ended, or a fault ends them.
pub(super) async fn serve(
    mut client: TcpStream,
    upstream: SocketAddr,
    shared: Arc<Shared>,
    faults: watch::Receiver<Fault>,
) {
    let reset = |fault: &Fault| matches!(fault, Fault::Refuse | Fault::Reset);
    let mut resets = faults.clone();
    let is_reset = tokio::select! {
        // Before anything else passes.
        biased;
        _ = resets.wait_for(reset) => true,
        _ = pass(&mut client, upstream, &shared, faults) => false,
    };
    if is_reset {
        let _ = client.set_zero_linger();
    }
}

async fn pass(
    client: &mut TcpStream,
    upstream: SocketAddr,
    shared: &Shared,
    faults: watch::Receiver<Fault>,
) -> Option<()> {
    over(Fault::Blackhole, &mut faults.clone()).await;
    let mut server = TcpStream::connect(upstream).await.ok()?;
    client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).ok()?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let (request_sender, requests) = mpsc::channel(READS_MAX);
    let (answer_sender, answers) = mpsc::channel(READS_MAX);
    let both = tokio::try_join!(
        read_requests(from_client, request_sender, shared),
        write_requests(to_server, requests, faults.clone()),
        read_answers(from_server, answer_sender, shared),
        write_answers(to_client, answers, faults),
    );
    both.ok().map(|_| ())
}

async fn read_requests(
    mut from: impl AsyncRead + Unpin,
    sender: mpsc::Sender<Arrival>,
    shared: &Shared,
) -> Result<(), Cut> {
    let mut framing = Framing::default();
    while let Some(mut bytes) = read(&mut from).await {
        shared.to_server.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let request = |head: &str| head.rsplit_once(' ').map_or(head, |(request, _)| request).to_owned();
        framing.feed(&mut bytes, |head| locked(&shared.requests).push(request(head)), |_| ());
        let delay = locked(&shared.delays).to_server;
        sender.send((Instant::now() + delay, bytes)).await.map_err(|_| Cut)?;
    }
    Ok(())
}

async fn write_requests(
    mut to: impl AsyncWrite + Unpin,
    mut requests: mpsc::Receiver<Arrival>,
    mut faults: watch::Receiver<Fault>,
) -> Result<(), Cut> {
    while let Some((due, bytes)) = requests.recv().await {
        sleep_until(due).await;
        over(Fault::Blackhole, &mut faults).await;
        to.write_all(&bytes).await.map_err(|_| Cut)?;
    }
    to.shutdown().await.map_err(|_| Cut)
}

async fn read_answers(
    mut from: impl AsyncRead + Unpin,
    sender: mpsc::Sender<Arrival>,
    shared: &Shared,
) -> Result<(), Cut> {
    while let Some(bytes) = read(&mut from).await {
        shared.to_client.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let delay = locked(&shared.delays).to_client;
        sender.send((Instant::now() + delay, bytes)).await.map_err(|_| Cut)?;
    }
    Ok(())
}

async fn write_answers(
    mut to: impl AsyncWrite + Unpin,
    mut answers: mpsc::Receiver<Arrival>,
    mut faults: watch::Receiver<Fault>,
) -> Result<(), Cut> {
    let mut framing = Framing::default();
    let mut written_since_change = 0;
    while let Some((due, mut bytes)) = answers.recv().await {
        sleep_until(due).await;
        over(Fault::Blackhole, &mut faults).await;
        if faults.has_changed().unwrap_or_default() {
            written_since_change = 0;
        }
        let fault = *faults.borrow_and_update();
        let corrupt =
            |body: &mut [u8]| body.iter_mut().for_each(|byte| *byte ^= u8::from(fault == Fault::Corrupt));
        framing.feed(&mut bytes, |_| (), corrupt);
        let left = match fault {
            Fault::Cut(bytes_max) => bytes_max.saturating_sub(written_since_change),
            _ => u64::MAX,
        };
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        to.write_all(&bytes).await.map_err(|_| Cut)?;
        written_since_change += bytes.len() as u64;
        if bytes.len() as u64 == left {
            return Err(Cut);
        }
    }
    to.shutdown().await.map_err(|_| Cut)
}

/// Some bytes; `None` at the end.
async fn read(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut bytes = vec![0; READ_BYTES];
    let count = from.read(&mut bytes).await.ok().filter(|count| *count > 0)?;
    bytes.truncate(count);
    Some(bytes)
}

/// Waits as long as there is this fault.
async fn over(ended: Fault, faults: &mut watch::Receiver<Fault>) {
    // An error says that the proxy is gone, and this with it.
    let _ = faults.wait_for(|fault| *fault != ended).await;
}
