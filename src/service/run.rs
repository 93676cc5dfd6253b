use std::collections::BTreeMap;
use std::time::Duration;

use super::Error;
use super::view::RunView;
use crate::alert::Timeline;
use crate::chaos::{Act, Experiment, Fault, Journal, ObjectiveKind};
use crate::record::{Batch, Meta, RowStatus};
use crate::slo::{self, Meter};
use crate::units::Timestamp;
use crate::verdict::{
    self, Clock, Evidence, Frozen, Input, KnownAnswers, Limits, Tap, Verdict, Watch, Witness,
};

/// Events that one run may have; those of the longest experiment are some dozens.
const EVENTS_MAX: usize = 1_000;

/// Who measures the latency of the run's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latencies {
    /// Whoever started the run reports every request, timed from its intended start.
    Reported,
    /// The records carry the service's own latency: nobody knows the intended start.
    Tapped,
}

/// A run to be watched and judged.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// What is planned.
    pub experiment: Experiment,
    /// Who measures latencies.
    pub latencies: Latencies,
    /// What feeds random choices.
    pub seed: u64,
    /// How far the sender's clock is from ours in milliseconds, where it is known.
    pub clock_offset_ms: Option<f64>,
}

/// One run under way, or ended and judged.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) ended: bool,
    /// Whether its verdict was already counted in the metrics.
    pub(super) is_measured: bool,
    request: RunRequest,
    journal: Journal,
    witnesses: BTreeMap<String, Witness>,
    meters: Vec<RunMeter>,
    frozen: Frozen,
    /// The same when it ended.
    frozen_at_end: Option<Frozen>,
    rows_seen: u64,
    lost_before: BTreeMap<String, u64>,
    known_answers: Option<KnownAnswers>,
    /// Detectors in groups that were decided when it ended.
    decided: u64,
}

/// An objective and who measures it.
#[derive(Debug, Clone)]
struct RunMeter {
    of_store: bool,
    meter: Meter,
}

/// What a verdict needs beside the run itself.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) timeline: Timeline,
    pub(super) frozen: Frozen,
    pub(super) lost: BTreeMap<String, u64>,
    /// The time up to which the timeline has forgotten entries.
    pub(super) forgotten: Option<Timestamp>,
}

impl Run {
    pub(super) fn new(
        id: String,
        model: String,
        request: RunRequest,
        frozen: Frozen,
        lost_before: BTreeMap<String, u64>,
    ) -> Result<Self, Error> {
        let witness = |fault: &Fault| (fault.id.clone(), Witness::new(fault.group.clone()));
        let meters = request.experiment.slos.iter().map(|objective| {
            let (kind, of_store) = kind_of(&objective.objective);
            let objective =
                slo::Objective { name: objective.name.clone(), ordinary: objective.ordinary, kind };
            Ok(RunMeter { of_store, meter: Meter::new(objective, Meter::WINDOW)? })
        });
        Ok(Self {
            id,
            model,
            ended: false,
            is_measured: false,
            witnesses: request.experiment.faults.iter().map(witness).collect(),
            meters: meters.collect::<Result<_, Error>>()?,
            request,
            journal: Journal::default(),
            frozen,
            frozen_at_end: None,
            rows_seen: 0,
            lost_before,
            known_answers: None,
            decided: 0,
        })
    }

    /// Notes what was done. Windows of service levels begin anew with each phase.
    pub(super) fn note(&mut self, at: Timestamp, act: Act) -> Result<(), Error> {
        if let Some(fault) = fault_of(&act)
            && !self.witnesses.contains_key(fault)
        {
            let known: Vec<&str> = self.witnesses.keys().map(String::as_str).collect();
            let (run, fault) = (self.id.clone(), fault.to_owned());
            return Err(Error::UnknownFault { run, fault, known: known.join(", ") });
        }
        if self.journal.0.len() >= EVENTS_MAX {
            return Err(Error::TooManyEvents { run: self.id.clone(), max: EVENTS_MAX });
        }
        if let Act::FaultActive { fault } = &act
            && let Some(witness) = self.witnesses.get_mut(fault)
        {
            witness.activate(at);
        }
        for meter in &mut self.meters {
            meter.meter.cut(at);
            if matches!(act, Act::FaultRestored { .. }) {
                meter.meter.cut(at.plus(Limits::default().in_flight));
            }
        }
        self.ended |= matches!(act, Act::RunEnded | Act::NotRun { .. });
        self.journal.note(at, act);
        Ok(())
    }

