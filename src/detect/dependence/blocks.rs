use super::{Margins, Sequence, larger, smaller};
use crate::detect::normal::{Cumulants, mean_square};
use crate::units::{count, whole};

/// The longest block has this part of the rows: fewer blocks say little about a variance.
const BLOCKS_MIN: usize = 32;
/// A bin is judged by blocks in which this many rows of it are expected; by its gaps below.
const EXPECTED_MIN: f64 = 1.0;
/// The score is judged by blocks of this length on, where its sum is nearly normal.
const SCORE_LENGTH_MIN: usize = 8;
/// The chance that a ratio's upper estimate is too low, or its lower one too high, at one length.
const WRONG: f64 = 0.05;
/// Even a few blocks that have all the spread bound it by this many squares' mean.
const FREEDOM_MIN: f64 = 4.0;
/// Lengths after the settled one that may still raise the estimate.
const DOUBLINGS: usize = 2;

/// Variance ratios of block counts, by length.
pub(super) struct Blocks {
    lengths: Vec<Length>,
}

/// Blocks of one length.
struct Length {
    rows: usize,
    /// One for each bin.
    bins: Vec<Option<Ratio>>,
    /// Of the sum of scores.
    score: Option<Ratio>,
    /// Of all bins that are judged at this length.
    pooled: Option<Ratio>,
}

/// Observed over expected variance.
#[derive(Debug, Clone, Copy)]
struct Ratio {
    value: f64,
    lower: f64,
    upper: f64,
    p_value: f64,
}

impl Blocks {
    /// One pass over the rows: blocks of each length are made of two of the length before.
    pub(super) fn of(sequence: &Sequence<'_>, margins: &Margins) -> Self {
        let mut levels: Vec<Level> = std::iter::successors(Some(2_usize), |l| l.checked_mul(2))
            .take_while(|length| length * BLOCKS_MIN <= sequence.codes.len())
            .map(|length| Level::new(length, margins))
            .collect();
        let mut full = Block::new(margins);
        for (row, code) in sequence.codes.iter().enumerate() {
            full.clear();
            full.add_row(usize::from(*code), sequence.stratum(row));
            for level in &mut levels {
                level.pending.add(&full);
                if level.pending.rows < level.length {
                    break;
                }
                level.close(margins);
                std::mem::swap(&mut full, &mut level.pending);
                level.pending.clear();
            }
        }
        Self { lengths: levels.iter().map(|l| l.judge(margins)).collect() }
    }

    /// How many ratios are compared with what independence lets expect.
    pub(super) fn tests(&self) -> usize {
        self.lengths.iter().map(|l| l.bins.iter().chain([&l.score, &l.pooled]).flatten().count()).sum()
    }

    /// Ratios of one bin's counts; none when it is too rare for blocks.
    pub(super) fn bin(&self, bin: usize) -> Series {
        self.series(|l| *l.bins.get(bin)?)
    }

    /// Ratios of the sum of scores.
    pub(super) fn score(&self) -> Series {
        self.series(|l| l.score)
    }

    /// Ratios of all bins together that are common enough.
    pub(super) fn pooled(&self) -> Series {
        self.series(|l| l.pooled)
    }

    fn series(&self, pick: impl Fn(&Length) -> Option<Ratio>) -> Series {
        Series(self.lengths.iter().filter_map(|l| Some((l.rows, pick(l)?))).collect())
    }
}

/// The ratios of one series, from short to long blocks.
#[derive(Debug)]
pub(super) struct Series(Vec<(usize, Ratio)>);

impl Series {
    pub(super) fn p_value(&self) -> f64 {
        self.0.iter().fold(1.0, |least, (_, r)| smaller(least, r.p_value))
    }

    /// The shortest length whose upper estimate no longer block contradicts (Lepski's rule).
    fn settled(&self) -> usize {
        let agree =
            |at: usize, ratio: &Ratio| self.0.iter().skip(at + 1).all(|(_, r)| r.lower <= ratio.upper);
        self.0.iter().enumerate().position(|(at, (_, ratio))| agree(at, ratio)).unwrap_or(0)
    }

