//! The shadow service: wires tap, detectors, alerts, service levels and runs together.
//!
//! One engine holds all state and is pure but for what it is handed: records and the time go in,
//! changes come out. [`Service::start`] puts tasks around it; [`Handle`] is what the API and the
//! rehearsals hold. Nothing here knows HTTP shapes or flags.

mod arrivals;
mod asking;
mod capture;
mod check;
mod checks;
mod compare;
mod engine;
mod export;
mod features_seen;
mod handle;
mod judge;
mod kept;
mod labels;
mod learn;
mod merge;
mod operate;
mod model;
mod recent;
mod recorded;
mod relearn;
mod run;
mod sources;
mod state;
mod strangers;
mod tasks;
mod traffic;
mod versions;
mod view;

#[cfg(test)]
mod tests;

pub use capture::{Capture, Captured, Learning};
pub use check::{Checked, check};
pub use compare::{Change, ColumnChange, ColumnDiff, Compared, compare};
pub use engine::ModelSetup;
pub use features_seen::FeaturesSeen;
pub use handle::{Handle, Ingested};
pub use judge::monitor;
pub use kept::BASELINE_BYTES_MAX;
pub use labels::{LabelSettings, LabelsTaken, LabelsView};
pub use learn::{LearnOptions, learn};
pub use merge::{MergeOptions, merge};
pub use operate::{Accepted, BaselinePut};
pub use recent::RecentRows;
pub use recorded::Recorded;
pub use relearn::Relearnt;
pub use run::{Latencies, RunRequest};
pub use tasks::{Service, Setup};
pub use traffic::{
    Beside, ClassShare, ClassShares, Classifier, Domain, EstimatedHarm, Figure, MeanLoss,
    ReconstructionError, SideRead, Sides, TrafficCompared, WholeRows, compare_traffic,
};
pub use versions::Adopted;
pub use view::{AlertsView, CheckView, Health, ModelView, RunView, TapView, VersionView};

