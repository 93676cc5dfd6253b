//! What belongs together in health: answers and features, features and each other, clocks and time stamps.
//!
//! A fault may leave every column as it was, and yet be seen in what columns tell of each other: predictions handed
//! to the wrong request, features of the wrong entity, another model behind the same name. Relations are fitted to
//! one half of a baseline's rows; each makes one or more scalars of a row, and those are streams like any other,
//! whose bins are counted over the other half.

mod coherence;
mod fit;
mod given;
mod harm;
mod inputs;
mod odds;
mod recent;
mod sample;
mod surrogate;
mod told;
#[cfg(test)]
mod tests;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use coherence::Coherence;
use given::Given;
use inputs::{Column, Inputs};
use odds::Odds;
use surrogate::{SURROGATES_MAX, Surrogate};

use super::cut::Code;
use super::stream::{Places, Topic};
use crate::record::{Batch, Cell};
use crate::units::Timestamp;

pub(super) use fit::fit;
pub(super) use harm::{Flips, Rows};
pub(super) use recent::{Recent, Residuals};
pub(super) use sample::Sample;

/// A sample with fewer rows carries no relation.
const ROWS_MIN: usize = 1_000;

/// Everything that was fitted, and why something was not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Joint {
    inputs: Inputs,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    surrogates: Vec<Surrogate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    coherence: Option<Coherence>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    given: Vec<Given>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    odds: Vec<Odds>,
    /// What nobody watches, and why: a sentence each.
    pub(super) lacks: Vec<String>,
}

/// One number of a row that a relation makes. Relations are named by their place in [`Joint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scalar {
    /// An answer less what its surrogate says.
    Residual(usize),
    /// The size of that.
    ResidualSize(usize),
    /// The odds that the features belong together, in nats.
    Coherence,
    /// A feature's normal score less what other features say.
    Given(usize),
    /// The odds of two categories, or of a clock and the hour, in nats.
    Odds(usize),
}

impl Scalar {
    /// To which side it goes when the relation is broken. Rows that were fitted keep a relation better than others,
    /// so that nothing is bet on its being kept too well.
    pub(super) const fn harm(self) -> Side {
        match self {
            Self::Residual(_) | Self::Given(_) => Side::Both,
            Self::ResidualSize(_) => Side::Up,
            Self::Coherence | Self::Odds(_) => Side::Down,
        }
    }

    /// Whether it is made of a row's features as trees read them.
    pub(super) const fn reads_features(self) -> bool {
        matches!(self, Self::Residual(_) | Self::ResidualSize(_) | Self::Coherence)
    }

    /// What its stream is about.
    pub(super) const fn topic(self) -> Topic {
        match self {
            Self::Residual(_) | Self::ResidualSize(_) => Topic::Residual,
            Self::Coherence => Topic::Coherence,
            Self::Given(_) => Topic::Given,
            Self::Odds(_) => Topic::Odds,
        }
    }
}

/// The side of a distribution that is bet on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Both,
    Up,
    Down,
}

/// The numbers of a chunk of rows, with the room to compute them in.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    /// Features as trees read them, row by row.
    matrix: Vec<f32>,
    /// Normal scores by input; empty for those that nobody asks for.
    scores: Vec<Vec<f32>>,
    told: Vec<f32>,
    /// By scalar asked for; NaN where the row has none.
    of: Vec<Vec<f64>>,
    /// By scalar asked for: whether trees said nothing of some row, of this chunk or one before. What it would have
    /// been is not known, and may have been the fault.
    failed: Vec<bool>,
}

impl Numbers {
    /// A row of a chunk: its features as trees read them, and its answers less what the surrogates say.
    pub(super) fn row(&self, place: usize, asked: &[Scalar]) -> Option<(&[f32], Residuals)> {
        let rows = self.of.first().map_or(0, Vec::len);
        let width = self.matrix.len().checked_div(rows).filter(|width| *width > 0)?;
        let features = self.matrix.get(place * width..(place + 1) * width)?;
        let mut residuals = [f64::NAN; SURROGATES_MAX];
        for (scalar, of) in asked.iter().zip(&self.of) {
            let Scalar::Residual(which) = scalar else { continue };
            if let (Some(residual), Some(value)) = (residuals.get_mut(*which), of.get(place)) {
                *residual = *value;
            }
        }
        Some((features, residuals))
    }

