mod build;
mod capture;
mod check;
mod compare;
mod diff;
mod merge;
mod show;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::out;
use crate::baseline::{self, Budget, Seasonality};
use crate::detect::Calibration;
use crate::record::SchemaFile;
use crate::service::LearnOptions;
use crate::store::{check_file, write_file};
use crate::units::{Clock, PerSecond};

pub(in crate::cli) use capture::{Live, learn_live};

use show::{Shown, say_power};

#[derive(Debug, Subcommand)]
pub(super) enum Baseline {
    /// Build a reference profile from recorded healthy traffic
    Build(Box<build::Build>),
    /// Learn a reference profile from live traffic; counts only, no row is kept
    Capture(Box<capture::Capture>),
    /// Show a reference profile to people
    Show(show::Show),
    /// Say what in it looks like a fault already; exit code 1 when something does
    Check(check::Check),
    /// Say what differs between two, the largest difference first
    Diff(diff::Diff),
    /// Hold recorded traffic against recorded healthy traffic: columns, whole rows, harm without labels
    Compare(compare::Compare),
    /// Add two of one plan together
    Merge(merge::Merge),
}

/// What a baseline is learnt with, whichever way its rows come.
#[derive(Debug, Clone, Args)]
pub(super) struct About {
    /// The model's name, as records carry it
    #[arg(long, value_name = "NAME")]
    pub(super) model: String,
    /// Where the baseline goes
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,
    /// Whether what is normal depends on the hour: `none` must be stated too
    #[arg(long, value_name = "none|hour-of-day|hour-of-week")]
    pub(super) seasonality: Seasonality,
    #[command(flatten)]
    pub(super) more: More,
}

/// What may be said beside that.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(super) struct More {
    /// What you know of the columns: roles, kinds, groups, defaults, contracts
    #[arg(long, value_name = "FILE", conflicts_with = "plan_of")]
    schema: Option<PathBuf>,
    /// The version of the model; rows of another one are not of this baseline
    #[arg(long, value_name = "VERSION", conflicts_with = "plan_of")]
    version: Option<String>,
    /// False alarms allowed: 1/month, 2/week, 1/100000rows [default: 1/month]
    #[arg(long, value_name = "BUDGET")]
    budget: Option<Budget>,
    /// Requests a second in health; read from the rows' times unless given
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// By whose clocks the hours are, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Take columns and bins from this baseline, so that the two can be merged
    #[arg(long, value_name = "FILE")]
    plan_of: Option<PathBuf>,
    /// Accept groups whose complete loss would take more than a hundred rows to see
    #[arg(long)]
    accept_weak: bool,
}

impl Baseline {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        match self {
            Self::Build(build) => build.run(),
            Self::Capture(capture) => capture.run(),
            Self::Show(show) => show.run(),
            Self::Check(check) => check.run(),
            Self::Diff(diff) => diff.run(),
            Self::Compare(compare) => compare.run(),
            Self::Merge(merge) => merge.run(),
        }
    }
}

impl About {
    pub(super) fn options(&self) -> anyhow::Result<LearnOptions> {
        check_file(&self.out).with_context(|| format!("--out {}", self.out.display()))?;
        let more = &self.more;
        let mut schema = more.schema_file()?;
        schema.version = more.version.clone().or(schema.version);
        let plan_of = more.plan_of.as_deref().map(read).transpose().context("--plan-of")?;
        Ok(LearnOptions {
            model: self.model.clone(),
            name: self.model.clone(),
            schema,
            budget: more.budget.unwrap_or(Budget::DEFAULT),
            rate: more.rate.map(PerSecond::new).transpose().context("--rate")?,
            seasonality: self.seasonality,
            time_zone: more.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
            plan_of,
            accept_weak: more.accept_weak,
            now: Clock::real().now(),
        })
    }

    /// Keeps the baseline and says what it amounts to.
    pub(super) fn keep(&self, baseline: &baseline::Baseline) -> anyhow::Result<()> {
        keep(&self.out, baseline)?;
        say_kept(&self.out, baseline)
    }
}

impl More {
    fn schema_file(&self) -> anyhow::Result<SchemaFile> {
        let Some(path) = &self.schema else { return Ok(SchemaFile::parse("{}")?) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the schema file `{}`", path.display()))?;
        SchemaFile::parse(&text).with_context(|| path.display().to_string())
    }
}

/// Writes a new baseline.
fn keep(path: &Path, baseline: &baseline::Baseline) -> anyhow::Result<()> {
    Ok(write_file(path, &baseline.to_bytes()?)?)
}

/// Says what a new baseline amounts to.
fn say_kept(path: &Path, baseline: &baseline::Baseline) -> anyhow::Result<()> {
    out::say(&format!(
        "{}: {} rows of model `{}`, {} columns, budget {}, hash {}",
        path.display(),
        baseline.profile().rows(),
        baseline.model(),
        baseline.schema().columns.len(),
        baseline.budget(),
        baseline.content_hash(),
    ));
    say_power(baseline)
}

/// What the budget's promise rests on, in words.
pub(super) fn promise(baseline: &baseline::Baseline) -> anyhow::Result<String> {
    let calibration = Calibration::read(baseline.calibration(), baseline.schema())?;
    Ok(format!("promise of the budget: {}", calibration.told_promise()))
}

/// Reads a baseline file.
pub(super) fn read(path: &Path) -> anyhow::Result<baseline::Baseline> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the baseline `{shown}`"))?;
    baseline::Baseline::read(&bytes).with_context(|| shown)
}
