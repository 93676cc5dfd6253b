use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Error;
use super::capture::Capturing;
use super::labels::{LabelSettings, is_on};
use super::model::{Route, Snapshot, Watched};
use super::recent::RecentRows;
use super::run::{Latencies, Run, RunRequest, Surroundings};
use super::strangers::Judged;
use super::view::{RunView, Standing};
use crate::alert::{self, Alert, Change, Manager, State};
use crate::baseline::Baseline;
use crate::chaos::{Act, Experiment, Target};
use crate::oip::Feature;
use crate::oracle::{KnownAnswers, Pinned};
use crate::record::{BatchBuilder, Record};
use crate::slo::Objective;
use crate::tap::{Losses, Reason};
use crate::telemetry::{Metrics, Outcome, Stage};
use crate::units::{Ratio, Timestamp};
use crate::verdict::{self, Frozen, Verdict};

/// Runs kept, ended ones among them; the oldest that has ended goes first.
const RUNS_MAX: usize = 100;

/// One model to watch.
#[derive(Debug, Clone)]
pub struct ModelSetup {
    /// Its baseline, which names it.
    pub baseline: Baseline,
    /// Baselines of further versions, each of which says which one.
    pub versions: Vec<Baseline>,
    /// Detectors switched off.
    pub without: Vec<String>,
    /// Service levels, each with the length of its windows.
    pub slos: Vec<(Objective, Duration)>,
    /// Where a smaller share of the rows on offer is judged, nothing is known.
    pub coverage_min: Ratio,
    /// How labels are taken.
    pub labels: LabelSettings,
    /// Requests whose answers are known.
    pub known_answers: Option<KnownAnswers>,
    /// A pinned copy that is asked for some rows again.
    pub pinned: Option<Pinned>,
}

impl ModelSetup {
    /// The least coverage unless something else is said.
    pub const COVERAGE_MIN: Ratio = Ratio::one_in(2);

    /// A model with one baseline and nothing special about it.
    #[must_use]
    pub const fn new(baseline: Baseline) -> Self {
        Self {
            baseline,
            versions: Vec::new(),
            without: Vec::new(),
            slos: Vec::new(),
            coverage_min: Self::COVERAGE_MIN,
            labels: LabelSettings::DEFAULT,
            known_answers: None,
            pinned: None,
        }
    }

    /// Whether its baselines can stand beside each other.
    ///
    /// # Errors
    /// [`Error::Versions`]: one of another model, one that names no version, two of one version.
    /// [`Error::LabelBudget`]: one at whose rate the budget of labels is no budget. [`Error::Detect`]: one whose labels
    /// are none.
    pub fn check(&self) -> Result<(), Error> {
        let model = self.baseline.model();
        let wrong = |why| Err(Error::Versions { model: model.to_owned(), why });
        let mut known: BTreeSet<&str> = self.baseline.schema().version.as_deref().into_iter().collect();
        for baseline in &self.versions {
            let name = baseline.name();
            if baseline.model() != model {
                return wrong(format!("baseline `{name}` is of model `{}`", baseline.model()));
            }
            let Some(version) = baseline.schema().version.as_deref() else {
                return wrong(format!("baseline `{name}` names no version, expected one in its schema"));
            };
            if !known.insert(version) {
                return wrong(format!("two baselines are of version `{version}`"));
            }
        }
        let mut all = std::iter::once(&self.baseline).chain(&self.versions);
        all.try_for_each(|baseline| self.labels.check(baseline, is_on(&self.without)))
    }
}

/// All state of the service. Records and the time go in, changes of alerts come out.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) models: BTreeMap<String, Watched>,
    /// A model whose baseline is being learnt.
    pub(super) capturing: Option<Capturing>,
    pub(super) alerts: Manager,
    runs: VecDeque<Run>,
    losses: Arc<Losses>,
    pub(super) metrics: Metrics,
    effects_window: Duration,
    pub(super) rows_seen: u64,
    /// The last failure of the engine itself; never without being shown.
    pub(super) trouble: Option<Trouble>,
    /// Whether the next rows make it panic, for the tests of what is left then.
    #[cfg(test)]
    pub(super) explodes: bool,
}

