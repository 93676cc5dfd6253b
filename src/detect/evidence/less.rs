//! Bets on bins becoming rarer, settled block by block.

use serde::{Deserialize, Serialize};
use wide::f32x8;

use super::super::table::{LOSSES, Losses, Table};
use super::{EVIDENCE_MAX, Suspicion};
use crate::units::single;

/// Bets that are settled at once.
const TOGETHER: usize = 4;
/// The value of one bet, by the part that it says is lost.
type Values = [f32; LOSSES.len()];

/// All such bets of one stream.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rarer {
    bets: Box<[Less]>,
    /// The weighted sum of all, as of the last block.
    pub(super) sum: f64,
    pub(super) block: Block,
}

/// The bets on one bin: `e = 1 - eta` on a hit, `1 + eta p_L / (1 - p_L)` on a miss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Less {
    value: Values,
    since: u32,
}

const NO_LESS: Less = Less { value: [0.0; LOSSES.len()], since: 0 };

/// Steps that are not settled yet.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Block {
    /// By slot: the hits of a bin that a bet covers.
    pub(super) hits: Box<[f32]>,
    pub(super) steps: u32,
    /// The length of the block before: only time that has passed may start a bet.
    before: f32,
    pub(super) length: f64,
    stratum: u16,
}

impl Clone for Rarer {
    fn clone(&self) -> Self {
        Self { bets: self.bets.clone(), block: self.block.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Self) {
        let Self { bets, sum, block } = source;
        self.bets.clone_from(bets);
        self.sum = *sum;
        self.block.clone_from(block);
    }
}

impl Clone for Block {
    fn clone(&self) -> Self {
        Self { hits: self.hits.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Self) {
        let Self { hits, steps, before, length, stratum } = source;
        self.hits.clone_from(hits);
        (self.steps, self.before) = (*steps, *before);
        (self.length, self.stratum) = (*length, *stratum);
    }
}

impl Block {
    pub(super) fn stratum(&self) -> usize {
        usize::from(self.stratum)
    }

    pub(super) fn begin(&mut self, stratum: usize) {
        self.stratum = u16::try_from(stratum).unwrap_or(u16::MAX);
    }

    /// The hits of all bins that a bet covers.
    #[inline]
    fn covered(&self, slots: &[usize]) -> f32 {
        slots.iter().filter_map(|slot| self.hits.get(*slot)).sum()
    }
}

impl Rarer {
    pub(super) fn new(table: &Table) -> Self {
        let hits = vec![0.0; table.slots_count].into_boxed_slice();
        Self {
            bets: vec![NO_LESS; table.less_weights.len()].into_boxed_slice(),
            sum: 0.0,
            block: Block { hits, steps: 0, before: 0.0, length: 0.0, stratum: 0 },
        }
    }

    pub(super) const fn fits(&self, table: &Table) -> bool {
        self.bets.len() == table.less_weights.len() && self.block.hits.len() == table.slots_count
    }

    /// Bytes beside its own.
    pub(super) const fn bytes(&self) -> usize {
        self.bets.len() * size_of::<Less>() + self.block.hits.len() * size_of::<f32>()
    }

    /// Forgets everything but the stratum.
    pub(super) fn reset(&mut self) {
        self.bets.fill(NO_LESS);
        self.sum = 0.0;
        self.block.hits.fill(0.0);
        (self.block.steps, self.block.length, self.block.before) = (0, 0.0, 0.0);
    }

    /// The end of a block. What is worth more than `begun` has a beginning.
    pub(super) fn settle(&mut self, table: &Table, tick: u32, begun: f32) {
        self.settle_bets(table, tick, begun);
        let block = &mut self.block;
        block.hits.fill(0.0);
        block.before = single(block.length);
        (block.steps, block.length) = (0, 0.0);
    }

