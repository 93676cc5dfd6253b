use serde::{Deserialize, Serialize};

use crate::units::count;

/// The largest stake of the mixture; further ones are each this many times as small as the one before.
const STAKE_MAX: f64 = 0.9;
const STAKES_APART: f64 = 2.0;
/// Stakes of the mixture: the smallest suits ten billion losses.
const STAKES: u32 = 16;
/// Steps of the search for a width: more than the bits of a number.
const STEPS: u32 = 64;

/// What a time-uniform interval of a running mean needs: it grows by nothing.
///
/// The interval covers, at all times at once, the mean of the losses' conditional means: also of a risk that
/// changes, which is then the mean risk so far. For each stake `s` below 1 and each side,
/// `exp(s * sum(x - mean) - psi(s) * v)` with `psi(s) = -ln(1 - s) - s` and `v` the sum of squared distances
/// of each loss from the mean of those before is a supermartingale from 1, and so is a mixture of them; by
/// Ville's inequality it ever reaches `2 / alpha` with a chance of at most `alpha / 2`.
///
/// # Source
/// Howard, Ramdas, McAuliffe and Sekhon (2021), Time-uniform, nonparametric, nonasymptotic confidence
/// sequences, Annals of Statistics 49:2, theorem 4, with a discrete mixture. Values:
/// tests/reference/risk_interval.py.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interval {
    n: u64,
    sum: f64,
    v: f64,
}

impl Interval {
    /// Takes the next loss, from 0 to 1.
    pub(super) fn push(&mut self, loss: f64) {
        let before = (0.5 + self.sum) / (1.0 + count(self.n));
        self.v += (loss - before) * (loss - before);
        self.sum += loss;
        self.n += 1;
    }

    pub(super) const fn n(&self) -> u64 {
        self.n
    }

    /// The mean loss; nothing of none.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / count(self.n))
    }

    /// Lower and upper limit of the mean risk, from 0 to 1, missed at some time with a chance of at most `alpha`;
    /// nothing of no losses.
    pub(super) fn limits(&self, alpha: f64) -> Option<(f64, f64)> {
        let mean = self.mean()?;
        let width = self.width((2.0 / alpha).ln()) / count(self.n);
        Some(((mean - width).clamp(0.0, 1.0), (mean + width).clamp(0.0, 1.0)))
    }

    /// How far the sum may be from its expectation before the mixture's logarithm reaches `wanted`.
    fn width(&self, wanted: f64) -> f64 {
        // No sum is farther away than the number of its parts.
        let (mut low, mut high) = (0.0, count(self.n));
        for _ in 0..STEPS {
            let at = f64::midpoint(low, high);
            if self.mixture(at) >= wanted { high = at } else { low = at }
        }
        high
    }

    /// The mixture's logarithm at a distance.
    fn mixture(&self, distance: f64) -> f64 {
        let stakes =
            || (0..STAKES).map(|k| (k, STAKE_MAX * STAKES_APART.powi(-i32::try_from(k).unwrap_or(0))));
        // Weights 1 / ((k + 1) (k + 2)) add up to all but the last.
        let ln_weight = |k: u32| -(f64::from(k + 1) * f64::from(k + 2)).ln();
        let terms: Vec<f64> =
            stakes().map(|(k, s)| ln_weight(k) + s * distance - (-(1.0 - s).ln() - s) * self.v).collect();
        let top = terms.iter().fold(f64::NEG_INFINITY, |top, term| if *term > top { *term } else { top });
        top + terms.iter().map(|term| (term - top).exp()).sum::<f64>().ln()
    }
}
