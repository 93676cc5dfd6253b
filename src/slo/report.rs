use serde::{Deserialize, Serialize};

use super::Span;
use crate::units::{Ratio, Timestamp};

/// The spans over which a run's service levels are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// Healthy traffic: here every ordinary objective has to hold, or the run proves nothing.
    pub steady: Span,
    /// From the fault's activity until what was in flight at its end is answered.
    pub fault: Span,
    /// From the steady phase to the end of the run.
    pub whole: Span,
}

/// One window, by its own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// When it began.
    pub at: Timestamp,
    /// Requests in it.
    pub total: u64,
    /// Of these, those too slow or failed.
    pub over: u64,
    /// The objective's quantile of latency in this window; null for an objective on success.
    pub quantile_ms: Option<f64>,
}

/// One objective over one span. Percentiles come from merged histograms, never from averages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Whether the objective held; null: there were no requests, or they are no longer known.
    pub met: Option<bool>,
    /// Requests.
    pub total: u64,
    /// Requests over the objective: too slow, or failed.
    pub over: u64,
    /// The share of requests without error; null for an objective on latency.
    pub availability: Option<Ratio>,
    /// Median latency.
    pub p50_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// 99.9th percentile.
    pub p999_ms: Option<f64>,
    /// The window with the worst quantile or share: a stall that the merged numbers hide.
    pub worst_window: Option<Window>,
    /// Windows that broke the objective by themselves.
    pub windows_over: u64,
    /// The first request over the objective in the first window that broke it by itself.
    pub first_breach: Option<Timestamp>,
    /// The share of this span's error budget that was spent, 1 is all; null without budget or requests.
    pub budget_spent: Option<f64>,
}

/// One objective over one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The objective's name.
    pub name: String,
    /// Whether the team had it before silentry.
    pub ordinary: bool,
    /// The objective in words, such as `p99 <= 1s`.
    pub target: String,
    /// Whether it held over the fault and over the whole run; null when one of them is not known
    /// and the other does not already break it.
    pub met: Option<bool>,
    /// Before the fault.
    pub steady: Summary,
    /// While the fault was on and its requests in flight.
    pub fault: Summary,
    /// The whole run.
    pub whole: Summary,
    /// Requests that are no longer known: their windows were forgotten. A span that had them is not judged.
    pub lost: u64,
}

/// Whether both held: a known breach breaks, an unknown half leaves it unknown.
pub(super) const fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}
