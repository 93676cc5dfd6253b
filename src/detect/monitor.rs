use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bins::Bin;
use super::calibrate::{Calibration, is_judged};
use super::ledger::{Evidence, Step};
use super::rate::Rate;
use super::setup::{self, Options, Wiring};
use super::state::{Group, Latch, Role, State};
use super::{Alarm, Error, Finding, KINDS};
use crate::baseline::Budget;
use crate::record::{Batch, Schema};
use crate::units::{Timestamp, count};

/// A silence of so many mean gaps, but at least ten seconds, leaves every stream undecided.
const SILENT_GAPS: f64 = 100.0;
const SILENT_SECONDS_MIN: f64 = 10.0;

/// Sequential detection for one model: every detector, one ledger of evidence, one threshold.
///
/// Pure: its only clock is the rows' time and what [`Monitor::advance`] is told, so a live hour and
/// its replay give the same findings. Findings do not depend on how rows are cut into batches.
#[derive(Debug)]
pub struct Monitor {
    pub(super) schema: Arc<Schema>,
    pub(super) calibration: Calibration,
    pub(super) wiring: Wiring,
    pub(super) options: Options,
    pub(super) threshold: f64,
    pub(super) state: State,
    fingerprint: String,
}

/// A monitor's evidence, saved for a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    fingerprint: String,
    state: State,
}

/// Whether evidence reaches the threshold: the one place where the two meet.
///
/// Evidence that is not a number reaches nothing and is no quiet either: the answer is nothing.
pub(super) fn reaches(evidence: f64, threshold: f64) -> Option<bool> {
    evidence.partial_cmp(&threshold).map(std::cmp::Ordering::is_ge)
}

impl Monitor {
    /// A monitor at rest.
    ///
    /// # Errors
    /// [`Error::EmptyBudget`]; [`Error::UnknownDetector`] for a name in `without` that no detector
    /// has.
    pub fn new(schema: Arc<Schema>, calibration: Calibration, options: Options) -> Result<Self, Error> {
        if let Some(name) = options.without.iter().find(|n| !KINDS.iter().any(|k| k.name() == n.as_str())) {
            return Err(Error::UnknownDetector { name: name.clone() });
        }
        let threshold = match options.budget {
            Budget::Time(time) => time.as_secs_f64(),
            Budget::Rows(rows) => count(rows),
        };
        if threshold <= 0.0 {
            return Err(Error::EmptyBudget);
        }
        let wiring = Wiring::new(&calibration, &options.without);
        let state = setup::at_rest(&calibration, &wiring, &options);
        let fingerprint = setup::fingerprint(&calibration, &options)?;
        Ok(Self { schema, calibration, wiring, options, threshold, state, fingerprint })
    }

    /// What the ledger must reach: the wanted mean time to a false alarm, in seconds or in rows.
    #[must_use]
    pub const fn threshold(&self) -> f64 {
        self.threshold
    }

