use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::Error;
use super::bet::{KINDS, Kind, Subject};
use super::bins::Bin;
use super::calibrate::Calibration;
use super::evidence::Evidence;
use super::limits;
use super::rate::{BAND, Rate};
use super::scores;
use super::state::{Group, Start, State};
use super::stream::{Role, Stream};
use super::table::{Bet, Family, Limits, Setup, TILTS, Table};
use crate::baseline::Budget;
use crate::record::Schema;
use crate::units::{PerSecond, Timestamp, count, whole};

/// The version of everything else that judges: shares bet on, factors, bands, tests of recovery. To be
/// raised with any change to them, so that no evidence outlives its rules.
const RULES: u32 = 2;
/// The group of the row rate.
const TRAFFIC_GROUP: &str = Schema::TRAFFIC_GROUP;
/// The detector of the row rate: the one whose stream is not cut into bins.
pub(super) const ROW_RATE: &str = "row_rate";
/// The chance, over baselines, that any limit of this calibration is wrong.
const WRONG_LIMITS: f64 = 0.05;
/// A bin that health has in fewer rows than this cannot be seen to become rarer.
const LESS_SHARE_MIN: f64 = 0.002;
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
    /// The chance, over baselines, that one limit is wrong.
    pub(super) delta: f64,
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
}

impl Owners {
    fn of(&self, bet: Bet) -> Option<usize> {
        match bet.family {
            Family::More => self.more.get(bet.index).copied().flatten(),
            Family::Less => self.less.get(bet.index).copied().flatten(),
            Family::Tilt => self.tilt,
        }
    }

    fn all(&self) -> impl Iterator<Item = usize> + '_ {
        self.more.iter().chain(&self.less).copied().chain([self.tilt]).flatten()
    }
}

impl Wiring {
    pub(super) fn new(calibration: &Calibration, options: &Options) -> Self {
        let claimed: Vec<Owners> = calibration.streams.iter().map(claims).collect();
        let delta = WRONG_LIMITS / count(whole(limits_needed(calibration, &claimed).max(1)));
        let mut known = Known { delta, limits: BTreeMap::new() };
        let limits: Vec<Vec<Limits>> = calibration
            .streams
            .iter()
            .zip(&claimed)
            .map(|(stream, owners)| limits_of(stream, owners, &mut known))
            .collect();
        let owners: Vec<Owners> =
            claimed.iter().zip(&limits).map(|(owners, limits)| worth_it(owners, limits)).collect();
        let all = all_weights(calibration, &owners, options);
        let units = units_by_kind(&calibration.streams, &owners);
        let each = calibration.streams.iter().zip(&owners).zip(limits);
        let tables = each
            .map(|((stream, owners), limits)| {
                let part = |kind: Option<usize>| part_of(kind, stream, owners, &units, options) / all;
                Table::new(&Setup {
                    more: owners.more.iter().map(|k| part(*k)).collect(),
                    less: owners.less.iter().map(|k| part(*k)).collect(),
                    tilt: part(owners.tilt) * count(whole(TILTS.len())),
                    limits,
                    clumping: stream.clumping,
                })
            })
            .collect();
        Self { tables, delta, owners, rate_weight: weight_of(ROW_RATE, &options.without) / all }
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
        KINDS.iter().position(|k| k.claims(&Subject { topic, family, bin }))
    };
    let has_scores = scores::has_any(stream);
    Owners {
        more: stream.bins.iter().map(|b| owner(Family::More, b)).collect(),
        less: stream.bins.iter().map(|b| owner(Family::Less, b)).collect(),
        tilt: stream.bins.first().filter(|_| has_scores).and_then(|b| owner(Family::Tilt, b)),
    }
}

/// Confidence limits that must hold together.
fn limits_needed(calibration: &Calibration, owners: &[Owners]) -> usize {
    let each = calibration.streams.iter().zip(owners);
    each.map(|(stream, owners)| {
        let common = |bin: &usize| {
            let (hits, trials) = stream.pooled(*bin);
            hits > LESS_SHARE_MIN * trials
        };
        let more = owners.more.iter().flatten().count();
        let less = owners.less.iter().enumerate().filter(|(b, k)| k.is_some() && common(b)).count();
        let tilts = if owners.tilt.is_some() { TILTS.len() } else { 0 };
        (more + less + tilts) * stream.counts.len()
    })
    .sum()
}

/// Limits already computed: the same counts come again and again.
struct Known {
    delta: f64,
    limits: BTreeMap<(u64, u64), (f64, f64)>,
}

