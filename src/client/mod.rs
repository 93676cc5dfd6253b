//! The tap's sending half, for the process that serves a model.
//!
//! It can never hurt its host: [`Tap::send`] does not wait, the queue is bounded in records and in
//! bytes, a sink that is slow, dead or hanging costs records and nothing else, and every lost
//! record is counted by reason.

mod tap;
mod upload;

pub use tap::{Lost, Stats, Tap};

use std::time::Duration;

/// What a tap cannot be started with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sink is no HTTP address.
    #[error("tap url `{url}`: {reason}, expected such as `http://127.0.0.1:8080`")]
    Url {
        /// The text that was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client cannot be made.
    #[error("tap: cannot make an HTTP client")]
    Client(#[from] reqwest::Error),
}

/// Where records go, and the bounds of what waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The service; records are posted to `<url>/v1/records`.
    pub url: String,
    /// Sent as a bearer token, where the service wants one.
    pub token: Option<String>,
    /// The name of the sending process, put into every record. Each process needs its own: the receiver
    /// tells lost records by the numbers under one name.
    pub source: String,
    /// Records that may wait.
    pub queue_records: u32,
    /// Bytes that may wait.
    pub queue_bytes: u32,
    /// The largest record, as a line of JSON in bytes.
    pub record_bytes_max: u32,
    /// Records sent at once.
    pub batch_records: u32,
    /// The longest a record waits for others to be sent with it.
    pub flush_after: Duration,
    /// The longest wait for the service to take a batch.
    pub timeout: Duration,
}

impl Config {
    /// Defaults for a sink: 10,000 records or 32 MiB waiting, batches of 500 or 10 ms, time-out 2 s.
    #[must_use]
    pub fn to(url: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            source: source.into(),
            queue_records: 10_000,
            queue_bytes: 32 * 1024 * 1024,
            record_bytes_max: 256 * 1024,
            batch_records: 500,
            flush_after: Duration::from_millis(10),
            timeout: Duration::from_secs(2),
        }
    }
}
