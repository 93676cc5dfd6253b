use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{promise, read};
use crate::baseline::{Baseline, Budget, ColumnSummary, Provenance, Seasonality, describe, summaries};
use crate::cli::out;
use crate::detect::{Calibration, Power, Promise, Reference, RunLength};
use crate::units::PerSecond;

/// Sizes of fault for which it is said how long they take.
const SHARES: [f64; 4] = [1.0, 0.3, 0.05, 0.01];

/// Features whose weight is said, of those with most.
const NAMED_MOST: usize = 4;

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// A file of `silentry baseline build`
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// Print one JSON document, last on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    shown: Shown<'a>,
}

/// A baseline and what it amounts to, for programs.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    model: &'a str,
    /// The hash of its content.
    baseline: &'a str,
    name: &'a str,
    version: Option<&'a str>,
    provenance: &'a Provenance,
    seasonality: Seasonality,
    rate_per_second: PerSecond,
    budget: Budget,
    /// The mean that the budget allows; unknown without a rate.
    rows_between_false_alarms: Option<f64>,
    promise: PromiseShown,
    /// Rows within which nine in ten groups gone to zero alarm, by the share of rows touched.
    power: Vec<PowerShown>,
    accepted_weak: &'a [String],
    /// Weight of each feature among the others, the mean being 1, by what it tells of the answer; empty where all
    /// weigh the same.
    influence: BTreeMap<String, f64>,
    relations: RelationsShown,
    /// What answers with a label cost; null where there were none, or too few.
    labels: Option<LabelsShown>,
    columns: Vec<ColumnSummary<'a>>,
}

/// What is watched of what columns tell of each other.
#[derive(Serialize)]
struct RelationsShown {
    watched: Vec<String>,
    /// What is not, and why.
    not_watched: Vec<String>,
}

/// The risk that labels of production are held against.
#[derive(Serialize)]
struct LabelsShown {
    loss: &'static str,
    /// Labelled requests.
    requests: u64,
    /// Labelled rows of which nobody can say whether they are right.
    unscored: u64,
    risk: f64,
    /// What it is at most in health.
    limit: f64,
    promise: Promise,
    /// The same in words.
    told: String,
}

impl LabelsShown {
    fn of(labels: &Reference) -> Self {
        Self {
            loss: labels.loss().name(),
            requests: labels.requests(),
            unscored: labels.unscored(),
            risk: labels.risk(),
            limit: labels.limit(),
            promise: labels.promise(),
            told: labels.told_promise(),
        }
    }
}

/// What the budget's promise rests on.
#[derive(Serialize)]
struct PromiseShown {
    state: Promise,
    threshold_factor: f64,
    run_length: RunLength,
    /// The same in words.
    told: String,
}

/// How soon the loss of a group is seen.
#[derive(Serialize)]
struct PowerShown {
    group: String,
    detector: &'static str,
    share: f64,
    /// Nothing where no number of rows is enough.
    rows: Option<f64>,
}

impl<'a> Shown<'a> {
    pub(super) fn of(baseline: &'a Baseline) -> anyhow::Result<Self> {
        let calibration = Calibration::read(baseline.calibration(), baseline.schema())?;
        let power = crate::service::monitor(baseline)?.power(&SHARES).into_iter();
        let power =
            power.map(|Power { group, detector, share, rows }| PowerShown { group, detector, share, rows });
        Ok(Self {
            model: baseline.model(),
            baseline: baseline.content_hash(),
            name: baseline.name(),
            version: baseline.schema().version.as_deref(),
            provenance: baseline.provenance(),
            seasonality: baseline.seasonality(),
            rate_per_second: baseline.rate(),
            budget: baseline.budget(),
            rows_between_false_alarms: baseline.budget().rows(baseline.rate()),
            promise: PromiseShown {
                state: calibration.promise(),
                threshold_factor: calibration.threshold_factor(),
                run_length: calibration.run_length(),
                told: calibration.told_promise(),
            },
            power: power.collect(),
            accepted_weak: baseline.accepted_weak(),
            influence: calibration.influences().into_iter().map(|(name, w)| (name.to_owned(), w)).collect(),
            relations: RelationsShown {
                watched: calibration.related(),
                not_watched: calibration.unrelated().to_vec(),
            },
            labels: calibration.labels().map(LabelsShown::of),
            columns: summaries(baseline),
        })
    }
}

impl Show {
    pub(in crate::cli) fn run(self) -> anyhow::Result<u8> {
        let baseline = read(&self.path)?;
        if self.json {
            let shown = Shown::of(&baseline)?;
            out::say_json(&Document { schema: "silentry/baseline-show/v1", shown })?;
        } else {
            out::say(describe(&baseline).trim_end());
            say_power(&baseline)?;
        }
        Ok(0)
    }
}

/// Says what the budget and the rows of a baseline amount to.
pub(super) fn say_power(baseline: &Baseline) -> anyhow::Result<()> {
    let all = crate::service::monitor(baseline)?.power(&SHARES);
    out::say(&promise(baseline)?);
    out::say("\nRows within which nine in ten groups gone to zero alarm, by the share of rows touched");
    for group in all.chunk_by(|a, b| a.group == b.group) {
        let Some(first) = group.first() else { continue };
        let each: Vec<String> = group.iter().map(told).collect();
        out::say(&format!("  {:<24} {}", first.group, each.join("   ")));
    }
    if all.is_empty() {
        out::say("  no group has two features or more: name groups in a schema file");
    }
    if !baseline.accepted_weak().is_empty() {
        let groups = baseline.accepted_weak().join("`, `");
        out::say(&format!("  accepted although that is more than 100 for 100 %: `{groups}`"));
    }
    let calibration = Calibration::read(baseline.calibration(), baseline.schema())?;
    say_relations(&calibration);
    say_labels(&calibration);
    say_influence(&calibration);
    Ok(())
}

/// Says what is watched of what columns tell of each other, and what is not.
fn say_relations(calibration: &Calibration) {
    out::say("\nRelations that are watched");
    let watched = calibration.related();
    if watched.is_empty() {
        out::say("  none");
    }
    watched.iter().for_each(|told| out::say(&format!("  {told}")));
    calibration.unrelated().iter().for_each(|told| out::say(&format!("  not: {told}")));
}

/// Says what answers with a label cost, where there were enough of them.
fn say_labels(calibration: &Calibration) {
    if let Some(LabelsShown { loss, requests, unscored, risk, limit, told, .. }) =
        calibration.labels().map(LabelsShown::of)
    {
        out::say(&format!(
            "\nLabels: risk {risk:.4} ({loss}), at most {limit:.4}, of {requests} labelled requests; {unscored} rows not scored\n  {told}"
        ));
    }
}

/// Says which features weigh most and least, where they differ.
fn say_influence(calibration: &Calibration) {
    let all = calibration.influences();
    let told = |(name, weight): &(&str, f64)| format!("{name} {weight:.1}");
    let most: Vec<String> = all.iter().take(NAMED_MOST).map(told).collect();
    if let Some(least) = all.last().filter(|_| all.len() > 1) {
        let most = most.join(", ");
        out::say(&format!(
            "\nWeight in the budget by what a feature tells of the answer, on average 1\n  the most: {most}   the least: {}",
            told(least)
        ));
    } else {
        out::say("\nAll features weigh the same in the budget: what they tell of the answer is not known");
    }
}

fn told(power: &Power) -> String {
    let share = format!("{} %", power.share * 100.0);
    match power.rows {
        Some(rows) => format!("{share}: {rows}"),
        None => format!("{share}: cannot be seen"),
    }
}
