//! A TCP proxy between a client and its upstream, whose replies can be made late.
//!
//! Latency is a delay line by time stamp: each chunk read from the upstream is queued with the
//! instant at which it is due, and written then. Delays of chunks that wait together do not add
//! up, none overtakes another, and throughput stays what the queue's bound allows.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::FaultKind;
use super::fault::{HopFault, hop_fault};
use crate::units::{Clock, Ratio, Timestamp};

/// The largest read from either side.
const CHUNK_BYTES: u32 = 16 * 1024;
/// What a queued chunk costs at least: many tiny chunks must not outgrow the bound by their overhead.
const CHUNK_COST_MIN: u32 = 256;
/// The bytes one connection's delay line may hold; beyond it the upstream is not read.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// Connections at once; beyond it further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// The longest wait for the upstream to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a proxy cannot do.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No fault of [`super::INJECTORS`] is what the experiment asks for.
    #[error("no injector for {0:?}")]
    NoInjector(FaultKind),
    /// The probe got no answer.
    #[error("probe through {addr}: {reason}")]
    Probe {
        /// The proxy's address.
        addr: SocketAddr,
        /// What happened instead.
        reason: String,
    },
}

/// Sees the bytes of every connection in both directions.
pub trait Meter: Send + Sync {
    /// A meter for a connection that begins; it is dropped when the connection ends.
    fn connection(&self) -> Box<dyn ConnectionMeter>;
}

/// Sees the bytes of one connection.
pub trait ConnectionMeter: Send {
    /// Bytes that the client sent, before they are passed on.
    fn request(&mut self, bytes: &[u8], at: Timestamp);
    /// Bytes that the client has been given, delay included.
    fn reply(&mut self, bytes: &[u8], at: Timestamp);
}

/// What a proxy has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyStats {
    /// Connections accepted.
    pub connections: u64,
    /// Of these, closed because the upstream could not be reached.
    pub unreachable: u64,
    /// Chunks of replies passed on while a fault was on.
    pub armed: u64,
    /// Of these, touched by the fault.
    pub touched: u64,
}

