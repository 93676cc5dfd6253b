use super::Input;
use super::marks::Marks;
use crate::chaos::RunStatus;
use crate::units::Ratio;

/// Whether a run can be judged, and every reason why not.
pub(super) fn validity(input: &Input<'_>, marks: &Marks) -> (RunStatus, Vec<String>) {
    if let Some(reason) = &marks.not_run {
        return (RunStatus::NotRun, vec![format!("not run: {reason}")]);
    }
    if let Some(reason) = &marks.aborted {
        return (RunStatus::Aborted, vec![format!("aborted: {reason}")]);
    }
    if marks.started.is_none() {
        return (RunStatus::NotRun, vec!["not run: the journal does not say that it began".to_owned()]);
    }
    let checks =
        [journal_gaps(input, marks), frozen(input), tap(input), timeline(input), steady_state(input)];
    let reasons: Vec<String> = checks.into_iter().flatten().collect();
    let status = if reasons.is_empty() { RunStatus::Valid } else { RunStatus::Invalid };
    (status, reasons)
}

/// A journal that does not tell the phases gives no span to judge.
fn journal_gaps(input: &Input<'_>, marks: &Marks) -> Vec<String> {
    let mut gaps = Vec::new();
    if marks.steady.is_none() {
        gaps.push("the journal has no steady phase".to_owned());
    }
    for fault in input.experiment.faults.iter().filter(|f| marks.fault(&f.id).active.is_none()) {
        gaps.push(format!("fault `{}` was never active", fault.id));
    }
    if marks.ended.is_none() {
        gaps.push("the journal does not say that the run ended".to_owned());
    }
    gaps
}

/// An alert that was pushed out of the timeline would be a false alarm that nobody counts.
fn timeline(input: &Input<'_>) -> Vec<String> {
    let lost = !input.watch.timeline_whole;
    lost.then(|| "the timeline no longer has everything since the run began".to_owned()).into_iter().collect()
}

/// Who tunes the accused during the trial has no trial.
fn frozen(input: &Input<'_>) -> Vec<String> {
    let (before, after) = (input.frozen_before, input.frozen_after);
    let parts = [
        ("the experiment", &before.experiment, &after.experiment),
        ("the detectors' configuration", &before.detectors, &after.detectors),
        ("the baseline", &before.baseline, &after.baseline),
    ];
    let changed = parts.into_iter().filter(|(_, before, after)| before != after);
    changed.map(|(what, before, after)| format!("{what} changed in the run: {before} to {after}")).collect()
}

fn tap(input: &Input<'_>) -> Vec<String> {
    let (tap, limits) = (input.tap, &input.limits);
    let mut reasons = Vec::new();
    if tap.rows_seen < limits.rows_min {
        reasons.push(format!("too few rows: {} seen, {} needed", tap.rows_seen, limits.rows_min));
    }
    let lost = tap.lost();
    let lost_share = Ratio::of(lost, tap.rows_seen.saturating_add(lost));
    if lost_share.is_some_and(|share| share > limits.tap_loss_max) {
        let most = limits.tap_loss_max.get() * 100.0;
        reasons.push(format!("the tap lost {lost} of {} rows, {most} % allowed", tap.rows_seen + lost));
    }
    let offset_max = limits.clock_offset_max.as_secs_f64() * 1e3;
    let resolution = input.clock.resolution_ms;
    if !(0.0..=offset_max).contains(&resolution) {
        reasons.push(format!("clocks tell {resolution} ms apart, {offset_max} ms allowed"));
    }
    // A NaN offset is no measurement that could clear the clock.
    if let Some(offset) = input.clock.offset_ms.filter(|offset| offset.is_nan() || offset.abs() > offset_max)
    {
        reasons.push(format!("the sender's clock is {offset} ms off, {offset_max} ms allowed"));
    }
    reasons
}

/// Only against levels that held, and are known to have held, can a fault be loud or silent.
fn steady_state(input: &Input<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    for slo in input.experiment.slos.iter().filter(|slo| slo.ordinary) {
        let report = input.slos.iter().find(|report| report.name == slo.name);
        match report.and_then(|report| report.steady.met) {
            Some(true) => {}
            Some(false) => reasons.push(format!("steady state not met: `{}` was broken before", slo.name)),
            None => {
                reasons.push(format!("steady state unknown: `{}` has no data before the fault", slo.name))
            }
        }
    }
    reasons
}
