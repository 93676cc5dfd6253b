//! Which steps of a recording plan bins, which are fitted, and which are counted.

use super::joint::SAMPLE_ROWS_MAX;
use crate::units::whole;

/// One row in five plans bins and the others are counted, so that no bin is judged by the rows
/// that chose it: a value that only those rows had would else look impossible.
const PLAN_ONE_IN: u64 = 5;
/// Planning stops after about so many rows; all later ones are counted.
const PLAN_ROWS_MAX: u64 = 20_000;
/// Of the first so many rows some are fitted; all later ones are counted.
const FIT_ROWS_MAX: u64 = 2 * whole(SAMPLE_ROWS_MAX);

/// Whether the request with this number, counted from 0, plans bins; else it is counted.
fn plans(row: u64) -> bool {
    mixed(row).is_multiple_of(PLAN_ONE_IN) && row / PLAN_ONE_IN < PLAN_ROWS_MAX
}

/// Relations are fitted to whole stretches of so many requests and counted over others: rows near each other may be
/// alike, and one that was as good as fitted says nothing of rows to come.
const STRETCH: u64 = 512;
/// After a stretch that was fitted so many requests are not counted, for the same reason.
const GUARD: u64 = 64;

/// Whether relations are fitted to the request with this number: one of two stretches, in an order that shares no
/// period with the day.
fn fits(row: u64) -> bool {
    let stretch = row / STRETCH;
    row < FIT_ROWS_MAX && (mixed(stretch / 2) % 2 == stretch % 2)
}

/// Whether it may say nothing of how well they fit.
fn is_near_fitted(row: u64) -> bool {
    fits(row) || row.checked_sub(GUARD).is_some_and(fits)
}

/// A number that shares no period with the rows: splitmix64's finaliser (Steele et al., 2014). Every
/// third row itself would be the first of each request of three.
const fn mixed(row: u64) -> u64 {
    let z = row.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What steps are for, by their numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes {
    /// Whether a step plans bins.
    pub(super) plans: fn(u64) -> bool,
    /// Whether relations are fitted to it.
    pub(super) fits: fn(u64) -> bool,
    /// Whether it is not counted for what relations make of rows.
    pub(super) is_near_fitted: fn(u64) -> bool,
}

impl Lanes {
    /// Two passes over the same rows.
    pub(super) const HALVES: Self = Self { plans, fits, is_near_fitted };
    /// Everything plans and fits, and is counted nowhere.
    pub(super) const ALL: Self = Self { plans: |_| true, fits: |_| true, is_near_fitted: |_| true };
    /// Other rows than those that planned and fitted: some say what tilts and tails are made of.
    pub(super) const OTHERS: Self = Self { plans, fits: |_| false, is_near_fitted: plans };
    pub(super) const NONE: Self = Self { plans: |_| false, fits: |_| false, is_near_fitted: |_| false };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planning rows have no period: of the first rows of requests of any size a fifth plans.
    #[test]
    fn planning_has_no_period() {
        for period in [2_u64, 3, 6, 10, 32] {
            for phase in [0, 1] {
                let requests = 1_800;
                let planned = (0..requests).filter(|i| plans(i * period + phase)).count();
                assert!((290..430).contains(&planned), "{period} {phase}: {planned}");
            }
        }
    }
}
