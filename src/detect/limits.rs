use statrs::function::beta::beta_reg;

/// Halvings of the interval: more than a double can tell apart.
const BISECTIONS: u32 = 80;

/// Upper confidence limit of a chance after `hits` in `trials` (Clopper and Pearson, one sided).
///
/// The smallest `p` with `P(Binomial(trials, p) <= hits) <= delta`: from above 0 to 1; exactly 1
/// when nothing was tried or every trial hit. `delta`: the chance, over baselines, that the true
/// value lies above, strictly between 0 and 1; anything else answers 1, which bets nothing.
///
/// # Source
/// Clopper and Pearson (1934), Biometrika 26:404. Values: tests/reference/clopper_pearson.py.
#[must_use]
pub(super) fn upper(hits: u64, trials: u64, delta: f64) -> f64 {
    let usable = delta > 0.0 && delta < 1.0;
    if hits >= trials || !usable {
        return 1.0;
    }
    let (k, n) = (crate::units::count(hits), crate::units::count(trials));
    if hits == 0 {
        return -(delta.ln() / n).exp_m1();
    }
    // P(Bin(n, p) <= k) = I_{1-p}(n-k, k+1) falls in p; `high` always keeps the limit on its side.
    let (mut low, mut high) = (k / n, 1.0);
    for _ in 0..BISECTIONS {
        let middle = f64::midpoint(low, high);
        if beta_reg(n - k, k + 1.0, 1.0 - middle) > delta {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Agreement with scipy's quantile of the beta distribution, to a relative 1e-9.
    #[test]
    fn agrees_with_scipy() {
        let table = include_str!("../../tests/reference/clopper_pearson.csv");
        let mut checked = 0;
        for line in table.lines().filter(|l| !l.starts_with('#') && !l.starts_with("hits")) {
            let cells: Vec<f64> = line.split(',').map(|c| c.parse().unwrap()).collect();
            let [hits, trials, delta, limit] = cells[..] else { panic!("four columns: {line}") };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole numbers in the table"
            )]
            let ours = upper(hits as u64, trials as u64, delta);
            assert!((ours / limit - 1.0).abs() < 1e-9, "{line}: {ours}");
            checked += 1;
        }
        assert!(checked > 50, "the table is there");
    }

    /// What cannot be known is 1: a bet against it wins nothing.
    #[test]
    fn nothing_known_is_one() {
        for (hits, trials, delta) in [(0, 0, 0.05), (5, 5, 0.05), (0, 10, 0.0), (0, 10, f64::NAN)] {
            assert!((upper(hits, trials, delta) - 1.0).abs() < f64::EPSILON);
        }
    }
}