    /// The upper estimate of the long-run ratio: the largest of the settled length and the two
    /// doublings after it, by which what shorter blocks miss has shrunk to a quarter. `None` when
    /// there are no ratios.
    pub(super) fn upper(&self) -> Option<f64> {
        self.last_ratios().map(|r| r.upper).reduce(larger)
    }

    /// The same without the margin for the small number of blocks.
    pub(super) fn value(&self) -> Option<f64> {
        self.last_ratios().map(|r| r.value).reduce(larger)
    }

    /// Whether the shortest blocks already show all: then they may be long for what they hold.
    pub(super) fn is_settled_at_once(&self) -> bool {
        self.settled() == 0
    }

    /// Length, ratio, and the logarithm of its chance.
    #[cfg(test)]
    pub(super) fn lengths(&self) -> impl Iterator<Item = (usize, f64, f64)> {
        self.0.iter().map(|(rows, r)| (*rows, r.value, r.p_value.ln()))
    }

    fn last_ratios(&self) -> impl Iterator<Item = &Ratio> {
        self.0.iter().skip(self.settled()).take(1 + DOUBLINGS).map(|(_, r)| r)
    }

    /// A length at which neighbouring blocks are nearly independent.
    pub(super) fn decorrelation(&self) -> usize {
        self.0.get(self.settled()).map_or(1, |(rows, _)| 2 * rows)
    }
}

/// Rows of a block by bin and by stratum.
#[derive(Debug, Clone)]
struct Block {
    rows: usize,
    bins: Vec<u32>,
    strata: Vec<u32>,
}

impl Block {
    fn new(margins: &Margins) -> Self {
        Self { rows: 0, bins: vec![0; margins.bins], strata: vec![0; margins.strata()] }
    }

    fn clear(&mut self) {
        self.rows = 0;
        self.bins.fill(0);
        self.strata.fill(0);
    }

    fn add_row(&mut self, bin: usize, stratum: usize) {
        self.rows += 1;
        for (counts, at) in [(&mut self.bins, bin), (&mut self.strata, stratum)] {
            if let Some(rows) = counts.get_mut(at) {
                *rows += 1;
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        for (mine, its) in [(&mut self.bins, &other.bins), (&mut self.strata, &other.strata)] {
            mine.iter_mut().zip(its).for_each(|(a, b)| *a += b);
        }
    }
}

/// Sums over the blocks of one length.
struct Level {
    length: usize,
    pending: Block,
    blocks: f64,
    bins: Vec<Sums>,
    score: Sums,
    pooled: Sums,
    /// Reused by every block: expected count and variance of each bin.
    expected: Vec<(f64, f64)>,
}

/// Sums of one series of block counts.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    squares: f64,
    fourths: f64,
    /// What independent rows would do.
    null: Cumulants,
}

impl Sums {
    fn add(&mut self, square: f64, null: Cumulants) {
        self.squares += square;
        self.fourths += square * square;
        self.null.mean += null.mean;
        self.null.variance += null.variance;
        self.null.third += null.third;
    }

    /// `None` when the series does not vary.
    fn judge(&self, blocks: f64, judged: bool) -> Option<Ratio> {
        if !judged || self.null.mean <= 0.0 || blocks <= 1.0 {
            return None;
        }
        let value = self.squares / self.null.mean;
        let scatter = self.fourths - self.squares * self.squares / blocks;
        let freedom = if scatter > 0.0 { 2.0 * self.squares * self.squares / scatter } else { blocks };
        let bound = |chance: f64| value / mean_square(larger(freedom, FREEDOM_MIN), chance);
        let p_value = self.null.above(self.squares);
        Some(Ratio { value, lower: bound(1.0 - WRONG), upper: bound(WRONG), p_value })
    }
}

impl Level {
    fn new(length: usize, margins: &Margins) -> Self {
        Self {
            length,
            pending: Block::new(margins),
            blocks: 0.0,
            bins: vec![Sums::default(); margins.bins],
            score: Sums::default(),
            pooled: Sums::default(),
            expected: vec![(0.0, 0.0); margins.bins],
        }
    }

