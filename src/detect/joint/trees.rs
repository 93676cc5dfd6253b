//! Boosted trees, as a baseline keeps them.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hessboost::prelude::{
    BoostedModel, DMatrix, ModelFormat, Objective, RegLoss, TrainingParams, TreeMethod,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Rows that are looked at in one call: fewer than the library would spread over threads of its own.
const BLOCK_ROWS: usize = 128;

/// What the trees are made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    pub(super) rounds: usize,
    pub(super) depth: usize,
    pub(super) rate: f64,
    /// Whether they tell two classes apart (0 and 1; they answer in nats of odds), else a number.
    pub(super) classes: bool,
}

/// A sum of regression trees over a row of numbers. The same rows give the same trees, bit by bit.
#[derive(Clone)]
pub(super) struct Trees {
    model: Arc<BoostedModel>,
}

impl Trees {
    /// Fits `y` to the rows of `x`, of which each has `width` numbers, NaN where there is none.
    ///
    /// Nothing when there is nothing to fit.
    pub(super) fn fit(x: &[f32], width: usize, y: &[f32], growth: Growth) -> Option<Self> {
        let loss = RegLoss::default();
        let objective =
            if growth.classes { Objective::BinaryLogitRaw(loss) } else { Objective::SquaredError(loss) };
        let data = DMatrix::from_dense(x, y.len(), width).ok()?.with_labels(y).ok()?;
        let mut params = TrainingParams::default();
        params.objective = objective;
        params.tree_method = TreeMethod::Hist;
        params.max_depth = NonZeroUsize::new(growth.depth);
        params.eta = growth.rate;
        params.nthread = NonZeroUsize::new(1);
        let model = hessboost::prelude::train(&params, &data, growth.rounds).ok()?;
        Some(Self { model: Arc::new(model) })
    }

    /// What they say of each row.
    pub(super) fn of(&self, rows: &[f32], out: &mut Vec<f32>) {
        out.clear();
        for block in rows.chunks(BLOCK_ROWS * self.width()) {
            match self.model.predict_margin_rows(block, ..) {
                Ok(found) => out.extend_from_slice(found.as_slice()),
                Err(_) => out.resize(out.len() + block.len() / self.width(), f32::NAN),
            }
        }
    }

    /// The mean Shapley value of each number of a row, over some rows; nothing without rows. Slow.
    pub(super) fn shares(&self, rows: &[f32]) -> Option<Vec<f64>> {
        let width = self.width();
        let n = rows.len() / width;
        let data = DMatrix::from_dense(rows, n, width).ok().filter(|_| n > 0)?;
        let found = self.model.predict_contribs(&data, ..).ok()?;
        let mut sums = vec![0.0; width];
        for row in (0..n).filter_map(|row| found.get(row, 0)) {
            sums.iter_mut().zip(row).for_each(|(sum, share)| *sum += f64::from(*share));
        }
        let n = crate::units::count(crate::units::whole(n));
        sums.iter_mut().for_each(|sum| *sum /= n);
        Some(sums)
    }

    /// Numbers that a row must have.
    pub(super) fn width(&self) -> usize {
        self.model.n_features().max(1)
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        self.model.encode(ModelFormat::Binary).ok()
    }
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
        Ok(Self { model: Arc::new(model) })
    }
}
