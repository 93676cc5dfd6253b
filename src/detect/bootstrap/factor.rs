use crate::detect::normal;
use crate::units::{count, whole};

/// Thresholds that a fit needs: three in each half, the middle one in both.
const THRESHOLDS_MIN: usize = 5;
/// Fewer alarms than this do not tell a mean run length.
const ALARMS_MIN: f64 = 30.0;
/// The thresholds span at least this factor.
const SPAN_MIN: f64 = 30.0;
/// Beyond the highest threshold the fit is trusted for so many times the span that was measured.
const BEYOND: f64 = 1.0;
/// A flatter curve than this is a bank that alarms about as often whatever the threshold.
const SLOPE_MIN: f64 = 0.1;
/// The threshold is raised by this factor at most: 14 nats, as much as a budget of 10^6 rows itself.
const FACTOR_MAX: f64 = 1e6;
/// The chance that a lower limit lies above the truth.
const TOO_HIGH: f64 = 0.025;

/// What simulation found at one threshold. Thresholds are measured apart: each with its own steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) threshold: f64,
    /// Steps over alarms, steps of unfinished runs included.
    pub(super) run_length: f64,
    pub(super) alarms: f64,
}

/// The factor by which a threshold of `wanted` must be raised so that the mean run length is `wanted`:
/// from 1; `None` when that cannot be promised.
///
/// An e-detector with valid evidence runs for at least its threshold. Where evidence is not valid
/// (dependent rows), the tail of its statistic is a power law and the run length grows as a power
/// below one of the threshold. Alarms of several bets add up, so on logarithms the curve is a soft
/// minimum of lines: it bends down until the worst bet has taken over. Hence two weighted fits of log
/// run length on log threshold, through the lower and the upper half of the points (a mean of `n` run
/// lengths has a relative error of about `1 / sqrt(n)`; more where points scatter more about their
/// line). Up to the highest threshold the lower 97.5 % limit of the upper line counts. Beyond it the
/// curve goes on with the upper slope less as much again as it lost since the lower half, less that
/// slope's own margin.
///
/// Refused: fewer than 5 thresholds, spanning less than a factor of 30; fewer than 30 alarms at any; a
/// slope that may be below 0.1, which is a bank in alarm whatever the threshold; an answer farther
/// above the highest threshold than that is above the lowest (in logarithms); a factor above 10^6.
///
/// # Source
/// Kesten (1973), Acta Mathematica 131:207, for the power law of `R <- (1 + R) e`; weighted least
/// squares. Values: tests/reference/threshold.py.
#[must_use]
pub(super) fn threshold_factor(measured: &[Measured], wanted: f64) -> Option<f64> {
    let mut points: Vec<Measured> = measured.to_vec();
    points.sort_by(|a, b| a.threshold.total_cmp(&b.threshold));
    let told = |m: &Measured| {
        let finite = m.threshold.is_finite() && m.run_length.is_finite() && m.alarms.is_finite();
        finite && m.threshold > 0.0 && m.run_length > 0.0 && m.alarms >= ALARMS_MIN
    };
    let usable =
        wanted.is_finite() && wanted > 0.0 && points.len() >= THRESHOLDS_MIN && points.iter().all(told);
    let (lowest, highest) = (points.first()?.threshold, points.last()?.threshold);
    if !usable || highest < SPAN_MIN * lowest {
        return None;
    }
    let half = points.len().div_ceil(2);
    let lower = Line::through(points.get(..half)?)?;
    let upper = Line::through(points.get(points.len() - half..)?)?;
    let (end, goal) = (highest.ln(), wanted.ln());
    let at = upper.end_slope(&lower)?.reaches(&upper, end, goal);
    let raised = (at - goal).exp();
    let reach = end + BEYOND * (highest / lowest).ln();
    let factor = if raised > 1.0 { raised } else { 1.0 };
    let promised = (at <= reach || raised <= 1.0) && factor <= FACTOR_MAX;
    promised.then_some(factor)
}

/// A weighted fit of log run length on log threshold.
struct Line {
    /// Weighted means of both logarithms.
    center: (f64, f64),
    slope: f64,
    /// Variances of the height at the centre and of the slope, scatter of the points included.
    height_variance: f64,
    slope_variance: f64,
}

