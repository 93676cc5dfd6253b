use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::{Mutex, Semaphore};

use super::store::StoreAddress;
use super::{Error, STORE_FEATURES};

/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection whose reply has not come after this is given up for a new one.
const DEAD_AFTER: Duration = Duration::from_secs(10);
/// Reads under way, those whose request has given up included.
const READS_MAX: usize = 1024;
/// Reads sent at once while the cache is warmed.
const PIPELINE: usize = 200;

/// Why the store's features are not there.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub(super) enum FetchError {
    #[error("timed out")]
    TimedOut,
    #[error("not found")]
    NotFound,
    #[error("failed: {0}")]
    Failed(String),
}

/// Reads features from the store, on one connection that is made anew when it breaks.
#[derive(Debug)]
pub(super) struct Fetcher {
    link: Arc<Link>,
    timeout: Duration,
}

#[derive(Debug)]
struct Link {
    address: StoreAddress,
    connection: Mutex<Numbered>,
    reads: Arc<Semaphore>,
}

/// The connection, and how many there were before it: only its own readers may give it up.
#[derive(Default)]
struct Numbered {
    number: u64,
    connection: Option<MultiplexedConnection>,
}

impl std::fmt::Debug for Numbered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection {} (up: {})", self.number, self.connection.is_some())
    }
}

impl Fetcher {
    pub(super) fn new(address: StoreAddress, timeout: Duration) -> Self {
        let reads = Arc::new(Semaphore::new(READS_MAX));
        Self { link: Arc::new(Link { address, connection: Mutex::default(), reads }), timeout }
    }

    /// One wine's features within the time-out, connecting included.
    ///
    /// The read itself goes on after the time-out: its late reply is what tells a slow store from
    /// a dead connection.
    pub(super) async fn fetch(&self, wine: i64) -> Result<[f64; 6], FetchError> {
        let Ok(permit) = Arc::clone(&self.link.reads).try_acquire_owned() else {
            return Err(FetchError::Failed(format!("{READS_MAX} reads under way")));
        };
        let link = Arc::clone(&self.link);
        let read = tokio::spawn(async move {
            let features = link.read(wine).await;
            drop(permit);
            features
        });
        match tokio::time::timeout(self.timeout, read).await {
            Ok(Ok(features)) => features,
            Ok(Err(error)) => Err(FetchError::Failed(error.to_string())),
            Err(_) => Err(FetchError::TimedOut),
        }
    }

    /// Many wines' features, for a cache that is warmed at start.
    ///
    /// # Errors
    /// When the store does not answer or lacks one of them.
    pub(super) async fn warm(&self, wines: &[i64]) -> Result<Vec<(i64, [f64; 6])>, Error> {
        let failed = |reason: String| Error::Store { addr: self.link.address.host_port(), reason };
        let (_, mut connection) = self.link.connection().await.map_err(|error| failed(error.to_string()))?;
        let mut found = Vec::with_capacity(wines.len());
        for part in wines.chunks(PIPELINE) {
            let mut pipe = redis::pipe();
            for wine in part {
                pipe.cmd("HMGET").arg(self.link.address.key(*wine)).arg(&STORE_FEATURES[..]);
            }
            let rows = tokio::time::timeout(DEAD_AFTER, pipe.query_async::<Vec<Row>>(&mut connection))
                .await
                .map_err(|_| failed("no answer while the cache was warmed".to_owned()))?
                .map_err(|error| failed(error.to_string()))?;
            for (wine, row) in part.iter().zip(rows) {
                found.push((*wine, features(row).map_err(|error| failed(format!("wine {wine}: {error}")))?));
            }
        }
        Ok(found)
    }
}

/// One reply to HMGET.
type Row = Vec<Option<f64>>;

impl Link {
    async fn read(&self, wine: i64) -> Result<[f64; 6], FetchError> {
        let (number, mut connection) = self.connection().await?;
        let mut hmget = redis::cmd("HMGET");
        hmget.arg(self.address.key(wine)).arg(&STORE_FEATURES[..]);
        match tokio::time::timeout(DEAD_AFTER, hmget.query_async::<Row>(&mut connection)).await {
            Ok(Ok(row)) => features(row),
            Ok(Err(error)) => {
                if error.is_unrecoverable_error() || error.is_io_error() || error.is_connection_dropped() {
                    self.give_up(number).await;
                }
                Err(FetchError::Failed(error.to_string()))
            }
            Err(_) => {
                self.give_up(number).await;
                Err(FetchError::Failed("the connection is dead".to_owned()))
            }
        }
    }

    /// The connection that is up, or a new one; others wait meanwhile instead of making their own.
    async fn connection(&self) -> Result<(u64, MultiplexedConnection), FetchError> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = &held.connection {
            return Ok((held.number, connection.clone()));
        }
        let connected = self.address.connect(CONNECT_TIMEOUT).await;
        let connection = connected.map_err(|error| FetchError::Failed(error.to_string()))?;
        held.number += 1;
        held.connection = Some(connection.clone());
        Ok((held.number, connection))
    }

    async fn give_up(&self, number: u64) {
        let mut held = self.connection.lock().await;
        if held.number == number {
            held.connection = None;
        }
    }
}

fn features(row: Row) -> Result<[f64; 6], FetchError> {
    let values: Vec<f64> = row.into_iter().flatten().collect();
    <[f64; 6]>::try_from(values).map_err(|_| FetchError::NotFound)
}
