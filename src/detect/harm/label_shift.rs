use linfa_linalg::eigh::EigValshInto;
use linfa_linalg::qr::QRInto;
use ndarray::{Array2, ArrayView2, Axis};

use crate::detect::NoEstimate;
use crate::units::{count, whole};

/// How the shares of classes moved, as the model's answers tell it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelShift {
    /// By class: its share of the window over its share of the baseline; from 0 without upper bound.
    pub weights: Vec<f64>,
    /// By class: its share of the window; they add up to 1.
    pub shares: Vec<f64>,
    /// Classes whose share came out negative and counts as 0, the others scaled to 1 again. More than chance makes
    /// of a rare class is a sign that more than the mix of classes changed.
    pub clipped: Vec<usize>,
}

/// Black-box shift estimation: the mix of true classes in a window, from the model's answers alone.
///
/// `confusion`: labelled rows of a baseline, `[predicted class, true class]`, two classes at least and rows of each.
/// `predicted`: rows of the window by predicted class. Right where only the mix of classes changed and each class
/// looks as ever. Solves `C w = mu` with the joint shares `C` of the baseline and the shares `mu` of the window.
///
/// # Errors
/// [`NoEstimate::Singular`] when the smallest singular value of the shares of predictions by true class is not above
/// one over the square root of the rows of the rarest class: the model tells classes apart no better than chance
/// would. Other [`NoEstimate`]s for a matrix that is not square, a class without rows, an empty window.
///
/// # Source
/// Lipton, Wang and Smola (2018), arXiv 1802.03916; values: tests/reference/label_shift.py.
pub fn label_shift(confusion: ArrayView2<'_, u64>, predicted: &[u64]) -> Result<LabelShift, NoEstimate> {
    let classes = confusion.ncols();
    if confusion.nrows() != classes || classes < 2 {
        let expected = if classes < 2 { 2 } else { whole(confusion.nrows()) };
        return Err(NoEstimate::ColumnsDiffer { columns: whole(classes), expected });
    }
    if predicted.len() != classes {
        return Err(NoEstimate::LengthsDiffer { found: whole(predicted.len()), rows: whole(classes) });
    }
    let cells = confusion.mapv(count);
    let of_class = cells.sum_axis(Axis(0));
    if let Some(class) = of_class.iter().position(|rows| *rows < 1.0) {
        return Err(NoEstimate::ClassWithoutRows { class: whole(class) });
    }
    let asked: f64 = predicted.iter().map(|rows| count(*rows)).sum();
    if asked < 1.0 {
        return Err(NoEstimate::TooFewRows { rows: 0, expected: 1 });
    }
    // Shares of predictions within a true class: their system has the window's shares of classes as its answer, and
    // a rare class makes it no more singular.
    let within = &cells / &of_class;
    check_apart(&within, of_class.iter().copied())?;
    let mu: Vec<f64> = predicted.iter().map(|rows| count(*rows) / asked).collect();
    let failed = |e: linfa_linalg::LinalgError| NoEstimate::Failed(e.to_string());
    let mu = Array2::from_shape_vec((classes, 1), mu).map_err(|e| NoEstimate::Failed(e.to_string()))?;
    let solved = within.qr_into().and_then(|qr| qr.solve_into(mu)).map_err(failed)?;
    let clipped =
        solved.iter().enumerate().filter(|(_, share)| **share < 0.0).map(|(class, _)| class).collect();
    let positive = |share: f64| if share > 0.0 { share } else { 0.0 };
    let sum: f64 = solved.iter().map(|share| positive(*share)).sum();
    if !sum.is_finite() || sum <= 0.0 {
        return Err(NoEstimate::Failed("the shares of classes do not add up".to_owned()));
    }
    let shares: Vec<f64> = solved.iter().map(|share| positive(*share) / sum).collect();
    let all = of_class.sum();
    let weights = shares.iter().zip(&of_class).map(|(share, rows)| share * all / rows).collect();
    Ok(LabelShift { weights, shares, clipped })
}