/// How the curve goes on beyond the measured thresholds.
struct EndSlope(f64);

impl Line {
    fn through(points: &[Measured]) -> Option<Self> {
        let logs = || points.iter().map(|m| (m.threshold.ln(), m.run_length.ln(), m.alarms));
        let weight: f64 = logs().map(|(_, _, w)| w).sum();
        let center = logs().fold((0.0, 0.0), |c, (x, y, w)| (c.0 + w * x / weight, c.1 + w * y / weight));
        let spread: f64 = logs().map(|(x, _, w)| w * (x - center.0) * (x - center.0)).sum();
        if spread <= 0.0 {
            return None;
        }
        let slope = logs().map(|(x, y, w)| w * (x - center.0) * (y - center.1)).sum::<f64>() / spread;
        let left = |(x, y, w): (f64, f64, f64)| {
            let residual = y - center.1 - slope * (x - center.0);
            w * residual * residual
        };
        let scatter = logs().map(left).sum::<f64>() / (count(whole(points.len())) - 2.0);
        let scatter = if scatter > 1.0 { scatter } else { 1.0 };
        Some(Self { center, slope, height_variance: scatter / weight, slope_variance: scatter / spread })
    }

    /// The lower limit of the slope beyond an upper line: bending goes on as it did since `lower`.
    fn end_slope(&self, lower: &Self) -> Option<EndSlope> {
        let bend = lower.slope - self.slope;
        let (slope, variance) = if bend > 0.0 {
            (self.slope - bend, 4.0 * self.slope_variance + lower.slope_variance)
        } else {
            (self.slope, self.slope_variance)
        };
        let slope = slope - margin() * variance.sqrt();
        (slope >= SLOPE_MIN).then_some(EndSlope(slope))
    }

    /// The lower limit of the line.
    fn at_least(&self, x: f64) -> f64 {
        let from = x - self.center.0;
        let error = (self.height_variance + self.slope_variance * from * from).sqrt();
        self.slope.mul_add(from, self.center.1) - margin() * error
    }
}

impl EndSlope {
    /// The log threshold at which the lower limit reaches `goal`: on from `end` with this slope, or
    /// back from there with a slope of one, which is as steep as valid evidence has to be.
    fn reaches(&self, line: &Line, end: f64, goal: f64) -> f64 {
        let short = goal - line.at_least(end);
        end + if short > 0.0 { short / self.0 } else { short }
    }
}

