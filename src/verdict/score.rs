use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chaos::{Outcome, Severity};
use crate::units::{Ratio, count};

/// Fewer faults make no score: with three, random alerting reaches 54 at its 95th percentile.
const FAULTS_MIN: usize = 6;
/// Fewer shams make no score: none of twenty still allows 15 % false alarms.
const SHAMS_MIN: usize = 20;
/// Two-sided 80 %.
const CONSERVATIVE_Z: f64 = 1.2816;
/// Nothing is earned at this many budgets or later.
const HARD_LIMIT_BUDGETS: f64 = 2.0;

/// Whether there is a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScoreState {
    /// There is.
    Scored,
    /// Too few faults or shams.
    Inconclusive,
}

/// How well a monitoring set-up did over a set of faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Whether there is one.
    pub state: ScoreState,
    /// `100 * max(0, R - p0)`.
    pub point: Option<f64>,
    /// The same from the lower 80 % bound of R and the upper one of p0.
    pub conservative: Option<f64>,
    /// The share of declared faults that took effect and that somebody had to notice.
    pub coverage: Option<Ratio>,
    /// The credit that was earned in shams.
    pub p0: Option<Ratio>,
    /// Faults that were judged.
    pub n_faults: u64,
    /// Shams that were judged.
    pub n_shams: u64,
}

/// One judged fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// How much it counts.
    pub severity: Severity,
    /// What its detection earned.
    pub credit: Ratio,
}

/// What one detection earned: all within its budget, none from twice the budget on, linear between.
///
/// Whatever did not fire, or stood before, earns nothing.
#[must_use]
pub fn credit(outcome: Outcome, ttd_ms: Option<f64>, within: Duration) -> Ratio {
    let earned = match (outcome, ttd_ms) {
        (Outcome::DetectedInBudget, _) => 1.0,
        (Outcome::DetectedLate, Some(ttd)) => {
            let budgets = ttd / (within.as_secs_f64() * 1e3);
            (HARD_LIMIT_BUDGETS - budgets) / (HARD_LIMIT_BUDGETS - 1.0)
        }
        _ => 0.0,
    };
    ratio(earned)
}

/// The score of judged faults against shams of the same length; `declared` counts every fault that
/// the experiments name, so that one without effect lowers the coverage and is never dropped.
///
/// The difference, not the kappa form, whose denominator vanishes for a detector that fires always.
#[must_use]
pub fn score(faults: &[Trial], shams: &[Ratio], declared: u64) -> Score {
    let (n_faults, n_shams) = (as_count(faults.len()), as_count(shams.len()));
    let p0 = mean(shams.iter().map(|credit| (1.0, credit.get())));
    let mut score = Score {
        state: ScoreState::Inconclusive,
        point: None,
        conservative: None,
        coverage: Ratio::of(n_faults, declared),
        p0: p0.map(ratio),
        n_faults,
        n_shams,
    };
    let earned = mean(faults.iter().map(|t| (weight(t.severity), t.credit.get())));
    if faults.len() < FAULTS_MIN || shams.len() < SHAMS_MIN {
        return score;
    }
    if let (Some(earned), Some(p0)) = (earned, p0) {
        let least = share_bounds(earned, effective_number(faults), CONSERVATIVE_Z).0;
        let most = share_bounds(p0, count(n_shams), CONSERVATIVE_Z).1;
        score.state = ScoreState::Scored;
        score.point = Some(100.0 * ratio(earned - p0).get());
        score.conservative = Some(100.0 * ratio(least - most).get());
    }
    score
}

/// Wilson's bounds of the share of `hits` in `n`; nothing when `n` is 0.
pub(super) fn wilson(hits: u64, n: u64, z: f64) -> Option<(f64, f64)> {
    Ratio::of(hits, n).map(|share| share_bounds(share.get(), count(n), z))
}

/// Wilson's bounds of a share seen in `n > 0` trials.
///
/// # Source
/// Wilson (1927), Probable inference, the law of succession, and statistical inference.
fn share_bounds(share: f64, n: f64, z: f64) -> (f64, f64) {
    let z2 = z * z;
    let centre = share + z2 / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    ((centre - half) / scale, (centre + half) / scale)
}

/// How many equally heavy trials tell as much as these.
fn effective_number(faults: &[Trial]) -> f64 {
    let sum: f64 = faults.iter().map(|t| weight(t.severity)).sum();
    let squares: f64 = faults.iter().map(|t| weight(t.severity).powi(2)).sum();
    sum * sum / squares
}

/// Missing what should wake somebody weighs as much as missing four curiosities.
const fn weight(severity: Severity) -> f64 {
    match severity {
        Severity::Info => 1.0,
        Severity::Warning => 2.0,
        Severity::Critical => 4.0,
    }
}

/// The mean of weighted values; nothing of none.
fn mean(weighted: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (weights, sum) = weighted.fold((0.0, 0.0), |(w, s), (weight, v)| (w + weight, s + weight * v));
    (weights > 0.0).then(|| sum / weights)
}

/// Clamps to 0 to 1; what is not a number earns nothing.
fn ratio(value: f64) -> Ratio {
    if value >= 1.0 { Ratio::one_in(1) } else { Ratio::new(value).unwrap_or(Ratio::one_in(0)) }
}

fn as_count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