/// A failure of the engine.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) at: Timestamp,
    pub(super) times: u64,
}

/// What became of records.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) changes: Vec<Change>,
    /// Rows that could not be judged, by model.
    pub(super) failed: Vec<(String, u64)>,
}

impl Engine {
    pub(super) fn new(
        models: Vec<ModelSetup>,
        alerts: &alert::Config,
        losses: Arc<Losses>,
        metrics: Metrics,
        effects_window: Duration,
    ) -> Result<Self, Error> {
        let mut watched = BTreeMap::new();
        for setup in models {
            let model = Watched::new(setup)?;
            let name = model.model().to_owned();
            loaded(&metrics, &model);
            if watched.insert(name.clone(), model).is_some() {
                return Err(Error::DuplicateModel(name));
            }
        }
        Ok(Self {
            models: watched,
            capturing: None,
            alerts: Manager::new(alerts),
            runs: VecDeque::new(),
            losses,
            metrics,
            effects_window,
            rows_seen: 0,
            trouble: None,
            #[cfg(test)]
            explodes: false,
        })
    }

    /// Takes records in arrival order; runs of records of one model and version are judged together.
    pub(super) fn take(&mut self, records: &[Record], now: Timestamp) -> Taken {
        #[cfg(test)]
        assert!(!self.explodes, "asked to by a test");
        let mut taken = Taken::default();
        for run in records.chunk_by(|a, b| a.model == b.model) {
            if let Some(learnt) = self.learn(run, now) {
                if let Err(error) = learnt {
                    self.lose(run.first(), run.len(), &error, &mut taken, now);
                }
                continue;
            }
            for (route, part) in self.routed(run) {
                match self.take_part(route, &part, now) {
                    Ok(more) => taken.changes.extend(more),
                    Err(error) => {
                        self.lose(part.first().copied(), part.len(), &error, &mut taken, now);
                    }
                }
            }
        }
        taken
    }

    /// Counts records that nobody judged.
    fn lose(
        &mut self,
        first: Option<&Record>,
        length: usize,
        error: &Error,
        taken: &mut Taken,
        now: Timestamp,
    ) {
        let rows = crate::units::whole(length);
        self.losses.add(Reason::NotJudged, rows);
        taken.failed.extend(first.map(|record| (record.model.clone(), rows)));
        self.note_trouble(error, now);
    }

    /// Learns from records of the model whose baseline is being learnt; nothing for those of others.
    fn learn(&mut self, records: &[Record], now: Timestamp) -> Option<Result<(), Error>> {
        let first = records.first()?;
        let capturing = self.capturing.as_mut().filter(|c| c.model() == first.model)?;
        self.rows_seen += crate::units::whole(records.len());
        Some(capturing.take(records, now))
    }

