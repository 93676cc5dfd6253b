use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::BooleanArray;
use arrow::error::ArrowError;
use sha2::{Digest, Sha256};

use super::open::{self, Counted};
use super::pass::{Hook, Pass, Progress, Reader, Step, Total, damaged};
use super::{Error, Format};
use crate::record::{self, Batch, BatchBuilder, Observed, Schema, SchemaFile, infer};
use crate::tap::Losses;
use crate::tap::format::ndjson::{LINE_BYTES_MAX, Lines, Rejection};

/// A file of recorded traffic, which can be read over and over.
pub struct Source {
    path: PathBuf,
    format: Format,
    length: u64,
    hook: Option<Hook>,
    losses: Arc<Losses>,
    first: Arc<Mutex<Option<Rejection>>>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.path)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Opens a file; its extension tells the format.
    ///
    /// # Errors
    /// [`Error::Extension`], or [`Error::Io`] when it cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let Some(format) = Format::of(&path) else { return Err(Error::Extension { path }) };
        let metadata = std::fs::metadata(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        if !metadata.is_file() {
            let source = std::io::Error::other("not a file");
            return Err(Error::Io { path, source });
        }
        let (losses, first) = (Arc::new(Losses::default()), Arc::new(Mutex::new(None)));
        Ok(Self { path, format, length: metadata.len(), hook: None, losses, first })
    }

    /// Calls `hook` after every batch of every pass.
    #[must_use]
    pub fn on_progress(mut self, hook: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its format.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The SHA-256 of the file's bytes, in hex.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sha256(&self) -> Result<String, Error> {
        let mut file = self.file()?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = file.read(&mut buffer).map_err(|source| self.io(source))?;
            if n == 0 {
                return Ok(format!("{:x}", digest.finalize()));
            }
            digest.update(buffer.get(..n).unwrap_or(&buffer));
        }
    }

    /// The schema of one model, from all its rows and what the schema file says.
    ///
    /// # Errors
    /// What makes the file unreadable, those of [`record::infer`], and [`Error::NoRows`].
    pub fn infer_schema(&self, model: &str, file: &SchemaFile) -> Result<Arc<Schema>, Error> {
        let mut observed = Observed::default();
        let renamed = file.columns.iter().filter_map(|(name, c)| Some((name.as_str(), c.from.as_deref()?)));
        let mut pass = self.pass(model, renamed)?;
        while let Some(read) = pass.next_read()? {
            match read {
                Step::Table { table, .. } => observed.table(&table),
                Step::Records(records) => records.iter().for_each(|record| observed.record(record)),
            }
        }
        if pass.kept == 0 {
            return Err(pass.no_rows());
        }
        infer(model, file, &observed).map(Arc::new).map_err(|source| self.rows(source))
    }

    /// The rows of the schema's model in batches, in the order of the file, from its beginning.
    ///
    /// Starts [`Source::losses`] anew. A file without a row of the model ends in [`Error::NoRows`].
    ///
    /// # Errors
    /// When the file cannot be opened, or is not what its name says.
    pub fn batches(&self, schema: &Arc<Schema>) -> Result<Batches, Error> {
        let renamed = schema.file_names.iter().map(|(name, from)| (name.as_str(), from.as_str()));
        Ok(Batches { schema: Arc::clone(schema), pass: self.pass(&schema.model, renamed)?, ended: false })
    }

    /// What the newest pass lost so far.
    #[must_use]
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// The first line that the newest pass could not read.
    #[must_use]
    pub fn first_rejection(&self) -> Option<Rejection> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pass<'a>(&self, model: &str, names: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Pass, Error> {
        self.losses.reset();
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let bytes = Arc::new(AtomicU64::new(0));
        let (reader, total) = self.reader(&bytes)?;
        Ok(Pass {
            path: self.path.clone(),
            format: self.format,
            model: model.to_owned(),
            model_column: model_column(names),
            reader,
            total,
            bytes,
            hook: self.hook.clone(),
            losses: Arc::clone(&self.losses),
            first: Arc::clone(&self.first),
            rows: 0,
            kept: 0,
            others: BTreeSet::new(),
        })
    }

    fn reader(&self, bytes: &Arc<AtomicU64>) -> Result<(Reader, Total), Error> {
        let file = self.file()?;
        let damaged = |error: ArrowError| damaged(&self.path, self.format, &error);
        Ok(match self.format {
            Format::Parquet => {
                let (tables, rows) = open::parquet(file).map_err(damaged)?;
                (Reader::Tables(tables), rows.map_or(Total::Unknown, Total::Rows))
            }
            Format::Arrow => (Reader::Tables(open::ipc(file).map_err(damaged)?), Total::Unknown),
            Format::Csv => {
                let tables = open::csv(file, Arc::clone(bytes)).map_err(damaged)?;
                (Reader::Tables(tables), Total::Bytes(self.length))
            }
            Format::Ndjson => {
                let counted = BufReader::with_capacity(1 << 16, Counted::new(file, Arc::clone(bytes)));
                (Reader::Lines(Lines::new(counted, LINE_BYTES_MAX)), Total::Bytes(self.length))
            }
        })
    }

    fn file(&self) -> Result<File, Error> {
        File::open(&self.path).map_err(|source| self.io(source))
    }

    fn io(&self, source: std::io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }

    fn rows(&self, source: record::Error) -> Error {
        Error::Rows { path: self.path.clone(), source }
    }
}

