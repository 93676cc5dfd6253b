//! Rows kept in memory to tell what a fault does: the last ones, and some from before.

use std::ops::RangeInclusive;

use super::surrogate::SURROGATES_MAX;

/// Rows kept one by one, and the bytes that they may take.
const WINDOW_ROWS: usize = 1_024;
const WINDOW_BYTES: usize = 1 << 20;
/// Rows may come in stretches of so many before the first of them is judged.
const AHEAD_ROWS: usize = 1_024;
/// Of older rows one in so many is kept, so many of them.
const OLDER_EVERY: u64 = 32;
const OLDER_ROWS: usize = 256;

/// The last rows of a model as relations read them. Never written anywhere.
#[derive(Debug, Clone)]
pub(in crate::detect) struct Recent {
    width: usize,
    /// Rows before the one that is asked about.
    window: usize,
    last: Ring,
    older: Ring,
}

/// By surrogate: an answer less what the surrogate says (NaN where there is none, or nobody asked).
pub(in crate::detect) type Residuals = [f64; SURROGATES_MAX];

/// A row: its number, its features, and its answers less what the surrogates say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) number: u64,
    pub(super) features: &'a [f32],
    pub(super) residuals: Residuals,
}

impl Recent {
    pub(in crate::detect) fn new(width: usize) -> Self {
        let window = WINDOW_ROWS.min(WINDOW_BYTES / (4 * width.max(1))).max(1);
        // Which older rows there are must not depend on how rows come in stretches.
        let older = OLDER_ROWS + AHEAD_ROWS / usize::try_from(OLDER_EVERY).unwrap_or(1);
        Self { width, window, last: Ring::new(window + AHEAD_ROWS), older: Ring::new(older) }
    }

    /// Keeps a row; numbers grow.
    pub(in crate::detect) fn push(&mut self, number: u64, features: &[f32], residuals: Residuals) {
        if features.len() != self.width {
            return;
        }
        self.last.push(self.width, number, features, residuals);
        if number.is_multiple_of(OLDER_EVERY) {
            self.older.push(self.width, number, features, residuals);
        }
    }

    /// The rows kept of those numbers, up to the row that is judged.
    pub(super) fn rows(&self, numbers: RangeInclusive<u64>, judged: u64) -> Vec<Row<'_>> {
        let window = u64::try_from(self.window).unwrap_or(u64::MAX);
        let in_window = |n: u64| n <= judged && n + window > judged;
        let oldest = judged.saturating_sub(window + OLDER_EVERY * u64::try_from(OLDER_ROWS).unwrap_or(0));
        let is_older = |n: u64| n + window <= judged && n > oldest;
        let mut rows: Vec<Row<'_>> = self
            .older
            .rows(self.width)
            .filter(|(n, _)| numbers.contains(n) && is_older(*n))
            .map(|(_, r)| r)
            .collect();
        let last = self.last.rows(self.width).filter(|(n, _)| numbers.contains(n) && in_window(*n));
        rows.extend(last.map(|(_, row)| row));
        rows
    }
}

#[derive(Debug, Clone)]
struct Ring {
    rows_max: usize,
    /// Where the next row goes.
    next: usize,
    numbers: Vec<u64>,
    residuals: Vec<Residuals>,
    features: Vec<f32>,
}

impl Ring {
    const fn new(rows_max: usize) -> Self {
        Self { rows_max, next: 0, numbers: Vec::new(), residuals: Vec::new(), features: Vec::new() }
    }

    fn push(&mut self, width: usize, number: u64, features: &[f32], residuals: Residuals) {
        if self.numbers.len() < self.rows_max {
            self.numbers.push(number);
            self.residuals.push(residuals);
            self.features.extend_from_slice(features);
        } else if let (Some(n), Some(r), Some(f)) = (
            self.numbers.get_mut(self.next),
            self.residuals.get_mut(self.next),
            self.features.get_mut(self.next * width..(self.next + 1) * width),
        ) {
            *n = number;
            *r = residuals;
            f.copy_from_slice(features);
            self.next = (self.next + 1) % self.rows_max;
        }
    }

    /// Oldest first.
    fn rows(&self, width: usize) -> impl Iterator<Item = (u64, Row<'_>)> {
        let rows = self.numbers.len();
        (0..rows).map(move |i| (self.next + i) % rows.max(1)).filter_map(move |i| {
            let features = self.features.get(i * width..(i + 1) * width)?;
            let number = *self.numbers.get(i)?;
            Some((number, Row { number, features, residuals: *self.residuals.get(i)? }))
        })
    }
}