/// What the service cannot do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two models of one name.
    #[error("model `{0}` is configured twice")]
    DuplicateModel(String),
    /// Baselines that cannot stand beside each other.
    #[error("model `{model}`: {why}")]
    Versions {
        /// The model.
        model: String,
        /// Why.
        why: String,
    },
    /// What judges a model does not change while a run is judged by it.
    #[error("run `{run}` of model `{model}` is under way: what judges it is frozen until it has ended")]
    RunUnderWay {
        /// The model.
        model: String,
        /// The run.
        run: String,
    },
    /// The model's detectors cannot be set up.
    #[error("model `{model}`: {source}")]
    Detect {
        /// The model.
        model: String,
        /// Why.
        source: crate::detect::Error,
    },
    /// A budget of labels under which every labelled request may raise an alarm.
    #[error(
        "model `{model}`: its `labels.budget`, `{budget}`, is no more than one row at {rate} rows a second: expected a \
         longer time, or a number of labelled requests such as `1/1000rows`, or `{}` in its `without`",
        crate::detect::HARMFUL_SHIFT
    )]
    LabelBudget {
        /// The model.
        model: String,
        /// The budget.
        budget: String,
        /// Requests a second, as the baseline says.
        rate: f64,
    },
    /// Who knows the model's right answers cannot be asked.
    #[error("model `{model}`: {source}")]
    Oracle {
        /// The model.
        model: String,
        /// Why.
        source: crate::oracle::Error,
    },
    /// The model's service levels cannot be measured.
    #[error(transparent)]
    Slo(#[from] crate::slo::Error),
    /// Alerts cannot be told.
    #[error(transparent)]
    Alert(#[from] crate::alert::Error),
    /// Metrics cannot be made.
    #[error(transparent)]
    Telemetry(#[from] crate::telemetry::Error),
    /// State cannot be kept.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// Rows that do not make a batch.
    #[error("model `{model}`: {source}")]
    Batch {
        /// The model.
        model: String,
        /// Why.
        source: crate::record::Error,
    },
    /// A document that cannot be written to be hashed or kept.
    #[error("cannot be written as JSON: {0}")]
    Hash(serde_json::Error),
    /// A schema file that is none.
    #[error(transparent)]
    Schema(#[from] crate::record::Error),
    /// Recorded rows that cannot be read.
    #[error(transparent)]
    File(#[from] crate::tap::Error),
    /// Rows that cannot be summed up.
    #[error(transparent)]
    Profile(#[from] crate::profile::Error),
    /// A baseline that cannot be made.
    #[error(transparent)]
    Baseline(#[from] crate::baseline::Error),
    /// A group that would be lost in silence, or nearly so.
    #[error("{0}; `--accept-weak` takes it as it is")]
    Weak(String),
    /// A plan that is not for these rows.
    #[error("the plan's {what} is `{expected}`, expected the same as here: `{found}`")]
    PlanOf {
        /// What differs.
        what: &'static str,
        /// What is wanted.
        found: String,
        /// What the plan has.
        expected: String,
    },
    /// Rows that would be counted twice, or would be judged by bins that they chose.
    #[error("the rows of `{0}` are in it already, expected another recording")]
    SameRecording(String),
    /// Baselines that do not add up to anything.
    #[error("they cannot be merged: their {what} differ: `{one}` and `{two}`")]
    NotMergeable {
        /// What differs.
        what: &'static str,
        /// What the first has.
        one: String,
        /// What the second has.
        two: String,
    },
    /// Baselines of different columns.
    #[error(
        "they cannot be merged: their columns differ, {0} first; build the second with `--plan-of` the first"
    )]
    ColumnsDiffer(String),
    /// Rows of another version than the baseline is for.
    #[error(
        "{rows} rows are of version `{found}`, expected `{expected}` only: leave them out of the recording"
    )]
    OtherVersion {
        /// Rows of that version.
        rows: u64,
        /// The first other version.
        found: String,
        /// The version of the baseline.
        expected: String,
    },
    /// Recorded rows that share nothing with a baseline.
    #[error("{}: none of the {features} features of the baseline, expected `{expected}`", path.display())]
    NoFeatures {
        /// The file.
        path: std::path::PathBuf,
        /// How many features there should be.
        features: usize,
        /// Some of them.
        expected: String,
    },
    /// Live rows that no baseline can be learnt of.
    #[error("{0}")]
    NotLearnt(String),
    /// A number that is none.
    #[error(transparent)]
    Units(#[from] crate::units::Error),
    /// A task that ended before its time.
    #[error("a task of the service failed: {0}")]
    Task(String),
    /// No model of that name.
    #[error("no model is called `{name}`, expected one of: {known}")]
    UnknownModel {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// No version of that name.
    #[error("model `{model}` has no version `{version}`, expected one of: {known}")]
    UnknownVersion {
        /// The model.
        model: String,
        /// The version that was asked for.
        version: String,
        /// Those that have a baseline or were seen.
        known: String,
    },
    /// A version of which no baseline can be made, or not yet.
    #[error("version `{version}` of model `{model}` has no baseline: {missing}")]
    NotRelearnt {
        /// The model.
        model: String,
        /// The version.
        version: String,
        /// What is missing, or in the way.
        missing: String,
    },
    /// No run of that id.
    #[error("no run has the id `{0}`")]
    UnknownRun(String),
    /// An experiment that cannot be judged here.
    #[error(transparent)]
    Experiment(#[from] crate::chaos::Error),
    /// Another tool's run is on no model of its own.
    #[error(
        "`target` is the scene, expected `target: {{model: NAME}}`: scenes run by `silentry experiment run`"
    )]
    SceneOverTheApi,
    /// An event names a fault that the run lacks.
    #[error("run `{run}` has no fault `{fault}`, expected one of: {known}")]
    UnknownFault {
        /// The run.
        run: String,
        /// The fault that was named.
        fault: String,
        /// The faults of the run.
        known: String,
    },
    /// The run goes on: there is no verdict yet.
    #[error("run `{0}` has not ended, expected an event `run_ended` first")]
    RunGoesOn(String),
    /// As many events of one run as are kept.
    #[error("run `{run}` has {max} events, expected it to end")]
    TooManyEvents {
        /// The run.
        run: String,
        /// The most that are kept.
        max: usize,
    },
    /// As many runs as are kept are all under way.
    #[error("{0} runs are under way, expected one of them to end first")]
    TooManyRuns(usize),
}
