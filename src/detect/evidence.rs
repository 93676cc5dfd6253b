//! The evidence that one stream has gathered: Shiryaev-Roberts e-detectors, updated exactly and in
//! constant time whatever the number of bins.

use serde::{Deserialize, Serialize};
use wide::{f32x4, f32x8};

use super::cut::{Code, SKIP};
use super::table::{
    BLOCK, Bet, EPSILONS, Family, LANE_PARTS, LOSSES, Lanes, Losses, Stratum, TILTS, Table, Tilts, single,
};

/// Evidence of one bet is not counted beyond this, so that a fault of days cannot overflow.
const EVIDENCE_MAX: f32 = 1e30;
/// Sums of rounded numbers are not off by more than this part.
const ROUNDING: f64 = 1e-5;
/// Lanes whose start is followed: one for slow faults, one for complete ones.
const FOLLOWED: [usize; 2] = [0, 2];
/// A bet that is worth no more than so many steps has no beginning yet.
const BEGUN_STEPS: f64 = 10.0;
/// The part of what is known of the length of steps that is kept from block to block.
const PACE_KEPT: f64 = 0.999;
/// Bets on less that are settled at once.
const TOGETHER: usize = 4;
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

/// The bets of one bin on it becoming commoner, one a lane.
///
/// A value obeys `R <- (R + length) e` with `e = 1 - eps + eps/p_U` on a hit and `1 - eps` on a miss.
/// Between hits every bet of a lane decays alike, so it holds only its excess over a bet that never
/// hit, as of its last hit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct More {
    excess: Lanes,
    at: u32,
    since: [u32; FOLLOWED.len()],
    hits: [u32; FOLLOWED.len()],
}

/// The bets of one bin on it becoming rarer, settled block by block: `e = 1 - eta` on a hit,
/// `1 + eta p_L / (1 - p_L)` on a miss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Less {
    value: [f32; LOSSES.len()],
    since: u32,
}

/// All evidence of one stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Evidence {
    /// Steps with a bet, modulo 2^32.
    clock: u32,
    /// The same since the evidence began, and the number of the last of them.
    told: u64,
    told_at: u32,
    /// The length of steps without one, still to be counted.
    owed: f64,
    lanes: Sums,
    more: Vec<More>,
    tilts: Tilts,
    tilts_since: [u32; TILTS.len()],
    less: Vec<Less>,
    /// The weighted sum of the bets on less, as of the last block.
    less_sum: f64,
    block: Block,
    pace: Pace,
}

/// What all bets on more of a stream have in common, lane by lane.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sums {
    /// The value of a bet that never hit.
    never: Lanes,
    /// The weighted sum of all bets.
    sum: Lanes,
}

impl Sums {
    const NOTHING: Self = Self { never: [0.0; EPSILONS.len()], sum: [0.0; EPSILONS.len()] };
}

/// What changes with every row, while rows are taken.
#[derive(Debug, Clone, Copy)]
struct Held {
    never: f32x4,
    sum: f32x4,
    tilts: f32x8,
    /// The length of steps without a bet.
    owed: f64,
}

impl Held {
    fn of(evidence: &Evidence) -> Self {
        let Sums { never, sum } = evidence.lanes;
        let tilts = f32x8::from(evidence.tilts);
        Self { never: f32x4::from(never), sum: f32x4::from(sum), tilts, owed: evidence.owed }
    }

    #[inline]
    fn now(&self, less: f64) -> Now {
        Now { lanes: self.sum, tilts: self.tilts, less }
    }

    fn put_back(&self, evidence: &mut Evidence) {
        evidence.lanes = Sums { never: self.never.to_array(), sum: self.sum.to_array() };
        (evidence.tilts, evidence.owed) = (self.tilts.to_array(), self.owed);
    }

    /// Every bet on more misses. Gives the value of a bet that never hit, with this step's length.
    #[inline]
    fn miss(&mut self, keep: f32x4, lane_weights: f32x4, length: f32x4) -> f32x4 {
        let never = self.never + length;
        self.never = keep * never;
        self.sum = keep * (self.sum + lane_weights * length);
        never
    }
}

