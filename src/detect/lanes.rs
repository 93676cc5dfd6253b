//! Which steps of a recording plan bins, which are fitted, and which are counted.

use std::collections::BTreeSet;
use std::sync::Arc;

/// One row in five plans bins and the others are counted, so that no bin is judged by the rows
/// that chose it: a value that only those rows had would else look impossible.
const PLAN_ONE_IN: u64 = 5;
/// Planning stops after about so many rows; all later ones are counted.
const PLAN_ROWS_MAX: u64 = 20_000;

/// Whether the request with this number, counted from 0, plans bins; else it is counted.
fn plans(row: u64) -> bool {
    mixed(row).is_multiple_of(PLAN_ONE_IN) && row / PLAN_ONE_IN < PLAN_ROWS_MAX
}

/// Relations are fitted to whole stretches of so many requests and counted over others: rows near each other may be
/// alike, and one that was as good as fitted says nothing of rows to come.
const STRETCH: u64 = 512;
/// Before and after a stretch that was fitted so many requests are not counted, for the same reason.
const GUARD: u64 = 64;

/// The stretch of a request.
const fn stretch(step: u64) -> u64 {
    step / STRETCH
}

/// Whether relations may be fitted to a stretch: one of two, in an order that shares no period with the day.
fn is_offered(stretch: u64) -> bool {
    mixed(stretch / 2) % 2 == stretch % 2
}

/// A number that shares no period with the rows: splitmix64's finaliser (Steele et al., 2014). Every
/// third row itself would be the first of each request of three.
pub(super) const fn mixed(row: u64) -> u64 {
    let z = row.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Where relations are fitted, of all that is recorded: stretches spread over it, however long it becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fitted {
    stretches: Arc<BTreeSet<u64>>,
}

impl Fitted {
    pub(super) fn new(stretches: BTreeSet<u64>) -> Self {
        Self { stretches: Arc::new(stretches) }
    }

    /// Whether a request lies in one of its stretches or near to one.
    fn is_near(&self, step: u64) -> bool {
        let holds = |step: u64| self.stretches.contains(&stretch(step));
        holds(step) || step.checked_sub(GUARD).is_some_and(holds) || holds(step.saturating_add(GUARD))
    }
}

/// What steps are for, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Lanes {
    /// Two passes over the same rows; in the second it is known which were fitted.
    Halves(Fitted),
    /// Everything plans and may be fitted, and is counted nowhere.
    All,
    /// Other rows than those that planned and fitted: some say what tilts and tails are made of.
    Others,
    /// None plans, and all are counted.
    #[default]
    None,
}

impl Lanes {
    /// Of the first of two passes.
    pub(super) fn halves() -> Self {
        Self::Halves(Fitted::default())
    }

    /// Whether a step plans bins.
    pub(super) fn plans(&self, step: u64) -> bool {
        match self {
            Self::All => true,
            Self::Halves(_) | Self::Others => plans(step),
            Self::None => false,
        }
    }

    /// The stretch of a step that may be fitted, and how early it is thrown out again where there are too many: those
    /// with the lowest numbers stay.
    pub(super) fn offers(&self, step: u64) -> Option<(u64, u64)> {
        let stretch = stretch(step);
        let is_offered = match self {
            Self::Halves(_) => is_offered(stretch),
            Self::All => true,
            Self::Others | Self::None => false,
        };
        // The two of a pair are as good.
        is_offered.then(|| (stretch, mixed(stretch / 2)))
    }

    /// Whether a step says nothing of how well relations fit.
    pub(super) fn is_as_fitted(&self, step: u64) -> bool {
        match self {
            Self::Halves(fitted) => fitted.is_near(step),
            Self::All => true,
            Self::Others | Self::None => false,
        }
    }
}

/// The lanes of the rows that a calibration was made of: at hand beside it, no part of what it says, and in no file.
#[derive(Debug, Clone, Default)]
pub(super) struct Aside(pub(super) Lanes);

impl PartialEq for Aside {
    fn eq(&self, _: &Self) -> bool {
        true
    }
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
