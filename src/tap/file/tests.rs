use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;

use super::{Error, Source};
use crate::record::{Batch, Cell, Schema, SchemaFile};
use crate::tap::Reason;
use crate::units::Timestamp;

const CSV: &str = "ts,model,age,city,prob_1,label\n1000,m,39,x,0.5,1\n2000,m,,y,0.25,0\n3000,other,1,x,1,1\n4000,m,abc,x,0.75,1\n";
const NDJSON: &str = concat!(
    r#"{"ts":1000,"model":"m","features":{"age":39,"city":"x"},"prediction":{"probabilities":{"1":0.5}}}"#,
    "\n",
    r#"{"ts":2000,"model":"m","features":{"age":null,"city":"y"},"prediction":{"probabilities":{"1":0.25}}}"#,
    "\n",
    "not a record\n",
    r#"{"ts":3000,"model":"other","features":{"age":1}}"#,
    "\n",
    r#"{"ts":4000,"model":"m","features":{"age":"abc","city":"x"},"prediction":{"probabilities":{"1":0.75}}}"#,
    "\n",
);

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn text(&self, name: &str, text: &str) -> Source {
        File::create(self.0.path().join(name)).unwrap().write_all(text.as_bytes()).unwrap();
        Source::open(self.0.path().join(name)).unwrap()
    }

    /// The rows of [`CSV`] with a text column where a number is not one.
    fn columnar(&self, name: &str) -> Source {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("ts", Arc::new(Int64Array::from(vec![1000, 2000, 3000, 4000]))),
            ("model", Arc::new(StringArray::from(vec!["m", "m", "other", "m"]))),
            ("age", Arc::new(StringArray::from(vec![Some("39"), None, Some("1"), Some("abc")]))),
            ("city", Arc::new(StringArray::from(vec!["x", "y", "x", "x"]))),
            ("prob_1", Arc::new(Float64Array::from(vec![0.5, 0.25, 1.0, 0.75]))),
        ];
        self.table(name, &RecordBatch::try_from_iter(columns).unwrap())
    }

    /// The table as one piece, in the format of the name.
    fn table(&self, name: &str, table: &RecordBatch) -> Source {
        let path = self.0.path().join(name);
        let file = File::create(&path).unwrap();
        if name.ends_with(".parquet") {
            let mut writer = ArrowWriter::try_new(file, table.schema(), None).unwrap();
            writer.write(table).unwrap();
            writer.close().unwrap();
        } else if name.ends_with(".arrow") {
            let mut writer = FileWriter::try_new(file, &table.schema()).unwrap();
            writer.write(table).unwrap();
            writer.finish().unwrap();
        } else if name.ends_with(".csv") {
            arrow::csv::Writer::new(file).write(table).unwrap();
        } else {
            let mut writer = StreamWriter::try_new(file, &table.schema()).unwrap();
            writer.write(table).unwrap();
            writer.finish().unwrap();
        }
        Source::open(path).unwrap()
    }
}

/// One bad number among few cells: the schema file says what the column is.
fn schema_file() -> SchemaFile {
    SchemaFile::parse("columns: {age: {kind: numeric, contract: {typed: true}}, city: {kind: categorical}}")
        .unwrap()
}

