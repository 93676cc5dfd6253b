use linfa_linalg::eigh::{EigSort, EighInto};
use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::{NoEstimate, check_shape, check_values};
use crate::units::{count, whole};

/// Components are kept until they explain more than this share of the variance, as nannyml does.
const EXPLAINED: f64 = 0.65;

/// Reconstruction of rows from the principal components of a baseline.
///
/// Columns are standardised by mean and standard deviation (of all rows, not of a sample) of the baseline; the fewest
/// components are kept that explain more than 65 % of its variance. A row's error is the Euclidean length of what
/// they do not explain. It grows when columns no longer go together as they did, though each looks as ever.
///
/// A column that never varies in the baseline has no standard deviation: it counts in its own unit, 1 for 1, as
/// scikit-learn has it. Collinear columns, and more columns than rows, are no hindrance: what has no variance of
/// its own is explained or left over. Where two components explain the same variance and one of them is kept, which one
/// is arbitrary.
///
/// # Source
/// nannyml's data reconstruction drift: scikit-learn's `StandardScaler` and `PCA(n_components=0.65)`; values:
/// tests/reference/rows.py.
#[derive(Debug, Clone)]
pub struct Reconstruction {
    means: Array1<f64>,
    scales: Array1<f64>,
    /// A column for each component that is kept.
    components: Array2<f64>,
}

/// How far rows lie from their reconstruction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    /// The mean over rows, in standard deviations of the baseline's columns; from 0 without upper bound.
    pub mean: f64,
    /// The standard deviation over rows; nothing of one row.
    pub deviation: Option<f64>,
    /// The rows.
    pub rows: u64,
}

impl Reconstruction {
    /// Learns from the rows of a baseline, `[rows, columns]`, two rows at least.
    ///
    /// # Errors
    /// [`NoEstimate`] for too few rows, no columns, a value that is not finite, a spread without a square, or
    /// when nothing varies. A row that lacks a value is the caller's to leave out, and to count.
    pub fn fit(baseline: ArrayView2<'_, f64>) -> Result<Self, NoEstimate> {
        check_shape(baseline, baseline.ncols(), 2)?;
        check_values(baseline, f64::is_finite)?;
        let rows = count(whole(baseline.nrows()));
        let means = baseline.sum_axis(Axis(0)) / rows;
        let variances = baseline.var_axis(Axis(0), 0.0);
        if let Some(column) = variances.iter().position(|v| !v.is_finite()) {
            return Err(NoEstimate::TooLarge { column: whole(column) });
        }
        let scales = Array1::from_shape_fn(means.len(), |at| match (means.get(at), variances.get(at)) {
            (Some(mean), Some(variance)) if !is_rounding(*variance, *mean, rows) => variance.sqrt(),
            _ => 1.0,
        });
        let standard = (&baseline - &means) / &scales;
        let mut covariance = standard.t().dot(&standard) / rows;
        let total: f64 = covariance.diag().sum();
        if !total.is_finite() || total <= f64::EPSILON {
            return Err(NoEstimate::NothingVaries);
        }
        // One more for every eigenvalue: the vectors are the same, and none is so near to 0 that the iteration has
        // only rounding to look at.
        covariance.diag_mut().iter_mut().for_each(|v| *v += 1.0);
        let (values, vectors) =
            covariance.eigh_into().map_err(|e| NoEstimate::Failed(e.to_string()))?.sort_eig_desc();
        let mut explained = 0.0;
        let kept = values.iter().take_while(|value| {
            let is_kept = explained <= EXPLAINED * total;
            explained += **value - 1.0;
            is_kept
        });
        let kept = kept.count();
        Ok(Self { means, scales, components: vectors.slice_axis(Axis(1), (..kept).into()).to_owned() })
    }

    /// How many components are kept.
    #[must_use]
    pub fn components(&self) -> u64 {
        whole(self.components.ncols())
    }

    /// The error of rows, `[rows, columns]`: those of the baseline to compare with, or of a window.
    ///
    /// # Errors
    /// [`NoEstimate`] for no rows, other columns, or a value that is not finite.
    pub fn residual(&self, rows: ArrayView2<'_, f64>) -> Result<Residual, NoEstimate> {
        check_shape(rows, self.means.len(), 1)?;
        check_values(rows, f64::is_finite)?;
        let standard = (&rows - &self.means) / &self.scales;
        let left = &standard - &standard.dot(&self.components).dot(&self.components.t());
        let lengths: Vec<f64> = left.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect();
        let n = count(whole(lengths.len()));
        let mean = lengths.iter().sum::<f64>() / n;
        let squares: f64 = lengths.iter().map(|length| (length - mean).powi(2)).sum();
        if !squares.is_finite() {
            return Err(NoEstimate::Failed("the rows lie too far off for their squares".to_owned()));
        }
        let deviation = (n > 1.0).then(|| (squares / (n - 1.0)).sqrt());
        Ok(Residual { mean, deviation, rows: whole(lengths.len()) })
    }
}

