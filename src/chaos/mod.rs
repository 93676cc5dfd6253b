//! Chaos: the experiment file, the faults, and the journal of what was done and when.
//!
//! This room knows nothing of detectors and alerts: it says what it did, nothing more.

mod experiment;
mod journal;

pub use experiment::{
    Expect, ExpectedDetection, Experiment, Fault, FaultKind, Objective, ObjectiveKind, Phases, Scene,
    Severity, StoreFailure, Target,
};
pub use journal::{Act, Entry, Journal};
