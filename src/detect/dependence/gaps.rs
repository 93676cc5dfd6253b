use super::{Margins, Sequence, larger, smaller};
use crate::units::{count, whole};

/// Gaps are compared at 1, 2, 4, … rows, at most so many lengths.
const LENGTHS: usize = 24;
/// A gap that random order makes shorter than the length this often says nothing.
const ORDINARY: f64 = 0.5;
/// Clumps tell the size of clumps only where a random order hardly makes any.
const RARE: f64 = 0.1;

/// How close together the hits of each bin lie, counted in rows of their own stratum.
pub(super) struct Gaps {
    bins: Vec<Bin>,
    tests: usize,
}

/// One bin's most telling length.
#[derive(Debug, Clone, Copy)]
struct Bin {
    p_value: f64,
    upper: f64,
    rows: usize,
}

impl Gaps {
    pub(super) fn of(sequence: &Sequence<'_>, margins: &Margins) -> Self {
        let hits = hits(sequence, margins);
        let mut tests = 0;
        let bins = hits
            .iter()
            .map(|of_bin| {
                let mut best = Bin { p_value: 1.0, upper: 1.0, rows: 1 };
                for length in (0..LENGTHS).map(|i| 1_usize << i) {
                    let near = Near::of(of_bin, margins, length);
                    if near.pairs == 0.0 || near.chance > ORDINARY {
                        break;
                    }
                    tests += 1;
                    let p_value = near.p_value();
                    if p_value < best.p_value {
                        let clumps = Clumps::of(of_bin, length);
                        let upper = if near.chance < RARE { clumps.upper() } else { 1.0 };
                        best = Bin { p_value, upper, rows: length * clumps.longest };
                    }
                }
                best
            })
            .collect();
        Self { bins, tests }
    }

    /// How many numbers of short gaps are compared with those of a random order.
    pub(super) const fn tests(&self) -> usize {
        self.tests
    }

    pub(super) fn p_value(&self, bin: usize) -> f64 {
        self.bins.get(bin).map_or(1.0, |b| b.p_value)
    }

    /// The variance ratio of a compound Poisson process with the clumps that were seen.
    pub(super) fn upper(&self, bin: usize) -> f64 {
        self.bins.get(bin).map_or(1.0, |b| b.upper)
    }

    /// The span of the bin's longest clump.
    pub(super) fn span(&self, bin: usize) -> usize {
        self.bins.get(bin).map_or(1, |b| if b.upper > 1.0 { b.rows.next_power_of_two() } else { 1 })
    }
}

/// For each bin and stratum with hits: the stratum, and the hits' positions among its rows.
type Hits = Vec<(usize, Vec<usize>)>;

fn hits(sequence: &Sequence<'_>, margins: &Margins) -> Vec<Hits> {
    let mut positions = vec![vec![Vec::new(); margins.strata()]; margins.bins];
    let mut rows = vec![0_usize; margins.strata()];
    for (row, code) in sequence.codes.iter().enumerate() {
        let stratum = sequence.stratum(row);
        let Some(position) = rows.get_mut(stratum) else { continue };
        if let Some(hits) = positions.get_mut(usize::from(*code)).and_then(|b| b.get_mut(stratum)) {
            hits.push(*position);
        }
        *position += 1;
    }
    let with_hits = |of_bin: Vec<Vec<usize>>| of_bin.into_iter().enumerate().filter(|(_, h)| !h.is_empty());
    positions.into_iter().map(|of_bin| with_hits(of_bin).collect()).collect()
}

/// The gaps of one bin that are at most so many rows long.
struct Near {
    pairs: f64,
    short: f64,
    /// How often a gap is that short in a random order, on average over strata.
    chance: f64,
}

impl Near {
    fn of(hits: &Hits, margins: &Margins, length: usize) -> Self {
        let (mut pairs, mut short, mut expected) = (0.0, 0.0, 0.0);
        for (stratum, positions) in hits {
            let gaps = positions.iter().zip(positions.iter().skip(1)).map(|(a, b)| b - a);
            short += count(whole(gaps.filter(|gap| *gap <= length).count()));
            let neighbours = count(whole(positions.len() - 1));
            let rows = margins.rows.get(*stratum).copied().unwrap_or(0.0);
            pairs += neighbours;
            expected += neighbours * chance_of_gap(rows, neighbours + 1.0, length);
        }
        Self { pairs, short, chance: if pairs > 0.0 { expected / pairs } else { 1.0 } }
    }

    /// Chernoff's bound: gaps of a random order are negatively associated.
    fn p_value(&self) -> f64 {
        let share = self.short / self.pairs;
        if share <= self.chance {
            return 1.0;
        }
        let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
        (-self.pairs * (part(share, self.chance) + part(1.0 - share, 1.0 - self.chance))).exp()
    }
}

/// The chance that the next hit follows within `length` rows when `hits` of `rows` are drawn at
/// random: one minus `C(rows - length, hits) / C(rows, hits)`.
fn chance_of_gap(rows: f64, hits: f64, length: usize) -> f64 {
    let length = count(whole(length));
    // The quotient is symmetric in hits and length: take the shorter product.
    let (factors, other) = if hits < length { (hits, length) } else { (length, hits) };
    let mut none = 1.0;
    let mut i = 0.0;
    while i < factors && none > 0.0 {
        none *= larger(rows - other - i, 0.0) / (rows - i);
        i += 1.0;
    }
    1.0 - none
}

/// Runs of hits with gaps of at most one length between them.
struct Clumps {
    squares: f64,
    hits: f64,
    /// Runs of more than one hit.
    several: f64,
    longest: usize,
}

impl Clumps {
    fn of(hits: &Hits, length: usize) -> Self {
        let mut clumps = Self { squares: 0.0, hits: 0.0, several: 0.0, longest: 1 };
        for (_, positions) in hits {
            for run in positions.chunk_by(|a, b| b - a <= length) {
                let size = count(whole(run.len()));
                clumps.squares += size * size;
                clumps.hits += size;
                clumps.several += if run.len() > 1 { 1.0 } else { 0.0 };
                clumps.longest = clumps.longest.max(run.len());
            }
        }
        clumps
    }

    /// Mean square over mean of the clumps' sizes, and one standard error of as many clumps more.
    fn upper(&self) -> f64 {
        let seen = smaller(1.0, 1.0 / self.several.sqrt());
        self.squares / self.hits * (1.0 + seen)
    }
}
