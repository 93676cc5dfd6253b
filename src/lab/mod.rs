//! One experiment from end to end: scene, service, load, fault, verdict.
//!
//! Everything runs in one process on loopback and on real sockets: the model service sends what its
//! model saw through the tap's client to silentry's API, as any service would.

mod baseline;
mod known;
mod progress;
mod rehearsal;
mod stage;

pub use progress::{Progress, Quiet};
pub use rehearsal::{Outcome, Plan, rehearse};

/// What keeps an experiment from being run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The experiment is not one that runs here.
    #[error("experiment `{0}` is about a model of its own, expected `target.scene`: start it over the API")]
    NotAScene(String),
    /// The experiment is wrong.
    #[error(transparent)]
    Experiment(#[from] crate::chaos::Error),
    /// The scene cannot be set up.
    #[error(transparent)]
    Scene(#[from] crate::scene::Error),
    /// The fault proxy cannot be set up.
    #[error(transparent)]
    Proxy(#[from] crate::chaos::ProxyError),
    /// The service cannot be set up, or does not judge.
    #[error(transparent)]
    Service(#[from] crate::service::Error),
    /// The tap's client cannot be set up.
    #[error(transparent)]
    Client(#[from] crate::client::Error),
    /// It was ended before there was a run to judge.
    #[error("not run: {0} before the run began")]
    Aborted(String),
    /// Healthy rows that did not arrive.
    #[error("the baseline got {arrived} of {expected} rows: {why}")]
    RowsMissing {
        /// Rows that arrived.
        arrived: u64,
        /// Rows that were pushed.
        expected: u64,
        /// What became of the others.
        why: String,
    },
    /// Sockets or files of the rehearsal.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
}
