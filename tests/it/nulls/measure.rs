//! False alarms of the program itself on healthy traffic: baseline and fresh rows as files, alarms
//! counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;
use serde_json::Value;
use statrs::distribution::{ContinuousCDF, Gamma};

use super::traffic::Null;

const BASELINE_ROWS: usize = 20_000;
const BUDGET: &str = "1/100000rows";
/// After an alarm as many rows are deaf; then one that still stands counts anew.
const DEAF_ROWS: u64 = 500;
/// The broken stream: healthy rows, then zeros in this share of two columns.
const HEALTHY_ROWS: usize = 1_000;
const BROKEN_ROWS: usize = 3_000;
const BROKEN_SHARE: f64 = 0.3;
/// Fresh rows come later than those of the baseline, by so many days.
const LATER_DAYS: u32 = 35;

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Baselines, each with rows of its own.
    pub(crate) baselines: u64,
    /// Fresh rows for each.
    pub(crate) rows: usize,
    pub(crate) folder: PathBuf,
}

/// What one kind of traffic did.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) seasonality: String,
    pub(crate) promised: bool,
    pub(crate) may_refuse: bool,
    /// Baselines that were asked for.
    pub(crate) baselines: u64,
    /// Why a baseline was refused, each time.
    pub(crate) refused: Vec<String>,
    /// What `baseline build` and `replay` said of the promise, by how often.
    pub(crate) claims: BTreeMap<String, u64>,
    /// Fresh rows that were judged.
    pub(crate) rows: u64,
    /// Those among them during which an alarm stood: no other could be raised by its group.
    pub(crate) rows_in_alarm: u64,
    pub(crate) alarms: u64,
    pub(crate) alarms_by_detector: BTreeMap<String, u64>,
    /// Detector streams at the end of all fresh rows, and how many of them nobody knows of, by reason.
    pub(crate) streams: u64,
    pub(crate) undecided: BTreeMap<String, u64>,
    /// Rows until zeros in 30 % of two columns were found; nothing where they were not.
    pub(crate) found_after: Vec<Option<u64>>,
}

impl Measured {
    /// False alarms in 100,000 rows in which nothing stood in alarm: an alarm that never ends is no quiet.
    pub(crate) fn per_100k(&self) -> Option<f64> {
        self.rate(self.alarms as f64)
    }

    /// The upper end of the one-sided 95 % limit of that, for a Poisson count.
    pub(crate) fn upper_per_100k(&self) -> Option<f64> {
        self.rate(Gamma::new(self.alarms as f64 + 1.0, 1.0).expect("a shape above 0").inverse_cdf(0.95))
    }

    fn rate(&self, count: f64) -> Option<f64> {
        let free = self.rows - self.rows_in_alarm;
        (free > 0).then(|| count / free as f64 * 1e5)
    }

    /// The middle one of the delays; nothing when more than half were not found.
    pub(crate) fn median_found(&self) -> Option<u64> {
        let mut delays: Vec<u64> = self.found_after.iter().map(|d| d.unwrap_or(u64::MAX)).collect();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied().filter(|d| *d < u64::MAX)
    }
}

/// Builds the baselines of one kind of traffic and replays fresh rows of the same kind.
pub(crate) fn measure(null: &Null, plan: &Plan) -> Measured {
    let mut measured = Measured {
        name: null.name.clone(),
        seasonality: null.seasonality.to_owned(),
        promised: null.promised,
        may_refuse: null.may_refuse,
        baselines: plan.baselines,
        ..Measured::default()
    };
    let file = |name: &str| plan.folder.join(name);
    for turn in 0..plan.baselines {
        let seed = plan.seed.wrapping_add(turn).wrapping_mul(1_000);
        null.rows(seed, 0, BASELINE_ROWS).write(&file("baseline.parquet"));
        if let Err(why) = build(null, &file("baseline.parquet"), &file("baseline.json"), &mut measured) {
            measured.refused.push(why);
            continue;
        }
        null.rows(seed + 1, LATER_DAYS, plan.rows).write(&file("fresh.parquet"));
        measured.note(&replay(&plan.folder, "fresh.parquet"));
        measured.found_after.push(broken(null, seed + 2, &plan.folder));
    }
    measured
}

