use std::collections::BTreeMap;

use serde::Serialize;

use super::judge::Judge;
use super::labels::{LabelsView, Risk};
use super::recent::RecentRows;
use super::relearn::Relearnt;
use crate::alert::{Alert, SinkStatus};
use crate::chaos::Journal;
use crate::detect::{
    Check, CheckReport, EffectSize, PerformanceReport, ROW_RATE, StreamReport, StreamState, Undecided,
};
use crate::oip::Part;
use crate::oracle::Judged;
use crate::slo::{Meter, Span, Summary};
use crate::units::{PerSecond, Ratio, Timestamp};

/// How one model stands.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ModelView {
    /// Its name.
    pub model: String,
    /// The version that the baseline is of.
    pub version: Option<String>,
    /// The baseline's hash.
    pub baseline: String,
    /// The false alarms allowed.
    pub budget: String,
    /// Rows a second in health.
    pub rate: PerSecond,
    /// Rows judged so far.
    pub rows: u64,
    /// When the last of them came.
    pub last_arrival: Option<Timestamp>,
    /// Detectors switched off.
    pub without: Vec<String>,
    /// Every detector in every group that it watches.
    pub detectors: Vec<StreamReport>,
    /// Effect sizes of the last full window.
    pub effects: Vec<EffectSize>,
    /// Service levels over the last ten minutes, from the records' own latencies.
    pub slos: Vec<SloView>,
    /// Features that records had and the baseline lacks, with their rows.
    pub unexpected: BTreeMap<String, u64>,
    /// Rows of versions that no baseline is of, by version, as long as they come: their features are
    /// judged, their answers are not. Null when the baseline does not say which version it is of.
    pub other_versions: Option<BTreeMap<String, u64>>,
    /// Versions with a baseline of their own; last, as `(others)`, those that none is of.
    pub versions: Vec<VersionView>,
    /// Versions that no baseline is of, and how far their answers are relearnt: nothing is judged by these
    /// until somebody accepts the version.
    pub relearnt: Vec<Relearnt>,
    /// Where a smaller share of the rows on offer was judged in the last minute, every detector that is
    /// not drifted is undecided, because of `rows_lost`, and nothing recovers.
    pub coverage_min: Ratio,
    /// What became of its rows in the last minute. Where more than 1 % were lost, no detector is quiet:
    /// it is undecided, because of `rows_lost`.
    pub recent: Option<RecentRows>,
    /// How well it does, as far as labels tell: judged with a budget of its own.
    pub performance: Option<PerformanceReport>,
    /// What became of its labels.
    pub labels: LabelsView,
    /// Answers held against known ones, where that is configured.
    pub answer_checks: Vec<CheckView>,
}

/// How one detector that holds answers against known ones stands; its state is among `detectors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct CheckView {
    /// Its counts since silentry was started.
    #[serde(flatten)]
    pub report: CheckReport,
    /// What known answers say of the pinned copy itself; null where there is none.
    pub judged: Option<Judged>,
    /// How often each part of an answer was held against the pinned copy's: nothing is known of parts that do not
    /// stand here; null where there is none.
    pub compared: Option<BTreeMap<Part, u64>>,
}

impl CheckView {
    pub(super) const fn of(report: CheckReport) -> Self {
        Self { report, judged: None, compared: None }
    }
}

/// How the rows of one version of a model stand.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct VersionView {
    /// The version.
    pub version: String,
    /// Its baseline's hash; null where there is none.
    pub baseline: Option<String>,
    /// Its rows judged so far.
    pub rows: u64,
    /// Every detector in every group that it watches.
    pub detectors: Vec<StreamReport>,
    /// Effect sizes of the last full window.
    pub effects: Vec<EffectSize>,
    /// Features that records had and the baseline lacks, with their rows.
    pub unexpected: BTreeMap<String, u64>,
    /// How well it does, as far as labels tell; null where no baseline is of it.
    pub performance: Option<PerformanceReport>,
}

