use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bins::Bin;
use super::calibrate::{Calibration, is_judged};
use super::ledger::{Evidence, Step};
use super::rate::Rate;
use super::setup::{self, Options, Wiring};
use super::state::{Group, Latch, Pending, Role, State};
use super::{Alarm, Error, Finding, KINDS, latched};
use crate::baseline::Budget;
use crate::record::{Batch, Schema};
use crate::units::{Timestamp, count};

/// A silence of so many mean gaps, but at least ten seconds, leaves every stream undecided.
const SILENT_GAPS: f64 = 100.0;
const SILENT_SECONDS_MIN: f64 = 10.0;
/// An input group with this part of the threshold is the cause of what the answers show.
const CAUSE_SHARE: f64 = 0.01;

/// Sequential detection for one model: every detector, one ledger of evidence, one threshold.
///
/// Pure: its only clocks are the rows' time and what [`Monitor::observe_at`] and [`Monitor::advance`]
/// are told. Findings do not depend on how rows are cut into batches. Adjacent rows of one request are
/// not independent: they make one step with the mean of their e-values, taken when the next request
/// begins, and the request counts once for the row rate.
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

    /// Takes recorded rows in the order in which they arrived: time is what the rows say.
    ///
    /// Every column is read by position: the batch must follow [`Monitor::schema`].
    pub fn observe(&mut self, batch: &Batch) -> Vec<Finding> {
        self.take(batch, None)
    }

    /// Takes rows that arrive now. A sender's clock may lag but not lead: a row from the future counts
    /// as of now.
    pub fn observe_at(&mut self, batch: &Batch, now: Timestamp) -> Vec<Finding> {
        self.take(batch, Some(now))
    }

    /// Says whether enough of the rows on offer are judged. Where not, every stream that is not latched is
    /// undecided, because of lost rows; no group recovers, and the row rate, which would see a fall that is
    /// none, is not judged. Bets go on: what the judged rows show is true of them.
    pub fn set_coverage(&mut self, enough: bool) {
        if self.state.is_short == enough
            && let Some(rate) = &mut self.state.rate
        {
            rate.resume();
        }
        self.state.is_short = !enough;
    }

    /// Takes the present time where no row brings it: judges a request that waits for more rows, closes
    /// seconds of the row rate, and leaves streams undecided after a silence.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.judge_pending(&mut findings);
        if self.state.last_seen.is_some_and(|last| now.seconds_since(last) > self.patience()) {
            self.state.is_silent = true;
        }
        let row = self.state.row;
        let is_counted = !self.state.is_short;
        if is_counted && self.state.rate.as_mut().is_some_and(|r| r.advance(row, now)) {
            self.judge_rate(now, &mut findings);
        }
        findings
    }

    /// The end of recorded rows: judges the last request, which has no more.
    pub fn finish(&mut self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.judge_pending(&mut findings);
        findings
    }

    fn take(&mut self, batch: &Batch, arrival: Option<Timestamp>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (row, meta) in batch.rows().iter().enumerate() {
            let ts = arrival.map_or(meta.ts, |now| meta.ts.min(now));
            let starts_request = self.state.starts_request(meta.request_id.as_deref());
            if starts_request || self.state.pending.rows() >= Pending::ROWS_MAX {
                self.judge_pending(&mut findings);
            }
            self.state.row += 1;
            if is_judged(batch, row) {
                self.state.last_seen = Some(arrival.unwrap_or(ts));
                self.state.is_silent = false;
                self.gather(batch, row, ts, &mut findings);
            }
            if meta.request_id.is_none() {
                self.judge_pending(&mut findings);
            }
            let row = self.state.row;
            let is_counted = starts_request && !self.state.is_short;
            if is_counted && self.state.rate.as_mut().is_some_and(|rate| rate.observe(row, ts)) {
                self.judge_rate(ts, &mut findings);
            }
        }
        findings
    }

    /// Adds a row to its request. A declared rule that it breaks is an alarm at once.
    fn gather(&mut self, batch: &Batch, row: usize, ts: Timestamp, findings: &mut Vec<Finding>) {
        let passed = self.state.pass(ts, self.patience());
        let mut broken = None;
        let (streams, schema) = (&self.calibration.streams, &self.schema);
        let bins = streams.iter().enumerate().map(|(index, stream)| {
            let bin = stream.bin(batch.columns(), schema, row);
            if stream.bins.get(bin) == Some(&Bin::Broken) {
                broken = Some(index);
            }
            bin
        });
        self.state.pending.push(bins);
        self.state.pending.ts = Some(ts);
        self.state.pending.length += passed;
        if let Some(stream) = broken {
            self.break_contract(stream, self.step(ts, 0.0), findings);
        }
    }

    /// Lets every stream bet on the request that is complete, as one step.
    fn judge_pending(&mut self, findings: &mut Vec<Finding>) {
        let Some(ts) = self.state.pending.ts else { return };
        let length = match self.options.budget {
            Budget::Rows(_) => 1.0,
            Budget::Time(_) => self.state.pending.length,
        };
        self.state.judged += 1;
        let step = self.step(ts, length);
        let streams = self.state.evidence.len();
        let mut hits = Vec::new();
        for (index, evidence) in self.state.evidence.iter_mut().enumerate() {
            self.state.pending.hits(index, streams, &mut hits);
            evidence.observe(&hits, step);
            if self.state.is_short {
                // The faulty rows may be among those that nobody saw: calm of the others is none.
                continue;
            }
            for latch in self.state.groups.iter_mut().filter_map(|g| g.latch.as_mut()) {
                if let Some(limits) = self.wiring.limits.get(index) {
                    latch.recovery.observe(index, &hits, limits);
                }
            }
        }
        self.state.pending.clear();
        self.judge(step, findings);
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

    /// Adds up the evidence of every group that is free to alarm and compares it with the threshold.
    fn judge(&mut self, step: Step, findings: &mut Vec<Finding>) {
        let explained = self.outputs_are_explained();
        let free = |g: &Group| g.is_free() && !(g.role == Role::Output && explained);
        // A group whose evidence is not a number mutes itself, not the others.
        let shares: Vec<(usize, f64)> = self
            .state
            .groups
            .iter()
            .enumerate()
            .filter(|(_, group)| free(group))
            .map(|(index, group)| (index, self.evidence_of(group)))
            .filter(|(_, share)| share.is_finite())
            .collect();
        let total: f64 = shares.iter().map(|(_, share)| share).sum();
        if reaches(total, self.threshold) == Some(true)
            && let Some(index) = self.guilty(&shares)
        {
            self.raise(index, step, total, findings);
        }
        self.note_fired(step, findings);
        self.resolve(step, findings);
    }

    /// The group with the most evidence. Answers follow their inputs: where an input group has a
    /// noticeable part of the evidence, it is the cause.
    fn guilty(&self, shares: &[(usize, f64)]) -> Option<usize> {
        let most = |of: Option<Role>| {
            let mine = shares.iter().filter(|(index, _)| {
                of.is_none_or(|role| self.state.groups.get(*index).is_some_and(|g| g.role == role))
            });
            mine.copied().reduce(|a, b| if b.1 > a.1 { b } else { a })
        };
        let (worst, _) = most(None)?;
        let is_output = self.state.groups.get(worst).is_some_and(|g| g.role == Role::Output);
        match most(Some(Role::Input)) {
            Some((input, share)) if is_output && share >= CAUSE_SHARE * self.threshold => Some(input),
            _ => Some(worst),
        }
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
        self.state.groups.iter().any(|g| g.role == Role::Input && !g.is_free())
    }

    /// Raises the alarm of one group, latches it and starts all others anew.
    fn raise(&mut self, index: usize, step: Step, score: f64, findings: &mut Vec<Finding>) {
        let Some(group) = self.state.groups.get(index) else { return };
        if group.role == Role::Traffic {
            self.raise_rate(index, step, findings);
            return;
        }
        let Some(top) = self.top_bin(&group.streams) else { return };
        let shares = self.shares(&group.streams);
        let Some(alarm) = self.alarm(group, top, step, score, shares) else { return };
        let latch = self.latch_for(group, top, &alarm, step);
        let known = group.latch.is_some();
        let name = group.name.clone();
        if known {
            // A broken contract had opened its alert already: this is more evidence for it.
            for kind in &latch.fired {
                findings.push(latched::fired(&name, *kind, alarm.features.clone(), step));
            }
        } else {
            findings.push(Finding::Raised(alarm));
        }
        self.latch(index, latch);
        self.restart_free(step);
    }

    pub(super) fn latch(&mut self, index: usize, latch: Latch) {
        if let Some(group) = self.state.groups.get_mut(index) {
            group.latch = Some(latch);
        }
    }

    /// Starts all that are free anew.
    pub(super) fn restart_free(&mut self, step: Step) {
        let free: Vec<usize> = self
            .state
            .groups
            .iter()
            .filter(|g| g.is_free())
            .flat_map(|g| g.streams.iter().copied())
            .collect();
        self.state.restart(&free, step);
        let rate_is_free = self.state.groups.iter().any(|g| g.role == Role::Traffic && g.is_free());
        if rate_is_free && let Some(rate) = &mut self.state.rate {
            rate.reset(step.start());
        }
    }

    fn latch_for(&self, group: &Group, top: (usize, usize), alarm: &Alarm, step: Step) -> Latch {
        let fired_alone = |name: &str| alarm.shares.iter().any(|s| s.fired && s.detector == name);
        let mut latch = group.latch.clone().unwrap_or_else(|| Latch::new(step));
        latch.by_contract_only = false;
        latch.fired.extend((0..KINDS.len()).filter(|k| KINDS.get(*k).is_some_and(|k| fired_alone(k.name()))));
        for (stream, bin, suspicion) in self.suspects(&group.streams) {
            latch.recovery.suspect(stream, bin, suspicion.share(step.judged));
        }
        let suspicion = self.state.evidence.get(top.0).and_then(|e| e.suspicion(top.1));
        latch.recovery.suspect(top.0, top.1, suspicion.map_or(1.0, |s| s.share(step.judged)));
        latch
    }

    /// All evidence, to be kept across a restart.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved { fingerprint: self.fingerprint.clone(), state: self.state.clone() }
    }

    /// Goes on from saved evidence.
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
        self.state.resume();
        Ok(())
    }
}
