use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::upload::{Uploader, run};
use super::{Config, Error};
use crate::record::Record;

/// Records that were lost, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// The queue was full, in records or in bytes.
    pub queue_full: u64,
    /// The record was over the bound, or could not be written as JSON.
    pub too_large: u64,
    /// The service could not be reached or did not answer in time.
    pub send_failed: u64,
    /// The service answered that it does not take them.
    pub refused: u64,
    /// The tap was closed.
    pub closed: u64,
}

impl Lost {
    /// All reasons together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.queue_full + self.too_large + self.send_failed + self.refused + self.closed
    }
}

/// What became of the records so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records handed to [`Tap::send`].
    pub offered: u64,
    /// Records that the service took.
    pub sent: u64,
    /// Records that it never had.
    pub lost: Lost,
}

impl Stats {
    /// Records still on their way.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.offered.saturating_sub(self.sent + self.lost.total())
    }
}

/// The sending half of the tap; a background task posts what is handed in.
///
/// Dropping it lets the task send what waits, each batch within its time-out, and end.
#[derive(Debug)]
pub struct Tap {
    source: String,
    record_bytes_max: usize,
    seq: AtomicU64,
    closed: AtomicBool,
    room: Arc<Semaphore>,
    queue: mpsc::Sender<Line>,
    queued: AtomicU64,
    settled: watch::Receiver<u64>,
    counts: Arc<Counts>,
}

/// One record as a line of NDJSON, with its share of the queue's bytes.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) json: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    pub(super) send_failed: AtomicU64,
    pub(super) refused: AtomicU64,
    queue_full: AtomicU64,
    too_large: AtomicU64,
    closed: AtomicU64,
}

impl Tap {
    /// Starts the background task; must be called within a tokio runtime. A service that cannot
    /// be reached is no error: its records are lost and counted.
    ///
    /// # Errors
    /// When the address is no HTTP URL, or no client can be made.
    pub fn start(config: Config) -> Result<Self, Error> {
        let uploader = Uploader::new(&config)?;
        let (queue, lines) = mpsc::channel(at_least_one(config.queue_records));
        let (progress, settled) = watch::channel(0);
        let counts = Arc::new(Counts::default());
        tokio::spawn(run(uploader, lines, Arc::clone(&counts), progress));
        Ok(Self {
            source: config.source,
            record_bytes_max: at_least_one(config.record_bytes_max),
            seq: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            room: Arc::new(Semaphore::new(at_least_one(config.queue_bytes))),
            queue,
            queued: AtomicU64::new(0),
            settled,
            counts,
        })
    }

    /// Hands a record over. Never waits and never fails: what cannot be queued is lost and counted.
    ///
    /// The record gets this tap's source and its running number, from 0; a number that never
    /// arrives is a lost record. Records of tasks that send at the same instant may swap places.
    pub fn send(&self, mut record: Record) {
        record.seq = Some(self.seq.fetch_add(1, Ordering::Relaxed));
        record.source = Some(self.source.clone());
        if self.closed.load(Ordering::Acquire) {
            return lose(&self.counts.closed);
        }
        let mut json = Bounded { bytes: Vec::with_capacity(1024), max: self.record_bytes_max };
        if serde_json::to_writer(&mut json, &record).is_err() {
            return lose(&self.counts.too_large);
        }
        let mut json = json.bytes;
        json.push(b'\n');
        let cost = u32::try_from(json.capacity()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(cost) else {
            return lose(&self.counts.queue_full);
        };
        match self.queue.try_send(Line { json, _room: room }) {
            Ok(()) => {
                self.queued.fetch_add(1, Ordering::Release);
            }
            Err(mpsc::error::TrySendError::Full(_)) => lose(&self.counts.queue_full),
            Err(mpsc::error::TrySendError::Closed(_)) => lose(&self.counts.closed),
        }
    }

    /// Waits until every record queued before was sent or counted as lost; at most the time-out
    /// for each batch that waits.
    pub async fn flush(&self) {
        let target = self.queued.load(Ordering::Acquire);
        // The task ends only with the runtime: then nothing is left to wait for.
        let _ = self.settled.clone().wait_for(|done| *done >= target).await;
    }

    /// Takes no further records, and waits like [`Tap::flush`].
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.flush().await;
    }

    /// What became of the records so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let read = |count: &AtomicU64| count.load(Ordering::Acquire);
        let counts = &self.counts;
        // Fates are read before the offers, so that a record is never fated before it was offered.
        let lost = Lost {
            queue_full: read(&counts.queue_full),
            too_large: read(&counts.too_large),
            send_failed: read(&counts.send_failed),
            refused: read(&counts.refused),
            closed: read(&counts.closed),
        };
        let sent = read(&counts.sent);
        Stats { offered: read(&self.seq), sent, lost }
    }
}

fn at_least_one(bound: u32) -> usize {
    usize::try_from(bound).unwrap_or(usize::MAX).max(1)
}