    fn settle_bets(&mut self, table: &Table, tick: u32, begun: f32) {
        let Some(stratum) = table.strata.get(self.block.stratum()) else { return };
        let all = self.bets.chunks_mut(TOGETHER).zip(stratum.less.chunks(TOGETHER));
        let of_table = table.less_covers.chunks(TOGETHER).zip(table.less_weights.chunks(TOGETHER));
        self.sum = 0.0;
        for ((bets, losses), (covers, weights)) in all.zip(of_table) {
            let hits = covers.iter().map(|(slots, _)| self.block.covered(slots));
            let after = after_block(bets.iter().map(|bet| bet.value), losses, (&self.block, hits));
            for ((bet, after), weight) in bets.iter_mut().zip(after).zip(weights) {
                let [half, all] = after;
                bet.value = after;
                bet.since = if half > begun || all > begun { bet.since } else { tick };
                self.sum += weight * f64::from(half + all);
            }
        }
    }

    /// The weighted sum of all bets, as of this step.
    pub(super) fn exact_sum(&self, table: &Table) -> f64 {
        (0..self.bets.len()).map(|place| self.weighted(table, place)).sum()
    }

    /// The weighted bets on one bin, as of this step.
    pub(super) fn weighted(&self, table: &Table, place: usize) -> f64 {
        weighted(table, place, self.values(table, place))
    }

    /// The same as of the last block.
    pub(super) fn settled(&self, table: &Table, place: usize) -> f64 {
        weighted(table, place, self.bets.get(place).map_or(NO_LESS.value, |bet| bet.value))
    }

    fn values(&self, table: &Table, place: usize) -> Values {
        let (Some(bet), Some((slots, _))) = (self.bets.get(place), table.less_covers.get(place)) else {
            return NO_LESS.value;
        };
        let losses = table.strata.get(self.block.stratum()).and_then(|s| s.less.get(place));
        match losses.filter(|_| self.block.steps > 0) {
            Some(losses) => {
                let hits = std::iter::once(self.block.covered(slots));
                let [after, ..] = after_block(std::iter::once(bet.value), &[*losses], (&self.block, hits));
                after
            }
            None => bet.value,
        }
    }

    /// What speaks against one bin as of the last block. `floor`: what a bet without news is worth.
    pub(super) fn suspicion(&self, place: usize, floor: f64) -> Option<Suspicion> {
        let bet = self.bets.get(place)?;
        let (most, loss) = bet.value.into_iter().zip(LOSSES).reduce(|a, b| if b.0 >= a.0 { b } else { a })?;
        let value = f64::from(most);
        (value > 0.0 && floor > 0.0).then(|| Suspicion {
            nats: (value / floor).ln(),
            since: bet.since,
            hits: None,
            loss: Some(loss),
        })
    }
}

fn weighted(table: &Table, place: usize, values: Values) -> f64 {
    let weight = table.less_weights.get(place).copied().unwrap_or(0.0);
    weight * values.iter().map(|v| f64::from(*v)).sum::<f64>()
}

/// Bets at the end of a block, or so far in it, some at a time; `hits`: of what each covers.
#[inline]
fn after_block(
    values: impl Iterator<Item = Values>,
    losses: &[Losses],
    (block, hits): (&Block, impl Iterator<Item = f32>),
) -> [Values; TOGETHER] {
    let mut now = [NO_LESS.value; TOGETHER];
    let (mut miss, mut hit, mut share) = (now, now, now);
    now.iter_mut().zip(values).for_each(|(now, value)| *now = value);
    miss.iter_mut().zip(losses).for_each(|(miss, loss)| *miss = loss.miss);
    hit.iter_mut().zip(losses).for_each(|(hit, loss)| *hit = loss.hit);
    share.iter_mut().zip(hits).for_each(|(share, hits)| *share = [hits; LOSSES.len()]);
    let wide = |of: [Values; TOGETHER]| {
        let [[a, b], [c, d], [e, f], [g, h]] = of;
        f32x8::from([a, b, c, d, e, f, g, h])
    };
    #[expect(clippy::cast_precision_loss, reason = "at most the steps of a block")]
    let misses = f32x8::splat(block.steps as f32) - wide(share);
    let most = f32x8::splat(EVIDENCE_MAX);
    let e = (wide(miss) * misses + wide(hit) * wide(share)).exp().fast_min(most);
    let now = (wide(now) + f32x8::splat(block.before)) * e;
    let [a, b, c, d, e, f, g, h] = now.fast_min(most).to_array();
    [[a, b], [c, d], [e, f], [g, h]]
}
