//! What happens to a group between its alarm and its recovery.

use super::attribution::of_threshold;
use super::bet::Subject;
use super::bins::Bin;
use super::evidence::{Evidence, Suspicion};
use super::monitor::{Monitor, reaches};
use super::rate::Rate;
use super::recovery::{Badness, Dose, Of};
use super::setup::ROW_RATE;
use super::state::{Group, Latch, Step};
use super::stream::{Role, Topic};
use super::table::{Bet, Family};
use super::tails::Side;
use super::{Alarm, Finding, KINDS, Share, scores};
use crate::units::{Timestamp, count};

/// After an alarm every row is looked at for further detectors, for so many rows;
const WATCHED_ROWS: u64 = 512;
/// later one row in so many, because looking costs more than betting.
const LATER_EVERY: u64 = 32;

/// The bet on a declared rule being broken. It has no weight: one row is enough.
const BROKEN: Bet = Bet { family: Family::More, index: 0 };
/// A declared rule has no healthy exceptions; for its recovery this many count as none.
const CONTRACT_HEALTHY: f64 = 1e-4;
/// Less of a spread than this is not believed.
const SPREAD_MIN: f64 = 1e-3;

impl Monitor {
    /// Takes the change of a latched group for meant: it stays latched, undecided, without further
    /// findings, until the monitor is built anew on another baseline. Answers whether it was latched.
    pub fn accept(&mut self, group: &str) -> bool {
        let mut latched = self.state.groups.iter_mut().filter(|g| g.name == group);
        let Some(latch) = latched.find_map(|g| g.latch.as_mut()) else { return false };
        latch.accepted = true;
        latch.by_contract_only = false;
        true
    }

    /// A declared rule was broken: an alarm at once, or one more detector of a latched group.
    pub(super) fn break_contract(&mut self, stream: usize, step: Step, findings: &mut Vec<Finding>) {
        let broken =
            Subject { topic: Topic::Contract, family: Family::More, bin: &Bin::Broken, side: Side::Alone };
        let Some(kind) = KINDS.iter().position(|k| k.claims(&broken)) else { return };
        let is_off = KINDS.get(kind).is_none_or(|k| self.options.without.contains(k.name()));
        let Some(index) = self.state.groups.iter().position(|g| g.streams.contains(&stream)) else { return };
        if is_off {
            return;
        }
        let feature = self.calibration.streams.get(stream).map(|s| s.name.clone());
        let explained =
            self.state.groups.get(index).is_some_and(|g| g.role == Role::Output && g.latch.is_none())
                && self.is_explained(Role::Output);
        let told = if explained { self.cause() } else { Some(index) };
        let Some(group) = told.and_then(|i| self.state.groups.get_mut(i)) else { return };
        if let Some(latch) = &mut group.latch {
            if latch.accepted {
                return;
            }
            let is_new = latch.fired.insert(kind);
            latch.recovery.start_anew(stream, BROKEN);
            if is_new {
                findings.push(fired(&group.name, kind, feature.into_iter().collect(), step));
            }
            return;
        }
        let Some(group) = self.state.groups.get(index) else { return };
        let own = Share { detector: name_of(kind), of_threshold: 1.0, fired: true };
        let Some(alarm) = self.alarm(group, (stream, BROKEN), step, self.threshold, vec![own]) else {
            return;
        };
        let mut latch = Latch::new(step);
        latch.by_contract_only = true;
        latch.fired.insert(kind);
        let badness = Badness { of_bins: vec![1.0, 0.0], healthy: vec![Some(CONTRACT_HEALTHY)], spread: 1.0 };
        latch.recovery.suspect((stream, Of::Else, BROKEN), badness, Dose { share: 1.0, told: 1.0 });
        // It spent nothing of the budget, so nobody's evidence starts anew.
        self.latch(index, latch);
        findings.push(Finding::Raised(alarm));
    }

    /// The group whose alarm explains the answers.
    fn cause(&self) -> Option<usize> {
        self.state.groups.iter().position(|g| Role::Output.follows(g.role) && !g.is_free())
    }

    /// The part of rows that became hits, of those that the stream tells of since the change began.
    pub(super) fn dose_of_more(
        &self,
        stream: usize,
        suspicion: Option<Suspicion>,
        badness: &Badness,
        (step, told): (Step, f64),
    ) -> Option<f64> {
        let (start, hits) = suspicion.and_then(|s| Some((self.state.start_of(s.since), s.hits?)))?;
        let steps = told * count(step.judged.saturating_sub(start.judged) + 1);
        let stratum = self.state.evidence.get(stream).map_or(0, Evidence::stratum);
        let healthy = badness.healthy.get(stratum).copied().flatten()?;
        let seen = f64::from(hits) / steps;
        // Where hits come together, few steps may seem to be more hits than steps.
        Some(if seen < 1.0 { (seen - healthy) / (1.0 - healthy) } else { 1.0 })
    }

