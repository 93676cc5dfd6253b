use super::{FalseAlarms, FaultVerdict};
use crate::chaos::{Effect, Headline, Outcome, Recovery, RunStatus, Visibility};

/// What the headline follows from.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) status: RunStatus,
    pub(super) sham: bool,
    pub(super) decided: u64,
    pub(super) effect: Effect,
    pub(super) visibility: Option<Visibility>,
    pub(super) faults: &'a [FaultVerdict],
    pub(super) false_alarms: &'a FalseAlarms,
    pub(super) recovery: Option<Recovery>,
}

/// The run in one word, and why.
///
/// The worst of: unrecovered, not to be judged, silent and missed, silent and late, false alarms over
/// the limit, loud and missed, a reason for doubt, pass. A fault left behind is a fail whatever else
/// is known; a run that cannot be judged is neither.
pub(super) fn headline(facts: &Facts<'_>) -> (Headline, Vec<String>) {
    if facts.recovery == Some(Recovery::Unrecovered) {
        return (Headline::Fail, vec!["a fault could not be proven gone".to_owned()]);
    }
    if facts.status != RunStatus::Valid {
        return (Headline::Inconclusive, Vec::new());
    }
    let doubts = if facts.sham { sham_doubts(facts) } else { fault_doubts(facts) };
    if !doubts.is_empty() {
        return (Headline::Inconclusive, doubts);
    }
    let failures = failures(facts);
    if !failures.is_empty() {
        return (Headline::Fail, failures);
    }
    let unsettled = unsettled(facts);
    if unsettled.is_empty() { (Headline::Pass, notes(facts)) } else { (Headline::Inconclusive, unsettled) }
}

/// Rows that changed though nothing was injected: something else is wrong, and alarms may be right.
/// And nobody's silence proves nothing.
fn sham_doubts(facts: &Facts<'_>) -> Vec<String> {
    let mut doubts = Vec::new();
    if facts.effect == Effect::Effective {
        doubts.push("rows changed though nothing was injected".to_owned());
    }
    if facts.decided == 0 {
        doubts.push("no detector was on and decided: that nothing fired says nothing".to_owned());
    }
    doubts
}

/// Without a proven effect nothing could be noticed.
fn fault_doubts(facts: &Facts<'_>) -> Vec<String> {
    let real = facts.faults.iter().filter(|f| !f.sham);
    real.filter_map(|fault| match fault.effect {
        Effect::Effective => None,
        Effect::NoEffect => Some(format!("fault `{}` took no effect on the rows", fault.id)),
        Effect::Unverified => Some(format!(
            "whether fault `{}` took effect is unverified: no row said anything of it",
            fault.id
        )),
    })
    .collect()
}

fn failures(facts: &Facts<'_>) -> Vec<String> {
    let silent = facts.visibility == Some(Visibility::Silent);
    let missed = with_outcome(facts, &[Outcome::Missed, Outcome::WrongDetector]);
    let late = with_outcome(facts, &[Outcome::DetectedLate]);
    let mut failures: Vec<String> = Vec::new();
    if silent {
        failures.extend(missed.iter().map(|f| format!("fault `{}` was silent and missed", f.id)));
        failures.extend(late.iter().map(|f| format!("fault `{}` was silent and detected late", f.id)));
    }
    let alarms = facts.false_alarms;
    if let Some(count) = alarms.count.filter(|count| *count > alarms.limit) {
        let noun = if count == 1 { "false alarm" } else { "false alarms" };
        failures.push(format!("{count} {noun}, {} allowed", alarms.limit));
    }
    if !silent {
        failures.extend(missed.iter().map(|f| format!("fault `{}` was missed by its detectors", f.id)));
    }
    failures
}

/// What leaves a run that did not fail short of a pass.
fn unsettled(facts: &Facts<'_>) -> Vec<String> {
    let mut reasons: Vec<String> = with_outcome(facts, &[Outcome::AlreadyFiring])
        .iter()
        .map(|f| format!("the alert of fault `{}` already stood when it took effect", f.id))
        .collect();
    if facts.visibility.is_none() {
        reasons.push("loud or silent is unknown: an ordinary service level has no data".to_owned());
    }
    if facts.false_alarms.count.is_none() {
        reasons.push("false alarms are unknown: there was no steady phase".to_owned());
    }
    reasons
}

/// What a pass does not say by itself.
fn notes(facts: &Facts<'_>) -> Vec<String> {
    let late = with_outcome(facts, &[Outcome::DetectedLate]);
    let mut notes: Vec<String> = late
        .iter()
        .map(|f| format!("fault `{}` was detected late, but an ordinary service level saw it", f.id))
        .collect();
    let unasked = facts.faults.iter().filter(|f| !f.sham && f.outcome.is_none());
    notes.extend(
        unasked.map(|f| format!("fault `{}` was loud, and no detector was expected to see it", f.id)),
    );
    if facts.recovery == Some(Recovery::AlertStuck) {
        notes.push("an alert did not clear".to_owned());
    }
    notes
}

fn with_outcome<'a>(facts: &Facts<'a>, outcomes: &[Outcome]) -> Vec<&'a FaultVerdict> {
    facts.faults.iter().filter(|f| f.outcome.is_some_and(|o| outcomes.contains(&o))).collect()
}
