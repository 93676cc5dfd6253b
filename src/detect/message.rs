use super::state::Start;
use crate::units::{Timestamp, count};

/// What changed, before it is put into words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) detector: &'static str,
    pub(super) kind: &'static str,
    pub(super) became: String,
    /// What it happened to, where that is no feature.
    pub(super) subject: Option<String>,
    pub(super) features: Vec<String>,
    /// All columns of the group.
    pub(super) of_features: usize,
    /// Steps hit from the start on, where they are counted.
    pub(super) hits: Option<u64>,
    pub(super) start: Start,
    /// The share of the baseline's steps that the bin has; nothing for a whole distribution.
    pub(super) baseline: Option<(f64, f64)>,
}

/// One alarm in one sentence: group, features, what changed, how often, since when, against what.
pub(super) fn sentence(group: &str, change: &Change, judged: u64) -> String {
    let subject = match (change.features.as_slice(), &change.subject) {
        ([], Some(subject)) => subject.clone(),
        ([one], _) => format!("`{one}`"),
        (several, _) => format!("{} of {} features", several.len(), change.of_features),
    };
    let rows = judged.saturating_sub(change.start.judged) + 1;
    let since = to_the_millisecond(change.start.ts);
    let mut told = format!("`{group}`: {subject} {}", change.became);
    match change.hits {
        Some(hits) => {
            let share = percent(count(hits), count(rows));
            told.push_str(&format!(" in {share} of rows since {since} ({hits} of {rows})"));
        }
        None => told.push_str(&format!(" in {rows} rows since {since}")),
    }
    if let Some((hits, rows)) = change.baseline {
        told.push_str(&format!("; baseline {}", percent(hits, rows)));
    }
    told
}

/// A share of rows in per cent, or `unknown` where there were none.
fn percent(part: f64, whole: f64) -> String {
    if whole <= 0.0 {
        return "unknown".to_owned();
    }
    let share = 100.0 * part / whole;
    // Rounding never makes something nothing, or most all.
    match share {
        _ if part > 0.0 && share < 0.05 => "under 0.05 %".to_owned(),
        _ if part < whole && share >= 99.5 => "over 99 %".to_owned(),
        _ if share >= 10.0 => format!("{share:.0} %"),
        _ => format!("{share:.1} %"),
    }
}

/// The time to the millisecond.
fn to_the_millisecond(ts: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(ts.as_micros()).map_or_else(|_| ts.to_string(), |t| format!("{t:.3}"))
}
