//! The resolution of a number: on which decimal or binary grid it lies.

use super::cut::{Code, SKIP};

/// Decimals beyond which a number counts as being on no decimal grid.
const DECIMALS: usize = 6;
const POWERS: [f64; DECIMALS] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5];
/// How near to a decimal grid counts as on it.
const NEAR: f64 = 1e-9;
/// Adding and taking away this rounds to whole numbers.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// From here on doubles are as good as whole numbers.
const WHOLE_FROM: f64 = 2e15;
/// Mantissa bits that 16 and 32 bit floats do not have.
const BEYOND_F16: u64 = (1 << 42) - 1;
const BEYOND_F32: u64 = (1 << 29) - 1;
/// Up to here every whole number is a 16 bit float.
const F16_WHOLE: f64 = 2_048.0;

/// Whole and too large to be a 16 bit float by nature, and yet one.
const WHOLE_F16: Code = 9;
const F32: Code = 8;
const F16: Code = 7;
const NO_GRID: Code = 6;

/// The coarsest grid: 0 to 5 decimals, 6 none of them, 7 and 8 none but a 16 or 32 bit float, 9 whole
/// and beyond 2,048 but with no more digits than a 16 bit float has.
pub(super) fn of(v: f64) -> Code {
    if !v.is_finite() {
        return SKIP;
    }
    if !is_on(v, 1e5) {
        return match v.to_bits() {
            bits if bits & BEYOND_F16 == 0 => F16,
            bits if bits & BEYOND_F32 == 0 => F32,
            _ => NO_GRID,
        };
    }
    let decimals = POWERS.iter().zip(0..).find(|(power, _)| is_on(v, **power)).map_or(5, |(_, d)| d);
    if decimals == 0 && v.abs() > F16_WHOLE && v.to_bits() & BEYOND_F16 == 0 { WHOLE_F16 } else { decimals }
}

fn is_on(v: f64, power: f64) -> bool {
    let scaled = v * power;
    // Beyond this every double is a whole number.
    let whole = (scaled + ROUNDER) - ROUNDER;
    scaled.abs() > WHOLE_FROM || (whole / power - v).abs() <= NEAR
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as people and programs write them lie on the grid that they were written on.
    #[test]
    fn grids() {
        for (v, expected) in [
            (0.0, 0),
            (-17.0, 0),
            (4_096.0, WHOLE_F16),
            (4_097.0, 0),
            (0.5, 1),
            (3.17, 2),
            (0.12345, 5),
            (std::f64::consts::PI, NO_GRID),
            (f64::from(0.1_f32), F32),
            (0.099_975_585_937_5, F16),
            (f64::NAN, SKIP),
            (f64::INFINITY, SKIP),
            (1e300, 0),
        ] {
            assert_eq!(of(v), expected, "{v}");
        }
    }
}
