use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::Error;
use super::bet::{KINDS, Kind};
use super::bins::Bin;
use super::calibrate::{Calibration, Stream};
use super::ledger::{Evidence, Start};
use super::rate::{BAND, Rate};
use super::state::{Group, Role, State};
use crate::baseline::Budget;
use crate::record::Schema;
use crate::units::{PerSecond, Timestamp, count};

/// The version of everything else that judges: shares bet on, factors, bands, tests of recovery. To be
/// raised with any change to them, so that no evidence outlives its rules.
const RULES: u32 = 1;
/// The group of the row rate.
const TRAFFIC_GROUP: &str = Schema::TRAFFIC_GROUP;
/// The detector of the row rate: the one whose stream is not cut into bins.
pub(super) const ROW_RATE: &str = "row_rate";

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

/// Who bets on what, with how much, against which limit: by stream and bin.
#[derive(Debug)]
pub(super) struct Wiring {
    /// The position in [`KINDS`] of the detector that bets on the bin.
    pub(super) owners: Vec<Vec<Option<usize>>>,
    /// The bin's part of the alarm budget; 0 when its detector is switched off.
    pub(super) weights: Vec<Vec<f64>>,
    /// The upper confidence limit of the bin's healthy share.
    pub(super) limits: Vec<Vec<f64>>,
}

impl Wiring {
    pub(super) fn new(calibration: &Calibration, without: &BTreeSet<String>) -> Self {
        let owner = |bin: &Bin| KINDS.iter().position(|k| k.claims(bin));
        let owners: Vec<Vec<Option<usize>>> =
            calibration.streams.iter().map(|s| s.bins.iter().map(owner).collect()).collect();
        let limits = calibration.upper_limits();
        let mut weights = weights(&calibration.streams, &owners, without);
        for (weights, limits) in weights.iter_mut().zip(&limits) {
            for (weight, limit) in weights.iter_mut().zip(limits) {
                // A bin that health may always hit cannot become commoner: its bet could only wait.
                if *limit >= 1.0 {
                    *weight = 0.0;
                }
            }
        }
        Self { owners, weights, limits }
    }

    pub(super) fn owner(&self, stream: usize, bin: usize) -> Option<&'static dyn Kind> {
        let kind = self.owner_index(stream, bin)?;
        KINDS.get(kind).copied()
    }

    pub(super) fn owner_index(&self, stream: usize, bin: usize) -> Option<usize> {
        self.owners.get(stream)?.get(bin).copied().flatten()
    }

    pub(super) fn has(&self, stream: usize, kind: usize) -> bool {
        self.owners.get(stream).is_some_and(|o| o.contains(&Some(kind)))
    }
}

/// A monitor's state at rest.
pub(super) fn at_rest(calibration: &Calibration, wiring: &Wiring, options: &Options) -> State {
    let start = Start { row: 0, judged: 0, ts: Timestamp::from_micros(0) };
    let each = wiring.weights.iter().zip(&wiring.limits);
    let second = match options.budget {
        Budget::Time(_) => 1.0,
        // The fewest rows that a healthy second may have: the run is never made longer than it is.
        Budget::Rows(_) => options.rate.get() / BAND,
    };
    State::new(
        each.map(|(weights, limits)| Evidence::new(weights, limits, start)).collect(),
        Rate::new(options.rate, weight_of(ROW_RATE, &options.without), second, start),
        groups(&calibration.streams),
    )
}

/// The weight of a detector by name; 0 when it is switched off.
fn weight_of(name: &str, without: &BTreeSet<String>) -> f64 {
    let kind = KINDS.iter().find(|k| k.name() == name && !without.contains(name));
    kind.map_or(0.0, |k| k.weight())
}

/// By stream and bin: its part of its detector's weight.
///
/// Answers count double; a stream's part is spread evenly over the bins that its detector bets on.
/// A detector that is switched off keeps its part of the budget unused.
fn weights(streams: &[Stream], owners: &[Vec<Option<usize>>], without: &BTreeSet<String>) -> Vec<Vec<f64>> {
    let units = |s: &Stream| if s.is_output { 2.0 } else { 1.0 };
    let mut all_units: BTreeMap<usize, f64> = BTreeMap::new();
    for (stream, owners) in streams.iter().zip(owners) {
        for kind in owners.iter().copied().flatten().collect::<BTreeSet<usize>>() {
            *all_units.entry(kind).or_insert(0.0) += units(stream);
        }
    }
    let weight = |stream: &Stream, owners: &[Option<usize>], owner: &Option<usize>| {
        let Some(kind) = owner else { return 0.0 };
        let (Some(detector), Some(all)) = (KINDS.get(*kind), all_units.get(kind)) else { return 0.0 };
        let bins = owners.iter().filter(|o| *o == owner).count();
        weight_of(detector.name(), without) * units(stream) / all / count(bins as u64)
    };
    streams.iter().zip(owners).map(|(s, o)| o.iter().map(|owner| weight(s, o, owner)).collect()).collect()
}

/// Streams that alarm together, and the row rate as a group of its own.
fn groups(streams: &[Stream]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, stream) in streams.iter().enumerate() {
        let role = if stream.is_output { Role::Output } else { Role::Input };
        match groups.iter_mut().find(|g| g.name == stream.group && g.role == role) {
            Some(group) => group.streams.push(index),
            None => {
                groups.push(Group { name: stream.group.clone(), role, streams: vec![index], latch: None })
            }
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
