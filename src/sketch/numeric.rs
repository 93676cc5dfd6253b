use serde::{Deserialize, Serialize};

use super::{Histogram, Presence};
use crate::units::{Ratio, count};

/// Summary of a column of numbers.
///
/// NaN and the infinite are counted by name; everything else here is of the finite numbers only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numeric {
    presence: Presence,
    nans: u64,
    infinite: u64,
    range: Option<(f64, f64)>,
    moments: Moments,
    histogram: Histogram,
}

/// Mean and sum of squared deviations, updated after Welford (1962), merged after Chan (1979).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Moments {
    /// Nothing once it left the range of a double: a column of 1e308 has no mean that we know.
    mean: Option<f64>,
    squares: Option<f64>,
}

impl Numeric {
    /// Counts a cell that held nothing.
    pub const fn null(&mut self) {
        self.presence.null();
    }

    /// Counts a cell that held something else than a number.
    pub const fn wrong_type(&mut self) {
        self.presence.wrong_type();
    }

    /// Counts a number.
    pub fn number(&mut self, value: f64) {
        self.presence.value();
        if value.is_nan() {
            self.nans += 1;
        } else if value.is_infinite() {
            self.infinite += 1;
        } else {
            self.moments.add(value, self.histogram.total());
            self.range = Some(self.range.map_or((value, value), |range| widen(range, value)));
            self.histogram.add(value);
        }
    }

    /// Adds another sketch: counts, bins and range exactly, mean and variance to rounding.
    pub fn merge(&mut self, other: &Self) {
        self.moments.merge(self.histogram.total(), &other.moments, other.histogram.total());
        self.presence.merge(&other.presence);
        self.nans += other.nans;
        self.infinite += other.infinite;
        self.range = match (self.range, other.range) {
            (Some(range), Some((low, high))) => Some(widen(widen(range, low), high)),
            (range, other) => range.or(other),
        };
        self.histogram.merge(&other.histogram);
    }

    /// Rows, nulls, cells of another type.
    #[must_use]
    pub const fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Cells that were NaN.
    #[must_use]
    pub const fn nans(&self) -> u64 {
        self.nans
    }

    /// Cells that were plus or minus infinity.
    #[must_use]
    pub const fn infinite(&self) -> u64 {
        self.infinite
    }

    /// Cells that were a finite number.
    #[must_use]
    pub const fn finite(&self) -> u64 {
        self.histogram.total()
    }

    /// Cells that were 0.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.histogram.count_in(0)
    }

    /// The share of rows that were 0; none of an empty sketch.
    #[must_use]
    pub fn zero_share(&self) -> Option<Ratio> {
        Ratio::of(self.zeros(), self.presence.rows)
    }

    /// The share of rows that were NaN; none of an empty sketch.
    #[must_use]
    pub fn nan_share(&self) -> Option<Ratio> {
        Ratio::of(self.nans, self.presence.rows)
    }

    /// The smallest and the largest finite number.
    #[must_use]
    pub const fn range(&self) -> Option<(f64, f64)> {
        self.range
    }

    /// The mean; none of no finite number, or when it left the range of a double.
    #[must_use]
    pub const fn mean(&self) -> Option<f64> {
        self.moments.mean
    }

    /// The population variance; none of no finite number, or when it left the range of a double.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        self.moments.squares.map(|squares| squares / count(self.finite()))
    }

    /// The counts by bin.
    #[must_use]
    pub const fn histogram(&self) -> &Histogram {
        &self.histogram
    }

    /// [`Histogram::quantile`], held within the exact range.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let (low, high) = self.range?;
        self.histogram.quantile(q).map(|value| value.clamp(low, high))
    }
}

