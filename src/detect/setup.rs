use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::Error;
use super::bet::{KINDS, Kind, Subject};
use super::bins::Bin;
use super::calibrate::Calibration;
use super::evidence::Evidence;
use super::rate::{self, Rate};
use super::scores;
use super::state::{Group, Start, State};
use super::stream::{Role, Source, Stream, Topic};
use super::table::{Bet, Family, Limits, Setup, TILTS, Table};
use super::tails::{self, Cover, Side};
use super::{limits, mean, strata};
use crate::baseline::Budget;
use crate::record::Schema;
use crate::units::{PerSecond, Timestamp, count, whole};

/// The version of everything else that judges: shares bet on, factors, bands, tests of recovery. To be
/// raised with any change to them, so that no evidence outlives its rules.
const RULES: u32 = 8;
/// The group of the row rate.
const TRAFFIC_GROUP: &str = Schema::TRAFFIC_GROUP;
/// The detector of the row rate: the one whose stream is not cut into bins.
pub const ROW_RATE: &str = "row_rate";
/// The chance, over baselines, that any limit of this calibration is wrong.
const WRONG_LIMITS: f64 = 0.05;
/// The part of it that all limits have alike.
const EVEN_PART: f64 = 0.3;
/// A bin that health has in fewer rows than this cannot be seen to become rarer.
const LESS_SHARE_MIN: f64 = 0.002;
/// A bin that health may have in more rows than this cannot be seen to become commoner: were it hit by every
/// row, evidence would take thousands of them.
const MORE_SHARE_MAX: f64 = 0.99;
/// Bins that a stream has at most, of those that a detector bets on.
const NO_BET: Option<usize> = None;

/// How a monitor is set up beside its baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The false alarms allowed.
    pub budget: Budget,
    /// Rows a second in health; 0 when unknown.
    pub rate: PerSecond,
    /// Detectors switched off: their weight is 0 and goes to nobody.
    pub without: BTreeSet<String>,
}

/// Who bets on what, with how much, against which limit: by stream.
#[derive(Debug)]
pub(super) struct Wiring {
    pub(super) tables: Vec<Table>,
    owners: Vec<Owners>,
    /// The part of the budget that the row rate has.
    rate_weight: f64,
}

/// By bet: the position in [`KINDS`] of the detector whose it is.
#[derive(Debug, Clone)]
struct Owners {
    more: Vec<Option<usize>>,
    less: Vec<Option<usize>>,
    tilt: Option<usize>,
    /// By bin: what a bet on less covers.
    covers: Vec<Cover>,
}

impl Owners {
    fn of(&self, bet: Bet) -> Option<usize> {
        match bet.family {
            Family::More => self.more.get(bet.index).copied().flatten(),
            Family::Less => self.less.get(bet.index).copied().flatten(),
            Family::Tilt => self.tilt,
        }
    }

    fn covered(&self) -> impl Iterator<Item = &[usize]> + Clone {
        self.covers.iter().map(|c| c.bins.as_slice())
    }

    fn all(&self) -> impl Iterator<Item = usize> + '_ {
        self.more.iter().chain(&self.less).copied().chain([self.tilt]).flatten()
    }
}

impl Wiring {
    pub(super) fn new(calibration: &Calibration, options: &Options) -> Self {
        let streams = &calibration.streams;
        let claimed: Vec<Owners> = streams.iter().map(claims).collect();
        let limits = all_limits(calibration, &claimed);
        let owners: Vec<Owners> =
            claimed.iter().zip(&limits).map(|(owners, limits)| worth_it(owners, limits)).collect();
        let parts = Parts::new(streams, &owners, (options.rate.get() > 0.0, units_of));
        let each = streams.iter().zip(&owners).zip(limits);
        let tables = each
            .map(|((stream, owners), limits)| {
                let is_on =
                    |kind: &usize| KINDS.get(*kind).is_some_and(|k| !options.without.contains(k.name()));
                let part = |family, index, kind: Option<usize>| {
                    let bet = Bet { family, index };
                    kind.filter(is_on).map_or(0.0, |kind| parts.of(stream, owners, bet, kind))
                };
                let all = |family, kinds: &[Option<usize>]| {
                    kinds.iter().enumerate().map(|(bin, kind)| part(family, bin, *kind)).collect()
                };
                Table::new(&Setup {
                    more: all(Family::More, &owners.more),
                    less: all(Family::Less, &owners.less),
                    covers: owners.covered().map(<[usize]>::to_vec).collect(),
                    tilt: part(Family::Tilt, 0, owners.tilt) * count(whole(TILTS.len())),
                    limits,
                    clumping: stream.clumping,
                })
            })
            .collect();
        let rate_weight = weight_of(ROW_RATE, &options.without) / parts.all;
        Self { tables, owners, rate_weight }
    }

