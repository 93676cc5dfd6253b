use super::normal::{Cumulants, mean_square};
#[cfg(test)]
mod tests;

use super::{limits, mean};
use crate::units::{count, whole};

/// The chance that the limit of one bin in one stratum is wrong where that stratum is unlike the others, which
/// lend it their rows.
///
/// It is for each such limit, over and above the 5 % that all limits have together, and is split neither
/// over bins nor over streams: the 5 % are for strata that differ no more than their spread says, and every
/// limit of a bin in a stratum that is unlike the others in it adds one in a thousand. Fifty of these, in all
/// streams together, add as much again as all others have. Split over all limits it would be about as small as
/// `delta`, which is a stratum's own limit, and nothing would be lent.
pub(super) const UNNOTICED: f64 = 1e-3;
/// Two strata whose rows are pooled lie within so many standard errors of both together.
const STANDARD_ERRORS: f64 = 2.0;
/// The chance that the spread between strata is larger than assumed.
const SPREAD_TOO_SMALL: f64 = 0.05;

/// Baseline counts of one stream by stratum (hour of day, hour of week) and bin.
///
/// Whole numbers, sums of shares, or effective counts (both divided by a variance inflation). Trials
/// are by bin too, since a bin chosen by its rows is counted in others only. Rows of equal lengths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) hits: &'a [Vec<f64>],
    pub(super) trials: &'a [Vec<f64>],
}

/// Confidence limits by stratum and bin; `None` where the baseline saw nothing: undecided.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StratumLimits {
    pub(super) upper: Vec<Vec<Option<f64>>>,
    pub(super) lower: Vec<Vec<Option<f64>>>,
}

/// Whether the bins' shares may be the same in all strata: not rejected at `level`.
///
/// `level`: the chance, per stream, to call equal strata unequal; divide by the number of streams.
pub(super) fn is_homogeneous(table: &Table<'_>, scores: &[f64], level: f64) -> bool {
    heterogeneity(table, scores) >= level
}

/// The chance of strata as different as these when all have the same shares; 1 when there is nothing
/// to compare.
///
/// The smallest of several, times their number, so that neither a shift of everything by a little nor
/// one stratum of one rare bin hides behind the rest: all common bins together; the mean of `scores`
/// (one a bin, as tilts weigh them; empty: not used); each bin; and the one stratum of each bin that
/// has most of its hits. Sums of squares (Pearson's) are compared with the gamma distribution of the
/// same mean, variance and third cumulant as under a random allotment of rows to strata, Poisson
/// counts' where those are larger, which is what small expected counts need. A single stratum is
/// compared with a binomial by Chernoff's bound.
///
/// Twenty-four strata of 833 rows and sixteen bins show a daily shift of a tenth of a standard deviation
/// always at a level of 1e-4, of a twentieth one time in sixteen, and one time in four at 0.01. A strict
/// level protects nothing: [`stratum_limits`] are right for equal strata too, only wider; pooled limits
/// of unequal strata are wrong.
///
/// # Source
/// Haldane (1940), Biometrika 31:346, for the moments; Wilson and Hilferty (1931) for the tail.
pub(super) fn heterogeneity(table: &Table<'_>, scores: &[f64]) -> f64 {
    let columns = table.columns();
    let seen = columns.iter().map(Column::strata_seen).max().unwrap_or(0);
    if seen < 2 {
        return 1.0;
    }
    let common = columns.iter().filter(|c| c.is_common());
    let mut chances = vec![together(common).chance(), scored(table, scores).chance()];
    for column in &columns {
        chances.push(column.squares().chance());
        chances.push(column.fullest());
    }
    let least = chances.iter().fold(1.0, |least: f64, p| if *p < least { *p } else { least });
    let corrected = least * count(whole(chances.len()));
    if corrected < 1.0 { corrected } else { 1.0 }
}

/// By how much two strata differ in excess of chance, in units of the variance; 1 is chance.
///
/// The chi-square of all common bins over its degrees of freedom, and that of a single bin or of the mean
/// score where it is larger although only so much of it is asked for that the smaller stratum lies within
/// two standard errors of both together: limits leave three and more.
pub(super) fn dispersion(table: &Table<'_>, scores: &[f64]) -> f64 {
    let columns = table.columns();
    let sizes = |column: &Column| {
        let mut sizes: Vec<f64> = column.seen().map(|cell| cell.trials).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.first().zip(sizes.last()).map_or(1.0, |(least, most)| most / least)
    };
    let lopsided = columns.iter().map(sizes).fold(1.0, |most: f64, n| if n > most { n } else { most });
    let single = columns.iter().map(Column::squares).chain([scored(table, scores)]);
    let excess =
        |squares: Squares| if squares.over_chance() > 1.0 { squares.over_chance() - 1.0 } else { 0.0 };
    let single = single.map(|squares| excess(squares) * lopsided / (STANDARD_ERRORS * STANDARD_ERRORS));
    let together = together(columns.iter().filter(|c| c.is_common())).over_chance();
    single.fold(together, |most, one| if one > most { one } else { most })
}

