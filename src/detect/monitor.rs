use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bins::Bin;
use super::calibrate::Calibration;
use super::contract::is_judged;
use super::encode::Encoder;
use super::evidence::{Asked, Evidence};
use super::hours::Hours;
use super::joint::Recent;
use super::queue::{Queue, Span, Steps};
use super::rate::Rate;
use super::recovery::{Dose, Of};
use super::setup::{self, Options, Wiring};
use super::state::{Group, Latch, State, Step};
use super::steps::chunks;
use super::stream::{Role, Source};
use super::table::{Bet, Family};
use super::trail::Trail;
use super::versions::Whose;
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
/// are told. Findings do not depend on how rows are cut into batches. Adjacent rows of one request or of
/// one entity are not independent: where such steps of several rows occur, each makes one step with the
/// mean of its rows' e-values, taken when the next begins.
#[derive(Debug)]
pub struct Monitor {
    pub(super) schema: Arc<Schema>,
    pub(super) calibration: Calibration,
    pub(super) wiring: Wiring,
    pub(super) options: Options,
    pub(super) threshold: f64,
    pub(super) state: State,
    fingerprint: String,
    pub(super) encoder: Encoder,
    hours: Hours,
    pub(super) queue: Queue,
    /// Positions of the streams of declared rules.
    contracts: Vec<usize>,
    pub(super) whose: Whose,
    /// Rows in memory, to tell what an alarm does to answers; none where no relation is known.
    pub(super) recent: Option<Recent>,
    /// The latest steps, to tell when a fault began.
    pub(super) trail: Trail,
    // What follows is overwritten chunk by chunk.
    before: Vec<Evidence>,
    totals: Vec<f64>,
    lengths: Vec<f64>,
}

