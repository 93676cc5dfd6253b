use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::progress::Shown;
use super::{baseline, out};
use crate::config::COVERAGE_MIN;
use crate::detect::{Alarm, Diagnosis, Finding, StreamReport, StreamState};
use crate::lab::Progress;
use crate::service::{FeaturesSeen, Recorded};
use crate::store::{check_file, write_file};
use crate::tap::Source;
use crate::units::{Timestamp, count};

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// A file of `silentry baseline build`
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Recorded traffic: .parquet, .csv, .arrow or .ndjson
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Write one line of JSON for each alarm
    #[arg(long, value_name = "FILE")]
    alarms_out: Option<PathBuf>,
    /// Switch a detector off (repeatable)
    #[arg(long, value_name = "DETECTOR")]
    without: Vec<String>,
    /// Print one JSON document, last on standard output
    #[arg(long)]
    json: bool,
}

/// What a replay found.
#[derive(Debug, Serialize)]
struct Replayed {
    schema: &'static str,
    model: String,
    baseline: String,
    /// What the budget's promise rests on, in words.
    promise: String,
    rows: u64,
    /// Rows of versions that the baseline is not of, by version.
    rows_of_other_versions: BTreeMap<String, u64>,
    rows_lost: u64,
    rows_lost_by_reason: BTreeMap<&'static str, u64>,
    /// Features of the baseline of which no row had a value.
    absent: Vec<String>,
    /// Columns of the file that the baseline does not know, so that nobody watched them.
    unexpected: Vec<String>,
    /// The first row that was lost, and what was wrong with it.
    first_lost: Option<String>,
    alarms: Vec<Alarm>,
    fired: Vec<Fired>,
    resolved: Vec<Resolved>,
    detectors: Vec<StreamReport>,
}

/// A further detector within an alarm.
#[derive(Debug, Serialize)]
struct Fired {
    group: String,
    detector: String,
    features: Vec<String>,
    row: u64,
    ts: Timestamp,
}

/// The end of an alarm.
#[derive(Debug, Serialize)]
struct Resolved {
    group: String,
    row: u64,
    ts: Timestamp,
}

/// An alarm as one line of `--alarms-out`.
#[derive(Serialize)]
struct Line<'a> {
    row: u64,
    ts: Timestamp,
    detector: &'a str,
    kind: &'a str,
    features: &'a [String],
    group: &'a str,
    score: f64,
    threshold: f64,
    message: &'a str,
    diagnosis: &'a Diagnosis,
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let reference = baseline::read(&self.baseline)?;
        if let Some(path) = &self.alarms_out {
            check_file(path).with_context(|| format!("--alarms-out {}", path.display()))?;
        }
        let promise = baseline::promise(&reference)?;
        let mut recorded = Recorded::new(&reference, &self.without)?;
        let progress = Shown::new();
        progress.stage(&format!("replaying {}", self.input.display()));
        let told = Arc::clone(&progress);
        let source = Source::open(&self.input)?.on_progress(move |p| told.step(p.rows, p.rows));
        let mut replayed = Replayed {
            schema: "silentry/replay/v1",
            model: reference.model().to_owned(),
            baseline: reference.content_hash().to_owned(),
            promise: promise.clone(),
            rows: 0,
            rows_of_other_versions: BTreeMap::new(),
            rows_lost: 0,
            rows_lost_by_reason: BTreeMap::new(),
            absent: Vec::new(),
            unexpected: Vec::new(),
            first_lost: None,
            alarms: Vec::new(),
            fired: Vec::new(),
            resolved: Vec::new(),
            detectors: Vec::new(),
        };
        let mut seen = FeaturesSeen::new(reference.schema());
        for batch in source.batches(reference.schema())? {
            let batch = batch?;
            seen.observe(&batch);
            for finding in recorded.observe(&batch) {
                replayed.note(finding);
            }
        }
        for finding in recorded.finish() {
            replayed.note(finding);
        }
        progress.finish();
        replayed.absent = seen.absent(&self.input)?;
        replayed.unexpected = source.unexpected();
        replayed.rows = recorded.rows();
        replayed.rows_lost = source.losses().total();
        let by_reason = source.losses().by_reason();
        replayed.rows_lost_by_reason = by_reason.map(|(reason, rows)| (reason.name(), rows)).collect();
        replayed.first_lost = source.first_rejection().map(|rejection| rejection.to_string());
        let offered = count(replayed.rows + replayed.rows_lost);
        recorded.set_coverage(count(replayed.rows) >= COVERAGE_MIN.get() * offered);
        replayed.detectors = recorded.report();
        replayed.rows_of_other_versions = recorded.other_versions();
        // Told first: whatever becomes of the file, what was found is not thrown away.
        if self.json {
            out::say_json(&replayed)?;
        } else {
            replayed.tell(&promise);
        }
        if let Some(path) = &self.alarms_out {
            let lines = replayed.lines()?;
            write_file(path, &lines).with_context(|| format!("--alarms-out {}", path.display()))?;
        }
        Ok(0)
    }
}

