//! Chaos: the experiment file, the faults, and the journal of what was done and when.
//!
//! This room knows nothing of detectors and alerts: it says what it did, nothing more.

mod experiment;
mod fault;
mod journal;
mod proxy;
mod resp_meter;
mod outcome;
mod spec;

pub use experiment::{
    Expect, ExpectedDetection, Experiment, Fault, FaultKind, Objective, ObjectiveKind, Phases, Safety, Scene,
    Severity, StoreFailure, Target,
};
pub use fault::{HopFault, INJECTORS, Injector, hop_fault};
pub use journal::{Act, Entry, Journal};
pub use outcome::{Effect, Headline, Outcome, Recovery, RunStatus, Visibility};
pub use proxy::{ConnectionMeter, Meter, Proxy, ProxyError, ProxyStats};
pub use resp_meter::{MeterStats, RespMeter, StoreSample, probe_store};
pub use spec::experiment_json_schema;

/// What is wrong with an experiment.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum Error {
    /// The file is not YAML of an experiment's shape.
    #[error("line {line}, column {column}: {message}, at `{text}`")]
    Unreadable {
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
        /// What is wrong and what was expected.
        message: String,
        /// The line itself, shortened.
        text: String,
    },
    /// A field holds what no experiment can mean.
    #[error("`{path}` is {found}, expected {expected}")]
    Field {
        /// The path to it, such as `faults[0].id`.
        path: String,
        /// What is there.
        found: String,
        /// What could be.
        expected: String,
    },
    /// A detector is expected that does not exist.
    #[error("`{path}` is `{found}`, expected a detector that exists; {hint}")]
    UnknownDetector {
        /// The path to it.
        path: String,
        /// The name that is there.
        found: String,
        /// The nearest name, or all of them.
        hint: String,
    },
}
