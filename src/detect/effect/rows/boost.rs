//! Boosted trees over rows: what the domain classifier and the estimate of the loss have in common.

use hessboost::objective::RegLoss;
use hessboost::prelude::{BoostedModel, DMatrix, Iterations, Objective, TrainingParams, TreeMethod, train};
use ndarray::ArrayView2;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::NoEstimate;
use crate::units::whole;

/// Parts that rows are cut into, each judged by trees that were grown on the others.
const FOLDS: usize = 5;
const ROUNDS: usize = 60;
const DEPTH: usize = 4;
const RATE: f64 = 0.15;

/// What trees are grown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::detect) enum Task {
    /// The chance of 1, against 0.
    Chance,
    /// A number, by its square loss.
    Number,
}

/// How numbers become the trees' 32 bits: less the first value of their column, which keeps apart what differs little
/// (times, ids).
#[derive(Debug, Clone)]
pub(in crate::detect) struct Frame(Vec<f64>);

impl Frame {
    pub(in crate::detect) fn of(baseline: ArrayView2<'_, f64>) -> Self {
        let columns = baseline.columns().into_iter();
        // A column of NaN alone has no first value, and needs none.
        Self(columns.map(|c| c.iter().copied().find(|v| v.is_finite()).unwrap_or(0.0)).collect())
    }

    pub(in crate::detect) const fn columns(&self) -> usize {
        self.0.len()
    }

    /// Rows one after the other. NaN stays NaN: to the trees it is what is missing.
    pub(in crate::detect) fn cells(&self, rows: ArrayView2<'_, f64>) -> Vec<f32> {
        let row = |row: ndarray::ArrayView1<'_, f64>| -> Vec<f32> {
            row.iter().zip(&self.0).map(|(value, first)| narrow(value - first)).collect()
        };
        rows.rows().into_iter().flat_map(row).collect()
    }
}

/// The nearest number of 32 bits, the largest ones for those beyond.
pub(in crate::detect) fn narrow(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "trees take 32 bits; those beyond are clamped below")]
    let narrow = value as f32;
    if narrow.is_infinite() { f32::MAX.copysign(narrow) } else { narrow }
}

/// Rows, one after the other, and what is to be learnt of them.
#[derive(Debug, Clone, Copy)]
pub(in crate::detect) struct Lesson<'a> {
    pub(in crate::detect) cells: &'a [f32],
    /// Cells of a row.
    pub(in crate::detect) columns: usize,
    /// A value for each row.
    pub(in crate::detect) target: &'a [f32],
    pub(in crate::detect) task: Task,
}

impl Lesson<'_> {
    /// Grows trees; one thread, the same model for the same rows.
    pub(in crate::detect) fn grow(&self) -> Result<BoostedModel, NoEstimate> {
        let failed = |e: hessboost::prelude::HessboostError| NoEstimate::Failed(e.to_string());
        let objective = match self.task {
            Task::Chance => Objective::BinaryLogistic(RegLoss::default()),
            Task::Number => Objective::SquaredError(RegLoss::default()),
        };
        let params = TrainingParams::builder().objective(objective).max_depth(DEPTH).eta(RATE).nthread(1);
        // Cuts half-way between two values: those of a histogram lie on a value, and the next row beside it is misjudged.
        let params = params.tree_method(TreeMethod::Exact).build().map_err(failed)?;
        let data = DMatrix::from_dense(self.cells, self.target.len(), self.columns);
        let data = data.and_then(|data| data.with_labels(self.target)).map_err(failed)?;
        train(&params, &data, ROUNDS).map_err(failed)
    }

    /// What trees grown on the other parts say of each row.
    pub(in crate::detect) fn out_of_fold(&self, folds: &[usize]) -> Result<Vec<f64>, NoEstimate> {
        let mut all = vec![f64::NAN; self.target.len()];
        for fold in 0..FOLDS {
            let (mut cells, mut target, mut asked) = (Vec::new(), Vec::new(), Vec::new());
            for ((row, of), value) in self.cells.chunks(self.columns).zip(folds).zip(self.target) {
                if *of == fold {
                    asked.extend_from_slice(row);
                } else {
                    cells.extend_from_slice(row);
                    target.push(*value);
                }
            }
            let model = Lesson { cells: &cells, target: &target, ..*self }.grow()?;
            let said = predict(&model, &asked, self.columns)?;
            let mine = all.iter_mut().zip(folds).filter(|(_, of)| **of == fold);
            mine.zip(said).for_each(|((slot, _), said)| *slot = said);
        }
        Ok(all)
    }
}

/// What trees say of rows.
pub(in crate::detect) fn predict(
    model: &BoostedModel,
    cells: &[f32],
    columns: usize,
) -> Result<Vec<f64>, NoEstimate> {
    let rows = cells.len().checked_div(columns).unwrap_or(0);
    let predicted =
        DMatrix::from_dense(cells, rows, columns).and_then(|d| model.predict(&d, Iterations::Best));
    let predicted = predicted.map_err(|e| NoEstimate::Failed(e.to_string()))?;
    let said: Vec<f64> = predicted.as_slice().iter().map(|p| f64::from(*p)).collect();
    match said.iter().position(|said| !said.is_finite()) {
        Some(row) => Err(NoEstimate::Failed(format!("trees gave no number for row {}", whole(row)))),
        None => Ok(said),
    }
}

/// Which part each of so many rows falls into: all as large as can be, in an order that the seed decides.
pub(in crate::detect) fn folds(rows: usize, rng: &mut StdRng) -> Vec<usize> {
    let mut folds: Vec<usize> = (0..FOLDS).cycle().take(rows).collect();
    folds.shuffle(rng);
    folds
}

pub(in crate::detect) fn seeded(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}