    /// The badness of a tilt that the baseline would have were it to lean as the most evident tilt to this
    /// side says, beyond the most that health has. Tells its spread too.
    pub(super) fn dose_of_tilt(&self, stream: usize, bet: Bet, badness: &mut Badness) -> Option<f64> {
        let strengths = scores::strengths(self.calibration.streams.get(stream)?);
        let lean = *strengths.get(bet.index)?;
        let same_side = strengths.iter().enumerate().filter(|(_, l)| lean * **l > 0.0);
        let evident = same_side.filter_map(|(index, _)| {
            Some((index, self.suspicion(stream, Bet { family: Family::Tilt, index })?.nats))
        });
        let wide = |index: usize| strengths.get(index).map_or(0.0, |l: &f64| l.abs());
        // Where evidence has reached its end for several, it is the widest.
        let (evident, _) =
            evident.reduce(|a, b| if b.1 > a.1 || b.1 >= a.1 && wide(b.0) > wide(a.0) { b } else { a })?;
        let table = self.wiring.table(stream)?;
        let (weights, leaning) = (table.tilt_weights(bet.index)?, table.tilt_weights(evident)?);
        let calibrated = self.calibration.streams.get(stream)?;
        let rows: Vec<f64> = (0..weights.len()).map(|bin| calibrated.pooled(bin).0).collect();
        let leant: Vec<f64> = rows.iter().zip(leaning).map(|(n, w)| n * w).collect();
        let mean = mean_of(&badness.of_bins, &rows);
        let squares: Vec<f64> = badness.of_bins.iter().map(|bad| (bad - mean).powi(2)).collect();
        let spread = mean_of(&squares, &rows) / (mean * (1.0 - mean));
        badness.spread = if spread > SPREAD_MIN && spread < 1.0 { spread } else { 1.0 };
        // At the limit of health the mean weight is 1; leaning makes it grow by as much as the baseline's.
        let grown = mean_of(&weights, &leant) / mean_of(&weights, &rows);
        let top = weights.iter().copied().reduce(|a, b| if b > a { b } else { a })?;
        let share = (grown - 1.0) / (top - 1.0);
        share.is_finite().then_some(if share < 1.0 { share } else { 1.0 })
    }

    /// Detectors of latched groups, and of answers that an alarm explains, whose own evidence has
    /// reached the threshold since.
    pub(super) fn note_fired(&mut self, step: Step, findings: &mut Vec<Finding>) {
        for index in 0..self.state.groups.len() {
            let Some(group) = self.state.groups.get(index) else { continue };
            let Some(latch) = &group.latch else { continue };
            let is_due = step.judged.saturating_sub(latch.since) < WATCHED_ROWS
                || step.judged.is_multiple_of(LATER_EVERY);
            if latch.accepted || latch.by_contract_only || group.role == Role::Traffic || !is_due {
                continue;
            }
            let own = group.streams.clone();
            let role = group.role;
            self.note_fired_in(index, &own, step, findings);
            let mut anew = self.suspects(&own);
            if let Some(latch) = self.state.groups.get(index).and_then(|g| g.latch.as_ref()) {
                anew.retain(|(stream, bet, _)| !latch.recovery.is_suspect(*stream, *bet));
                let mut latch = latch.clone();
                for (stream, bet, suspicion) in anew {
                    self.wait_for(&mut latch, (stream, bet), Some(suspicion), step);
                }
                self.latch(index, latch);
            }
            let explained = |g: &&Group| {
                matches!(g.role, Role::Output | Role::Relations) && g.role.follows(role) && g.latch.is_none()
            };
            let follow = self.state.groups.iter().filter(explained);
            let streams: Vec<usize> = follow.flat_map(|g| g.streams.iter().copied()).collect();
            self.note_fired_in(index, &streams, step, findings);
        }
    }

    fn note_fired_in(&mut self, index: usize, streams: &[usize], step: Step, findings: &mut Vec<Finding>) {
        if reaches(self.settled_in(streams), self.threshold) != Some(true) {
            return;
        }
        for share in self.settled_shares(streams).into_iter().filter(|s| s.fired) {
            let Some(kind) = KINDS.iter().position(|k| k.name() == share.detector) else { continue };
            let is_new = |latch: &Latch| !latch.fired.contains(&kind);
            if !self.state.groups.get(index).and_then(|g| g.latch.as_ref()).is_some_and(is_new) {
                continue;
            }
            let features = self.features_of(streams, kind);
            let Some(group) = self.state.groups.get_mut(index) else { return };
            if let Some(latch) = &mut group.latch {
                latch.fired.insert(kind);
            }
            findings.push(fired(&group.name, kind, features, step));
        }
    }

