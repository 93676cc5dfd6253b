use super::episode::Episode;
use super::marks::{FaultMarks, Marks};
use super::{Evidence, Input};
use crate::chaos::Recovery;
use crate::units::Timestamp;

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ended {
    pub(super) recovery: Option<Recovery>,
    pub(super) recovered_ms: Option<f64>,
    pub(super) because: Vec<String>,
}

/// Whether every fault is proven gone and every alert over.
pub(super) fn recovery(input: &Input<'_>, marks: &Marks, episodes: &[Episode]) -> Ended {
    if !marks.faults().any(|(_, fault)| fault.touched()) {
        return Ended { recovery: None, recovered_ms: None, because: Vec::new() };
    }
    let mut because: Vec<String> =
        marks.faults().filter_map(|(id, fault)| still_there(input, id, fault)).collect();
    because.extend(wrong_answers(input));
    if !because.is_empty() {
        return Ended { recovery: Some(Recovery::Unrecovered), recovered_ms: None, because };
    }
    let stuck: Vec<String> = episodes.iter().filter(|e| e.resolved.is_none()).map(standing).collect();
    if !stuck.is_empty() {
        return Ended { recovery: Some(Recovery::AlertStuck), recovered_ms: None, because: stuck };
    }
    let recovered_ms = recovered_ms(marks, episodes);
    Ended { recovery: Some(Recovery::Recovered), recovered_ms, because }
}

/// Why a fault is not proven gone; silence of the journal proves nothing.
fn still_there(input: &Input<'_>, id: &str, fault: &FaultMarks) -> Option<String> {
    let Some(restored) = fault.restored.or_else(|| fault.active.is_none().then_some(fault.armed).flatten())
    else {
        return fault.touched().then(|| format!("fault `{id}` was never taken back"));
    };
    match &fault.probe {
        Some(Ok(_)) => {}
        Some(Err(seen)) => return Some(format!("fault `{id}` is still live: {seen}")),
        None => return Some(format!("fault `{id}` is not proven gone: no probe after its restore")),
    }
    let last =
        input.evidence.get(id).and_then(|evidence| lingering(evidence, input.limits.clean_rows_min))?;
    (last > restored.plus(input.limits.in_flight))
        .then(|| format!("rows were still harmed after fault `{id}` was taken back, last at {last}"))
}

/// The last harmed row, unless enough good ones followed, or harm was there before the fault too.
fn lingering(evidence: &Evidence, clean_rows_min: u64) -> Option<Timestamp> {
    let ambient = evidence.before.changed > 0 || evidence.before.failed > 0;
    evidence.last_harm().filter(|_| !ambient && evidence.clean_since < clean_rows_min)
}

fn wrong_answers(input: &Input<'_>) -> Option<String> {
    let answers = input.known_answers?;
    let wrong = answers.asked.saturating_sub(answers.right);
    if answers.asked == 0 {
        return Some("no request with a known answer was answered after the restore".to_owned());
    }
    (wrong > 0)
        .then(|| format!("{wrong} of {} requests with a known answer were answered otherwise", answers.asked))
}

fn standing(episode: &Episode) -> String {
    format!("alert {} for `{}` still stands", episode.alert, episode.group)
}

/// From the last restore to the last alert's end; nothing when no alert came with the fault.
fn recovered_ms(marks: &Marks, episodes: &[Episode]) -> Option<f64> {
    let (active, restored) = (marks.first_active()?, marks.last_restored()?);
    let resolved = episodes.iter().filter_map(|e| e.resolved).filter(|at| *at >= active).max()?;
    // An alert that gave up while the fault was on took no time to recover.
    Some(resolved.max(restored).millis_since(restored))
}