/// Confidence limits of each bin's chance in each stratum.
///
/// For the share `p` of a bin in stratum `s`, with `h` hits in `n` trials there and `H` in `N` in all
/// others together:
///
/// - The others lend `m` rows, at most all of theirs: Clopper and Pearson's limits at `delta` of
///   `h + m H / N` in `n + m`. That is the quantile of the beta posterior whose prior is worth `m` rows
///   at the others' share. With `m` all of theirs it is the pooled limit, with `m = 0` the stratum's
///   own. `m` is the stratum size over the spread between strata in excess of chance, in units of the
///   chance spread of one stratum: an upper 95 % limit of it from all common bins together, or the
///   bin's own where that is larger. Equal strata lend nearly everything, a daily cycle nothing.
/// - But never tighter than the stratum's own limits at `unnoticed` ([`UNNOTICED`]).
///
/// Why the second: strata are independent samples, so nothing that the others show can make it likelier
/// that this one is like them; what is borrowed is an assumption. It is sound on average over strata
/// that differ as a Dirichlet distribution lets them, and false for the one hour that is different. Then
/// its limit fails with a chance of `unnoticed`, whatever the truth, instead of up to 1. Coverage of all
/// limits together, of 400 simulated baselines each with 24 strata, 16 bins and a joint `delta` of
/// 5 %: pooled unless the stream is rejected at 1e-4 / shrunk without the second rule / these / each
/// its own:
///
/// | truth | pooled or these | shrunk | these | own |
/// |---|---|---|---|---|
/// | equal strata | 1.00 | 1.00 | 1.00 | 0.97 |
/// | daily shift of 0.05, 0.1, 0.5 sd | 0.06, 0.99, 0.97 | 0.97, 0.99, 0.97 | 1.00, 1.00, 0.97 | 0.97, 0.96, 0.96 |
/// | Dirichlet, worth 5,000, 800, 200 rows | 0.00, 0.98, 0.98 | 0.98, 0.98, 0.98 | 1.00, 0.98, 0.98 | 0.97, 0.97, 0.96 |
/// | one bin half as common again in one stratum | 0.01 | 0.57 | 1.00 | 0.97 |
/// | a rare bin in one stratum only, 2 hits expected | 0.02 | 0.65 | 1.00 | 0.97 |
/// | four strata differ by 15 % | 0.02 | 0.40 | 0.99 | 0.97 |
/// | strata of 60 and 1,200 rows: one of 60 has a bin four times | 0.08 | 0.01 | 1.00 | 0.97 |
/// | width of a common bin: upper limit over share | 1.09 | 1.19 | 1.41 | 1.51 |
/// | upper limit of a bin hardly ever seen | 0.0007 | 0.002 | 0.008 | 0.012 |
///
/// # Source
/// Dirichlet-multinomial spread: Mosimann (1962), Biometrika 49:65. Limits: see [`limits::upper`].
pub(super) fn stratum_limits(table: &Table<'_>, delta: f64, unnoticed: f64) -> StratumLimits {
    let columns = table.columns();
    let spread = together(columns.iter().filter(|c| c.is_common())).spread_upper();
    let both: Vec<Vec<Option<(f64, f64)>>> = columns
        .iter()
        .map(|column| {
            let lent = column.lent(spread);
            column.cells.iter().map(|cell| column.limits(*cell, lent, delta, unnoticed)).collect()
        })
        .collect();
    let by_stratum = |pick: fn((f64, f64)) -> f64| {
        let cell =
            |stratum: usize, bin: &Vec<Option<(f64, f64)>>| bin.get(stratum).copied().flatten().map(pick);
        (0..table.trials.len()).map(|s| both.iter().map(|bin| cell(s, bin)).collect()).collect()
    };
    StratumLimits { lower: by_stratum(|(low, _)| low), upper: by_stratum(|(_, high)| high) }
}

