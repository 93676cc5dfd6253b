use std::collections::BTreeMap;

use serde::Serialize;

use super::recent::RecentRows;
use crate::alert::{Alert, SinkStatus};
use crate::chaos::Journal;
use crate::detect::{EffectSize, StreamReport, StreamState, Undecided};
use crate::slo::{Meter, Span, Summary};
use crate::units::{PerSecond, Timestamp};

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
    /// Rows of other versions than the baseline's, by version; they are judged like the others. Null
    /// when the baseline does not say which version it is of.
    pub other_versions: Option<BTreeMap<String, u64>>,
    /// What became of its rows in the last minute. Where more than 1 % were lost, no detector is quiet:
    /// it is undecided, because of `rows_lost`.
    pub recent: Option<RecentRows>,
}

impl ModelView {
    /// Says what was lost lately, which leaves nothing quiet when it is too much.
    pub(super) fn with_recent(mut self, recent: Option<RecentRows>) -> Self {
        unless_lost(&mut self.detectors, recent);
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
}

/// A detector that would be quiet is undecided when too many rows were lost, or nobody counts them.
pub(super) fn unless_lost(detectors: &mut [StreamReport], recent: Option<RecentRows>) {
    if recent.is_some_and(|recent| !recent.too_many_lost()) {
        return;
    }
    for report in detectors.iter_mut().filter(|report| report.state == StreamState::Quiet) {
        report.state = StreamState::Undecided(Undecided::RowsLost);
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
    /// Open alerts, by model and group.
    pub active: Vec<Alert>,
    /// Resolved ones, newest first.
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