    /// Whether a bin with this share of the rows is judged at this length.
    fn judges(&self, share: f64) -> bool {
        share * count(whole(self.length)) >= EXPECTED_MIN
    }

    /// Whether the sum of scores is judged at this length: where as many rows carry it as of a bin that is.
    fn judges_score(&self, margins: &Margins) -> bool {
        let share = 1.0 / larger(margins.score_kurtosis, 1.0);
        self.length >= SCORE_LENGTH_MIN && self.judges(share)
    }

    /// Adds the pending block's deviations from a random order of rows within strata.
    fn close(&mut self, margins: &Margins) {
        self.blocks += 1.0;
        self.expected.fill((0.0, 0.0));
        let mut score_variance = 0.0;
        for (stratum, rows) in self.pending.strata.iter().enumerate().filter(|(_, rows)| **rows > 0) {
            let (rows, all) = (f64::from(*rows), margins.rows.get(stratum).copied().unwrap_or(0.0));
            // Rows of a stratum in a random order: drawn without replacement.
            let drawn = if all > 1.0 { rows * (all - rows) / (all - 1.0) } else { 0.0 };
            for ((mean, variance), p) in self.expected.iter_mut().zip(margins.shares_of(stratum)) {
                *mean += rows * p;
                *variance += drawn * p * (1.0 - p);
            }
            score_variance += drawn * margins.score_variances.get(stratum).copied().unwrap_or(0.0);
        }
        let (mut score, mut all, mut all_null) = (0.0, 0.0, Cumulants::default());
        let length = self.length;
        for (bin, sums) in self.bins.iter_mut().enumerate() {
            let rows = self.pending.bins.get(bin).map_or(0.0, |rows| f64::from(*rows));
            let (mean, variance) = self.expected.get(bin).copied().unwrap_or((0.0, 0.0));
            let share = margins.overall.get(bin).copied().unwrap_or(0.0);
            let deviation = rows - mean;
            score += deviation * margins.scores.get(bin).copied().unwrap_or(0.0);
            let null = Cumulants { mean: variance, ..poisson(mean) };
            sums.add(deviation * deviation, null);
            if share * count(whole(length)) >= EXPECTED_MIN {
                all += deviation * deviation / share;
                all_null.mean += variance / share;
                all_null.variance += null.variance / (share * share);
                all_null.third += null.third / share.powi(3);
            }
        }
        self.pooled.add(all, all_null);
        let variance = score_variance;
        // A score that rare bins have all the variance of is like a Poisson count of so many rows.
        let (few, rare) = (4.0 / count(whole(length)), (margins.score_kurtosis - 3.0) / count(whole(length)));
        let (wide, skew) = (larger(few, rare / 2.0), larger(few, rare * (2.75 + rare / 8.0)));
        let (second, third) =
            (2.0 * (1.0 + wide) * variance * variance, 8.0 * (1.0 + skew) * variance.powi(3));
        self.score.add(score * score, Cumulants { mean: variance, variance: second, third });
    }

    fn judge(&self, margins: &Margins) -> Length {
        let judged = |bin: usize| margins.overall.get(bin).is_some_and(|p| self.judges(*p));
        Length {
            rows: self.length,
            bins: self.bins.iter().enumerate().map(|(b, s)| s.judge(self.blocks, judged(b))).collect(),
            score: self.score.judge(self.blocks, self.judges_score(margins)),
            pooled: self.pooled.judge(self.blocks, true),
        }
    }
}

/// Variance and third cumulant of the squared deviation of a Poisson count; those of a binomial
/// count of the same mean are smaller.
fn poisson(mean: f64) -> Cumulants {
    let variance = mean * 2.0_f64.mul_add(mean, 1.0);
    let third = mean * mean.mul_add(8.0_f64.mul_add(mean, 22.0), 1.0);
    Cumulants { mean, variance, third }
}