impl Replayed {
    fn note(&mut self, finding: Finding) {
        match finding {
            Finding::Raised(alarm) => self.alarms.push(alarm),
            Finding::Resolved { group, row, ts } => self.resolved.push(Resolved { group, row, ts }),
            Finding::Fired { group, detector, features, row, ts } => {
                self.fired.push(Fired { group, detector, features, row, ts });
            }
        }
    }

    fn lines(&self) -> anyhow::Result<Vec<u8>> {
        let mut lines = Vec::new();
        for alarm in &self.alarms {
            let line = Line {
                row: alarm.row,
                ts: alarm.ts,
                detector: &alarm.detector,
                kind: &alarm.kind,
                features: &alarm.features,
                group: &alarm.group,
                score: alarm.score,
                threshold: alarm.threshold,
                message: &alarm.message,
                diagnosis: &alarm.diagnosis,
            };
            serde_json::to_writer(&mut lines, &line)?;
            lines.write_all(b"\n")?;
        }
        Ok(lines)
    }

    fn tell(&self, promise: &str) {
        for alarm in &self.alarms {
            out::say(&format!("row {}: {} [{}]", alarm.row, alarm.message, alarm.detector));
        }
        for resolved in &self.resolved {
            out::say(&format!("row {}: `{}` resolved", resolved.row, resolved.group));
        }
        let undecided = self.undecided();
        if !undecided.is_empty() {
            let streams = undecided.values().sum::<u64>();
            let all = self.detectors.len();
            out::say(&format!("{streams} of {all} detector streams undecided: {}", counted(&undecided)));
        }
        let lost = match self.rows_lost {
            0 => "0 lost".to_owned(),
            rows => format!("{rows} lost ({})", counted(&self.rows_lost_by_reason)),
        };
        out::say(&format!("{} rows, {lost}, {} alarms", self.rows, self.alarms.len()));
        self.first_lost.iter().for_each(|first| out::say(&format!("the first lost: {first}")));
        if !self.absent.is_empty() {
            out::say(&format!("no row has a value of: {}", self.absent.join(", ")));
        }
        if !self.unexpected.is_empty() {
            let names: Vec<String> = self.unexpected.iter().map(|n| n.escape_debug().to_string()).collect();
            out::say(&format!("the baseline does not know, and nobody watched: {}", names.join(", ")));
        }
        let strange: u64 = self.rows_of_other_versions.values().sum();
        if strange > 0 {
            let versions = counted(&self.rows_of_other_versions);
            out::say(&format!("{strange} rows are of other versions than the baseline: {versions}"));
        }
        out::say(promise);
        if self.rows == 0 {
            out::say("no row was judged");
        }
    }

    /// Streams that nobody knows of, by reason.
    fn undecided(&self) -> BTreeMap<&'static str, u64> {
        let mut by_reason = BTreeMap::new();
        for report in &self.detectors {
            if let StreamState::Undecided(why) = report.state {
                *by_reason.entry(why.name()).or_default() += 1;
            }
        }
        by_reason
    }
}

fn counted<K: std::fmt::Display>(by_reason: &BTreeMap<K, u64>) -> String {
    let each: Vec<String> = by_reason.iter().map(|(reason, n)| format!("{reason} × {n}")).collect();
    each.join(", ")
}