/// Upper confidence limit of the mean weight in each stratum, by [`mean::upper_mean`] with rows lent as
/// in [`stratum_limits`]; `None` where the baseline saw nothing.
///
/// The spread between strata is at least that of the weights' own means. `weights`: one a bin.
pub(super) fn stratum_mean_limits(
    table: &Table<'_>,
    weights: &[f64],
    delta: f64,
    unnoticed: f64,
) -> Vec<Option<f64>> {
    let columns = table.columns();
    let bins = together(columns.iter().filter(|c| c.is_common())).spread_upper();
    let means = scored(table, weights).spread_middle();
    let spread = if means > bins { means } else { bins };
    // The same number of rows from every bin: their shares among each other stay what they are.
    let lent = columns
        .iter()
        .map(|c| c.lent_at(spread))
        .fold(f64::INFINITY, |least, m| if m < least { m } else { least });
    let limit = |stratum: usize| {
        let own: Vec<f64> =
            columns.iter().map(|c| c.cells.get(stratum).map_or(0.0, |cell| cell.hits)).collect();
        if own.iter().sum::<f64>() <= 0.0 {
            return None;
        }
        let with_others: Vec<f64> =
            columns.iter().zip(&own).map(|(c, hits)| hits + c.lent_hits(stratum, lent)).collect();
        let shrunk = mean::upper_mean(weights, &with_others, delta);
        let unnoticed = if unnoticed > delta { unnoticed } else { delta };
        let alone = if unnoticed < 1.0 { mean::upper_mean(weights, &own, unnoticed) } else { shrunk };
        Some(if alone > shrunk { alone } else { shrunk })
    };
    (0..table.trials.len()).map(limit).collect()
}

/// One stratum's count of one bin.
#[derive(Debug, Clone, Copy)]
struct Cell {
    hits: f64,
    trials: f64,
}

/// One bin over all strata.
struct Column {
    cells: Vec<Cell>,
    hits: f64,
    trials: f64,
}

impl Table<'_> {
    fn columns(&self) -> Vec<Column> {
        let bins = self.hits.first().map_or(0, Vec::len);
        (0..bins).map(|bin| self.column(bin)).collect()
    }

    /// Counts that cannot be are trials that never were.
    fn column(&self, bin: usize) -> Column {
        let cell = |(hits, trials): (&Vec<f64>, &Vec<f64>)| {
            let (hits, trials) = (hits.get(bin).copied(), trials.get(bin).copied());
            let cell = Cell { hits: hits.unwrap_or(0.0), trials: trials.unwrap_or(0.0) };
            let possible = cell.hits >= 0.0 && cell.hits <= cell.trials && cell.trials.is_finite();
            if possible { cell } else { Cell { hits: 0.0, trials: 0.0 } }
        };
        let cells: Vec<Cell> = self.hits.iter().zip(self.trials).map(cell).collect();
        let (hits, trials) = cells.iter().fold((0.0, 0.0), |(h, n), c| (h + c.hits, n + c.trials));
        Column { cells, hits, trials }
    }
}

impl Column {
    fn seen(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|c| c.trials > 0.0)
    }

    fn strata_seen(&self) -> usize {
        self.seen().count()
    }

    /// Whether a stratum has a hit on average: enough for sums of squares over many bins.
    fn is_common(&self) -> bool {
        self.hits >= count(whole(self.strata_seen())) && self.hits < self.trials
    }

    /// Squared deviations in units of the expected count, and what equal strata do.
    fn squares(&self) -> Squares {
        let share = self.hits / self.trials;
        let varies = share > 0.0 && share < 1.0 && self.trials > 1.0;
        if !varies {
            return Squares::default();
        }
        self.seen().fold(Squares::default(), |mut sum, cell| {
            let mean = cell.trials * share;
            let left = (self.trials - cell.trials) / (self.trials - 1.0);
            sum.square += (cell.hits - mean) * (cell.hits - mean) / mean;
            sum.null.mean += left * (1.0 - share);
            sum.null.variance += 2.0 + 1.0 / mean;
            sum.null.third += 8.0 + 22.0 / mean + 1.0 / (mean * mean);
            sum
        })
    }

    /// The chance of the stratum that has more hits than its part of the rows, times their number.
    fn fullest(&self) -> f64 {
        let chances = self.seen().map(|cell| {
            let (share, part) = (cell.hits / self.hits, cell.trials / self.trials);
            let over = self.hits > 0.0 && share > part && part < 1.0;
            let nats = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
            if over { (-self.hits * (nats(share, part) + nats(1.0 - share, 1.0 - part))).exp() } else { 1.0 }
        });
        chances.fold(1.0, |least: f64, p| if p < least { p } else { least })
            * count(whole(self.strata_seen()))
    }

    /// The rows that other strata may lend to one, when the stream's strata differ by `spread`.
    fn lent(&self, spread: f64) -> f64 {
        let own = self.squares().spread_middle();
        self.lent_at(if own > spread { own } else { spread })
    }

    fn lent_at(&self, spread: f64) -> f64 {
        let sizes = self.seen().map(|c| (c.trials - 1.0) * (1.0 - c.trials / self.trials)).sum::<f64>();
        let size = sizes / (count(whole(self.strata_seen())) - 1.0);
        if size > 0.0 { size / spread } else { 0.0 }
    }

    /// The hits among rows that the other strata lend to one.
    fn lent_hits(&self, stratum: usize, lent: f64) -> f64 {
        let Some(cell) = self.cells.get(stratum) else { return 0.0 };
        let (hits, trials) = (self.hits - cell.hits, self.trials - cell.trials);
        if trials > 0.0 && lent < trials { lent * hits / trials } else { hits }
    }

    fn limits(&self, cell: Cell, lent: f64, delta: f64, unnoticed: f64) -> Option<(f64, f64)> {
        if cell.trials <= 0.0 {
            return None;
        }
        let (hits, trials) = (self.hits - cell.hits, self.trials - cell.trials);
        let lent = if lent < trials { lent } else { trials };
        let (more, from) = if lent > 0.0 {
            (cell.hits + lent * hits / trials, cell.trials + lent)
        } else {
            (cell.hits, cell.trials)
        };
        // Rounding may put all hits above all trials by a last digit.
        let more = if more < from { more } else { from };
        let (low, high) = (limits::lower(more, from, delta), limits::upper(more, from, delta));
        // Trust in the others ends where the stratum's own rows speak.
        let unnoticed = if unnoticed > delta { unnoticed } else { delta };
        if unnoticed >= 1.0 {
            return Some((low, high));
        }
        let own_low = limits::lower(cell.hits, cell.trials, unnoticed);
        let own_high = limits::upper(cell.hits, cell.trials, unnoticed);
        Some((if own_low < low { own_low } else { low }, if own_high > high { own_high } else { high }))
    }
}

