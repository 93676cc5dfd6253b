use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use statrs::function::erf::{erfc, erfc_inv};

/// The value that a standard normal variable stays below with this chance.
pub(super) fn quantile(chance: f64) -> f64 {
    -SQRT_2 * erfc_inv(2.0 * chance)
}

/// The chance that a standard normal variable lies above.
fn above(z: f64) -> f64 {
    0.5 * erfc(z * FRAC_1_SQRT_2)
}

/// The first three cumulants of a sum of squares of counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cumulants {
    pub(super) mean: f64,
    pub(super) variance: f64,
    pub(super) third: f64,
}

impl Cumulants {
    /// The chance of `value` or more under the gamma distribution (Pearson's type III) with these
    /// cumulants, by the cube-root transformation of Wilson and Hilferty (1931, PNAS 17:684).
    pub(super) fn above(self, value: f64) -> f64 {
        let Self { mean, variance, third } = self;
        let defined = variance > 0.0 && third > 0.0;
        if !defined || value <= mean {
            return 1.0;
        }
        let shape = 4.0 * variance.powi(3) / (third * third);
        let scaled = 1.0 + (value - mean) / (variance * shape).sqrt();
        above((scaled.cbrt() - 1.0 + 1.0 / (9.0 * shape)) * 3.0 * shape.sqrt())
    }
}

/// The value that the mean of `freedom` squares of standard normals stays below with this chance:
/// what an observed variance is divided by to bound the true one (Wilson and Hilferty).
pub(super) fn mean_square(freedom: f64, chance: f64) -> f64 {
    let ninth = 2.0 / (9.0 * freedom);
    (1.0 - ninth + quantile(chance) * ninth.sqrt()).powi(3)
}