    /// Whether one of the scalars that were asked for could not be computed.
    pub(super) fn has_failed(&self, place: usize) -> bool {
        self.failed.get(place).copied().unwrap_or(false)
    }

    /// One of the scalars that were asked for, row by row.
    pub(super) fn get(&self, place: usize) -> &[f64] {
        self.of.get(place).map_or(&[], Vec::as_slice)
    }
}

/// Rows whose codes are known.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    pub(super) batch: &'a Batch,
    pub(super) rows: &'a Range<usize>,
    /// By stream, then by row: those of `rows` after so many others.
    pub(super) codes: &'a [Vec<Code>],
    pub(super) skipped: usize,
    pub(super) places: &'a Places,
}

impl Chunk<'_> {
    fn codes(&self, position: usize) -> &[Code] {
        let stream = self.places.value(position).and_then(|stream| self.codes.get(stream));
        stream
            .and_then(|codes| codes.get(self.skipped..))
            .and_then(|c| c.get(..self.rows.len()))
            .unwrap_or(&[])
    }

    fn column(&self, position: usize) -> Option<Column<'_>> {
        let cells = self.batch.columns().get(position)?;
        Some(Column::of(cells, self.codes(position), self.rows))
    }
}

impl Joint {
    /// The scalars of a chunk of rows, in the order in which they are asked for.
    pub(super) fn compute(&self, chunk: &Chunk<'_>, asked: &[Scalar], numbers: &mut Numbers) {
        let rows = chunk.rows.len();
        numbers.of.resize_with(asked.len(), Vec::new);
        numbers.failed.resize(asked.len(), false);
        let asks = |is: fn(&Scalar) -> bool| asked.iter().any(is);
        if asks(|s| s.reads_features()) {
            self.fill(chunk, &mut numbers.matrix);
        }
        if asks(|s| matches!(s, Scalar::Given(_))) {
            self.score(chunk, &mut numbers.scores);
        }
        let Numbers { matrix, scores, told, of, failed } = numbers;
        let (mut residuals_of, matrix) = (None, (matrix.as_slice(), self.width()));
        for ((out, failed), scalar) in of.iter_mut().zip(failed).zip(asked) {
            out.clear();
            match scalar {
                Scalar::Residual(which) | Scalar::ResidualSize(which) => {
                    let Some(surrogate) = self.surrogates.get(*which) else { continue };
                    if residuals_of != Some(*which) {
                        let said = surrogate.foretell(matrix, told);
                        *failed |= said.is_err();
                        residuals_of = said.is_ok().then_some(*which);
                    }
                    residuals(surrogate, chunk, told, out);
                    if matches!(scalar, Scalar::ResidualSize(_)) {
                        out.iter_mut().for_each(|v| *v = v.abs());
                    }
                }
                Scalar::Coherence => {
                    let Some(coherence) = &self.coherence else { continue };
                    *failed |= coherence.of(matrix, told).is_err();
                    residuals_of = None;
                    out.extend(told.iter().map(|v| f64::from(*v)));
                }
                Scalar::Given(which) => {
                    let Some(given) = self.given.get(*which) else { continue };
                    told.clear();
                    told.resize(rows, f32::NAN);
                    given.of(scores, told);
                    residuals_of = None;
                    out.extend(told.iter().map(|v| f64::from(*v)));
                }
                Scalar::Odds(which) => {
                    let Some(odds) = self.odds.get(*which) else { continue };
                    odds_of(odds, chunk, out);
                }
            }
            out.resize(rows, f64::NAN);
        }
    }

    /// Features as trees read them.
    fn fill(&self, chunk: &Chunk<'_>, matrix: &mut Vec<f32>) {
        let width = self.inputs.columns.len();
        matrix.clear();
        matrix.resize(chunk.rows.len() * width, f32::NAN);
        for (place, input) in self.inputs.columns.iter().enumerate() {
            if let (Some(column), Some(out)) = (chunk.column(input.position), matrix.get_mut(place..)) {
                input.fill(&column, out, width);
            }
        }
    }

