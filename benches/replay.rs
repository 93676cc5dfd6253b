//! A whole replay: from a Parquet file to what the monitor finds, on one core. 30 columns of doubles, with
//! and without request ids; a fixed seed. And what the evidence of one column weighs.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a benchmark, not a library"
)]

#[path = "../tests/it/synthetic.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod synthetic;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use silentry::baseline::{Baseline, Budget, Seasonality};
use silentry::detect::{Calibration, Monitor, Options};
use silentry::record::SchemaFile;
use silentry::service::{LearnOptions, learn};
use silentry::tap::Source;
use silentry::units::Timestamp;
use synthetic::{START_MS, Table, exponential, normal};

const COLUMNS: usize = 30;
const BASELINE_ROWS: usize = 50_000;
/// Fewer by `REPLAY_ROWS`, for a look at a build that is not optimised.
const ROWS: usize = 200_000;

fn rows() -> usize {
    std::env::var("REPLAY_ROWS").map_or(ROWS, |rows| rows.parse().expect("REPLAY_ROWS is a number"))
}

/// Columns as they come: bell-shaped, long-tailed, waiting times, shares; all of them continuous.
fn write(path: &Path, (rows, columns): (usize, usize), seed: u64, ids: bool) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut now = 0.0;
    let mut time = |_| {
        now += exponential(&mut random, 20.0);
        START_MS + now as i64
    };
    let mut table = Table::default();
    table.integers("ts", (0..rows).map(&mut time).collect::<Vec<_>>());
    if ids {
        table.words("request_id", (0..rows).map(|n| format!("r{n}")));
    }
    for column in 0..columns {
        let mut value = |_| match column % 4 {
            0 => normal(&mut random),
            1 => normal(&mut random).exp(),
            2 => exponential(&mut random, 10.0),
            _ => random.random::<f64>(),
        };
        table.numbers(&format!("f{column}"), (0..rows).map(&mut value).collect::<Vec<_>>());
    }
    table.write(path);
}

fn learnt(path: &Path) -> Baseline {
    let options = LearnOptions {
        model: "bench".to_owned(),
        name: "bench".to_owned(),
        schema: SchemaFile::parse("{}").unwrap(),
        budget: Budget::Rows(100_000),
        rate: None,
        seasonality: Seasonality::None,
        time_zone: "UTC".to_owned(),
        plan_of: None,
        accept_weak: false,
        now: Timestamp::from_millis(START_MS),
    };
    learn(&Source::open(path).unwrap(), &options, &|_, _| {}).unwrap()
}

/// The one place that knows how a monitor is made.
fn monitor(baseline: &Baseline) -> Monitor {
    let calibration = Calibration::read(baseline.calibration(), baseline.schema()).unwrap();
    let options = Options { budget: baseline.budget(), rate: baseline.rate(), without: BTreeSet::new() };
    Monitor::new(Arc::clone(baseline.schema()), calibration, options).unwrap()
}

/// From the file to the number of findings.
fn replayed(baseline: &Baseline, path: &Path) -> usize {
    let source = Source::open(path).unwrap();
    let mut monitor = monitor(baseline);
    let mut findings = 0;
    for batch in source.batches(baseline.schema()).unwrap() {
        findings += monitor.observe(&batch.unwrap()).len();
    }
    findings + monitor.finish().len()
}

fn replay(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("replay_parquet");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let learnt_rows = BASELINE_ROWS.min(rows());
    for (name, ids) in [("plain", false), ("request_ids", true)] {
        let [reference, fresh] =
            ["reference", "fresh"].map(|file| folder.path().join(format!("{file}.parquet")));
        write(&reference, (learnt_rows, COLUMNS), 1, ids);
        write(&fresh, (rows(), COLUMNS), 2, ids);
        let baseline = learnt(&reference);
        group.throughput(Throughput::Elements((rows() * COLUMNS) as u64));
        let id = BenchmarkId::new(name, format!("{COLUMNS}cols_{}rows", rows()));
        group.bench_function(id, |b| b.iter(|| replayed(&baseline, &fresh)));
        group.throughput(Throughput::Elements((learnt_rows * COLUMNS) as u64));
        let id = BenchmarkId::new(format!("learn_{name}"), format!("{COLUMNS}cols_{learnt_rows}rows"));
        group.bench_function(id, |b| b.iter(|| learnt(&reference)));
    }
    group.finish();
}

/// What is weighed, by the name that a process of its own is told.
const WEIGHED: &str = "WEIGHED";
/// So many fill what was allocated and is free again; as many more are weighed.
const MANY: usize = 100;

/// Resident bytes of this process, where the system tells.
fn resident() -> Option<f64> {
    const PAGE: f64 = 4_096.0;
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<f64>().ok()? * PAGE)
}

/// Resident bytes of one more of something.
fn weight<T>(make: impl Fn() -> T) -> Option<f64> {
    let filling: Vec<T> = (0..MANY).map(|_| make()).collect();
    let before = resident()?;
    let weighed: Vec<T> = (0..MANY).map(|_| make()).collect();
    let weight = (resident()? - before) / MANY as f64;
    drop((filling, weighed));
    Some(weight)
}

/// In a process of its own, so that nothing weighed before is in the way: `evidence` or `all`, and for how
/// many columns.
fn weigh(what: &str) {
    let (what, columns) = what.split_once(' ').expect("a word and a number");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reference.parquet");
    write(&path, (BASELINE_ROWS.min(rows()), columns.parse().expect("a number")), 1, true);
    let baseline = learnt(&path);
    let mut used = monitor(&baseline);
    // All rows: whoever remembers some has its memory full, whatever the number of columns.
    for batch in Source::open(path).unwrap().batches(baseline.schema()).unwrap() {
        used.observe(&batch.unwrap());
    }
    let weight = if what == "evidence" { weight(|| used.save()) } else { weight(|| monitor(&baseline)) };
    println!("{}", weight.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()));
}

/// What one more column costs in memory: its evidence alone, and with its bins, limits and the rest.
fn memory() {
    let weighed = |what: &str, columns: usize| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.env(WEIGHED, format!("{what} {columns}")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().ok()
    };
    for (what, words) in [("evidence", "evidence"), ("all", "evidence, bins and limits")] {
        match (weighed(what, COLUMNS), weighed(what, 2 * COLUMNS)) {
            (Some(few), Some(many)) if many > few => {
                println!("memory a column: {words} {:.0} bytes", (many - few) / COLUMNS as f64);
            }
            _ => println!("memory a column: {words} not measured, this system does not tell"),
        }
    }
}

criterion_group!(benches, replay);

fn main() {
    match std::env::var(WEIGHED) {
        Ok(what) => weigh(&what),
        Err(_) => {
            memory();
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
