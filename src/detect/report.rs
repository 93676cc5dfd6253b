//! How a monitor stands, and what it can see at all.

use serde::Serialize;

use super::attribution::of_threshold;
use super::bet::Subject;
use super::monitor::Monitor;
use super::power::Needed;
use super::setup::ROW_RATE;
use super::state::Group;
use super::stream::{Role, Source};
use super::table::Family;
use super::tails::Side;
use super::{KINDS, StreamState, Undecided};
use crate::baseline::Budget;
use crate::units::count;

/// A fault in this share of rows must have had the time to alarm before a stream is called quiet: the first
/// that can be seen at all, bin by bin, because what health often does hides small faults for good.
const POWER_SHARES: [f64; 3] = [0.05, 0.3, 1.0];
/// So many times the gap between two steps that tell a stream something, and it is told nothing any more.
const UNTOLD_GAPS: f64 = 100.0;
/// Evidence of this part of the threshold is no quiet any more.
const GATHERING_SHARE: f64 = 0.1;
/// Rows may come so many times as quickly as in the baseline and still be as many rows' time.
const TIME_SHARE: f64 = 0.1;

/// How one detector stands in one group.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct StreamReport {
    /// The group.
    pub group: String,
    /// The detector.
    pub detector: &'static str,
    /// Its weighted evidence over the threshold, from 0; absent where there is none to speak of, because
    /// no row has come or nothing can be compared.
    pub of_threshold: Option<f64>,
    /// Quiet, drifted, or undecided and why.
    #[serde(flatten)]
    pub state: StreamState,
}

/// Rows within which nine in ten faults of one size alarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Power {
    /// The group.
    pub group: String,
    /// The detector.
    pub detector: &'static str,
    /// The share of rows that the fault touches.
    pub share: f64,
    /// Rows to the alarm; nothing when no bet grows: such a fault cannot be seen.
    pub rows: Option<f64>,
}

