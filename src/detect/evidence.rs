//! The evidence that one stream has gathered: Shiryaev-Roberts e-detectors, updated exactly and in
//! constant time whatever the number of bins.

mod held;
mod less;
mod more;
mod steps;

use serde::{Deserialize, Serialize};
use wide::f32x4;

use self::held::{Held, Now, Peak, Sums};
use self::less::{Block, Rarer};
use self::more::{More, NO_MORE, shared};
pub(super) use self::steps::{STRENGTHS, gains, strengths};
use super::cut::{Code, SKIP};
use super::table::{BLOCK, Bet, EPSILONS, Family, LANE_PARTS, Lanes, Stratum, TILTS, Table, Tilts};
use crate::units::single;

/// Evidence of one bet is not counted beyond this, so that a fault of days cannot overflow.
const EVIDENCE_MAX: f32 = 1e30;
/// A bet that is worth no more than so many steps has no beginning yet.
const BEGUN_STEPS: f64 = 10.0;
/// The part of what is known of the length of steps that is kept from block to block.
const PACE_KEPT: f64 = 0.999;
/// Steps between two looks for bins that were not hit for very long.
const SWEEP: u32 = 1 << 20;

/// One step as a stream sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// By how much it lengthens the run, in units of the budget.
    pub(super) length: f64,
    /// The step's number over all steps, modulo 2^32.
    pub(super) tick: u32,
    pub(super) stratum: usize,
}

/// Steps of one row each, all in one stratum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) codes: &'a [Code],
    /// By how much each lengthens the run; where there is none, each counts as one.
    pub(super) lengths: &'a [f64],
    /// The number of the first step, modulo 2^32.
    pub(super) first: u32,
    pub(super) stratum: usize,
}

/// A bin that rows of a step fell into.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hit {
    pub(super) code: Code,
    /// The share of the step's rows, above 0 to 1.
    pub(super) share: f64,
}

/// All evidence of one stream.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Evidence {
    /// Steps with a bet, modulo 2^32.
    clock: u32,
    /// The same since the evidence began, and the number of the last of them.
    told: u64,
    told_at: u32,
    /// The length of steps without one, still to be counted.
    owed: f64,
    lanes: Sums,
    more: Box<[More]>,
    /// Where there are bets on it leaning.
    tilted: Option<Box<Tilted>>,
    less: Rarer,
    pace: Pace,
}

/// The bets on a whole distribution leaning, by tilt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tilted {
    values: Tilts,
    since: [u32; TILTS.len()],
}

const NOT_TILTED: Tilted = Tilted { values: [0.0; TILTS.len()], since: [0; TILTS.len()] };

/// A row's place in a chunk, for the numbers of steps.
#[expect(clippy::cast_possible_truncation, reason = "numbers of steps are modulo 2^32")]
const fn place_of(at: usize) -> u32 {
    at as u32
}

/// What is asked of the evidence while it takes steps.
#[derive(Debug)]
pub(super) enum Asked<'a> {
    /// The weighted sum of all bets after each step, to be added.
    Each(&'a mut [f64]),
    /// Something that no such sum exceeds, to be added: much less work, and nearly always enough.
    AtMost(&'a mut f64),
}

/// How long a step is lately: single blocks may have no length at all where clocks tell only seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Pace {
    steps: f64,
    length: f64,
}

impl Pace {
    fn see(&mut self, block: &Block) {
        self.steps = PACE_KEPT * self.steps + f64::from(block.steps);
        self.length = PACE_KEPT * self.length + block.length;
    }

    /// The mean length of a step, those of an open block included.
    fn step(&self, open: Option<&Block>) -> f64 {
        let (steps, length) = open.map_or((0.0, 0.0), |block| (f64::from(block.steps), block.length));
        let (steps, length) = (self.steps + steps, self.length + length);
        if steps > 0.0 { length / steps } else { 0.0 }
    }
}

/// What speaks against one bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Suspicion {
    /// The logarithm of the evidence over that of a bet without news.
    pub(super) nats: f64,
    /// The step at which it began, modulo 2^32.
    pub(super) since: u32,
    /// Hits from then on, where they are counted.
    pub(super) hits: Option<u32>,
    /// The part that a bin lost, as far as the evidence tells: the loss bet on that is the most evident.
    pub(super) loss: Option<f64>,
}

