use super::state::Start;
use crate::units::{Timestamp, count, round};

/// What changed, before it is put into words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) detector: &'static str,
    pub(super) kind: &'static str,
    pub(super) became: String,
    /// What it happened to, where that is no feature.
    pub(super) subject: Option<String>,
    pub(super) features: Vec<String>,
    /// Whether the one feature is a vector, and it happened to its length.
    pub(super) is_length: bool,
    /// All columns of the group.
    pub(super) of_features: usize,
    /// Steps hit from the start on, where they are counted.
    pub(super) hits: Option<u64>,
    /// The part of steps that are looked at, above 0 to 1.
    pub(super) told: f64,
    pub(super) start: Start,
    /// The share of the baseline's steps that the bin has; nothing for a whole distribution.
    pub(super) baseline: Option<(f64, f64)>,
}

/// One alarm in one sentence: group, features, what changed, how often, since when, against what.
pub(super) fn sentence(group: &str, change: &Change, judged: u64) -> String {
    let subject = match (change.features.as_slice(), &change.subject) {
        ([], Some(subject)) => subject.clone(),
        ([one], _) if change.is_length => format!("the length of `{one}`"),
        ([one], _) => format!("`{one}`"),
        (several, _) => format!("{} of {} features", several.len(), change.of_features),
    };
    let rows = judged.saturating_sub(change.start.judged) + 1;
    let since = to_the_millisecond(change.start.ts);
    let mut told = format!("`{group}`: {subject} {}", change.became);
    match change.hits {
        Some(hits) => {
            // Where every other row is looked at, so many can be hit at the most.
            let looked_at = round(count(rows) * change.told).max(hits);
            let share = (count(hits), count(looked_at));
            let (now, usual) = told_apart(share, change.baseline);
            told.push_str(&format!(" in {now} of rows since {since} ({hits} of {looked_at})"));
            usual.iter().for_each(|usual| told.push_str(&format!("; baseline {usual}")));
        }
        None => {
            told.push_str(&format!(" in {rows} rows since {since}"));
            let usual = change.baseline.map(|(hits, rows)| percent(hits, rows));
            usual.iter().for_each(|usual| told.push_str(&format!("; baseline {usual}")));
        }
    }
    told
}

/// A share of now and one of the baseline, with as many digits as tell them apart.
fn told_apart((hits, rows): (f64, f64), baseline: Option<(f64, f64)>) -> (String, Option<String>) {
    let now = percent(hits, rows);
    let Some((usual_hits, usual_rows)) = baseline else { return (now, None) };
    let usual = percent(usual_hits, usual_rows);
    if now != usual || rows <= 0.0 || usual_rows <= 0.0 || hits <= 0.0 {
        return (now, Some(usual));
    }
    let exact = |part: f64, whole: f64| format!("{:.2} %", 100.0 * part / whole);
    (exact(hits, rows), Some(exact(usual_hits, usual_rows)))
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