fn lose(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Release);
}

/// A buffer that stops taking bytes at its bound, so that a huge record is never held whole.
struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.max {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::time::Duration;

    use crate::record::Scalar;
    use crate::units::Timestamp;

    fn record(text: &str) -> Record {
        let line = r#"{"ts":0,"model":"wine"}"#;
        let mut record: Record = serde_json::from_str(line).unwrap();
        record.ts = Timestamp::from_millis(5);
        record.features.insert("x".to_owned(), Scalar::Text(text.to_owned()));
        record
    }

    /// A sink that keeps bodies and answers with what it is told to.
    async fn sink(status: u16, answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        let app = axum::Router::new().route(
            "/v1/records",
            axum::routing::post(move |body: String| {
                kept.lock().unwrap().push(body);
                async move { (axum::http::StatusCode::from_u16(status).unwrap(), answer) }
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (url, bodies)
    }

    /// Every record arrives once, in order, numbered and with its source.
    #[tokio::test]
    async fn records_arrive_numbered() {
        let (url, bodies) = sink(200, "").await;
        let tap = Tap::start(Config { batch_records: 7, ..Config::to(format!("{url}/"), "svc-1") }).unwrap();
        for n in 0..50 {
            tap.send(record(&n.to_string()));
        }
        tap.flush().await;
        let text = bodies.lock().unwrap().concat();
        let records: Vec<Record> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.iter().map(|r| r.seq.unwrap()).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
        assert!(records.iter().all(|r| r.source.as_deref() == Some("svc-1")));
        assert!(bodies.lock().unwrap().len() >= 8, "batches of at most 7");
        let stats = tap.stats();
        assert_eq!((stats.sent, stats.lost.total(), stats.waiting()), (50, 0, 0));
    }

    /// What the service does not take is lost as refused, wholly or by the number it names.
    #[tokio::test]
    async fn refusals_are_counted() {
        for (status, answer, sent, refused) in
            [(400, "no", 0, 10), (200, r#"{"accepted":8,"rejected":2}"#, 8, 2), (202, "", 10, 0)]
        {
            let (url, _bodies) = sink(status, answer).await;
            let tap = Tap::start(Config { flush_after: Duration::from_millis(50), ..Config::to(url, "s") })
                .unwrap();
            (0..10).for_each(|n| tap.send(record(&n.to_string())));
            tap.flush().await;
            assert_eq!((tap.stats().sent, tap.stats().lost.refused), (sent, refused), "{status} {answer}");
        }
    }

    /// A refused port loses records by that reason, and a record over the bound never queues.
    #[tokio::test]
    async fn losses_have_reasons() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let tap = Tap::start(Config { record_bytes_max: 500, ..Config::to(url, "s") }).unwrap();
        tap.send(record("a"));
        tap.send(record(&"a".repeat(600)));
        tap.close().await;
        tap.send(record("late"));
        let expected = Lost { send_failed: 1, too_large: 1, closed: 1, ..Lost::default() };
        assert_eq!((tap.stats().sent, tap.stats().lost), (0, expected));
        assert_eq!(tap.stats().offered, 3);
    }

    /// A sink that accepts and never answers: sending neither waits nor grows beyond the bounds,
    /// and everything is accounted for in the end.
    #[tokio::test]
    async fn a_hanging_sink_costs_records_only() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = Config {
            queue_records: 100,
            batch_records: 100,
            timeout: Duration::from_millis(300),
            ..Config::to(url, "s")
        };
        let tap = Tap::start(config).unwrap();
        // `send` is not async: were it to wait for the task, this test's one thread would hang here.
        (0..1_000).for_each(|n| tap.send(record(&n.to_string())));
        let held = listener.accept().await.unwrap();
        let at_once = tap.stats();
        assert!(at_once.lost.queue_full >= 800, "{at_once:?}");
        tap.flush().await;
        drop(held);
        let stats = tap.stats();
        assert_eq!((stats.offered, stats.sent, stats.waiting()), (1_000, 0, 0));
        assert_eq!(stats.lost.queue_full + stats.lost.send_failed, 1_000, "{stats:?}");
        assert!(stats.lost.send_failed >= 100, "{stats:?}");
    }

    /// The bound in bytes holds while the one in records is far away.
    #[tokio::test]
    async fn the_queue_is_bounded_in_bytes() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tap = Tap::start(Config { queue_bytes: 10_000, ..Config::to(url, "s") }).unwrap();
        (0..100).for_each(|_| tap.send(record(&"a".repeat(900))));
        assert!(tap.stats().lost.queue_full > 80, "{:?}", tap.stats());
    }

    /// An address that is none is told apart from a service that is away.
    #[tokio::test]
    async fn a_wrong_url_is_refused() {
        for url in ["", "localhost:1", "ftp://x", "http://"] {
            let error = Tap::start(Config::to(url, "s")).unwrap_err().to_string();
            assert!(error.contains("expected such as"), "{error}");
        }
    }
}