/// By hand, because what is kept before every chunk takes no memory anew.
impl Clone for Evidence {
    fn clone(&self) -> Self {
        Self { more: self.more.clone(), tilted: self.tilted.clone(), less: self.less.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Self) {
        let Self { clock, told, told_at, owed, lanes, more, tilted, less, pace } = source;
        (self.clock, self.told, self.told_at, self.owed) = (*clock, *told, *told_at, *owed);
        (self.lanes, self.pace) = (*lanes, *pace);
        self.more.clone_from(more);
        self.tilted.clone_from(tilted);
        self.less.clone_from(less);
    }
}

impl Evidence {
    pub(super) fn new(table: &Table) -> Self {
        Self {
            clock: 0,
            told: 0,
            told_at: 0,
            owed: 0.0,
            lanes: Sums::NOTHING,
            more: vec![NO_MORE; table.weights.len()].into_boxed_slice(),
            tilted: (table.tilt_weight > 0.0).then(|| Box::new(NOT_TILTED)),
            less: Rarer::new(table),
            pace: Pace::default(),
        }
    }

    /// Whether it can belong to a table.
    pub(super) fn fits(&self, table: &Table) -> bool {
        self.more.len() == table.weights.len()
            && self.less.fits(table)
            && self.tilted.is_some() == (table.tilt_weight > 0.0)
    }

    /// Steps that told something since the evidence began.
    pub(super) const fn told(&self) -> u64 {
        self.told
    }

    /// For how many steps it was told nothing, up to the one with this number.
    pub(super) const fn untold_for(&self, tick: u32) -> u32 {
        tick.wrapping_sub(self.told_at)
    }

    /// Bytes that change with rows.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.more.len() * size_of::<More>()
            + self.tilted.as_ref().map_or(0, |_| size_of::<Tilted>())
            + self.less.bytes()
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        self.clock = 0;
        self.told = 0;
        self.owed = 0.0;
        self.lanes = Sums::NOTHING;
        self.more.fill(NO_MORE);
        self.tilted.iter_mut().for_each(|tilted| tilted.values = NOT_TILTED.values);
        self.less.reset();
        self.pace = Pace::default();
    }

    /// The stratum of the latest steps.
    pub(super) fn stratum(&self) -> usize {
        self.less.block.stratum()
    }

    /// The weighted sum of all bets; those on less as of the last block.
    #[inline]
    pub(super) fn total(&self, table: &Table) -> f64 {
        self.held().now(self.less.sum).total(table)
    }

    /// The weighted sum of all bets, those on less as of this very step: what may be compared with the
    /// threshold in the middle of a block.
    pub(super) fn exact_total(&self, table: &Table) -> f64 {
        self.held().now(self.less.exact_sum(table)).total(table)
    }

    fn held(&self) -> Held {
        let tilts = self.tilted.as_ref().map_or(NOT_TILTED.values, |tilted| tilted.values);
        Held::of(self.lanes, tilts, self.owed)
    }

    fn put_back(&mut self, held: &Held) {
        (self.lanes, self.owed) = (held.sums(), held.owed);
        if let Some(tilted) = &mut self.tilted {
            tilted.values = held.tilts.to_array();
        }
    }

    /// Steps of one row each, in one stratum.
    pub(super) fn observe_rows(&mut self, table: &Table, rows: Rows<'_>, asked: Asked<'_>) {
        match asked {
            Asked::Each(totals) => {
                let (mut totals, mut latest) = (totals.iter_mut(), self.total(table));
                self.take_rows(table, rows, |now| {
                    latest = now.map_or(latest, |now| now.total(table));
                    if let Some(total) = totals.next() {
                        *total += latest;
                    }
                });
            }
            Asked::AtMost(bound) => {
                let mut peak = Peak::new(self.held().now(self.less.sum));
                self.take_rows(table, rows, |now| now.map_or((), |now| peak.see(now)));
                *bound += peak.bound(table);
            }
        }
    }

    /// Takes rows; shows the evidence after each, or nothing where it is that of the row before.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each caller shows something else")]
    fn take_rows(&mut self, table: &Table, rows: Rows<'_>, mut show: impl FnMut(Option<&Now>)) {
        let moment = Moment { length: 0.0, tick: rows.first, stratum: rows.stratum };
        let stratum = self.begin(table, rows.codes.iter().all(|code| *code == SKIP), moment);
        let mut held = self.held();
        let mut at = 0;
        while at < rows.codes.len() {
            at = if rows.lengths.is_empty() {
                self.take_block(table, stratum, (rows, at), |_| 1.0, (&mut held, &mut show))
            } else {
                let length = |at| rows.lengths.get(at).copied().unwrap_or(1.0);
                self.take_block(table, stratum, (rows, at), length, (&mut held, &mut show))
            };
            self.put_back(&held);
            if self.less.block.steps >= BLOCK {
                self.settle(table, rows.first.wrapping_add(place_of(at)).wrapping_sub(1));
                show(Some(&held.now(self.less.sum)));
            }
        }
    }

