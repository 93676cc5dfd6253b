use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;

use super::Error;
use super::arrivals::{Arrivals, Tally};
use super::capture::{Captured, Learning};
use super::engine::{Engine, OVER_THE_API, model_of};
use super::kept::Kept;
use super::model::Snapshot;
use super::recent::RecentRows;
use super::run::RunRequest;
use super::view::{AlertsView, CheckView, Health, ModelView, RunView, TapView};
use crate::alert::{Change, Event, Notifier};
use crate::chaos::{Act, Experiment};
use crate::detect::Check;
use crate::oip::Feature;
use crate::oracle::PinnedCopy;
use crate::record::Record;
use crate::tap::ndjson;
use crate::tap::oip::ExchangeLine;
use crate::tap::{Intake, Reason};
use crate::telemetry::Metrics;
use crate::units::{Clock, Timestamp};
use crate::verdict::{KnownAnswers, Verdict};

/// A failure of the engine stands in the way of readiness for so long, and is a warning from then on.
const TROUBLE_SPAN: Duration = Duration::from_secs(60);
/// Longer names of senders are cut when they are shown.
const NAME_CHARS_MAX: usize = 64;
/// The most rejected lines that an answer names; the others are only counted.
const REJECTIONS_MAX: usize = 20;

/// What became of the lines of one body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Ingested {
    /// Records taken in.
    pub accepted: u64,
    /// Lines that are no record, or of a model that is not watched.
    pub rejected: u64,
    /// Records that did not fit the queue.
    pub dropped: u64,
    /// Records of requests that silentry sent itself, known answers and the like: they are nobody's traffic.
    pub own: u64,
    /// Those of the rejected lines whose model is not watched.
    #[serde(skip)]
    pub of_unknown_model: u64,
    /// The first rejected lines, each with its number and what is wrong with it.
    pub rejections: Vec<String>,
}

impl Ingested {
    const fn count(&mut self, offered: Offered) {
        match offered {
            Offered::Taken => self.accepted += 1,
            Offered::Shed => self.dropped += 1,
            Offered::Own => self.own += 1,
        }
    }

