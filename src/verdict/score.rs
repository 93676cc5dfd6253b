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

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// The protocol of the simulation: 12 faults, 24 shams, budget 60 s, hard limit 120 s.
    const BUDGET: Duration = Duration::from_secs(60);
    const RUNS: u32 = 1_000;

    /// When a detector fires in a window, in seconds from its start.
    type Fires = fn(&mut StdRng) -> Option<f64>;

    fn exponential(rng: &mut StdRng, mean: f64) -> f64 {
        -mean * (1.0 - rng.random::<f64>()).ln()
    }

    fn earned(ttd_s: Option<f64>) -> Ratio {
        match ttd_s {
            None => credit(Outcome::Missed, None, BUDGET),
            Some(s) if s <= 60.0 => credit(Outcome::DetectedInBudget, Some(s * 1e3), BUDGET),
            Some(s) => credit(Outcome::DetectedLate, Some(s * 1e3), BUDGET),
        }
    }

    /// Mean point and conservative score of a detector: when it fires in a fault and in a sham.
    fn simulate(in_fault: Fires, in_sham: Fires) -> (f64, f64) {
        let mut rng = StdRng::seed_from_u64(5);
        let (mut point, mut conservative) = (0.0, 0.0);
        for _ in 0..RUNS {
            let trial = |credit| Trial { severity: Severity::Critical, credit };
            let faults: Vec<Trial> = (0..12).map(|_| trial(earned(in_fault(&mut rng)))).collect();
            let shams: Vec<Ratio> = (0..24).map(|_| earned(in_sham(&mut rng))).collect();
            let score = score(&faults, &shams, 12);
            assert_eq!(score.state, ScoreState::Scored);
            point += score.point.unwrap() / f64::from(RUNS);
            conservative += score.conservative.unwrap() / f64::from(RUNS);
        }
        (point, conservative)
    }

    /// The adversaries of the published simulation earn nothing to speak of, and good detectors what
    /// they deserve.
    #[test]
    fn adversaries_earn_nothing() {
        let cases: [(&str, Fires, Fires, f64, f64); 7] = [
            ("always firing", |_| None, |_| None, 0.0, 0.0),
            ("flaps at every window start", |_| Some(0.0), |_| Some(0.0), 0.0, 0.0),
            ("random half", half, half, 6.0, 0.0),
            ("good", |r| good(r, 15.0), |r| one_in(r, 0.01), 92.0, 73.0),
            ("30 % false alarms", |r| good(r, 15.0).or(one_in(r, 0.3)), |r| one_in(r, 0.3), 72.0, 47.0),
            ("good but slow", |r| good(r, 90.0), |r| one_in(r, 0.01), 57.0, 35.0),
            ("misses half", |r| half(r).map(|_| 15.0), |r| one_in(r, 0.01), 47.0, 26.0),
        ];
        for (name, in_fault, in_sham, point, conservative) in cases {
            let (seen, least) = simulate(in_fault, in_sham);
            assert!((seen - point).abs() < 4.0, "{name}: {seen}, expected about {point}");
            assert!(
                (least - conservative).abs() < 4.0,
                "{name}: at least {least}, expected about {conservative}"
            );
        }
    }

    fn half(rng: &mut StdRng) -> Option<f64> {
        one_in(rng, 0.5)
    }

    fn good(rng: &mut StdRng, mean: f64) -> Option<f64> {
        rng.random_bool(0.95).then(|| exponential(rng, mean))
    }

    fn one_in(rng: &mut StdRng, share: f64) -> Option<f64> {
        rng.random_bool(share).then(|| rng.random_range(0.0..120.0))
    }

    /// All in the budget, none from twice the budget on, half in the middle; never for what stood before.
    #[test]
    fn credit_is_linear() {
        for (outcome, ttd_ms, expected) in [
            (Outcome::DetectedInBudget, Some(60_000.0), 1.0),
            (Outcome::DetectedLate, Some(90_000.0), 0.5),
            (Outcome::DetectedLate, Some(120_000.0), 0.0),
            (Outcome::DetectedLate, Some(1e9), 0.0),
            (Outcome::DetectedLate, None, 0.0),
            (Outcome::Missed, None, 0.0),
            (Outcome::WrongDetector, Some(1.0), 0.0),
            (Outcome::AlreadyFiring, Some(0.0), 0.0),
        ] {
            let seen = credit(outcome, ttd_ms, BUDGET).get();
            assert!((seen - expected).abs() < 1e-9, "{outcome} {ttd_ms:?}: {seen}");
        }
    }

    /// Below 6 faults or 20 shams there is no score, and the numbers that there are stay.
    #[test]
    fn too_few_make_no_score() {
        let fault = Trial { severity: Severity::Info, credit: Ratio::one_in(1) };
        for (faults, shams, state) in [
            (5, 20, ScoreState::Inconclusive),
            (6, 19, ScoreState::Inconclusive),
            (6, 20, ScoreState::Scored),
            (0, 0, ScoreState::Inconclusive),
        ] {
            let score = score(&vec![fault; faults], &vec![Ratio::one_in(0); shams], 8);
            assert_eq!(score.state, state, "{faults} faults, {shams} shams");
            assert_eq!(score.point.is_some(), state == ScoreState::Scored);
            assert_eq!(score.coverage, Ratio::of(score.n_faults, 8));
            assert_eq!(score.p0.is_some(), shams > 0);
        }
    }

    /// Severe faults weigh more.
    #[test]
    fn severity_weighs() {
        let trial = |severity, credit| Trial { severity, credit: Ratio::one_in(credit) };
        let shams = vec![Ratio::one_in(0); 20];
        let with = |hit, lost| {
            let mut faults = vec![trial(hit, 1); 3];
            faults.extend(vec![trial(lost, 0); 3]);
            score(&faults, &shams, 6).point.unwrap()
        };
        assert!((with(Severity::Critical, Severity::Info) - 80.0).abs() < 1e-9);
        assert!((with(Severity::Info, Severity::Critical) - 20.0).abs() < 1e-9);
    }

    /// Wilson's bounds of 8 in 10 at 95 %, as published tables have them; of none, nothing.
    #[test]
    fn wilson_bounds() {
        let (low, high) = wilson(8, 10, 1.959_964).unwrap();
        assert!((low - 0.4902).abs() < 1e-4 && (high - 0.9433).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson(0, 0, 1.96), None);
    }
}
