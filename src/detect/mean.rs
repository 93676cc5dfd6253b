/// Neighbouring stakes of the mixture differ by this factor, which costs the best of them little.
const STAKES_APART: f64 = 1.5;
/// More stakes than this are not needed before 10^12 rows.
const STAKES_MAX: u32 = 40;
/// Steps of the search for the limit; fewer than ten are met.
const STEPS: u32 = 80;

/// Upper confidence limit of the mean weight of a categorical variable that fell into these bins.
///
/// At most the largest weight, which also answers when nothing was counted; infinite when weights
/// and counts do not belong together or are not finite, so that nothing divided by it wins.
/// `counts`: rows, or sums of shares of one row each; `delta`: the chance, over baselines, that the
/// true mean lies above.
///
/// The limit holds for weights that were chosen without these counts: from the rows that planned
/// the bins. A bin that those rows never hit is left out of a tilt by a weight of 1.
///
/// For a mean `m`, everybody who loses `s (w - m) / (W - m)` of what they hold on each row of weight
/// `w` (`W` the largest, `0 < s <= 1`) plays an unfavourable game as long as the true mean is `m` or
/// more, and so does who splits the money between several stakes `s`: by Markov's inequality the
/// chance to end with `1 / delta` is at most `delta`. The limit is the smallest `m` where they do.
/// The end does not depend on the order of rows, so counts are enough; a row that is a mean of rows
/// (a request) has a weight in the same range and the concavity of the logarithm only lowers what
/// is computed from its shares. Excess of the limit over the sample's mean, in units of
/// `sd * sqrt(2 ln(1 / delta) / n)`, sixteen even bins, weights `exp(tilt * normal score)`,
/// `delta = 1e-6`; Maurer and Pontil's empirical Bernstein limit beside it:
///
/// | rows | tilt 0.1: here / Bernstein | tilt 1: here / Bernstein |
/// |---|---|---|
/// | 500 | 1.08 / 2.14 | 1.25 / 2.18 |
/// | 3,000 | 1.07 / 1.48 | 1.14 / 1.49 |
/// | 13,000 | 1.08 / 1.24 | 1.11 / 1.25 |
/// | 100,000 | 1.08 / 1.10 | 1.09 / 1.11 |
/// | 1,000,000 | 1.09 / 1.05 | 1.09 / 1.05 |
///
/// # Source
/// Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, JRSS B
/// 86:1, section 4, with a fixed mixture of stakes; Maurer and Pontil (2009), theorem 4. Values:
/// tests/reference/mean_limit.py.
#[must_use]
pub(super) fn upper_mean(weights: &[f64], counts: &[f64], delta: f64) -> f64 {
    let finite = weights.iter().chain(counts).all(|v| v.is_finite()) && counts.iter().all(|c| *c >= 0.0);
    if weights.len() != counts.len() || weights.is_empty() || !finite {
        return f64::INFINITY;
    }
    let highest = largest(weights.iter().copied());
    let rows: f64 = counts.iter().sum();
    let usable = rows > 0.0 && delta > 0.0 && delta < 1.0;
    if !usable {
        return highest;
    }
    let mean = weights.iter().zip(counts).map(|(w, c)| w * c).sum::<f64>() / rows;
    let seen = weights.iter().zip(counts).filter(|(_, c)| **c > 0.0);
    let game = Game {
        seen: seen.map(|(w, c)| (*w, *c)).collect(),
        highest,
        stakes: stakes(rows, delta),
        wanted: -delta.ln(),
    };
    game.limit(mean)
}

/// The largest of finite values.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, |best, v| if v > best { v } else { best })
}

/// Shares of the money to risk: those that are best for a spread between the widest that a range
/// allows and none at all. They depend on nothing that was counted but the number of rows.
fn stakes(rows: f64, delta: f64) -> Vec<f64> {
    let smallest = (-2.0 * delta.ln() / rows).sqrt();
    let stake = |step: u32| STAKES_APART.powi(-i32::try_from(step).unwrap_or(i32::MAX));
    let mut all: Vec<f64> = (0..STAKES_MAX).map(stake).take_while(|s| *s > smallest).collect();
    all.push(if smallest < 1.0 { smallest } else { 1.0 });
    all
}

/// The game of one limit: weights seen with their counts, the largest weight, and the stakes.
struct Game {
    seen: Vec<(f64, f64)>,
    highest: f64,
    stakes: Vec<f64>,
    /// The logarithm of the sum to reach.
    wanted: f64,
}

impl Game {
    /// Newton's method between the sample's mean and the largest weight; never below the crossing.
    fn limit(&self, mean: f64) -> f64 {
        let (mut low, mut high) = (mean, self.highest);
        let mut at = f64::midpoint(low, high);
        for _ in 0..STEPS {
            if at <= low || at >= high {
                at = f64::midpoint(low, high);
            }
            let (money, slope) = self.money(at);
            let reached = money >= self.wanted;
            if reached {
                high = at;
            } else {
                low = at;
            }
            if high - low <= 1e-7 * (high - mean) {
                break;
            }
            let next = at - (money - self.wanted) / slope;
            // From above Newton comes closer but stays above: the rest is below what matters.
            if reached && (at - next).abs() < 1e-7 * (high - mean) {
                break;
            }
            at = next;
        }
        high
    }

