use super::isotonic::Isotonic;
use crate::detect::NoEstimate;
use crate::detect::roc::{Weighed, auc};
use crate::units::{count, whole};

/// Labelled rows that a calibration needs.
const ROWS_MIN: u64 = 50;

/// Confidence-based performance estimation of a binary classifier.
///
/// Scores are calibrated on labelled rows of a baseline; of a window's rows, a calibrated score is the chance that
/// the row is positive, and the sum of chances is the expected confusion matrix. Right as long as calibrated scores
/// stay so: where the same features come in another mix, not where they mean something else.
///
/// Scores are always calibrated, where nannyml leaves them when that does not lower the calibration error.
///
/// # Source
/// nannyml's CBPE with isotonic calibration; values: tests/reference/cbpe.py.
#[derive(Debug, Clone)]
pub struct Cbpe {
    calibration: Isotonic,
}

/// What the model said of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredRow {
    /// The model's score of the positive class, 0 to 1.
    pub score: f64,
    /// Whether it answered positive.
    pub predicted: bool,
}

/// Expected performance over a window. A ratio without a denominator is absent, with the reason, and not 0.
#[derive(Debug, Clone, PartialEq)]
pub struct EstimatedPerformance {
    /// The rows of the window.
    pub rows: u64,
    /// Those with a score below or above all of the baseline's, which count as its lowest or highest one.
    pub beyond: u64,
    /// Expected rows that are positive and were answered so.
    pub true_positives: f64,
    /// Expected rows that are negative and were answered positive.
    pub false_positives: f64,
    /// Expected rows that are positive and were answered negative.
    pub false_negatives: f64,
    /// Expected rows that are negative and were answered so.
    pub true_negatives: f64,
    /// Expected share of right answers.
    pub accuracy: f64,
    /// Expected share of the positive answers that is right.
    pub precision: Result<f64, NoEstimate>,
    /// Expected share of the positives that was found.
    pub recall: Result<f64, NoEstimate>,
    /// Expected harmonic mean of precision and recall.
    pub f1: Result<f64, NoEstimate>,
    /// Expected chance that a positive has a higher score than a negative, equal scores counting half.
    pub roc_auc: Result<f64, NoEstimate>,
}

impl Cbpe {
    /// Calibrates on scores (0 to 1) with their labels, 50 rows at least.
    ///
    /// # Errors
    /// [`NoEstimate`] for too few rows, as many labels as scores missing, a score that is no probability, or labels
    /// that are all the same.
    pub fn fit(scores: &[f64], labels: &[bool]) -> Result<Self, NoEstimate> {
        let rows = whole(scores.len());
        if labels.len() != scores.len() {
            return Err(NoEstimate::LengthsDiffer { found: whole(labels.len()), rows });
        }
        if rows < ROWS_MIN {
            return Err(NoEstimate::TooFewRows { rows, expected: ROWS_MIN });
        }
        check_scores(scores.iter().copied())?;
        let positives = labels.iter().filter(|label| **label).count();
        if positives == 0 || positives == labels.len() {
            return Err(NoEstimate::TargetNeverVaries { value: if positives == 0 { 0.0 } else { 1.0 } });
        }
        let rows = scores.iter().copied().zip(labels.iter().copied()).collect();
        Ok(Self { calibration: Isotonic::fit(rows) })
    }

    /// The expected performance over rows of a window.
    ///
    /// # Errors
    /// [`NoEstimate`] for no rows, or a score that is no probability.
    pub fn estimate(&self, window: &[ScoredRow]) -> Result<EstimatedPerformance, NoEstimate> {
        if window.is_empty() {
            return Err(NoEstimate::TooFewRows { rows: 0, expected: 1 });
        }
        check_scores(window.iter().map(|row| row.score))?;
        let unfitted = || NoEstimate::TooFewRows { rows: 0, expected: ROWS_MIN };
        let (low, high) = self.calibration.range().ok_or_else(unfitted)?;
        let chance = |row: &ScoredRow| self.calibration.at(row.score).ok_or_else(unfitted);
        let chances: Vec<f64> = window.iter().map(chance).collect::<Result<_, _>>()?;
        let beyond = window.iter().filter(|row| row.score < low || row.score > high).count();
        Ok(EstimatedPerformance { beyond: whole(beyond), ..EstimatedPerformance::of(window, &chances) })
    }
}

