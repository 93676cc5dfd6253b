use std::collections::BTreeSet;

use super::{Detection, FaultVerdict, SloObjective, Verdict};
use crate::chaos::{Effect, Headline, Outcome, RunStatus, Visibility};

/// A verdict for people. The first line answers: would we have noticed?
#[must_use]
pub fn describe(verdict: &Verdict) -> String {
    let mut lines = vec![first_line(verdict)];
    for fault in &verdict.faults {
        lines.push(fault_line(fault));
        lines.extend(missed_line(fault));
        lines.extend(fault.detections.iter().filter_map(detection_line));
    }
    lines.extend(verdict.slo.objectives.iter().map(slo_line));
    lines.push(false_alarm_line(verdict));
    lines.extend(
        verdict.recovered_ms.map(|ms| format!("  the alert resolved {} after the restore", length(ms))),
    );
    lines.extend(verdict.hypothesis.because.iter().map(|reason| format!("  {reason}")));
    lines.join("\n")
}

fn first_line(verdict: &Verdict) -> String {
    let answer = match verdict.headline {
        Headline::Pass if is_sham(verdict) => "Nothing was broken",
        Headline::Pass => "We would have noticed",
        Headline::Fail if is_sham(verdict) => "Nothing was broken, and yet",
        Headline::Fail => "We would not have noticed as we should",
        Headline::Inconclusive => "We cannot say whether we would have noticed",
    };
    format!("{answer}: {}", summary(verdict))
}

/// Such as `silent, detected in budget, recovered`.
fn summary(verdict: &Verdict) -> String {
    let mut parts: Vec<String> = Vec::new();
    if verdict.status != RunStatus::Valid {
        parts.push(words(verdict.status.word()));
        parts.extend(verdict.hypothesis.because.first().cloned());
    } else if verdict.effect != Effect::Effective && !is_sham(verdict) {
        parts.push(words(verdict.effect.word()));
    } else {
        parts.push(verdict.visibility.map_or("loud or silent unknown", Visibility::word).to_owned());
        parts.push(noticed(verdict));
    }
    if verdict.false_alarms.count.is_some_and(|n| n > 0) && !is_sham(verdict) {
        parts.push(false_alarms(verdict));
    }
    parts.extend(verdict.recovery.map(|recovery| words(recovery.word())));
    parts.join(", ")
}

fn noticed(verdict: &Verdict) -> String {
    if is_sham(verdict) {
        return match verdict.false_alarms.count {
            Some(0) => "no detector fired".to_owned(),
            Some(_) => false_alarms(verdict),
            None => "false alarms unknown".to_owned(),
        };
    }
    match verdict.faults.iter().filter_map(|f| f.outcome).max() {
        // To whom it is told, an alarm that nobody expected is a miss by those who were expected.
        Some(Outcome::WrongDetector) => "missed (another detector fired)".to_owned(),
        Some(outcome) => words(outcome.word()),
        None => "no detector expected".to_owned(),
    }
}

fn fault_line(fault: &FaultVerdict) -> String {
    let rows = fault.rows_changed.map_or("unknown".to_owned(), |n| n.to_string());
    let since = fault.effective_from.map_or(String::new(), |at| format!(" since {at}"));
    format!(
        "  fault {} ({} on {}{}): {}{since}, rows changed: {rows}",
        fault.id,
        words(&fault.kind),
        fault.group,
        if fault.sham { ", a sham" } else { "" },
        words(fault.effect.word()),
    )
}

fn missed_line(fault: &FaultVerdict) -> Option<String> {
    let missed = fault.detections.iter().filter(|d| d.outcome == Some(Outcome::Missed));
    let names: BTreeSet<&str> = missed.map(|d| d.detector.as_str()).collect();
    let fault_missed = matches!(fault.outcome, Some(Outcome::Missed | Outcome::WrongDetector));
    if names.is_empty() {
        return fault_missed.then(|| "    missed: no detector was expected to notice".to_owned());
    }
    Some(format!("    missed: {}", names.into_iter().collect::<Vec<_>>().join(", ")))
}

fn detection_line(detection: &Detection) -> Option<String> {
    let name = &detection.detector;
    let took = detection.ttd_ms.map(|ms| format!(" after {}", length(ms)));
    let within = detection.within_ms.map_or(String::new(), |ms| format!(" (budget {})", length(ms)));
    match (detection.outcome, took) {
        (Some(Outcome::Missed), _) => None,
        (Some(outcome), took) => {
            let took = took.unwrap_or_else(|| ": it says nothing about this fault".to_owned());
            Some(format!("    {name}: {}{took}{within}", words(outcome.word())))
        }
        (None, took) if !detection.expected => {
            let took = took.unwrap_or_else(|| ", not after any effect".to_owned());
            Some(format!("    {name}: fired as well, for {}{took}", detection.group))
        }
        (None, _) => Some(format!("    {name}: nothing to detect")),
    }
}

fn slo_line(slo: &SloObjective) -> String {
    let held = match slo.met {
        Some(true) => "held",
        Some(false) => "broken",
        None => "unknown",
    };
    let ordinary = if slo.ordinary { "" } else { ", not an ordinary level" };
    // Only an objective on success has an availability: its requests fail, they are not slow.
    let measured = if slo.availability.is_some() {
        format!("{} of {} failed", slo.over, slo.total)
    } else {
        let p99 = slo.p99_ms.map_or("unknown".to_owned(), length);
        format!("{} of {} over it, p99 {p99}", slo.over, slo.total)
    };
    format!("  level {} ({}{ordinary}): {held}; {measured}", slo.name, slo.target)
}

fn false_alarm_line(verdict: &Verdict) -> String {
    match (verdict.false_alarms.count, verdict.false_alarms.control_ms) {
        (Some(_), Some(ms)) => format!("  {} in {} with nothing broken", false_alarms(verdict), length(ms)),
        _ => "  false alarms: unknown, there was no time with nothing broken".to_owned(),
    }
}

fn false_alarms(verdict: &Verdict) -> String {
    match verdict.false_alarms.count {
        Some(1) => "1 false alarm".to_owned(),
        Some(n) => format!("{n} false alarms"),
        None => "false alarms unknown".to_owned(),
    }
}

fn is_sham(verdict: &Verdict) -> bool {
    verdict.faults.iter().all(|f| f.sham)
}

fn words(word: &str) -> String {
    word.replace('_', " ")
}

fn length(millis: f64) -> String {
    if millis < 1_000.0 { format!("{millis:.0} ms") } else { format!("{:.2} s", millis / 1e3) }
}