    /// A hash of baseline counts, budget, rate and switched-off detectors: all that judges.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The schema that rows must follow.
    #[must_use]
    pub const fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Rows seen so far, those of failed requests included.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.state.row
    }

    /// Takes rows in arrival order.
    ///
    /// Every column is read by position: the batch must follow [`Monitor::schema`].
    pub fn observe(&mut self, batch: &Batch) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (row, meta) in batch.rows().iter().enumerate() {
            self.observe_row(batch, row, meta.ts, &mut findings);
        }
        findings
    }

    /// Takes the present time where no row brings it: closes seconds of the row rate, and leaves
    /// streams undecided after a silence.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.state.last.is_some_and(|last| now.seconds_since(last) > self.patience()) {
            self.state.is_silent = true;
        }
        let row = self.state.row;
        if self.state.rate.as_mut().is_some_and(|r| r.advance(row, now)) {
            self.judge_rate(now, &mut findings);
        }
        findings
    }

    fn observe_row(&mut self, batch: &Batch, row: usize, ts: Timestamp, findings: &mut Vec<Finding>) {
        self.state.is_silent = false;
        self.state.row += 1;
        if is_judged(batch, row) {
            self.state.judged += 1;
            let step = self.step(ts, self.step_length(ts));
            self.state.last_judged = Some(ts);
            if let Some(stream) = self.bet(batch, row, step) {
                self.break_contract(stream, step, findings);
            }
            self.judge(step, findings);
        }
        self.state.last = Some(ts);
        let row = self.state.row;
        if self.state.rate.as_mut().is_some_and(|rate| rate.observe(row, ts)) {
            self.judge_rate(ts, findings);
        }
    }

    /// This moment, lengthening the run by so much.
    pub(super) const fn step(&self, ts: Timestamp, length: f64) -> Step {
        Step { row: self.state.row, judged: self.state.judged, ts, length }
    }

    /// The silence, in seconds, that leaves every stream undecided.
    fn patience(&self) -> f64 {
        let rate = self.options.rate.get();
        let gaps = if rate > 0.0 { SILENT_GAPS / rate } else { SILENT_SECONDS_MIN };
        if gaps > SILENT_SECONDS_MIN { gaps } else { SILENT_SECONDS_MIN }
    }

    /// By how much a row lengthens the run: known before the row's values are looked at.
    ///
    /// A longer silence counts as that which leaves streams undecided. Else one row with a clock that
    /// is years off, or the first row after a month without any, would spend the budget by itself and
    /// alarm on values that say nothing. A shorter run only makes false alarms rarer.
    fn step_length(&self, ts: Timestamp) -> f64 {
        match self.options.budget {
            Budget::Rows(_) => 1.0,
            Budget::Time(_) => {
                let gap = self.state.last_judged.map_or(0.0, |last| ts.seconds_since(last));
                let most = self.patience();
                if gap > most {
                    most
                } else if gap > 0.0 {
                    gap
                } else {
                    0.0
                }
            }
        }
    }

    /// Lets every stream bet on one row; answers a stream whose declared rule it broke.
    fn bet(&mut self, batch: &Batch, row: usize, step: Step) -> Option<usize> {
        let mut broken = None;
        let streams = self.calibration.streams.iter().zip(&mut self.state.evidence);
        for (index, (stream, evidence)) in streams.enumerate() {
            let hit = stream.bin(batch.columns(), &self.schema, row);
            evidence.observe(hit, step);
            if stream.bins.get(hit) == Some(&Bin::Broken) {
                broken = Some(index);
            }
            for latch in self.state.groups.iter_mut().filter_map(|g| g.latch.as_mut()) {
                if let Some(limits) = self.wiring.limits.get(index) {
                    latch.recovery.observe(index, hit, limits);
                }
            }
        }
        broken
    }

    /// Adds up the evidence of every group that is free to alarm and compares it with the threshold.
    fn judge(&mut self, step: Step, findings: &mut Vec<Finding>) {
        let mut total = 0.0;
        let mut worst: Option<(usize, f64)> = None;
        let explained = self.outputs_are_explained();
        for (index, group) in self.state.groups.iter().enumerate() {
            if group.latch.is_some() || (group.role == Role::Output && explained) {
                continue;
            }
            let share = self.evidence_of(group);
            total += share;
            if group.role != Role::Traffic && worst.is_none_or(|(_, most)| share > most) {
                worst = Some((index, share));
            }
        }
        if reaches(total, self.threshold) == Some(true)
            && let Some((index, _)) = worst
        {
            self.raise(index, step, total, findings);
        }
        self.note_fired(step, findings);
        self.resolve(step, findings);
    }

    /// The weighted evidence of one group.
    pub(super) fn evidence_of(&self, group: &Group) -> f64 {
        match group.role {
            Role::Traffic => self.state.rate.as_ref().map_or(0.0, Rate::total),
            Role::Input | Role::Output => {
                group.streams.iter().filter_map(|s| self.state.evidence.get(*s)).map(Evidence::total).sum()
            }
        }
    }

    /// Whether the alarm of an input group explains what the answers do.
    pub(super) fn outputs_are_explained(&self) -> bool {
        self.state.groups.iter().any(|g| g.role == Role::Input && g.latch.is_some())
    }

    /// Raises the alarm of one group, latches it and starts all others anew.
    fn raise(&mut self, index: usize, step: Step, score: f64, findings: &mut Vec<Finding>) {
        let Some(group) = self.state.groups.get(index) else { return };
        let Some(top) = self.top_bin(&group.streams) else { return };
        let shares = self.shares(&group.streams);
        let Some(alarm) = self.alarm(group, top, step, score, shares) else { return };
        let latch = self.latch_for(group, top, &alarm);
        self.latch(index, latch, step);
        findings.push(Finding::Raised(alarm));
    }

    /// Latches a group and starts all that are free anew.
    pub(super) fn latch(&mut self, index: usize, latch: Latch, step: Step) {
        if let Some(group) = self.state.groups.get_mut(index) {
            group.latch = Some(latch);
        }
        let free: Vec<usize> = self
            .state
            .groups
            .iter()
            .filter(|g| g.latch.is_none())
            .flat_map(|g| g.streams.iter().copied())
            .collect();
        self.state.restart(&free, step);
        let rate_is_free = self.state.groups.iter().any(|g| g.role == Role::Traffic && g.latch.is_none());
        if rate_is_free && let Some(rate) = &mut self.state.rate {
            rate.reset(step.start());
        }
    }

    fn latch_for(&self, group: &Group, top: (usize, usize), alarm: &Alarm) -> Latch {
        let fired_alone = |name: &str| alarm.shares.iter().any(|s| s.fired && s.detector == name);
        let mut latch = Latch::default();
        latch.fired.extend((0..KINDS.len()).filter(|k| KINDS.get(*k).is_some_and(|k| fired_alone(k.name()))));
        latch.recovery.suspect(top.0, top.1);
        for (stream, bin, _) in self.suspects(&group.streams) {
            latch.recovery.suspect(stream, bin);
        }
        latch
    }

    /// All evidence, to be kept across a restart.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved { fingerprint: self.fingerprint.clone(), state: self.state.clone() }
    }

    /// Goes on from saved evidence. The time in between counts for nothing: that no row was seen while
    /// this process was not there says nothing of the row rate.
    ///
    /// # Errors
    /// [`Error::StateOfAnother`] when it was saved under another baseline, budget or set of detectors.
    pub fn restore(&mut self, saved: Saved) -> Result<(), Error> {
        let fits = saved.fingerprint == self.fingerprint
            && saved.state.evidence.len() == self.state.evidence.len()
            && saved.state.groups.len() == self.state.groups.len();
        if !fits {
            return Err(Error::StateOfAnother);
        }
        self.state = saved.state;
        if let Some(rate) = &mut self.state.rate {
            rate.resume();
        }
        Ok(())
    }
}
