//! Boosted trees: how they are grown, asked and kept, and the numbers that they read.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hessboost::prelude::{
    BoostedModel, DMatrix, HessboostError, ModelFormat, Objective, RegLoss, TrainingParams, TreeMethod,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::single;

/// Rows that are looked at in one call: fewer than the library would spread over threads of its own.
const BLOCK_ROWS: usize = 128;
/// Trees read nothing infinite: what is larger counts as this.
const CELL_MAX: f64 = 3.0e38;

/// Why there are no trees, or why they say nothing of rows: in the library's words.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{0}")]
pub(super) struct Error(String);

impl From<HessboostError> for Error {
    fn from(e: HessboostError) -> Self {
        Self(e.to_string())
    }
}

/// What trees are grown for, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    pub(super) rounds: usize,
    pub(super) depth: usize,
    pub(super) rate: f64,
    pub(super) task: Task,
    pub(super) cuts: Cuts,
}

/// What trees answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// The odds of 1 against 0, in nats.
    Odds,
    /// A number, by its square loss.
    Number,
}

/// Where trees may cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cuts {
    /// At some of the values: quick, for what is grown of all rows.
    Histogram,
    /// Half-way between any two values. Cuts of a histogram lie on a value, and the next row beside it is misjudged.
    Exact,
}

/// A sum of regression trees over a row of numbers. The same rows give the same trees, bit by bit.
#[derive(Clone)]
pub(super) struct Trees {
    model: Arc<BoostedModel>,
}

impl Trees {
    /// Fits `y` to the rows of `x`, of which each has `width` cells ([`cell`]), NaN where there is none. One thread.
    ///
    /// # Errors
    /// When there is nothing to fit, or a value that is infinite.
    pub(super) fn fit(x: &[f32], width: usize, y: &[f32], growth: Growth) -> Result<Self, Error> {
        let data = DMatrix::from_dense(x, y.len(), width)?.with_labels(y)?;
        let mut params = TrainingParams::default();
        params.objective = match growth.task {
            Task::Odds => Objective::BinaryLogitRaw(RegLoss::default()),
            Task::Number => Objective::SquaredError(RegLoss::default()),
        };
        params.tree_method = match growth.cuts {
            Cuts::Histogram => TreeMethod::Hist,
            Cuts::Exact => TreeMethod::Exact,
        };
        params.max_depth = NonZeroUsize::new(growth.depth);
        params.eta = growth.rate;
        params.nthread = NonZeroUsize::new(1);
        Ok(Self { model: Arc::new(hessboost::prelude::train(&params, &data, growth.rounds)?) })
    }

    /// What they say of each of some rows of `width` cells ([`cell`]): a finite number.
    ///
    /// # Errors
    /// For rows of another width or with an infinite cell, and where a number is none: nothing is said of any row.
    pub(super) fn of(&self, rows: &[f32], width: usize, out: &mut Vec<f32>) -> Result<(), Error> {
        out.clear();
        let said = self.append(rows, width, out);
        if said.is_err() {
            out.clear();
        }
        said
    }

    fn append(&self, rows: &[f32], width: usize, out: &mut Vec<f32>) -> Result<(), Error> {
        if width != self.width() {
            return Err(Error(format!("rows have {width} cells, expected {}", self.width())));
        }
        for block in rows.chunks(BLOCK_ROWS * width) {
            out.extend_from_slice(self.model.predict_margin_rows(block, ..)?.as_slice());
        }
        match out.iter().position(|said| !said.is_finite()) {
            Some(row) => Err(Error(format!("trees gave no number for row {row}"))),
            None => Ok(()),
        }
    }

    /// Numbers that a row must have.
    pub(super) fn width(&self) -> usize {
        self.model.n_features().max(1)
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        self.model.encode(ModelFormat::Binary).ok()
    }
}

/// What the numbers of a column are counted from, so that 32 bits keep apart what differs little for its size (times,
/// ids): the end of their middle half that is nearer to 0, and 0 itself where that lies within.
///
/// Of `sorted` numbers, ascending. Nothing that a few of them are (a time of 0 for none) matters.
pub(super) fn origin(sorted: &[f64]) -> f64 {
    let at = |quarters: usize| sorted.get(sorted.len() * quarters / 4).copied().filter(|v| v.is_finite());
    match (at(1), at(3)) {
        (Some(low), _) if low > 0.0 => low,
        (_, Some(high)) if high < 0.0 => high,
        _ => 0.0,
    }
}

/// A number as trees read it. NaN stays NaN: to the trees it is what is missing.
pub(super) const fn cell(value: f64, origin: f64) -> f32 {
    single((value - origin).clamp(-CELL_MAX, CELL_MAX))
}

impl fmt::Debug for Trees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trees").field("width", &self.width()).finish_non_exhaustive()
    }
}

impl PartialEq for Trees {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.model, &other.model) || self.bytes() == other.bytes()
    }
}