/// The column that says whose rows they are, given each renamed column with its name in the file.
fn model_column<'a>(renamed: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
    let mut column = Some("model");
    for (name, from) in renamed {
        match (name, from) {
            ("model", from) => return Some(from.to_owned()),
            // A feature took the name.
            (_, "model") => column = None,
            _ => {}
        }
    }
    column.map(str::to_owned)
}

/// The batches of one pass over a file; ends after the first error.
pub struct Batches {
    schema: Arc<Schema>,
    pass: Pass,
    ended: bool,
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("path", &self.pass.path)
            .field("rows", &self.pass.rows)
            .finish_non_exhaustive()
    }
}

impl Batches {
    fn batch(&self, read: Step) -> Result<Batch, Error> {
        let rows = |source| Error::Rows { path: self.pass.path.clone(), source };
        match read {
            Step::Table { table, first_row, kept } => Batch::from_arrow(&self.schema, &table)
                .map_err(|error| rows(place(error, first_row, kept.as_ref()))),
            Step::Records(records) => {
                let mut builder = BatchBuilder::new(Arc::clone(&self.schema));
                records.iter().for_each(|record| builder.push(record));
                builder.finish().map(|(batch, _)| batch).map_err(rows)
            }
        }
    }

    fn step(&mut self) -> Result<Option<Batch>, Error> {
        // Bounded by the file: a read without a row of this model is skipped, not answered.
        while let Some(read) = self.pass.next_read()? {
            let batch = self.batch(read)?;
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
        }
        if self.pass.kept == 0 { Err(self.pass.no_rows()) } else { Ok(None) }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let step = self.step().transpose();
        self.ended = !matches!(step, Some(Ok(_)));
        step
    }
}

/// A row of a table as the row of its file.
fn place(error: record::Error, first_row: u64, kept: Option<&BooleanArray>) -> record::Error {
    let record::Error::Cell { column, row, found, expected } = error else { return error };
    let in_table = kept.map_or(Some(row), |mask| {
        mask.iter().enumerate().filter(|(_, keep)| *keep == Some(true)).map(|(i, _)| i).nth(row)
    });
    let row = usize::try_from(first_row).unwrap_or(usize::MAX).saturating_add(in_table.unwrap_or(row));
    record::Error::Cell { column, row, found, expected }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
    use arrow::ipc::writer::{FileWriter, StreamWriter};
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::record::Cell;
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
            let table = RecordBatch::try_from_iter(columns).unwrap();
            let path = self.0.path().join(name);
            let file = File::create(&path).unwrap();
            match name {
                "t.parquet" => {
                    let mut writer = ArrowWriter::try_new(file, table.schema(), None).unwrap();
                    writer.write(&table).unwrap();
                    writer.close().unwrap();
                }
                "t.arrow" => {
                    let mut writer = FileWriter::try_new(file, &table.schema()).unwrap();
                    writer.write(&table).unwrap();
                    writer.finish().unwrap();
                }
                _ => {
                    let mut writer = StreamWriter::try_new(file, &table.schema()).unwrap();
                    writer.write(&table).unwrap();
                    writer.finish().unwrap();
                }
            }
            Source::open(path).unwrap()
        }
    }

    /// One bad number among few cells: the schema file says what the column is.
    fn schema_file() -> SchemaFile {
        SchemaFile::parse(
            "columns: {age: {kind: numeric, contract: {typed: true}}, city: {kind: categorical}}",
        )
        .unwrap()
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
        let ndjson = r#"{"ts":1,"model":"m","features":{"age":1,"city":"x"},"prediction":{"probabilities":{"1":0.5}}}"#;
        let a = files.text("a.csv", csv).infer_schema("m", &SchemaFile::default()).unwrap();
        let twice = format!("{ndjson}\n{ndjson}\n");
        let b = files.text("b.ndjson", &twice).infer_schema("m", &SchemaFile::default()).unwrap();
        assert_eq!(a, b);
    }

    fn refused(result: Result<impl fmt::Debug, Error>, expected: &[&str]) {
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
        refused(
            files.text("t.parquet", "no").infer_schema("m", &all),
            &["t.parquet", "not readable as Parquet"],
        );
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
        let last = *seen.lock().unwrap().last().unwrap();
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
}
