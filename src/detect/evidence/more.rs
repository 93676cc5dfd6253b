//! Bets on bins becoming commoner.

use serde::{Deserialize, Serialize};
use wide::f32x4;

use super::super::table::{EPSILONS, Lanes, Table};
use super::held::Held;
use super::{EVIDENCE_MAX, Suspicion};
use crate::units::single;

/// Lanes whose start is followed: one for slow faults, one for complete ones.
const FOLLOWED: [usize; 2] = [0, 2];

/// The bets on one bin, one a lane.
///
/// A value obeys `R <- (R + length) e` with `e = 1 - eps + eps/p_U` on a hit and `1 - eps` on a miss.
/// Between hits every bet of a lane decays alike, so it holds only its excess over a bet that never
/// hit, as of its last hit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct More {
    pub(super) excess: Lanes,
    pub(super) at: u32,
    since: [u32; FOLLOWED.len()],
    hits: [u32; FOLLOWED.len()],
}

pub(super) const NO_MORE: More = More { excess: [0.0; EPSILONS.len()], at: 0, since: [0; 2], hits: [0; 2] };

impl More {
    /// This bin's bets did not miss after all. `never`: what a bet that never hit is worth, with this step's
    /// length; the clock has been advanced.
    #[inline]
    pub(super) fn hit(
        &mut self,
        table: &Table,
        (gains, parts): (&Lanes, &Lanes),
        never: f32x4,
        held: &mut Held,
        (clock, tick): (u32, u32),
    ) {
        let decay = f32x4::from(table.decay.after(clock.wrapping_sub(1).wrapping_sub(self.at)));
        let carried = decay * f32x4::from(self.excess);
        let before = never + carried;
        let missed = f32x4::from(table.keep) * before;
        let value = (missed + f32x4::from(*gains) * before).fast_min(f32x4::splat(EVIDENCE_MAX));
        held.sum += f32x4::from(*parts) * (value - missed);
        self.excess = (value - held.never).to_array();
        self.at = clock;
        // What was won before is lost again: here it begins anew. Without a branch, which nobody could foretell.
        let goes_on = carried.simd_gt(never).to_bitmask();
        for ((since, hits), lane) in self.since.iter_mut().zip(&mut self.hits).zip(FOLLOWED) {
            let kept = 0_u32.wrapping_sub(goes_on >> lane & 1);
            *since = *since & kept | tick & !kept;
            *hits = (*hits & kept).saturating_add(1);
        }
    }

    /// By lane: what the bets are worth at a clock, where one that never hit is worth `never`.
    pub(super) fn values(&self, table: &Table, clock: u32, never: Lanes) -> Lanes {
        let decay = table.decay.after(clock.wrapping_sub(self.at));
        let mut values = never;
        for ((value, decay), excess) in values.iter_mut().zip(decay).zip(self.excess) {
            *value += decay * excess;
        }
        values
    }

    /// What speaks against the bin, of which the bets are worth so much.
    pub(super) fn suspicion(&self, values: Lanes, never: Lanes) -> Option<Suspicion> {
        let each = FOLLOWED.into_iter().enumerate().filter_map(|(followed, lane)| {
            let hits = *self.hits.get(followed).filter(|h| **h > 0)?;
            let nats = f64::from(values.get(lane)? / never.get(lane)?).ln();
            Some(Suspicion { nats, since: *self.since.get(followed)?, hits: Some(hits), loss: None })
        });
        each.reduce(|a, b| if b.nats > a.nats { b } else { a })
    }
}

/// What a share of a hit adds over a miss. Apart, lest its powers be taken where no share is.
#[inline(never)]
pub(super) fn shared(gains: &Lanes, share: f64, table: &Table) -> Lanes {
    let mut shared = *gains;
    for (gain, keep) in shared.iter_mut().zip(table.keep) {
        let (full, keep) = (f64::from(*gain), f64::from(keep));
        *gain = single(if table.clumping <= 1.0 {
            full * share
        } else {
            // The mean e-value is taken before it is tempered.
            let (miss, hit) = (keep.powf(table.clumping), (keep + full).powf(table.clumping));
            (miss + share * (hit - miss)).powf(1.0 / table.clumping) - keep
        });
    }
    shared
}
