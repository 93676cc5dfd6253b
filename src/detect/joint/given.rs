//! Each feature given the few others that tell most of it: a regression on normal scores.

use linfa_linalg::LinalgError;
use linfa_linalg::cholesky::{InverseCInplace, SolveCInplace};
use ndarray::{Array1, Array2, aview1};
use serde::{Deserialize, Serialize};

use crate::units::{count, single, whole};

/// Other features that a feature is told by, at the most.
const NEIGHBOURS_MAX: usize = 8;
/// Features that are told by others, at the most.
const GIVEN_MAX: usize = 64;
/// Added to the variance of each score, as a share of it: features that are one and the same are no reason to fail.
const RIDGE: f64 = 0.01;
/// What the others must tell of a feature's variance, on rows that were not fitted.
const TOLD_MIN: f64 = 0.1;

/// One feature as the others tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Given {
    /// The feature, by its place among the inputs.
    pub(super) input: usize,
    /// The others with their weights.
    neighbours: Vec<(usize, f64)>,
    intercept: f64,
}

impl Given {
    /// Fits one regression for each feature that the others tell something of, to the rows for which `fits` holds.
    /// `scores` has a feature each. Gives what is left of each in the other rows.
    pub(super) fn fit(
        scores: &[Vec<f32>],
        wanted: impl Fn(usize) -> bool,
        fits: impl Fn(usize) -> bool,
    ) -> Result<Vec<(Self, Vec<f64>)>, LinalgError> {
        let rows = scores.first().map_or(0, Vec::len);
        let Some(moments) = Moments::of(scores, (0..rows).filter(|row| fits(*row))) else {
            return Ok(Vec::new());
        };
        let precision = moments.covariance.clone().invc_inplace()?;
        let others: Vec<usize> = (0..rows).filter(|row| !fits(*row)).collect();
        let mut found: Vec<(f64, Self, Vec<f64>)> = Vec::new();
        for input in (0..scores.len()).filter(|input| wanted(*input)) {
            let Some(given) = moments.regress(input, &nearest(&precision, input))? else { continue };
            let mut left = vec![0.0_f32; rows];
            given.of(scores, &mut left);
            let left: Vec<f64> =
                others.iter().filter_map(|row| left.get(*row)).map(|v| f64::from(*v)).collect();
            let own = others.iter().filter_map(|row| scores.get(input)?.get(*row));
            let own: Array1<f64> = own.map(|v| f64::from(*v)).collect();
            let told = 1.0 - aview1(&left).var(0.0) / own.var(0.0);
            if told >= TOLD_MIN {
                found.push((told, given, left));
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.truncate(GIVEN_MAX);
        found.sort_by_key(|(_, given, _)| given.input);
        Ok(found.into_iter().map(|(_, given, left)| (given, left)).collect())
    }

    /// The score of the feature less what the others say, row by row.
    pub(super) fn of(&self, scores: &[Vec<f32>], out: &mut [f32]) {
        let own = scores.get(self.input).map_or(&[][..], Vec::as_slice);
        out.iter_mut().zip(own).for_each(|(left, own)| *left = *own - single(self.intercept));
        for (neighbour, weight) in &self.neighbours {
            let weight = single(*weight);
            let told = scores.get(*neighbour).map_or(&[][..], Vec::as_slice);
            out.iter_mut().zip(told).for_each(|(left, score)| *left = weight.mul_add(-*score, *left));
        }
    }

    pub(super) fn inputs(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::once(self.input).chain(self.neighbours.iter().map(|(n, _)| *n))
    }

    pub(super) fn is_sound(&self, inputs: usize) -> bool {
        self.inputs().all(|input| input < inputs)
            && single(self.intercept).is_finite()
            && self.neighbours.iter().all(|(_, w)| single(*w).is_finite())
    }
}

/// Means and covariances of scores.
struct Moments {
    means: Vec<f64>,
    covariance: Array2<f64>,
}

impl Moments {
    fn of(scores: &[Vec<f32>], rows: impl Iterator<Item = usize>) -> Option<Self> {
        let d = scores.len();
        let (mut n, mut sums, mut products) = (0.0, vec![0.0; d], Array2::<f64>::zeros((d, d)));
        let mut row_scores = vec![0.0; d];
        for row in rows {
            for (place, column) in row_scores.iter_mut().zip(scores) {
                *place = column.get(row).copied().map_or(0.0, f64::from);
            }
            n += 1.0;
            sums.iter_mut().zip(&row_scores).for_each(|(sum, v)| *sum += v);
            for (a, mut line) in row_scores.iter().zip(products.rows_mut()) {
                line.iter_mut().zip(&row_scores).for_each(|(sum, b)| *sum += a * b);
            }
        }
        if d < 2 || n < count(whole(super::ROWS_MIN)) / 2.0 {
            return None;
        }
        let means: Vec<f64> = sums.into_iter().map(|sum| sum / n).collect();
        let mut covariance = products / n;
        for (a, mut line) in means.iter().zip(covariance.rows_mut()) {
            line.iter_mut().zip(&means).for_each(|(value, b)| *value -= a * b);
        }
        for value in covariance.diag_mut() {
            // A feature without variance is nobody's neighbour, and no reason to fail.
            *value += RIDGE * if *value > RIDGE { *value } else { 1.0 };
        }
        Some(Self { means, covariance })
    }

    /// The regression of one feature on some others.
    fn regress(&self, input: usize, neighbours: &[usize]) -> Result<Option<Given>, LinalgError> {
        if neighbours.is_empty() {
            return Ok(None);
        }
        let k = neighbours.len();
        let at = |a: usize, b: usize| self.covariance.get((a, b)).copied().unwrap_or(0.0);
        let mut among = Array2::<f64>::zeros((k, k));
        let mut with = Array2::<f64>::zeros((k, 1));
        for (i, a) in neighbours.iter().enumerate() {
            if let Some(value) = with.get_mut((i, 0)) {
                *value = at(*a, input);
            }
            for (j, b) in neighbours.iter().enumerate() {
                if let Some(value) = among.get_mut((i, j)) {
                    *value = at(*a, *b);
                }
            }
        }
        among.solvec_inplace(&mut with)?;
        let weights: Array1<f64> = with.column(0).to_owned();
        let mean = |input: usize| self.means.get(input).copied().unwrap_or(0.0);
        let told: f64 = neighbours.iter().zip(&weights).map(|(n, w)| w * mean(*n)).sum();
        let neighbours: Vec<(usize, f64)> = neighbours.iter().copied().zip(weights).collect();
        let given = Given { input, neighbours, intercept: mean(input) - told };
        Ok(given.is_sound(self.means.len()).then_some(given))
    }
}

/// The features whose partial correlation with one is strongest.
fn nearest(precision: &Array2<f64>, input: usize) -> Vec<usize> {
    let d = precision.nrows();
    let at = |a: usize, b: usize| precision.get((a, b)).copied().unwrap_or(0.0);
    let mut all: Vec<(usize, f64)> = (0..d)
        .filter(|other| *other != input)
        .map(|other| (other, (at(input, other) / (at(input, input) * at(other, other)).sqrt()).abs()))
        .filter(|(_, strength)| strength.is_finite())
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(NEIGHBOURS_MAX);
    all.into_iter().map(|(other, _)| other).collect()
}
