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

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
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
        now: Timestamp::from_millis(START_MS),
    };
    learn(&Source::open(path).unwrap(), &options).unwrap()
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

/// Resident bytes of this process, where the system tells.
fn resident() -> Option<f64> {
    const PAGE: f64 = 4_096.0;
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<f64>().ok()? * PAGE)
}

/// Resident bytes of one more of something. Those before it fill what was allocated and is free again.
fn weight<T>(make: impl Fn() -> T) -> Option<f64> {
    const MANY: usize = 500;
    let filling: Vec<T> = (0..MANY).map(|_| make()).collect();
    let before = resident()?;
    let measured: Vec<T> = (0..MANY).map(|_| make()).collect();
    let weight = (resident()? - before) / MANY as f64;
    drop((filling, measured));
    Some(weight)
}

/// What one more column costs in memory: its evidence alone, and with its bins, limits and the rest.
fn memory(_: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let baseline = |columns: usize| {
        let path = folder.path().join(format!("{columns}.parquet"));
        write(&path, (BASELINE_ROWS.min(rows()), columns), 1, true);
        (learnt(&path), path)
    };
    let many = 2 * COLUMNS;
    let weights = [COLUMNS, many].map(|columns| {
        let (baseline, path) = baseline(columns);
        let mut used = monitor(&baseline);
        let batch = Source::open(path).unwrap().batches(baseline.schema()).unwrap().next().unwrap().unwrap();
        used.observe(&batch);
        (weight(|| used.save()), weight(|| monitor(&baseline)))
    });
    let [(Some(few_saved), Some(few)), (Some(many_saved), Some(more))] = weights else {
        println!("memory a column: not measured, this system does not tell");
        return;
    };
    let columns = (many - COLUMNS) as f64;
    println!("memory a column: evidence {:.0} bytes", (many_saved - few_saved) / columns);
    println!("memory a column: evidence, bins and limits {:.0} bytes", (more - few) / columns);
}

criterion_group!(benches, memory, replay);
criterion_main!(benches);
