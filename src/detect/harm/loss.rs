use ndarray::{Array1, ArrayView2};

use crate::detect::NoEstimate;
use crate::detect::effect::rows::boost::{self, Frame, Lesson};
use crate::detect::effect::rows::{check_shape, check_values};
use crate::detect::trees::{Task, Trees, cell};
use crate::units::{count, whole};

/// Labelled rows that are needed to learn a loss.
const ROWS_MIN: u64 = 100;

/// Direct estimation of a model's loss: trees that learnt from a baseline which rows it does badly on.
///
/// Any loss of a row that is not negative, absolute or squared error or the logarithmic loss: the estimate is of its
/// mean. Give the model's answer as a column beside the features. Trees do not go beyond what they saw: rows further
/// off than any of the baseline count as the furthest ones.
///
/// # Source
/// nannyml's DLE (LightGBM); values: tests/reference/loss.py.
#[derive(Debug)]
pub struct DirectLoss {
    frame: Frame,
    trees: Trees,
    /// The mean loss of the baseline, which losses are measured in so that 32 bits hold them.
    unit: f64,
    foreseen: f64,
}

impl DirectLoss {
    /// Learns from `rows`, `[rows, columns]`, and the loss of each, 100 rows at least; `seed` deals them to the
    /// parts that [`foreseen`](Self::foreseen) is measured on.
    ///
    /// NaN is a missing value; constant and collinear columns are no hindrance, nor are more columns than rows.
    ///
    /// # Errors
    /// [`NoEstimate`] for too few rows, no columns, an infinite value, a loss that is negative or not finite, and
    /// for losses that are all the same: they would be foretold of any window, however bad.
    pub fn fit(rows: ArrayView2<'_, f64>, losses: &[f64], seed: u64) -> Result<Self, NoEstimate> {
        check_shape(rows, rows.ncols(), ROWS_MIN)?;
        check_values(rows, |value| !value.is_infinite())?;
        let n = whole(rows.nrows());
        if losses.len() != rows.nrows() {
            return Err(NoEstimate::LengthsDiffer { found: whole(losses.len()), rows: n });
        }
        if let Some((row, loss)) =
            losses.iter().enumerate().find(|(_, loss)| !(0.0..f64::INFINITY).contains(*loss))
        {
            return Err(NoEstimate::NotALoss { row: whole(row), loss: *loss });
        }
        let unit = losses.iter().sum::<f64>() / count(n);
        if unit.is_infinite() {
            return Err(NoEstimate::Failed("losses are too large for their mean".to_owned()));
        }
        let target: Vec<f32> = losses.iter().map(|loss| cell(loss / unit, 0.0)).collect();
        // Of one value as the trees see it: a loss of 0 throughout is no number of units either.
        let first = target.first().copied().unwrap_or(0.0);
        if !target.iter().any(|one| one.total_cmp(&first).is_ne()) {
            return Err(NoEstimate::TargetNeverVaries { value: unit });
        }
        if !unit.is_normal() {
            return Err(NoEstimate::Failed("losses are too small for their mean".to_owned()));
        }
        let frame = Frame::of(rows);
        let cells = frame.cells(rows);
        let folds = boost::folds(losses.len(), &mut boost::seeded(seed));
        let lesson = Lesson { cells: &cells, columns: frame.columns(), target: &target, task: Task::Number };
        let said = lesson.out_of_fold(&folds)?;
        let trees = lesson.grow()?;
        Ok(Self { foreseen: foreseen(&said, &target), frame, trees, unit })
    }

    /// The share of the variance of the baseline's losses that trees foresee of rows they were not grown on, 1 at most.
    /// Near 0, or below it, the estimate is the baseline's mean loss whatever comes: it says nothing then.
    #[must_use]
    pub const fn foreseen(&self) -> f64 {
        self.foreseen
    }

    /// The expected mean loss over rows of a window; a loss below 0 that trees foretell counts as 0.
    ///
    /// # Errors
    /// [`NoEstimate`] for no rows, other columns or an infinite value.
    pub fn estimate(&self, rows: ArrayView2<'_, f64>) -> Result<f64, NoEstimate> {
        check_shape(rows, self.frame.columns(), 1)?;
        check_values(rows, |value| !value.is_infinite())?;
        let mut said = Vec::new();
        self.trees.of(&self.frame.cells(rows), self.frame.columns(), &mut said).map_err(NoEstimate::from)?;
        let sum: f64 = said.into_iter().map(f64::from).filter(|loss| *loss > 0.0).sum();
        Ok(self.unit * sum / count(whole(rows.nrows())))
    }
}