    pub(super) fn table(&self, stream: usize) -> Option<&Table> {
        self.tables.get(stream)
    }

    pub(super) fn owner(&self, stream: usize, bet: Bet) -> Option<&'static dyn Kind> {
        KINDS.get(self.owner_index(stream, bet)?).copied()
    }

    pub(super) fn owner_index(&self, stream: usize, bet: Bet) -> Option<usize> {
        self.owners.get(stream)?.of(bet)
    }

    /// What a bet on less of a bin covers.
    pub(super) fn cover(&self, stream: usize, bin: usize) -> Option<&Cover> {
        self.owners.get(stream)?.covers.get(bin)
    }

    pub(super) fn has(&self, stream: usize, kind: usize) -> bool {
        self.owners.get(stream).is_some_and(|o| o.all().any(|k| k == kind))
    }

    /// Every bet of a stream that has a weight: those of detectors that are switched off have none.
    pub(super) fn bets(&self, stream: usize) -> impl Iterator<Item = Bet> + '_ {
        self.tables.get(stream).into_iter().flat_map(Table::bets)
    }
}

/// Whose each bet of a stream would be.
fn claims(stream: &Stream) -> Owners {
    let topic = stream.source.topic();
    let owner = |family, bin: &Bin| {
        if *bin == Bin::Never {
            return NO_BET;
        }
        KINDS.iter().position(|k| k.claims(&Subject { topic, family, bin, side: Side::Alone }))
    };
    let has_scores = scores::has_any(stream);
    let is_harm = scores::is_harm(stream);
    Owners {
        more: stream.bins.iter().zip(is_harm).map(|(b, is)| owner(Family::More, b).filter(|_| is)).collect(),
        less: stream.bins.iter().map(|b| owner(Family::Less, b)).collect(),
        tilt: stream.bins.first().filter(|_| has_scores).and_then(|b| owner(Family::Tilt, b)),
        covers: tails::covers(stream),
    }
}

/// Confidence limits of all streams that hold together with 95 %; for limits by the hour see
/// [`strata::UNNOTICED`].
///
/// A part of the chance to be wrong is split evenly over the limits, the rest by the weights of their bets:
/// a bet of much weight is worth a sharp limit. Both parts are known before any count is looked at, but
/// for the bins that are too rare to become rarer.
fn all_limits(calibration: &Calibration, claimed: &[Owners]) -> Vec<Vec<Limits>> {
    let deltas = Deltas::new(calibration, claimed);
    let streams = &calibration.streams;
    let mut known = Known::default();
    let mut of_stream = |stream: &Stream, owners: &Owners| {
        limits_of(stream, owners, &|bet| deltas.of(stream, owners, bet), &mut known)
    };
    streams.iter().zip(claimed).map(|(stream, owners)| of_stream(stream, owners)).collect()
}

/// The chance, over baselines, that a limit is wrong.
struct Deltas {
    /// All of it, to be split.
    all: f64,
    /// Of each limit alike.
    even: f64,
    parts: Parts,
}

impl Deltas {
    fn new(calibration: &Calibration, claimed: &[Owners]) -> Self {
        let streams = &calibration.streams;
        let needed: usize = streams.iter().zip(claimed).map(|(s, o)| limits_needed(s, o)).sum();
        let all = if calibration.clustered { WRONG_LIMITS / limits::SHARES } else { WRONG_LIMITS };
        Self {
            all,
            even: EVEN_PART * all / count(whole(needed.max(1))),
            // Influence was learnt from rows that some of the limits count.
            parts: Parts::new(streams, claimed, (false, usual_units_of)),
        }
    }

    fn of(&self, stream: &Stream, owners: &Owners, bet: Bet) -> f64 {
        let strata = count(whole(stream.counts.len().max(1)));
        let part = owners.of(bet).map_or(0.0, |kind| self.parts.of(stream, owners, bet, kind));
        self.even + (1.0 - EVEN_PART) * self.all * part / strata
    }
}

