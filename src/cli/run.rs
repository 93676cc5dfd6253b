//! What `demo` and `experiment run` share: running experiments against the scene.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use super::progress::Shown;
use super::{asked_to_stop, out};
use crate::baseline::Baseline;
use crate::chaos::{Experiment, Scene};
use crate::detect::check_names;
use crate::lab::{self, Outcome, Plan};
use crate::scene::{Choice, StoreKind};
use crate::verdict::{Score, Verdict, describe};

/// Flags of everything that runs the scene.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SceneFlags {
    /// Use this Redis as the feature store instead of an own one, such as redis://127.0.0.1:6379
    #[arg(long, value_name = "URL")]
    pub(super) store: Option<String>,
    /// Use the embedded feature store even where a redis-server is installed
    #[arg(long, conflicts_with = "store")]
    pub(super) embedded_store: bool,
    /// Switch a detector off; the verdict must notice (repeatable)
    #[arg(long, value_name = "DETECTOR")]
    pub(super) without: Vec<String>,
    /// Take the experiment's short phases
    #[arg(long)]
    pub(super) short: bool,
    /// Take this healthy baseline, the baseline.json of an earlier --out, instead of building one
    #[arg(long, value_name = "FILE")]
    pub(super) baseline: Option<PathBuf>,
    /// Leave verdict.json, baseline.json and the model service's own log in this folder
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Print one JSON document, last on standard output
    #[arg(long)]
    pub(super) json: bool,
}

impl SceneFlags {
    fn choice(&self) -> Choice {
        match &self.store {
            Some(url) => Choice::Url(url.clone()),
            None if self.embedded_store => Choice::Embedded,
            None => Choice::Auto,
        }
    }

    /// Refuses, before anything is started, detectors that do not exist and a folder that cannot be
    /// written.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        check_names(self.without.iter().map(String::as_str)).context("--without")?;
        if let Some(folder) = &self.out {
            out::check_folder(folder).with_context(|| format!("--out {}", folder.display()))?;
        }
        Ok(())
    }
}

/// Runs experiments one after another on the same machine, reusing a baseline where the scene's
/// healthy behaviour is the same.
pub(super) struct Runner<'a> {
    flags: &'a SceneFlags,
    baselines: Vec<(Scene, Baseline)>,
}

impl<'a> Runner<'a> {
    pub(super) const fn new(flags: &'a SceneFlags) -> Self {
        Self { flags, baselines: Vec::new() }
    }

    /// Runs one experiment.
    pub(super) async fn run(&mut self, experiment: &Experiment) -> anyhow::Result<Outcome> {
        let asked = asked_to_stop()?;
        let progress = Shown::new();
        let known = match (experiment.target.scene(), &self.flags.baseline) {
            (Some(scene), Some(path)) => Some(given(path, scene)?),
            (Some(scene), None) => {
                self.baselines.iter().find(|(s, _)| is_as_healthy(s, scene)).map(|(_, b)| b.clone())
            }
            (None, _) => None,
        };
        let plan = Plan {
            experiment: experiment.clone(),
            store: self.flags.choice(),
            without: self.flags.without.clone(),
            short: self.flags.short,
            baseline: known,
            progress: Arc::<Shown>::clone(&progress),
        };
        let rehearsed = lab::rehearse(plan, asked).await;
        progress.finish();
        let outcome = rehearsed.with_context(|| format!("experiment `{}`", experiment.name))?;
        if let Some(scene) = experiment.target.scene() {
            self.baselines.push((scene.clone(), outcome.baseline.clone()));
        }
        Ok(outcome)
    }
}

/// What is left in `--out`. Papers that cannot be left are an error, told after every verdict.
#[derive(Debug, Default)]
pub(super) struct Papers(Option<anyhow::Error>);

