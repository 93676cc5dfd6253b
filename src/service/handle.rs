use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::Error;
use super::engine::{Engine, OVER_THE_API, model_of};
use super::run::RunRequest;
use super::view::{AlertsView, Health, ModelView, RunView, TapView};
use crate::alert::{Change, Event, Notifier};
use crate::chaos::{Act, Experiment};
use crate::record::Record;
use crate::tap::ndjson;
use crate::tap::oip::ExchangeLine;
use crate::tap::{Intake, Reason};
use crate::telemetry::{AlertLevel, Metrics, Standing};
use crate::units::{Clock, Timestamp};
use crate::verdict::{KnownAnswers, Verdict};

/// The most rejected lines that an answer names; the others are only counted.
const REJECTIONS_MAX: usize = 20;

/// What became of the lines of one body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Ingested {
    /// Records taken in.
    pub accepted: u64,
    /// Lines that are no record.
    pub rejected: u64,
    /// Records that did not fit the queue.
    pub dropped: u64,
    /// The first rejected lines, each with its number and what is wrong with it.
    pub rejections: Vec<String>,
}

impl Ingested {
    fn reject(&mut self, why: String) {
        self.rejected += 1;
        if self.rejections.len() < REJECTIONS_MAX {
            self.rejections.push(why);
        }
    }
}

/// The service as its callers see it; clones share it.
#[derive(Debug, Clone)]
pub struct Handle(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Mutex<Engine>,
    pub(super) intake: Intake,
    /// Taken out when the service stops.
    pub(super) notifier: Mutex<Option<Notifier>>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) line_bytes_max: usize,
    /// Why rows are not judged now, when they are not.
    pub(super) stopped: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn engine(&self) -> MutexGuard<'_, Engine> {
        // A panic while it was held would be a bug; the state itself is still whole rows.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notifier(&self) -> MutexGuard<'_, Option<Notifier>> {
        self.notifier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_notifier(&self) -> Option<Notifier> {
        self.notifier().take()
    }

    pub(super) fn tell(&self, changes: &[Change]) {
        for change in changes {
            log(change);
            if change.entry.event == Event::Firing {
                self.metrics.alert_fired(&change.alert.model);
            }
            if let Some(notifier) = &*self.notifier() {
                notifier.notify(change);
            }
        }
    }

    pub(super) fn stopped(&self) -> Option<String> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What operators want to know of an alert is when it opened and closed; who else contributed is detail.
fn log(change: &Change) {
    let (alert, at) = (&change.alert, change.entry.stream_at);
    match &change.entry.event {
        Event::Firing | Event::Resolved => tracing::info!(
            model = alert.model,
            group = alert.group,
            alert = alert.id,
            state = alert.state.word(),
            stream_at = %at,
            "{}",
            alert.message
        ),
        event => tracing::debug!(model = alert.model, alert = alert.id, ?event, stream_at = %at, "alert"),
    }
}

impl Handle {
    /// The present, by the service's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Takes NDJSON records in. Never waits: what does not fit is counted and dropped.
    #[must_use]
    pub fn ingest(&self, body: &[u8]) -> Ingested {
        let mut ingested = Ingested::default();
        for line in ndjson::decode(body, self.0.line_bytes_max) {
            match line.outcome {
                Ok(record) => {
                    let taken = self.0.intake.offer([(record, line.bytes)]);
                    ingested.accepted += crate::units::whole(taken);
                    ingested.dropped += u64::from(taken == 0);
                }
                Err(rejection) => {
                    self.0.intake.losses().add(rejection.reason, 1);
                    ingested.reject(rejection.to_string());
                }
            }
        }
        ingested
    }

