use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Evidence, Score};
use crate::chaos::{Effect, Headline, Outcome, Recovery, RunStatus, Severity, Visibility};
use crate::slo::{Report, Summary, Window};
use crate::units::{Ratio, Timestamp};

/// One judged run: the document that tools outside read. Its top level never changes within `v1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// `silentry/verdict/v1`.
    pub schema: String,
    /// The run's id.
    pub run: String,
    /// The experiment's name.
    pub experiment: String,
    /// Whether the run can be judged.
    pub status: RunStatus,
    /// Whether every fault that was meant to reached the model's rows.
    pub effect: Effect,
    /// Whether an ordinary service level saw it; null when one of them cannot tell.
    pub visibility: Option<Visibility>,
    /// The run in one word.
    pub headline: Headline,
    /// Each fault.
    pub faults: Vec<FaultVerdict>,
    /// The service levels.
    pub slo: Slos,
    /// What fired while nothing was broken.
    pub false_alarms: FalseAlarms,
    /// How it ended; null when nothing was broken.
    pub recovery: Option<Recovery>,
    /// From the last fault's restore until the last alert resolved; null when none did.
    pub recovered_ms: Option<f64>,
    /// What was believed.
    pub hypothesis: Hypothesis,
    /// What it cost.
    pub impact: Impact,
    /// This run's part in a score; a single run never reaches one.
    pub score: Score,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl Verdict {
    /// The only version of the document so far.
    pub const SCHEMA: &'static str = "silentry/verdict/v1";
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultVerdict {
    /// Its name in the experiment.
    pub id: String,
    /// What was done.
    pub kind: String,
    /// The group of features that comes through the broken hop.
    pub group: String,
    /// The features that were seen to change, most often first.
    pub features: Vec<String>,
    /// How bad it is when nobody notices.
    pub severity: Severity,
    /// Whether it was armed without effect.
    pub sham: bool,
    /// Whether it reached the model's rows.
    pub effect: Effect,
    /// What proves that; null unless effective.
    pub effect_by: Option<EffectBy>,
    /// The first effective row, or request.
    pub effective_from: Option<Timestamp>,
    /// The last.
    pub effective_to: Option<Timestamp>,
    /// Rows in which something else stood for a feature; null when the service says nothing of them.
    pub rows_changed: Option<u64>,
    /// What the witness saw; null when there was none.
    pub evidence: Option<Evidence>,
    /// Expected detectors, then those that fired beside them.
    pub detections: Vec<Detection>,
    /// The worst of the expected ones; null when nothing can be or had to be detected.
    pub outcome: Option<Outcome>,
}

/// What proves that a fault took effect.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EffectBy {
    /// The service said of features that something else stood in.
    FeatureStatus,
    /// The service said of requests that they failed.
    RowStatus,
    /// An ordinary objective held before the fault and broke during it.
    Slo,
}

/// One detector and one fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Detection {
    /// The detector.
    pub detector: String,
    /// The group whose alert it fired for, or should have.
    pub group: String,
    /// Whether the experiment expects it.
    pub expected: bool,
    /// What became of it; null when it was not expected, or the fault took no effect.
    pub outcome: Option<Outcome>,
    /// The time that it had, in milliseconds.
    pub within_ms: Option<f64>,
    /// From the first effective row to its rising edge; null when it did not fire.
    pub ttd_ms: Option<f64>,
    /// The least and the most that this can have been.
    pub ttd_interval_ms: Option<[f64; 2]>,
    /// The parts of the way.
    pub split: Split,
}

/// The parts of the time from a fault to those who are told; null where a step is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// From the fault's activity to the first effective row.
    pub effect_lag_ms: Option<f64>,
    /// From there to the row that raised it.
    pub detector_ms: Option<f64>,
    /// From there to the rising edge: the rule's `for`, and processing.
    pub for_ms: Option<f64>,
    /// From there until a receiver accepted it.
    pub delivery_ms: Option<f64>,
}

/// The service levels, and the rule that they were judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slos {
    /// The rule in words.
    pub rule: String,
    /// Each objective.
    pub objectives: Vec<SloObjective>,
}