/// A sum of squared deviations, and its cumulants when strata are equal.
#[derive(Debug, Clone, Copy, Default)]
struct Squares {
    square: f64,
    null: Cumulants,
}

impl Squares {
    fn chance(&self) -> f64 {
        self.null.above(self.square)
    }

    /// Over what equal strata do; 1 where there is nothing to go by.
    fn over_chance(&self) -> f64 {
        if self.null.mean > 0.0 { self.square / self.null.mean } else { 1.0 }
    }

    /// The spread in excess of chance that is too small with a chance of 5 %; above 0.
    fn spread_upper(&self) -> f64 {
        self.spread(SPREAD_TOO_SMALL)
    }

    /// The spread in excess of chance that is as likely too small as too large; above 0.
    fn spread_middle(&self) -> f64 {
        self.spread(0.5)
    }

    /// A chi-square with as many degrees of freedom as its mean; nothing to go by is no excess.
    fn spread(&self, chance: f64) -> f64 {
        let freedom = self.null.mean;
        if freedom <= 0.0 {
            return f64::MIN_POSITIVE;
        }
        let ratio = self.square / freedom / mean_square(freedom, chance) - 1.0;
        if ratio > 0.0 { ratio } else { f64::MIN_POSITIVE }
    }
}

fn together<'a>(columns: impl Iterator<Item = &'a Column>) -> Squares {
    columns.map(Column::squares).fold(Squares::default(), |mut all, one| {
        all.square += one.square;
        all.null.mean += one.null.mean;
        all.null.variance += one.null.variance;
        all.null.third += one.null.third;
        all
    })
}

/// Squared deviations of the strata's mean scores, as a sum of squares of normal variables.
fn scored(table: &Table<'_>, scores: &[f64]) -> Squares {
    let sum = |hits: &[f64], power: i32| hits.iter().zip(scores).map(|(h, z)| h * z.powi(power)).sum::<f64>();
    let rows = |hits: &[f64]| hits.iter().zip(scores).map(|(h, _)| h).sum::<f64>();
    let add = |all: (f64, f64, f64), hits: &Vec<f64>| {
        (all.0 + rows(hits), all.1 + sum(hits, 1), all.2 + sum(hits, 2))
    };
    let (all, first, second) = table.hits.iter().fold((0.0, 0.0, 0.0), add);
    let mean = first / all;
    let variance = second / all - mean * mean;
    let varies = variance > 1e-12 * second / all;
    if !varies {
        return Squares::default();
    }
    table.hits.iter().map(|hits| (rows(hits), sum(hits, 1))).filter(|(n, _)| *n > 0.0).fold(
        Squares::default(),
        |mut squares, (n, sum)| {
            squares.square += (sum - n * mean).powi(2) / (n * variance);
            // A mean of few rows is less normal; a row alone has the kurtosis of the scores.
            squares.null.mean += 1.0 - n / all;
            squares.null.variance += 2.0 + 4.0 / n;
            squares.null.third += 8.0 + 88.0 / n;
            squares
        },
    )
}
