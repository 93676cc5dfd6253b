use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::out;
use super::progress::Shown;
use crate::baseline::{self, Budget, Seasonality, describe};
use crate::detect::{Calibration, Monitor, Options, Power};
use crate::lab::Progress;
use crate::record::SchemaFile;
use crate::service::{LearnOptions, learn};
use crate::store::Dir;
use crate::tap::Source;
use crate::units::{Clock, PerSecond};

/// Sizes of fault for which `show` says how long they take.
const SHARES: [f64; 4] = [1.0, 0.3, 0.05, 0.01];

#[derive(Debug, Subcommand)]
pub(super) enum Baseline {
    /// Build a reference profile from recorded healthy traffic
    Build(Build),
    /// Show a reference profile to people
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Build {
    /// Recorded traffic: .parquet, .csv, .arrow or .ndjson
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The model's name, as records carry it
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Where the baseline goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What you know of the columns: roles, kinds, groups, defaults, contracts
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// False alarms allowed: 1/month, 2/week, 1/100000rows
    #[arg(long, value_name = "BUDGET", default_value = "1/month")]
    budget: Budget,
    /// Requests a second in health; read from `ts` unless given
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Whether what is normal depends on the hour: `none` must be stated too
    #[arg(long, value_name = "none|hour-of-day|hour-of-week")]
    seasonality: Seasonality,
    /// By whose clocks the hours are, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// A file of `silentry baseline build`
    path: PathBuf,
}

impl Baseline {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        match self {
            Self::Build(build) => build.run(),
            Self::Show(show) => show.run(),
        }
    }
}

impl Build {
    fn run(self) -> anyhow::Result<u8> {
        let progress = Shown::new();
        progress.stage(&format!("reading {}", self.input.display()));
        let told = Arc::clone(&progress);
        let source = Source::open(&self.input)?.on_progress(move |p| {
            if let Some(share) = p.share {
                told.step(per_mille(share.get()), 1_000);
            }
        });
        let options = LearnOptions {
            model: self.model.clone(),
            name: self.model.clone(),
            schema: self.schema_file()?,
            budget: self.budget,
            rate: self.rate.map(PerSecond::new).transpose().context("--rate")?,
            seasonality: self.seasonality,
            time_zone: self.time_zone.clone(),
            now: Clock::real().now(),
        };
        let learnt = learn(&source, &options);
        progress.finish();
        let baseline = learnt?;
        write(&self.out, &baseline.to_bytes()?)?;
        out::say(&format!(
            "{}: {} rows of model `{}`, {} columns, budget {}, hash {}",
            self.out.display(),
            baseline.profile().rows(),
            baseline.model(),
            baseline.schema().columns.len(),
            baseline.budget(),
            baseline.content_hash(),
        ));
        for line in power(&baseline)? {
            out::say(&line);
        }
        if source.losses().total() > 0 {
            let lost = source.losses().total();
            let first = source.first_rejection().map_or_else(String::new, |r| format!(", the first at {r}"));
            out::say(&format!("{lost} lines are no records and were left out{first}"));
        }
        Ok(0)
    }

    fn schema_file(&self) -> anyhow::Result<SchemaFile> {
        let Some(path) = &self.schema else { return Ok(SchemaFile::parse("{}")?) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the schema file `{}`", path.display()))?;
        SchemaFile::parse(&text).with_context(|| path.display().to_string())
    }
}

impl Show {
    fn run(self) -> anyhow::Result<u8> {
        let baseline = read(&self.path)?;
        out::say(describe(&baseline).trim_end());
        for line in power(&baseline)? {
            out::say(&line);
        }
        Ok(0)
    }
}

/// What the budget and the rows of a baseline amount to, in words.
fn power(baseline: &baseline::Baseline) -> anyhow::Result<Vec<String>> {
    let monitor = monitor(baseline, &[])?;
    let mut lines = vec![
        "\nRows within which nine in ten groups gone to zero alarm, by the share of rows touched".to_owned(),
    ];
    let all = monitor.power(&SHARES);
    for group in all.chunk_by(|a, b| a.group == b.group) {
        let Some(first) = group.first() else { continue };
        let each: Vec<String> = group.iter().map(told).collect();
        lines.push(format!("  {:<24} {}", first.group, each.join("   ")));
    }
    if lines.len() == 1 {
        lines.push("  no group has two features or more: name groups in a schema file".to_owned());
    }
    Ok(lines)
}

fn told(power: &Power) -> String {
    let share = format!("{} %", power.share * 100.0);
    match power.rows {
        Some(rows) => format!("{share}: {rows}"),
        None => format!("{share}: cannot be seen"),
    }
}

/// The monitor of a baseline.
pub(super) fn monitor(baseline: &baseline::Baseline, without: &[String]) -> anyhow::Result<Monitor> {
    let calibration = Calibration::read(baseline.calibration(), baseline.schema())?;
    let options = Options {
        budget: baseline.budget(),
        rate: baseline.rate(),
        without: without.iter().cloned().collect(),
    };
    Ok(Monitor::new(Arc::clone(baseline.schema()), calibration, options)?)
}

/// Reads a baseline file.
pub(super) fn read(path: &Path) -> anyhow::Result<baseline::Baseline> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the baseline `{shown}`"))?;
    baseline::Baseline::read(&bytes).with_context(|| shown)
}

/// Writes a file whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let name = path.file_name().and_then(|n| n.to_str());
    let name = name.with_context(|| format!("`{}` is no file name", path.display()))?;
    Dir::shared(folder)?.write(name, bytes)?;
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share from 0 to 1")]
fn per_mille(share: f64) -> u64 {
    (share * 1_000.0) as u64
}
