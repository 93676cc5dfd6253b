use std::f64::consts::PI;

use super::{Effect, NotMeasured, Pair};
use crate::units::count;

/// Anderson-Darling statistic of two samples.
pub(super) struct AndersonDarling;

impl Effect for AndersonDarling {
    fn name(&self) -> &'static str {
        "anderson_darling"
    }

    fn manual(&self) -> &'static str {
        "Anderson-Darling statistic of two samples, ties at their middle rank, less its mean and over its standard deviation under equal distributions: about 0 where nothing changed, and it may be negative; the tails weigh more than in the others. Numbers only, more than one of them, four rows in both at least. It grows with the rows of both sides: compare windows of like size only. Scholz and Stephens (1987); as scipy.stats.anderson_ksamp."
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        let values = pair.values()?;
        let (all_p, all_q) = pair.totals()?;
        let all = all_p + all_q;
        if all < 4.0 {
            return Err(NotMeasured::TooFewRows);
        }
        if values.iter().filter(|(_, p, q)| p + q > 0).count() < 2 {
            return Err(NotMeasured::OneValue);
        }
        let (mut below, mut below_p, mut sum) = (0.0, 0.0, 0.0);
        for (_, p, q) in values.iter().filter(|(_, p, q)| p + q > 0) {
            let (p, both) = (count(*p), count(p + q));
            let (middle, middle_p) = (below + both / 2.0, below_p + p / 2.0);
            let weight = middle * (all - middle) - all * both / 4.0;
            // What one side has too much the other has too little: one square serves both.
            sum += both / all * (all * middle_p - middle * all_p).powi(2) / weight;
            below += both;
            below_p += p;
        }
        let statistic = (1.0 / all_p + 1.0 / all_q) * sum * (all - 1.0) / all;
        Ok((statistic - 1.0) / deviation(all_p, all_q))
    }
}

/// Standard deviation of the statistic under equal distributions: equation 4 of Scholz and Stephens, k = 2.
fn deviation(one: f64, two: f64) -> f64 {
    let (all, k) = (one + two, 2.0);
    let inverse = 1.0 / one + 1.0 / two;
    let h = harmonic(all - 1.0);
    // The double sum of 1 / ((N - i) j) over i < j < N, in closed form.
    let g = squares(all - 1.0) - 2.0 * h / all;
    let a = (4.0 * g - 6.0) * (k - 1.0) + (10.0 - 6.0 * g) * inverse;
    let b = (2.0 * g - 4.0) * k * k + 8.0 * h * k + (2.0 * g - 14.0 * h - 4.0) * inverse - 8.0 * h + 4.0 * g
        - 6.0;
    let c = (6.0 * h + 2.0 * g - 2.0) * k * k
        + (4.0 * h - 4.0 * g + 6.0) * k
        + (2.0 * h - 6.0) * inverse
        + 4.0 * h;
    let d = (2.0 * h + 6.0) * k * k - 4.0 * h * k;
    let upper = a * all.powi(3) + b * all.powi(2) + c * all + d;
    (upper / ((all - 1.0) * (all - 2.0) * (all - 3.0))).sqrt()
}

/// Sums of more terms than this are taken from their expansions, which are right to the last bit there.
const TERMS_MAX: f64 = 1_000.0;

/// 1 + 1/2 + ... + 1/n.
fn harmonic(n: f64) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    if n > TERMS_MAX {
        return n.ln() + EULER + 1.0 / (2.0 * n) - 1.0 / (12.0 * n * n) + 1.0 / (120.0 * n.powi(4));
    }
    terms(n).map(|i| 1.0 / i).sum()
}

/// 1 + 1/4 + ... + 1/n^2.
fn squares(n: f64) -> f64 {
    if n > TERMS_MAX {
        return PI * PI / 6.0 - 1.0 / n + 1.0 / (2.0 * n * n) - 1.0 / (6.0 * n.powi(3))
            + 1.0 / (30.0 * n.powi(5));
    }
    terms(n).map(|i| 1.0 / (i * i)).sum()
}

/// n, n - 1, ... 1: the smallest first, which loses least.
fn terms(n: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(n), |i| Some(i - 1.0)).take_while(|i| *i >= 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expansions go on where the sums end, and the closed form is the double sum.
    #[test]
    fn sums_and_expansions_agree() {
        let n = 1_200.0;
        let (mut one, mut two) = (0.0, 0.0);
        terms(n).for_each(|i| {
            one += 1.0 / i;
            two += 1.0 / (i * i);
        });
        assert!((harmonic(n) - one).abs() < 1e-13 && (squares(n) - two).abs() < 1e-14);
        let double = |all: u32| -> f64 {
            let of = |i: u32| ((i + 1)..all).map(move |j| 1.0 / (f64::from(all - i) * f64::from(j)));
            (1..all - 1).flat_map(of).sum()
        };
        for all in [4_u32, 17, 300] {
            let n = f64::from(all);
            let closed = squares(n - 1.0) - 2.0 * harmonic(n - 1.0) / n;
            assert!((closed - double(all)).abs() < 1e-13, "{all}: {closed}");
        }
    }
}