fn report_of(group: &Group, detector: &'static str, evidence: f64, state: StreamState) -> StreamReport {
    let unmeasured = matches!(state, StreamState::Undecided(Undecided::NoRows | Undecided::NoBaseline));
    let of_threshold = (!unmeasured && evidence.is_finite()).then_some(evidence);
    StreamReport { group: group.name.clone(), detector, of_threshold, state }
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
                let evidence = share.map_or(0.0, |s| s.of_threshold);
                let state = self.state_of(group, index, evidence * self.threshold);
                reports.push(report_of(group, kind.name(), evidence, state));
            }
        }
        reports
    }

    fn watches(&self, group: &Group, kind: usize) -> bool {
        let is_on = KINDS.get(kind).is_some_and(|k| !self.options.without.contains(k.name()));
        is_on && group.streams.iter().any(|s| self.wiring.has(*s, kind))
    }

    fn report_rate(&self, group: &Group) -> StreamReport {
        let is_off = self.options.without.contains(ROW_RATE);
        let state = match &self.state.rate {
            Some(_) if group.is_accepted() => StreamState::Undecided(Undecided::Accepted),
            Some(_) if group.latch.is_some() => StreamState::Drifted,
            Some(_) if self.state.is_short => StreamState::Undecided(Undecided::RowsLost),
            Some(_) if self.state.last_seen.is_none() || self.state.is_silent => {
                StreamState::Undecided(Undecided::NoRows)
            }
            Some(rate) if rate.in_unseen_hour() => StreamState::Undecided(Undecided::UnseenHour),
            Some(rate) if !is_off && rate.total().is_finite() => {
                let enough = count(rate.seconds_judged()) >= rate.seconds_needed(self.threshold);
                if enough { self.calm(rate.total()) } else { StreamState::Undecided(Undecided::BelowPower) }
            }
            _ => StreamState::Undecided(Undecided::NoBaseline),
        };
        report_of(group, ROW_RATE, of_threshold(self.evidence_of(group), self.threshold), state)
    }

    /// Quiet, unless evidence is on its way to the threshold.
    fn calm(&self, evidence: f64) -> StreamState {
        if evidence < GATHERING_SHARE * self.threshold {
            StreamState::Quiet
        } else {
            StreamState::Undecided(Undecided::Gathering)
        }
    }

    fn state_of(&self, group: &Group, kind: usize, of_kind: f64) -> StreamState {
        if group.is_accepted() {
            return StreamState::Undecided(Undecided::Accepted);
        }
        if group.latch.as_ref().is_some_and(|l| l.fired.contains(&kind)) {
            return StreamState::Drifted;
        }
        if self.state.is_short {
            return StreamState::Undecided(Undecided::RowsLost);
        }
        if self.state.is_silent || self.state.last_seen.is_none() {
            return StreamState::Undecided(Undecided::NoRows);
        }
        if self.state.in_unseen_hour {
            return StreamState::Undecided(Undecided::UnseenHour);
        }
        if !self.evidence_of(group).is_finite() {
            return StreamState::Undecided(Undecided::NotANumber);
        }
        if !group.is_free() || self.is_explained(group.role) {
            return StreamState::Undecided(Undecided::Explained);
        }
        if self.is_filling(group, kind) {
            return StreamState::Undecided(Undecided::Filling);
        }
        let streams = || group.streams.iter().copied().filter(|s| self.wiring.has(*s, kind));
        if streams().any(|stream| self.encoder.has_failed(stream)) {
            return StreamState::Undecided(Undecided::NotANumber);
        }
        if streams().any(|stream| self.is_untold(stream)) {
            return StreamState::Undecided(Undecided::NoRows);
        }
        let mut is_comparable = false;
        for stream in streams() {
            let told = self.state.evidence.get(stream).map_or(0.0, |evidence| count(evidence.told()));
            match self.rows_needed_in(stream, kind, &POWER_SHARES) {
                Needed::Rows(rows) if told >= rows && self.has_time_for(rows) => is_comparable = true,
                Needed::Rows(_) | Needed::Never => return StreamState::Undecided(Undecided::BelowPower),
                Needed::Nothing => {}
            }
        }
        if is_comparable { self.calm(of_kind) } else { StreamState::Undecided(Undecided::NoBaseline) }
    }

    /// Whether a stream was told something before and is no more: other rows go on, and say nothing of it.
    fn is_untold(&self, stream: usize) -> bool {
        let found = self.state.evidence.get(stream).zip(self.calibration.streams.get(stream));
        found.is_some_and(|(evidence, calibrated)| {
            let told = if calibrated.told() > 1.0 { calibrated.told() } else { 1.0 };
            let gap = count(self.calibration.rows_of(calibrated)) / told;
            let untold = f64::from(evidence.untold_for(super::state::tick(self.state.judged)));
            evidence.told() > 0 && untold > UNTOLD_GAPS * gap
        })
    }

    /// Whether a detector looks for rows seen before, and does not remember enough of them yet.
    fn is_filling(&self, group: &Group, kind: usize) -> bool {
        let looks_back = |stream: &usize| {
            self.calibration.streams.get(*stream).is_some_and(|s| s.source == Source::Replay)
                && self.wiring.has(*stream, kind)
        };
        self.encoder.is_filling() && group.streams.iter().any(looks_back)
    }

    /// Whether the time of so many rows has passed, where the budget is one of time: evidence grows with
    /// it, so that rows whose clock stands still or runs backwards show nothing.
    fn has_time_for(&self, rows: f64) -> bool {
        match self.options.budget {
            Budget::Rows(_) => true,
            Budget::Time(_) => self.state.passed >= TIME_SHARE * rows * self.step_length(),
        }
    }

    /// Rows within which nine in ten faults of several sizes alarm when a whole group goes to zero:
    /// what the budget and the baseline's length amount to.
    #[must_use]
    pub fn power(&self, shares: &[f64]) -> Vec<Power> {
        let mut powers = Vec::new();
        for group in &self.state.groups {
            let Some((stream, bet)) = self.all_zero(group) else { continue };
            // A bet that could only wait has no owner; that such zeros cannot be seen is told all the same.
            let Some(zeros) = self.calibration.streams.get(stream) else { continue };
            let Some(bin) = zeros.bins.get(bet.index) else { continue };
            let subject =
                Subject { topic: zeros.source.topic(), family: Family::More, bin, side: Side::Alone };
            let Some(kind) = KINDS.iter().find(|kind| kind.claims(&subject)) else { continue };
            if self.options.without.contains(kind.name()) {
                continue;
            }
            powers.extend(shares.iter().map(|&share| Power {
                group: group.name.clone(),
                detector: kind.name(),
                share,
                rows: self.bet_against(stream, bet).and_then(|against| against.rows_to_alarm(share)),
            }));
        }
        powers
    }
}