impl VersionView {
    pub(super) fn of(version: &str, judge: &Judge) -> Self {
        let is_rate = |report: &StreamReport| report.detector == ROW_RATE;
        Self {
            version: version.to_owned(),
            baseline: Some(judge.baseline.content_hash().to_owned()),
            rows: judge.monitor.rows(),
            // The row rate is the model's.
            detectors: judge.monitor.report().into_iter().filter(|report| !is_rate(report)).collect(),
            effects: judge.effects.clone(),
            unexpected: judge.unexpected.clone(),
            performance: None,
        }
    }
}

impl ModelView {
    /// Says what was lost lately, which leaves nothing quiet when it is too much.
    pub(super) fn with_recent(mut self, recent: Option<RecentRows>) -> Self {
        unless_lost(&mut self.detectors, recent);
        self.versions.iter_mut().for_each(|version| unless_lost(&mut version.detectors, recent));
        let versions = self.versions.iter_mut().map(|version| &mut version.performance);
        for report in versions.chain([&mut self.performance]).flatten() {
            report.state = state_unless_lost(report.state, recent);
        }
        self.recent = recent;
        self
    }
}

/// How one model's detectors stand, for the metrics.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) model: String,
    pub(super) detectors: Vec<StreamReport>,
    pub(super) effects: Vec<EffectSize>,
    pub(super) checks: Vec<CheckReport>,
    /// Of each version with a baseline.
    pub(super) risks: Vec<Risk>,
}

/// A detector that would be quiet is undecided when too many rows were lost, or nobody counts them.
pub(super) fn unless_lost(detectors: &mut [StreamReport], recent: Option<RecentRows>) {
    // Known answers come from no row that could be lost.
    let is_of_rows = |report: &&mut StreamReport| report.detector != Check::KnownAnswer.name();
    for report in detectors.iter_mut().filter(is_of_rows) {
        report.state = state_unless_lost(report.state, recent);
    }
}

fn state_unless_lost(state: StreamState, recent: Option<RecentRows>) -> StreamState {
    let is_known = recent.is_some_and(|recent| !recent.too_many_lost());
    match state {
        StreamState::Quiet if !is_known => StreamState::Undecided(Undecided::RowsLost),
        state => state,
    }
}

/// One service level.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SloView {
    /// Its name.
    pub name: String,
    /// Whether the team had it before silentry.
    pub ordinary: bool,
    /// The objective in words.
    pub target: String,
    /// What was measured; null when it cannot be summed up.
    pub summary: Option<Summary>,
    /// Why there is no summary, when there is none.
    pub unknown: Option<String>,
}

impl SloView {
    pub(super) fn of(meter: &Meter, span: Span) -> Self {
        let objective = meter.objective();
        let (summary, unknown) = match meter.summary(span) {
            Ok(summary) => (Some(summary), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            name: objective.name.clone(),
            ordinary: objective.ordinary,
            target: objective.kind.target(),
            summary,
            unknown,
        }
    }
}

/// Alerts, open and lately resolved, and how their receivers do.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct AlertsView {
    /// Open alerts, by model, version and group.
    pub active: Vec<Alert>,
    /// Those that ended, newest first.
    pub resolved: Vec<Alert>,
    /// Receivers.
    pub sinks: Vec<SinkStatus>,
}

/// One run as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct RunView {
    /// Its id.
    pub run: String,
    /// The experiment's name.
    pub experiment: String,
    /// Whether it has ended.
    pub ended: bool,
    /// What was done so far.
    pub journal: Journal,
}

/// What passed the tap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct TapView {
    /// Rows that reached detectors.
    pub rows_seen: u64,
    /// Rows that did not, by reason.
    pub rows_lost: BTreeMap<String, u64>,
}

/// Whether the service can do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Health {
    /// Whether rows are taken and judged.
    pub ready: bool,
    /// What stands in the way, when something does.
    pub reasons: Vec<String>,
    /// What is wrong without standing in the way: rows lost, failures that passed.
    pub warnings: Vec<String>,
    /// What passed the tap.
    pub tap: TapView,
}
