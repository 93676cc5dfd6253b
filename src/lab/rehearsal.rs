use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::baseline::learn_scene;
use super::stage::{Stage, listen};
use super::{Error, Progress, known};
use crate::api;
use crate::baseline::Baseline;
use crate::chaos::{Act, Experiment, Fault, MeterStats, Phases, Proxy, Scene, StoreSample, probe_store};
use crate::client;
use crate::record::Schema;
use crate::scene::{
    Accuracy, Choice, FallbackLog, Load, LoadConfig, LoadStats, STORE_GROUP, StoreKind, Traffic,
};
use crate::service::{Handle, Latencies, ModelSetup, RunRequest, Service, Setup};
use crate::units::duration_text;
use crate::verdict::{Limits, Verdict};

/// Healthy traffic before the steady phase: connections open, caches fill.
const WARM_UP: Duration = Duration::from_secs(1);
/// How often recovery is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Requests under way at once, at the most.
const IN_FLIGHT_MAX: u32 = 2_000;
/// PINGs of the probe that shows a fault to be gone.
const PROBES: u32 = 3;
/// One slow answer may be a busy machine's: so many rounds of PINGs are tried, and all of one must be quick.
const PROBE_ROUNDS: u32 = 10;
/// A store on loopback that takes longer than this to answer a PING is still slowed.
const PROBE_LIMIT: Duration = Duration::from_millis(50);
/// The command by which the model service reads features.
const FEATURE_READ: &str = "HMGET";
/// The longest wait for the last rows at the end of a run.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// What is to be run.
pub struct Plan {
    /// The experiment.
    pub experiment: Experiment,
    /// Which feature store.
    pub store: Choice,
    /// Detectors switched off.
    pub without: Vec<String>,
    /// Whether the short phases are taken.
    pub short: bool,
    /// A baseline of the scene from a run before; built anew when absent.
    pub baseline: Option<Baseline>,
    /// Who is told of the progress.
    pub progress: Arc<dyn Progress>,
}

/// What a rehearsal left.
#[derive(Debug)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// The model service's own log of the rows in which something else stood in.
    pub fallbacks: FallbackLog,
    /// The baseline that the detectors had.
    pub baseline: Baseline,
    /// Which feature store it was.
    pub store: StoreKind,
    /// Reads of features, by the store's own count; nothing when it could not be asked.
    pub store_reads: Option<u64>,
    /// How good the model is.
    pub accuracy: Accuracy,
    /// The traffic.
    pub load: LoadStats,
    /// What passed the tap's client.
    pub tap: client::Stats,
    /// What the meter in front of the store could not measure.
    pub meter: MeterStats,
}

/// Checks that the faults of an experiment on the scene are about groups that the scene has.
///
/// # Errors
/// [`Error::Experiment`] with the scene's groups.
pub fn check_groups(experiment: &Experiment) -> Result<(), Error> {
    Ok(experiment.check_groups(&BTreeSet::from([STORE_GROUP, Schema::REQUEST_GROUP]))?)
}

/// Runs one experiment against the embedded scene and judges it. `abort` ends it early: the fault is
/// taken back, and the verdict says so.
///
/// # Errors
/// Whatever keeps the run from being judged at all, [`Error::Aborted`] before it began among it; a
/// fault that cannot be proven gone is no error but a verdict.
pub async fn rehearse(plan: Plan, abort: impl Future<Output = String> + Send) -> Result<Outcome, Error> {
    plan.experiment.check_detectors(&crate::detect::names())?;
    let Some(settings) = plan.experiment.target.scene().cloned() else {
        return Err(Error::NotAScene);
    };
    check_groups(&plan.experiment)?;
    let mut abort = std::pin::pin!(abort);
    plan.progress.stage("training the model and filling the feature store");
    let (stage, samples) = {
        let mut set = std::pin::pin!(Stage::set(&plan.store));
        tokio::select! {
            set = &mut set => set?,
            reason = &mut abort => {
                // Set to its end, which is soon, so that a Redis of the user's can be cleaned.
                if let Ok((stage, _)) = set.await {
                    stage.store.stop().await?;
                }
                return Err(Error::Aborted(reason));
            }
        }
    };
    let rehearsed = with_stage(&stage, samples, &plan, &settings, abort).await;
    let (store, store_reads) = (stage.store.kind(), stage.store.reads().await.ok());
    let (accuracy, meter) = (stage.model.accuracy(), stage.meter.stats());
    let stopped = stage.store.stop().await;
    let played = rehearsed?;
    stopped?;
    let Played { verdict, fallbacks, baseline, load, tap } = played;
    Ok(Outcome { verdict, fallbacks, baseline, store, store_reads, accuracy, load, tap, meter })
}

struct Played {
    verdict: Verdict,
    fallbacks: FallbackLog,
    baseline: Baseline,
    load: LoadStats,
    tap: client::Stats,
}