    /// Records of one model by who judges them, each part in its order; none of a model that is unknown.
    fn routed<'a>(&self, records: &'a [Record]) -> Vec<(Route<'a>, Vec<&'a Record>)> {
        let Some(model) = records.first().and_then(|first| self.models.get(&first.model)) else {
            self.losses.add(Reason::UnknownModel, crate::units::whole(records.len()));
            return Vec::new();
        };
        let mut parts: Vec<(Route<'a>, Vec<&'a Record>)> = Vec::new();
        for record in records {
            let route = model.route(record);
            // As many parts as the configuration has versions, and two more.
            match parts.iter_mut().find(|(known, _)| *known == route) {
                Some((_, part)) => part.push(record),
                None => parts.push((route, vec![record])),
            }
        }
        parts
    }

    fn note_trouble(&mut self, error: &Error, now: Timestamp) {
        let times = self.trouble.as_ref().map_or(0, |t| t.times) + 1;
        self.trouble = Some(Trouble { what: error.to_string(), at: now, times });
    }

    fn take_part(
        &mut self,
        route: Route<'_>,
        records: &[&Record],
        now: Timestamp,
    ) -> Result<Vec<Change>, Error> {
        let Some(name) = records.first().map(|record| record.model.as_str()) else { return Ok(Vec::new()) };
        let Some(model) = self.models.get_mut(name) else { return Ok(Vec::new()) };
        let mut builder = BatchBuilder::new(Arc::clone(model.schema_of(route)));
        for record in records {
            builder.push(record);
        }
        let wrong = |e: crate::record::Error| Error::Batch { model: name.to_owned(), source: e };
        let (batch, unexpected) = builder.finish().map_err(wrong)?;
        let rows = crate::units::whole(records.len());
        self.rows_seen += rows;
        self.metrics.rows_scored(name, rows);
        count_requests(&self.metrics, name, records);
        let mut told = if route == Route::Stranger { model.note_strangers(records, now) } else { Vec::new() };
        // Findings first: whatever fails beside the detectors, no alarm may be lost with it.
        told.extend(model.observe(route, &batch, &unexpected, now));
        told.extend(model.labels.observe(route, &batch, now));
        let mut measured = model.measure(&batch);
        if route == Route::Stranger {
            let judged = Judged { records, batch: &batch, unexpected: &unexpected };
            measured = measured.and(model.relearn(judged, now));
        }
        for run in self.runs.iter_mut().filter(|r| r.model == name) {
            measured = measured.and(run.see(&batch));
        }
        if let Err(error) = measured {
            self.note_trouble(&error, now);
        }
        Ok(told.iter().flat_map(|(v, f)| self.alerts.observe_version(name, v.as_deref(), f, now)).collect())
    }

    /// Lets time pass: alerts that mature, silence, windows that end.
    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, model) in &mut self.models {
            model.labels.advance(now);
            model.labels.tell(name, &self.metrics);
            for (version, finding) in model.advance(now, self.effects_window) {
                changes.extend(self.alerts.observe_version(name, version.as_deref(), &finding, now));
            }
        }
        changes.extend(self.alerts.tick(now));
        changes
    }

    /// Takes what became of each model's rows on offer lately.
    pub(super) fn set_recent<'a>(&mut self, recent: impl IntoIterator<Item = (&'a str, RecentRows)>) {
        for (name, recent) in recent {
            if let Some(model) = self.models.get_mut(name) {
                model.set_recent(recent);
            }
        }
    }

    /// Lets relations look at one row in so many, of every model.
    pub(super) fn thin_relations(&mut self, one_in: u64) {
        self.models.values_mut().for_each(|model| model.thin_relations(one_in));
    }

    /// The open alerts of a model that are too old to be believed.
    fn stale(&self, model: &str) -> Vec<&Alert> {
        self.alerts.open().filter(|alert| alert.state == State::Stale && alert.model == model).collect()
    }

    pub(super) fn snapshots(&self, now: Timestamp) -> Vec<Snapshot> {
        self.models.iter().map(|(name, model)| model.snapshot(&self.stale(name), now)).collect()
    }

    pub(super) fn snapshot(&self, name: &str, now: Timestamp) -> Result<Snapshot, Error> {
        self.model(name).map(|model| model.snapshot(&self.stale(name), now))
    }

    /// Rows of versions that no baseline is of, by model; models without such rows are left out.
    pub(super) fn other_versions(&self) -> BTreeMap<String, u64> {
        let rows = |(name, model): (&String, &Watched)| (name.clone(), model.strangers());
        self.models.iter().map(rows).filter(|(_, rows)| *rows > 0).collect()
    }

    pub(super) fn standings(&self, now: Timestamp) -> Vec<Standing> {
        self.models.iter().map(|(name, model)| model.standing(&self.stale(name), now)).collect()
    }

    /// Every model's features, in the order of its baseline's columns; none yet of one that is learnt.
    pub(super) fn features(&self) -> BTreeMap<String, Arc<[Feature]>> {
        let inputs = |model: &Watched| Feature::of(model.schema()).into();
        let learnt = self.capturing.iter().map(|c| (c.model().to_owned(), Arc::from([])));
        self.models.iter().map(|(name, model)| (name.clone(), inputs(model))).chain(learnt).collect()
    }

    pub(super) fn model(&self, name: &str) -> Result<&Watched, Error> {
        self.models.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
            Error::UnknownModel { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// Begins to watch a run; everything that judges is hashed now.
    pub(super) fn start_run(
        &mut self,
        id: String,
        model: &str,
        request: RunRequest,
    ) -> Result<RunView, Error> {
        request.experiment.check()?;
        request.experiment.check_detectors(&crate::detect::names())?;
        let groups = self.model(model)?.schema().input_groups();
        request.experiment.check_groups(&groups.iter().map(|(name, _)| *name).collect())?;
        if self.runs.len() >= RUNS_MAX {
            let ended = self.runs.iter().position(|r| r.ended).ok_or(Error::TooManyRuns(RUNS_MAX))?;
            self.runs.remove(ended);
        }
        let frozen = self.frozen(model, &request.experiment)?;
        let run = Run::new(id, model.to_owned(), request, frozen, self.lost_traffic())?;
        let view = run.view();
        self.runs.push_back(run);
        self.tell_run(model);
        Ok(view)
    }

    fn frozen(&self, model: &str, experiment: &Experiment) -> Result<Frozen, Error> {
        let planned = serde_json::to_vec(experiment).map_err(Error::Hash)?;
        let (detectors, baselines) = self.model(model)?.hashes();
        Ok(Frozen {
            experiment: hex(&Sha256::digest(&planned)),
            detectors: one_hash(&detectors),
            baseline: one_hash(&baselines),
        })
    }

    /// The run of a model that has not ended, when there is one.
    pub(super) fn under_way(&self, model: &str) -> Result<(), Error> {
        let run = self.runs.iter().find(|run| run.model == model && !run.ended);
        run.map_or(Ok(()), |run| Err(Error::RunUnderWay { model: model.to_owned(), run: run.id.clone() }))
    }

    /// Lets a model know of its run that has not ended: its faults are no answers to learn.
    fn tell_run(&mut self, model: &str) {
        let run = self.runs.iter().find(|run| run.model == model && !run.ended).map(|run| run.id.clone());
        if let Some(watched) = self.models.get_mut(model) {
            watched.set_run(run);
        }
    }

    fn run(&mut self, id: &str) -> Result<&mut Run, Error> {
        self.runs.iter_mut().find(|r| r.id == id).ok_or_else(|| Error::UnknownRun(id.to_owned()))
    }

    pub(super) fn note(&mut self, id: &str, at: Timestamp, act: Act) -> Result<RunView, Error> {
        let run = self.run(id)?;
        run.note(at, act)?;
        if run.ended {
            let (model, experiment) = (run.model.clone(), run.experiment().clone());
            let decided = self.models.get(&model).map_or(0, |m| m.decided(at));
            let frozen = self.frozen(&model, &experiment)?;
            self.run(id)?.freeze(decided, frozen);
            self.tell_run(&model);
        }
        Ok(self.run(id)?.view())
    }

    pub(super) fn request_done(
        &mut self,
        id: &str,
        at: Timestamp,
        took: Duration,
        ok: bool,
    ) -> Result<(), Error> {
        self.run(id)?.request_done(at, took, ok)
    }

    pub(super) fn store_answered(&mut self, id: &str, at: Timestamp, took: Duration) -> Result<(), Error> {
        self.run(id)?.store_answered(at, took)
    }

    pub(super) fn know_answers(&mut self, id: &str, known: verdict::KnownAnswers) -> Result<(), Error> {
        self.run(id)?.know_answers(known);
        Ok(())
    }

    pub(super) fn run_views(&self) -> Vec<RunView> {
        self.runs.iter().map(Run::view).collect()
    }

    /// A run and all that its verdict needs, to be judged when the engine is held no longer.
    pub(super) fn case(&self, id: &str) -> Result<(Run, Surroundings), Error> {
        let run = self.runs.iter().find(|r| r.id == id).ok_or_else(|| Error::UnknownRun(id.to_owned()))?;
        // What judges may have changed since it ended.
        let frozen = match run.frozen_at_end() {
            Some(frozen) => frozen.clone(),
            None => self.frozen(&run.model, run.experiment())?,
        };
        let mut timeline = self.alerts.timeline();
        timeline.0.retain(|entry| entry.model == run.model);
        Ok((
            run.clone(),
            Surroundings {
                timeline,
                frozen,
                lost: self.lost_traffic(),
                forgotten: self.alerts.timeline_lost().until,
            },
        ))
    }

    /// Takes the times of a run's first verdict into the metrics.
    pub(super) fn judged(&mut self, verdict: &Verdict) {
        let run = self.runs.iter_mut().find(|run| run.id == verdict.run);
        if run.is_some_and(|run| !std::mem::replace(&mut run.is_measured, true)) {
            measure_detections(&self.metrics, verdict);
        }
    }

    /// Rows of the traffic that were lost.
    fn lost_traffic(&self) -> BTreeMap<String, u64> {
        let mut lost = self.lost();
        lost.remove(Reason::OwnRequest.name());
        lost
    }

    pub(super) fn lost(&self) -> BTreeMap<String, u64> {
        self.losses.snapshot().into_iter().map(|(reason, n)| (reason.name().to_owned(), n)).collect()
    }
}

/// The model that a run is about: the experiment's, or the only one under watch.
pub(super) fn model_of(experiment: &Experiment, models: &BTreeMap<String, Watched>) -> Result<String, Error> {
    let known = || models.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match (&experiment.target, models.keys().next()) {
        (Target::Model(name), _) if models.contains_key(name) => Ok(name.clone()),
        (Target::Model(name), _) => Err(Error::UnknownModel { name: name.clone(), known: known() }),
        (Target::Scene(_), Some(only)) if models.len() == 1 => Ok(only.clone()),
        (Target::Scene(_), _) => Err(Error::UnknownModel { name: "(scene)".to_owned(), known: known() }),
    }
}

/// The parts of the time to detect, of what was detected.
fn measure_detections(metrics: &Metrics, verdict: &Verdict) {
    for detection in verdict.faults.iter().flat_map(|fault| &fault.detections) {
        let split = &detection.split;
        let parts = [
            (Stage::EffectLag, split.effect_lag_ms),
            (Stage::Detector, split.detector_ms),
            (Stage::For, split.for_ms),
            (Stage::Delivery, split.delivery_ms),
        ];
        if detection.ttd_ms.is_none() {
            continue;
        }
        for (stage, millis) in parts {
            // A part below 0, of clocks that differ, is no duration.
            if let Some(took) = millis.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok()) {
                metrics.detection_latency(&detection.detector, stage, took);
            }
        }
    }
}

/// A model is watched against these baselines from now on.
pub(super) fn loaded(metrics: &Metrics, model: &Watched) {
    let baseline = &model.main.baseline;
    metrics.model_loaded(model.model(), baseline.content_hash(), baseline.provenance().built_at);
}

/// The hash of one thing, or of all when there are several.
fn one_hash(hashes: &[&str]) -> String {
    match hashes {
        [one] => (*one).to_owned(),
        all => hex(&Sha256::digest(all.join(" "))),
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

fn count_requests(metrics: &Metrics, model: &str, records: &[&Record]) {
    use crate::record::RowStatus;
    for record in records {
        let outcome = match record.status {
            Some(RowStatus::Ok) => Outcome::Ok,
            Some(RowStatus::Error) => Outcome::Error,
            None => Outcome::Unstated,
        };
        metrics.requests_observed(model, outcome, 1);
        let took = record.latency_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
        if let Some(took) = took {
            metrics.inference(model, took);
        }
    }
}

/// Whose latencies a run started over the API has.
pub(super) const OVER_THE_API: Latencies = Latencies::Tapped;
