use std::time::Duration;

use super::{FaultVerdict, Score, Trial, Verdict, credit, score};
use crate::chaos::{Effect, RunStatus};
use crate::units::{Ratio, whole};

/// The score over several runs, from their verdicts alone.
///
/// A fault of a valid run that took effect and had to be noticed earns the least credit of its
/// expected detectors. A sham of a valid run earns all when anything fired falsely. Every declared
/// fault counts for the coverage.
#[must_use]
pub fn suite_score(runs: &[Verdict]) -> Score {
    let declared = runs.iter().map(|run| run.faults.iter().filter(|f| !f.sham).count()).sum();
    let valid = || runs.iter().filter(|run| run.status == RunStatus::Valid);
    let trials: Vec<Trial> = valid().flat_map(|run| &run.faults).filter_map(trial).collect();
    let shams: Vec<Ratio> = valid()
        .flat_map(|run| run.faults.iter().filter(|f| f.sham).map(move |_| run))
        .filter_map(|run| run.false_alarms.count)
        .map(|false_alarms| if false_alarms > 0 { Ratio::one_in(1) } else { Ratio::one_in(0) })
        .collect();
    score(&trials, &shams, whole(declared))
}

fn trial(fault: &FaultVerdict) -> Option<Trial> {
    if fault.sham || fault.effect != Effect::Effective {
        return None;
    }
    let earned = fault.detections.iter().filter(|d| d.expected).filter_map(|detection| {
        let within = Duration::try_from_secs_f64(detection.within_ms? / 1e3).ok()?;
        Some(credit(detection.outcome?, detection.ttd_ms, within))
    });
    let least = earned.reduce(|a, b| if b < a { b } else { a })?;
    Some(Trial { severity: fault.severity, credit: least })
}
