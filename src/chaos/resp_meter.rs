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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{FaultKind, Proxy};
    use crate::units::Ratio;
    use tokio::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A server that answers each command with PONG.
    async fn store() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = BytesMut::new();
                    while stream.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
                        while let Ok(Some(_)) = resp::take(&mut buffer, 1024) {
                            stream.write_all(b"+PONG\r\n").await.unwrap();
                        }
                    }
                });
            }
        });
        addr
    }

    fn slow(latency_ms: u64) -> FaultKind {
        FaultKind::StoreLatency { latency: Duration::from_millis(latency_ms), jitter: Duration::ZERO }
    }

    /// Injected delay counts, each pipelined reply belongs to its request, and the probe sees the
    /// fault come and go.
    #[tokio::test]
    async fn injected_delay_is_measured() {
        let clock = Clock::real();
        let (meter, mut samples) = RespMeter::new(100);
        let meter_of_proxy = Some(Arc::new(meter.clone()) as Arc<dyn Meter>);
        let listen = "127.0.0.1:0".parse().unwrap();
        let proxy = Proxy::start(listen, store().await, meter_of_proxy, clock.clone()).await.unwrap();
        let before = probe_store(proxy.addr(), 3, LIMIT, &clock).await.unwrap();
        proxy.inject(&slow(200), Ratio::new(1.0).unwrap(), 1).unwrap();
        let during = probe_store(proxy.addr(), 1, LIMIT, &clock).await.unwrap();
        assert!(during >= Duration::from_millis(200) && before < during, "{before:?} {during:?}");
        proxy.restore();
        assert!(probe_store(proxy.addr(), 3, LIMIT, &clock).await.unwrap() < during);
        for n in 0..7 {
            let sample = tokio::time::timeout(LIMIT, samples.recv()).await.unwrap().unwrap();
            assert_eq!(sample.command, "PING");
            assert_eq!(sample.latency >= Duration::from_millis(200), n == 3, "{n}: {sample:?}");
        }
        assert_eq!((meter.stats().replies, meter.stats().stopped), (7, 0));
        proxy.inject(&slow(3_600_000), Ratio::new(1.0).unwrap(), 1).unwrap();
        assert!(probe_store(proxy.addr(), 1, Duration::from_millis(20), &clock).await.is_err());
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Commands cut across reads are matched in order, with their names in upper case.
    #[test]
    fn replies_are_matched_in_order() {
        let (meter, mut samples) = RespMeter::new(10);
        let mut connection = meter.connection();
        connection.request(b"*2\r\n$4\r\nhget\r\n$1\r\nk\r\n*1\r\n$4\r\nPI", at(0));
        connection.request(b"NG\r\n", at(5));
        connection.reply(b"$1\r\nv\r\n+PO", at(10));
        connection.reply(b"NG\r\n", at(20));
        let mut next = || samples.try_recv().map(|s| (s.command, s.latency.as_millis(), s.at)).unwrap();
        assert_eq!(next(), ("HGET".to_owned(), 10, at(10)));
        assert_eq!(next(), ("PING".to_owned(), 15, at(20)));
    }

    /// What cannot be measured is counted by kind: a full queue, other protocols, a reply nobody
    /// asked for, a clock that ran backwards, a request that was never answered.
    #[test]
    fn what_is_not_measured_is_counted() {
        let (meter, samples) = RespMeter::new(1);
        let mut connection = meter.connection();
        connection.request(b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", at(0));
        connection.reply(b"+PONG\r\n+PONG\r\n", at(1));
        drop(connection);
        let expected = MeterStats { replies: 2, lost: 1, stopped: 0, unanswered: 1 };
        assert_eq!(meter.stats(), expected);
        for (request, reply, replied) in [
            (&b"GET / HTTP/1.1\r\n"[..], &b""[..], 1),
            (b"", b"+PONG\r\n", 1),
            (b"*1\r\n$4\r\nPING\r\n", b"_\r\n", 1),
            (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n", -1),
        ] {
            let before = meter.stats().stopped;
            let mut connection = meter.connection();
            connection.request(request, at(0));
            connection.reply(reply, at(replied));
            connection.request(b"*1\r\n$4\r\nPING\r\n", at(2));
            connection.reply(b"+PONG\r\n", at(3));
            assert_eq!(meter.stats().stopped, before + 1, "{reply:?}");
            assert_eq!(meter.stats().replies, 2, "{reply:?}");
        }
        drop(samples);
    }
}