impl Papers {
    /// Leaves those of one run.
    pub(super) fn leave(&mut self, folder: Option<&Path>, outcome: &Outcome) {
        let Some(folder) = folder else { return };
        let left = leave(folder, outcome).with_context(|| format!("--out {}", folder.display()));
        self.0 = self.0.take().or(left.err());
    }

    /// The first thing that went wrong.
    pub(super) fn left(self) -> anyhow::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The baseline of `--baseline`, which must be the scene's.
fn given(path: &Path, scene: &Scene) -> anyhow::Result<Baseline> {
    let baseline = super::baseline::read(path)?.for_model(crate::scene::MODEL);
    let baseline = baseline.with_context(|| format!("--baseline {}", path.display()))?;
    if baseline.rate().get().total_cmp(&scene.rate.get()).is_ne() {
        anyhow::bail!(
            "--baseline {}: of {} rows a second, expected {} as the experiment has",
            path.display(),
            baseline.rate(),
            scene.rate
        );
    }
    Ok(baseline)
}

/// Whether two scenes behave alike while nothing is broken.
fn is_as_healthy(a: &Scene, b: &Scene) -> bool {
    let broken = Scene { on_store_failure: b.on_store_failure, ..a.clone() };
    broken == *b
}

/// Tells a verdict to a person.
pub(super) fn tell(outcome: &Outcome) {
    let store = match outcome.store {
        StoreKind::User => "your Redis",
        StoreKind::RedisServer => "redis-server",
        StoreKind::Embedded => "embedded, Redis protocol",
    };
    let reads = outcome.store_reads.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
    out::say(&describe(&outcome.verdict));
    out::say(&format!(
        "scene: feature store {store}, {reads} reads; {} requests, {} failed; {} rows where the service put something else",
        outcome.load.intended, outcome.load.failed, outcome.fallbacks.total
    ));
}

/// One row of the service's own log, as `service-log.ndjson` has it.
#[derive(Serialize)]
struct FallbackLine<'a> {
    at: crate::units::Timestamp,
    request_id: &'a str,
    wine: i64,
    reason: &'a str,
}

fn leave(folder: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    let dir = crate::store::Dir::open(folder)?;
    dir.write("verdict.json", &serde_json::to_vec_pretty(&outcome.verdict)?)?;
    dir.write("baseline.json", &outcome.baseline.to_bytes()?)?;
    let mut log = Vec::new();
    for entry in &outcome.fallbacks.entries {
        let line = FallbackLine {
            at: entry.at,
            request_id: &entry.request_id,
            wine: entry.wine,
            reason: &entry.reason,
        };
        serde_json::to_writer(&mut log, &line)?;
        log.push(b'\n');
    }
    dir.write("service-log.ndjson", &log)?;
    Ok(())
}

/// Several runs as one document.
#[derive(Debug, Serialize)]
pub(super) struct Suite {
    schema: &'static str,
    runs: Vec<Verdict>,
    expected_met: u64,
    score: Score,
    blind_spots: Vec<BlindSpot>,
}

/// A fault that nobody noticed.
#[derive(Debug, Serialize)]
struct BlindSpot {
    id: String,
    experiment: String,
    missed: Vec<String>,
}

impl Suite {
    pub(super) fn of(runs: Vec<Verdict>, expected_met: u64) -> Self {
        let blind_spots = runs.iter().flat_map(blind_spots).collect();
        let score = crate::verdict::suite_score(&runs);
        Self { schema: "silentry/suite/v1", runs, expected_met, score, blind_spots }
    }
}

fn blind_spots(verdict: &Verdict) -> Vec<BlindSpot> {
    use crate::chaos::Outcome::{Missed, WrongDetector};
    let missed = verdict.faults.iter().filter(|f| matches!(f.outcome, Some(Missed | WrongDetector)));
    missed
        .map(|fault| BlindSpot {
            id: fault.id.clone(),
            experiment: verdict.experiment.clone(),
            missed: fault.detections.iter().filter(|d| d.expected).map(|d| d.detector.clone()).collect(),
        })
        .collect()
}
