use serde::{Deserialize, Serialize};

use super::bets::Bets;
use crate::units::{count, whole};

/// The first requests of a baseline that are replayed, at the most: eight megabytes.
pub(super) const LOSSES_MAX: usize = 1 << 22;
/// The thresholds that are tried: the number of requests over these; none below the least.
const OVER: [u64; 5] = [100, 30, 10, 3, 1];
const THRESHOLD_MIN: u64 = 10;
/// The part of the alarms that a raised limit may leave: it was chosen as the lowest that keeps what it is tried by.
const LEFT: f64 = 0.5;
/// Halvings of what the limit is raised by.
const HALVINGS: u32 = 10;

/// Whether a baseline's own labelled requests, in their order, keep the budget of false alarms.
///
/// The limit of a mean is one of requests that are independent of each other. Where the risk is twice as high by
/// night, or a bad hour is followed by another, the mean is exceeded for long, and evidence grows in health. So the
/// bets that judge production are first made on the baseline itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Replay {
    /// Nobody looked.
    #[default]
    Missing,
    /// They do, at the limit of their mean.
    Kept,
    /// They do from this risk on, which is above that limit.
    Raised(f64),
}

impl Replay {
    pub(super) fn is_missing(&self) -> bool {
        *self == Self::Missing
    }

    /// Replays losses from 0 to 1 against the limit of their mean: at each threshold `a` of five, no more than one
    /// alarm in `a` requests, else the limit is raised, to 1 at the most, until there is half of that.
    pub(super) fn of(losses: &[f64], limit: f64) -> Self {
        if keeps(losses, limit, 1.0) {
            return Self::Kept;
        }
        let (mut low, mut high) = (limit, 1.0);
        for _ in 0..HALVINGS {
            // By ratios: a risk of 0.1 % may be raised to 0.2 %.
            let middle = (low * high).sqrt();
            if keeps(losses, middle, LEFT) { high = middle } else { low = middle }
        }
        Self::Raised(high)
    }
}

/// Whether bets that the risk is above a level raise at most this part of the alarms that the budget allows.
fn keeps(losses: &[f64], level: f64, part: f64) -> bool {
    let bets = Bets::above(level);
    let requests = whole(losses.len());
    OVER.into_iter().map(|over| requests / over).filter(|threshold| *threshold >= THRESHOLD_MIN).all(
        |threshold| {
            let allowed = part * count(requests) / count(threshold);
            bets.keep(losses, count(threshold), allowed)
        },
    )
}
