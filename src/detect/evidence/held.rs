//! What changes with every row, while rows are taken: the sums over all bets of a stream.

use serde::{Deserialize, Serialize};
use wide::{f32x4, f32x8};

use super::super::table::{EPSILONS, Lanes, TILTS, Table, Tilts};
use super::EVIDENCE_MAX;

/// Sums of rounded numbers are not off by more than this part.
const ROUNDING: f64 = 1e-5;

/// What all bets on more of a stream have in common, lane by lane.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    /// The value of a bet that never hit.
    pub(super) never: Lanes,
    /// The weighted sum of all bets.
    pub(super) sum: Lanes,
}

impl Sums {
    pub(super) const NOTHING: Self = Self { never: [0.0; EPSILONS.len()], sum: [0.0; EPSILONS.len()] };
}

/// The same and the tilts, at the processor's hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) never: f32x4,
    pub(super) sum: f32x4,
    pub(super) tilts: f32x8,
    /// The length of steps without a bet.
    pub(super) owed: f64,
}

impl Held {
    pub(super) fn of(Sums { never, sum }: Sums, tilts: Tilts, owed: f64) -> Self {
        Self { never: f32x4::from(never), sum: f32x4::from(sum), tilts: f32x8::from(tilts), owed }
    }

    pub(super) fn sums(&self) -> Sums {
        Sums { never: self.never.to_array(), sum: self.sum.to_array() }
    }

    #[inline]
    pub(super) fn now(&self, less: f64) -> Now {
        Now { lanes: self.sum, tilts: self.tilts, less }
    }

    /// Every bet on more misses. Gives the value of a bet that never hit, with this step's length.
    #[inline]
    pub(super) fn miss(&mut self, keep: f32x4, lane_weights: f32x4, length: f32x4) -> f32x4 {
        let never = self.never + length;
        self.never = keep * never;
        self.sum = keep * (self.sum + lane_weights * length);
        never
    }

    #[inline]
    pub(super) fn tilt(&mut self, e: &Tilts, length: f32) {
        let grown = (self.tilts + f32x8::splat(length)) * f32x8::from(*e);
        self.tilts = grown.fast_min(f32x8::splat(EVIDENCE_MAX));
    }
}

/// A stream's evidence after a step: weighted sums by lane, values by tilt, the weighted sum of bets on less.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    lanes: f32x4,
    tilts: f32x8,
    less: f64,
}

impl Now {
    #[inline]
    pub(super) fn total(&self, table: &Table) -> f64 {
        let (lanes, tilts) = (self.lanes.to_array(), self.tilts.to_array());
        sum_of_lanes(lanes) + table.tilt_weight * sum_of_tilts(&tilts) + self.less
    }
}

/// The most that each part of a stream's evidence was worth during some steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peak(Now);

impl Peak {
    pub(super) const fn new(now: Now) -> Self {
        Self(now)
    }

    #[inline]
    pub(super) fn see(&mut self, now: &Now) {
        self.0.lanes = self.0.lanes.fast_max(now.lanes);
        self.0.tilts = self.0.tilts.fast_max(now.tilts);
        self.0.less = if now.less > self.0.less { now.less } else { self.0.less };
    }

    pub(super) fn bound(&self, table: &Table) -> f64 {
        self.0.total(table) * (1.0 + ROUNDING)
    }
}

/// The sum of the tilts, in an order that can be added up four at a time.
#[inline]
fn sum_of_tilts([a, b, c, d, e, f, g, h]: &[f32; TILTS.len()]) -> f64 {
    f64::from(((a + e) + (c + g)) + ((b + f) + (d + h)))
}

#[inline]
fn sum_of_lanes([a, b, c, d]: Lanes) -> f64 {
    f64::from((a + c) + (b + d))
}
