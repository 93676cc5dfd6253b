use std::collections::BTreeSet;
use std::fmt::Display;

use super::Verdict;
use crate::chaos::{Expect, Headline, Outcome, Recovery, RunStatus};

/// The program's exit code for a verdict: 0 pass, 1 fail, 3 inconclusive or not run, 4 a fault that
/// could not be proven gone.
#[must_use]
pub fn exit_code(verdict: &Verdict) -> u8 {
    if verdict.recovery == Some(Recovery::Unrecovered) {
        return 4;
    }
    match verdict.headline {
        Headline::Pass => 0,
        Headline::Fail => 1,
        Headline::Inconclusive => 3,
    }
}

/// The exit code of an experiment that states the verdict it must earn: 0 when it did, even if that
/// is a fail; 4 when a fault could not be proven gone; 3 when it did not run; 1 otherwise.
#[must_use]
pub fn exit_code_expecting(verdict: &Verdict, expect: &Expect) -> u8 {
    if verdict.recovery == Some(Recovery::Unrecovered) {
        4
    } else if unmet(verdict, expect).is_empty() {
        0
    } else if verdict.status == RunStatus::NotRun {
        3
    } else {
        1
    }
}

/// Every way in which a verdict is not what the experiment expects, in words.
#[must_use]
pub fn unmet(verdict: &Verdict, expect: &Expect) -> Vec<String> {
    let whole = [
        differs("status", expect.status, Some(verdict.status)),
        differs("headline", expect.headline, Some(verdict.headline)),
        differs("effect", expect.effect, Some(verdict.effect)),
        differs("recovery", expect.recovery, verdict.recovery),
    ];
    whole.into_iter().flatten().chain(unmet_noticing(verdict, expect)).collect()
}

/// Whether visibility and detections were as expected; nothing when the run does not tell.
///
/// Where the experiment expects no outcome, every fault that somebody had to notice must have been
/// detected in its budget.
pub(super) fn held(verdict: &Verdict, expect: &Expect) -> Option<bool> {
    if verdict.status != RunStatus::Valid || verdict.headline == Headline::Inconclusive {
        return None;
    }
    let by_default = Expect { outcome: expect.outcome.or(Some(Outcome::DetectedInBudget)), ..expect.clone() };
    let quiet = verdict.false_alarms.count.is_some_and(|count| count <= verdict.false_alarms.limit);
    Some(quiet && unmet_noticing(verdict, &by_default).is_empty())
}

fn unmet_noticing(verdict: &Verdict, expect: &Expect) -> Vec<String> {
    let mut unmet: Vec<String> =
        differs("visibility", expect.visibility, verdict.visibility).into_iter().collect();
    for fault in verdict.faults.iter().filter(|f| !f.sham) {
        let seen = fault.outcome;
        if seen.is_some() || !fault.detections.iter().all(|d| !d.expected) {
            unmet.extend(differs(&format!("outcome of fault `{}`", fault.id), expect.outcome, seen));
        }
    }
    if let Some(expected) = &expect.detected {
        let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
        let seen = detected(verdict);
        if expected != seen {
            unmet.push(format!("detected is [{}], expected [{}]", listed(&seen), listed(&expected)));
        }
    }
    unmet
}

/// Every detector that fired: for a fault, or for nothing.
fn detected(verdict: &Verdict) -> BTreeSet<&str> {
    let for_faults = verdict.faults.iter().flat_map(|f| &f.detections);
    let fired = for_faults.filter(|d| d.ttd_ms.is_some() || !d.expected).map(|d| d.detector.as_str());
    let falsely = verdict.false_alarms.alarms.iter().flat_map(|a| &a.detectors).map(String::as_str);
    fired.chain(falsely).collect()
}

fn listed(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

fn differs<T: PartialEq + Display>(what: &str, expected: Option<T>, seen: Option<T>) -> Option<String> {
    let expected = expected?;
    match seen {
        Some(seen) if seen == expected => None,
        Some(seen) => Some(format!("{what} is {seen}, expected {expected}")),
        None => Some(format!("{what} is not known, expected {expected}")),
    }
}
