//! Sizes of change over a window, for people to read: never alarms.
//!
//! Every statistic compares the finite values of one column in a window with those of the baseline.
//! Nulls, NaN and values of another type are rates of their own, not part of a distribution.

mod jensen_shannon;
mod ks;
mod psi;
mod wasserstein;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::profile::Profile;
use crate::sketch::{Categories, Histogram, Sketch};

/// A statistic of two distributions.
pub trait Effect: Sync {
    /// The name in metrics and on the API.
    fn name(&self) -> &'static str;
    /// What it measures: unit, range, convention, source.
    fn manual(&self) -> &'static str;
    /// Its value; nothing when it is not defined for such columns, or when one side is empty.
    fn measure(&self, pair: &Pair) -> Option<f64>;
}

/// Every effect size, in the order of the manual.
pub const EFFECTS: &[&dyn Effect] =
    &[&psi::Psi, &jensen_shannon::JensenShannon, &ks::KolmogorovSmirnov, &wasserstein::Wasserstein];

/// One column in the baseline and in a window, value by value.
#[derive(Debug, Clone, PartialEq)]
pub enum Pair {
    /// Values in ascending order with their counts in baseline and window.
    Numbers(Vec<(f64, u64, u64)>),
    /// Words with their counts in baseline and window; unkept words share one entry.
    Words(Vec<(u64, u64)>),
}

/// Bins of the statistics that need bins: deciles of the baseline.
const BINS: u64 = 10;

impl Pair {
    /// Two sketches of one column; nothing when they are of different kinds or of free text.
    #[must_use]
    pub fn of(baseline: &Sketch, window: &Sketch) -> Option<Self> {
        match (baseline, window) {
            (Sketch::Numeric(b), Sketch::Numeric(w)) => Some(Self::numbers(b.histogram(), w.histogram())),
            (Sketch::Categories(b), Sketch::Categories(w)) => Some(Self::words(b, w)),
            _ => None,
        }
    }

    fn numbers(baseline: &Histogram, window: &Histogram) -> Self {
        let mut by_bin: BTreeMap<i32, (f64, u64, u64)> = BTreeMap::new();
        for bin in baseline.bins() {
            by_bin.insert(bin.id, (bin.representative, bin.count, 0));
        }
        for bin in window.bins() {
            by_bin.entry(bin.id).or_insert((bin.representative, 0, 0)).2 = bin.count;
        }
        Self::Numbers(by_bin.into_values().collect())
    }

    fn words(baseline: &Categories, window: &Categories) -> Self {
        let (b, w) = (baseline.words(), window.words());
        let mut pairs: Vec<(u64, u64)> =
            b.iter().map(|(word, n)| (*n, w.get(word).copied().unwrap_or(0))).collect();
        pairs.extend(w.iter().filter(|(word, _)| !b.contains_key(*word)).map(|(_, n)| (0, *n)));
        pairs.push((baseline.others(), window.others()));
        Self::Words(pairs)
    }

    /// Counts in both, by bin: deciles of the baseline for numbers, words as they are.
    fn binned(&self) -> Vec<(u64, u64)> {
        let values = match self {
            Self::Words(pairs) => return pairs.clone(),
            Self::Numbers(values) => values,
        };
        let total: u64 = values.iter().map(|(_, p, _)| p).sum();
        let (mut bins, mut open, mut below, mut next) = (Vec::new(), (0, 0), 0, 1);
        for (_, p, q) in values {
            open = (open.0 + p, open.1 + q);
            below += p;
            // A bin closes where the baseline's next decile is reached: values are never split, and one
            // that spans several deciles is one bin.
            if below * BINS >= total * next && next < BINS {
                bins.push(open);
                open = (0, 0);
                next = (below * BINS).checked_div(total).unwrap_or(BINS) + 1;
            }
        }
        bins.push(open);
        bins
    }

    /// The two totals; nothing when one is empty.
    fn totals(&self) -> Option<(f64, f64)> {
        let (p, q) = match self {
            Self::Numbers(v) => v.iter().fold((0, 0), |(a, b), (_, p, q)| (a + p, b + q)),
            Self::Words(v) => v.iter().fold((0, 0), |(a, b), (p, q)| (a + p, b + q)),
        };
        (p > 0 && q > 0).then(|| (crate::units::count(p), crate::units::count(q)))
    }
}

/// One statistic of one column.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct EffectSize {
    /// The column.
    pub column: String,
    /// The statistic.
    pub statistic: &'static str,
    /// Its value; absent when it is not known or not defined, never 0 for that.
    pub value: Option<f64>,
}

/// Every statistic of every column that both profiles have.
#[must_use]
pub fn effect_sizes(baseline: &Profile, window: &Profile) -> Vec<EffectSize> {
    let mut sizes = Vec::new();
    for (column, reference) in baseline.columns() {
        let pair = window.sketch(&column.name).and_then(|now| Pair::of(reference, now));
        for effect in EFFECTS {
            let value = pair.as_ref().and_then(|p| effect.measure(p)).filter(|v| v.is_finite());
            sizes.push(EffectSize { column: column.name.clone(), statistic: effect.name(), value });
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line of tests/reference/effects.jsonl: two samples of whole numbers and what scipy says.
    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        baseline: Vec<f64>,
        window: Vec<f64>,
        ks: f64,
        wasserstein: f64,
        binned: Vec<(u64, u64)>,
        jensen_shannon: f64,
        psi: f64,
    }

    fn histogram(values: &[f64]) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.add(*value);
        }
        histogram
    }

    fn value(name: &str, pair: &Pair) -> Option<f64> {
        EFFECTS.iter().find(|e| e.name() == name).unwrap().measure(pair)
    }

    /// Agreement with scipy and numpy to 1e-9 where values have bins of their own.
    #[test]
    fn agrees_with_scipy() {
        let cases: Vec<Case> = include_str!("../../../tests/reference/effects.jsonl")
            .lines()
            .filter(|l| !l.starts_with('#'))
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert!(cases.len() >= 5, "the table is there");
        for case in cases {
            let pair = Pair::numbers(&histogram(&case.baseline), &histogram(&case.window));
            assert_eq!(pair.binned(), case.binned, "{}", case.name);
            for (name, expected) in [
                ("ks", case.ks),
                ("wasserstein", case.wasserstein),
                ("jensen_shannon", case.jensen_shannon),
                ("psi", case.psi),
            ] {
                let ours = value(name, &pair).unwrap();
                assert!((ours - expected).abs() < 1e-9, "{} {name}: {ours}, expected {expected}", case.name);
            }
        }
    }

    /// Identical samples are at distance 0 (two all-zero columns too) and an empty side at none.
    #[test]
    fn identical_is_zero_and_empty_is_unknown() {
        for values in [vec![0.0; 50], (0..50).map(f64::from).collect()] {
            let same = Pair::numbers(&histogram(&values), &histogram(&values));
            let empty = Pair::numbers(&histogram(&values), &histogram(&[]));
            for effect in EFFECTS {
                assert!(effect.measure(&same).unwrap().abs() < 1e-12, "{}", effect.name());
                assert_eq!(effect.measure(&empty), None, "{}", effect.name());
            }
        }
    }
}
