//! Evidence of silent failures: bets that may alarm, effect sizes to read, one ledger, one threshold.
//!
//! A [`Calibration`] is fitted once from a baseline's rows. A [`Monitor`] then takes batches row by
//! row, in arrival order: every column, every group of features and the row rate is a stream that
//! falls into bins; each bin has Shiryaev-Roberts e-detectors that bet on it becoming commoner than
//! its upper confidence limit. Their weighted average is compared with the wanted run length, so the
//! mean time to a false alarm is at least the budget: for 95 % of baselines, for requests that are
//! independent of each other in time, and for a row rate within its band; whatever depends on what
//! between columns.
//!
//! # Source
//! Shin, Ramdas and Rinaldo, arXiv 2203.03532 (e-detectors); Shiryaev (1963) and Roberts (1966).

mod attribution;
mod bet;
mod bins;
mod bits;
mod bootstrap;
mod calibrate;
mod cause;
mod checks;
mod contract;
mod cut;
mod dependence;
mod diagnosis;
mod effect;
mod encode;
mod evidence;
mod finding;
mod fitness;
mod grid;
mod harm;
mod hours;
mod influence;
mod joint;
mod labels;
mod lanes;
mod latched;
mod learn;
mod limits;
mod mean;
mod memory;
mod merge;
mod message;
mod monitor;
mod normal;
mod plan;
mod power;
mod promise;
mod queue;
mod rate;
mod recovery;
mod relearn;
mod report;
mod roc;
mod scores;
mod setup;
mod state;
mod steps;
mod strata;
mod stream;
mod table;
mod tails;
mod trail;
mod trees;
mod versions;
#[cfg(test)]
mod tests;
mod weak;

pub use bet::{KINDS, Kind, Subject};
pub use bins::Bin;
pub use bootstrap::{Bootstrap, Recording, RunLength};
pub use calibrate::{Calibration, Counter, Planner};
pub use cause::{CLASSES, Cause, Class, Shown, Symptom};
pub use checks::{Answered, Check, CheckReport, Checker, Held, Outcome, Recovering, Terms, Unanswered};
pub use diagnosis::{Diagnosis, Harm};
pub use effect::rows::{NoEstimate, Reconstruction, Residual, domain_auc};
pub use effect::{EFFECTS, Effect, EffectSize, NotMeasured, Pair, effect_sizes, on_metrics};
pub use finding::{Alarm, Finding, Share, StreamState, Undecided};
pub use harm::{
    Cbpe, DirectLoss, EstimatedPerformance, LabelShift, ScoredRow, label_shift, realised_performance,
};
pub use hours::Season;
pub use labels::{
    Answer, Answers, HARMFUL_SHIFT, HARMFUL_SHIFT_MANUAL, HarmOptions, Loss, Performance, PerformanceReport,
    Reference, ReferenceLearner, RiskInterval, SavedPerformance, Scored, Skew, SkewReport, SkewShare,
    SourceRisk, Truth,
};
pub use learn::Learner;
pub use monitor::{Monitor, Saved};
pub use promise::Promise;
pub use relearn::{RELEARN_STEPS_MIN, Relearner};
pub use report::{Power, StreamReport};
pub use setup::{Options, ROW_RATE};
pub use stream::Topic;
pub use table::Family;
pub use versions::{VERSION, Whose, unknown_version, version_of};
pub use weak::Weak;

/// What keeps a detector from being built or resumed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not enough rows for any baseline.
    #[error("baseline has {rows} rows, expected at least {expected}")]
    TooFewRows {
        /// Rows that were there.
        rows: u64,
        /// Rows that are needed.
        expected: u64,
    },
    /// The input changed between the two passes.
    #[error("the first pass read {first} rows and the second {second}: the input changed meanwhile")]
    PassesDiffer {
        /// Rows of the first pass.
        first: u64,
        /// Rows of the second.
        second: u64,
    },
    /// The baseline itself breaks a declared rule.
    #[error("column `{column}`: {rows} rows of the baseline break its declared contract")]
    ContractBroken {
        /// The column.
        column: String,
        /// Rows that break it.
        rows: u64,
    },
    /// Rows that depend on each other more than any threshold makes up for.
    #[error(
        "`{column}`: rows depend on each other: at a threshold of {threshold} rows, rows drawn from the baseline \
         raise a false alarm every {found}, expected {threshold} at least, and no higher threshold is known to \
         keep the budget; send `request_id` and `entity` if rows belong together{advice}"
    )]
    RunLength {
        /// The column whose rows depend on each other most.
        column: String,
        /// The mean run length found.
        found: String,
        /// Where it was found: the run length expected.
        threshold: u64,
        /// A budget that could be kept, if any.
        advice: String,
    },
    /// A calibration that cannot be used.
    #[error("calibration {0}")]
    Calibration(String),
    /// No detector has that name.
    #[error("no detector is called `{name}`, expected one of {}", names().join(", "))]
    UnknownDetector {
        /// The name that was given.
        name: String,
    },
    /// A budget that no threshold stands for.
    #[error("the budget is empty: expected a time or a number of rows above 0")]
    EmptyBudget,
    /// A time zone that nobody knows.
    #[error("no time zone is called `{0}`, expected a name of the IANA database such as `Europe/Berlin`")]
    NoZone(String),
    /// Calibrations whose counts do not add up to anything.
    #[error("they cannot be merged: {0}; count the second recording with `--plan-of` the first")]
    PlansDiffer(String),
    /// Recordings too unlike for one baseline.
    #[error(
        "they cannot be merged: `{column}` differs between the two recordings by {found} times the variance of chance, \
         expected at most {expected}: keep two baselines, or build one of a recording that has both kinds of traffic"
    )]
    Unlike {
        /// The column that differs most.
        column: String,
        /// By how much.
        found: String,
        /// The most that evidence can be tempered by.
        expected: f64,
    },
    /// Answers of another version that carry no baseline, or not yet.
    #[error("{0}")]
    NotRelearnt(String),
    /// Saved evidence of another baseline, budget or set of detectors.
    #[error("saved evidence belongs to another baseline, budget or set of detectors")]
    StateOfAnother,
}

/// The names of all detectors that may alarm, in the order of the manual.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let bets = KINDS.iter().map(|b| b.name());
    bets.chain(Check::ALL.map(Check::name)).chain([HARMFUL_SHIFT]).collect()
}

/// Checks that every name is a detector's.
///
/// # Errors
/// [`Error::UnknownDetector`] for the first that is not.
pub fn check_names<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let known = self::names();
    match names.find(|name| !known.contains(name)) {
        Some(name) => Err(Error::UnknownDetector { name: name.to_owned() }),
        None => Ok(()),
    }
}
