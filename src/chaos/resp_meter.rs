//! Measures a store behind a proxy: the latency of each reply, and a probe.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::proxy::{ConnectionMeter, Meter, ProxyError};
use crate::resp;
use crate::units::{Clock, Timestamp};

/// The largest frame that is measured.
const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Requests that may wait for their reply on one connection.
const PENDING_MAX: usize = 65_536;
/// Longer command names are cut.
const COMMAND_CHARS_MAX: usize = 32;

/// One reply of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSample {
    /// When the client was given the reply.
    pub at: Timestamp,
    /// From the request's arrival at the proxy to then, so injected delay counts.
    pub latency: Duration,
    /// The command, in upper case.
    pub command: String,
}

/// What a meter could not measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterStats {
    /// Replies measured, lost samples included.
    pub replies: u64,
    /// Samples dropped because the queue was full.
    pub lost: u64,
    /// Connections whose metering stopped at bytes that are no RESP2 request and reply.
    pub stopped: u64,
    /// Requests without a reply when their connection ended.
    pub unanswered: u64,
}

/// Measures reply latency of a store that speaks Redis' protocol, by matching requests and
/// replies in order.
#[derive(Debug, Clone)]
pub struct RespMeter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    samples: mpsc::Sender<StoreSample>,
    replies: AtomicU64,
    lost: AtomicU64,
    stopped: AtomicU64,
    unanswered: AtomicU64,
}

impl RespMeter {
    /// A meter, and the samples it takes; `capacity` (at least 1) may wait to be received.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<StoreSample>) {
        let (samples, received) = mpsc::channel(capacity.max(1));
        let zero = || AtomicU64::new(0);
        let shared = Shared { samples, replies: zero(), lost: zero(), stopped: zero(), unanswered: zero() };
        (Self(Arc::new(shared)), received)
    }

    /// What was measured and what was not.
    #[must_use]
    pub fn stats(&self) -> MeterStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        MeterStats {
            replies: read(&self.0.replies),
            lost: read(&self.0.lost),
            stopped: read(&self.0.stopped),
            unanswered: read(&self.0.unanswered),
        }
    }
}

impl Meter for RespMeter {
    fn connection(&self) -> Box<dyn ConnectionMeter> {
        Box::new(Connection {
            shared: Arc::clone(&self.0),
            requests: BytesMut::new(),
            replies: BytesMut::new(),
            pending: VecDeque::new(),
            stopped: false,
        })
    }
}

struct Connection {
    shared: Arc<Shared>,
    requests: BytesMut,
    replies: BytesMut,
    pending: VecDeque<(Timestamp, String)>,
    stopped: bool,
}

/// Why a connection cannot be measured on.
struct Unreadable;

impl From<resp::Error> for Unreadable {
    fn from(_: resp::Error) -> Self {
        Self
    }
}

impl Connection {
    fn take_requests(&mut self, at: Timestamp) -> Result<(), Unreadable> {
        while let Some(frame) = resp::take(&mut self.requests, FRAME_BYTES_MAX)? {
            let words = resp::words(frame).ok_or(Unreadable)?;
            let name = words.first().ok_or(Unreadable)?;
            if self.pending.len() >= PENDING_MAX {
                return Err(Unreadable);
            }
            let name = String::from_utf8_lossy(name).to_uppercase();
            self.pending.push_back((at, name.chars().take(COMMAND_CHARS_MAX).collect()));
        }
        Ok(())
    }

    fn take_replies(&mut self, at: Timestamp) -> Result<(), Unreadable> {
        while resp::take(&mut self.replies, FRAME_BYTES_MAX)?.is_some() {
            let (asked, command) = self.pending.pop_front().ok_or(Unreadable)?;
            let micros = u64::try_from(at.as_micros().saturating_sub(asked.as_micros()));
            let latency = Duration::from_micros(micros.map_err(|_| Unreadable)?);
            self.shared.replies.fetch_add(1, Ordering::Relaxed);
            if self.shared.samples.try_send(StoreSample { at, latency, command }).is_err() {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn note(&mut self, outcome: Result<(), Unreadable>) {
        if outcome.is_err() {
            self.stopped = true;
            self.shared.stopped.fetch_add(1, Ordering::Relaxed);
            (self.requests, self.replies) = (BytesMut::new(), BytesMut::new());
        }
    }
}

impl ConnectionMeter for Connection {
    fn request(&mut self, bytes: &[u8], at: Timestamp) {
        if !self.stopped {
            self.requests.extend_from_slice(bytes);
            let outcome = self.take_requests(at);
            self.note(outcome);
        }
    }

    fn reply(&mut self, bytes: &[u8], at: Timestamp) {
        if !self.stopped {
            self.replies.extend_from_slice(bytes);
            let outcome = self.take_replies(at);
            self.note(outcome);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let left = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
        self.shared.unanswered.fetch_add(left, Ordering::Relaxed);
    }
}

/// The slowest of `pings` PINGs in a row through `addr`, on one connection of their own.
///
/// Any reply counts, an error such as a missing password too: it came through the hop.
///
/// # Errors
/// [`ProxyError::Probe`] when they are not all answered within `limit`.
pub async fn probe_store(
    addr: SocketAddr,
    pings: u32,
    limit: Duration,
    clock: &Clock,
) -> Result<Duration, ProxyError> {
    let wrong = |reason: String| ProxyError::Probe { addr, reason };
    match tokio::time::timeout(limit, ping(addr, pings, clock)).await {
        Ok(Ok(slowest)) => Ok(slowest),
        Ok(Err(error)) => Err(wrong(error.to_string())),
        Err(_) => Err(wrong(format!("no answer within {} ms", limit.as_millis()))),
    }
}

async fn ping(addr: SocketAddr, pings: u32, clock: &Clock) -> std::io::Result<Duration> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let mut slowest = Duration::ZERO;
    let mut buffer = BytesMut::new();
    for _ in 0..pings.max(1) {
        let asked = clock.now();
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
        while resp::take(&mut buffer, FRAME_BYTES_MAX).map_err(std::io::Error::other)?.is_none() {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let micros = clock.now().as_micros().saturating_sub(asked.as_micros());
        slowest = slowest.max(Duration::from_micros(u64::try_from(micros).map_err(std::io::Error::other)?));
    }
    Ok(slowest)
}