impl Serialize for Trees {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let bytes = self.bytes().ok_or_else(|| serde::ser::Error::custom("trees cannot be written"))?;
        to.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Trees {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = |e: &dyn fmt::Display| serde::de::Error::custom(format!("trees: {e}"));
        let bytes = STANDARD.decode(text).map_err(|e| wrong(&e))?;
        let model = BoostedModel::decode(bytes, ModelFormat::Binary).map_err(|e| wrong(&e))?;
        if model.n_outputs() != 1 {
            return Err(wrong(&format!("{} numbers said of each row, expected one", model.n_outputs())));
        }
        Ok(Self { model: Arc::new(model) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROWTH: Growth = Growth { rounds: 20, depth: 3, rate: 0.3, task: Task::Number, cuts: Cuts::Exact };

    /// Two columns, of which the first says everything.
    fn grown(growth: Growth) -> Trees {
        let rows: Vec<f32> = (0_u8..200).flat_map(|i| [f32::from(i % 7), f32::from(i % 3)]).collect();
        let y: Vec<f32> = (0_u8..200).map(|i| f32::from(u8::from(i % 7 > 3))).collect();
        Trees::fit(&rows, 2, &y, growth).unwrap()
    }

    /// Trees say what they learnt, of any number of rows, and say it again after they were kept.
    #[test]
    fn trees_are_kept() {
        for (task, cuts) in [(Task::Number, Cuts::Exact), (Task::Odds, Cuts::Histogram)] {
            let trees = grown(Growth { task, cuts, ..GROWTH });
            let rows: Vec<f32> = [6.0, 0.0, 1.0, 2.0].repeat(BLOCK_ROWS);
            let (mut said, mut again) = (Vec::new(), Vec::new());
            trees.of(&rows, 2, &mut said).unwrap();
            assert_eq!(said.len(), 2 * BLOCK_ROWS);
            assert!(said.chunks(2).all(|pair| pair[0] > pair[1] + 0.5), "{:?}", &said[..4]);
            let read: Trees = serde_json::from_str(&serde_json::to_string(&trees).unwrap()).unwrap();
            read.of(&rows, 2, &mut again).unwrap();
            assert!(read == trees && again == said);
        }
    }

    /// What cannot be learnt or answered has a reason, and no number in its place.
    #[test]
    fn what_cannot_be_has_a_reason() {
        let fit = |rows: &[f32], y: &[f32]| Trees::fit(rows, 1, y, GROWTH).unwrap_err().to_string();
        assert!(fit(&[1.0, f32::INFINITY], &[0.0, 1.0]).contains("finite"));
        assert!(!fit(&[], &[]).is_empty() && !fit(&[1.0, 2.0], &[0.0]).is_empty());
        let trees = grown(GROWTH);
        let mut said = vec![1.0];
        let wrong = trees.of(&[1.0, 2.0, 3.0], 3, &mut said).unwrap_err().to_string();
        assert_eq!((wrong.as_str(), said.len()), ("rows have 3 cells, expected 2", 0));
        assert!(trees.of(&[1.0, 2.0, 3.0], 2, &mut said).is_err(), "half a row");
        let infinite = [1.0, 2.0].repeat(BLOCK_ROWS).into_iter().chain([1.0, f32::INFINITY]);
        assert!(trees.of(&infinite.collect::<Vec<f32>>(), 2, &mut said).is_err() && said.is_empty());
    }

    /// Trees that say several numbers of a row are nobody's.
    #[test]
    fn other_trees_are_refused() {
        let rows: Vec<f32> = (0_u8..60).map(f32::from).collect();
        let classes: Vec<f32> = (0_u8..60).map(|i| f32::from(i % 3)).collect();
        let data = DMatrix::from_dense(&rows, 60, 1).unwrap().with_labels(&classes).unwrap();
        let mut params = TrainingParams::default();
        params.objective = Objective::Softprob(hessboost::objective::Multiclass::new(3).unwrap());
        let model = Arc::new(hessboost::prelude::train(&params, &data, 2).unwrap());
        let written = serde_json::to_string(&Trees { model }).unwrap();
        let refused = serde_json::from_str::<Trees>(&written).unwrap_err().to_string();
        assert!(refused.contains("3 numbers said of each row, expected one"), "{refused}");
    }

    /// Where numbers are counted from, and that 32 bits keep them apart from there.
    #[test]
    fn numbers_are_counted_from_among_them() {
        let stamps: Vec<f64> = std::iter::repeat_n(0.0, 20)
            .chain((0..100).map(|second| 1.7e12 + 1e3 * f64::from(second)))
            .collect();
        for (sorted, expected) in [
            (&[-3.0, -1.0, 2.0, 5.0][..], 0.0),
            (&[1.0, 2.0, 3.0, 4.0], 2.0),
            (&[-8.0, -7.0, -6.0, -5.0], -5.0),
            (&[], 0.0),
            (&[f64::NEG_INFINITY, f64::INFINITY], 0.0),
            (&stamps, 1.7e12 + 10e3),
        ] {
            assert!((origin(sorted) - expected).abs() < 1e-9, "{sorted:?}: {}", origin(sorted));
        }
        let mut cells: Vec<f32> = stamps.iter().map(|v| cell(*v, origin(&stamps))).collect();
        cells.dedup();
        assert_eq!(cells.len(), 101);
        assert!(cell(f64::INFINITY, 5.0).is_finite() && cell(-1e300, 5.0).is_finite());
        assert!(cell(f64::NAN, 5.0).is_nan());
    }
}
