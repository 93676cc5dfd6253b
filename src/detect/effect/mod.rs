//! Sizes of change over a window, for people to read: never alarms.
//!
//! Every statistic compares the finite values of one column in a window with those of the baseline.
//! Nulls, NaN and values of another type are rates of their own, not part of a distribution.

mod anderson_darling;
mod chi_square;
mod cramer_von_mises;
mod cramers_v;
mod energy;
mod g;
mod hellinger;
mod jensen_shannon;
mod ks;
mod kullback_leibler;
mod psi;
pub(super) mod rows;
mod total_variation;
mod wasserstein;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::profile::Profile;
use crate::sketch::{Categories, Histogram, Sketch};
use crate::units::count;

/// A statistic of two distributions.
pub trait Effect: Sync {
    /// The name in metrics and on the API.
    fn name(&self) -> &'static str;
    /// What it measures: unit, range, convention, source.
    fn manual(&self) -> &'static str;
    /// Its value.
    ///
    /// # Errors
    /// [`NotMeasured`] when it is not defined for such columns, or when one side is empty.
    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured>;
    /// Whether it is among the metrics too, where each is a series a column; the others are on the API.
    fn on_metrics(&self) -> bool {
        false
    }
}

/// Every effect size, in the order of the manual.
pub const EFFECTS: &[&dyn Effect] = &[
    &psi::Psi,
    &jensen_shannon::JensenShannon,
    &ks::KolmogorovSmirnov,
    &wasserstein::Wasserstein,
    &hellinger::Hellinger,
    &total_variation::TotalVariation,
    &kullback_leibler::KullbackLeibler,
    &energy::Energy,
    &cramers_v::CramersV,
    &chi_square::ChiSquare,
    &g::G,
    &cramer_von_mises::CramerVonMises,
    &anderson_darling::AndersonDarling,
];

/// Why a statistic has no value.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotMeasured {
    /// The window lacks the column.
    #[error("the window lacks the column")]
    NoColumn,
    /// Free text, of which only lengths are known.
    #[error("free text, of which only lengths are known")]
    FreeText,
    /// The two sides hold values of different kinds.
    #[error("the two sides hold values of different kinds")]
    KindsDiffer,
    /// The statistic is of numbers, and these are words.
    #[error("the statistic is of numbers, and these are words")]
    NotNumeric,
    /// The baseline has no value of the column.
    #[error("the baseline has no value of it")]
    BaselineEmpty,
    /// The window has no value of the column: all null, NaN or of another type.
    #[error("the window has no value of it")]
    WindowEmpty,
    /// More words than are kept, each too rare to be compared.
    #[error("more words than are kept, each too rare to be compared")]
    TooManyWords,
    /// The statistic needs more rows.
    #[error("the statistic needs more rows")]
    TooFewRows,
    /// Both sides hold one and the same value, or one bin.
    #[error("both sides hold one and the same value")]
    OneValue,
    /// The numbers are too large for the arithmetic.
    #[error("the numbers are too large for the arithmetic")]
    NotFinite,
}

/// One column in the baseline and in a window, value by value.
#[derive(Debug, Clone, PartialEq)]
pub enum Pair {
    /// Values in ascending order with their counts in baseline and window.
    Numbers(Vec<(f64, u64, u64)>),
    /// Words with their counts in baseline and window. Words that are not known of both sides share one entry; and
    /// where there are any, so do words of which either side leads to expect fewer than 5 in the smaller one.
    Words(Vec<(u64, u64)>),
}

/// Bins of the statistics that need bins: deciles of the baseline.
const BINS: u64 = 10;
/// Where a column has more words than a sketch keeps, those that are rarer than this in the smaller side are one: each
/// alone would differ by chance, and thousands of them together by much. The usual least count of a cell.
const TOLD_MIN: f64 = 5.0;

