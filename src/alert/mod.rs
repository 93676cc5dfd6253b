//! From findings to alerts: pending, firing, resolved; the timeline; those who are told.
//!
//! The state machine is pure: findings and the time go in, changes come out. Nothing here knows
//! how evidence is weighed.

mod manager;
mod operate;
mod saved;
mod sink;
mod timeline;
mod view;

use std::path::PathBuf;
use std::time::Duration;

pub use manager::{Config, Manager};
pub use operate::{SILENCE_MAX, Signature};
pub use saved::Saved;
pub use sink::{
    Alertmanager, Delivered, HttpUrl, Notifier, Retry, Secret, SecretFrom, Sink, SinkStatus, Webhook, Wiring,
};
pub use timeline::{Entry, Event, Lost, Timeline};
pub use view::{Alert, Change, Severity, Signed, Silence, State};

/// What alerts cannot be made of, or told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No alert of that number, or none of that model.
    #[error("model `{model}` has no alert {id}, or it ended long ago")]
    Unknown {
        /// The model that was named.
        model: String,
        /// The number.
        id: u64,
    },
    /// An alert that has ended.
    #[error("alert {id} has ended: it is {}", state.word())]
    Ended {
        /// Its number.
        id: u64,
        /// How it ended.
        state: State,
    },
    /// Nobody's name, or too much of a note.
    #[error("{field} has {found} bytes, expected {expected}")]
    Signature {
        /// `who` or `note`.
        field: &'static str,
        /// Its length.
        found: usize,
        /// What is possible.
        expected: &'static str,
    },
    /// A silence of no length, or one that would be forgotten.
    #[error("a silence of {} s, expected more than 0s and at most 7d", found.as_secs_f64())]
    SilenceLength {
        /// The length.
        found: Duration,
    },
    /// A saved state that contradicts itself.
    #[error("saved alerts: {0}")]
    Saved(String),
    /// Not an address that a notification can be sent to.
    #[error("`{url}` is no address to send to: {reason}, expected http://host:port/path")]
    Url {
        /// The address, without what may be secret in it.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A secret's variable is not set, or is no text.
    #[error("environment variable `{0}` is not set to a secret")]
    SecretVariable(String),
    /// A secret's file cannot be read.
    #[error("cannot read the secret in `{path}`: {source}")]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A secret that no HTTP header can carry.
    #[error("the secret of sink `{0}` cannot be sent as a header, expected one line of printable ASCII")]
    SecretHeader(String),
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(reqwest::Error),
}