/// One less the squares that are left over those around the mean.
fn foreseen(said: &[f64], target: &[f32]) -> f64 {
    let target: Array1<f64> = target.iter().map(|t| f64::from(*t)).collect();
    let left: f64 = said.iter().zip(&target).map(|(said, t)| (said - t).powi(2)).sum();
    1.0 - left / (count(whole(target.len())) * target.var(0.0))
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::RngExt as _;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        rows: Vec<[f64; 3]>,
        losses: Vec<f64>,
        window: Vec<[f64; 3]>,
        nannyml: f64,
        nannyml_baseline: f64,
        realized: f64,
    }

    fn matrix(rows: &[[f64; 3]]) -> Array2<f64> {
        Array2::from_shape_vec((rows.len(), 3), rows.concat()).unwrap()
    }

    /// Other trees, the same estimate: nannyml's to 2 %, of a window with twice the loss of the baseline, which is what
    /// it turned out to be to 5 %.
    #[test]
    fn agrees_with_nannyml() {
        let line = include_str!("../../../tests/reference/loss.jsonl").lines().find(|l| !l.starts_with('#'));
        let case: Case = serde_json::from_str(line.unwrap()).unwrap();
        let fitted = DirectLoss::fit(matrix(&case.rows).view(), &case.losses, 3).unwrap();
        for (rows, expected, tolerance) in [
            (&case.window, case.nannyml, 0.02),
            (&case.rows, case.nannyml_baseline, 0.02),
            (&case.window, case.realized, 0.05),
        ] {
            let ours = fitted.estimate(matrix(rows).view()).unwrap();
            assert!((ours / expected - 1.0).abs() < tolerance, "{ours}, expected {expected}");
        }
        assert!(
            case.nannyml > 1.5 * case.nannyml_baseline && fitted.foreseen() > 0.1,
            "{}",
            fitted.foreseen()
        );
    }

    fn uniform(rows: usize, columns: usize) -> Array2<f64> {
        let mut rng = boost::seeded(1);
        Array2::from_shape_simple_fn((rows, columns), || rng.random::<f64>())
    }

    /// A loss that no column tells of is not foreseen, and says so; losses of any size fit.
    #[test]
    fn says_what_it_cannot_foresee() {
        let rows = uniform(300, 2);
        let mut rng = boost::seeded(2);
        let chance: Vec<f64> = rows.rows().into_iter().map(|_| rng.random::<f64>()).collect();
        assert!(DirectLoss::fit(rows.view(), &chance, 3).unwrap().foreseen() < 0.1);
        for size in [1.0, 1e-200, 1e200] {
            let told: Vec<f64> = rows.column(0).iter().map(|x| x * size).collect();
            let fitted = DirectLoss::fit(rows.view(), &told, 3).unwrap();
            let window = Array2::from_elem((10, 2), 0.75);
            assert!(fitted.foreseen() > 0.9, "{size}: {}", fitted.foreseen());
            assert!((fitted.estimate(window.view()).unwrap() / size - 0.75).abs() < 0.05);
        }
    }

    /// Collinear, constant and missing columns, and more columns than rows, are no hindrance.
    #[test]
    fn odd_columns_are_no_hindrance() {
        let mut rows = uniform(120, 150);
        let losses: Vec<f64> = rows.column(0).to_vec();
        let first = rows.column(0).to_owned();
        rows.column_mut(1).assign(&(first * 3.0));
        rows.column_mut(2).fill(7.0);
        rows.column_mut(3).fill(f64::NAN);
        let fitted = DirectLoss::fit(rows.view(), &losses, 3).unwrap();
        let mean = losses.iter().sum::<f64>() / 120.0;
        assert!((fitted.estimate(rows.view()).unwrap() / mean - 1.0).abs() < 0.02);
    }

    /// What cannot be estimated says why: a loss that never varies would be foretold of any window.
    #[test]
    fn bad_rows_are_refused_by_name() {
        let rows = uniform(120, 2);
        let fit = |losses: &[f64]| DirectLoss::fit(rows.view(), losses, 3).map(|_| ()).unwrap_err();
        assert_eq!(fit(&[0.0; 120]), NoEstimate::TargetNeverVaries { value: 0.0 });
        assert_eq!(fit(&[0.0; 119]), NoEstimate::LengthsDiffer { found: 119, rows: 120 });
        let mut losses = vec![1.0; 120];
        for wrong in [-1.0, f64::INFINITY, f64::NAN] {
            losses[5] = wrong;
            assert!(matches!(fit(&losses), NoEstimate::NotALoss { row: 5, .. }), "{wrong}");
        }
        losses[5] = 1.0 + 1e-12;
        assert_eq!(fit(&losses), NoEstimate::TargetNeverVaries { value: losses.iter().sum::<f64>() / 120.0 });
        losses.fill(1e307);
        assert!(matches!(fit(&losses), NoEstimate::Failed(_)));
        losses.fill(1.0);
        losses[5] = 2.0;
        let fitted = DirectLoss::fit(rows.view(), &losses, 3).unwrap();
        assert!(fitted.estimate(Array2::zeros((0, 2)).view()).is_err());
        assert!(fitted.estimate(Array2::zeros((3, 1)).view()).is_err());
        let few = DirectLoss::fit(uniform(99, 2).view(), &[1.0; 99], 3).map(|_| ()).unwrap_err();
        assert_eq!(few, NoEstimate::TooFewRows { rows: 99, expected: 100 });
    }
}
