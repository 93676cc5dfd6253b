use super::episode::Episode;
use super::marks::Marks;
use super::{FalseAlarm, FalseAlarms, Input};
use crate::slo::Span;
use crate::units::{Ratio, Timestamp};

/// What fired, or stood, while nothing was broken: from the steady phase to the first fault, and to
/// the end of a sham.
///
/// An alert that stood when the steady phase began counts too: one that always fires has no rising
/// edge anywhere, and must not pass for quiet. So does one that fired during the fault for a row
/// from before it.
pub(super) fn false_alarms(input: &Input<'_>, marks: &Marks, episodes: &[Episode]) -> FalseAlarms {
    let mut result = FalseAlarms {
        count: None,
        limit: input.limits.false_alarms_max,
        control_ms: None,
        per_hour: None,
        firing_share: None,
        alarms: Vec::new(),
    };
    let Some(control) = control_span(input, marks) else { return result };
    let in_control =
        |e: &&Episode| control.contains(e.firing.at) || e.stands(control.from) || strayed(e, control);
    result.alarms = episodes.iter().filter(in_control).map(alarm).collect();
    let count = u32::try_from(result.alarms.len()).unwrap_or(u32::MAX);
    result.count = Some(u64::from(count));
    let millis = control.to.millis_since(control.from);
    if millis > 0.0 {
        result.control_ms = Some(millis);
        result.per_hour = Some(f64::from(count) * 3.6e6 / millis);
        result.firing_share = firing_share(episodes, control);
    }
    result
}

fn control_span(input: &Input<'_>, marks: &Marks) -> Option<Span> {
    let to = if input.experiment.is_sham() { marks.end() } else { marks.first_active().or(marks.end()) };
    Some(Span { from: marks.steady?, to: to? })
}

/// Fired after the control time for one of its rows.
fn strayed(episode: &Episode, control: Span) -> bool {
    episode.firing.at >= control.to && control.contains(episode.firing.stream_at)
}

fn alarm(episode: &Episode) -> FalseAlarm {
    FalseAlarm {
        at: episode.firing.at,
        alert: episode.alert,
        group: episode.group.clone(),
        detectors: episode.fired.iter().map(|fired| fired.detector.clone()).collect(),
    }
}

/// The share of a span during which at least one alert stood.
fn firing_share(episodes: &[Episode], span: Span) -> Option<Ratio> {
    let mut covered_to = span.from;
    let mut micros: i64 = 0;
    // Episodes come in order of their rising edge, so one sweep joins those that overlap.
    for episode in episodes {
        let from = episode.firing.at.max(covered_to);
        let to = episode.resolved.map_or(span.to, |resolved: Timestamp| resolved.min(span.to));
        if to > from {
            micros += to.as_micros() - from.as_micros();
            covered_to = to;
        }
    }
    let whole = span.to.as_micros() - span.from.as_micros();
    Ratio::of(u64::try_from(micros).ok()?, u64::try_from(whole).ok()?)
}