/// One objective; the numbers without a phase are those of the whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SloObjective {
    /// Its name.
    pub name: String,
    /// Whether the team had it before silentry.
    pub ordinary: bool,
    /// What must hold.
    pub target: String,
    /// Whether it held; null when that is not known.
    pub met: Option<bool>,
    /// Requests.
    pub total: u64,
    /// Requests too slow, or failed.
    pub over: u64,
    /// The share of requests without error.
    pub availability: Option<Ratio>,
    /// Median latency.
    pub p50_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// 99.9th percentile.
    pub p999_ms: Option<f64>,
    /// The worst window.
    pub worst_window: Option<Window>,
    /// The first request of the first window that broke it by itself.
    pub first_breach: Option<Timestamp>,
    /// The share of the run's error budget that was spent.
    pub budget_spent: Option<f64>,
    /// Before the fault.
    pub steady: Summary,
    /// During it.
    pub fault: Summary,
    /// Requests that are no longer known.
    pub lost: u64,
}

impl From<&Report> for SloObjective {
    fn from(report: &Report) -> Self {
        let whole = &report.whole;
        Self {
            name: report.name.clone(),
            ordinary: report.ordinary,
            target: report.target.clone(),
            met: report.met,
            total: whole.total,
            over: whole.over,
            availability: whole.availability,
            p50_ms: whole.p50_ms,
            p99_ms: whole.p99_ms,
            p999_ms: whole.p999_ms,
            worst_window: whole.worst_window,
            first_breach: whole.first_breach,
            budget_spent: whole.budget_spent,
            steady: report.steady.clone(),
            fault: report.fault.clone(),
            lost: report.lost,
        }
    }
}

/// What fired while nothing was broken: before the first fault, and all through a sham.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FalseAlarms {
    /// Alerts; null when there was no such time.
    pub count: Option<u64>,
    /// More than this fails the run.
    pub limit: u64,
    /// How long nothing was broken.
    pub control_ms: Option<f64>,
    /// Alerts an hour of it.
    pub per_hour: Option<f64>,
    /// The share of it during which an alert stood.
    pub firing_share: Option<Ratio>,
    /// Each of them.
    pub alarms: Vec<FalseAlarm>,
}

/// One alert that nothing was the cause of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FalseAlarm {
    /// Its rising edge.
    pub at: Timestamp,
    /// Its number in the timeline.
    pub alert: u64,
    /// Its group.
    pub group: String,
    /// The detectors that fired in it.
    pub detectors: Vec<String>,
}

/// What was believed, and whether it held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hypothesis {
    /// In the experiment's words.
    pub text: String,
    /// Whether visibility and detections were as the experiment expects; null when the run does not tell.
    pub held: Option<bool>,
    /// Why the run is judged as it is, the weightiest first: reasons of status, headline and every null.
    pub because: Vec<String>,
}

/// A number, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The number.
    pub value: Option<u64>,
    /// Why it is not known.
    pub reason: Option<String>,
}

impl Known {
    pub(super) const fn is(value: u64) -> Self {
        Self { value: Some(value), reason: None }
    }

    pub(super) fn unknown(reason: &str) -> Self {
        Self { value: None, reason: Some(reason.to_owned()) }
    }
}

/// What the faults cost those who were served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Impact {
    /// Answers computed from something else than the features.
    pub rows_served_wrong: Known,
    /// Requests that failed at the model service.
    pub rows_failed: Known,
    /// Decisions that were another than without the fault.
    pub flipped_decisions: Known,
    /// The difference between control and treatment.
    pub control_against_treatment: Known,
}

/// Where a verdict comes from, so that it can be earned again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// What fed every random choice.
    pub seed: u64,
    /// silentry's and whatever else had a version.
    pub versions: BTreeMap<String, String>,
    /// Of the experiment: expectations, budgets, severities.
    pub experiment_hash: String,
    /// Of the detectors' configuration.
    pub detectors_hash: String,
    /// Of the baseline.
    pub baseline_hash: String,
    /// When the run began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What passed the tap.
    pub tap: Tap,
    /// What the times are worth.
    pub clock: Clock,
}

/// What passed the tap during a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    /// Rows that reached the detectors.
    pub rows_seen: u64,
    /// Rows that did not, by reason.
    pub rows_lost: BTreeMap<String, u64>,
}

impl Tap {
    /// All rows that were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.rows_lost.values().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// What the times of a run are worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// The coarsest step of any clock in it.
    pub resolution_ms: f64,
    /// How far the sender's clock is from the judge's; null when nobody measured it.
    pub offset_ms: Option<f64>,
}

/// The JSON Schema of [`Verdict`], as `verdict.schema.json` beside this code has it.
#[must_use]
pub fn json_schema() -> schemars::Schema {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<Verdict>()
}
