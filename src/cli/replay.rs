use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::progress::Shown;
use super::{baseline, out};
use crate::detect::{Alarm, Finding, StreamReport};
use crate::lab::Progress;
use crate::tap::Source;
use crate::units::Timestamp;

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
    rows: u64,
    rows_lost: u64,
    alarms: Vec<Alarm>,
    resolved: Vec<Resolved>,
    detectors: Vec<StreamReport>,
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
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let reference = baseline::read(&self.baseline)?;
        let mut monitor = baseline::monitor(&reference, &self.without)?;
        let progress = Shown::new();
        progress.stage(&format!("replaying {}", self.input.display()));
        let told = Arc::clone(&progress);
        let source = Source::open(&self.input)?.on_progress(move |p| told.step(p.rows, p.rows));
        let mut replayed = Replayed {
            schema: "silentry/replay/v1",
            model: reference.model().to_owned(),
            baseline: reference.content_hash().to_owned(),
            rows: 0,
            rows_lost: 0,
            alarms: Vec::new(),
            resolved: Vec::new(),
            detectors: Vec::new(),
        };
        for batch in source.batches(reference.schema())? {
            for finding in monitor.observe(&batch?) {
                replayed.note(finding);
            }
        }
        progress.finish();
        replayed.rows = monitor.rows();
        replayed.rows_lost = source.losses().total();
        replayed.detectors = monitor.report();
        if let Some(path) = &self.alarms_out {
            let lines = replayed.lines()?;
            baseline::write(path, &lines).with_context(|| format!("--alarms-out {}", path.display()))?;
        }
        if self.json {
            out::say_json(&replayed)?;
        } else {
            replayed.tell();
        }
        Ok(0)
    }
}

impl Replayed {
    fn note(&mut self, finding: Finding) {
        match finding {
            Finding::Raised(alarm) => self.alarms.push(alarm),
            Finding::Resolved { group, row, ts } => self.resolved.push(Resolved { group, row, ts }),
            Finding::Fired { .. } => {}
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
            };
            serde_json::to_writer(&mut lines, &line)?;
            lines.write_all(b"\n")?;
        }
        Ok(lines)
    }

    fn tell(&self) {
        for alarm in &self.alarms {
            out::say(&format!("row {}: {} [{}]", alarm.row, alarm.message, alarm.detector));
        }
        for resolved in &self.resolved {
            out::say(&format!("row {}: `{}` resolved", resolved.row, resolved.group));
        }
        out::say(&format!("{} rows, {} lost, {} alarms", self.rows, self.rows_lost, self.alarms.len()));
    }
}