/// The upper limit of a bin in the worst hour that is known, by how many times the rows there might be;
/// nothing where no row speaks for it.
pub(super) fn upper_of_longer(
    calibration: &Calibration,
    stream: usize,
    bet: Bet,
) -> impl Fn(f64) -> Option<f64> + use<> {
    let streams = &calibration.streams;
    let claimed: Vec<Owners> = streams.iter().map(claims).collect();
    let found = streams.get(stream).zip(claimed.get(stream));
    let counts = found.map(|(s, _)| own_counts(s, bet.index));
    let delta = found.map_or(0.0, |(s, owners)| Deltas::new(calibration, &claimed).of(s, owners, bet));
    let known: Vec<(f64, f64)> = counts.into_iter().flatten().filter(|(_, trials)| *trials > 0.0).collect();
    move |factor| {
        let uppers = known.iter().map(|(hits, trials)| limits::upper(hits * factor, trials * factor, delta));
        uppers.reduce(|a, b| if b > a { b } else { a })
    }
}

/// By stratum: the hits and trials that speak for one bin.
fn own_counts(stream: &Stream, bin: usize) -> Vec<(f64, f64)> {
    let (hits, trials) = stream.by_stratum();
    let of = |counts: &Vec<f64>| counts.get(bin).copied().unwrap_or(0.0);
    hits.iter().map(of).zip(trials.iter().map(of)).collect()
}

fn limits_needed(stream: &Stream, owners: &Owners) -> usize {
    let common = |bin: &usize| {
        let cover = owners.covers.get(*bin).map_or(&[][..], |c| &c.bins);
        let (hits, trials) = stream.pooled_cover(cover);
        hits > LESS_SHARE_MIN * trials
    };
    let more = owners.more.iter().flatten().count();
    let less = owners.less.iter().enumerate().filter(|(b, k)| k.is_some() && common(b)).count();
    let tilts = if owners.tilt.is_some() { TILTS.len() } else { 0 };
    (more + less + tilts) * stream.counts.len()
}

/// Limits already computed: the same counts come again and again.
#[derive(Default)]
struct Known(BTreeMap<(u64, u64, u64, bool), f64>);

impl Known {
    fn upper(&mut self, (hits, trials): (f64, f64), delta: f64) -> f64 {
        let key = (hits.to_bits(), trials.to_bits(), delta.to_bits(), true);
        *self.0.entry(key).or_insert_with(|| limits::upper(hits, trials, delta))
    }

    fn lower(&mut self, (hits, trials): (f64, f64), delta: f64) -> f64 {
        let key = (hits.to_bits(), trials.to_bits(), delta.to_bits(), false);
        *self.0.entry(key).or_insert_with(|| limits::lower(hits, trials, delta))
    }
}

/// The limits of a stream by stratum; steps that depend on each other count as fewer.
fn limits_of(stream: &Stream, owners: &Owners, delta: &dyn Fn(Bet) -> f64, known: &mut Known) -> Vec<Limits> {
    let scores = owners.tilt.and_then(|_| scores::of(stream));
    let (counts, covered) = (stream.by_stratum(), stream.covered_by_stratum(owners.covered()));
    if stream.counts.len() > 1 {
        return limits_by_stratum(stream, owners, &counts, &covered, scores.as_deref(), delta);
    }
    let first = |(hits, trials): &(Vec<Vec<f64>>, Vec<Vec<f64>>)| -> Vec<(f64, f64)> {
        let each = hits.iter().zip(trials).next();
        each.into_iter().flat_map(|(h, t)| h.iter().copied().zip(t.iter().copied())).collect()
    };
    let trials = counts.1.first().map_or(&[][..], Vec::as_slice);
    let mut all = Limits { is_known: trials.iter().any(|t| *t > 0.0), ..Limits::default() };
    for (index, (counts, covered)) in first(&counts).into_iter().zip(first(&covered)).enumerate() {
        let (more, less) = (Bet { family: Family::More, index }, Bet { family: Family::Less, index });
        let has = |bet| owners.of(bet).is_some();
        all.upper.push(if has(more) { known.upper(counts, delta(more)) } else { 1.0 });
        all.lower.push(if has(less) { known.lower(covered, delta(less)) } else { 0.0 });
    }
    let effective: Vec<f64> =
        stream.counts.iter().flat_map(|c| &c.hits).map(|hits| hits / stream.clumping).collect();
    let tilt = delta(Bet { family: Family::Tilt, index: 0 });
    all.tilts = scores.map_or_else(Vec::new, |z| {
        scores::tilts(scores::all_weights(stream, &z), |w| mean::upper_mean(w, &effective, tilt))
    });
    vec![all]
}

