//! The monitor's cost a row: two widths, two batch sizes, healthy rows, fixed seed.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark, not a library")]

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::Float64Array;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use silentry::baseline::Budget;
use silentry::detect::{Monitor, Options, Planner};
use silentry::record::{Batch, Cells, Column, Contract, Kind, Meta, Role, Schema, Values};
use silentry::units::{PerSecond, Timestamp};

fn schema(columns: usize) -> Arc<Schema> {
    let column = |i: usize| Column {
        name: format!("f{i}"),
        role: Role::Input,
        kind: Kind::Numeric,
        group: format!("g{}", i / 10),
        default: None,
        contract: Contract::default(),
        vector: None,
    };
    Arc::new(Schema::new("bench".into(), None, (0..columns).map(column).collect()).unwrap())
}

fn batch(schema: &Arc<Schema>, rows: usize, random: &mut StdRng) -> Batch {
    let mut cells = |_| {
        let values: Float64Array = (0..rows).map(|_| Some(random.random::<f64>() * 100.0)).collect();
        Cells::new("f", Values::Number(values), None).unwrap()
    };
    let columns = (0..schema.columns.len()).map(&mut cells).collect();
    let times = (0..rows).map(|i| Timestamp::from_millis(i as i64 * 10)).collect();
    Batch::new(schema.clone(), columns, Meta::of_times(times)).unwrap()
}

fn monitor(schema: &Arc<Schema>, random: &mut StdRng) -> Monitor {
    let baseline = batch(schema, 20_000, random);
    let mut planner = Planner::new(schema.clone());
    planner.observe(&baseline);
    let mut counter = planner.finish().unwrap();
    counter.observe(&baseline);
    let options =
        Options { budget: Budget::Rows(1_000_000_000), rate: PerSecond::of(100), without: BTreeSet::new() };
    Monitor::new(schema.clone(), counter.finish().unwrap(), options).unwrap()
}

fn observe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("monitor_observe");
    for columns in [10_usize, 100] {
        for rows in [100_usize, 4_000] {
            let mut random = StdRng::seed_from_u64(1);
            let schema = schema(columns);
            let mut monitor = monitor(&schema, &mut random);
            let fresh = batch(&schema, rows, &mut random);
            // Every turn starts from rest: the same rows over and over are a drift, and are found.
            let rest = monitor.save();
            group.throughput(Throughput::Elements((rows * columns) as u64));
            let id = BenchmarkId::from_parameter(format!("{columns}cols_{rows}rows"));
            let mut turn = |saved| {
                monitor.restore(saved).unwrap();
                monitor.observe(&fresh)
            };
            group.bench_function(id, |b| b.iter_batched(|| rest.clone(), &mut turn, BatchSize::SmallInput));
        }
    }
    group.finish();
}

/// Twenty features that hang together and an answer that follows from them: every relation is watched.
fn related(rows: usize, random: &mut StdRng) -> Batch {
    let features = schema(20);
    let answer = Column {
        name: "y".into(),
        role: Role::Output,
        group: "output".into(),
        ..features.columns.first().unwrap().clone()
    };
    let columns = features.columns.iter().cloned().chain([answer]).collect();
    let shared: Vec<f64> = (0..rows).map(|_| random.random()).collect();
    let mut feature = |_| -> Vec<f64> {
        shared.iter().map(|shared| 100.0 * shared + 40.0 * random.random::<f64>()).collect()
    };
    let mut values: Vec<Vec<f64>> = (0..20).map(&mut feature).collect();
    let score = |(a, b): (&f64, &f64)| 1.0 / (1.0 + (-(a + b - 140.0) / 20.0).exp());
    let answers = values.first().unwrap().iter().zip(values.get(1).unwrap()).map(score).collect();
    values.push(answers);
    let schema = Arc::new(Schema::new("bench".into(), None, columns).unwrap());
    let cells = |v| Cells::new("f", Values::Number(Float64Array::from(v)), None).unwrap();
    let times = (0..rows).map(|i| Timestamp::from_millis(i as i64 * 10)).collect();
    Batch::new(schema, values.into_iter().map(cells).collect(), Meta::of_times(times)).unwrap()
}

/// The cost a row of the relations between twenty columns: the same rows with and without them.
fn relations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("relations");
    let mut random = StdRng::seed_from_u64(2);
    let baseline = related(40_000, &mut random);
    let fresh = related(4_000, &mut random);
    let mut planner = Planner::new(baseline.schema().clone());
    planner.observe(&baseline);
    let mut counter = planner.finish().unwrap();
    counter.observe(&baseline);
    let calibration = counter.finish().unwrap();
    let off = ["surrogate_residual", "coherence", "feature_given", "pair_odds"].map(str::to_owned);
    for (name, without) in [("with", BTreeSet::new()), ("without", BTreeSet::from(off))] {
        let options = Options { budget: Budget::Rows(1_000_000_000), rate: PerSecond::of(100), without };
        let mut monitor = Monitor::new(baseline.schema().clone(), calibration.clone(), options).unwrap();
        let rest = monitor.save();
        group.throughput(Throughput::Elements(fresh.len() as u64));
        let mut turn = |saved| {
            monitor.restore(saved).unwrap();
            monitor.observe(&fresh)
        };
        group.bench_function(name, |b| b.iter_batched(|| rest.clone(), &mut turn, BatchSize::SmallInput));
    }
    group.finish();
}

criterion_group!(benches, observe, relations);
criterion_main!(benches);