fn build(null: &Null, input: &Path, out: &Path, measured: &mut Measured) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silentry"));
    command.args(["baseline", "build", "--model", "null", "--budget", BUDGET]);
    command.args(["--seasonality", null.seasonality]);
    let ran = run(command.arg("--input").arg(input).arg("--out").arg(out));
    if !ran.status.success() {
        return Err(text(&ran.stderr).trim().to_owned());
    }
    let said = text(&ran.stdout);
    for word in ["proven", "calibrated", "refused"].into_iter().filter(|word| said.contains(word)) {
        *measured.claims.entry(word.to_owned()).or_default() += 1;
    }
    Ok(())
}

/// What a replay says, as its JSON document. That `--alarms-out` says the same is checked.
fn replay(folder: &Path, input: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silentry"));
    command.args(["replay", "--json", "--baseline"]).arg(folder.join("baseline.json"));
    command.arg("--input").arg(folder.join(input)).arg("--alarms-out").arg(folder.join("alarms.jsonl"));
    let ran = run(&mut command);
    assert!(ran.status.success(), "replay: {}", text(&ran.stderr));
    let document: Value = serde_json::from_slice(&ran.stdout).expect("a document");
    let lines = std::fs::read_to_string(folder.join("alarms.jsonl")).expect("--alarms-out leaves a file");
    let alarm = |line: &str| serde_json::from_str::<Value>(line).expect("an alarm is JSON");
    let rows: Vec<u64> = lines.lines().map(|line| row(&alarm(line))).collect();
    assert_eq!(rows, list(&document, "alarms").iter().map(row).collect::<Vec<_>>());
    document
}

fn list<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document[name].as_array().unwrap_or_else(|| panic!("no list `{name}` in {document}"))
}

fn row(finding: &Value) -> u64 {
    finding["row"].as_u64().expect("a row")
}

impl Measured {
    fn note(&mut self, replay: &Value) {
        let (alarms, rows) = (list(replay, "alarms"), replay["rows"].as_u64().expect("rows"));
        self.rows += rows;
        self.rows_in_alarm += rows_in_alarm(alarms, list(replay, "resolved"), rows);
        self.alarms += episodes(alarms.iter().map(row));
        for alarm in alarms {
            let detector = alarm["detector"].as_str().expect("a detector").to_owned();
            *self.alarms_by_detector.entry(detector).or_default() += 1;
        }
        for detector in list(replay, "detectors") {
            self.streams += 1;
            if detector["state"] == "undecided" {
                let reason = detector["reason"].as_str().expect("a reason").to_owned();
                *self.undecided.entry(reason).or_default() += 1;
            }
        }
    }
}

/// Rows at which at least one group stood in alarm.
fn rows_in_alarm(alarms: &[Value], resolved: &[Value], rows: u64) -> u64 {
    let end = |alarm: &Value| {
        let later = |end: &&Value| end["group"] == alarm["group"] && row(end) >= row(alarm);
        resolved.iter().filter(later).map(row).min().unwrap_or(rows)
    };
    let mut spans: Vec<(u64, u64)> = alarms.iter().map(|alarm| (row(alarm), end(alarm))).collect();
    spans.sort_unstable();
    let (mut covered, mut until) = (0, 0);
    for (from, to) in spans {
        covered += to.max(until) - from.max(until);
        until = to.max(until);
    }
    covered
}

/// Rows from the first broken one to the alarm, both counted.
fn broken(null: &Null, seed: u64, folder: &Path) -> Option<u64> {
    let mut table = null.rows(seed, LATER_DAYS, HEALTHY_ROWS + BROKEN_ROWS);
    let mut random = StdRng::seed_from_u64(seed);
    table.zero(&null.breakable(), BROKEN_SHARE, HEALTHY_ROWS, &mut random);
    table.write(&folder.join("broken.parquet"));
    let start = u64::try_from(HEALTHY_ROWS).expect("small");
    let replay = replay(folder, "broken.parquet");
    list(&replay, "alarms").iter().map(row).find(|row| *row >= start).map(|row| row - start + 1)
}

/// Alarms, those that come while the last one leaves us deaf not counted.
fn episodes(rows: impl Iterator<Item = u64>) -> u64 {
    let mut rows: Vec<u64> = rows.collect();
    rows.sort_unstable();
    let mut last: Option<u64> = None;
    let mut count = 0;
    for row in rows {
        if last.is_none_or(|last| row - last >= DEAF_ROWS) {
            (last, count) = (Some(row), count + 1);
        }
    }
    count
}

fn run(command: &mut Command) -> Output {
    command.env_remove("SILENTRY_LOG").output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
