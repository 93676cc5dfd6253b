//! How a monitor stands, and what it can see at all.

use serde::Serialize;

use super::bins::Bin;
use super::ledger::EPSILONS;
use super::monitor::Monitor;
use super::setup::ROW_RATE;
use super::state::{Group, Role};
use super::{KINDS, StreamState, Undecided, power};
use crate::baseline::Budget;
use crate::units::count;

/// A fault in this share of rows must have had the time to alarm before a stream is called quiet.
const POWER_SHARE: f64 = 0.05;

/// How one detector stands in one group.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct StreamReport {
    /// The group.
    pub group: String,
    /// The detector.
    pub detector: &'static str,
    /// Its weighted evidence over the threshold, from 0.
    pub of_threshold: f64,
    /// Quiet, drifted, or undecided and why.
    #[serde(flatten)]
    pub state: StreamState,
}

/// Rows until a fault of one size is expected to alarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Power {
    /// The group.
    pub group: String,
    /// The detector.
    pub detector: &'static str,
    /// The share of rows that the fault touches.
    pub share: f64,
    /// Expected rows to the alarm; nothing when no bet grows: such a fault cannot be seen.
    pub rows: Option<f64>,
}

impl Monitor {
    /// How every detector stands in every group that it watches.
    #[must_use]
    pub fn report(&self) -> Vec<StreamReport> {
        let mut reports = Vec::new();
        for group in &self.state.groups {
            if group.role == Role::Traffic {
                reports.push(self.report_rate(group));
                continue;
            }
            let shares = self.shares(&group.streams);
            for (index, kind) in KINDS.iter().enumerate().filter(|(i, _)| self.watches(group, *i)) {
                let share = shares.iter().find(|s| s.detector == kind.name());
                reports.push(StreamReport {
                    group: group.name.clone(),
                    detector: kind.name(),
                    of_threshold: share.map_or(0.0, |s| s.of_threshold),
                    state: self.state_of(group, index),
                });
            }
        }
        reports
    }

    fn watches(&self, group: &Group, kind: usize) -> bool {
        let is_on = KINDS.get(kind).is_some_and(|k| !self.options.without.contains(k.name()));
        is_on && group.streams.iter().any(|s| self.wiring.has(*s, kind))
    }

    fn report_rate(&self, group: &Group) -> StreamReport {
        let state = if self.state.rate.is_none() || self.options.without.contains(ROW_RATE) {
            StreamState::Undecided(Undecided::NoBaseline)
        } else if group.latch.is_some() {
            StreamState::Drifted
        } else if self.state.last.is_none() {
            StreamState::Undecided(Undecided::NoRows)
        } else {
            StreamState::Quiet
        };
        StreamReport {
            group: group.name.clone(),
            detector: ROW_RATE,
            of_threshold: self.evidence_of(group) / self.threshold,
            state,
        }
    }

    fn state_of(&self, group: &Group, kind: usize) -> StreamState {
        if group.latch.as_ref().is_some_and(|l| l.fired.contains(&kind)) {
            return StreamState::Drifted;
        }
        if self.state.is_silent {
            return StreamState::Undecided(Undecided::NoRows);
        }
        if !self.evidence_of(group).is_finite() {
            return StreamState::Undecided(Undecided::NotANumber);
        }
        if group.latch.is_some() || (group.role == Role::Output && self.outputs_are_explained()) {
            return StreamState::Undecided(Undecided::Explained);
        }
        let seen = count(self.state.judged.saturating_sub(self.state.began));
        match self.rows_needed(group, kind, POWER_SHARE) {
            Some(rows) if seen >= rows => StreamState::Quiet,
            _ => StreamState::Undecided(Undecided::BelowPower),
        }
    }

    /// Rows until a fault in a share `q` of rows alarms by one detector alone: in the stream of the
    /// group that needs most, by the bin of that stream that needs least.
    fn rows_needed(&self, group: &Group, kind: usize, q: f64) -> Option<f64> {
        let mut most = 0.0;
        for &stream in group.streams.iter().filter(|s| self.wiring.has(**s, kind)) {
            let bins = (0..self.calibration.streams.get(stream)?.bins.len())
                .filter(|bin| self.wiring.owner_index(stream, *bin) == Some(kind));
            let needs = bins.filter_map(|bin| self.rows_needed_by(stream, bin, q));
            let least = needs.reduce(|a, b| if b < a { b } else { a })?;
            if least > most {
                most = least;
            }
        }
        Some(most)
    }

    fn rows_needed_by(&self, stream: usize, bin: usize, q: f64) -> Option<f64> {
        if self.calibration.streams.get(stream)?.bins.get(bin) == Some(&Bin::Broken) {
            return Some(1.0);
        }
        let weight = self.wiring.weights.get(stream)?.get(bin)? / count(EPSILONS.len() as u64);
        let limit = *self.wiring.limits.get(stream)?.get(bin)?;
        let length = match self.options.budget {
            Budget::Time(_) if self.options.rate.get() > 0.0 => 1.0 / self.options.rate.get(),
            Budget::Time(_) | Budget::Rows(_) => 1.0,
        };
        (weight > 0.0).then(|| power::rows_to_alarm(self.threshold / (weight * length), limit, q)).flatten()
    }

    /// Rows until faults of several sizes are expected to alarm when a whole group goes to zero:
    /// what the budget and the baseline's length amount to.
    #[must_use]
    pub fn power(&self, shares: &[f64]) -> Vec<Power> {
        let mut powers = Vec::new();
        for group in &self.state.groups {
            for (index, kind) in KINDS.iter().enumerate() {
                if !kind.claims(&Bin::GroupZero) || !self.watches(group, index) {
                    continue;
                }
                powers.extend(shares.iter().map(|&share| Power {
                    group: group.name.clone(),
                    detector: kind.name(),
                    share,
                    rows: self.rows_needed(group, index, share),
                }));
            }
        }
        powers
    }
}
