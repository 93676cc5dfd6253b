//! From bytes to checked rows: NDJSON lines to records to a batch, Open Inference Protocol pairs to
//! records (two widths, two sizes), and whole files of every format to batches. Fixed seed.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark, not a library")]

use std::fmt::Write;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::ipc::writer::FileWriter;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use parquet::arrow::ArrowWriter;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, json};
use silentry::oip::Feature;
use silentry::record::{BatchBuilder, Column, Contract, Kind, Record, Role, Schema};
use silentry::tap::{Source, ndjson, oip::ExchangeLine};

const WIDTHS: [usize; 2] = [10, 100];
const SIZES: [usize; 2] = [100, 4_000];

fn names(columns: usize) -> Vec<String> {
    (0..columns).map(|i| format!("f{i}")).collect()
}

fn schema(columns: usize) -> Arc<Schema> {
    let column = |name: String| Column {
        name,
        role: Role::Input,
        kind: Kind::Numeric,
        group: "request".into(),
        default: None,
        contract: Contract::default(),
        vector: None,
    };
    Arc::new(Schema::new("bench".into(), None, names(columns).into_iter().map(column).collect()).unwrap())
}

/// Lines as a service sends them.
fn lines(columns: usize, rows: usize) -> String {
    let mut random = StdRng::seed_from_u64(1);
    let mut lines = String::new();
    for row in 0..rows {
        let features: Map<_, _> =
            names(columns).into_iter().map(|name| (name, json!(random.random::<f64>() * 100.0))).collect();
        let line = json!({
            "ts": row * 10, "model": "bench", "request_id": format!("r{row}"), "features": features,
            "prediction": {"score": random.random::<f64>()}, "status": "ok", "latency_ms": 12.5,
        });
        writeln!(lines, "{line}").unwrap();
    }
    lines
}

/// One exchange of so many rows, as one line of `POST /v1/oip`.
fn exchange(columns: usize, rows: usize) -> String {
    let mut random = StdRng::seed_from_u64(1);
    let mut values = |n: usize| (0..n).map(|_| random.random::<f64>() * 100.0).collect::<Vec<_>>();
    let tensor = |name: &str, shape: Vec<usize>, data: Vec<f64>| json!({"name": name, "shape": shape, "datatype": "FP64", "data": data});
    let inputs = tensor("input", vec![rows, columns], values(rows * columns));
    let outputs = tensor("score", vec![rows], values(rows));
    let line = json!({
        "ts": 0, "model": "bench", "latency_ms": 12.5, "request": {"inputs": [inputs]},
        "response": {"model_name": "bench", "outputs": [outputs]},
    });
    line.to_string()
}

fn decoded(text: &str) -> Vec<Record> {
    ndjson::decode(text.as_bytes(), ndjson::LINE_BYTES_MAX).map(|line| line.outcome.unwrap()).collect()
}

fn batched(schema: &Arc<Schema>, records: &[Record]) -> usize {
    let mut rows = BatchBuilder::new(Arc::clone(schema));
    records.iter().for_each(|record| rows.push(record));
    rows.finish().unwrap().0.len()
}

fn decode(criterion: &mut Criterion) {
    for columns in WIDTHS {
        for rows in SIZES {
            let id = || BenchmarkId::from_parameter(format!("{columns}cols_{rows}rows"));
            let (text, schema) = (lines(columns, rows), schema(columns));
            let records = decoded(&text);
            let mut group = criterion.benchmark_group("ndjson_to_records");
            group.throughput(Throughput::Elements((rows * columns) as u64));
            group.bench_function(id(), |b| b.iter(|| decoded(&text)));
            group.finish();

            let mut group = criterion.benchmark_group("records_to_batch");
            group.throughput(Throughput::Elements((rows * columns) as u64));
            group.bench_function(id(), |b| b.iter(|| batched(&schema, &records)));
            group.finish();

            let line = exchange(columns, rows);
            let features: Vec<Feature> = names(columns).iter().map(|name| name.as_str().into()).collect();
            let mut group = criterion.benchmark_group("oip_to_records");
            group.throughput(Throughput::Elements((rows * columns) as u64));
            group.bench_function(id(), |b| {
                b.iter(|| ExchangeLine::parse(line.as_bytes()).unwrap().records(&features).unwrap());
            });
            group.finish();
        }
    }
}

/// Columns of doubles and a time.
fn table(columns: usize, rows: usize) -> RecordBatch {
    let mut random = StdRng::seed_from_u64(1);
    let mut numbers = || Float64Array::from_iter_values((0..rows).map(|_| random.random::<f64>() * 100.0));
    let times = Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|row| row * 10)));
    let features = names(columns).into_iter().map(|name| (name, Arc::new(numbers()) as ArrayRef));
    RecordBatch::try_from_iter([("ts".to_owned(), times as ArrayRef)].into_iter().chain(features)).unwrap()
}

fn write(path: &Path, columns: usize, rows: usize) {
    let file = File::create(path).unwrap();
    match path.extension().and_then(|e| e.to_str()) {
        Some("parquet") => {
            let table = table(columns, rows);
            let mut writer = ArrowWriter::try_new(file, table.schema(), None).unwrap();
            writer.write(&table).unwrap();
            writer.close().unwrap();
        }
        Some("arrow") => {
            let table = table(columns, rows);
            let mut writer = FileWriter::try_new(file, &table.schema()).unwrap();
            writer.write(&table).unwrap();
            writer.finish().unwrap();
        }
        Some("csv") => arrow::csv::Writer::new(file).write(&table(columns, rows)).unwrap(),
        _ => std::fs::write(path, lines(columns, rows)).unwrap(),
    }
}

/// Whole files, with the thread that decodes ahead: 30 doubles a row.
fn files(criterion: &mut Criterion) {
    const COLUMNS: usize = 30;
    let dir = tempfile::tempdir().unwrap();
    let schema = schema(COLUMNS);
    let mut group = criterion.benchmark_group("file_to_batches");
    group.sample_size(10);
    for (extension, rows) in [("parquet", 200_000), ("arrow", 200_000), ("csv", 20_000), ("ndjson", 20_000)] {
        let path = dir.path().join(format!("rows.{extension}"));
        write(&path, COLUMNS, rows);
        let source = Source::open(path).unwrap();
        let decoded = || source.batches(&schema).unwrap().map(|batch| batch.unwrap().len()).sum::<usize>();
        assert_eq!(decoded(), rows);
        group.throughput(Throughput::Elements((rows * COLUMNS) as u64));
        group.bench_function(BenchmarkId::new(extension, format!("{COLUMNS}cols_{rows}rows")), |b| {
            b.iter(decoded);
        });
    }
    group.finish();
}

criterion_group!(benches, decode, files);
criterion_main!(benches);
