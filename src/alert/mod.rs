//! From findings to alerts: pending, firing, resolved; the timeline; those who are told.
//!
//! The state machine is pure: findings and the time go in, changes come out. Nothing here knows
//! how evidence is weighed.

mod manager;
mod saved;
mod sink;
mod timeline;
mod view;

use std::path::PathBuf;

pub use manager::{Config, Manager};
pub use saved::Saved;
pub use sink::{
    Alertmanager, Delivered, HttpUrl, Notifier, Retry, Secret, SecretFrom, Sink, SinkStatus, Webhook, Wiring,
};
pub use timeline::{Entry, Event, Lost, Timeline};
pub use view::{Alert, Change, Severity, State};

/// What alerts cannot be made of, or told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A saved state that contradicts itself.
    #[error("saved alerts: {0}")]
    Saved(String),
    /// Not an address that a notification can be sent to.
    #[error("`{url}` is no receiver: {reason}, expected http://host:port/path")]
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