impl More {
    /// This bin's bets did not miss after all. `never`: what a bet that never hit is worth, with this step's
    /// length; the clock has been advanced.
    #[inline]
    fn hit(
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
}

/// A row's place in a chunk, for the numbers of steps.
#[expect(clippy::cast_possible_truncation, reason = "numbers of steps are modulo 2^32")]
const fn place_of(at: usize) -> u32 {
    at as u32
}

#[inline]
fn tilt(tilts: f32x8, e: &Tilts, length: f32) -> f32x8 {
    ((tilts + f32x8::splat(length)) * f32x8::from(*e)).fast_min(f32x8::splat(EVIDENCE_MAX))
}

/// The sum of the tilts, in an order that can be added up four at a time.
#[inline]
fn sum_of([a, b, c, d, e, f, g, h]: &Tilts) -> f64 {
    f64::from(((a + e) + (c + g)) + ((b + f) + (d + h)))
}

#[inline]
fn sum_of_lanes([a, b, c, d]: Lanes) -> f64 {
    f64::from((a + c) + (b + d))
}

/// What is asked of the evidence while it takes steps.
#[derive(Debug)]
pub(super) enum Asked<'a> {
    /// The weighted sum of all bets after each step, to be added.
    Each(&'a mut [f64]),
    /// Something that no such sum exceeds, to be added: much less work, and nearly always enough.
    AtMost(&'a mut f64),
}

/// A stream's evidence after a step: weighted sums by lane, values by tilt, the weighted sum of bets on less.
#[derive(Debug, Clone, Copy)]
struct Now {
    lanes: f32x4,
    tilts: f32x8,
    less: f64,
}

impl Now {
    #[inline]
    fn total(&self, table: &Table) -> f64 {
        let (lanes, tilts) = (self.lanes.to_array(), self.tilts.to_array());
        sum_of_lanes(lanes) + table.tilt_weight * sum_of(&tilts) + self.less
    }
}

/// The most that each part of a stream's evidence was worth during some steps.
#[derive(Debug, Clone, Copy)]
struct Peak(Now);

impl Peak {
    #[inline]
    fn see(&mut self, now: &Now) {
        self.0.lanes = self.0.lanes.fast_max(now.lanes);
        self.0.tilts = self.0.tilts.fast_max(now.tilts);
        self.0.less = if now.less > self.0.less { now.less } else { self.0.less };
    }

    fn bound(&self, table: &Table) -> f64 {
        self.0.total(table) * (1.0 + ROUNDING)
    }
}

/// Steps whose bets on less are not settled yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Block {
    /// By slot: the hits of a bin that a bet on less covers.
    hits: Vec<f32>,
    steps: u32,
    length: f64,
    /// The length of the block before: only time that has passed may start a bet.
    before: f64,
    stratum: usize,
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
    fn step(&self, block: &Block) -> f64 {
        let steps = self.steps + f64::from(block.steps);
        if steps > 0.0 { (self.length + block.length) / steps } else { 0.0 }
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

const NO_MORE: More = More { excess: [0.0; EPSILONS.len()], at: 0, since: [0; 2], hits: [0; 2] };
const NO_LESS: Less = Less { value: [0.0; LOSSES.len()], since: 0 };

impl Evidence {
    pub(super) fn new(table: &Table) -> Self {
        Self {
            clock: 0,
            told: 0,
            told_at: 0,
            owed: 0.0,
            lanes: Sums::NOTHING,
            more: vec![NO_MORE; table.weights.len()],
            tilts: [0.0; TILTS.len()],
            tilts_since: [0; TILTS.len()],
            less: vec![NO_LESS; table.less_weights.len()],
            less_sum: 0.0,
            block: Block { hits: vec![0.0; table.slots_count], ..Block::default() },
            pace: Pace::default(),
        }
    }

    /// Whether it can belong to a table.
    pub(super) const fn fits(&self, table: &Table) -> bool {
        self.more.len() == table.weights.len()
            && self.less.len() == table.less_weights.len()
            && self.block.hits.len() == table.slots_count
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
            + self.less.len() * size_of::<Less>()
            + self.block.hits.len() * size_of::<f32>()
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        self.clock = 0;
        self.told = 0;
        self.owed = 0.0;
        self.lanes = Sums::NOTHING;
        self.more.iter_mut().for_each(|m| *m = NO_MORE);
        self.tilts = [0.0; TILTS.len()];
        self.less.iter_mut().for_each(|l| *l = NO_LESS);
        self.less_sum = 0.0;
        self.block.hits.iter_mut().for_each(|h| *h = 0.0);
        (self.block.steps, self.block.length, self.block.before) = (0, 0.0, 0.0);
        self.pace = Pace::default();
    }

    /// The stratum of the latest steps.
    pub(super) const fn stratum(&self) -> usize {
        self.block.stratum
    }

    /// The weighted sum of all bets; those on less as of the last block.
    #[inline]
    pub(super) fn total(&self, table: &Table) -> f64 {
        sum_of_lanes(self.lanes.sum) + table.tilt_weight * sum_of(&self.tilts) + self.less_sum
    }

    /// The weighted sum of all bets, those on less as of this very step: what may be compared with the
    /// threshold in the middle of a block.
    pub(super) fn exact_total(&self, table: &Table) -> f64 {
        let less: f64 = (0..self.less.len()).map(|place| self.less_value(table, place)).sum();
        self.total(table) - self.less_sum + less
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
                let mut peak = Peak(Held::of(self).now(self.less_sum));
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
        let mut held = Held::of(self);
        let mut at = 0;
        while at < rows.codes.len() {
            at = if rows.lengths.is_empty() {
                self.take_block(table, stratum, (rows, at), |_| 1.0, (&mut held, &mut show))
            } else {
                let length = |at| rows.lengths.get(at).copied().unwrap_or(1.0);
                self.take_block(table, stratum, (rows, at), length, (&mut held, &mut show))
            };
            held.put_back(self);
            if self.block.steps >= BLOCK {
                self.settle(table, rows.first.wrapping_add(place_of(at)).wrapping_sub(1));
                show(Some(&held.now(self.less_sum)));
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
        let less = self.less_sum;
        let (more, hits) = (self.more.as_mut_slice(), self.block.hits.as_mut_slice());
        // Kept where the processor has them at hand.
        let (mut clock, mut steps, mut lengths) = (self.clock, self.block.steps, self.block.length);
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
                held.tilts = tilt(held.tilts, e, short);
            }
            if let Some(hits) = hits.get_mut(usize::from(table.slots[bin])) {
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
        (self.clock, self.block.steps, self.block.length) = (clock, steps, lengths);
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
        let mut held = Held::of(self);
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
                && let Some(hits) = self.block.hits.get_mut(usize::from(*slot))
            {
                *hits += share;
            }
        }
        if !stratum.tilts.is_empty() {
            held.tilts = tilt(held.tilts, &tilts, short);
        }
        held.put_back(self);
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
        if stratum.is_some() && self.block.stratum != moment.stratum {
            // A block lies in one stratum.
            self.settle(table, moment.tick);
            self.block.stratum = moment.stratum;
        }
        stratum
    }

    /// The end of a step; settles a full block.
    #[inline]
    fn end(&mut self, table: &Table, length: f64, tick: u32) {
        self.block.steps += 1;
        self.block.length += length;
        if self.block.steps >= BLOCK {
            self.settle(table, tick);
        }
    }

    fn settle(&mut self, table: &Table, tick: u32) {
        if self.block.steps == 0 {
            return;
        }
        if self.clock % SWEEP < BLOCK {
            self.sweep();
        }
        self.pace.see(&self.block);
        let step = self.pace.step(&Block::default());
        for (value, since) in self.tilts.iter().zip(&mut self.tilts_since) {
            *since = if f64::from(*value) <= BEGUN_STEPS * step { tick } else { *since };
        }
        self.less_sum = self.settle_less(table, tick, single(BEGUN_STEPS * step * f64::from(BLOCK)));
        self.block.hits.iter_mut().for_each(|h| *h = 0.0);
        self.block.before = self.block.length;
        (self.block.steps, self.block.length) = (0, 0.0);
    }

    /// The bets on less at the end of a block; gives their weighted sum.
    /// `begun`: what is worth more has a beginning.
    fn settle_less(&mut self, table: &Table, tick: u32, begun: f32) -> f64 {
        let Some(stratum) = table.strata.get(self.block.stratum) else { return self.less_sum };
        let (before, steps) = (single(self.block.before), self.block.steps);
        let all = self.less.chunks_mut(TOGETHER).zip(stratum.less.chunks(TOGETHER));
        let of_table = table.less_covers.chunks(TOGETHER).zip(table.less_weights.chunks(TOGETHER));
        let mut sum = 0.0;
        for ((bets, losses), (covers, weights)) in all.zip(of_table) {
            let hits = covers.iter().map(|(slots, _)| covered(slots, &self.block.hits));
            let after = after_block(bets.iter().map(|bet| bet.value), before, losses, (steps, hits));
            for ((bet, after), weight) in bets.iter_mut().zip(after).zip(weights) {
                let [half, all] = after;
                bet.value = after;
                bet.since = if half > begun || all > begun { bet.since } else { tick };
                sum += weight * f64::from(half + all);
            }
        }
        sum
    }

    /// The bets of one bin on less, as of this step.
    fn less_values(&self, table: &Table, place: usize) -> [f32; LOSSES.len()] {
        let nothing = [0.0; LOSSES.len()];
        let (Some(bet), Some((slots, _))) = (self.less.get(place), table.less_covers.get(place)) else {
            return nothing;
        };
        let losses = table.strata.get(self.block.stratum).and_then(|s| s.less.get(place));
        match losses.filter(|_| self.block.steps > 0) {
            Some(losses) => {
                let hits = std::iter::once(covered(slots, &self.block.hits));
                let before = single(self.block.before);
                let value = std::iter::once(bet.value);
                let [after, ..] = after_block(value, before, &[*losses], (self.block.steps, hits));
                after
            }
            None => bet.value,
        }
    }

    fn less_value(&self, table: &Table, place: usize) -> f64 {
        let weight = table.less_weights.get(place).copied().unwrap_or(0.0);
        weight * self.less_values(table, place).iter().map(|v| f64::from(*v)).sum::<f64>()
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
            (Family::Less, Some(place)) => {
                let values = self.less.get(place).map_or([0.0; LOSSES.len()], |less| less.value);
                let sum: f64 = values.into_iter().map(f64::from).sum();
                table.less_weights.get(place).map_or(0.0, |weight| weight * sum)
            }
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
            Family::Less => self.less_value(table, place),
            Family::Tilt => table.tilt_weight * self.tilts.get(place).copied().map_or(0.0, f64::from),
        }
    }

    fn more_values(&self, table: &Table, place: usize) -> Lanes {
        let Some(bin) = self.more.get(place) else { return [0.0; EPSILONS.len()] };
        let decay = table.decay.after(self.clock.wrapping_sub(bin.at));
        let mut values = self.lanes.never;
        for ((value, decay), excess) in values.iter_mut().zip(decay).zip(bin.excess) {
            *value += decay * excess;
        }
        values
    }

    /// What speaks against one bet, for one on less as of the last block; nothing where nothing does.
    pub(super) fn suspicion(&self, table: &Table, bet: Bet) -> Option<Suspicion> {
        let place = table.place(bet)?;
        let step = self.pace.step(&self.block);
        match bet.family {
            Family::More => {
                let bin = self.more.get(place)?;
                let values = self.more_values(table, place);
                let each = FOLLOWED.into_iter().enumerate().filter_map(|(followed, lane)| {
                    let hits = *bin.hits.get(followed).filter(|h| **h > 0)?;
                    let nats = f64::from(values.get(lane)? / self.lanes.never.get(lane)?).ln();
                    Some(Suspicion { nats, since: *bin.since.get(followed)?, hits: Some(hits), loss: None })
                });
                each.reduce(|a, b| if b.nats > a.nats { b } else { a })
            }
            Family::Less => {
                let bet = self.less.get(place)?;
                let (most, loss) =
                    bet.value.into_iter().zip(LOSSES).reduce(|a, b| if b.0 >= a.0 { b } else { a })?;
                // One without news is worth about the mean block.
                let (value, floor) = (f64::from(most), step * f64::from(BLOCK));
                (value > 0.0 && floor > 0.0).then(|| Suspicion {
                    nats: (value / floor).ln(),
                    since: bet.since,
                    hits: None,
                    loss: Some(loss),
                })
            }
            Family::Tilt => {
                let value = f64::from(*self.tilts.get(place)?);
                let since = *self.tilts_since.get(place)?;
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

/// The hits of all bins that a bet on less covers.
#[inline]
fn covered(slots: &[usize], hits: &[f32]) -> f32 {
    slots.iter().filter_map(|slot| hits.get(*slot)).sum()
}

/// Bets on less at the end of a block, or so far in it, some at a time.
#[inline]
fn after_block(
    values: impl Iterator<Item = [f32; LOSSES.len()]>,
    before: f32,
    losses: &[Losses],
    (steps, hits): (u32, impl Iterator<Item = f32>),
) -> [[f32; LOSSES.len()]; TOGETHER] {
    let mut now = [[0.0; LOSSES.len()]; TOGETHER];
    let (mut miss, mut hit, mut share) = (now, now, now);
    now.iter_mut().zip(values).for_each(|(now, value)| *now = value);
    miss.iter_mut().zip(losses).for_each(|(miss, loss)| *miss = loss.miss);
    hit.iter_mut().zip(losses).for_each(|(hit, loss)| *hit = loss.hit);
    share.iter_mut().zip(hits).for_each(|(share, hits)| *share = [hits; LOSSES.len()]);
    let wide = |of: [[f32; LOSSES.len()]; TOGETHER]| {
        let [[a, b], [c, d], [e, f], [g, h]] = of;
        f32x8::from([a, b, c, d, e, f, g, h])
    };
    #[expect(clippy::cast_precision_loss, reason = "at most the steps of a block")]
    let misses = f32x8::splat(steps as f32) - wide(share);
    let most = f32x8::splat(EVIDENCE_MAX);
    let e = (wide(miss) * misses + wide(hit) * wide(share)).exp().fast_min(most);
    let [a, b, c, d, e, f, g, h] = ((wide(now) + f32x8::splat(before)) * e).fast_min(most).to_array();
    [[a, b], [c, d], [e, f], [g, h]]
}

/// What a share of a hit adds over a miss. Apart, lest its powers be taken where no share is.
#[inline(never)]
fn shared(gains: &Lanes, share: f64, table: &Table) -> Lanes {
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

#[cfg(test)]
mod tests;