impl Known {
    fn of(&mut self, hits: f64, trials: f64) -> (f64, f64) {
        let delta = self.delta;
        let new = || (limits::upper(hits, trials, delta), limits::lower(hits, trials, delta));
        *self.limits.entry((hits.to_bits(), trials.to_bits())).or_insert_with(new)
    }
}

/// The limits of a stream by stratum; steps that depend on each other count as fewer.
fn limits_of(stream: &Stream, owners: &Owners, known: &mut Known) -> Vec<Limits> {
    let scores = owners.tilt.and_then(|_| scores::of(stream));
    let mut all = Vec::new();
    for counts in &stream.counts {
        let each: Vec<(f64, f64)> = stream
            .bins
            .iter()
            .enumerate()
            .map(|(bin, kind)| {
                let (hits, trials) = counts.of(bin, kind);
                known.of(hits / stream.clumping, trials / stream.clumping)
            })
            .collect();
        let effective: Vec<f64> = counts.hits.iter().map(|h| h / stream.clumping).collect();
        all.push(Limits {
            upper: each.iter().map(|(upper, _)| *upper).collect(),
            lower: each.iter().map(|(_, lower)| *lower).collect(),
            tilts: scores.as_ref().map_or_else(Vec::new, |z| scores::tilts(z, &effective, known.delta)),
            is_known: counts.trials > 0.0,
        });
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
    let upper = |l: &Limits, bin: usize| l.upper.get(bin).is_some_and(|u| *u < 1.0);
    let lower = |l: &Limits, bin: usize| l.lower.get(bin).is_some_and(|p| *p > LESS_SHARE_MIN && *p < 1.0);
    Owners {
        more: kept(&owners.more, &upper),
        less: kept(&owners.less, &lower),
        tilt: owners.tilt.filter(|_| any(&|l| !l.tilts.is_empty())),
    }
}

/// The weight of a detector by name; 0 when it is switched off.
fn weight_of(name: &str, without: &BTreeSet<String>) -> f64 {
    let kind = KINDS.iter().find(|k| k.name() == name && !without.contains(name));
    kind.map_or(0.0, |k| k.weight())
}

/// The weights of all detectors that this traffic has a bet for, switched off or not: what a detector
/// that is switched off would have had goes to nobody.
fn all_weights(calibration: &Calibration, owners: &[Owners], options: &Options) -> f64 {
    let present: BTreeSet<usize> = owners.iter().flat_map(Owners::all).collect();
    let of = |kind: &usize| KINDS.get(*kind).map_or(0.0, |k| k.weight());
    let rate = if options.rate.get() > 0.0 { weight_of(ROW_RATE, &BTreeSet::new()) } else { 0.0 };
    let all = present.iter().map(of).sum::<f64>() + rate;
    debug_assert!(calibration.streams.len() == owners.len(), "owners are those of the streams");
    if all > 0.0 { all } else { 1.0 }
}

/// Answers count double.
fn units(stream: &Stream) -> f64 {
    if stream.role == Role::Output { 2.0 } else { 1.0 }
}

fn units_by_kind(streams: &[Stream], owners: &[Owners]) -> BTreeMap<usize, f64> {
    let mut all: BTreeMap<usize, f64> = BTreeMap::new();
    for (stream, owners) in streams.iter().zip(owners) {
        for kind in owners.all().collect::<BTreeSet<usize>>() {
            *all.entry(kind).or_insert(0.0) += units(stream);
        }
    }
    all
}

/// One bet's part of its detector's weight: spread over streams by their units, and evenly over the bets
/// that the detector has on the stream.
fn part_of(
    kind: Option<usize>,
    stream: &Stream,
    owners: &Owners,
    all: &BTreeMap<usize, f64>,
    options: &Options,
) -> f64 {
    let Some((detector, all)) = kind.and_then(|k| Some((KINDS.get(k)?, all.get(&k)?))) else { return 0.0 };
    let mine = |k: &usize| Some(*k) == kind;
    let tilts = if owners.tilt == kind { TILTS.len() - 1 } else { 0 };
    let bets = owners.all().filter(mine).count() + tilts;
    weight_of(detector.name(), &options.without) * units(stream) / all / count(whole(bets.max(1)))
}

/// A monitor's state at rest.
pub(super) fn at_rest(calibration: &Calibration, wiring: &Wiring, options: &Options) -> State {
    let start = Start { row: 0, judged: 0, ts: Timestamp::from_micros(0) };
    let second = match options.budget {
        Budget::Time(_) => 1.0,
        // The fewest rows that a healthy second may have: the run is never made longer than it is.
        Budget::Rows(_) => options.rate.get() / BAND,
    };
    State::new(
        wiring.tables.iter().map(Evidence::new).collect(),
        Rate::new(options.rate, wiring.rate_weight, second, start),
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
