//! A profile chosen as reference: where it came from, what it may cost, and the file that holds it.
//!
//! Bytes in, bytes out: who reads and writes the file is not this room's business.

mod budget;
mod describe;
mod file;
mod fitness;
mod summary;

pub use budget::Budget;
pub use describe::describe;
pub use file::{Baseline, Draft, Provenance, Seasonality, rate_of};
pub use fitness::{Oddity, oddities};
pub use summary::{
    ColumnSummary, NumberSummary, RangeSummary, ValueSummary, WordShare, WordSummary, summaries,
};

/// What a baseline cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a baseline file at all.
    #[error("not a baseline file: {0}")]
    NotABaseline(#[source] serde_json::Error),
    /// Written in another format.
    #[error("baseline file is of format `{found}`, expected `{expected}`: build the baseline again")]
    Format {
        /// What the file says.
        found: String,
        /// What this program reads.
        expected: &'static str,
    },
    /// Changed since it was sealed.
    #[error("baseline was changed after it was sealed: its content has hash {found}, expected {expected}")]
    Hash {
        /// The hash of what is there.
        found: String,
        /// The hash that was sealed.
        expected: String,
    },
    /// For another model.
    #[error("baseline `{name}` is of model `{found}`, expected model `{expected}`")]
    OtherModel {
        /// The baseline's name.
        name: String,
        /// Its model.
        found: String,
        /// The model asked for.
        expected: String,
    },
    /// A field that holds nothing usable.
    #[error("baseline {field} is {found}, expected {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What it must hold.
        expected: &'static str,
    },
    /// Too short a recording to know what each hour is like.
    #[error(
        "seasonality `{seasonality}` needs a recording of at least {wanted} days (two cycles), found {days:.2}"
    )]
    Cycles {
        /// What was declared.
        seasonality: Seasonality,
        /// Days from the first row to the last.
        days: f64,
        /// Days that are needed.
        wanted: f64,
    },
    /// A word that is no seasonality.
    #[error("seasonality is `{0}`, expected `none`, `hour-of-day` or `hour-of-week`")]
    NoSeasonality(String),
    /// A text that is no budget.
    #[error(
        "budget is `{0}`, expected alarms per time or rows, such as `1/month`, `2/week`, `1/12h` or `1/100000rows`"
    )]
    NotABudget(String),
    /// Times from which no rate follows.
    #[error("the rate of rows cannot be read from `ts`: {0}; state it in rows a second (--rate)")]
    RateUnknown(String),
}
