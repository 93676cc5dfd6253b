use ndarray::ArrayView2;

use super::boost::{self, Frame, Lesson};
use super::{NoEstimate, check_shape, check_values};
use crate::detect::roc::{Weighed, auc};
use crate::detect::trees::Task;

/// Rows a side with which the area has a standard error of about 0.06; with fewer it says nothing.
const ROWS_MIN: u64 = 50;

/// How well trees tell rows of a window from rows of the baseline: the area under the curve of a domain classifier.
///
/// `[rows, columns]` each, 50 rows a side at least. About 0.5 where both come from one distribution, 1 where every row
/// can be told; below 0.5 where the window repeats rows of the baseline. Trees are grown on four fifths of the rows
/// and asked about the rest, in turns; both sides are dealt evenly to the five parts in an order that `seed` decides.
/// NaN is a missing value, which tells rows apart as well as any; constant and collinear columns are no hindrance, nor
/// are more columns than rows. Costs five fits, a second or two for ten
/// thousand rows of twenty columns: for a sample, off the hot path.
///
/// # Errors
/// [`NoEstimate`] for too few rows, no or other columns, or an infinite value.
///
/// # Source
/// nannyml's domain classifier (LightGBM, five stratified folds); trees differ, so areas agree in what they mean and
/// not to a digit. Values: tests/reference/domain.py.
pub fn domain_auc(
    baseline: ArrayView2<'_, f64>,
    window: ArrayView2<'_, f64>,
    seed: u64,
) -> Result<f64, NoEstimate> {
    for rows in [baseline.view(), window.view()] {
        check_shape(rows, baseline.ncols(), ROWS_MIN)?;
        check_values(rows, |value| !value.is_infinite())?;
    }
    let frame = Frame::of(baseline);
    let mut cells = frame.cells(baseline);
    cells.extend(frame.cells(window));
    let mut rng = boost::seeded(seed);
    let mut folds = boost::folds(baseline.nrows(), &mut rng);
    folds.extend(boost::folds(window.nrows(), &mut rng));
    let mut target = vec![0.0; baseline.nrows()];
    target.resize(baseline.nrows() + window.nrows(), 1.0);
    let lesson = Lesson { cells: &cells, columns: frame.columns(), target: &target, task: Task::Odds };
    let said = lesson.out_of_fold(&folds)?;
    let weighed =
        |(score, is): (f64, f32)| Weighed { score, positive: f64::from(is), negative: 1.0 - f64::from(is) };
    auc(said.into_iter().zip(target).map(weighed).collect()).ok_or(NoEstimate::NothingVaries)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::RngExt as _;

    use super::*;

    fn uniform(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
        let mut rng = boost::seeded(seed);
        Array2::from_shape_simple_fn((rows, columns), || rng.random::<f64>())
    }

    #[derive(serde::Deserialize)]
    struct Case {
        shift: f64,
        baseline: Vec<[f64; 3]>,
        window: Vec<[f64; 3]>,
        auc: f64,
        best: f64,
    }

    /// Other trees, the same area: nannyml's to 0.06, and that of the best classifier there can be to 0.04, where
    /// nannyml's larger trees are further off with so few rows.
    #[test]
    fn agrees_with_nannyml() {
        let matrix = |rows: &[[f64; 3]]| Array2::from_shape_vec((rows.len(), 3), rows.concat()).unwrap();
        let lines = include_str!("../../../../tests/reference/domain.jsonl").lines();
        let cases: Vec<Case> =
            lines.filter(|l| !l.starts_with('#')).map(|l| serde_json::from_str(l).unwrap()).collect();
        assert!(cases.len() >= 3, "the table is there");
        for case in cases {
            let ours = domain_auc(matrix(&case.baseline).view(), matrix(&case.window).view(), 7).unwrap();
            for (expected, tolerance) in [(case.auc, 0.06), (case.best, 0.04)] {
                assert!((ours - expected).abs() < tolerance, "{}: {ours}, expected {expected}", case.shift);
            }
        }
    }

    /// One distribution is about 0.5, another is 1.0, and columns that only go together otherwise are told as well,
    /// where each alone is as ever; the same seed says the same.
    #[test]
    fn tells_what_differs_and_nothing_else() {
        let baseline = uniform(600, 3, 1);
        let same = domain_auc(baseline.view(), uniform(400, 3, 2).view(), 7).unwrap();
        assert!((same - 0.5).abs() < 0.06, "{same}");
        assert_eq!(domain_auc(baseline.view(), uniform(400, 3, 2).view(), 7), Ok(same));
        let mut apart = uniform(400, 3, 2);
        apart.column_mut(1).mapv_inplace(|x| x + 2.0);
        assert_eq!(domain_auc(baseline.view(), apart.view(), 7), Ok(1.0));
        let (mut equal, mut mirrored) = (uniform(600, 2, 3), uniform(400, 2, 4));
        for row in equal.rows_mut() {
            let [first, second] = <&mut [f64; 2]>::try_from(row.into_slice().unwrap()).unwrap();
            *second = *first;
        }
        for row in mirrored.rows_mut() {
            let [first, second] = <&mut [f64; 2]>::try_from(row.into_slice().unwrap()).unwrap();
            *second = 1.0 - *first;
        }
        assert!(domain_auc(equal.view(), mirrored.view(), 7).unwrap() > 0.95);
    }

    /// Missing values tell rows apart; large numbers that differ little do; constant columns tell nothing; and
    /// rows that are there twice are below chance, not above.
    #[test]
    fn odd_columns_mean_what_they_say() {
        let baseline = uniform(200, 2, 1);
        let mut lost = uniform(200, 2, 2);
        lost.column_mut(0).fill(f64::NAN);
        let lost = domain_auc(baseline.view(), lost.view(), 7).unwrap();
        assert!(lost > 0.99, "{lost}");
        let clock = |from: f64| uniform(100, 1, 5).mapv(|x| from + x);
        assert_eq!(domain_auc(clock(1.7e12).view(), clock(1.7e12 + 2.0).view(), 7), Ok(1.0));
        let constant = Array2::from_elem((60, 3), 4.0);
        assert_eq!(domain_auc(constant.view(), constant.view(), 7), Ok(0.5));
        assert!(domain_auc(baseline.view(), baseline.view(), 7).unwrap() < 0.5);
        // More columns than rows: an area of so few rows has a standard error of 0.053.
        let wide = domain_auc(uniform(60, 90, 1).view(), uniform(60, 90, 2).view(), 7).unwrap();
        assert!((wide - 0.5).abs() < 0.15, "{wide}");
    }

    /// What cannot be judged says why.
    #[test]
    fn bad_rows_are_refused_by_name() {
        let baseline = uniform(60, 2, 1);
        let of = |window: Array2<f64>| domain_auc(baseline.view(), window.view(), 7).unwrap_err();
        assert_eq!(of(uniform(49, 2, 2)), NoEstimate::TooFewRows { rows: 49, expected: 50 });
        assert_eq!(of(uniform(60, 3, 2)), NoEstimate::ColumnsDiffer { columns: 3, expected: 2 });
        let infinite = of(uniform(60, 2, 2).mapv(|x| 1.0 / (x - x)));
        assert!(matches!(infinite, NoEstimate::NotANumber { row: 0, column: 0, .. }), "{infinite}");
        assert!(domain_auc(Array2::zeros((60, 0)).view(), Array2::zeros((60, 0)).view(), 7).is_err());
    }
}
