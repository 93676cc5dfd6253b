//! An hour of healthy traffic of the scene, replayed: no alarm. And the same file with a fault: one.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use silentry::scene::{Data, FEATURES, Model, STORE_FEATURES, Traffic};
use silentry::units::Ratio;

use crate::support::{folder, path, room, run, story};

/// Rows a second of the scene.
const RATE: i64 = 100;
/// Neither the baseline's seed nor that of a run.
const SEED: u64 = 77;
/// Rows of one part of the file.
const PART: i64 = 10_000;

/// The scene's healthy traffic as its model sees it: the seeded requests, the features that the store
/// has for them, the model's own answers. From `zeros_from` on one row in three lacks the store's.
struct Recording {
    traffic: Traffic,
    model: Model,
    zeros_from: i64,
}

impl Recording {
    fn new(zeros_from: i64) -> Self {
        let data = Data::load().expect("the table is there");
        let traffic = Traffic::new(&data, Ratio::one_in(3), SEED).expect("wines");
        Self { traffic, model: Model::train(&data).expect("it learns"), zeros_from }
    }

    fn part(&mut self, rows: std::ops::Range<i64>) -> RecordBatch {
        let mut columns: Vec<Vec<f64>> = vec![Vec::new(); FEATURES.len() + 2];
        for row in rows.clone() {
            let wine = self.traffic.draw().expect("it never ends");
            let mut seen = wine.features();
            if row >= self.zeros_from && !wine.is_popular() {
                seen[FEATURES.len() - STORE_FEATURES.len()..].fill(0.0);
            }
            let answer = self.model.predict(&seen);
            let label = if answer.label == 1 { 1.0 } else { 0.0 };
            let cells = seen.into_iter().chain([label, answer.score]);
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        }
        let requests: StringArray = rows.clone().map(|row| Some(format!("r{row}"))).collect();
        let ts: Int64Array = rows.map(|row| 1_750_000_000_000 + row * (1_000 / RATE)).collect();
        let numbers = columns.into_iter().map(|column| Arc::new(Float64Array::from(column)) as ArrayRef);
        let meta: [ArrayRef; 2] = [Arc::new(ts), Arc::new(requests)];
        let all = meta.into_iter().chain(numbers).collect();
        RecordBatch::try_new(Arc::new(schema()), all).expect("columns of one length")
    }

    fn write(mut self, file: &Path, rows: i64) {
        let out = std::fs::File::create(file).expect("target/ can be written");
        let mut writer = ArrowWriter::try_new(out, Arc::new(schema()), None).expect("a schema");
        for start in (0..rows).step_by(usize::try_from(PART).expect("small")) {
            writer.write(&self.part(start..rows.min(start + PART))).expect("it is written");
        }
        writer.close().expect("it is written");
    }
}

fn schema() -> Schema {
    let names = FEATURES.iter().map(|f| f.name).chain(["prediction", "score"]);
    let numbers = names.map(|name| Field::new(name, DataType::Float64, false));
    let meta = [("ts", DataType::Int64), ("request_id", DataType::Utf8)];
    let meta = meta.map(|(name, kind)| Field::new(name, kind, false));
    Schema::new(meta.into_iter().chain(numbers).collect::<Vec<_>>())
}

async fn replayed(name: &str, recording: Recording, rows: i64) -> Value {
    let file = folder(name).join("traffic.parquet");
    recording.write(&file, rows);
    let baseline = path(&story().await.baseline());
    let ran = run(["replay", "--baseline", &baseline, "--input", &path(&file), "--json"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}", ran.stdout))
}

/// 360,000 rows against a baseline of other rows: not one alarm, and every detector could judge.
#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_health_raises_no_alarm() {
    let baseline_is_there = story().await.baseline();
    assert!(baseline_is_there.exists());
    let _room = room().await;
    let replay = replayed("quiet-hour", Recording::new(i64::MAX), 3_600 * RATE).await;
    assert_eq!((&replay["rows"], &replay["rows_lost"]), (&360_000.into(), &0.into()));
    assert_eq!(replay["alarms"], Value::Array(Vec::new()));
    for detector in replay["detectors"].as_array().expect("detectors") {
        assert_eq!(detector["state"], "quiet", "{detector}");
    }
}

/// The same traffic with the fault of the story in its last ten seconds is one alarm, at once: the hour
/// was not quiet because nobody looked.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_traffic_with_a_fault_raises_one() {
    let start = 50 * RATE;
    let replay = replayed("faulty-minute", Recording::new(start), 60 * RATE).await;
    let alarms = replay["alarms"].as_array().expect("alarms");
    assert_eq!((alarms.len(), &alarms[0]["group"]), (1, &"redis:wine".into()), "{alarms:?}");
    let row = alarms[0]["row"].as_i64().expect("a row");
    assert!((start..start + 100).contains(&row), "raised at row {row}");
}