    /// Looks at rows of the run's model.
    pub(super) fn see(&mut self, batch: &Batch) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        self.rows_seen += crate::units::whole(batch.len());
        for witness in self.witnesses.values_mut() {
            witness.see(batch);
        }
        if self.request.latencies == Latencies::Tapped {
            for row in 0..batch.len() {
                for meter in self.meters.iter_mut().filter(|m| !m.of_store) {
                    record_row(&mut meter.meter, batch.meta(), row)?;
                }
            }
        }
        Ok(())
    }

    /// A request of the run's traffic ended.
    pub(super) fn request_done(&mut self, at: Timestamp, latency: Duration, ok: bool) -> Result<(), Error> {
        for meter in self.meters.iter_mut().filter(|m| !m.of_store) {
            meter.meter.record(at, latency, ok)?;
        }
        Ok(())
    }

    /// The store answered a command, as the proxy in front of it measured.
    pub(super) fn store_answered(&mut self, at: Timestamp, latency: Duration) -> Result<(), Error> {
        for meter in self.meters.iter_mut().filter(|m| m.of_store) {
            meter.meter.record(at, latency, true)?;
        }
        Ok(())
    }

    pub(super) const fn know_answers(&mut self, known: KnownAnswers) {
        self.known_answers = Some(known);
    }

    pub(super) fn evidence(&self) -> BTreeMap<String, Evidence> {
        self.witnesses.iter().map(|(fault, witness)| (fault.clone(), witness.evidence())).collect()
    }

    /// The verdict of a run that has ended.
    pub(super) fn verdict(&self, around: &Surroundings) -> Result<Verdict, Error> {
        if !self.ended {
            return Err(Error::RunGoesOn(self.id.clone()));
        }
        let limits = Limits::default();
        let reports = match verdict::phases(&self.journal, limits.in_flight) {
            Some(phases) => self.meters.iter().map(|m| m.meter.report(&phases)).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let lost = around.lost.iter().map(|(reason, n)| {
            let before = self.lost_before.get(reason).copied().unwrap_or(0);
            (reason.clone(), n.saturating_sub(before))
        });
        let versions = BTreeMap::from([("silentry".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
        Ok(verdict::judge(&Input {
            run: &self.id,
            experiment: &self.request.experiment,
            journal: &self.journal,
            timeline: &around.timeline,
            slos: &reports,
            evidence: &self.evidence(),
            watch: Watch { decided: self.decided, timeline_whole: self.is_whole(around.forgotten) },
            tap: &Tap { rows_seen: self.rows_seen, rows_lost: lost.collect() },
            clock: Clock { resolution_ms: 1.0, offset_ms: self.request.clock_offset_ms },
            known_answers: self.known_answers,
            frozen_before: &self.frozen,
            frozen_after: &around.frozen,
            versions: &versions,
            seed: self.request.seed,
            limits,
        }))
    }

    /// Notes how many detectors knew anything when the run ended, and what judged it.
    pub(super) fn freeze(&mut self, decided: u64, frozen: Frozen) {
        self.decided = decided;
        self.frozen_at_end = Some(frozen);
    }

    pub(super) const fn frozen_at_end(&self) -> Option<&Frozen> {
        self.frozen_at_end.as_ref()
    }

    /// Whether the timeline has everything since the run began.
    fn is_whole(&self, forgotten: Option<Timestamp>) -> bool {
        let began = self.journal.0.first().map(|entry| entry.at);
        forgotten.is_none_or(|until| began.is_some_and(|began| until < began))
    }

    pub(super) const fn experiment(&self) -> &Experiment {
        &self.request.experiment
    }

    pub(super) fn view(&self) -> RunView {
        RunView {
            run: self.id.clone(),
            experiment: self.request.experiment.name.clone(),
            ended: self.ended,
            journal: self.journal.clone(),
        }
    }
}

/// Measures one request by what its row says of it.
///
/// One without a latency still counts by how it ended, where the row says so: a fault that only fails
/// requests must not vanish from the levels.
pub(super) fn record_row(meter: &mut Meter, meta: &Meta, row: usize) -> Result<(), slo::Error> {
    let Some(ts) = meta.ts().get(row).copied() else { return Ok(()) };
    let latency = meta.latency_ms(row).and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
    match (latency, meta.status(row)) {
        (Some(latency), status) => meter.record(ts.minus(latency), latency, status != Some(RowStatus::Error)),
        (None, Some(status)) => meter.record_unmeasured(ts, status == RowStatus::Ok),
        (None, None) => Ok(()),
    }
}

const fn kind_of(objective: &ObjectiveKind) -> (slo::Kind, bool) {
    match *objective {
        ObjectiveKind::Latency { quantile, at_most } => {
            (slo::Kind::LatencyQuantile { quantile, at_most }, false)
        }
        ObjectiveKind::Success { at_least } => (slo::Kind::Success { at_least }, false),
        ObjectiveKind::StoreLatency { quantile, at_most } => {
            (slo::Kind::LatencyQuantile { quantile, at_most }, true)
        }
    }
}

fn fault_of(act: &Act) -> Option<&str> {
    match act {
        Act::FaultArmed { fault }
        | Act::FaultActive { fault }
        | Act::FaultRestored { fault }
        | Act::FaultVerified { fault }
        | Act::FaultStillLive { fault, .. } => Some(fault),
        Act::RunStarted | Act::SteadyStarted | Act::Aborted { .. } | Act::NotRun { .. } | Act::RunEnded => {
            None
        }
    }
}
