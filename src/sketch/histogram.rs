use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Error;

/// Mantissa bits that a bin keeps: 128 bins an octave, each narrower than 1/128 of its lower edge.
const MANTISSA_BITS: u32 = 7;
const DROPPED_BITS: u32 = 52 - MANTISSA_BITS;
/// The bin of the largest finite numbers; the bins of negative numbers mirror those of positive ones.
const LAST_ID: i32 = 0x3_FF80;

/// Counts of finite numbers in bins cut by the bits of the number itself.
///
/// A bin is a sign, an exponent and the top seven bits of the mantissa, so every sketch of every
/// column has the same edges and merging adds counts: exact, in any order. A bin is less than 0.8 %
/// wide, relative to its edge nearest to zero; only numbers below 2.3e-308 share wider bins. Zero
/// has a bin of its own. A bin that saw one value only remembers it (an atom). The format bounds the bins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<StoredBin>", into = "Vec<StoredBin>")]
pub struct Histogram {
    bins: BTreeMap<i32, Held>,
    total: u64,
}

/// Id, count, and the only value seen in it.
type StoredBin = (i32, u64, Option<f64>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Held {
    count: u64,
    only: Option<f64>,
}

/// One bin that is not empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Its place: ascending with the value, the same in every sketch.
    pub id: i32,
    /// The smallest number of the bin, or the bound that its numbers stay above when they are negative.
    pub lower: f64,
    /// The other bound; equal to `lower` for the bin of zero.
    pub upper: f64,
    /// The number that stands for the bin: the atom where there is one, else the middle.
    pub representative: f64,
    /// The only value seen in the bin, when there was only one.
    pub atom: Option<f64>,
    /// How many numbers fell into it.
    pub count: u64,
}

impl Histogram {
    /// A number lies within this share of the representative of its bin (numbers below 2.3e-308 aside).
    pub const RELATIVE_ERROR: f64 = 1.0 / 256.0;

    /// The bin of a number; nothing for NaN and the infinite, which no bin may swallow.
    #[must_use]
    pub fn bin_of(value: f64) -> Option<i32> {
        if !value.is_finite() {
            return None;
        }
        if value == 0.0 {
            return Some(0);
        }
        let magnitude = i32::try_from(value.abs().to_bits() >> DROPPED_BITS).ok()? + 1;
        Some(if value.is_sign_negative() { -magnitude } else { magnitude })
    }

    /// Counts one number; answers whether it was finite and so was counted.
    pub fn add(&mut self, value: f64) -> bool {
        // Both spellings of zero are one value.
        let value = if value == 0.0 { 0.0 } else { value };
        let Some(id) = Self::bin_of(value) else { return false };
        self.insert(id, Held { count: 1, only: Some(value) });
        true
    }

    fn insert(&mut self, id: i32, more: Held) {
        self.total += more.count;
        self.bins
            .entry(id)
            .and_modify(|held| {
                held.count += more.count;
                held.only = held.only.filter(|a| more.only.is_some_and(|b| same(*a, b)));
            })
            .or_insert(more);
    }

    /// Adds another histogram's counts: exact, in any order.
    pub fn merge(&mut self, other: &Self) {
        for (id, held) in &other.bins {
            self.insert(*id, *held);
        }
    }

    /// How many numbers were counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// How many bins are not empty.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bins.len()
    }

    /// Whether nothing was counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many numbers fell into one bin.
    #[must_use]
    pub fn count_in(&self, id: i32) -> u64 {
        self.bins.get(&id).map_or(0, |held| held.count)
    }

    /// The bins that are not empty, in ascending order of value.
    pub fn bins(&self) -> impl Iterator<Item = Bin> + '_ {
        self.bins.iter().map(|(id, held)| bin(*id, *held))
    }

    /// The smallest number whose rank reaches `q` of the total (nearest rank), `q` from 0 to 1.
    ///
    /// Within [`Self::RELATIVE_ERROR`] of the number itself, and exact where its bin is an atom.
    /// Nothing when empty or when `q` is no share.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = q * crate::units::count(self.total);
        let mut below = 0;
        for bin in self.bins() {
            below += bin.count;
            if crate::units::count(below) >= rank {
                return Some(bin.representative);
            }
        }
        None
    }
}

/// Bitwise, so that an atom is one value and not two that compare equal.
const fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}

/// The bound nearer to zero of the bin `magnitude`, which is at least 1; the largest number past the end.
fn edge(magnitude: i32) -> f64 {
    let bits = u64::from(magnitude.unsigned_abs().saturating_sub(1)) << DROPPED_BITS;
    let edge = f64::from_bits(bits);
    if edge.is_finite() { edge } else { f64::MAX }
}

fn bin(id: i32, held: Held) -> Bin {
    let (near, far) = if id == 0 { (0.0, 0.0) } else { (edge(id.abs()), edge(id.abs() + 1)) };
    let (lower, upper) = if id < 0 { (-far, -near) } else { (near, far) };
    let representative = held.only.unwrap_or(lower + (upper - lower) / 2.0);
    Bin { id, lower, upper, representative, atom: held.only, count: held.count }
}

