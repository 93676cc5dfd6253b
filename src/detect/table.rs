//! What never changes while a stream is watched: its bets, and what each row does to them.

use std::sync::{Arc, LazyLock};

use super::cut::{Code, SKIP};
use super::dependence::tempered;
use super::recovery::Badness;
use crate::units::single;

/// Shares of rows hit that are bet on: slow faults and complete ones alike.
pub(super) const EPSILONS: [f64; 4] = [0.01, 0.05, 0.25, 0.9];
/// The part of a bin's weight that each share has: complete faults are the worst and the quickest.
pub(super) const LANE_PARTS: [f64; 4] = [0.18, 0.17, 0.17, 0.48];
/// Tilts that are bet on, in standard deviations of the bins' normal scores.
pub(super) const TILTS: [f64; 8] = [-1.0, -0.45, -0.2, -0.09, 0.09, 0.2, 0.45, 1.0];
const TILTS_COUNT: f64 = 8.0;
/// Shares by which a bin becomes rarer that are bet on.
pub(super) const LOSSES: [f64; 2] = [0.5, 0.98];
/// Steps after which the bets on rarer bins are settled.
pub(super) const BLOCK: u32 = 64;

/// By share bet on. In single precision: four at a time, and 24 bits tell more than any baseline does.
pub(super) type Lanes = [f32; EPSILONS.len()];
/// By tilt.
pub(super) type Tilts = [f32; TILTS.len()];

/// What a stream is bet on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// A bin becomes commoner.
    More,
    /// A bin becomes rarer.
    Less,
    /// The whole distribution leans to one side.
    Tilt,
}

/// One bet on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) struct Bet {
    pub(super) family: Family,
    /// The bin's position; for a tilt its place in [`TILTS`].
    pub(super) index: usize,
}

/// What a stream's tables are made from: weights of its bets, and limits by stratum.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// By bin: the part of the budget that bets on it becoming commoner; 0 for none.
    pub(super) more: Vec<f64>,
    /// By bin: the part that bets on it becoming rarer.
    pub(super) less: Vec<f64>,
    /// By bin: the bins that a bet on its becoming rarer covers.
    pub(super) covers: Vec<Vec<usize>>,
    /// The part of all tilts.
    pub(super) tilt: f64,
    /// By stratum.
    pub(super) limits: Vec<Limits>,
    /// By how much evidence is tempered: 1 for independent steps.
    pub(super) clumping: f64,
}

/// Confidence limits of one stratum of one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    /// By bin: the upper limit of its healthy share.
    pub(super) upper: Vec<f64>,
    /// By bin: the lower limit of the share of all that its bet on less covers.
    pub(super) lower: Vec<f64>,
    /// By tilt: each bin's weight over the upper limit of the mean weight; empty without tilts.
    pub(super) tilts: Vec<Vec<f64>>,
    /// Whether the baseline knows this stratum at all.
    pub(super) is_known: bool,
}

/// By code, every code there can be: the place of a bet, or [`SKIP`].
pub(super) type Places = Box<[Code; 256]>;

/// The bets of one stream, ready for rows.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// What remains of a bet of each lane when its bin is missed.
    pub(super) keep: Lanes,
    /// The weight of all bets of each lane.
    pub(super) lane_weights: Lanes,
    /// By code: the place of its bet on more, or [`SKIP`].
    pub(super) places: Places,
    /// How many bins there are.
    pub(super) bins: usize,
    /// By place: the weight of all lanes together.
    pub(super) weights: Vec<f64>,
    /// By place: the weight of each lane.
    pub(super) parts: Vec<Lanes>,
    /// By stratum.
    pub(super) strata: Vec<Stratum>,
    /// By code: the place of its bet on less, or [`SKIP`].
    pub(super) less_places: Places,
    /// By code: where its hits are counted for the bets on less, or [`SKIP`].
    pub(super) slots: Places,
    pub(super) slots_count: usize,
    /// By place of a bet on less: the slots that it covers, and the bins.
    pub(super) less_covers: Vec<(Vec<usize>, Vec<usize>)>,
    pub(super) less_weights: Vec<f64>,
    /// The weight of each tilt; 0 without.
    pub(super) tilt_weight: f64,
    pub(super) clumping: f64,
    pub(super) decay: Arc<Decay>,
}

/// What a row in one stratum does to the bets.
#[derive(Debug, Clone)]
pub(super) struct Stratum {
    pub(super) is_known: bool,
    /// By place: what a hit adds over a miss, in units of the bet before.
    pub(super) gains: Vec<Lanes>,
    /// By place: the upper limit.
    pub(super) upper: Vec<f64>,
    /// By code: the e-value of each tilt.
    pub(super) tilts: Vec<Tilts>,
    /// By place.
    pub(super) less: Vec<Losses>,
}

/// The logarithms of the e-values of a bet on less, loss by loss.
#[derive(Debug, Clone, Copy)]
pub(super) struct Losses {
    pub(super) miss: [f32; LOSSES.len()],
    pub(super) hit: [f32; LOSSES.len()],
}

