use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::arrivals::Arrivals;
use super::asking::{Oracles, Rescorer};
use super::capture::{Capture, Capturing};
use super::engine::{Engine, ModelSetup, loaded};
use super::handle::{Handle, Shared};
use super::kept::Kept;
use super::recent::RecentRows;
use super::{Error, labels, state};
use crate::alert::{self, Delivered, Notifier};
use crate::store::Dir;
use crate::tap::ndjson::LINE_BYTES_MAX;
use crate::tap::{self, Losses, Outlet, Reason};
use crate::telemetry::{self, Metrics};
use crate::units::{Clock, Timestamp};

/// Records judged at once, at the most: the engine is held no longer than that.
const CHUNK: usize = 1_024;
/// While more than this part of the room for waiting records is taken, relations look at one row in so many: better
/// fewer of the costly looks than rows that nobody judges.
const CROWDED: f64 = 0.25;
const THINNED: u64 = 8;
/// How often time passes without a row.
const TICK: Duration = Duration::from_millis(250);
/// Reports of delivery that wait, at the most.
const DELIVERIES: usize = 256;
/// How often shared names of senders, other versions and the like are said again.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// How long open notifications are waited for at the end.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Everything that a service is started with.
#[derive(Debug)]
pub struct Setup {
    /// Who is watched.
    pub models: Vec<ModelSetup>,
    /// A further model, of which a baseline is learnt.
    pub capture: Option<Capture>,
    /// When somebody is told, and who.
    pub alerts: alert::Config,
    /// What the tap may hold.
    pub limits: tap::Limits,
    /// The longest line of NDJSON.
    pub line_bytes_max: usize,
    /// The window of effect sizes.
    pub effects_window: Duration,
    /// Where state is kept, and how often it is written; nothing keeps none.
    pub state: Option<(PathBuf, Duration)>,
    /// The most series of one metric.
    pub series_max: usize,
    /// Upper edges of the latency buckets in seconds.
    pub latency_edges: Vec<f64>,
    /// The present.
    pub clock: Clock,
}

impl Setup {
    /// Keeps no state, tells nobody, and has every bound at its default: for rehearsals.
    #[must_use]
    pub fn in_memory(models: Vec<ModelSetup>, clock: Clock) -> Self {
        Self {
            models,
            capture: None,
            alerts: alert::Config::default(),
            limits: tap::Limits::default(),
            line_bytes_max: LINE_BYTES_MAX,
            effects_window: Duration::from_secs(60),
            state: None,
            series_max: 2_000,
            latency_edges: vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
            clock,
        }
    }
}

/// A service that runs, until [`Service::stop`]; one that is dropped ends at once.
#[derive(Debug)]
pub struct Service {
    handle: Handle,
    shutdown: watch::Sender<bool>,
    judge: JoinSet<()>,
    others: JoinSet<()>,
    state: Option<Dir>,
}

impl Service {
    /// Starts the tasks; to be called within a tokio runtime.
    ///
    /// # Errors
    /// Models, alerts, metrics or state that cannot be set up.
    pub fn start(setup: Setup) -> Result<Self, Error> {
        let losses = Arc::new(Losses::default());
        let reasons = Reason::ALL.map(Reason::name);
        let metrics = Metrics::new(telemetry::Setup {
            drop_reasons: &reasons,
            latency_edges: &setup.latency_edges,
            series_max: setup.series_max,
        })?;
        labels::OF_NO_MODEL.iter().for_each(|outcome| metrics.labels("", outcome, 0));
        metrics.label_body_refused(0);
        let (intake, outlet) = tap::intake(setup.limits, Arc::clone(&losses));
        let oracles = Oracles::new(&setup.models)?;
        let mut engine =
            Engine::new(setup.models, &setup.alerts, losses, metrics.clone(), setup.effects_window)?;
        engine.capturing = setup.capture.map(Capturing::new).transpose()?;
        let state = setup.state.as_ref().map(|(path, _)| Dir::open(path.clone())).transpose()?;
        let kept = state.as_ref().map(Kept::open).transpose()?;
        if let Some(kept) = &kept {
            put_back(&mut engine, kept);
        }
        if let Some(dir) = &state {
            for refusal in state::restore(&mut engine, dir, &setup.alerts, setup.clock.now())? {
                tracing::warn!(refusal, "saved state is left behind: its streams begin anew");
            }
            for refusal in state::restore_waiting(&mut engine, dir)? {
                tracing::warn!(
                    refusal,
                    "rows that waited for labels are left behind: their labels find nothing"
                );
            }
        }
        engine.show_checks();
        let (delivered, deliveries) = mpsc::channel(DELIVERIES);
        let wiring = alert::Wiring {
            clock: setup.clock.clone(),
            metrics: metrics.clone(),
            delivered,
            retry: setup.alerts.retry,
            seed: setup.clock.now().as_micros().unsigned_abs(),
        };
        let notifier = Notifier::start(&setup.alerts.sinks, &wiring)?;
        notifier.resume(&engine.alerts.active());
        let handle = Handle(Arc::new(Shared {
            arrivals: Mutex::new(Arrivals::new(engine.features().into_keys())),
            features: RwLock::new(engine.features()),
            kept,
            putting: Mutex::new(()),
            changed: Notify::new(),
            #[cfg(test)]
            noted: Notify::new(),
            scrape: Mutex::new(()),
            engine: Mutex::new(engine),
            intake,
            notifier: Mutex::new(Some(notifier)),
            metrics,
            copies: oracles.copies.clone(),
            clock: setup.clock,
            line_bytes_max: setup.line_bytes_max,
            stopped: Mutex::new(None),
            failed: Mutex::new(None),
        }));
        let every = setup.state.map(|(_, every)| every);
        Ok(Self::spawn(handle, (outlet, deliveries, oracles), state, every))
    }