impl TryFrom<Vec<StoredBin>> for Histogram {
    type Error = Error;

    fn try_from(stored: Vec<StoredBin>) -> Result<Self, Error> {
        let mut histogram = Self::default();
        for (id, count, only) in stored {
            let strange = only.is_some_and(|value| Self::bin_of(value) != Some(id));
            let again = histogram.bins.contains_key(&id);
            if id.abs() > LAST_ID || count == 0 || strange || again {
                return Err(Error::NotABin { id, count });
            }
            histogram.total = histogram.total.checked_add(count).ok_or(Error::NotABin { id, count })?;
            histogram.bins.insert(id, Held { count, only });
        }
        Ok(histogram)
    }
}

impl From<Histogram> for Vec<StoredBin> {
    fn from(histogram: Histogram) -> Self {
        histogram.bins.into_iter().map(|(id, held)| (id, held.count, held.only)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(values: &[f64]) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.add(*value);
        }
        histogram
    }

    /// Whole numbers, the extremes and both zeros: each lands between the edges of its bin.
    #[test]
    fn every_number_lies_in_its_bin() {
        for value in [1.0, -1.0, 39.0, 0.1, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 0.0, -0.0] {
            let h = histogram(&[value]);
            let bin = h.bins().next().unwrap();
            assert!(bin.lower <= value && value <= bin.upper, "{value} in {bin:?}");
            assert!(bin.id.abs() <= LAST_ID);
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!histogram(&[]).add(value));
        }
    }

    /// A repeated value stays exact; a second one in the same bin gives the middle.
    #[test]
    fn atoms() {
        let h = histogram(&[39.0, 39.0]);
        assert_eq!(h.quantile(0.5), Some(39.0));
        let h = histogram(&[39.0, 39.01]);
        let bin = h.bins().next().unwrap();
        assert_eq!((bin.atom, bin.count), (None, 2));
        assert!(bin.representative > bin.lower && bin.representative < bin.upper);
    }

    /// Nothing has no quantile, and a share outside 0 to 1 is no question.
    #[test]
    fn quantiles_of_nothing() {
        assert_eq!(histogram(&[]).quantile(0.5), None);
        assert_eq!(histogram(&[1.0]).quantile(f64::NAN), None);
        assert_eq!(histogram(&[1.0]).quantile(1.5), None);
    }

    /// A stored bin that no number can fall into is refused, so a damaged file never counts as data.
    #[test]
    fn damaged_bins_are_refused() {
        for text in ["[[999999,1,null]]", "[[1,0,null]]", "[[0,1,2.0]]", "[[1,1,null],[1,1,null]]"] {
            assert!(serde_json::from_str::<Histogram>(text).is_err(), "{text}");
        }
    }

    fn finite() -> impl Strategy<Value = f64> {
        prop_oneof![-1e6..1e6_f64, Just(0.0), (0_u8..5).prop_map(f64::from), any::<f64>()]
            .prop_filter("finite", |v| v.is_finite())
    }

    proptest! {
        /// Merging is associative and commutative, has an identity, and equals the sketch of the whole.
        #[test]
        fn merging_is_exact(a in prop::collection::vec(finite(), 0..40),
                            b in prop::collection::vec(finite(), 0..40),
                            c in prop::collection::vec(finite(), 0..40)) {
            let (ha, hb, hc) = (histogram(&a), histogram(&b), histogram(&c));
            let mut left = ha.clone();
            left.merge(&hb);
            left.merge(&hc);
            let mut bc = hc.clone();
            bc.merge(&hb);
            bc.merge(&ha);
            prop_assert_eq!(&left, &bc);
            prop_assert_eq!(&left, &histogram(&[a, b, c].concat()));
            left.merge(&Histogram::default());
            prop_assert_eq!(&left, &bc);
            let back: Histogram = serde_json::from_str(&serde_json::to_string(&left).unwrap()).unwrap();
            prop_assert_eq!(back, left);
        }

        /// A quantile is within the stated error of the number at that rank.
        #[test]
        fn quantiles_keep_their_error(
            mut values in prop::collection::vec(-1e9..1e9_f64, 1..200),
            at in any::<prop::sample::Index>(),
        ) {
            let rank = at.index(values.len());
            let q = (rank as f64 + 0.5) / values.len() as f64;
            let found = histogram(&values).quantile(q).unwrap();
            values.sort_by(f64::total_cmp);
            let truth = values[rank];
            prop_assert!((found - truth).abs() <= Histogram::RELATIVE_ERROR * truth.abs() + f64::MIN_POSITIVE);
        }

        /// Ids ascend with the value, so walking the bins is walking the numbers.
        #[test]
        fn ids_ascend(a in finite(), b in finite()) {
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            prop_assert!(Histogram::bin_of(low) <= Histogram::bin_of(high));
        }
    }
}