/// The same where hours are unlike: each has limits of its own, with rows lent by the others as far as
/// they are alike.
fn limits_by_stratum(
    stream: &Stream,
    owners: &Owners,
    (hits, trials): &(Vec<Vec<f64>>, Vec<Vec<f64>>),
    covered: &(Vec<Vec<f64>>, Vec<Vec<f64>>),
    scores: Option<&[Option<f64>]>,
    delta: &dyn Fn(Bet) -> f64,
) -> Vec<Limits> {
    // One level for all bets of the stream: the least that any of them has.
    let of = |family, kinds: &[Option<usize>]| {
        let mine = kinds.iter().enumerate().filter(|(_, kind)| kind.is_some());
        mine.map(|(index, _)| delta(Bet { family, index })).collect::<Vec<f64>>()
    };
    let levels = [of(Family::More, &owners.more), of(Family::Less, &owners.less)].concat();
    let tilt = delta(Bet { family: Family::Tilt, index: 0 });
    let level = levels.into_iter().fold(tilt, |least, d| if d < least { d } else { least });
    let table = strata::Table { hits, trials };
    let upper = strata::stratum_limits(&table, level, strata::UNNOTICED).upper;
    let covered = strata::Table { hits: &covered.0, trials: &covered.1 };
    let lower = strata::stratum_limits(&covered, level, strata::UNNOTICED).lower;
    let tilts: Vec<Vec<Vec<f64>>> =
        scores.map_or_else(Vec::new, |z| by_tilt(&table, &scores::all_weights(stream, z), level));
    let limits_in = |stratum: usize| {
        let of = |all: &[Vec<Option<f64>>], unknown: f64| -> Vec<f64> {
            let limits = all.get(stratum).map_or(&[][..], Vec::as_slice);
            limits.iter().map(|limit| limit.unwrap_or(unknown)).collect()
        };
        Limits {
            upper: of(&upper, 1.0),
            lower: of(&lower, 0.0),
            tilts: tilts.get(stratum).cloned().unwrap_or_else(Vec::new),
            is_known: stream.counts.get(stratum).is_some_and(|c| c.trials > 0.0),
        }
    };
    (0..stream.counts.len()).map(limits_in).collect()
}

/// By stratum and tilt: each bin's weight over the limit of its mean there; 1 where there is none.
fn by_tilt(table: &strata::Table<'_>, weights: &[Vec<f64>], delta: f64) -> Vec<Vec<Vec<f64>>> {
    let mut all: Vec<Vec<Vec<f64>>> = vec![Vec::new(); table.hits.len()];
    for weights in weights {
        let means = strata::stratum_mean_limits(table, weights, delta, strata::UNNOTICED);
        for (tilts, mean) in all.iter_mut().zip(means) {
            tilts.push(weights.iter().map(|w| mean.map_or(1.0, |mean| w / mean)).collect());
        }
    }
    all
}

/// Leaves out the bets that could only wait: on more where health may always hit, on less where it hardly
/// ever does.
fn worth_it(owners: &Owners, limits: &[Limits]) -> Owners {
    let any = |is: &dyn Fn(&Limits) -> bool| limits.iter().filter(|l| l.is_known).any(is);
    let kept = |kinds: &[Option<usize>], is: &dyn Fn(&Limits, usize) -> bool| {
        kinds.iter().enumerate().map(|(bin, kind)| kind.filter(|_| any(&|l| is(l, bin)))).collect()
    };
    let upper = |l: &Limits, bin: usize| l.upper.get(bin).is_some_and(|u| *u < MORE_SHARE_MAX);
    let lower = |l: &Limits, bin: usize| l.lower.get(bin).is_some_and(|p| *p > LESS_SHARE_MIN && *p < 1.0);
    Owners {
        more: kept(&owners.more, &upper),
        less: kept(&owners.less, &lower),
        tilt: owners.tilt.filter(|_| any(&|l| !l.tilts.is_empty())),
        covers: owners.covers.clone(),
    }
}

/// The weight of a detector by name; 0 when it is switched off.
fn weight_of(name: &str, without: &BTreeSet<String>) -> f64 {
    let kind = KINDS.iter().find(|k| k.name() == name && !without.contains(name));
    kind.map_or(0.0, |k| k.weight())
}

/// How the budget is split: over the detectors that this traffic has a bet for, switched off or not (what
/// a detector that is switched off would have had goes to nobody), over their streams, over their bets.
struct Parts {
    /// The weights of all detectors that have a bet.
    all: f64,
    /// By detector: the units of its streams.
    units: BTreeMap<usize, f64>,
    units_of: fn(&Stream) -> f64,
}

