//! Whether the rows of a baseline are independent of each other, bin by bin, and if not, by how much.
//!
//! Two views of one sequence of bins. Blocks: counts in blocks of 2, 4, 8, … rows spread more than
//! independent rows would let them; sees sessions, slow values, drifts and cycles of common bins.
//! Gaps: hits of one bin lie closer together than a random order would put them; sees the one clump
//! of a rare bin. Both compare with a random order of rows within each stratum, given the counts,
//! so nothing about the bins' true shares is assumed.

mod blocks;
mod gaps;
mod look;
mod margins;
mod tempered;
#[cfg(test)]
mod tests;

pub(super) use tempered::tempered;

use crate::units::{count, whole};
use look::Look;
use margins::Margins;

/// The chance that independent rows of a whole table of streams are called dependent anywhere.
const FALSE_ALARM: f64 = 5e-4;
/// Fewer rows than this cannot be checked: there would be no length with 32 blocks.
const ROWS_MIN: usize = 64;
/// So many bins may come in bursts of their own before the whole stream is called dependent.
const BURSTS: usize = 2;
/// Bins in bursts hold at most this part of the rows, and leave at least so many others.
const BURSTS_SHARE: f64 = 0.3;
const BINS_LEFT: usize = 3;

/// A baseline's rows as one stream saw them, in order of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence<'a> {
    /// The bin of each row, below `bins`.
    pub(super) codes: &'a [u8],
    /// How many bins there are.
    pub(super) bins: usize,
    /// The stratum of each row; rows are then compared with their own stratum's shares.
    pub(super) strata: Option<&'a [u8]>,
    /// A number for each bin, as tilts weigh it; without it the normal scores of the bins in order.
    pub(super) scores: Option<&'a [f64]>,
}

/// How much the rows of one stream depend on each other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clumping {
    /// The largest of all factors below; 1 when independence is not rejected.
    pub(super) factor: f64,
    /// For each bin: 1 when independence is not rejected, else an upper estimate of the long-run
    /// variance of its count over that of independent rows; where the whole stream is dependent, the
    /// largest of all its bins.
    pub(super) bins: Vec<f64>,
    /// The same for the sum of scores, which is what tilts add up; where single bins come in bursts,
    /// not below their factors, since a tilt bets on each of its bins. (A tilt that leaves such a bin
    /// out, by a weight of 1, may be checked again without its rows.)
    pub(super) score: f64,
    /// Rows farther apart than this are nearly independent: twice the shortest block whose ratio no
    /// longer block contradicts, or the span of a clump; 1 when independence is not rejected.
    pub(super) block: usize,
    /// Chance of anything as dependent as this among all streams when all rows are independent.
    pub(super) p_value: f64,
}

/// Rows of which some were left out are looked at as if they followed each other. Dependence that reaches no farther
/// than this is the same then.
const GAPLESS: usize = 128;
/// So many rows are left, or nothing is said of dependence.
const LEFT_MIN: usize = 1_000;

impl Clumping {
    /// The same for rows of which only `left` of `all` were looked at, in stretches: what reaches farther than a
    /// stretch reaches over the gaps too, so that it counts by as much more. Nothing where too few are left.
    pub(super) fn with_gaps(self, left: usize, all: usize) -> Option<Self> {
        let enough = left >= LEFT_MIN || left == all;
        if !enough || self.block <= GAPLESS || left == 0 {
            return enough.then_some(self);
        }
        let times = count(whole(all)) / count(whole(left));
        let wider = |factor: f64| 1.0 + (factor - 1.0) * times;
        Some(Self {
            factor: wider(self.factor),
            bins: self.bins.iter().map(|factor| wider(*factor)).collect(),
            score: wider(self.score),
            block: self.block * all.div_ceil(left),
            p_value: self.p_value,
        })
    }
}