/// A running proxy on loopback; it and its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    fault: watch::Sender<Option<Arc<Active>>>,
    injections: AtomicU64,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on `listen` (port 0 takes a free one) and passes each connection to `upstream`
    /// (`host:port`), without any fault.
    ///
    /// # Errors
    /// [`ProxyError::Listen`]. An upstream that cannot be reached is no error here: connections
    /// to it are closed and counted.
    pub async fn start(
        listen: SocketAddr,
        upstream: String,
        meter: Option<Arc<dyn Meter>>,
        clock: Clock,
    ) -> Result<Self, ProxyError> {
        let refused = |source| ProxyError::Listen { addr: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let (fault, seen) = watch::channel(None);
        let counts = Arc::new(Counts::default());
        let hop = Hop { upstream: upstream.into(), meter, clock, fault: seen, counts: Arc::clone(&counts) };
        let task = tokio::spawn(accept(listener, hop));
        Ok(Self { addr, fault, injections: AtomicU64::new(0), counts, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Switches a fault on, at once and on live connections too; it replaces one that is on.
    ///
    /// `fraction` is the share of reply chunks touched, drawn one by one from `seed`; 0 arms the
    /// fault without effect. A reply that is not touched still waits for a touched one before it.
    ///
    /// # Errors
    /// [`ProxyError::NoInjector`].
    pub fn inject(&self, kind: &FaultKind, fraction: Ratio, seed: u64) -> Result<(), ProxyError> {
        let fault = hop_fault(kind).ok_or_else(|| ProxyError::NoInjector(kind.clone()))?;
        let number = self.injections.fetch_add(1, Ordering::Relaxed);
        let rng = Mutex::new(StdRng::seed_from_u64(seed));
        self.fault.send_replace(Some(Arc::new(Active { number, fault, fraction, rng })));
        Ok(())
    }

    /// Takes the fault back; what it still holds is released at once.
    pub fn restore(&self) {
        self.fault.send_replace(None);
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> ProxyStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ProxyStats {
            connections: read(&self.counts.connections),
            unreachable: read(&self.counts.unreachable),
            armed: read(&self.counts.armed),
            touched: read(&self.counts.touched),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A fault that is on.
#[derive(Debug)]
struct Active {
    number: u64,
    fault: Arc<dyn HopFault>,
    fraction: Ratio,
    rng: Mutex<StdRng>,
}

impl Active {
    /// The delay of the next chunk; nothing when it is not touched.
    fn touch(&self) -> Option<Duration> {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.random_bool(self.fraction.get()).then(|| self.fault.delay(&mut rng))
    }
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    unreachable: AtomicU64,
    armed: AtomicU64,
    touched: AtomicU64,
}

/// What every connection needs.
#[derive(Clone)]
struct Hop {
    upstream: Arc<str>,
    meter: Option<Arc<dyn Meter>>,
    clock: Clock,
    fault: watch::Receiver<Option<Arc<Active>>>,
    counts: Arc<Counts>,
}

/// One connection's meter, shared by its two directions.
type Gauge = Option<Mutex<Box<dyn ConnectionMeter>>>;

/// A run of bytes on its way to the client.
struct Chunk {
    bytes: Bytes,
    /// When it is due, and the number of the fault that holds it.
    held: Option<(Instant, u64)>,
    _room: OwnedSemaphorePermit,
}

/// Accepts until aborted; its connections end with it.
async fn accept(listener: TcpListener, hop: Hop) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let hop = hop.clone();
                connections.spawn(async move {
                    hop.counts.connections.fetch_add(1, Ordering::Relaxed);
                    if let Err(error) = serve(client, &hop).await {
                        tracing::debug!(%error, upstream = %hop.upstream, "connection ended");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(client: TcpStream, hop: &Hop) -> std::io::Result<()> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&*hop.upstream)).await;
    let upstream = match connected.unwrap_or_else(|late| Err(late.into())) {
        Ok(upstream) => upstream,
        Err(error) => {
            hop.counts.unreachable.fetch_add(1, Ordering::Relaxed);
            return Err(error);
        }
    };
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let gauge: Gauge = hop.meter.as_ref().map(|meter| Mutex::new(meter.connection()));
    let (from_client, to_client) = client.into_split();
    let (from_upstream, to_upstream) = upstream.into_split();
    // Bounded by the permits that every chunk carries.
    let (queue, queued) = mpsc::unbounded_channel();
    tokio::try_join!(
        forward_requests(from_client, to_upstream, hop, &gauge),
        read_replies(from_upstream, queue, hop),
        write_replies(queued, to_client, hop, &gauge),
    )?;
    Ok(())
}

async fn forward_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    hop: &Hop,
    gauge: &Gauge,
) -> std::io::Result<()> {
    while let Some(bytes) = read_chunk(&mut from).await? {
        if let Some(meter) = gauge {
            meter.lock().unwrap_or_else(PoisonError::into_inner).request(&bytes, hop.clock.now());
        }
        to.write_all(&bytes).await?;
    }
    to.shutdown().await
}

/// Queues each chunk with the instant at which it is due, for as long as the queue has room.
async fn read_replies(
    mut from: OwnedReadHalf,
    queue: mpsc::UnboundedSender<Chunk>,
    hop: &Hop,
) -> std::io::Result<()> {
    let room = Arc::new(Semaphore::new(QUEUE_BYTES));
    loop {
        let Ok(mut permit) = Arc::clone(&room).acquire_many_owned(CHUNK_BYTES).await else { return Ok(()) };
        let Some(bytes) = read_chunk(&mut from).await? else { return Ok(()) };
        let active = hop.fault.borrow().clone();
        let held = active.and_then(|active| hold(&active, &hop.counts));
        let cost = bytes.len().max(CHUNK_COST_MIN as usize);
        let Some(taken) = permit.split(cost) else { return Ok(()) };
        drop(permit);
        if queue.send(Chunk { bytes, held, _room: taken }).is_err() {
            return Ok(());
        }
    }
}

fn hold(active: &Active, counts: &Counts) -> Option<(Instant, u64)> {
    counts.armed.fetch_add(1, Ordering::Relaxed);
    let delay = active.touch()?;
    counts.touched.fetch_add(1, Ordering::Relaxed);
    Some((Instant::now() + delay, active.number))
}

async fn write_replies(
    mut queue: mpsc::UnboundedReceiver<Chunk>,
    mut to: OwnedWriteHalf,
    hop: &Hop,
    gauge: &Gauge,
) -> std::io::Result<()> {
    let mut fault = hop.fault.clone();
    while let Some(chunk) = queue.recv().await {
        if let Some((due, number)) = chunk.held {
            let lifted = fault.wait_for(|now| now.as_ref().map(|active| active.number) != Some(number));
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                _ = lifted => {}
            }
        }
        to.write_all(&chunk.bytes).await?;
        if let Some(meter) = gauge {
            meter.lock().unwrap_or_else(PoisonError::into_inner).reply(&chunk.bytes, hop.clock.now());
        }
    }
    to.shutdown().await
}

/// The next bytes, at most [`CHUNK_BYTES`]; nothing at the end of the stream.
async fn read_chunk(from: &mut OwnedReadHalf) -> std::io::Result<Option<Bytes>> {
    let mut buffer = BytesMut::with_capacity(CHUNK_BYTES as usize).limit(CHUNK_BYTES as usize);
    let read = from.read_buf(&mut buffer).await?;
    Ok((read > 0).then(|| buffer.into_inner().freeze()))
}

#[cfg(test)]
mod tests;