/// Finite numbers only, so the comparison always answers.
const fn widen((low, high): (f64, f64), value: f64) -> (f64, f64) {
    (if value < low { value } else { low }, if value > high { value } else { high })
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl Moments {
    fn add(&mut self, value: f64, before: u64) {
        self.merge(before, &Self { mean: Some(value), squares: Some(0.0) }, 1);
    }

    fn merge(&mut self, here: u64, other: &Self, there: u64) {
        if there == 0 {
            return;
        }
        if here == 0 {
            *self = *other;
            return;
        }
        let (Some(mean), Some(other_mean)) = (self.mean, other.mean) else {
            *self = Self::default();
            return;
        };
        let weight = count(there) / count(here + there);
        let delta = other_mean - mean;
        self.mean = finite(mean + delta * weight);
        let squares =
            self.squares.zip(other.squares).map(|(a, b)| a + b + delta * delta * weight * count(here));
        self.squares = squares.and_then(finite).filter(|_| self.mean.is_some());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(cells: &[Option<f64>]) -> Numeric {
        let mut numeric = Numeric::default();
        for cell in cells {
            match cell {
                Some(value) => numeric.number(*value),
                None => numeric.null(),
            }
        }
        numeric
    }

    /// An empty column answers nothing at all, never 0.
    #[test]
    fn nothing_is_not_zero() {
        let empty = Numeric::default();
        assert_eq!((empty.mean(), empty.variance(), empty.range()), (None, None, None));
        assert_eq!((empty.zero_share(), empty.nan_share(), empty.quantile(0.5)), (None, None, None));
    }

    /// NaN, the infinite, zero, null and another type are five different things.
    #[test]
    fn special_cells_are_told_apart() {
        let mut s = sketch(&[Some(f64::NAN), Some(f64::INFINITY), Some(-0.0), Some(2.0), None]);
        s.wrong_type();
        assert_eq!((s.nans(), s.infinite(), s.zeros(), s.finite()), (1, 1, 1, 2));
        assert_eq!((s.presence().rows, s.presence().nulls, s.presence().wrong_type), (6, 1, 1));
        assert_eq!((s.range(), s.mean(), s.variance()), (Some((-0.0, 2.0)), Some(1.0), Some(1.0)));
    }

    /// A sum beyond the largest double makes the moments unknown, and a stored sketch says so.
    #[test]
    fn overflow_is_unknown() {
        let s = sketch(&[Some(1e200), Some(-1e200)]);
        assert_eq!((s.mean(), s.variance()), (Some(0.0), None));
        let back: Numeric = serde_json::from_str(&serde_json::to_string(&s).unwrap()).unwrap();
        assert_eq!(back, s);
    }

    fn cells() -> impl Strategy<Value = Vec<Option<f64>>> {
        let cell = prop_oneof![
            4 => (-1e3..1e3_f64).prop_map(Some),
            1 => Just(Some(f64::NAN)),
            1 => Just(Some(f64::INFINITY)),
            1 => Just(Some(0.0)),
            1 => Just(None),
        ];
        prop::collection::vec(cell, 0..60)
    }

    fn close(a: Option<f64>, b: Option<f64>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * (1.0 + a.abs()),
            (a, b) => a == b,
        }
    }

    /// Everything that is counted.
    fn counts(s: &Numeric) -> (Presence, u64, u64, Option<(f64, f64)>, Histogram) {
        (s.presence, s.nans, s.infinite, s.range, s.histogram.clone())
    }

    proptest! {
        /// Any order and any grouping of merges gives the sketch of the whole.
        #[test]
        fn merging(a in cells(), b in cells(), c in cells()) {
            let mut left = sketch(&a);
            left.merge(&sketch(&b));
            left.merge(&sketch(&c));
            let mut right = sketch(&c);
            right.merge(&sketch(&b));
            let mut whole_right = Numeric::default();
            whole_right.merge(&right);
            whole_right.merge(&sketch(&a));
            let whole = sketch(&[a, b, c].concat());
            for other in [&left, &whole_right] {
                prop_assert_eq!(counts(other), counts(&whole));
                prop_assert!(close(other.mean(), whole.mean()));
                prop_assert!(close(other.variance(), whole.variance()));
            }
        }
    }
}
