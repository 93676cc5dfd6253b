use std::time::Duration;

use super::effect::{Proof, proof};
use super::episode::{Edge, Episode, Onset};
use super::marks::{FaultMarks, Marks};
use super::{Detection, FaultVerdict, Input, Split, Trial, credit};
use crate::chaos::{Effect, ExpectedDetection, Fault, Outcome, Visibility};
use crate::units::{Ratio, Timestamp};

/// What every fault of a run is judged by.
#[derive(Clone, Copy)]
pub(super) struct FaultCase<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) marks: &'a Marks,
    pub(super) episodes: &'a [Episode],
    pub(super) visibility: Option<Visibility>,
}

/// One fault's part of the verdict, and of a score.
pub(super) struct JudgedFault {
    pub(super) verdict: FaultVerdict,
    pub(super) trial: Option<Trial>,
}

/// When a fault's alarms may come.
#[derive(Clone, Copy)]
struct Window {
    active: Timestamp,
    /// The effect; in a sham the activity stands in for it.
    onset: Option<Onset>,
    until: Timestamp,
}

/// Judges the effect of one fault, then its detections.
pub(super) fn judge_fault(case: &FaultCase<'_>, fault: &Fault) -> JudgedFault {
    let proof = proof(case.input, fault);
    let window = window(case, fault, &proof);
    let expected: Vec<Detection> =
        fault.detections.iter().map(|e| expected(case, fault, e, window)).collect();
    let others = window.map_or_else(Vec::new, |window| others(case, fault, window));
    let outcome = (proof.effect == Effect::Effective && !fault.is_sham())
        .then(|| outcome(&expected, &others, case.visibility))
        .flatten();
    let trial = trial(fault, &proof, &expected);
    let listed = if fault.is_sham() { Vec::new() } else { expected };
    let evidence = case.input.evidence.get(&fault.id);
    let verdict = FaultVerdict {
        id: fault.id.clone(),
        kind: fault.inject.name().to_owned(),
        group: fault.group.clone(),
        features: evidence.map_or_else(Vec::new, |e| e.features_by_count()),
        severity: fault.severity,
        sham: fault.is_sham(),
        effect: proof.effect,
        effect_by: proof.by,
        effective_from: proof.from,
        effective_to: proof.to,
        rows_changed: evidence.filter(|e| e.during.spoken > 0).map(|e| e.during.changed),
        evidence: evidence.cloned(),
        detections: listed.into_iter().chain(others).collect(),
        outcome,
    };
    JudgedFault { verdict, trial }
}

fn window(case: &FaultCase<'_>, fault: &Fault, proof: &Proof) -> Option<Window> {
    let FaultMarks { active, restored, .. } = case.marks.fault(&fault.id);
    let active = active?;
    let resolution =
        Duration::try_from_secs_f64(case.input.clock.resolution_ms / 1e3).unwrap_or(Duration::ZERO);
    let effect = if fault.is_sham() { Some(active) } else { proof.from };
    let until = restored.map(|at| at.plus(case.input.limits.in_flight)).or(case.marks.end())?;
    Some(Window { active, onset: effect.map(|at| Onset { at, resolution }), until })
}

/// What became of one expected detection; without an effect nothing can.
fn expected(
    case: &FaultCase<'_>,
    fault: &Fault,
    expected: &ExpectedDetection,
    window: Option<Window>,
) -> Detection {
    let mut detection = blank(&expected.detector, &fault.group, true);
    detection.within_ms = Some(expected.within.as_secs_f64() * 1e3);
    let Some((window, onset)) = window.and_then(|w| w.onset.map(|onset| (w, onset))) else {
        return detection;
    };
    let of_group = || case.episodes.iter().filter(|e| e.group == fault.group);
    let rises = of_group().flat_map(|e| e.told().map(move |(name, edge)| (e, name, edge)));
    let first = rises
        .filter(|(_, name, edge)| *name == expected.detector && in_time(window, onset, *edge))
        .min_by_key(|(_, _, edge)| edge.at);
    if of_group().any(|e| e.preceded(onset)) {
        detection.outcome = Some(Outcome::AlreadyFiring);
    } else if let Some((episode, _, edge)) = first {
        time(&mut detection, episode, edge, window.active, onset);
        let in_budget = detection.ttd_ms.zip(detection.within_ms).is_some_and(|(ttd, within)| ttd <= within);
        let outcome = if in_budget { Outcome::DetectedInBudget } else { Outcome::DetectedLate };
        detection.outcome = Some(outcome);
    } else {
        detection.outcome = Some(Outcome::Missed);
    }
    detection
}