/// Standard errors between an estimate and its lower limit.
fn margin() -> f64 {
    -normal::quantile(TOO_HIGH)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    fn power_law(scale: f64, power: f64) -> Vec<Measured> {
        [1e2, 3e2, 1e3, 3e3, 1e4, 3e4]
            .map(|threshold: f64| Measured {
                threshold,
                run_length: scale * threshold.powf(power),
                alarms: 400.0,
            })
            .to_vec()
    }

    /// Agreement with numpy's fit and scipy's root finder.
    #[test]
    fn agrees_with_scipy() {
        let table = include_str!("../../../tests/reference/threshold.csv");
        let mut checked = 0;
        for line in table.lines().filter(|l| !l.starts_with('#') && !l.starts_with("wanted")) {
            let (numbers, points) = line.split_once(',').unwrap();
            let (factor, points) = points.split_once(',').unwrap();
            let triple = |text: &str| {
                let v: Vec<f64> = text.split(':').map(|v| v.parse().unwrap()).collect();
                Measured { threshold: v[0], run_length: v[1], alarms: v[2] }
            };
            let points: Vec<Measured> = points.split(' ').map(triple).collect();
            let (ours, theirs) = (threshold_factor(&points, numbers.parse().unwrap()), factor.parse::<f64>());
            match (ours, theirs) {
                (Some(ours), Ok(theirs)) => assert!((ours / theirs - 1.0).abs() < 1e-6, "{line}: {ours}"),
                (ours, theirs) => assert!(ours.is_none() && theirs.is_err(), "{line}: {ours:?}"),
            }
            checked += 1;
        }
        assert!(checked > 20, "the table is there");
    }

    /// What a fit cannot promise is refused; what needs nothing gets nothing.
    #[test]
    fn refuses_what_it_cannot_promise() {
        assert!(
            threshold_factor(&power_law(3.0, 1.0), 1e5).is_some_and(|f| f < 1.0 + 1e-9),
            "quieter than asked"
        );
        let raised = threshold_factor(&power_law(1.0, 0.8), 1e5).unwrap();
        assert!(raised > 1e5_f64.powf(0.25) && raised < 8.0 * 1e5_f64.powf(0.25), "{raised}");
        assert!(threshold_factor(&power_law(50.0, 0.05), 1e5).is_none(), "in alarm whatever the threshold");
        assert!(threshold_factor(&power_law(0.001, 0.5), 1e5).is_none(), "a factor beyond all measure");
        assert!(threshold_factor(&power_law(1.0, 0.9), 1e19).is_none(), "too far beyond what was measured");
        assert!(threshold_factor(&power_law(1.0, 0.9)[..4], 1e5).is_none(), "too few thresholds");
        let mut few = power_law(1.0, 0.9);
        few[4].alarms = 5.0;
        assert!(threshold_factor(&few, 1e5).is_none(), "too few alarms");
        let mut unknown = power_law(1.0, 0.9);
        unknown[2].run_length = f64::NAN;
        assert!(threshold_factor(&unknown, 1e5).is_none() && threshold_factor(&few, f64::NAN).is_none());
        let same = [Measured { threshold: 5.0, run_length: 5.0, alarms: 100.0 }; 6];
        assert!(threshold_factor(&same, 1e5).is_none() && threshold_factor(&[], 1e5).is_none());
    }

    /// Of measurements with their own error, at least 95 % of factors are large enough; a curve that
    /// bends down is seen in its upper half.
    #[test]
    fn factors_are_large_enough() {
        let mut random = StdRng::seed_from_u64(3);
        let wanted = 1e6_f64;
        for bend in [0.0, 0.02] {
            let truth = |threshold: f64| {
                let x = threshold.ln();
                (0.85 * x - bend * (x - 100_f64.ln()).powi(2) / 4.0).exp()
            };
            let enough = (0..400).filter(|_| {
                let measure = |threshold: f64| {
                    let total: f64 =
                        (0..200).map(|_| -truth(threshold) * f64::ln(1.0 - random.random::<f64>())).sum();
                    Measured { threshold, run_length: total / 200.0, alarms: 200.0 }
                };
                let points = [1e2, 3e2, 1e3, 3e3, 1e4, 3e4].map(measure);
                threshold_factor(&points, wanted).is_none_or(|f| truth(wanted * f) >= wanted)
            });
            assert!(enough.count() >= 380, "bend {bend}");
        }
    }

    /// Untempered bets on clumped rows: the factor found at thresholds up to 3,000 gives 10,000 rows.
    #[test]
    fn a_raised_threshold_holds() {
        let run = |threshold: f64, seed: u64, runs: usize| {
            let mut random = StdRng::seed_from_u64(seed);
            let (mut hit, mut rows) = (false, 0.0);
            for _ in 0..runs {
                let mut evidence = 0.0;
                while evidence < threshold {
                    // A bin of a tenth of the rows, of which a hit is followed by one twice as often.
                    let chance = if hit { 0.2 } else { 0.8 / 9.0 };
                    hit = random.random::<f64>() < chance;
                    evidence = (evidence + 1.0) * if hit { 0.75 + 0.25 / 0.1 } else { 0.75 };
                    rows += 1.0;
                }
            }
            rows / count(whole(runs))
        };
        let measure =
            |threshold: f64| Measured { threshold, run_length: run(threshold, 7, 1_000), alarms: 1e3 };
        let points = [10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0].map(measure);
        let (wanted, raised) = (10_000.0, threshold_factor(&points, 10_000.0).unwrap());
        let (before, after) = (run(wanted, 9, 60), run(wanted * raised, 9, 60));
        assert!(
            before < 0.6 * wanted && after > wanted && after < 20.0 * wanted,
            "{raised}: {before} {after}"
        );
    }
}