async fn with_stage(
    stage: &Stage,
    samples: mpsc::Receiver<StoreSample>,
    plan: &Plan,
    settings: &Scene,
    mut abort: Pin<&mut (impl Future<Output = String> + Send)>,
) -> Result<Played, Error> {
    let seed = plan.experiment.seed;
    let baseline = match &plan.baseline {
        Some(baseline) => baseline.clone(),
        None => tokio::select! {
            learnt = learn_scene(stage, settings, seed, &plan.progress) => learnt?,
            reason = &mut abort => return Err(Error::Aborted(reason)),
        },
    };
    plan.progress.stage("starting silentry beside the model service");
    let silentry = Beside::start(baseline.clone(), plan, stage).await?;
    let tap = stage.tap(&silentry.url)?;
    let service = stage.model_service(settings, Arc::clone(&tap)).await?;
    let run = silentry.handle.start_run_with(RunRequest {
        experiment: plan.experiment.clone(),
        latencies: Latencies::Reported,
        seed,
        // One process, one clock.
        clock_offset_ms: Some(0.0),
    })?;
    let traffic = Traffic::new(&stage.data, settings.store_share, seed)?;
    let load = start_load(&service.url(), settings, traffic, stage, &silentry.handle, &run.run)?;
    let metering = spawn_metering(silentry.handle.clone(), run.run.clone(), samples);
    let play = Play { stage, plan, handle: &silentry.handle, run: &run.run, url: service.url() };
    let aborted = tokio::select! {
        played = play.to_the_end() => { played?; None }
        reason = &mut abort => Some(reason),
    };
    if let Some(reason) = aborted {
        play.abort(reason).await?;
    }
    let load = load.stop().await;
    let fallbacks = service.fallback_log();
    service.stop().await;
    tap.close().await;
    let stats = tap.stats();
    silentry.drain(stats.sent).await;
    drop(metering);
    silentry.handle.note(&run.run, stage.clock.now(), Act::RunEnded)?;
    let verdict = silentry.handle.verdict(&run.run)?;
    silentry.stop().await?;
    Ok(Played { verdict, fallbacks, baseline, load, tap: stats })
}

fn start_load(
    url: &str,
    settings: &Scene,
    traffic: Traffic,
    stage: &Stage,
    handle: &Handle,
    run: &str,
) -> Result<Load, Error> {
    let config = LoadConfig {
        url: url.to_owned(),
        rate: settings.rate,
        deadline: settings.deadline,
        in_flight_max: IN_FLIGHT_MAX,
        id_prefix: "run-".to_owned(),
    };
    let (handle, run) = (handle.clone(), run.to_owned());
    let report = move |outcome: crate::scene::Outcome| {
        if let Err(error) = handle.request_done(&run, outcome.intended, outcome.latency, outcome.ok()) {
            tracing::error!(%error, "a request of the run is not measured");
        }
    };
    Ok(Load::start(config, traffic, stage.clock.clone(), report)?)
}

/// Hands the store's latencies to the run.
fn spawn_metering(handle: Handle, run: String, mut samples: mpsc::Receiver<StoreSample>) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Some(sample) = samples.recv().await {
            // Reads of features only: the probes' PINGs are ours.
            if sample.command != FEATURE_READ {
                continue;
            }
            let at = sample.at.minus(sample.latency);
            if let Err(error) = handle.store_answered(&run, at, sample.latency) {
                tracing::error!(%error, "a reply of the store is not measured");
            }
        }
    });
    task
}

/// silentry as a service beside the model service, on a port of its own. All of it ends when it is
/// dropped.
struct Beside {
    service: Service,
    handle: Handle,
    url: String,
    stop: oneshot::Sender<()>,
    server: JoinSet<std::io::Result<()>>,
}

impl Beside {
    async fn start(baseline: Baseline, plan: &Plan, stage: &Stage) -> Result<Self, Error> {
        let model = ModelSetup { without: plan.without.clone(), ..ModelSetup::new(baseline) };
        let service = Service::start(Setup::in_memory(vec![model], stage.clock.clone()))?;
        let handle = service.handle();
        let (listener, url) = listen().await?;
        let settings = api::Settings { token: None, body_bytes_max: 16 << 20 };
        let router = api::router(handle.clone(), &settings);
        let (stop, stopping) = oneshot::channel::<()>();
        let mut server = JoinSet::new();
        server.spawn(api::serve(listener, router, async move {
            let _ = stopping.await;
        }));
        Ok(Self { service, handle, url, stop, server })
    }

