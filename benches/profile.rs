//! Summing up rows: one sketch, a whole profile, two profiles merged, a baseline calibrated. Two widths,
//! two sizes, fixed seed.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark, not a library")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::Float64Array;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use silentry::detect::{Calibration, Planner};
use silentry::profile::Profile;
use silentry::record::{Batch, Cells, Column, Contract, Kind, Meta, Role, Schema, Values};
use silentry::sketch::{Categories, Numeric};
use silentry::units::Timestamp;

const WIDTHS: [usize; 2] = [10, 100];
const SIZES: [usize; 2] = [100, 4_000];

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

fn numbers(rows: usize, seed: u64) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..rows).map(|_| random.random::<f64>() * 100.0).collect()
}

fn batch(schema: &Arc<Schema>, rows: usize, seed: u64) -> Batch {
    let cells = |i: usize| {
        let values: Float64Array = numbers(rows, seed + i as u64).into_iter().map(Some).collect();
        Cells::new("f", Values::Number(values), None).unwrap()
    };
    let columns = (0..schema.columns.len()).map(cells).collect();
    let times = (0..rows).map(|i| Timestamp::from_millis(i as i64 * 10)).collect();
    Batch::new(Arc::clone(schema), columns, Meta::of_times(times)).unwrap()
}

fn profile(schema: &Arc<Schema>, batch: &Batch) -> Profile {
    let mut profile = Profile::new(Arc::clone(schema));
    profile.observe(batch).unwrap();
    profile
}

fn calibration(schema: &Arc<Schema>, batch: &Batch) -> Calibration {
    let mut planner = Planner::new(Arc::clone(schema));
    planner.observe(batch);
    let mut counter = planner.finish().unwrap();
    counter.observe(batch);
    counter.finish().unwrap()
}

/// One column: numbers, and words of which few are common and many rare.
fn sketches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sketch_update");
    for rows in SIZES {
        group.throughput(Throughput::Elements(rows as u64));
        let values = numbers(rows, 1);
        group.bench_function(BenchmarkId::new("numbers", format!("{rows}rows")), |b| {
            b.iter(|| {
                let mut sketch = Numeric::default();
                values.iter().for_each(|value| sketch.number(*value));
                sketch
            });
        });
        let words: Vec<String> = values.iter().map(|v| format!("w{}", v.powi(3).round())).collect();
        group.bench_function(BenchmarkId::new("words", format!("{rows}rows")), |b| {
            b.iter(|| {
                let mut sketch = Categories::default();
                words.iter().for_each(|word| sketch.word(word));
                sketch
            });
        });
    }
    group.finish();
}

fn profiles(criterion: &mut Criterion) {
    for columns in WIDTHS {
        for rows in SIZES {
            let id = || BenchmarkId::from_parameter(format!("{columns}cols_{rows}rows"));
            let schema = schema(columns);
            let (first, second) = (batch(&schema, rows, 1), batch(&schema, rows, 2));
            let mut group = criterion.benchmark_group("profile_observe");
            group.throughput(Throughput::Elements((rows * columns) as u64));
            group.bench_function(id(), |b| b.iter(|| profile(&schema, &first)));
            group.finish();

            let (left, right) = (profile(&schema, &first), profile(&schema, &second));
            let mut group = criterion.benchmark_group("profile_merge");
            group.throughput(Throughput::Elements(columns as u64));
            group.bench_function(id(), |b| {
                let merge = |mut into: Profile| {
                    into.merge(black_box(&right)).unwrap();
                    into
                };
                b.iter_batched(|| left.clone(), merge, BatchSize::SmallInput);
            });
            group.finish();

            let mut group = criterion.benchmark_group("baseline_calibrate");
            group.throughput(Throughput::Elements((rows * columns) as u64));
            group.bench_function(id(), |b| b.iter(|| calibration(&schema, &first)));
            group.finish();
        }
    }
}

criterion_group!(benches, sketches, profiles);
criterion_main!(benches);