/// What the performance turned out to be over rows with a label each: what an estimate is held against.
///
/// Its counts are whole ones, and no score of it is beyond anything.
///
/// # Errors
/// [`NoEstimate`] for no rows, as many labels as rows missing, or a score that is no probability.
pub fn realised_performance(rows: &[ScoredRow], labels: &[bool]) -> Result<EstimatedPerformance, NoEstimate> {
    if labels.len() != rows.len() {
        return Err(NoEstimate::LengthsDiffer { found: whole(labels.len()), rows: whole(rows.len()) });
    }
    if rows.is_empty() {
        return Err(NoEstimate::TooFewRows { rows: 0, expected: 1 });
    }
    check_scores(rows.iter().map(|row| row.score))?;
    let chances: Vec<f64> = labels.iter().map(|label| if *label { 1.0 } else { 0.0 }).collect();
    Ok(EstimatedPerformance::of(rows, &chances))
}

impl EstimatedPerformance {
    /// That of rows, one at least, each with the chance that it is positive.
    fn of(window: &[ScoredRow], chances: &[f64]) -> Self {
        let (mut tp, mut fp, mut fneg, mut tn) = (0.0, 0.0, 0.0, 0.0);
        let mut weighed = Vec::with_capacity(window.len());
        for (row, positive) in window.iter().zip(chances) {
            let negative = 1.0 - positive;
            let (of_positive, of_negative) =
                if row.predicted { (&mut tp, &mut fp) } else { (&mut fneg, &mut tn) };
            *of_positive += positive;
            *of_negative += negative;
            weighed.push(Weighed { score: row.score, positive: *positive, negative });
        }
        let ratio = |part: f64, all: f64, of: &'static str| {
            if all > 0.0 { Ok(part / all) } else { Err(NoEstimate::NoneOf(of)) }
        };
        Self {
            rows: whole(window.len()),
            beyond: 0,
            true_positives: tp,
            false_positives: fp,
            false_negatives: fneg,
            true_negatives: tn,
            accuracy: (tp + tn) / count(whole(window.len())),
            precision: ratio(tp, tp + fp, "answered positive"),
            recall: ratio(tp, tp + fneg, "expected to be positive"),
            f1: ratio(tp, tp + (fp + fneg) / 2.0, "answered positive or expected to be"),
            roc_auc: auc(weighed).ok_or(NoEstimate::NoneOf("expected of the other class")),
        }
    }
}