    fn spawn(
        handle: Handle,
        (outlet, deliveries, oracles): (Outlet, mpsc::Receiver<Delivered>, Oracles),
        state: Option<Dir>,
        every: Option<Duration>,
    ) -> Self {
        let (shutdown, stopping) = watch::channel(false);
        let shared = || Arc::clone(&handle.0);
        let (mut judging, mut others) = (JoinSet::new(), JoinSet::new());
        let rescorers = oracles.spawn(&handle.0, &mut others, &stopping);
        let alarmed = Alarmed::new(shared(), "judges rows");
        judging.spawn(judge(alarmed, outlet, rescorers, stopping.clone()));
        others.spawn(tick(Alarmed::new(shared(), "lets time pass"), stopping.clone()));
        let noting = Alarmed::new(shared(), "notes deliveries");
        others.spawn(note_deliveries(noting, deliveries, stopping.clone()));
        if let (Some(dir), Some(every)) = (state.clone(), every) {
            others.spawn(persist(Alarmed::new(shared(), "keeps state"), dir, every, stopping));
        }
        let judge = judging;
        Self { handle, shutdown, judge, others, state }
    }

    /// The service as its callers see it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes no more rows, judges those that wait, writes the state, sends what has to be told.
    ///
    /// # Errors
    /// [`Error::Store`] when the state cannot be written.
    pub async fn stop(mut self) -> Result<(), Error> {
        let _ = self.shutdown.send(true);
        if let Some(Err(error)) = self.judge.join_next().await {
            tracing::error!(%error, "the judging task did not end well");
        }
        // To their own end: a write of older state that was cut loose here could land after the last one.
        let ended = async { while self.others.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_GRACE, ended).await.is_err() {
            tracing::error!("a task of the service does not end");
            self.others.shutdown().await;
        }
        if let Some(dir) = &self.state {
            write(&self.handle.0, dir).await?;
            let files = state::waiting_files(&self.handle.0.engine()).map_err(Error::Hash)?;
            write_files(dir, files).await?;
        }
        if let Some(notifier) = self.handle.0.take_notifier() {
            notifier.stop(STOP_GRACE).await;
        }
        Ok(())
    }
}

/// Waits for the end; a service that is gone has ended too.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// The service in the hands of a task: when the task panics, health says so.
pub(super) struct Alarmed {
    shared: Arc<Shared>,
    task: &'static str,
}

impl Alarmed {
    pub(super) const fn new(shared: Arc<Shared>, task: &'static str) -> Self {
        Self { shared, task }
    }
}

impl std::ops::Deref for Alarmed {
    type Target = Arc<Shared>;

    fn deref(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Alarmed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.task, "a task of the service failed");
            self.shared.fail(self.task);
        }
    }
}

async fn judge(
    shared: Alarmed,
    mut outlet: Outlet,
    mut rescorers: Vec<Rescorer>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut is_stopping = false;
    let mut one_in = 1;
    loop {
        let records = tokio::select! {
            // The end first: a queue that never empties must not keep it waiting.
            biased;
            () = stopped(&mut stopping), if !is_stopping => {
                is_stopping = true;
                outlet.close();
                continue;
            }
            records = outlet.next(CHUNK) => records,
        };
        if records.is_empty() {
            break;
        }
        let now = shared.clock.now();
        let wanted = if outlet.filled() > CROWDED { THINNED } else { 1 };
        if wanted != one_in {
            one_in = wanted;
            shared.engine().thin_relations(one_in);
            tracing::info!(one_in, "of so many rows one is looked at for relations between columns");
        }
        let taken = shared.engine().take(&records, now);
        for (model, rows) in &taken.failed {
            shared.arrivals().not_judged(model, *rows, now);
        }
        shared.tell(&taken.changes);
        rescorers.iter_mut().for_each(|rescorer| rescorer.offer(&records, &shared, now));
    }
    let mut stopped = shared.stopped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *stopped = Some("the service is shutting down".to_owned());
}