/// Columns that the schema does not know are named, whatever the format, by the newest pass alone;
/// what is known of a row beside them is not.
#[test]
fn unexpected_columns() {
    let files = Files::new();
    let schema = files.text("known.csv", CSV).infer_schema("m", &SchemaFile::default()).unwrap();
    let more = "ts,model,age,extra,label,__index_level_0__\n1000,m,39,1,1,0\n";
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("ts", Arc::new(Int64Array::from(vec![1000]))),
        ("extra", Arc::new(Float64Array::from(vec![1.0]))),
        ("request_id", Arc::new(StringArray::from(vec!["r"]))),
        ("__index_level_0__", Arc::new(Int64Array::from(vec![0]))),
    ];
    let table = RecordBatch::try_from_iter(columns).unwrap();
    let line =
        r#"{"ts":1000,"model":"m","request_id":"r","features":{"extra":1,"age":39,"__index_level_0__":0}}"#;
    for source in [
        files.text("more.csv", more),
        files.text("more.ndjson", line),
        files.table("more.parquet", &table),
        files.table("more.arrow", &table),
    ] {
        assert!(source.unexpected().is_empty());
        for _ in 0..2 {
            source.batches(&schema).unwrap().for_each(|batch| drop(batch.unwrap()));
            assert_eq!(source.unexpected(), ["__index_level_0__", "extra"], "{source:?}");
        }
        source.infer_schema("m", &SchemaFile::default()).unwrap();
        assert!(source.unexpected().is_empty());
    }
    let same = files.text("same.csv", CSV);
    same.batches(&schema).unwrap().for_each(|batch| drop(batch.unwrap()));
    assert!(same.unexpected().is_empty());
}

fn check(source: &Source, unknown: u64, malformed: u64) {
    let schema = Arc::new(fixed_schema());
    for pass in 0..2 {
        let batches: Vec<Batch> = source.batches(&schema).unwrap().map(Result::unwrap).collect();
        let [batch] = batches.as_slice() else { panic!("one batch") };
        let [age, city, prob] = batch.columns() else { panic!("three columns") };
        let ages: Vec<_> = (0..3).map(|row| age.cell(row)).collect();
        assert_eq!(ages, [Cell::Number(39.0), Cell::Null, Cell::WrongType], "{source:?} pass {pass}");
        assert_eq!((city.cell(1), prob.cell(2)), (Cell::Text("y"), Cell::Number(0.75)), "{source:?}");
        assert_eq!(batch.meta().ts().last(), Some(&Timestamp::from_millis(4_000)));
        let lost = (source.losses().get(Reason::UnknownModel), source.losses().get(Reason::Malformed));
        assert_eq!(lost, (unknown, malformed), "{source:?} pass {pass}");
    }
}

fn fixed_schema() -> Schema {
    let files = Files::new();
    let csv = "ts,age,city,prob_1\n1,1,x,0.5\n2,2,x,0.5\n";
    let schema = files.text("s.csv", csv).infer_schema("m", &schema_file()).unwrap();
    Arc::unwrap_or_clone(schema)
}

/// The same rows in every format are the same batch, twice over, with the same losses counted.
#[test]
fn every_format_is_the_same_batch() {
    let files = Files::new();
    check(&files.text("t.csv", CSV), 1, 0);
    check(&files.text("t.ndjson", NDJSON), 1, 1);
    check(&files.text("t.jsonl", NDJSON), 1, 1);
    check(&files.columnar("t.parquet"), 1, 0);
    check(&files.columnar("t.arrow"), 1, 0);
    check(&files.columnar("t.arrows"), 1, 0);
}

/// Files of each format give the same schema.
#[test]
fn every_format_is_the_same_schema() {
    let files = Files::new();
    let csv = "ts,age,city,prob_1,label\n1,1,x,0.5,1\n2,2,x,0.5,0\n";
    let ndjson =
        r#"{"ts":1,"model":"m","features":{"age":1,"city":"x"},"prediction":{"probabilities":{"1":0.5}}}"#;
    let a = files.text("a.csv", csv).infer_schema("m", &SchemaFile::default()).unwrap();
    let twice = format!("{ndjson}\n{ndjson}\n");
    let b = files.text("b.ndjson", &twice).infer_schema("m", &SchemaFile::default()).unwrap();
    assert_eq!(a, b);
}

fn refused(result: Result<impl std::fmt::Debug, Error>, expected: &[&str]) {
    let error = result.unwrap_err().to_string();
    assert!(!error.contains('\n'), "one line: {error}");
    for part in expected {
        assert!(error.contains(part), "`{error}` does not say `{part}`");
    }
}