/// Checks one of `streams` streams; `None` when it cannot be checked: fewer than 64 rows, or codes,
/// strata and scores that do not belong together.
///
/// Independence is rejected below a chance of 5e-4 for the whole table after Bonferroni over lengths,
/// bins and streams. What stays unseen: in 20,000 rows and 100 streams of 16 bins an excess of the
/// variance below about 10 % for clumps of up to 20 rows, and below about half for waves of 600 rows.
///
/// A stream is dependent as a whole when its bins together, or its scores, still are so without the
/// rows of the one or two bins that are clumped most (bursts of nulls, say). All its bins then get the
/// largest factor among them, because the variance of a rare bin does not tell how much likelier its
/// next hit is right after one: of an AR(1) process with correlation 0.5 the rarest of eleven bins
/// (5 in 10,000) has a ratio of 1.06, and a bank tempered bin by bin keeps half of its budget.
///
/// An AR(1) process with correlation `r` from row to row has a long-run ratio of `(1 + r) / (1 - r)`:
/// 3 at 0.5, 19 at 0.9. Sixteen quantile bins of it see less, because what moves on within a bin or
/// far from it is not seen: the outermost 1.75 and 9.0, the middle ones 1.03 and 1.5, their mean
/// 1.18 and 3.1 (by Hermite expansion); the score sees 2.96 and 18.7.
///
/// # Source
/// Variance ratio of block counts: Cox and Lewis (1966), The Statistical Analysis of Series of Events,
/// chapter 5. Gaps of a random order are negatively associated (Joag-Dev and Proschan 1983, Ann. Stat.
/// 11:286), so that Chernoff's bound holds for them.
#[must_use]
pub(super) fn clumping(sequence: &Sequence<'_>, streams: usize) -> Option<Clumping> {
    let look = Look::of(sequence, streams)?;
    let p_value = look.p_value();
    if !look.rejects() {
        return Some(Clumping { factor: 1.0, bins: vec![1.0; sequence.bins], score: 1.0, block: 1, p_value });
    }
    let own: Vec<f64> = (0..sequence.bins).map(|bin| look.bin(bin).unwrap_or(1.0)).collect();
    let largest = |least: f64| own.iter().fold(least, |most, f| larger(most, *f));
    let (bins, score) = match together(sequence, &look, &own, streams) {
        Some(least) => (vec![largest(least); own.len()], look.score()),
        None => (own.clone(), largest(look.score())),
    };
    let factor = bins.iter().fold(score, |most, f| larger(most, *f));
    Some(Clumping { factor, bins, score, block: look.decorrelation(), p_value })
}

/// The ratio of all bins together when the stream is dependent as a whole.
fn together(sequence: &Sequence<'_>, look: &Look, own: &[f64], streams: usize) -> Option<f64> {
    let mut pooled = look.pooled()?;
    let mut bursts: Vec<usize> = Vec::new();
    while bursts.len() < BURSTS {
        let others = (0..own.len()).filter(|bin| !bursts.contains(bin));
        let clumped = others.filter(|bin| own.get(*bin).is_some_and(|f| *f > 1.0));
        let factor = |bin: &usize| own.get(*bin).copied().unwrap_or(1.0);
        let Some(most) = clumped.max_by(|a, b| factor(a).total_cmp(&factor(b))) else { break };
        bursts.push(most);
        let calm = Calm::without(sequence, &bursts);
        if !calm.is_enough(sequence) {
            break;
        }
        pooled = Look::of(&calm.sequence(sequence), streams)?.pooled()?;
    }
    Some(pooled)
}

/// A sequence without the rows of some bins.
struct Calm {
    codes: Vec<u8>,
    strata: Option<Vec<u8>>,
}

impl Calm {
    fn without(sequence: &Sequence<'_>, bins: &[usize]) -> Self {
        let stays = |row: &usize| sequence.codes.get(*row).is_some_and(|c| !bins.contains(&usize::from(*c)));
        let rows: Vec<usize> = (0..sequence.codes.len()).filter(stays).collect();
        let pick = |values: &[u8]| rows.iter().filter_map(|row| values.get(*row).copied()).collect();
        Self { codes: pick(sequence.codes), strata: sequence.strata.map(pick) }
    }

    fn is_enough(&self, sequence: &Sequence<'_>) -> bool {
        let count = |rows: usize| crate::units::count(crate::units::whole(rows));
        let left: std::collections::BTreeSet<u8> = self.codes.iter().copied().collect();
        count(self.codes.len()) >= (1.0 - BURSTS_SHARE) * count(sequence.codes.len())
            && left.len() >= BINS_LEFT
    }

    fn sequence<'a>(&'a self, whole: &Sequence<'a>) -> Sequence<'a> {
        Sequence { codes: &self.codes, strata: self.strata.as_deref(), ..*whole }
    }
}

/// The larger of two numbers that are never NaN.
fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// The smaller of two numbers that are never NaN.
fn smaller(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}