impl Table {
    pub(super) fn new(setup: &Setup) -> Self {
        let (places, weights) = placed(&setup.more, 1.0);
        let (less_places, less_weights) = placed(&setup.less, 1.0 / 2.0);
        let keep = EPSILONS.map(|eps| single(tempered(1.0 - eps, setup.clumping)));
        let (slots, slots_count, less_covers) = slots(&less_places, &setup.covers);
        let strata =
            setup.limits.iter().map(|limits| Stratum::new(limits, setup, (&places, &less_places))).collect();
        let has_tilts = setup.limits.iter().any(|l| !l.tilts.is_empty());
        Self {
            keep,
            lane_weights: LANE_PARTS.map(|part| single(part * weights.iter().sum::<f64>())),
            places,
            bins: setup.more.len(),
            parts: weights.iter().map(|weight| LANE_PARTS.map(|part| single(weight * part))).collect(),
            weights,
            strata,
            less_places,
            less_weights,
            slots,
            slots_count,
            less_covers,
            tilt_weight: if has_tilts { setup.tilt / TILTS_COUNT } else { 0.0 },
            clumping: setup.clumping,
            decay: Decay::shared(keep, setup.clumping),
        }
    }

    /// Every bet that has a weight.
    pub(super) fn bets(&self) -> impl Iterator<Item = Bet> + '_ {
        let of = |places: &Places, family| {
            let taken = places.iter().enumerate().filter(|(_, place)| **place != SKIP);
            taken.map(move |(index, _)| Bet { family, index }).collect::<Vec<_>>()
        };
        let tilts = if self.tilt_weight > 0.0 { TILTS.len() } else { 0 };
        of(&self.places, Family::More)
            .into_iter()
            .chain(of(&self.less_places, Family::Less))
            .chain((0..tilts).map(|index| Bet { family: Family::Tilt, index }))
    }

    pub(super) fn place(&self, bet: Bet) -> Option<usize> {
        let of = |places: &Places| places.get(bet.index).filter(|p| **p != SKIP).map(|p| usize::from(*p));
        match bet.family {
            Family::More => of(&self.places),
            Family::Less => of(&self.less_places),
            Family::Tilt => (self.tilt_weight > 0.0 && bet.index < TILTS.len()).then_some(bet.index),
        }
    }

    /// How bad each bin is to a bet, and by stratum the most that health has of it: what the test of recovery
    /// waits for.
    pub(super) fn badness(&self, bet: Bet) -> Option<Badness> {
        let place = self.place(bet)?;
        let by_stratum = |of: &dyn Fn(&Stratum) -> Option<f64>| -> Vec<Option<f64>> {
            self.strata.iter().map(|s| Some(s).filter(|s| s.is_known).and_then(of)).collect()
        };
        let mut of_bins = vec![0.0; self.bins];
        let healthy = match bet.family {
            Family::More => {
                *of_bins.get_mut(bet.index)? = 1.0;
                by_stratum(&|s| s.upper.get(place).copied())
            }
            Family::Less => {
                of_bins.iter_mut().for_each(|b| *b = 1.0);
                for bin in &self.less_covers.get(place)?.1 {
                    *of_bins.get_mut(*bin)? = 0.0;
                }
                // A miss is worth 1 + eta p / (1 - p).
                by_stratum(&|s| {
                    let miss = f64::from(*s.less.get(place)?.miss.first()?);
                    let odds = (miss * self.clumping).exp_m1() / LOSSES.first()?;
                    Some(1.0 / (1.0 + odds))
                })
            }
            Family::Tilt => {
                let weights = self.tilt_weights(bet.index)?;
                let (low, top) = range(&weights)?;
                // Hours differ only by the limit of the mean weight.
                of_bins.iter_mut().zip(weights).for_each(|(bad, e)| *bad = (e - low) / (top - low));
                // It is where an e-value is 1.
                by_stratum(&|s| {
                    range(&self.tilt_in(s, bet.index)).map(|(low, top)| (1.0 - low) / (top - low))
                })
            }
        };
        Some(Badness { of_bins, healthy, spread: 1.0 })
    }

    /// By bin: what a row is worth to a tilt, in the first stratum where it says something, not tempered.
    pub(super) fn tilt_weights(&self, tilt: usize) -> Option<Vec<f64>> {
        let known = self.strata.iter().filter(|s| s.is_known);
        known.map(|s| self.tilt_in(s, tilt)).find(|weights| range(weights).is_some())
    }

    fn tilt_in(&self, stratum: &Stratum, tilt: usize) -> Vec<f64> {
        let of = stratum.tilts.iter().filter_map(|t| t.get(tilt));
        of.map(|e| f64::from(*e).powf(self.clumping)).collect()
    }
}

/// The least and the most; nothing where they are alike.
fn range(values: &[f64]) -> Option<(f64, f64)> {
    let top = values.iter().copied().reduce(|a, b| if b > a { b } else { a })?;
    let low = values.iter().copied().reduce(|a, b| if b < a { b } else { a })?;
    (top > low).then_some((low, top))
}

