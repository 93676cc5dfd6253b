//! How much more often than by chance two bins come together: of two columns of words, or of a column and the hour.

use serde::{Deserialize, Serialize};

use crate::detect::cut::{Code, SKIP};
use crate::units::{count, single, whole};

/// Pairs of columns that are looked at, at the most: those that tell most of each other.
pub(super) const PAIRS_MAX: usize = 20;
/// Bins of either side beyond which a table is none.
const BINS_MAX: usize = 72;
/// Odds are told in halves of a nat. Finer ones would tell the hours of a clock apart, whose order is a memory of a
/// day where nothing is wrong.
const PER_NAT: f64 = 2.0;
/// Rows added to what is counted and to what chance has.
const PRIOR: f64 = 1.0;
/// Standard errors of chance that two columns must tell of each other (`2 n` times the information of independent
/// ones is about chi-square).
const CHANCE: f64 = 5.0;
/// Standard errors by which rows that were not fitted bear it out.
const HELD: f64 = 2.0;
/// A clock tells this part of what there is to know of the hour, or of itself: whichever is less.
const CLOCK_TOLD: f64 = 0.5;
/// Hours that a sample must have for a clock to be found in it.
const CLOCK_HOURS_MIN: usize = 6;

/// By bin of either side: the logarithm of the odds against chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Odds {
    /// The columns; the second is none where it is the hour of the day (UTC).
    pub(super) first: usize,
    pub(super) second: Option<usize>,
    /// Bins of the second side.
    width: usize,
    /// By bin of the first side, then of the second; none where the sample had no row of one of the two.
    nats: Vec<Option<f32>>,
}

fn split(codes: &[Code], fitted: usize) -> (&[Code], &[Code]) {
    codes.split_at(fitted.min(codes.len()))
}

/// What two columns tell of each other, in nats, with their own entropies.
struct Told {
    nats: f64,
    least: f64,
    /// By how many standard errors it is more than chance.
    z: f64,
}

impl Odds {
    /// The pairs of columns that tell most of each other, most first: made of the first `fitted` rows, and such that
    /// the others bear them out.
    pub(super) fn pairs(columns: &[(usize, &[Code])], fitted: usize) -> Vec<Self> {
        let mut all: Vec<(f64, Self)> = Vec::new();
        for (i, (first, a)) in columns.iter().enumerate() {
            for (second, b) in columns.iter().skip(i + 1) {
                let ((a, held_a), (b, held_b)) = (split(a, fitted), split(b, fitted));
                let Some(table) = Table::of(a, b) else { continue };
                let told = table.told();
                if told.z <= CHANCE {
                    continue;
                }
                let odds = Self::new(*first, Some(*second), &table);
                if odds.holds(held_a, held_b) {
                    all.push((told.nats, odds));
                }
            }
        }
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1.first, a.1.second).cmp(&(b.1.first, b.1.second))));
        all.truncate(PAIRS_MAX);
        all.into_iter().map(|(_, odds)| odds).collect()
    }

    /// A column as a clock: one that goes with the hour of the day.
    pub(super) fn clock(position: usize, codes: &[Code], hours: &[u8], fitted: usize) -> Option<Self> {
        let mut seen = hours.to_vec();
        seen.sort_unstable();
        seen.dedup();
        let ((codes, held), (hours, held_hours)) = (split(codes, fitted), split(hours, fitted));
        let table = Table::of(codes, hours)?;
        let told = table.told();
        let is_clock =
            seen.len() >= CLOCK_HOURS_MIN && told.z > CHANCE && told.nats >= CLOCK_TOLD * told.least;
        let clock = is_clock.then(|| Self::new(position, None, &table))?;
        clock.holds(held, held_hours).then_some(clock)
    }

    /// Whether rows that it was not made of bear it out: their odds are better than chance in the mean, by more than
    /// the mean may be off.
    fn holds(&self, a: &[Code], b: &[Code]) -> bool {
        let of = a.iter().zip(b).filter_map(|(a, b)| self.of(*a, *b)).map(f64::from);
        let (n, sum, squares) =
            of.fold((0.0, 0.0, 0.0), |(n, sum, squares), v| (n + 1.0, sum + v, squares + v * v));
        let mean: f64 = sum / n;
        let error = ((squares / n - mean * mean) / n).sqrt();
        n > 1.0 && mean > HELD * error
    }

    fn new(first: usize, second: Option<usize>, table: &Table) -> Self {
        let (rows, columns) = table.margins();
        let n: f64 = rows.iter().sum();
        let mut nats = Vec::with_capacity(table.counts.len());
        for (line, row) in table.counts.chunks(table.width).zip(&rows) {
            for (cell, column) in line.iter().zip(&columns) {
                let chance = row * column / n;
                let known = *row > 0.0 && *column > 0.0;
                let odds = (PER_NAT * ((cell + PRIOR) / (chance + PRIOR)).ln()).round() / PER_NAT;
                nats.push(known.then(|| single(odds)));
            }
        }
        Self { first, second, width: table.width, nats }
    }

    /// The logarithm of the odds of two bins; nothing where one of them is new.
    pub(super) fn of(&self, first: Code, second: Code) -> Option<f32> {
        let second = usize::from(second);
        if second >= self.width {
            return None;
        }
        self.nats.get(usize::from(first) * self.width + second).copied().flatten()
    }

    pub(super) fn is_sound(&self) -> bool {
        self.width > 0
            && self.nats.len().is_multiple_of(self.width)
            && self.nats.iter().flatten().all(|v| v.is_finite())
    }
}