/// Whether a variance is no more than the rounding of its mean, as scikit-learn bounds it.
fn is_rounding(variance: f64, mean: f64, rows: f64) -> bool {
    variance <= rows * f64::EPSILON * variance + (rows * mean * f64::EPSILON).powi(2)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        baseline: Vec<Vec<f64>>,
        window: Vec<Vec<f64>>,
        components: Option<u64>,
        /// Mean and deviation of the baseline, and of the window.
        expected: Option<[[f64; 2]; 2]>,
    }

    fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
        Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
    }

    /// scikit-learn's scaler and components to 1e-9: of ordinary columns, collinear and constant ones, more columns
    /// than rows, columns of very different size; and where it has no components we have none.
    #[test]
    fn agrees_with_scikit_learn() {
        let lines = include_str!("../../../../tests/reference/rows.jsonl").lines();
        let cases: Vec<Case> =
            lines.filter(|l| !l.starts_with('#')).map(|l| serde_json::from_str(l).unwrap()).collect();
        assert!(cases.len() >= 5, "the table is there");
        for case in cases {
            let (baseline, window) = (matrix(&case.baseline), matrix(&case.window));
            let fitted = Reconstruction::fit(baseline.view());
            let Some(expected) = case.expected else {
                assert_eq!(fitted.unwrap_err(), NoEstimate::NothingVaries, "{}", case.name);
                continue;
            };
            let fitted = fitted.unwrap();
            assert_eq!(Some(fitted.components()), case.components, "{}", case.name);
            for (rows, [mean, deviation]) in [baseline, window].iter().zip(expected) {
                let ours = fitted.residual(rows.view()).unwrap();
                for (ours, expected) in [(ours.mean, mean), (ours.deviation.unwrap(), deviation)] {
                    assert!(
                        (ours - expected).abs() < 1e-9 * (1.0 + expected),
                        "{}: {ours}, {expected}",
                        case.name
                    );
                }
            }
        }
    }

    /// Many columns that are all made of one or two: the components are found, in time, and explain what there is.
    #[test]
    fn collinear_columns_come_to_an_end() {
        for (rank, components) in [(1_u32, 1), (2, 2)] {
            let cell = |(row, column): (usize, usize)| {
                let (row, column) = (u32::try_from(row).unwrap(), u32::try_from(column).unwrap());
                let of = f64::from((row * (1 + 6 * (column % rank))) % 11);
                of * f64::from(column + 1) * 1e-3
            };
            let rows = Array2::from_shape_fn((40, 120), cell);
            let fitted = Reconstruction::fit(rows.view()).unwrap();
            assert_eq!(fitted.components(), components, "rank {rank}");
            let left = fitted.residual(rows.view()).unwrap().mean;
            assert!(left < 1e-6, "rank {rank}: {left}");
        }
    }

    /// What cannot be measured says why, and is not 0; one row has an error and no deviation.
    #[test]
    fn bad_rows_are_refused_by_name() {
        let fit = |rows: Array2<f64>| Reconstruction::fit(rows.view()).map(|_| ()).unwrap_err();
        assert_eq!(fit(Array2::zeros((1, 2))), NoEstimate::TooFewRows { rows: 1, expected: 2 });
        assert_eq!(fit(Array2::zeros((5, 0))), NoEstimate::ColumnsDiffer { columns: 0, expected: 1 });
        assert_eq!(fit(array![[1e300, 0.0], [-1e300, 1.0]]), NoEstimate::TooLarge { column: 0 });
        let missing = fit(array![[1.0, 0.0], [2.0, f64::NAN]]);
        assert!(matches!(missing, NoEstimate::NotANumber { row: 1, column: 1, .. }), "{missing}");
        let fitted = Reconstruction::fit(array![[1.0, 2.0], [2.0, 1.0], [4.0, 0.5]].view()).unwrap();
        let one = fitted.residual(array![[3.0, 3.0]].view()).unwrap();
        assert!(one.mean > 0.0 && one.deviation.is_none());
        assert!(fitted.residual(Array2::zeros((0, 2)).view()).is_err());
        assert!(fitted.residual(array![[1.0]].view()).is_err());
        assert!(fitted.residual(array![[f64::INFINITY, 1.0]].view()).is_err());
    }
}
