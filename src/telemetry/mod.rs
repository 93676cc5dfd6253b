//! Telemetry: the set-up of logs, and every metric's name, labels and help, as typed functions.
//!
//! Nothing here knows what a number is for. A number that was not measured is absent, never 0.

mod family;
mod labels;
mod logs;
mod metrics;
mod names;

pub use labels::{AlertLevel, Outcome, Sent, Stage, Standing};
pub use logs::{LogFormat, LogLevel, Logs, init_logs};
pub use metrics::{Metrics, Setup};

/// What telemetry cannot be made of.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A filter that cannot be read.
    #[error("{variable} is `{filter}`: {source}, expected a filter such as `info` or `silentry=debug,warn`")]
    Filter {
        /// The environment variable.
        variable: &'static str,
        /// What it held.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Histogram edges that do not rise, or are not numbers.
    #[error("histogram edges {0:?}: expected at least one, finite and rising")]
    Edges(Vec<f64>),
    /// The metrics library refused a family.
    #[error("metric `{family}`: {source}")]
    Family {
        /// The metric's name.
        family: &'static str,
        /// Why.
        source: prometheus::Error,
    },
    /// The metrics could not be written as text.
    #[error("metrics cannot be written: {0}")]
    Encode(prometheus::Error),
}
