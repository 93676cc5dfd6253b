//! The scene's own baseline: healthy requests pushed through the same service, the same tap and the
//! same code that builds every baseline.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::stage::{Stage, listen};
use super::{Error, Progress};
use crate::baseline::{Baseline, Budget, Seasonality};
use crate::chaos::Scene;
use crate::record::SchemaFile;
use crate::scene::{self, FillConfig, Traffic};
use crate::service::{self, LearnOptions};
use crate::tap::Source;

/// Requests pushed before the tap is waited for: well within its queue.
const PART: u64 = 5_000;
/// Requests under way at once.
const CONCURRENCY: u32 = 32;
/// The largest body of records.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Healthy traffic of the baseline is drawn from other seeds than the run's.
const SEED_OFFSET: u64 = 1_000_000;

/// Takes records and keeps them in a file.
#[derive(Debug)]
struct Collector {
    file: Mutex<File>,
    rows: AtomicU64,
}

/// Pushes healthy requests through the scene, unthrottled, and builds the baseline of what its model
/// saw.
pub(super) async fn learn_scene(
    stage: &Stage,
    settings: &Scene,
    seed: u64,
    progress: &Arc<dyn Progress>,
) -> Result<Baseline, Error> {
    let io = |what| move |source| Error::Io { what, source };
    let dir = tempfile::tempdir().map_err(io("cannot make a temporary folder"))?;
    let path = dir.path().join("healthy.ndjson");
    let file = File::create(&path).await.map_err(io("cannot create a temporary file"))?;
    let collector = Arc::new(Collector { file: Mutex::new(file), rows: AtomicU64::new(0) });
    let (listener, url) = listen().await?;
    let router = Router::new()
        .route("/v1/records", post(collect))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::clone(&collector));
    // Ends when it is dropped, also when this is given up half-way.
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await });
    push(stage, settings, seed, &url, progress).await?;
    server.shutdown().await;
    collector.file.lock().await.flush().await.map_err(io("cannot write a temporary file"))?;
    let arrived = collector.rows.load(Ordering::Acquire);
    if arrived < settings.baseline_rows {
        let why = "the tap's client lost them".to_owned();
        return Err(Error::RowsMissing { arrived, expected: settings.baseline_rows, why });
    }
    progress.stage("building the baseline");
    build(&path, stage, settings, Arc::clone(progress)).await
}

async fn push(
    stage: &Stage,
    settings: &Scene,
    seed: u64,
    url: &str,
    progress: &Arc<dyn Progress>,
) -> Result<(), Error> {
    progress.stage("pushing healthy requests for the baseline");
    let tap = stage.tap(url)?;
    let service = stage.model_service(settings, Arc::clone(&tap)).await?;
    let mut done = 0;
    while done < settings.baseline_rows {
        let requests = PART.min(settings.baseline_rows - done);
        let traffic = Traffic::new(&stage.data, settings.store_share, SEED_OFFSET + seed + done)?;
        let id_prefix = format!("baseline-{done}-");
        let config = FillConfig { url: service.url(), requests, concurrency: CONCURRENCY, id_prefix };
        let (told, before, all) = (Arc::clone(progress), done, settings.baseline_rows);
        let filled = scene::fill(config, traffic, move |n| told.step(before + n, all)).await?;
        if filled.failed > 0 {
            let why = format!("{} requests failed", filled.failed);
            return Err(Error::RowsMissing { arrived: filled.ok, expected: requests, why });
        }
        tap.flush().await;
        done += requests;
    }
    service.stop().await;
    tap.close().await;
    Ok(())
}

async fn collect(State(collector): State<Arc<Collector>>, body: Bytes) -> StatusCode {
    let rows = body.iter().filter(|byte| **byte == b'\n').count();
    let mut file = collector.file.lock().await;
    if let Err(error) = file.write_all(&body).await {
        tracing::error!(%error, "a healthy row cannot be kept");
        return StatusCode::INSUFFICIENT_STORAGE;
    }
    collector.rows.fetch_add(crate::units::whole(rows), Ordering::AcqRel);
    StatusCode::ACCEPTED
}

async fn build(
    path: &Path,
    stage: &Stage,
    settings: &Scene,
    progress: Arc<dyn Progress>,
) -> Result<Baseline, Error> {
    let source = Source::open(path).map_err(service::Error::from)?;
    let options = LearnOptions {
        model: scene::MODEL.to_owned(),
        name: "demo".to_owned(),
        schema: schema_file()?,
        budget: Budget::DEFAULT,
        rate: Some(settings.rate),
        seasonality: Seasonality::None,
        time_zone: "UTC".to_owned(),
        plan_of: None,
        accept_weak: false,
        now: stage.clock.now(),
    };
    let told = move |done, all| progress.step(done, all);
    let built = tokio::task::spawn_blocking(move || service::learn(&source, &options, &told)).await;
    match built {
        Ok(baseline) => Ok(baseline?),
        Err(error) => Err(service::Error::Task(error.to_string()).into()),
    }
}

/// What the scene knows of its columns: which upstream each feature comes from.
fn schema_file() -> Result<SchemaFile, Error> {
    let names = scene::STORE_FEATURES.join(", ");
    let yaml = format!("groups:\n  \"{}\": [{names}]\n", scene::STORE_GROUP);
    SchemaFile::parse(&yaml).map_err(|e| service::Error::Schema(e).into())
}