impl Parts {
    fn new(streams: &[Stream], owners: &[Owners], (has_rate, units_of): (bool, fn(&Stream) -> f64)) -> Self {
        let mut units: BTreeMap<usize, f64> = BTreeMap::new();
        for (stream, owners) in streams.iter().zip(owners) {
            for kind in owners.all().collect::<BTreeSet<usize>>() {
                *units.entry(kind).or_insert(0.0) += units_of(stream);
            }
        }
        let weight = |kind: &usize| KINDS.get(*kind).map_or(0.0, |k| k.weight());
        let rate = if has_rate { weight_of(ROW_RATE, &BTreeSet::new()) } else { 0.0 };
        let all = units.keys().map(weight).sum::<f64>() + rate;
        Self { all: if all > 0.0 { all } else { 1.0 }, units, units_of }
    }

    /// The part of one bet of a detector.
    fn of(&self, stream: &Stream, owners: &Owners, bet: Bet, kind: usize) -> f64 {
        let Some((detector, units)) = KINDS.get(kind).zip(self.units.get(&kind)) else { return 0.0 };
        let share = preference(stream, owners, bet) / preferences(stream, owners, kind);
        detector.weight() / self.all * (self.units_of)(stream) / units * share
    }
}

/// What a stream weighs among those of its detector: features by what they tell of the answer.
fn units_of(stream: &Stream) -> f64 {
    usual_units_of(stream) * stream.influence
}

/// Answers count double. Rows of unusual answers count a little less than rows of inputs, for answers are
/// few; rows with several unusual columns less, for those with one tell most of it.
fn usual_units_of(stream: &Stream) -> f64 {
    match (stream.role, stream.source.topic()) {
        _ if matches!(stream.source, Source::Unusual { least: 2.., .. }) => 0.3,
        (Role::Output, Topic::Unusual) => 0.8,
        (Role::Output, _) => 2.0,
        _ => 1.0,
    }
}

/// What a detector's bets on one stream have together, in units of the usual bet.
fn preferences(stream: &Stream, owners: &Owners, kind: usize) -> f64 {
    let of = |family, kinds: &[Option<usize>]| -> f64 {
        let mine = kinds.iter().enumerate().filter(|(_, k)| **k == Some(kind));
        mine.map(|(index, _)| preference(stream, owners, Bet { family, index })).sum()
    };
    let tilts = if owners.tilt == Some(kind) { count(whole(TILTS.len())) } else { 0.0 };
    of(Family::More, &owners.more) + of(Family::Less, &owners.less) + tilts
}

/// What a bet weighs against the others that its detector has on the stream: the fault that it is made
/// for comes first.
fn preference(stream: &Stream, owners: &Owners, bet: Bet) -> f64 {
    let is_tail = owners.covers.get(bet.index).is_some_and(|c| c.side != Side::Alone);
    match (bet.family, stream.bins.get(bet.index)) {
        (Family::More, Some(Bin::GroupZero | Bin::GroupDefault)) => 2.0,
        (Family::Less, _) if is_tail => 3.0,
        _ => 1.0,
    }
}

/// A monitor's state at rest.
pub(super) fn at_rest(calibration: &Calibration, wiring: &Wiring, options: &Options) -> State {
    let start = Start { row: 0, judged: 0, ts: Timestamp::from_micros(0) };
    let is_in_rows = matches!(options.budget, Budget::Rows(_));
    let bands = rate::bands(options.rate, &calibration.seen, &calibration.seconds);
    State::new(
        wiring.tables.iter().map(Evidence::new).collect(),
        Rate::new(bands, wiring.rate_weight, is_in_rows, start),
        groups(&calibration.streams),
    )
}

/// Streams that alarm together, and the row rate as a group of its own.
fn groups(streams: &[Stream]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, stream) in streams.iter().enumerate() {
        match groups.iter_mut().find(|g| g.name == stream.group && g.role == stream.role) {
            Some(group) => group.streams.push(index),
            None => groups.push(Group {
                name: stream.group.clone(),
                role: stream.role,
                streams: vec![index],
                latch: None,
            }),
        }
    }
    groups.push(Group {
        name: TRAFFIC_GROUP.to_owned(),
        role: Role::Traffic,
        streams: Vec::new(),
        latch: None,
    });
    groups
}

/// A hash of all that judges: counts, budget, rate, detectors and their weights.
pub(super) fn fingerprint(calibration: &Calibration, options: &Options) -> Result<String, Error> {
    let counts = serde_json::to_vec(calibration).map_err(|e| Error::Calibration(e.to_string()))?;
    let mut hash = Sha256::new();
    hash.update(RULES.to_le_bytes());
    hash.update(&counts);
    hash.update(format!("{:?} {} {:?}", options.budget, options.rate, options.without));
    for kind in KINDS {
        hash.update(format!("{} {}", kind.name(), kind.weight()));
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}
