//! One experiment from end to end: scene, service, load, fault, verdict.
//!
//! Everything runs in one process on loopback and on real sockets: the model service sends what its
//! model saw through the tap's client to silentry's API, as any service would.

#[cfg(test)]
mod answers;
mod baseline;
mod known;
mod progress;
mod rehearsal;
mod stage;

pub use progress::{Progress, Quiet};
pub use rehearsal::{Outcome, Plan, check_groups, rehearse};

/// What keeps an experiment from being run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The experiment is not one that runs here.
    #[error(
        "`target` is a model of its own, expected `target.scene`: runs on such a model start over the API"
    )]
    NotAScene,
    /// Somebody stopped it while it was being prepared: nothing was broken, nothing is judged.
    #[error("stopped before the run began: {0}")]
    Aborted(String),
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