    /// Normal scores of the features that regressions read.
    fn score(&self, chunk: &Chunk<'_>, scores: &mut Vec<Vec<f32>>) {
        scores.resize_with(self.inputs.columns.len(), Vec::new);
        let mut wanted = vec![false; scores.len()];
        for input in self.given.iter().flat_map(Given::inputs) {
            if let Some(place) = wanted.get_mut(input) {
                *place = true;
            }
        }
        let each = self.inputs.columns.iter().zip(scores).zip(wanted);
        for ((input, out), _) in each.filter(|(_, wanted)| *wanted) {
            if let Some(column) = chunk.column(input.position) {
                input.scores(&column, out);
            }
        }
    }

    /// Without what features tell of answers: these are to be another version's.
    pub(super) fn forget_answers(&mut self) {
        self.surrogates.clear();
        self.lacks.push(
            "answers against features are not watched: these answers were accepted as another version's, of which no \
             relation was fitted; build a baseline of its own rows"
                .to_owned(),
        );
    }

    /// Whether everything in it fits together, and a schema of so many columns.
    pub(super) fn is_sound(&self, columns: usize) -> bool {
        let width = self.inputs.columns.len();
        self.inputs.columns.iter().all(|input| input.position < columns && input.is_sound())
            && self.surrogates.iter().all(|s| s.position < columns && s.is_sound(width))
            && self.coherence.as_ref().is_none_or(|c| c.is_sound(width))
            && self.given.iter().all(|g| g.is_sound(width))
            && self
                .odds
                .iter()
                .all(|o| o.is_sound() && o.first < columns && o.second.is_none_or(|s| s < columns))
    }

    /// Features that relations read.
    pub(super) fn width(&self) -> usize {
        self.inputs.columns.len()
    }

    /// Whether it has what a scalar is made of.
    pub(super) fn has(&self, scalar: Scalar) -> bool {
        match scalar {
            Scalar::Residual(which) | Scalar::ResidualSize(which) => which < self.surrogates.len(),
            Scalar::Coherence => self.coherence.is_some(),
            Scalar::Given(which) => which < self.given.len(),
            Scalar::Odds(which) => which < self.odds.len(),
        }
    }
}

fn residuals(surrogate: &Surrogate, chunk: &Chunk<'_>, told: &[f32], out: &mut Vec<f64>) {
    let codes = chunk.codes(surrogate.position);
    let cells = chunk.batch.columns().get(surrogate.position);
    for ((row, code), told) in chunk.rows.clone().zip(codes).zip(told) {
        let number = match cells.map(|c| c.cell(row)) {
            Some(Cell::Number(v)) => v,
            Some(Cell::Text(_)) if !surrogate.is_of_numbers() => 0.0,
            _ => f64::NAN,
        };
        // An answer that is none is another stream's to judge.
        let is_known = if surrogate.is_of_numbers() { number.is_finite() } else { !number.is_nan() };
        out.push(if is_known { surrogate.residual(number, *code, *told) } else { f64::NAN });
    }
}

fn odds_of(odds: &Odds, chunk: &Chunk<'_>, out: &mut Vec<f64>) {
    let nats = |first: &Code, second: Code| odds.of(*first, second).map_or(f64::NAN, f64::from);
    let first = chunk.codes(odds.first);
    match odds.second {
        Some(second) => {
            out.extend(first.iter().zip(chunk.codes(second)).map(|(a, b)| nats(a, *b)));
        }
        None => {
            let ts = chunk.batch.meta().ts();
            let hour = |row: usize| ts.get(row).map_or(Code::MAX, |ts| hour_of_day(*ts));
            out.extend(first.iter().zip(chunk.rows.clone()).map(|(a, row)| nats(a, hour(row))));
        }
    }
}

/// The hour of the day (UTC), from 0 to 23.
fn hour_of_day(ts: Timestamp) -> u8 {
    u8::try_from(ts.as_millis().div_euclid(3_600_000).rem_euclid(24)).unwrap_or(0)
}
