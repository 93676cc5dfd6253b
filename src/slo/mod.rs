//! Service levels: latency in hdrhistogram windows, errors, objectives and what is left of their budget.
//!
//! A latency has to be measured from the request's *intended* start by an open loop: a client that
//! waits for one answer before it sends the next question stops asking while the service stalls, and
//! its percentiles hide the stall (coordinated omission, Tene 2013). Nothing here can undo that, so
//! [`Meter`] trusts its caller and corrects nothing.

mod meter;
mod objective;
mod report;

pub use meter::{Meter, Span};
pub use objective::{Kind, Objective};
pub use report::{Phases, Report, Summary, Window};

/// What a service level cannot be measured with.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum Error {
    /// Windows without length.
    #[error("the window of objective `{objective}` is {found:?}, expected at least 1 ms")]
    Window {
        /// The objective's name.
        objective: String,
        /// What was given.
        found: std::time::Duration,
    },
    /// The histogram could not be made or merged.
    #[error("objective `{objective}`: {reason}")]
    Histogram {
        /// The objective's name.
        objective: String,
        /// What the histogram said.
        reason: String,
    },
}
