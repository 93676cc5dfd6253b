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

criterion_group!(benches, observe);
criterion_main!(benches);