    fn reject(&mut self, why: String) {
        self.rejected += 1;
        if self.rejections.len() < REJECTIONS_MAX {
            self.rejections.push(why);
        }
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offered {
    Taken,
    Shed,
    Own,
}

/// The service as its callers see it; clones share it.
#[derive(Debug, Clone)]
pub struct Handle(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Mutex<Engine>,
    pub(super) intake: Intake,
    pub(super) arrivals: Mutex<Arrivals>,
    /// The features of every model; models do not change while the service runs, their baselines may.
    pub(super) features: RwLock<BTreeMap<String, Arc<[Feature]>>>,
    /// Where baselines are kept that are put.
    pub(super) kept: Option<Kept>,
    /// Held while a baseline is put.
    pub(super) putting: Mutex<()>,
    /// Something changed that is to be kept soon.
    pub(super) changed: tokio::sync::Notify,
    /// Answers were noted, or a pinned copy was tested; for the tests that wait for it.
    #[cfg(test)]
    pub(super) noted: tokio::sync::Notify,
    /// Held while the metrics are brought up to date.
    pub(super) scrape: Mutex<()>,
    /// Taken out when the service stops.
    pub(super) notifier: Mutex<Option<Notifier>>,
    pub(super) metrics: Metrics,
    /// The pinned copies of models that have one.
    pub(super) copies: BTreeMap<String, Arc<PinnedCopy>>,
    pub(super) clock: Clock,
    pub(super) line_bytes_max: usize,
    /// Why rows are not judged now, when they are not.
    pub(super) stopped: Mutex<Option<String>>,
    /// The first task that failed, when one did.
    pub(super) failed: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn engine(&self) -> MutexGuard<'_, Engine> {
        // A panic while it was held would be a bug; the state itself is still whole rows.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        // Counts only: a panic leaves none of them half changed.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn features(&self) -> BTreeMap<String, Arc<[Feature]>> {
        self.features.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_features(&self, features: BTreeMap<String, Arc<[Feature]>>) {
        *self.features.write().unwrap_or_else(PoisonError::into_inner) = features;
    }

    fn failed(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a task that failed; the first is the cause of the others.
    pub(super) fn fail(&self, task: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert_with(|| format!("the task that {task} failed: see the log"));
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
        Event::Firing | Event::Stale | Event::Resolved | Event::Accepted { .. } | Event::Superseded => {
            tracing::info!(
                model = alert.model,
                version = alert.version,
                group = alert.group,
                alert = alert.id,
                stream_at = %at,
                "{}: {}",
                alert.state.word(),
                alert.message
            );
        }
        event @ (Event::Acknowledged { .. } | Event::Silenced { .. } | Event::SilenceEnded { .. }) => {
            tracing::info!(model = alert.model, group = alert.group, alert = alert.id, ?event, "alert");
        }
        event => tracing::debug!(model = alert.model, alert = alert.id, ?event, stream_at = %at, "alert"),
    }
}

/// The features of a watched model; else why its rows are refused.
fn watched<'a>(models: &'a BTreeMap<String, Arc<[Feature]>>, model: &str) -> Result<&'a [Feature], String> {
    models.get(model).map(AsRef::as_ref).ok_or_else(|| {
        let known: Vec<&str> = models.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "(none is)".to_owned() } else { known.join(", ") };
        let model: String = model.chars().take(NAME_CHARS_MAX).collect();
        format!("model `{model}` is not watched, expected one of: {known}")
    })
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
        let (mut ingested, mut tally) = (Ingested::default(), Tally::default());
        let models = self.0.features();
        for line in ndjson::decode(body, self.0.line_bytes_max) {
            match line.outcome {
                Ok(record) => match watched(&models, &record.model) {
                    Ok(_) => ingested.count(self.offer(record, line.bytes, &mut tally)),
                    Err(why) => {
                        // Its number did not go missing on the way.
                        self.0.arrivals().see(&record, &mut tally, self.now());
                        tally.add(record.model, false);
                        self.0.intake.losses().add(Reason::UnknownModel, 1);
                        ingested.of_unknown_model += 1;
                        ingested.reject(format!("line {}: {why}", line.number));
                    }
                },
                Err(rejection) => {
                    self.0.intake.losses().add(rejection.reason, 1);
                    tally.unreadable += 1;
                    ingested.reject(rejection.to_string());
                }
            }
        }
        self.0.arrivals().add(&tally, self.now());
        ingested
    }

    /// Offers one record to the queue.
    fn offer(&self, record: Record, bytes: usize, tally: &mut Tally) -> Offered {
        // Its number is followed first: what is shed here did not go missing on the way.
        self.0.arrivals().see(&record, tally, self.now());
        if record.request_id.as_deref().is_some_and(crate::oip::is_own) {
            // No row of the traffic is lost with it.
            self.0.intake.losses().add(Reason::OwnRequest, 1);
            return Offered::Own;
        }
        let model = record.model.clone();
        let taken = self.0.intake.offer([(record, bytes)]) > 0;
        tally.add(model, taken);
        if taken { Offered::Taken } else { Offered::Shed }
    }

    /// Takes exchanges of the Open Inference Protocol in, one JSON object a line: see
    /// [`ExchangeLine`]. The features of a tensor without names are those of the model's baseline.
    #[must_use]
    pub fn ingest_oip(&self, body: &[u8]) -> Ingested {
        let (mut ingested, mut tally) = (Ingested::default(), Tally::default());
        let models = self.0.features();
        for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match self.exchange(line, &models) {
                Ok(records) => {
                    let bytes = line.len().div_ceil(records.len().max(1));
                    for record in records {
                        ingested.count(self.offer(record, bytes, &mut tally));
                    }
                }
                Err((reason, message)) => {
                    self.0.intake.losses().add(reason, 1);
                    // A model that nobody watches loses nothing.
                    let unknown = reason == Reason::UnknownModel;
                    tally.unreadable += u64::from(!unknown);
                    ingested.of_unknown_model += u64::from(unknown);
                    ingested.reject(format!("line {}: {message}", number + 1));
                }
            }
        }
        self.0.arrivals().add(&tally, self.now());
        ingested
    }

    fn exchange(
        &self,
        line: &[u8],
        models: &BTreeMap<String, Arc<[Feature]>>,
    ) -> Result<Vec<Record>, (Reason, String)> {
        if line.len() > self.0.line_bytes_max {
            let message = format!("{} bytes, expected at most {}", line.len(), self.0.line_bytes_max);
            return Err((Reason::TooLarge, message));
        }
        let exchange = ExchangeLine::parse(line).map_err(|why| (Reason::Malformed, why))?;
        let features = watched(models, exchange.model()).map_err(|why| (Reason::UnknownModel, why))?;
        exchange.records(features).map_err(|e| (Reason::Malformed, e.to_string()))
    }

    /// Counts a body that could not even be cut into lines. Nobody knows how many rows it held, nor
    /// whose: for a minute no detector is quiet.
    pub fn lost_body(&self, reason: Reason) {
        self.0.intake.losses().add(reason, 1);
        self.0.arrivals().lost_body(self.now());
    }

    /// How every model stands.
    #[must_use]
    pub fn models(&self) -> Vec<ModelView> {
        let now = self.now();
        let snapshots = self.0.engine().snapshots(now);
        let told = |snapshot: Snapshot| {
            let view = snapshot.view(now);
            let recent = self.0.arrivals().view(&view.model, now);
            self.with_judge(view.with_recent(recent))
        };
        snapshots.into_iter().map(told).collect()
    }

    /// How one model stands.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn model(&self, name: &str) -> Result<ModelView, Error> {
        let now = self.now();
        let snapshot = self.0.engine().snapshot(name, now)?;
        let view = snapshot.view(now);
        let recent = self.0.arrivals().view(name, now);
        Ok(self.with_judge(view.with_recent(recent)))
    }

    /// Says what known answers say of the pinned copy.
    fn with_judge(&self, mut view: ModelView) -> ModelView {
        let is_of_copy = |check: &&mut CheckView| check.report.detector == Check::PinnedCopy.name();
        if let (Some(copy), Some(check)) =
            (self.0.copies.get(&view.model), view.answer_checks.iter_mut().find(is_of_copy))
        {
            check.judged = Some(copy.judged());
            check.compared = Some(copy.compared());
        }
        view
    }

    /// How far the learning of a baseline is, where one is learnt.
    #[must_use]
    pub fn learning(&self) -> Option<Learning> {
        self.0.engine().capturing.as_ref().map(super::capture::Capturing::view)
    }

    /// Ends the learning of a baseline with what there is; nothing where none is learnt.
    ///
    /// # Errors
    /// Rows that carry no baseline.
    pub fn end_learning(&self) -> Option<Result<Captured, Error>> {
        let capturing = self.0.engine().capturing.take();
        capturing.map(|capturing| capturing.finish(self.now()))
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
    /// An experiment that is wrong, or whose model is not watched or is not named.
    pub fn start_run(&self, experiment: Experiment) -> Result<RunView, Error> {
        if experiment.target.scene().is_some() {
            // Its faults would be ours to make, and nobody here makes any.
            return Err(Error::SceneOverTheApi);
        }
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
        let done = format!("{act:?}");
        let run = self.0.engine().note(run, at, act)?;
        tracing::info!(run = run.run, at = %at, act = done, "journal");
        Ok(run)
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
        let (run, around) = self.0.engine().case(run)?;
        let verdict = run.verdict(&around)?;
        self.0.engine().judged(&verdict);
        Ok(verdict)
    }

    /// Whether rows are taken and judged, and what passed the tap.
    #[must_use]
    pub fn health(&self) -> Health {
        let now = self.now();
        let mut reasons: Vec<String> = self.failed().into_iter().chain(self.0.stopped()).collect();
        let mut warnings = self.loss_warnings(now);
        let engine = self.0.engine();
        let learning = engine.capturing.as_ref().map(super::capture::Capturing::view);
        reasons.extend(learning.as_ref().and_then(|learning| learning.failed.clone()));
        if engine.models.is_empty() && learning.is_none() {
            reasons.push("no model is configured: nothing is watched".to_owned());
        }
        if let Some(trouble) = &engine.trouble {
            let shown = format!("{} (last at {}, {} times)", trouble.what, trouble.at, trouble.times);
            let is_fresh = now < trouble.at.plus(TROUBLE_SPAN);
            (if is_fresh { &mut reasons } else { &mut warnings }).push(shown);
        }
        let tap = TapView { rows_seen: engine.rows_seen, rows_lost: engine.lost() };
        Health { ready: reasons.is_empty(), reasons, warnings, tap }
    }

    fn loss_warnings(&self, now: Timestamp) -> Vec<String> {
        let arrivals = self.0.arrivals();
        let lossy = arrivals.views(now).filter(|(_, recent)| recent.too_many_lost());
        let told = lossy.map(|(model, recent)| {
            let RecentRows { lost, taken, window_secs, .. } = recent;
            let whole = if recent.lost_uncounted { " and a whole body" } else { "" };
            format!("model `{model}`: {lost} rows{whole} lost in {window_secs} s, {taken} taken: not judged")
        });
        let shared = arrivals.shared_names(now).into_iter();
        let named = shared.map(|name| {
            let name: String = name.chars().take(NAME_CHARS_MAX).collect();
            format!("source `{name}`: several processes send under this name, their losses are not seen")
        });
        told.chain(named).collect()
    }

    /// The task of the service that failed, when one did: only a new process helps.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.0.failed()
    }
}
