use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::open::{Counted, ROWS_MAX, Tables};
use super::{Error, Format};
use crate::record::Record;
use crate::tap::format::ndjson::{Lines, Rejection};
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

pub(super) type Hook = Arc<dyn Fn(Progress) + Send + Sync>;

/// Lines read at once end with the one that passes this: records take a few times their text.
const LINES_BYTES_MAX: usize = 8 << 20;

/// Other models named in a message.
const MODELS_MAX: usize = 5;

pub(super) enum Reader {
    Tables(Tables),
    Lines(Lines<BufReader<Counted<File>>>),
}

pub(super) enum Total {
    Rows(u64),
    Bytes(u64),
    Unknown,
}

/// One walk through the file: what each step read, and how far that was.
///
/// Not to be asked again after an error. A file without a row of the model ends in [`Error::NoRows`].
pub(super) struct Pass {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) model: String,
    /// The column that says whose rows they are.
    pub(super) model_column: Option<String>,
    pub(super) reader: Reader,
    pub(super) total: Total,
    pub(super) bytes: Arc<AtomicU64>,
    pub(super) losses: Arc<Losses>,
    pub(super) first: Arc<Mutex<Option<Rejection>>>,
    /// Rows read, of any model.
    pub(super) rows: u64,
    /// Rows of this model.
    pub(super) kept: u64,
    pub(super) others: BTreeSet<String>,
}

/// What one step read.
pub(super) enum Step {
    /// Rows of the model, the place of the table's first row in the file, and which rows were kept
    /// where not all were.
    Table {
        table: RecordBatch,
        first_row: u64,
        kept: Option<BooleanArray>,
    },
    Records(Vec<Record>),
}

impl Iterator for Pass {
    type Item = Result<(Progress, Step), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = match self.read() {
            Ok(None) if self.kept == 0 => Err(self.no_rows()),
            read => read,
        };
        let progress = Progress { rows: self.rows, share: self.share() };
        read.transpose().map(|read| read.map(|step| (progress, step)))
    }
}

impl Pass {
    fn read(&mut self) -> Result<Option<Step>, Error> {
        match &mut self.reader {
            Reader::Tables(tables) => match tables.next() {
                None => Ok(None),
                Some(Ok(table)) => self.table(table).map(Some),
                Some(Err(error)) => Err(damaged(&self.path, self.format, &error)),
            },
            Reader::Lines(_) => Ok(self.records()?.map(Step::Records)),
        }
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
        let kept = self.model_column.as_ref().and_then(|name| table.column_by_name(name)).cloned();
        let kept = kept.and_then(|column| self.rows_of_model(&column));
        let table = match &kept {
            None => table,
            Some(mask) => {
                filter_record_batch(&table, mask).map_err(|error| damaged(&self.path, self.format, &error))?
            }
        };
        self.kept += u64::try_from(table.num_rows()).unwrap_or(u64::MAX);
        Ok(Step::Table { table, first_row, kept })
    }

    /// Which rows are of the model; nothing when all are.
    fn rows_of_model(&mut self, column: &dyn Array) -> Option<BooleanArray> {
        let names = cast(column, &DataType::Utf8).ok()?;
        let names = names.as_string_opt::<i32>()?;
        let is_own = |name: Option<&str>| name == Some(self.model.as_str());
        let mask: BooleanBuffer = names.iter().map(is_own).collect();
        if mask.count_set_bits() == mask.len() {
            return None;
        }
        for (name, _) in names.iter().zip(&mask).filter(|(_, kept)| !kept) {
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
        let (mut lines, mut bytes) = (0, 0);
        while lines < ROWS_MAX && bytes < LINES_BYTES_MAX {
            let Reader::Lines(reader) = &mut self.reader else { break };
            let Some(line) = reader.next() else { break };
            let line = line.map_err(|source| Error::Io { path: self.path.clone(), source })?;
            lines += 1;
            bytes += line.bytes;
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

pub(super) fn damaged(path: &Path, format: Format, error: &ArrowError) -> Error {
    // One line, whatever the reader wrote.
    let reason = error.to_string().lines().collect::<Vec<_>>().join(" ");
    Error::Damaged { path: path.to_owned(), format, reason }
}
