use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use sha2::{Digest, Sha256};

use super::open::{self, BATCH_ROWS, Counted, Tables};
use super::{Error, Format};
use crate::record::{self, Batch, BatchBuilder, Observed, Record, Schema, SchemaFile, infer};
use crate::tap::format::ndjson::{LINE_BYTES_MAX, Lines, Rejection};
use crate::tap::{Losses, Reason};
use crate::units::Ratio;

/// How far a pass over a file has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Rows read.
    pub rows: u64,
    /// The share of the file, where its format lets us know.
    pub share: Option<Ratio>,
}

type Hook = Arc<dyn Fn(Progress) + Send + Sync>;

/// Other models named in a message.
const MODELS_MAX: usize = 5;

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
        let mut pass = self.pass(model)?;
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
        Ok(Batches { schema: Arc::clone(schema), pass: self.pass(&schema.model)?, ended: false })
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

    fn pass(&self, model: &str) -> Result<Pass, Error> {
        self.losses.reset();
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let bytes = Arc::new(AtomicU64::new(0));
        let (reader, total) = self.reader(&bytes)?;
        Ok(Pass {
            path: self.path.clone(),
            format: self.format,
            model: model.to_owned(),
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

fn damaged(path: &Path, format: Format, error: &ArrowError) -> Error {
    // One line, whatever the reader wrote.
    let reason = error.to_string().lines().collect::<Vec<_>>().join(" ");
    Error::Damaged { path: path.to_owned(), format, reason }
}

enum Reader {
    Tables(Tables),
    Lines(Lines<BufReader<Counted<File>>>),
}

enum Total {
    Rows(u64),
    Bytes(u64),
    Unknown,
}

/// One walk through the file.
struct Pass {
    path: PathBuf,
    format: Format,
    model: String,
    reader: Reader,
    total: Total,
    bytes: Arc<AtomicU64>,
    hook: Option<Hook>,
    losses: Arc<Losses>,
    first: Arc<Mutex<Option<Rejection>>>,
    /// Rows read, of any model.
    rows: u64,
    /// Rows of this model.
    kept: u64,
    others: BTreeSet<String>,
}

/// What one step read.
enum Step {
    /// Rows of the model, the place of the table's first row in the file, and which rows were kept.
    Table {
        table: RecordBatch,
        first_row: u64,
        kept: Option<BooleanArray>,
    },
    Records(Vec<Record>),
}

impl Pass {
    fn next_read(&mut self) -> Result<Option<Step>, Error> {
        let read = match &mut self.reader {
            Reader::Tables(tables) => match tables.next() {
                None => None,
                Some(Ok(table)) => Some(self.table(table)?),
                Some(Err(error)) => return Err(damaged(&self.path, self.format, &error)),
            },
            Reader::Lines(_) => self.records()?.map(Step::Records),
        };
        if let (Some(hook), Some(_)) = (&self.hook, &read) {
            hook(Progress { rows: self.rows, share: self.share() });
        }
        Ok(read)
    }

    fn share(&self) -> Option<Ratio> {
        match self.total {
            Total::Rows(rows) => Ratio::of(self.rows, rows),
            Total::Bytes(bytes) => Ratio::of(self.bytes.load(Ordering::Relaxed), bytes),
            Total::Unknown => None,
        }
    }

    /// Keeps the rows of the model, where the table says whose rows they are.
    fn table(&mut self, table: RecordBatch) -> Result<Step, Error> {
        let first_row = self.rows;
        self.rows += u64::try_from(table.num_rows()).unwrap_or(u64::MAX);
        let kept = table.column_by_name("model").and_then(|column| self.rows_of_model(column));
        let table = match &kept {
            None => table,
            Some(mask) => {
                filter_record_batch(&table, mask).map_err(|error| damaged(&self.path, self.format, &error))?
            }
        };
        self.kept += u64::try_from(table.num_rows()).unwrap_or(u64::MAX);
        Ok(Step::Table { table, first_row, kept })
    }

    fn rows_of_model(&mut self, column: &dyn Array) -> Option<BooleanArray> {
        let names = cast(column, &DataType::Utf8).ok()?;
        let names = names.as_string_opt::<i32>()?;
        let mask: Vec<bool> = names.iter().map(|name| name == Some(self.model.as_str())).collect();
        for name in names.iter().filter(|name| *name != Some(self.model.as_str())) {
            self.other_model(name.unwrap_or("(none)"));
        }
        Some(BooleanArray::from(mask))
    }

    fn other_model(&mut self, name: &str) {
        self.losses.add(Reason::UnknownModel, 1);
        if self.others.len() < MODELS_MAX && !self.others.contains(name) {
            self.others.insert(name.to_owned());
        }
    }

    /// Up to a batch of records of the model; nothing at the end of the file.
    fn records(&mut self) -> Result<Option<Vec<Record>>, Error> {
        let mut records = Vec::new();
        let mut lines = 0;
        while lines < BATCH_ROWS {
            let Reader::Lines(reader) = &mut self.reader else { break };
            let Some(line) = reader.next() else { break };
            let line = line.map_err(|source| Error::Io { path: self.path.clone(), source })?;
            lines += 1;
            self.rows += 1;
            match line.outcome {
                Ok(record) if record.model == self.model => records.push(record),
                Ok(record) => self.other_model(&record.model),
                Err(rejection) => self.reject(rejection),
            }
        }
        self.kept += u64::try_from(records.len()).unwrap_or(u64::MAX);
        Ok((lines > 0).then_some(records))
    }

    fn reject(&self, rejection: Rejection) {
        self.losses.add(rejection.reason, 1);
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(rejection);
    }

    fn no_rows(&self) -> Error {
        Error::NoRows {
            path: self.path.clone(),
            model: self.model.clone(),
            models: self.others.iter().cloned().collect(),
            rejection: self.first.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
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