async fn tick(shared: Alarmed, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut dropped = [0; Reason::ALL.len()];
    let mut said = Said::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stopped(&mut stopping) => return,
        }
        let now = shared.clock.now();
        cover(&shared, now);
        let changes = shared.engine().tick(now);
        shared.tell(&changes);
        let missing = shared.arrivals().settle(now);
        shared.intake.losses().add(Reason::MissingSeq, missing);
        for (before, (reason, n)) in dropped.iter_mut().zip(shared.intake.losses().snapshot()) {
            shared.metrics.tap_dropped(reason.name(), n.saturating_sub(*before));
            *before = n;
        }
        said.again(&shared, now);
    }
}

/// Tells every model's monitors how much of its rows they see.
fn cover(shared: &Shared, now: Timestamp) {
    let recent: Vec<(String, RecentRows)> =
        shared.arrivals().views(now).map(|(model, recent)| (model.to_owned(), recent)).collect();
    shared.engine().set_recent(recent.iter().map(|(model, recent)| (model.as_str(), *recent)));
}

/// Puts back the baselines that were put before the restart.
fn put_back(engine: &mut Engine, kept: &Kept) {
    for (name, model) in &mut engine.models {
        for refusal in kept.restore(model) {
            tracing::warn!(refusal, "the configured baseline counts");
        }
        let baseline = &model.main.baseline;
        if baseline.content_hash() != model.main.configured {
            let baseline = baseline.content_hash();
            tracing::info!(
                model = name,
                baseline,
                "the baseline that was put counts, not the configured one"
            );
        }
        loaded(&engine.metrics, model);
    }
}

/// What is said in the log once a minute as long as it holds.
#[derive(Default)]
struct Said {
    last: Option<Timestamp>,
    other_versions: BTreeMap<String, u64>,
    unanswered: BTreeMap<(String, &'static str, &'static str), u64>,
}

impl Said {
    fn again(&mut self, shared: &Shared, now: Timestamp) {
        if self.last.is_some_and(|last| now < last.plus(SAY_AGAIN)) {
            return;
        }
        self.last = Some(now);
        for source in shared.arrivals().shared_names(now) {
            tracing::warn!(source, "several processes send under one name: give each its own `source`");
        }
        let unanswered = shared.engine().unanswered();
        for ((model, detector, why), all) in &unanswered {
            let before = self.unanswered.get(&(model.clone(), *detector, *why)).copied().unwrap_or(0);
            if *all > before {
                let answers = all - before;
                tracing::warn!(model, detector, why, answers, "nobody knows whether these answers are right");
            }
        }
        self.unanswered = unanswered;
        let others = shared.engine().other_versions();
        for (model, rows) in others {
            let before = self.other_versions.insert(model.clone(), rows).unwrap_or(0);
            if rows > before {
                let rows = rows - before;
                tracing::warn!(
                    model,
                    rows,
                    "rows of a version that no baseline is of: only their features are judged"
                );
            }
        }
    }
}

async fn note_deliveries(
    shared: Alarmed,
    mut deliveries: mpsc::Receiver<Delivered>,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let delivered = tokio::select! {
            delivered = deliveries.recv() => delivered,
            () = stopped(&mut stopping) => None,
        };
        let Some(delivered) = delivered else { return };
        // Told already: it is only noted.
        let _ = shared.engine().alerts.delivered(&delivered);
    }
}

async fn persist(shared: Alarmed, dir: Dir, every: Duration, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.changed.notified() => {}
            () = stopped(&mut stopping) => return,
        }
        if let Err(error) = write(&shared, &dir).await {
            tracing::error!(%error, "state could not be written");
        }
    }
}

/// Writes the state of this moment; the engine is held only while it is copied.
async fn write(shared: &Arc<Shared>, dir: &Dir) -> Result<(), Error> {
    let files = state::files(&shared.engine()).map_err(Error::Hash)?;
    write_files(dir, files).await
}

async fn write_files(dir: &Dir, files: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
    let dir = dir.clone();
    let written = tokio::task::spawn_blocking(move || {
        files.iter().try_for_each(|(name, bytes)| dir.write_private(name, bytes))
    });
    match written.await {
        Ok(result) => Ok(result?),
        Err(error) => Err(Error::Task(error.to_string())),
    }
}