    /// The logarithm of the money at the end when the mean is said to be `mean`, and its slope.
    fn money(&self, mean: f64) -> (f64, f64) {
        let room = self.highest - mean;
        let ends: Vec<(f64, f64)> = self.stakes.iter().map(|s| self.end(*s, mean, room)).collect();
        let best = largest(ends.iter().map(|(ln, _)| *ln));
        if best == f64::NEG_INFINITY {
            return (best, 1.0);
        }
        let (mut sum, mut slopes) = (0.0, 0.0);
        for (ln, slope) in &ends {
            let share = (ln - best).exp();
            sum += share;
            // What lost everything has no share; its slope is no number.
            if share > 0.0 {
                slopes += share * slope;
            }
        }
        (best + (sum / crate::units::count(crate::units::whole(ends.len()))).ln(), slopes / sum)
    }

    /// One stake's logarithm of the money at the end, and its slope in the mean.
    fn end(&self, stake: f64, mean: f64, room: f64) -> (f64, f64) {
        self.seen.iter().fold((0.0, 0.0), |(ln, slope), (weight, count)| {
            let gain = stake * (mean - weight) / room;
            let growth = stake * (self.highest - weight) / (room * room);
            (gain.ln_1p().mul_add(*count, ln), count * growth / (1.0 + gain) + slope)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same game solved by scipy's root finder, and Maurer and Pontil's limit of the same counts:
    /// ours is the lower of the two up to fifty thousand rows at least.
    #[test]
    fn agrees_with_scipy() {
        let table = include_str!("../../tests/reference/mean_limit.csv");
        let mut checked = 0;
        for line in table.lines().filter(|l| !l.starts_with('#') && !l.starts_with("delta")) {
            let cells: Vec<&str> = line.split(',').collect();
            let numbers = |text: &str| text.split(' ').map(|v| v.parse().unwrap()).collect::<Vec<f64>>();
            let one = |at: usize| cells[at].parse::<f64>().unwrap();
            let (weights, counts) = (numbers(cells[1]), numbers(cells[2]));
            let ours = upper_mean(&weights, &counts, one(0));
            let rows: f64 = counts.iter().sum();
            let mean = weights.iter().zip(&counts).map(|(w, c)| w * c).sum::<f64>() / rows;
            assert!((ours - one(3)).abs() <= 1e-5 * (one(3) - mean), "{line}: {ours}");
            assert!(ours < one(4) || rows > 5e4, "{line}: {ours}");
            checked += 1;
        }
        assert!(checked > 20, "the table is there");
    }

    /// Whatever is wrong or unknown wins nothing.
    #[test]
    fn nothing_known_wins_nothing() {
        let check = |weights: &[f64], counts: &[f64], delta, expected: f64| {
            let ours = upper_mean(weights, counts, delta);
            assert!(ours >= expected, "{weights:?} {counts:?} {delta}: {ours}");
        };
        check(&[1.0, 3.0], &[0.0, 0.0], 0.01, 3.0);
        check(&[1.0, 3.0], &[5.0, 5.0], 0.0, 3.0);
        check(&[1.0, 3.0], &[5.0, 5.0], f64::NAN, 3.0);
        check(&[2.0, 2.0], &[50.0, 50.0], 0.01, 2.0);
        check(&[1.0, 3.0], &[1.0, 1.0], 1e-6, 3.0);
        check(&[1.0, f64::NAN], &[5.0, 5.0], 0.01, f64::INFINITY);
        check(&[1.0], &[5.0, 5.0], 0.01, f64::INFINITY);
        check(&[], &[], 0.01, f64::INFINITY);
        let all_at_one_end = upper_mean(&[0.5, 4.0], &[10_000.0, 0.0], 1e-6);
        assert!(all_at_one_end > 0.5 && all_at_one_end < 0.51, "{all_at_one_end}");
    }

    /// Over many baselines the limit is missed no more often than the chance that was given: for
    /// even and lopsided bins, for rows and for requests of two rows that count as half a row each.
    #[test]
    fn covers() {
        use rand::{RngExt, SeedableRng};
        let mut random = rand::rngs::StdRng::seed_from_u64(5);
        for (shares, request) in [(vec![1.0 / 8.0; 8], 1_u32), (vec![1.0 / 8.0; 8], 2), (lopsided(), 1)] {
            for tilt in [-1.0, 0.3, 1.0] {
                let weights: Vec<f64> = (0..8).map(|b| (tilt * (f64::from(b) / 2.0 - 1.75)).exp()).collect();
                let truth: f64 = weights.iter().zip(&shares).map(|(w, p)| w * p).sum();
                let mut missed = 0;
                for _ in 0..600 {
                    let mut counts = vec![0.0; shares.len()];
                    for _ in 0..150 * request {
                        let mut left = 1.0 - random.random::<f64>();
                        let bin = shares.iter().take_while(|p| {
                            left -= **p;
                            left > 0.0
                        });
                        counts[bin.count()] += 1.0 / f64::from(request);
                    }
                    missed += usize::from(upper_mean(&weights, &counts, 0.05) < truth);
                }
                assert!(missed <= 30, "tilt {tilt}, requests of {request}: {missed} of 600");
            }
        }
    }

    /// Eight bins, each half as common as the one before.
    fn lopsided() -> Vec<f64> {
        (1..=7).map(|i| 0.5_f64.powi(i)).chain([0.5_f64.powi(7)]).collect()
    }
}