impl Losses {
    fn new(lower: f64, clumping: f64) -> Self {
        Self {
            miss: LOSSES.map(|eta| single(tempered(1.0 + eta * lower / (1.0 - lower), clumping).ln())),
            hit: LOSSES.map(|eta| single(tempered(1.0 - eta, clumping).ln())),
        }
    }
}

/// Places for the bets that have a weight, in the order of bins, and `part` of their weights.
fn placed(weights: &[f64], part: f64) -> (Places, Vec<f64>) {
    let mut places = Box::new([SKIP; 256]);
    let mut kept = Vec::new();
    for (place, weight) in places.iter_mut().zip(weights).filter(|(_, weight)| **weight > 0.0) {
        *place = super::cut::code(kept.len());
        kept.push(weight * part);
    }
    (places, kept)
}

/// Where hits are counted, and which of these counts each bet on less adds up.
type Slots = (Places, usize, Vec<(Vec<usize>, Vec<usize>)>);

fn slots(less_places: &Places, covers: &[Vec<usize>]) -> Slots {
    let mut slots = Box::new([SKIP; 256]);
    let (mut taken, mut bets) = (0, Vec::new());
    let placed = less_places.iter().enumerate().filter(|(_, place)| **place != SKIP);
    for (bin, _) in placed {
        let bins = covers.get(bin).cloned().unwrap_or_else(|| vec![bin]);
        let mut of_bet = Vec::new();
        for bin in &bins {
            let Some(slot) = slots.get_mut(*bin) else { continue };
            if *slot == SKIP {
                *slot = super::cut::code(taken);
                taken += 1;
            }
            of_bet.push(usize::from(*slot));
        }
        bets.push((of_bet, bins));
    }
    (slots, taken, bets)
}

impl Stratum {
    fn new(limits: &Limits, setup: &Setup, (places, less_places): (&Places, &Places)) -> Self {
        let temper = |e: f64| tempered(e, setup.clumping);
        let chosen = |places: &Places, of: &[f64]| -> Vec<f64> {
            let taken = places.iter().zip(of).filter(|(place, _)| **place != SKIP);
            taken.map(|(_, limit)| *limit).collect()
        };
        let upper = chosen(places, &limits.upper);
        let gains = upper
            .iter()
            .map(|p| EPSILONS.map(|eps| single(temper(1.0 - eps + eps / p) - temper(1.0 - eps))))
            .collect();
        let less =
            chosen(less_places, &limits.lower).iter().map(|p| Losses::new(*p, setup.clumping)).collect();
        let tilt = |bin: usize| -> Tilts {
            let mut e: Tilts = [1.0; TILTS.len()];
            for (e, weights) in e.iter_mut().zip(&limits.tilts) {
                *e = single(temper(weights.get(bin).copied().unwrap_or(1.0)));
            }
            e
        };
        let bins = if limits.tilts.is_empty() { 0 } else { setup.more.len() };
        Self { is_known: limits.is_known, gains, upper, tilts: (0..bins).map(tilt).collect(), less }
    }
}

/// Powers of what remains after a miss, by two tables: `keep^n` for every `n` below 65,536.
#[derive(Debug, Clone)]
pub(super) struct Decay {
    low: Box<[Lanes; 256]>,
    high: Box<[Lanes; 256]>,
    keep: Lanes,
    /// Nothing is left of any lane after more misses than the tables have.
    is_gone: bool,
}

/// Of bets that are not tempered: the same for nearly every stream, and kept near the processor as one.
static UNTEMPERED: LazyLock<Arc<Decay>> =
    LazyLock::new(|| Arc::new(Decay::new(EPSILONS.map(|eps| single(1.0 - eps)))));

impl Decay {
    fn shared(keep: Lanes, clumping: f64) -> Arc<Self> {
        if clumping <= 1.0 { Arc::clone(&UNTEMPERED) } else { Arc::new(Self::new(keep)) }
    }

    fn new(keep: Lanes) -> Self {
        let powers = |step: u32| {
            let mut powers = Box::new([[0.0; EPSILONS.len()]; 256]);
            let power = |k: f32, n: u32| single(f64::from(k).powf(f64::from(n * step)));
            powers.iter_mut().zip(0_u32..).for_each(|(p, n)| *p = keep.map(|k| power(k, n)));
            powers
        };
        let is_gone = keep.iter().all(|k| single(f64::from(*k).powf(65_536.0)) <= 0.0);
        Self { low: powers(1), high: powers(256), keep, is_gone }
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a byte is below 256, a lane below four")]
    pub(super) fn after(&self, misses: u32) -> Lanes {
        let [a, b, c, d] = misses.to_be_bytes();
        if a > 0 || b > 0 {
            if self.is_gone {
                return [0.0; EPSILONS.len()];
            }
            return self.keep.map(|k| single(f64::from(k).powf(f64::from(misses))));
        }
        let (high, low) = (&self.high[usize::from(c)], &self.low[usize::from(d)]);
        if c == 0 {
            return *low;
        }
        std::array::from_fn(|lane| high[lane] * low[lane])
    }
}