    /// Takes rows from one on to the end of a block, or all; gives the place of the next.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each caller shows something else, and has other lengths")]
    #[expect(clippy::indexing_slicing, reason = "256 codes in arrays of as many")]
    fn take_block(
        &mut self,
        table: &Table,
        stratum: Option<&Stratum>,
        (rows, from): (Rows<'_>, usize),
        length: impl Fn(usize) -> f64,
        (held, show): (&mut Held, &mut impl FnMut(Option<&Now>)),
    ) -> usize {
        let (keep, lane_weights) = (f32x4::from(table.keep), f32x4::from(table.lane_weights));
        let less = self.less.sum;
        let (more, block) = (&mut *self.more, &mut self.less.block);
        // Kept where the processor has them at hand.
        let (mut clock, mut steps, mut lengths) = (self.clock, block.steps, block.length);
        let mut told_at = self.told_at;
        let mut at = from;
        while let Some(code) = rows.codes.get(at) {
            let tick = rows.first.wrapping_add(place_of(at));
            let passed = length(at);
            at += 1;
            let Some(stratum) = stratum.filter(|_| *code != SKIP) else {
                held.owed += passed;
                show(None);
                continue;
            };
            let passed = passed + std::mem::take(&mut held.owed);
            let (short, wide) = (single(passed), f32x4::splat(single(passed)));
            clock = clock.wrapping_add(1);
            told_at = tick;
            let never = held.miss(keep, lane_weights, wide);
            let bin = usize::from(*code);
            let place = usize::from(table.places[bin]);
            if let (Some(more), Some(gains), Some(parts)) =
                (more.get_mut(place), stratum.gains.get(place), table.parts.get(place))
            {
                more.hit(table, (gains, parts), never, held, (clock, tick));
            }
            if let Some(e) = stratum.tilts.get(bin) {
                held.tilt(e, short);
            }
            if let Some(hits) = block.hits.get_mut(usize::from(table.slots[bin])) {
                *hits += 1.0;
            }
            steps += 1;
            lengths += passed;
            if steps >= BLOCK {
                break;
            }
            show(Some(&held.now(less)));
        }
        self.told += u64::from(clock.wrapping_sub(self.clock));
        self.told_at = told_at;
        (self.clock, block.steps, block.length) = (clock, steps, lengths);
        at
    }

    /// A step of several rows: the bins that they fell into, each with its share of the rows.
    ///
    /// The step's e-value is the mean over the rows, which is one however the rows depend on each other.
    pub(super) fn observe_shares(&mut self, table: &Table, hits: &[Hit], moment: Moment) {
        let Some(stratum) = self.begin(table, hits.is_empty(), moment) else { return };
        let length = moment.length + std::mem::take(&mut self.owed);
        self.clock = self.clock.wrapping_add(1);
        (self.told, self.told_at) = (self.told + 1, moment.tick);
        let short = single(length);
        let mut held = self.held();
        let (keep, lane_weights) = (f32x4::from(table.keep), f32x4::from(table.lane_weights));
        let never = held.miss(keep, lane_weights, f32x4::splat(short));
        let mut tilts = [0.0; TILTS.len()];
        for hit in hits {
            let bin = usize::from(hit.code);
            let place = table.places.get(bin).map_or(usize::from(SKIP), |place| usize::from(*place));
            if let (Some(more), Some(gains), Some(parts)) =
                (self.more.get_mut(place), stratum.gains.get(place), table.parts.get(place))
            {
                let gains = if hit.share >= 1.0 { *gains } else { shared(gains, hit.share, table) };
                more.hit(table, (&gains, parts), never, &mut held, (self.clock, moment.tick));
            }
            let e = stratum.tilts.get(bin).copied().unwrap_or([1.0; TILTS.len()]);
            let share = single(hit.share);
            tilts.iter_mut().zip(e).for_each(|(mean, e)| *mean += share * e);
            if let Some(slot) = table.slots.get(bin).filter(|p| **p != SKIP)
                && let Some(hits) = self.less.block.hits.get_mut(usize::from(*slot))
            {
                *hits += share;
            }
        }
        if !stratum.tilts.is_empty() {
            held.tilt(&tilts, short);
        }
        self.put_back(&held);
        self.end(table, length, moment.tick);
    }

    /// The stratum of a step, unless the step says nothing to this stream: then it only lengthens the run.
    #[inline]
    fn begin<'t>(&mut self, table: &'t Table, is_skipped: bool, moment: Moment) -> Option<&'t Stratum> {
        let stratum = if is_skipped { None } else { table.strata.get(moment.stratum) };
        let stratum = stratum.filter(|s| s.is_known);
        if stratum.is_none() {
            self.owed += moment.length;
        }
        if stratum.is_some() && self.less.block.stratum() != moment.stratum {
            // A block lies in one stratum.
            self.settle(table, moment.tick);
            self.less.block.begin(moment.stratum);
        }
        stratum
    }

    /// The end of a step; settles a full block.
    #[inline]
    fn end(&mut self, table: &Table, length: f64, tick: u32) {
        let block = &mut self.less.block;
        block.steps += 1;
        block.length += length;
        if block.steps >= BLOCK {
            self.settle(table, tick);
        }
    }

    fn settle(&mut self, table: &Table, tick: u32) {
        if self.less.block.steps == 0 {
            return;
        }
        if self.clock % SWEEP < BLOCK {
            self.sweep();
        }
        self.pace.see(&self.less.block);
        let step = self.pace.step(None);
        // What has a beginning in the first block began with it.
        let steps = self.less.block.steps;
        let first = (self.told <= u64::from(steps)).then(|| tick.wrapping_sub(steps.saturating_sub(1)));
        if let Some(tilted) = &mut self.tilted {
            for (value, since) in tilted.values.iter().zip(&mut tilted.since) {
                let has_begun = f64::from(*value) > BEGUN_STEPS * step;
                *since = if has_begun { first.unwrap_or(*since) } else { tick };
            }
        }
        self.less.settle(table, tick, single(BEGUN_STEPS * step * f64::from(BLOCK)));
    }

    /// Bins that were not hit for very long have no excess, so that the clock may go round.
    fn sweep(&mut self) {
        for bin in &mut self.more {
            if self.clock.wrapping_sub(bin.at) > SWEEP {
                bin.excess = [0.0; EPSILONS.len()];
                bin.at = self.clock;
            }
        }
    }

    /// The weighted evidence of one bet; of one on less as of the last block.
    pub(super) fn settled_share(&self, table: &Table, bet: Bet) -> f64 {
        match (bet.family, table.place(bet)) {
            (Family::Less, Some(place)) => self.less.settled(table, place),
            _ => self.share(table, bet),
        }
    }

    /// The weighted evidence of one bet, as of this very step.
    pub(super) fn share(&self, table: &Table, bet: Bet) -> f64 {
        let Some(place) = table.place(bet) else { return 0.0 };
        match bet.family {
            Family::More => {
                let weight = table.weights.get(place).copied().unwrap_or(0.0);
                let lanes = self.more_values(table, place).into_iter().zip(LANE_PARTS);
                weight * lanes.map(|(value, part)| part * f64::from(value)).sum::<f64>()
            }
            Family::Less => self.less.weighted(table, place),
            Family::Tilt => table.tilt_weight * self.tilt(place).map_or(0.0, |(value, _)| value),
        }
    }

    fn more_values(&self, table: &Table, place: usize) -> Lanes {
        let Some(bin) = self.more.get(place) else { return [0.0; EPSILONS.len()] };
        bin.values(table, self.clock, self.lanes.never)
    }

    /// The value of a tilt, and the step at which it began.
    fn tilt(&self, place: usize) -> Option<(f64, u32)> {
        let tilted = self.tilted.as_ref()?;
        Some((f64::from(*tilted.values.get(place)?), *tilted.since.get(place)?))
    }

    /// What speaks against one bet, for one on less as of the last block; nothing where nothing does.
    pub(super) fn suspicion(&self, table: &Table, bet: Bet) -> Option<Suspicion> {
        let place = table.place(bet)?;
        let step = self.pace.step(Some(&self.less.block));
        match bet.family {
            Family::More => self.more.get(place)?.suspicion(self.more_values(table, place), self.lanes.never),
            // One without news is worth about the mean block.
            Family::Less => self.less.suspicion(place, step * f64::from(BLOCK)),
            Family::Tilt => {
                let (value, since) = self.tilt(place)?;
                // A tilt without news is worth about the mean step.
                (value > 0.0 && step > 0.0).then(|| Suspicion {
                    nats: (value / step).ln(),
                    since,
                    hits: None,
                    loss: None,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