    /// Releases every latched group whose test of recovery holds.
    pub(super) fn resolve(&mut self, step: Step, findings: &mut Vec<Finding>) {
        for index in 0..self.state.groups.len() {
            let Some(group) = self.state.groups.get_mut(index) else { continue };
            if !group.latch.as_ref().is_some_and(|l| !l.accepted && l.recovery.is_complete()) {
                continue;
            }
            group.latch = None;
            let mut streams = group.streams.clone();
            let (name, role) = (group.name.clone(), group.role);
            findings.push(Finding::Resolved { group: name, row: step.row.saturating_sub(1), ts: step.ts });
            // What followed from it, and from nothing else, begins anew with it.
            let follows =
                |g: &&Group| g.role.follows(role) && g.latch.is_none() && !self.is_explained(g.role);
            let streams_of = self.state.groups.iter().filter(follows);
            streams.extend(streams_of.flat_map(|g| g.streams.iter().copied()));
            self.state.restart(&streams, step);
        }
    }

    /// Compares the row rate's evidence with the threshold, or tests its recovery.
    pub(super) fn judge_rate(&mut self, now: Timestamp, findings: &mut Vec<Finding>) {
        let Some(index) = self.state.groups.iter().position(|g| g.role == Role::Traffic) else { return };
        let Some(rate) = &self.state.rate else { return };
        let step = self.step(now, self.state.row);
        if self.state.groups.get(index).is_some_and(Group::is_accepted) {
            return;
        }
        let is_latched = self.state.groups.get(index).is_some_and(|g| g.latch.is_some());
        if is_latched && rate.has_recovered() {
            self.release_rate(index, step, findings);
        } else if !is_latched && reaches(rate.total(), self.threshold) == Some(true) {
            self.raise_rate(index, step, findings);
        }
    }

    pub(super) fn raise_rate(&mut self, index: usize, step: Step, findings: &mut Vec<Finding>) {
        let (Some(rate), Some(group)) = (&mut self.state.rate, self.state.groups.get(index)) else { return };
        let name = group.name.clone();
        rate.latch();
        let rate = rate.clone();
        let mut latch = Latch::new(step);
        latch.fired.extend(KINDS.iter().position(|k| k.name() == ROW_RATE));
        findings.push(Finding::Raised(self.rate_alarm(&name, &rate, step)));
        self.latch(index, latch);
        self.restart_free(step);
    }

    fn release_rate(&mut self, index: usize, step: Step, findings: &mut Vec<Finding>) {
        let Some(group) = self.state.groups.get_mut(index) else { return };
        group.latch = None;
        let row = step.row.saturating_sub(1);
        findings.push(Finding::Resolved { group: group.name.clone(), row, ts: step.ts });
        if let Some(rate) = &mut self.state.rate {
            rate.reset(step.start());
        }
    }

    fn rate_alarm(&self, group: &str, rate: &Rate, step: Step) -> Alarm {
        let start = rate.start().unwrap_or(step.start());
        let score = rate.total();
        let share = Share {
            detector: ROW_RATE.to_owned(),
            of_threshold: of_threshold(score, self.threshold),
            fired: true,
        };
        Alarm {
            row: step.row.saturating_sub(1),
            ts: step.ts,
            detector: ROW_RATE.to_owned(),
            kind: "rate".to_owned(),
            features: Vec::new(),
            group: group.to_owned(),
            score,
            threshold: self.threshold,
            since_row: start.row.saturating_sub(1),
            since: start.ts,
            shares: vec![share],
            message: rate.message(group, start.ts),
            diagnosis: Box::default(),
        }
    }
}

/// The mean of what bins have, over rows that fell into them.
fn mean_of(of_bins: &[f64], rows: &[f64]) -> f64 {
    of_bins.iter().zip(rows).map(|(v, n)| v * n).sum::<f64>() / rows.iter().sum::<f64>()
}

fn name_of(kind: usize) -> String {
    KINDS.get(kind).map_or_else(String::new, |k| k.name().to_owned())
}

pub(super) fn fired(group: &str, kind: usize, features: Vec<String>, step: Step) -> Finding {
    Finding::Fired {
        group: group.to_owned(),
        detector: name_of(kind),
        features,
        row: step.row.saturating_sub(1),
        ts: step.ts,
    }
}
