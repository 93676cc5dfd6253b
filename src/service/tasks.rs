use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::engine::{Engine, ModelSetup};
use super::handle::{Handle, Shared};
use super::{Error, state};
use crate::alert::{self, Delivered, Notifier};
use crate::store::Dir;
use crate::tap::ndjson::LINE_BYTES_MAX;
use crate::tap::{self, Losses, Outlet, Reason};
use crate::telemetry::{self, Metrics};
use crate::units::Clock;

/// Records judged at once, at the most: the engine is held no longer than that.
const CHUNK: usize = 1_024;
/// How often time passes without a row.
const TICK: Duration = Duration::from_millis(250);
/// Reports of delivery that wait, at the most.
const DELIVERIES: usize = 256;
/// How long open notifications are waited for at the end.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Everything that a service is started with.
#[derive(Debug)]
pub struct Setup {
    /// Who is watched.
    pub models: Vec<ModelSetup>,
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

/// A service that runs, until [`Service::stop`].
#[derive(Debug)]
pub struct Service {
    handle: Handle,
    shutdown: watch::Sender<bool>,
    judge: JoinHandle<()>,
    others: Vec<JoinHandle<()>>,
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
        let (intake, outlet) = tap::intake(setup.limits, Arc::clone(&losses));
        let mut engine =
            Engine::new(setup.models, &setup.alerts, losses, metrics.clone(), setup.effects_window)?;
        let state = setup.state.as_ref().map(|(path, _)| Dir::open(path.clone())).transpose()?;
        if let Some(dir) = &state {
            for refusal in state::restore(&mut engine, dir, &setup.alerts)? {
                tracing::warn!(refusal, "saved state is left behind: its streams begin anew");
            }
        }
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
            engine: Mutex::new(engine),
            intake,
            notifier: Mutex::new(Some(notifier)),
            metrics,
            clock: setup.clock,
            line_bytes_max: setup.line_bytes_max,
            stopped: Mutex::new(None),
        }));
        let every = setup.state.map(|(_, every)| every);
        Ok(Self::spawn(handle, outlet, deliveries, state, every))
    }

    fn spawn(
        handle: Handle,
        outlet: Outlet,
        deliveries: mpsc::Receiver<Delivered>,
        state: Option<Dir>,
        every: Option<Duration>,
    ) -> Self {
        let (shutdown, stopping) = watch::channel(false);
        let shared = &handle.0;
        let judge = tokio::spawn(judge(Arc::clone(shared), outlet, stopping.clone()));
        let mut others = vec![
            tokio::spawn(tick(Arc::clone(shared), stopping.clone())),
            tokio::spawn(note_deliveries(Arc::clone(shared), deliveries, stopping.clone())),
        ];
        if let (Some(dir), Some(every)) = (state.clone(), every) {
            others.push(tokio::spawn(persist(Arc::clone(shared), dir, every, stopping)));
        }
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
    pub async fn stop(self) -> Result<(), Error> {
        let _ = self.shutdown.send(true);
        let judged = self.judge.await;
        for task in self.others {
            task.abort();
            let _ = task.await;
        }
        if let Err(error) = judged {
            tracing::error!(%error, "the judging task did not end well");
        }
        if let Some(dir) = &self.state {
            write(&self.handle.0, dir).await?;
        }
        if let Some(notifier) = self.handle.0.take_notifier() {
            notifier.stop(STOP_GRACE).await;
        }
        Ok(())
    }
}

/// Waits for the end; a service that is gone has ended too.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn judge(shared: Arc<Shared>, mut outlet: Outlet, mut stopping: watch::Receiver<bool>) {
    loop {
        let records = tokio::select! {
            biased;
            records = outlet.next(CHUNK) => records,
            () = stopped(&mut stopping) => {
                outlet.close();
                outlet.next(CHUNK).await
            }
        };
        if records.is_empty() {
            break;
        }
        let now = shared.clock.now();
        let changes = shared.engine().take(&records, now);
        shared.tell(&changes);
    }
    let mut stopped = shared.stopped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *stopped = Some("the service is shutting down".to_owned());
}

async fn tick(shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut dropped = [0; Reason::ALL.len()];
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stopped(&mut stopping) => return,
        }
        let now = shared.clock.now();
        let changes = shared.engine().tick(now);
        shared.tell(&changes);
        for (before, (reason, n)) in dropped.iter_mut().zip(shared.intake.losses().snapshot()) {
            shared.metrics.tap_dropped(reason.name(), n.saturating_sub(*before));
            *before = n;
        }
    }
}

async fn note_deliveries(
    shared: Arc<Shared>,
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

async fn persist(shared: Arc<Shared>, dir: Dir, every: Duration, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
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
    let dir = dir.clone();
    let written = tokio::task::spawn_blocking(move || {
        files.iter().try_for_each(|(name, bytes)| dir.write(name, bytes))
    });
    match written.await {
        Ok(result) => Ok(result?),
        Err(error) => Err(Error::Task(error.to_string())),
    }
}