    /// Waits until everything that was sent has been judged.
    async fn drain(&self, sent: u64) {
        let drained = async {
            while self.handle.health().tap.rows_seen < sent {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
            tracing::warn!(sent, "not every row was judged in time");
        }
    }

    async fn stop(mut self) -> Result<(), Error> {
        let _ = self.stop.send(());
        if let Some(Ok(Err(source))) = self.server.join_next().await {
            return Err(Error::Io { what: "silentry's listener failed", source });
        }
        Ok(self.service.stop().await?)
    }
}

/// Faults that may be on: however this is left, by an error or an abort as well, they are taken back.
struct Injected<'a>(&'a Proxy);

impl Drop for Injected<'_> {
    fn drop(&mut self) {
        self.0.restore();
    }
}

/// The run itself.
struct Play<'a> {
    stage: &'a Stage,
    plan: &'a Plan,
    handle: &'a Handle,
    run: &'a str,
    url: String,
}

impl Play<'_> {
    fn lengths(&self) -> Phases {
        let experiment = &self.plan.experiment;
        match (self.plan.short, experiment.short) {
            (true, Some(short)) => short,
            _ => experiment.phases,
        }
    }

    fn note(&self, act: Act) -> Result<(), Error> {
        self.handle.note(self.run, self.stage.clock.now(), act)?;
        Ok(())
    }

    async fn wait(&self, words: &str, length: Duration) {
        const STEP: Duration = Duration::from_millis(200);
        self.plan.progress.stage(words);
        let began = tokio::time::Instant::now();
        let mut ticks = tokio::time::interval(STEP);
        let end = tokio::time::sleep_until(began + length);
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                _ = ticks.tick() => {
                    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
                    self.plan.progress.step(millis(began.elapsed()), millis(length));
                }
            }
        }
    }

    async fn to_the_end(&self) -> Result<(), Error> {
        self.phases().await?;
        self.recover().await
    }

    /// Steady traffic, then every fault on and off again.
    async fn phases(&self) -> Result<(), Error> {
        let lengths = self.lengths();
        self.note(Act::RunStarted)?;
        self.wait("traffic begins", WARM_UP).await;
        self.note(Act::SteadyStarted)?;
        self.wait("steady state: nothing is broken", lengths.steady).await;
        let injected = Injected(&self.stage.proxy);
        for fault in &self.plan.experiment.faults {
            self.note(Act::FaultArmed { fault: fault.id.clone() })?;
            // Noted first: no row that the fault touched may lie before its activity.
            self.note(Act::FaultActive { fault: fault.id.clone() })?;
            self.stage.proxy.inject(&fault.inject, fault.fraction, self.plan.experiment.seed)?;
        }
        let names: Vec<&str> = self.plan.experiment.faults.iter().map(|f| f.id.as_str()).collect();
        self.wait(&format!("fault on: {}", names.join(", ")), lengths.fault).await;
        drop(injected);
        self.restore().await
    }

    /// Takes every fault back and shows that it is gone.
    async fn restore(&self) -> Result<(), Error> {
        self.stage.proxy.restore();
        for fault in &self.plan.experiment.faults {
            self.note(Act::FaultRestored { fault: fault.id.clone() })?;
        }
        for fault in &self.plan.experiment.faults {
            self.verify(fault).await?;
        }
        let known = known::ask(self.stage, &self.url).await;
        self.handle.know_answers(self.run, known)?;
        Ok(())
    }

    async fn verify(&self, fault: &Fault) -> Result<(), Error> {
        let limit = PROBE_LIMIT * PROBES;
        let probe = || probe_store(self.stage.proxy.addr(), PROBES, limit, &self.stage.clock);
        let mut probed = probe().await;
        for _ in 1..PROBE_ROUNDS {
            if matches!(probed, Ok(slowest) if slowest <= PROBE_LIMIT) {
                break;
            }
            probed = probe().await;
        }
        let fault = fault.id.clone();
        match probed {
            Ok(slowest) if slowest <= PROBE_LIMIT => self.note(Act::FaultVerified { fault }),
            Ok(slowest) => {
                let seen = format!("a PING took {}", duration_text::text(slowest));
                self.note(Act::FaultStillLive { fault, seen })
            }
            Err(error) => self.note(Act::FaultStillLive { fault, seen: error.to_string() }),
        }
    }

    /// Takes everything back at once.
    async fn abort(&self, reason: String) -> Result<(), Error> {
        self.plan.progress.event(self.stage.clock.now(), &format!("aborted: {reason}"));
        self.note(Act::Aborted { reason })?;
        self.restore().await
    }

    /// Waits until no alert is open, but at least until the fault's last requests are answered.
    async fn recover(&self) -> Result<(), Error> {
        self.wait("fault restored: the last slow requests are answered", Limits::default().in_flight).await;
        self.plan.progress.stage("waiting for the alert to resolve");
        let quiet = async {
            while !self.handle.alerts().active.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        };
        // An alert that stays open is a verdict, not an error.
        let _ = tokio::time::timeout(self.lengths().recovery, quiet).await;
        Ok(())
    }
}
