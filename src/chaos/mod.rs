//! Chaos: the experiment file, the faults, and the journal of what was done and when.
//!
//! This room knows nothing of detectors and alerts: it says what it did, nothing more.

mod experiment;
mod fault;
mod journal;
mod proxy;
mod resp_meter;

pub use experiment::{
    Expect, ExpectedDetection, Experiment, Fault, FaultKind, Objective, ObjectiveKind, Phases, Scene,
    Severity, StoreFailure, Target,
};
pub use fault::{HopFault, INJECTORS, Injector, hop_fault};
pub use journal::{Act, Entry, Journal};
pub use proxy::{ConnectionMeter, Meter, Proxy, ProxyError, ProxyStats};
pub use resp_meter::{MeterStats, RespMeter, StoreSample, probe_store};