/// Rows by bin of two columns.
struct Table {
    width: usize,
    counts: Vec<f64>,
}

impl Table {
    /// Nothing where one has too many bins.
    fn of(a: &[Code], b: &[Code]) -> Option<Self> {
        let most = |codes: &[Code]| codes.iter().filter(|c| **c != SKIP).max().map(|c| usize::from(*c) + 1);
        let (height, width) = (most(a)?, most(b)?);
        if height > BINS_MAX || width > BINS_MAX {
            return None;
        }
        let mut counts = vec![0.0; height * width];
        for (a, b) in a.iter().zip(b) {
            if let Some(n) = counts.get_mut(usize::from(*a) * width + usize::from(*b)) {
                *n += 1.0;
            }
        }
        Some(Self { width, counts })
    }

    fn margins(&self) -> (Vec<f64>, Vec<f64>) {
        let rows = self.counts.chunks(self.width).map(|line| line.iter().sum()).collect();
        let mut columns = vec![0.0; self.width];
        for line in self.counts.chunks(self.width) {
            columns.iter_mut().zip(line).for_each(|(sum, n)| *sum += n);
        }
        (rows, columns)
    }

    fn told(&self) -> Told {
        let (rows, columns) = self.margins();
        let n: f64 = rows.iter().sum();
        let entropy = |margin: &[f64]| -> f64 {
            margin.iter().filter(|m| **m > 0.0).map(|m| -(m / n) * (m / n).ln()).sum()
        };
        let mut nats = 0.0;
        for (line, row) in self.counts.chunks(self.width).zip(&rows) {
            for (cell, column) in line.iter().zip(&columns).filter(|(cell, _)| **cell > 0.0) {
                nats += cell / n * (cell * n / (row * column)).ln();
            }
        }
        let levels = |margin: &[f64]| count(whole(margin.iter().filter(|m| **m > 0.0).count())) - 1.0;
        let freedom = levels(&rows) * levels(&columns);
        let z = if freedom > 0.0 { (2.0 * n * nats - freedom) / (2.0 * freedom).sqrt() } else { 0.0 };
        let (a, b) = (entropy(&rows), entropy(&columns));
        Told { nats, least: if a < b { a } else { b }, z }
    }
}