/// Each wrong file is told in one line: the file, what, and what was expected.
#[test]
fn wrong_files() {
    let files = Files::new();
    let all = SchemaFile::default();
    refused(Source::open("t.xlsx"), &["t.xlsx", ".parquet"]);
    refused(Source::open("/nowhere/t.csv"), &["/nowhere/t.csv", "No such file"]);
    refused(files.text("t.parquet", "no").infer_schema("m", &all), &["t.parquet", "not readable as Parquet"]);
    refused(files.text("t.arrow", "no").infer_schema("m", &all), &["not readable as Arrow IPC"]);
    refused(files.text("r.csv", "ts,a\n1,2\n3\n").infer_schema("m", &all), &["not readable as CSV"]);
    refused(files.text("e.csv", "").infer_schema("m", &all), &["e.csv"]);
    refused(files.text("h.csv", "ts,a\n").infer_schema("m", &all), &["no row of model `m`"]);
    refused(files.text("t.ndjson", "x\n").infer_schema("m", &all), &["no row of model `m`", "line 1"]);
    refused(files.text("o.ndjson", NDJSON).infer_schema("q", &all), &["model `q`, but of `m`, `other`"]);
    refused(files.text("e.ndjson", "").infer_schema("m", &all), &["no row of model `m`"]);
}

/// A time that is none is told with the row of the file, rows of other models counted in.
#[test]
fn rows_are_those_of_the_file() {
    let files = Files::new();
    let source = files.text("t.csv", "ts,model,age,city,prob_1\n1,o,1,x,1\n2,m,1,x,1\nsoon,m,1,x,1\n");
    let mut batches = source.batches(&Arc::new(fixed_schema())).unwrap();
    refused(batches.next().unwrap(), &["`ts`, row 2", "`soon`"]);
    assert!(batches.next().is_none());
    let no_time = files.text("n.csv", "age,city,prob_1\n1,x,1\n");
    refused(no_time.batches(&Arc::new(fixed_schema())).unwrap().next().unwrap(), &["no column `ts`"]);
}