/// A monitor's evidence, saved for a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
        super::check_names(options.without.iter().map(String::as_str))?;
        let wanted = match options.budget {
            Budget::Time(time) => time.as_secs_f64(),
            Budget::Rows(rows) => count(rows),
        };
        if wanted <= 0.0 {
            return Err(Error::EmptyBudget);
        }
        let threshold = wanted * calibration.threshold_factor;
        let wiring = Wiring::new(&calibration, &options);
        let mut state = setup::at_rest(&calibration, &wiring, &options);
        state.clustered = calibration.clustered;
        let fingerprint = setup::fingerprint(&calibration, &options)?;
        let broken = |s: &super::stream::Stream| s.bins.first() == Some(&Bin::Broken);
        let contracts = calibration.streams.iter().enumerate().filter(|(_, s)| broken(s)).map(|(i, _)| i);
        let encoder = calibration.encoder(&schema).leaving_out(|stream| wiring.bets(stream).next().is_none());
        Ok(Self {
            contracts: contracts.collect(),
            whose: Whose::All,
            recent: encoder.relation_width().map(Recent::new),
            encoder,
            hours: Hours::new(calibration.season())?,
            queue: Queue::new(calibration.streams.len()),
            trail: Trail::new(calibration.streams.len()),
            before: state.evidence.clone(),
            totals: Vec::new(),
            lengths: Vec::new(),
            schema,
            calibration,
            wiring,
            options,
            threshold,
            state,
            fingerprint,
        })
    }

    /// What the ledger must reach: the wanted mean time to a false alarm, in seconds or in rows, raised by
    /// [`Calibration::threshold_factor`].
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

    /// Lets relations look at one row in so many from now on (1: at every row): they cost more than all else
    /// together, and while rows come faster than they are judged, one row in a few finds a broken relation nearly as
    /// soon in time. Which rows these are does not depend on what they hold, and what is not looked at is no evidence
    /// either way.
    pub const fn thin_relations(&mut self, one_in: u64) {
        self.encoder.thin_relations(one_in);
    }

    /// Takes the present time where no row brings it: judges a request that waits for more rows, closes
    /// seconds of the row rate, and leaves streams undecided after a silence.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Finding> {
        let mut findings = self.finish();
        if self.state.last_seen.is_some_and(|last| now.seconds_since(last) > self.patience()) {
            self.state.is_silent = true;
        }
        let row = self.state.row;
        let is_counted = !self.state.is_short;
        if is_counted && self.state.rate.as_mut().is_some_and(|r| r.advance(row, now, &mut self.hours)) {
            self.judge_rate(now, &mut findings);
        }
        findings
    }

    /// The end of recorded rows: judges the last request, which has no more.
    pub fn finish(&mut self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.queue.close();
        self.judge_queued(&mut findings);
        findings
    }

    fn take(&mut self, batch: &Batch, arrival: Option<Timestamp>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for rows in chunks(0..batch.len()) {
            self.encoder.encode(batch, &rows);
            let encoder = &self.encoder;
            let first = self.queue.begin_chunk(|stream| encoder.of(stream));
            for (in_chunk, row) in rows.enumerate() {
                let begins = self.encoder.begins(in_chunk);
                self.take_row(batch, row, (in_chunk, first + in_chunk, begins), arrival, &mut findings);
            }
            self.judge_queued(&mut findings);
        }
        findings
    }

    fn take_row(
        &mut self,
        batch: &Batch,
        row: usize,
        (in_chunk, place, begins): (usize, usize, bool),
        arrival: Option<Timestamp>,
        findings: &mut Vec<Finding>,
    ) {
        let said = batch.meta().ts().get(row).copied().unwrap_or(Timestamp::from_micros(0));
        let ts = arrival.map_or(said, |now| said.min(now));
        if begins || self.queue.is_full() {
            self.queue.close_at(self.state.row + 1);
        }
        self.state.row += 1;
        if is_judged(batch, row) && self.whose.includes(batch, row) {
            self.state.last_seen = Some(arrival.unwrap_or(ts));
            self.state.is_silent = false;
            if let (Some(recent), Some((features, residuals))) =
                (&mut self.recent, self.encoder.relation_row(in_chunk))
            {
                recent.push(self.state.row, features, residuals);
            }
            self.gather(place, ts, begins, findings);
        } else {
            self.queue.skip(place);
        }
        if self.state.rate.is_some() && begins && !self.state.is_short {
            self.count_row(ts, findings);
        }
    }

    /// Counts a request for the row rate; judges what came before the second that it closes.
    pub(super) fn count_row(&mut self, ts: Timestamp, findings: &mut Vec<Finding>) {
        let row = self.state.row;
        if self.state.rate.as_ref().is_some_and(|rate| rate.would_close(ts)) {
            self.judge_queued(findings);
        }
        if self.state.rate.as_mut().is_some_and(|rate| rate.observe(row, ts, &mut self.hours)) {
            self.judge_rate(ts, findings);
        }
    }

    /// Adds a row to its step. A declared rule that it breaks is an alarm at once.
    pub(super) fn gather(&mut self, place: usize, ts: Timestamp, begins: bool, findings: &mut Vec<Finding>) {
        let passed = self.state.pass(ts, self.patience());
        let stratum = self.hours.stratum(ts);
        // The first request of several rows shows that requests must be waited for.
        self.state.clustered |= !begins;
        let is_known = self.calibration.seen.get(stratum).is_some_and(|steps| *steps > 0);
        // What a step brings of time may tell of its rows; what the one before brought is known beforehand.
        if begins || !self.queue.is_open() {
            self.state.before = std::mem::take(&mut self.state.brought);
        }
        self.state.brought += passed;
        let length = match self.options.budget {
            Budget::Rows(_) => None,
            Budget::Time(_) => Some(self.state.before),
        };
        self.queue
            .push(place, Span { row: self.state.row, ts, length, stratum, is_known, ..Span::new(place) });
        if !self.state.clustered {
            self.queue.close();
        }
        let broken = self.contracts.iter().copied().find(|s| self.queue.code(*s, place) == 0);
        if let Some(stream) = broken {
            self.judge_queued(findings);
            let step = Step { row: self.state.row, judged: self.state.judged + 1, ts };
            self.break_contract(stream, step, findings);
        }
    }

    /// Lets every stream bet on the steps that are complete.
    fn judge_queued(&mut self, findings: &mut Vec<Finding>) {
        let mut from = 0;
        let spans = self.queue.take_spans();
        while let Some(rest) = spans.get(from..).filter(|rest| !rest.is_empty()) {
            from += if self.state.any_latch() {
                self.judge_one(rest, findings);
                1
            } else {
                self.judge_many(rest, findings)
            };
        }
        self.queue.give_back(spans);
    }

    /// Bets on steps until one reaches the threshold, or all. Gives how many were judged.
    pub(super) fn judge_many(&mut self, spans: &[Span], findings: &mut Vec<Finding>) -> usize {
        let rate = self.state.rate.as_ref().map_or(0.0, Rate::total);
        let threshold = self.threshold;
        self.before.clone_from(&self.state.evidence);
        let mut reached = None;
        if reaches(self.bet_at_most(spans) + rate, threshold) != Some(false) {
            // Here or nearly so: step by step.
            self.state.evidence.clone_from(&self.before);
            self.bet(spans, rate);
            reached = self.totals.iter().position(|total| reaches(*total, threshold) == Some(true));
        }
        let judged = reached.map_or(spans.len(), |place| place + 1);
        let Some(spans) = spans.get(..judged) else { return judged };
        if reached.is_some() {
            // What came after the alarm is not known yet.
            std::mem::swap(&mut self.before, &mut self.state.evidence);
            self.bet_at_most(spans);
        }
        self.trail.push(&self.queue, spans, self.state.judged + 1);
        for span in spans {
            let step = Step { row: span.row, judged: self.state.judged + 1, ts: span.ts };
            self.state.mark(step);
        }
        if let Some(last) = spans.last() {
            self.state.in_unseen_hour = !last.is_known;
            if reached.is_some() {
                self.judge(self.step(last.ts, last.row), findings);
            }
        }
        judged
    }

    /// Bets on one step while some group is latched.
    fn judge_one(&mut self, spans: &[Span], findings: &mut Vec<Finding>) {
        let Some(span) = spans.first() else { return };
        self.bet_at_most(std::slice::from_ref(span));
        // While rows are short, the faulty ones may be among those that nobody saw: calm of the others is none.
        let is_short = self.state.is_short;
        let groups = self.state.groups.iter_mut().filter(|_| !is_short);
        for latch in groups.filter_map(|g| g.latch.as_mut()) {
            latch.recovery.observe(span.stratum, |stream| self.queue.codes(stream, span));
        }
        self.trail.push(&self.queue, std::slice::from_ref(span), self.state.judged + 1);
        self.state.mark(Step { row: span.row, judged: self.state.judged + 1, ts: span.ts });
        self.state.in_unseen_hour = !span.is_known;
        self.judge(self.step(span.ts, span.row), findings);
    }

    /// Every stream's bets on some steps. Leaves the weighted sum of all after each, on top of `rate`.
    fn bet(&mut self, spans: &[Span], rate: f64) {
        self.totals.clear();
        self.totals.resize(spans.len(), rate);
        self.lengths.clear();
        self.lengths.extend(spans.iter().filter_map(|span| span.length));
        let steps = Steps::new(spans, super::state::tick(self.state.judged).wrapping_add(1), &self.lengths);
        let streams = self.state.evidence.iter_mut().zip(&self.wiring.tables).enumerate();
        for (index, state) in streams {
            self.queue.bet(index, state, &steps, Asked::Each(&mut self.totals));
        }
    }

    /// The same; gives what the sum does not exceed at any of the steps.
    fn bet_at_most(&mut self, spans: &[Span]) -> f64 {
        self.lengths.clear();
        self.lengths.extend(spans.iter().filter_map(|span| span.length));
        let steps = Steps::new(spans, super::state::tick(self.state.judged).wrapping_add(1), &self.lengths);
        let mut bound = 0.0;
        let streams = self.state.evidence.iter_mut().zip(&self.wiring.tables).enumerate();
        for (index, state) in streams {
            self.queue.bet(index, state, &steps, Asked::AtMost(&mut bound));
        }
        bound
    }

    /// This moment.
    pub(super) const fn step(&self, ts: Timestamp, row: u64) -> Step {
        Step { row, judged: self.state.judged, ts }
    }

    /// The silence, in seconds, that leaves every stream undecided.
    fn patience(&self) -> f64 {
        let rate = self.options.rate.get();
        let gaps = if rate > 0.0 { SILENT_GAPS / rate } else { SILENT_SECONDS_MIN };
        if gaps > SILENT_SECONDS_MIN { gaps } else { SILENT_SECONDS_MIN }
    }

    /// Adds up the evidence of every group that is free to alarm and compares it with the threshold.
    fn judge(&mut self, step: Step, findings: &mut Vec<Finding>) {
        let taken: Vec<Role> = self.state.groups.iter().filter(|g| !g.is_free()).map(|g| g.role).collect();
        let free = |g: &Group| g.is_free() && !taken.iter().any(|role| g.role.follows(*role));
        let settled: f64 = self.state.groups.iter().filter(|g| free(g)).map(|g| self.settled_of(g)).sum();
        if reaches(settled, self.threshold) != Some(false) {
            self.judge_free(&free, step, findings);
        }
        self.note_fired(step, findings);
        self.resolve(step, findings);
    }

    /// The same with all evidence as of this very step: an alarm where it reaches the threshold.
    fn judge_free(&mut self, free: &dyn Fn(&Group) -> bool, step: Step, findings: &mut Vec<Finding>) {
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
    }

    /// The group with the most evidence. Answers and relations follow features: where a group that explains the
    /// worst has a noticeable part of the evidence, it is the cause, features before what they tell of each other.
    fn guilty(&self, shares: &[(usize, f64)]) -> Option<usize> {
        let role = |index: usize| self.state.groups.get(index).map(|g| g.role);
        let most = |is: &dyn Fn(usize) -> bool| {
            let mine = shares.iter().filter(|(index, _)| is(*index));
            mine.copied().reduce(|a, b| if b.1 > a.1 { b } else { a })
        };
        let (worst, _) = most(&|_| true)?;
        // Rows seen before, or from elsewhere, are a cause of their own.
        let Some(own) = role(worst).filter(|role| matches!(role, Role::Output | Role::Relations)) else {
            return Some(worst);
        };
        let causes = [Role::Input, Role::Relations].into_iter().filter(|cause| own.follows(*cause));
        let mut found = causes.filter_map(|cause| most(&|index| role(index) == Some(cause)));
        let cause = found.find(|(_, share)| *share >= CAUSE_SHARE * self.threshold);
        Some(cause.map_or(worst, |(cause, _)| cause))
    }

    /// The weighted evidence of one group, that of bets on less as of the last block.
    fn settled_of(&self, group: &Group) -> f64 {
        match group.role {
            Role::Traffic => self.evidence_of(group),
            Role::Input | Role::Output | Role::Relations | Role::Rows => self.settled_in(&group.streams),
        }
    }

    pub(super) fn settled_in(&self, streams: &[usize]) -> f64 {
        let of = |s: &usize| Some(self.state.evidence.get(*s)?.total(self.wiring.table(*s)?));
        streams.iter().filter_map(of).sum()
    }

    /// The weighted evidence of one group, as of this step.
    pub(super) fn evidence_of(&self, group: &Group) -> f64 {
        match group.role {
            Role::Traffic => self.state.rate.as_ref().map_or(0.0, Rate::total),
            Role::Input | Role::Output | Role::Relations | Role::Rows => self.evidence_in(&group.streams),
        }
    }

    /// The weighted evidence of some streams, as of this step.
    pub(super) fn evidence_in(&self, streams: &[usize]) -> f64 {
        let of = |s: &usize| Some(self.state.evidence.get(*s)?.exact_total(self.wiring.table(*s)?));
        streams.iter().filter_map(of).sum()
    }

    /// Whether the alarm of some group explains what groups of a role do.
    pub(super) fn is_explained(&self, role: Role) -> bool {
        self.state.groups.iter().any(|g| role.follows(g.role) && !g.is_free())
    }

    /// Raises the alarm of one group, latches it and starts all others anew.
    fn raise(&mut self, index: usize, step: Step, score: f64, findings: &mut Vec<Finding>) {
        let Some(group) = self.state.groups.get(index) else { return };
        if group.role == Role::Traffic {
            self.raise_rate(index, step, findings);
            return;
        }
        let Some(top) = self.top_bet(&group.streams) else { return };
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

    fn latch_for(&self, group: &Group, top: (usize, Bet), alarm: &Alarm, step: Step) -> Latch {
        let fired_alone = |name: &str| alarm.shares.iter().any(|s| s.fired && s.detector == name);
        let mut latch = group.latch.clone().unwrap_or_else(|| Latch::new(step));
        latch.by_contract_only = false;
        latch.fired.extend((0..KINDS.len()).filter(|k| KINDS.get(*k).is_some_and(|k| fired_alone(k.name()))));
        for (stream, bet, suspicion) in self.suspects(&group.streams) {
            self.wait_for(&mut latch, (stream, bet), Some(suspicion), step);
        }
        self.wait_for(&mut latch, top, self.suspicion(top.0, top.1), step);
        latch
    }

    /// Adds a bet to what a latched group must calm down of.
    pub(super) fn wait_for(
        &self,
        latch: &mut Latch,
        (stream, bet): (usize, Bet),
        suspicion: Option<super::evidence::Suspicion>,
        step: Step,
    ) {
        let Some(table) = self.wiring.table(stream) else { return };
        let Some(mut badness) = table.badness(bet) else { return };
        let told = self.calibration.streams.get(stream).map_or(1.0, |s| self.calibration.told_share(s));
        let share = match bet.family {
            Family::More => self.dose_of_more(stream, suspicion, &badness, (step, told)),
            Family::Less => suspicion.and_then(|s| s.loss),
            Family::Tilt => self.dose_of_tilt(stream, bet, &mut badness),
        };
        let of = match self.calibration.streams.get(stream).map(|s| &s.source) {
            Some(Source::Column { position, .. }) => Of::Values(*position),
            Some(Source::Grid { position } | Source::Repeat { position }) => Of::Form(*position),
            Some(Source::SameCount { .. }) => Of::Forms,
            _ => Of::Else,
        };
        // What is not known of counts as complete.
        latch.recovery.suspect((stream, of, bet), badness, Dose { share: share.unwrap_or(1.0), told });
    }

    /// Bytes of evidence that change with rows, and the streams that they belong to.
    #[must_use]
    pub fn evidence_bytes(&self) -> (usize, usize) {
        (self.state.evidence.iter().map(Evidence::bytes).sum(), self.state.evidence.len())
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
            && saved.state.evidence.iter().zip(&self.wiring.tables).all(|(e, t)| e.fits(t))
            && saved.state.groups.len() == self.state.groups.len();
        if !fits {
            return Err(Error::StateOfAnother);
        }
        let at_rest = std::mem::replace(&mut self.state, saved.state);
        if let (Some(rate), Some(at_rest)) = (&mut self.state.rate, at_rest.rate) {
            rate.follow(at_rest);
        }
        self.state.resume();
        self.encoder.forget();
        self.trail = Trail::new(self.calibration.streams.len());
        // Rows that were seen before belong to another run: they are no health to hold a fault against.
        self.recent = self.encoder.relation_width().map(Recent::new);
        Ok(())
    }
}
