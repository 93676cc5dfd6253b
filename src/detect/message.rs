use super::ledger::Start;
use crate::units::{Timestamp, count};

/// What changed, before it is put into words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) detector: &'static str,
    pub(super) kind: &'static str,
    pub(super) became: String,
    pub(super) features: Vec<String>,
    /// All columns of the group.
    pub(super) of_features: usize,
    /// Rows hit from the start on.
    pub(super) hits: u64,
    pub(super) start: Start,
    pub(super) baseline_hits: u64,
    pub(super) baseline_rows: u64,
}

/// One alarm in one sentence: group, features, what changed, how often, since when, against what.
pub(super) fn sentence(group: &str, change: &Change, judged: u64) -> String {
    let subject = match change.features.as_slice() {
        [one] => format!("`{one}`"),
        several => format!("{} of {} features", several.len(), change.of_features),
    };
    let rows = judged.saturating_sub(change.start.judged) + 1;
    format!(
        "`{group}`: {subject} {} in {} of rows since {} ({} of {rows}); baseline {}",
        change.became,
        percent(change.hits, rows),
        to_the_millisecond(change.start.ts),
        change.hits,
        percent(change.baseline_hits, change.baseline_rows),
    )
}

/// A share of rows in per cent, or `unknown` where there were none.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "unknown".to_owned();
    }
    let share = 100.0 * count(part) / count(whole);
    // Rounding never makes something nothing, or most all.
    match share {
        _ if part > 0 && share < 0.05 => "under 0.05 %".to_owned(),
        _ if part < whole && share >= 99.5 => "over 99 %".to_owned(),
        _ if share >= 10.0 => format!("{share:.0} %"),
        _ => format!("{share:.1} %"),
    }
}

/// The time to the millisecond.
fn to_the_millisecond(ts: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(ts.as_micros()).map_or_else(|_| ts.to_string(), |t| format!("{t:.3}"))
}
