//! The metrics of the moment they are asked for.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::labels::Risk;
use super::view::{Standing, unless_lost};
use super::{Error, Handle};
use crate::alert::State;
use crate::detect::{StreamReport, StreamState, Undecided, on_metrics};
use crate::telemetry::{self as metrics, AlertLevel};

/// How open alerts show in the metrics, the most urgent last.
const LEVELS: [(State, AlertLevel); 3] = [
    (State::Stale, AlertLevel::Stale),
    (State::Pending, AlertLevel::Pending),
    (State::Firing, AlertLevel::Firing),
];

impl Handle {
    /// The metrics in Prometheus' text format, brought up to date.
    ///
    /// # Errors
    /// [`Error::Telemetry`] when they cannot be written.
    pub fn metrics(&self) -> Result<String, Error> {
        let now = self.now();
        // One at a time: another scrape must not see what this one has half set.
        let _scraping = self.0.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let (standings, active, resolved) = {
            let engine = self.0.engine();
            (engine.standings(now), engine.alerts.active(), engine.alerts.recent())
        };
        for mut standing in standings {
            let recent = self.0.arrivals().view(&standing.model, now);
            unless_lost(&mut standing.detectors, recent);
            self.export(&standing);
        }
        for alert in &resolved {
            self.0.metrics.alert(&alert.model, &alert.group, AlertLevel::Inactive);
        }
        // Versions of a model share the series of a group: the most urgent alert is set last.
        for (state, level) in LEVELS {
            for alert in active.iter().filter(|alert| alert.state == state) {
                self.0.metrics.alert(&alert.model, &alert.group, level);
            }
        }
        Ok(self.0.metrics.encode(now)?)
    }

    /// One model's gauges. A detector that watches several groups shows the worst of them.
    fn export(&self, model: &Standing) {
        let metrics = &self.0.metrics;
        metrics.begin_export(&model.model);
        let names: BTreeSet<&str> = model.detectors.iter().map(|d| d.detector).collect();
        for name in names {
            let mine: Vec<&StreamReport> = model.detectors.iter().filter(|d| d.detector == name).collect();
            metrics.evidence(&model.model, name, most_evidence(&mine));
            metrics.detector(&model.model, name, worst(&mine));
        }
        let groups: BTreeSet<&str> = model.detectors.iter().map(|d| d.group.as_str()).collect();
        for group in groups {
            metrics.alert(&model.model, group, AlertLevel::Inactive);
        }
        for Risk { version, of_labels, of_baseline } in &model.risks {
            let of = (model.model.as_str(), version.as_deref().unwrap_or(""));
            metrics.risk(of, of_labels.map(|risk| [risk.lower, risk.mean, risk.upper]));
            metrics.baseline_risk(of, of_baseline.map(|risk| [risk.mean, risk.limit, risk.tolerated]));
        }
        for check in &model.checks {
            metrics.answer_last(&model.model, check.detector, check.last_answer);
        }
        for effect in model.effects.iter().filter(|effect| on_metrics(effect.statistic)) {
            metrics.feature_drift(&model.model, &effect.column, effect.statistic, effect.value);
        }
    }
}

/// The most evidence of one detector; nothing where it is not known in one of its groups.
fn most_evidence(reports: &[&StreamReport]) -> Option<f64> {
    let unknown = |report: &&&StreamReport| {
        matches!(
            report.state,
            StreamState::Undecided(
                Undecided::NoRows | Undecided::NoLabels | Undecided::NoBaseline | Undecided::NotANumber
            )
        ) || report.of_threshold.is_none()
    };
    if reports.iter().any(|report| unknown(&report)) {
        return None;
    }
    reports.iter().filter_map(|report| report.of_threshold).reduce(|a, b| if b > a { b } else { a })
}

fn worst(reports: &[&StreamReport]) -> metrics::Standing<'static> {
    if reports.iter().any(|report| report.state == StreamState::Drifted) {
        return metrics::Standing::Drifted;
    }
    let undecided = reports.iter().find_map(|report| match report.state {
        StreamState::Undecided(why) => Some(why.name()),
        StreamState::Quiet | StreamState::Drifted => None,
    });
    undecided.map_or(metrics::Standing::Quiet, metrics::Standing::Undecided)
}