impl Pair {
    /// Two sketches of one column.
    ///
    /// # Errors
    /// [`NotMeasured`] when they are of different kinds or of free text.
    pub fn of(baseline: &Sketch, window: &Sketch) -> Result<Self, NotMeasured> {
        match (baseline, window) {
            (Sketch::Numeric(b), Sketch::Numeric(w)) => Ok(Self::numbers(b.histogram(), w.histogram())),
            (Sketch::Categories(b), Sketch::Categories(w)) => Self::words(b, w),
            (Sketch::Lengths(_), Sketch::Lengths(_)) => Err(NotMeasured::FreeText),
            _ => Err(NotMeasured::KindsDiffer),
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

    fn words(baseline: &Categories, window: &Categories) -> Result<Self, NotMeasured> {
        let all: BTreeSet<&str> = baseline.words().into_keys().chain(window.words().into_keys()).collect();
        let is_complete = baseline.is_complete() && window.is_complete();
        let is_told = told(baseline.presence().present(), window.presence().present());
        let mut shared = (baseline.others(), window.others());
        let mut pairs = Vec::with_capacity(all.len() + 1);
        for word in all {
            match (baseline.known_count_of(word), window.known_count_of(word)) {
                (Some(b), Some(w)) if is_complete || is_told(b, w) => pairs.push((b, w)),
                // What one side keeps may be among the others of the other: there, it is no news.
                (b, w) => shared = (shared.0 + b.unwrap_or(0), shared.1 + w.unwrap_or(0)),
            }
        }
        // One entry for all is alike on both sides whatever changed.
        if pairs.is_empty() && shared.0 > 0 && shared.1 > 0 {
            return Err(NotMeasured::TooManyWords);
        }
        pairs.push(shared);
        Ok(Self::Words(pairs))
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

    /// Shares of both sides by bin.
    fn shares(&self) -> Result<Vec<(f64, f64)>, NotMeasured> {
        let (all_p, all_q) = self.totals()?;
        let filled = self.binned().into_iter().filter(|(p, q)| p + q > 0);
        Ok(filled.map(|(p, q)| (count(p) / all_p, count(q) / all_q)).collect())
    }

    /// The values of numbers.
    fn values(&self) -> Result<&[(f64, u64, u64)], NotMeasured> {
        match self {
            Self::Numbers(values) => Ok(values),
            Self::Words(_) => Err(NotMeasured::NotNumeric),
        }
    }

    /// The two totals, neither of them 0.
    fn totals(&self) -> Result<(f64, f64), NotMeasured> {
        match match self {
            Self::Numbers(v) => v.iter().fold((0, 0), |(a, b), (_, p, q)| (a + p, b + q)),
            Self::Words(v) => v.iter().fold((0, 0), |(a, b), (p, q)| (a + p, b + q)),
        } {
            (0, _) => Err(NotMeasured::BaselineEmpty),
            (_, 0) => Err(NotMeasured::WindowEmpty),
            (p, q) => Ok((count(p), count(q))),
        }
    }
}

/// Of two sides with so many rows, whether a word is frequent enough to tell anything: whether the smaller side is to
/// be expected to have it often enough by the share that either has.
fn told(baseline: u64, window: u64) -> impl Fn(u64, u64) -> bool {
    let (p, q) = (count(baseline), count(window));
    let rows = if p < q { p } else { q };
    move |b, w| count(b) / p * rows >= TOLD_MIN || count(w) / q * rows >= TOLD_MIN
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
    /// Why there is no value, when there is none.
    pub unknown: Option<NotMeasured>,
}

/// Every statistic of every column of the baseline.
#[must_use]
pub fn effect_sizes(baseline: &Profile, window: &Profile) -> Vec<EffectSize> {
    let mut sizes = Vec::new();
    for (column, reference) in baseline.columns() {
        let now = window.sketch(&column.name).ok_or(NotMeasured::NoColumn);
        let pair = now.and_then(|now| Pair::of(reference, now));
        for effect in EFFECTS {
            let measured = pair.as_ref().map_err(|why| *why).and_then(|pair| effect.measure(pair));
            let measured =
                measured.and_then(|v| if v.is_finite() { Ok(v) } else { Err(NotMeasured::NotFinite) });
            sizes.push(EffectSize {
                column: column.name.clone(),
                statistic: effect.name(),
                value: measured.ok(),
                unknown: measured.err(),
            });
        }
    }
    sizes
}

/// Whether the statistic of that name is among the metrics.
#[must_use]
pub fn on_metrics(statistic: &str) -> bool {
    EFFECTS.iter().any(|effect| effect.name() == statistic && effect.on_metrics())
}