/// Whatever fired in the window that no fault of the experiment expects there.
fn others(case: &FaultCase<'_>, fault: &Fault, window: Window) -> Vec<Detection> {
    let mut found = Vec::new();
    for episode in case.episodes.iter().filter(|e| e.firing.at >= window.active && e.firing.at < window.until)
    {
        for (name, edge) in episode.told() {
            if edge.at >= window.until || is_expected(case, name, &episode.group) {
                continue;
            }
            let mut detection = blank(name, &episode.group, false);
            let onset = window.onset.filter(|o| !fault.is_sham() && in_time(window, *o, edge));
            if let Some(onset) = onset.filter(|onset| !episode.preceded(*onset)) {
                time(&mut detection, episode, edge, window.active, onset);
            }
            found.push(detection);
        }
    }
    found
}

/// Whether another fault, or this one, claims it; nothing is expected of a sham.
fn is_expected(case: &FaultCase<'_>, detector: &str, group: &str) -> bool {
    let faults = case.input.experiment.faults.iter().filter(|f| !f.is_sham() && f.group == group);
    faults.flat_map(|f| &f.detections).any(|d| d.detector == detector)
}

fn in_time(window: Window, onset: Onset, edge: Edge) -> bool {
    onset.may_have_caused(edge) && edge.at < window.until
}

fn blank(detector: &str, group: &str, expected: bool) -> Detection {
    Detection {
        detector: detector.to_owned(),
        group: group.to_owned(),
        expected,
        outcome: None,
        within_ms: None,
        ttd_ms: None,
        ttd_interval_ms: None,
        split: Split::default(),
    }
}

/// Fills in the time to detect, its bounds and its parts.
fn time(detection: &mut Detection, episode: &Episode, edge: Edge, active: Timestamp, onset: Onset) {
    // A clock coarser than the rows' may show the edge before the effect: then it took no time at all.
    let ttd = edge.at.max(onset.at).millis_since(onset.at);
    let row = edge.stream_at.min(edge.at).max(onset.at).millis_since(onset.at);
    let coarse = onset.resolution.as_secs_f64() * 1e3;
    detection.ttd_ms = Some(ttd);
    detection.ttd_interval_ms = Some([row, ttd + coarse]);
    detection.split = Split {
        effect_lag_ms: Some(onset.at.millis_since(active)),
        detector_ms: Some(row),
        for_ms: Some(ttd - row),
        delivery_ms: episode.delivered.map(|at| at.millis_since(episode.firing.at)),
    };
}

/// The worst of the expected; without any, silence is a miss and noise is somebody else's alarm.
fn outcome(expected: &[Detection], others: &[Detection], visibility: Option<Visibility>) -> Option<Outcome> {
    let another = others.iter().any(|d| d.ttd_ms.is_some());
    let missed = if another { Outcome::WrongDetector } else { Outcome::Missed };
    if expected.is_empty() {
        return (visibility == Some(Visibility::Silent)).then_some(missed);
    }
    let all_missed = expected.iter().all(|d| d.outcome == Some(Outcome::Missed));
    if all_missed { Some(missed) } else { expected.iter().filter_map(|d| d.outcome).max() }
}

/// What it adds to a score; a fault without effect or without expectation adds nothing.
fn trial(fault: &Fault, proof: &Proof, expected: &[Detection]) -> Option<Trial> {
    if !fault.is_sham() && proof.effect != Effect::Effective {
        return None;
    }
    let earned = expected.iter().zip(&fault.detections).map(|(detection, expected)| {
        detection.outcome.map(|outcome| credit(outcome, detection.ttd_ms, expected.within))
    });
    let earned: Vec<Ratio> = earned.collect::<Option<_>>()?;
    let least = earned.into_iter().reduce(|a, b| if b < a { b } else { a })?;
    Some(Trial { severity: fault.severity, credit: least })
}