    /// Takes exchanges of the Open Inference Protocol in, one JSON object a line: see
    /// [`ExchangeLine`]. The features of a tensor without names are those of the model's baseline.
    #[must_use]
    pub fn ingest_oip(&self, body: &[u8]) -> Ingested {
        let mut ingested = Ingested::default();
        for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match self.exchange(line) {
                Ok(records) => {
                    let offered = crate::units::whole(records.len());
                    let bytes = line.len().div_ceil(records.len().max(1));
                    let taken = self.0.intake.offer(records.into_iter().map(|r| (r, bytes)));
                    ingested.accepted += crate::units::whole(taken);
                    ingested.dropped += offered - crate::units::whole(taken);
                }
                Err((reason, message)) => {
                    self.0.intake.losses().add(reason, 1);
                    ingested.reject(format!("line {}: {message}", number + 1));
                }
            }
        }
        ingested
    }

    fn exchange(&self, line: &[u8]) -> Result<Vec<Record>, (Reason, String)> {
        if line.len() > self.0.line_bytes_max {
            let message = format!("{} bytes, expected at most {}", line.len(), self.0.line_bytes_max);
            return Err((Reason::TooLarge, message));
        }
        let exchange = ExchangeLine::parse(line).map_err(|e| (Reason::Malformed, e.to_string()))?;
        let features = self
            .0
            .engine()
            .features_of(exchange.model())
            .map_err(|e| (Reason::UnknownModel, e.to_string()))?;
        exchange.records(&features).map_err(|e| (Reason::Malformed, e.to_string()))
    }

    /// Counts a body that could not even be cut into lines.
    pub fn lost_body(&self, reason: Reason) {
        self.0.intake.losses().add(reason, 1);
    }

    /// How every model stands.
    #[must_use]
    pub fn models(&self) -> Vec<ModelView> {
        self.0.engine().model_views(self.now())
    }

    /// How one model stands.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn model(&self, name: &str) -> Result<ModelView, Error> {
        self.0.engine().model_view(name, self.now())
    }

    /// Alerts and their receivers.
    #[must_use]
    pub fn alerts(&self) -> AlertsView {
        let engine = self.0.engine();
        AlertsView {
            active: engine.alerts.active(),
            resolved: engine.alerts.recent(),
            sinks: self.0.notifier().as_ref().map_or_else(Vec::new, Notifier::status),
        }
    }

    /// Begins a run that another tool drives, and notes that it did: its latencies are those of the
    /// records.
    ///
    /// # Errors
    /// An experiment that is wrong, or whose model is not watched.
    pub fn start_run(&self, experiment: Experiment) -> Result<RunView, Error> {
        let request = RunRequest { experiment, latencies: OVER_THE_API, seed: 0, clock_offset_ms: None };
        let run = self.start_run_with(request)?;
        self.note(&run.run, self.now(), Act::RunStarted)
    }

    /// Begins a run.
    ///
    /// # Errors
    /// As [`Handle::start_run`].
    pub fn start_run_with(&self, request: RunRequest) -> Result<RunView, Error> {
        let mut engine = self.0.engine();
        let model = model_of(&request.experiment, &engine.models)?;
        let id = uuid::Uuid::now_v7().to_string();
        let run = engine.start_run(id, &model, request)?;
        tracing::info!(run = run.run, experiment = run.experiment, model, "run begins");
        Ok(run)
    }

    /// Every run, oldest first.
    #[must_use]
    pub fn runs(&self) -> Vec<RunView> {
        self.0.engine().run_views()
    }

    /// Notes what was done in a run.
    ///
    /// # Errors
    /// An unknown run, or a fault that it lacks.
    pub fn note(&self, run: &str, at: Timestamp, act: Act) -> Result<RunView, Error> {
        tracing::info!(run, at = %at, act = ?act, "journal");
        self.0.engine().note(run, at, act)
    }

    /// A request of the run's traffic ended; `at` is its intended start.
    ///
    /// # Errors
    /// An unknown run.
    pub fn request_done(&self, run: &str, at: Timestamp, took: Duration, ok: bool) -> Result<(), Error> {
        self.0.engine().request_done(run, at, took, ok)
    }

    /// The store answered a command, as the proxy in front of it measured.
    ///
    /// # Errors
    /// An unknown run.
    pub fn store_answered(&self, run: &str, at: Timestamp, took: Duration) -> Result<(), Error> {
        self.0.engine().store_answered(run, at, took)
    }

    /// Requests with known answers were sent after the restore.
    ///
    /// # Errors
    /// An unknown run.
    pub fn know_answers(&self, run: &str, known: KnownAnswers) -> Result<(), Error> {
        self.0.engine().know_answers(run, known)
    }

    /// The verdict of a run that has ended.
    ///
    /// # Errors
    /// An unknown run, or one that goes on.
    pub fn verdict(&self, run: &str) -> Result<Verdict, Error> {
        self.0.engine().verdict(run)
    }

    /// Whether rows are taken and judged, and what passed the tap.
    #[must_use]
    pub fn health(&self) -> Health {
        let engine = self.0.engine();
        let mut reasons: Vec<String> = self.0.stopped().into_iter().collect();
        if engine.models.is_empty() {
            reasons.push("no model is configured: nothing is watched".to_owned());
        }
        reasons.extend(engine.trouble.clone());
        let tap = TapView { rows_seen: engine.rows_seen, rows_lost: engine.lost() };
        Health { ready: reasons.is_empty(), reasons, tap }
    }

    /// The metrics in Prometheus' text format, brought up to date.
    ///
    /// # Errors
    /// [`Error::Telemetry`] when they cannot be written.
    pub fn metrics(&self) -> Result<String, Error> {
        let now = self.now();
        let views = self.models();
        for view in &views {
            self.export(view);
        }
        for alert in self.0.engine().alerts.active() {
            let level = match alert.state {
                crate::alert::State::Pending => AlertLevel::Pending,
                crate::alert::State::Firing => AlertLevel::Firing,
                crate::alert::State::Resolved => AlertLevel::Inactive,
            };
            self.0.metrics.alert(&alert.model, &alert.group, level);
        }
        Ok(self.0.metrics.encode(now)?)
    }

    /// One model's gauges. A detector that watches several groups shows the worst of them.
    fn export(&self, view: &crate::service::ModelView) {
        use crate::detect::StreamState;
        let metrics = &self.0.metrics;
        let names: std::collections::BTreeSet<&str> = view.detectors.iter().map(|d| d.detector).collect();
        for name in names {
            let mine = || view.detectors.iter().filter(|d| d.detector == name);
            let most = mine().map(|d| d.of_threshold).reduce(|a, b| if b > a { b } else { a });
            metrics.evidence(&view.model, name, most);
            let drifted = mine().any(|d| d.state == StreamState::Drifted);
            let undecided = mine().find_map(|d| match d.state {
                StreamState::Undecided(why) => Some(why.name()),
                StreamState::Quiet | StreamState::Drifted => None,
            });
            let standing = match (drifted, undecided) {
                (true, _) => Standing::Drifted,
                (false, Some(why)) => Standing::Undecided(why),
                (false, None) => Standing::Quiet,
            };
            metrics.detector(&view.model, name, standing);
        }
        let groups: std::collections::BTreeSet<&str> =
            view.detectors.iter().map(|d| d.group.as_str()).collect();
        for group in groups {
            metrics.alert(&view.model, group, AlertLevel::Inactive);
        }
        for effect in &view.effects {
            metrics.feature_drift(&view.model, &effect.column, effect.statistic, effect.value);
        }
    }
}