/// Checks that the smallest singular value is more than chance makes of so few rows.
fn check_apart(within: &Array2<f64>, of_class: impl Iterator<Item = f64>) -> Result<(), NoEstimate> {
    let rarest = of_class.fold(f64::INFINITY, |least, rows| if rows < least { rows } else { least });
    let mut squares = within.t().dot(within);
    // One more for every eigenvalue, so that none is so near to 0 that the iteration has only rounding to look at.
    squares.diag_mut().iter_mut().for_each(|v| *v += 1.0);
    let values = squares.eigvalsh_into().map_err(|e| NoEstimate::Failed(e.to_string()))?;
    let least = values.iter().fold(f64::INFINITY, |least, v| if *v < least { *v } else { least }) - 1.0;
    let smallest = if least > 0.0 { least.sqrt() } else { 0.0 };
    let chance = 1.0 / rarest.sqrt();
    if smallest > chance { Ok(()) } else { Err(NoEstimate::Singular { smallest, chance }) }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        confusion: Vec<Vec<u64>>,
        predicted: Vec<u64>,
        weights: Vec<f64>,
        shares: Vec<f64>,
        clipped: Vec<usize>,
        /// Weights of the library of that name, which leaves the others as they are where one was negative.
        abstention: Vec<f64>,
    }

    /// The weights of abstention's estimator, to 1e-9 where none is clipped and up to their scale where one is, and the
    /// system of Lipton et al. as numpy solves it, rare classes and clipped ones among them.
    #[test]
    fn agrees_with_abstention_and_numpy() {
        let lines = include_str!("../../../tests/reference/label_shift.jsonl").lines();
        let cases: Vec<Case> =
            lines.filter(|l| !l.starts_with('#')).map(|l| serde_json::from_str(l).unwrap()).collect();
        assert!(cases.iter().any(|case| !case.clipped.is_empty()), "one is clipped");
        for case in cases {
            let classes = case.predicted.len();
            let confusion = Array2::from_shape_vec((classes, classes), case.confusion.concat()).unwrap();
            let ours = label_shift(confusion.view(), &case.predicted).unwrap();
            assert_eq!(ours.clipped, case.clipped, "{}", case.name);
            let sum = |weights: &[f64]| -> f64 { weights.iter().sum() };
            let is_clipped = !case.clipped.is_empty();
            let scale = if is_clipped { sum(&ours.weights) / sum(&case.abstention) } else { 1.0 };
            for (ours, theirs) in ours.weights.iter().zip(&case.abstention) {
                let expected = scale * theirs;
                assert!((ours - expected).abs() < 1e-9 * (1.0 + expected), "{}: {ours}, {theirs}", case.name);
            }
            let pairs = ours.weights.iter().zip(&case.weights).chain(ours.shares.iter().zip(&case.shares));
            for (ours, expected) in pairs {
                assert!(
                    (ours - expected).abs() < 1e-9 * (1.0 + expected),
                    "{}: {ours}, {expected}",
                    case.name
                );
            }
        }
    }

    /// A window of the baseline's own mix has weights of 1, and a mix that is known is found again.
    #[test]
    fn finds_the_mix_again() {
        let confusion = array![[80_u64, 30], [20, 270]];
        let same = label_shift(confusion.view(), &[110, 290]).unwrap();
        assert!(same.weights.iter().all(|w| (w - 1.0).abs() < 1e-12), "{same:?}");
        // Half and half: 0.8 / 2 + 0.1 / 2 are answered with the first class.
        let half = label_shift(confusion.view(), &[450, 550]).unwrap();
        assert!(half.shares.iter().all(|s| (s - 0.5).abs() < 1e-12), "{half:?}");
    }

    /// A model that cannot tell classes apart says nothing of their mix, exactly so or within chance; and what else is
    /// wrong has its name.
    #[test]
    fn what_cannot_be_solved_is_absent_with_a_reason() {
        let refused =
            |cells: Array2<u64>, predicted: &[u64]| label_shift(cells.view(), predicted).unwrap_err();
        for singular in
            [array![[50_u64, 100], [50, 100]], array![[0, 0], [100, 200]], array![[52, 100], [48, 100]]]
        {
            let error = refused(singular, &[10, 10]);
            assert!(matches!(error, NoEstimate::Singular { .. }), "{error}");
        }
        let three = array![[40_u64, 5, 5], [5, 20, 20], [5, 25, 25]];
        assert!(matches!(refused(three, &[1, 1, 1]), NoEstimate::Singular { .. }));
        let sound = || array![[90_u64, 10], [10, 90]];
        assert_eq!(refused(array![[9, 0], [1, 0]], &[1, 1]), NoEstimate::ClassWithoutRows { class: 1 });
        assert_eq!(refused(sound(), &[0, 0]), NoEstimate::TooFewRows { rows: 0, expected: 1 });
        assert_eq!(refused(sound(), &[1]), NoEstimate::LengthsDiffer { found: 1, rows: 2 });
        assert_eq!(refused(array![[1, 2]], &[1, 1]), NoEstimate::ColumnsDiffer { columns: 2, expected: 1 });
        assert_eq!(refused(array![[7]], &[1]), NoEstimate::ColumnsDiffer { columns: 1, expected: 2 });
    }
}