/// Progress ends at the whole file, and the hash is the one that everybody computes.
#[test]
fn progress_and_hash() {
    let files = Files::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let source = files.text("t.csv", CSV).on_progress(move |p| log.lock().unwrap().push(p));
    assert_eq!(source.batches(&Arc::new(fixed_schema())).unwrap().count(), 1);
    let last: super::Progress = *seen.lock().unwrap().last().unwrap();
    assert_eq!((last.rows, last.share.map(crate::units::Ratio::get)), (4, Some(1.0)));
    let abc = files.text("abc.csv", "abc").sha256().unwrap();
    assert_eq!(abc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/// A feature may be called `model` when the schema file says so.
#[test]
fn a_feature_called_model() {
    let files = Files::new();
    let source = files.text("c.csv", "ts,model,age\n1,golf,1\n2,golf,2\n");
    let file = SchemaFile::parse("columns: {car: {from: model}}").unwrap();
    let schema = source.infer_schema("m", &file).unwrap();
    let batch = source.batches(&schema).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.columns().first().unwrap().cell(1), Cell::Text("golf"));
    refused(source.infer_schema("m", &SchemaFile::default()), &["but of `golf`"]);
}

/// Rows of a long recording: every fourth is of another model, and one column is of no use to anybody.
fn long(rows: i64) -> RecordBatch {
    let numbers = |by: i64| Arc::new(Int64Array::from_iter_values((0..rows).map(|i| i * by))) as ArrayRef;
    let model = |i| if i % 4 == 3 { "other" } else { "m" };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("notes", Arc::new(StringArray::from_iter_values((0..rows).map(|i| format!("note {i}"))))),
        ("age", numbers(1)),
        ("ts", numbers(1_000)),
        ("dims.pod", Arc::new(StringArray::from_iter_values((0..rows).map(|i| format!("p{}", i % 3))))),
        ("model", Arc::new(StringArray::from_iter_values((0..rows).map(model)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

const LONG: i64 = 40_000;

/// A long file of each columnar format.
fn long_files(files: &Files) -> Vec<Source> {
    let name = |extension: &str| format!("long.{extension}");
    ["parquet", "csv", "arrow", "arrows"].map(|e| files.table(&name(e), &long(LONG))).into()
}

/// A long file comes in lots, in its order and whole, whatever its format and however it was written.
#[test]
fn long_files_come_in_order() {
    let files = Files::new();
    let schema = Arc::new(fixed_schema());
    for source in long_files(&files) {
        let batches: Vec<Batch> = source.batches(&schema).unwrap().map(Result::unwrap).collect();
        assert_eq!(batches.len(), 5, "{source:?}");
        let mut expected = (0..LONG).filter(|i| i % 4 != 3);
        for batch in &batches {
            let [pods] = batch.meta().tags() else { panic!("one tag: {source:?}") };
            for (row, ts) in batch.meta().ts().iter().enumerate() {
                let i = expected.next().unwrap();
                assert_eq!(ts.as_millis(), i * 1_000, "{source:?}");
                let age = batch.columns().first().unwrap().cell(row);
                assert_eq!(age, Cell::Number(f64::from(u32::try_from(i).unwrap())), "{source:?}");
                assert_eq!(pods.values.value(row), format!("p{}", i % 3), "{source:?}");
            }
        }
        assert_eq!(expected.next(), None, "{source:?}");
        assert_eq!(source.losses().get(Reason::UnknownModel), 10_000, "{source:?}");
    }
}

/// A pass that is given up leaves nothing running: the next one counts its own losses only.
#[test]
fn a_pass_given_up_ends() {
    let files = Files::new();
    let schema = Arc::new(fixed_schema());
    for source in long_files(&files) {
        for _ in 0..3 {
            drop(source.batches(&schema).unwrap().next().unwrap().unwrap());
        }
        drop(source.batches(&schema).unwrap());
        assert_eq!(source.batches(&schema).unwrap().count(), 5);
        assert_eq!(source.losses().get(Reason::UnknownModel), 10_000, "{source:?}");
    }
}

/// Batches before a cell that cannot be read come first, then the error, then nothing.
#[test]
fn errors_keep_their_place() {
    let files = Files::new();
    let mut text = "ts,age\n".to_owned();
    (0..20_000).for_each(|i| text.push_str(if i == 12_345 { "soon,1\n" } else { "7,1\n" }));
    let mut batches = files.text("t.csv", &text).batches(&Arc::new(fixed_schema())).unwrap();
    assert_eq!(batches.next().unwrap().unwrap().len(), 8_192);
    refused(batches.next().unwrap(), &["`ts`, row 12345", "`soon`"]);
    assert!(batches.next().is_none() && batches.next().is_none());
}

/// Wide files are read in smaller lots, so that a lot's size in memory is bounded.
#[test]
fn wide_files_come_in_small_lots() {
    let files = Files::new();
    let cells = |_| Arc::new(Int64Array::from_iter_values(0..1_000)) as ArrayRef;
    let names: Vec<String> = (0..4_000).map(|i| format!("f{i}")).collect();
    let columns = names.iter().map(String::as_str).chain(["ts"]).map(|name| (name, cells(name)));
    let source = files.table("wide.parquet", &RecordBatch::try_from_iter(columns).unwrap());
    let schema = source.infer_schema("m", &SchemaFile::default()).unwrap();
    let lots: Vec<usize> = source.batches(&schema).unwrap().map(|b| b.unwrap().len()).collect();
    assert_eq!(lots, [524, 476]);
    // The few columns of another schema are read at once.
    let few = Arc::new(Schema::new("m".into(), None, schema.columns[..3].to_vec()).unwrap());
    assert_eq!(source.batches(&few).unwrap().map(|b| b.unwrap().len()).collect::<Vec<_>>(), [1_000]);
}