fn check_scores(scores: impl Iterator<Item = f64>) -> Result<(), NoEstimate> {
    match scores.enumerate().find(|(_, score)| !(0.0..=1.0).contains(score)) {
        Some((row, score)) => Err(NoEstimate::NotAProbability { row: whole(row), score }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        scores: Vec<f64>,
        labels: Vec<u8>,
        window: Vec<f64>,
        calibrated: Vec<f64>,
        /// tp, fp, fn, tn, accuracy, precision, recall, f1.
        nannyml: [f64; 8],
        roc_auc: f64,
        nannyml_roc_auc: Option<f64>,
    }

    /// nannyml's confusion matrix and ratios to 1e-9, scikit-learn's calibration and area to 1e-9, and nannyml's
    /// area, which is of sums rounded to five places, to 1e-4, where no scores are equal.
    #[test]
    fn agrees_with_nannyml() {
        let lines = include_str!("../../../tests/reference/cbpe.jsonl").lines();
        let cases: Vec<Case> =
            lines.filter(|l| !l.starts_with('#')).map(|l| serde_json::from_str(l).unwrap()).collect();
        assert!(cases.len() >= 3, "the table is there");
        for case in cases {
            let labels: Vec<bool> = case.labels.iter().map(|l| *l == 1).collect();
            let cbpe = Cbpe::fit(&case.scores, &labels).unwrap();
            for (score, expected) in case.window.iter().zip(&case.calibrated) {
                let ours = cbpe.calibration.at(*score).unwrap();
                assert!(
                    (ours - expected).abs() < 1e-9,
                    "{}: {score} is {ours}, expected {expected}",
                    case.name
                );
            }
            let window: Vec<ScoredRow> = case
                .window
                .iter()
                .map(|score| ScoredRow { score: *score, predicted: *score >= 0.5 })
                .collect();
            let of = cbpe.estimate(&window).unwrap();
            let ratios = [of.accuracy, of.precision.unwrap(), of.recall.unwrap(), of.f1.unwrap()];
            let cells = [of.true_positives, of.false_positives, of.false_negatives, of.true_negatives];
            for (ours, expected) in cells.into_iter().chain(ratios).zip(case.nannyml) {
                assert!(
                    (ours - expected).abs() < 1e-9 * (1.0 + expected),
                    "{}: {ours}, {expected}",
                    case.name
                );
            }
            let area = of.roc_auc.unwrap();
            assert!((area - case.roc_auc).abs() < 1e-9, "{}: {area}, expected {}", case.name, case.roc_auc);
            if let Some(expected) = case.nannyml_roc_auc {
                assert!((area - expected).abs() < 1e-4, "{}: {area}, expected {expected}", case.name);
            }
        }
    }

    /// A hundred rows whose score is right: positive above a half.
    fn fitted() -> Cbpe {
        let scores: Vec<f64> = (0..100).map(|i| 0.005 + f64::from(i) / 100.0).collect();
        let labels: Vec<bool> = scores.iter().map(|s| *s > 0.5).collect();
        Cbpe::fit(&scores, &labels).unwrap()
    }

    /// A ratio without a denominator is absent and says why; what is known beside it is given.
    #[test]
    fn a_ratio_of_nothing_is_not_zero() {
        let all = [ScoredRow { score: 0.1, predicted: false }; 20];
        let of = fitted().estimate(&all).unwrap();
        assert_eq!((of.rows, of.beyond), (20, 0));
        assert!((of.accuracy - 1.0).abs() < 1e-12);
        assert_eq!(of.precision, Err(NoEstimate::NoneOf("answered positive")));
        assert_eq!(of.recall, Err(NoEstimate::NoneOf("expected to be positive")));
        assert!(of.f1.is_err() && of.roc_auc.is_err());
        let beyond = fitted().estimate(&[ScoredRow { score: 1.0, predicted: true }]).unwrap();
        assert_eq!((beyond.beyond, beyond.precision), (1, Ok(1.0)));
    }

    /// Of rows with labels it is what was counted: two of three positives found, one answer of three wrong.
    #[test]
    fn what_is_realised_is_counted() {
        let row = |score: f64| ScoredRow { score, predicted: score > 0.5 };
        let rows = [row(0.9), row(0.8), row(0.7), row(0.4), row(0.1)];
        let of = realised_performance(&rows, &[true, true, false, true, false]).unwrap();
        let cells = [of.true_positives, of.false_positives, of.false_negatives, of.true_negatives];
        assert_eq!((cells, of.rows, of.beyond), ([2.0, 1.0, 1.0, 1.0], 5, 0));
        for (found, expected) in [
            (Ok(of.accuracy), 0.6),
            (of.precision, 2.0 / 3.0),
            (of.recall, 2.0 / 3.0),
            (of.roc_auc, 5.0 / 6.0),
        ] {
            assert!((found.clone().unwrap() - expected).abs() < 1e-12, "{found:?}, expected {expected}");
        }
        assert!(realised_performance(&rows, &[true]).is_err() && realised_performance(&[], &[]).is_err());
        assert!(realised_performance(&[row(1.5)], &[true]).is_err());
        let none = realised_performance(&rows[..2], &[true, true]).unwrap();
        assert!(none.roc_auc.is_err(), "one class has no curve");
    }

    /// What cannot be estimated says why: a target that never varies, above all.
    #[test]
    fn bad_rows_are_refused_by_name() {
        let scores = vec![0.3; 60];
        let fit = |scores: &[f64], labels: &[bool]| Cbpe::fit(scores, labels).map(|_| ()).unwrap_err();
        assert_eq!(fit(&scores, &[false; 60]), NoEstimate::TargetNeverVaries { value: 0.0 });
        assert_eq!(fit(&scores, &[true; 60]), NoEstimate::TargetNeverVaries { value: 1.0 });
        assert_eq!(fit(&scores, &[true; 59]), NoEstimate::LengthsDiffer { found: 59, rows: 60 });
        assert_eq!(fit(&[0.5; 9], &[true; 9]), NoEstimate::TooFewRows { rows: 9, expected: 50 });
        let mut wrong = scores;
        for (score, row) in [(1.5, 7), (f64::NAN, 3)] {
            wrong[row] = score;
            let error = fit(&wrong, &[true; 60]);
            assert!(
                matches!(error, NoEstimate::NotAProbability { row: r, .. } if r == whole(row)),
                "{error}"
            );
        }
        assert!(fitted().estimate(&[]).is_err());
        assert!(fitted().estimate(&[ScoredRow { score: -0.1, predicted: false }]).is_err());
    }
}
