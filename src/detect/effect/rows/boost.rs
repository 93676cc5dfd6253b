//! Boosted trees over rows: what the domain classifier and the estimate of the loss have in common.

use ndarray::ArrayView2;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::NoEstimate;
use crate::detect::trees::{self, Cuts, Growth, Task, Trees, cell, origin};

/// Parts that rows are cut into, each judged by trees that were grown on the others.
const FOLDS: usize = 5;

/// What each column's numbers are counted from, as the trees read them.
#[derive(Debug, Clone)]
pub(in crate::detect) struct Frame(Vec<f64>);

impl Frame {
    pub(in crate::detect) fn of(baseline: ArrayView2<'_, f64>) -> Self {
        let of_column = |column: ndarray::ArrayView1<'_, f64>| {
            let mut sorted: Vec<f64> = column.iter().copied().filter(|v| v.is_finite()).collect();
            sorted.sort_by(f64::total_cmp);
            origin(&sorted)
        };
        Self(baseline.columns().into_iter().map(of_column).collect())
    }

    pub(in crate::detect) const fn columns(&self) -> usize {
        self.0.len()
    }

    /// Rows one after the other. NaN stays NaN: to the trees it is what is missing.
    pub(in crate::detect) fn cells(&self, rows: ArrayView2<'_, f64>) -> Vec<f32> {
        let row = |row: ndarray::ArrayView1<'_, f64>| -> Vec<f32> {
            row.iter().zip(&self.0).map(|(value, origin)| cell(*value, *origin)).collect()
        };
        rows.rows().into_iter().flat_map(row).collect()
    }
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

impl From<trees::Error> for NoEstimate {
    fn from(e: trees::Error) -> Self {
        Self::Failed(e.to_string())
    }
}

impl Lesson<'_> {
    /// Grows trees; one thread, the same model for the same rows.
    pub(in crate::detect) fn grow(&self) -> Result<Trees, NoEstimate> {
        let growth = Growth { rounds: 60, depth: 4, rate: 0.15, task: self.task, cuts: Cuts::Exact };
        Ok(Trees::fit(self.cells, self.columns, self.target, growth)?)
    }

    /// What trees grown on the other parts say of each row.
    pub(in crate::detect) fn out_of_fold(&self, folds: &[usize]) -> Result<Vec<f64>, NoEstimate> {
        let (mut all, mut said) = (vec![f64::NAN; self.target.len()], Vec::new());
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
            let trees = Lesson { cells: &cells, target: &target, ..*self }.grow()?;
            trees.of(&asked, self.columns, &mut said)?;
            let mine = all.iter_mut().zip(folds).filter(|(_, of)| **of == fold);
            mine.zip(&said).for_each(|((slot, _), said)| *slot = f64::from(*said));
        }
        Ok(all)
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
