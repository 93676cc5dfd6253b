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

use super::ahead::Ahead;
use super::open::{self, BUFFER_BYTES, Choice, Counted};
use super::pass::{Hook, Pass, Progress, Reader, Step, Total, damaged};
use super::unexpected::Unexpected;
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
    unexpected: Arc<Unexpected>,
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
        let unexpected = Arc::default();
        Ok(Self { path, format, length: metadata.len(), hook: None, losses, first, unexpected })
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
        for read in self.ahead(self.pass(model, renamed, None)?)? {
            let (progress, step) = read?;
            self.tell(progress);
            match step {
                Step::Table { table, .. } => observed.table(&table),
                Step::Records(records) => records.iter().for_each(|record| observed.record(record)),
            }
        }
        let rows = |source| Error::Rows { path: self.path.clone(), source };
        infer(model, file, &observed).map(Arc::new).map_err(rows)
    }

    /// The rows of the schema's model in batches, in the order of the file, from its beginning.
    ///
    /// Starts [`Source::losses`] anew. Only the columns that the schema asks for are decoded, a few
    /// batches ahead, on a thread that ends with the iterator. A file without a row of the model ends
    /// in [`Error::NoRows`].
    ///
    /// # Errors
    /// When the file cannot be opened, or is not what its name says.
    pub fn batches(&self, schema: &Arc<Schema>) -> Result<Batches, Error> {
        let renamed = schema.file_names.iter().map(|(name, from)| (name.as_str(), from.as_str()));
        let pass = self.pass(&schema.model, renamed, Some(schema))?;
        let (schema, path) = (Arc::clone(schema), self.path.clone());
        let unexpected = Arc::clone(&self.unexpected);
        let decoded = pass.map(move |read| {
            let (progress, step) = read?;
            let batch = batch(&schema, step, &unexpected);
            let batch = batch.map_err(|source| Error::Rows { path: path.clone(), source })?;
            Ok((progress, batch))
        });
        Ok(Batches { decoded: self.ahead(decoded)?, path: self.path.clone(), hook: self.hook.clone() })
    }

    /// The items up to the first error, made ahead.
    fn ahead<T: Send + 'static>(
        &self,
        mut items: impl Iterator<Item = Result<T, Error>> + Send + 'static,
    ) -> Result<Ahead<Result<T, Error>>, Error> {
        let mut failed = false;
        let until_error = std::iter::from_fn(move || {
            let item = if failed { None } else { items.next() };
            failed = matches!(item, Some(Err(_)));
            item
        });
        Ahead::start(until_error.fuse()).map_err(|source| self.io(source))
    }

    fn tell(&self, progress: Progress) {
        if let Some(hook) = &self.hook {
            hook(progress);
        }
    }

    /// What the newest pass lost so far, in the batches decoded ahead too.
    #[must_use]
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// The first line that the newest pass could not read.
    #[must_use]
    pub fn first_rejection(&self) -> Option<Rejection> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Columns of the file, or features of its records, that the schema of the newest pass does not know;
    /// last, as `(others)`, those that are too many to name. What is known of rows beside their features,
    /// such as `label`, is none of them.
    #[must_use]
    pub fn unexpected(&self) -> Vec<String> {
        self.unexpected.names()
    }

    /// A walk that decodes what the schema asks for, or everything.
    fn pass<'a>(
        &self,
        model: &str,
        names: impl Iterator<Item = (&'a str, &'a str)>,
        schema: Option<&Schema>,
    ) -> Result<Pass, Error> {
        self.losses.reset();
        self.unexpected.clear();
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let bytes = Arc::new(AtomicU64::new(0));
        let model_column = model_column(names);
        let choose = schema.map(|schema| {
            let model_column = model_column.as_deref();
            move |names: &[&str]| {
                self.unexpected.add(Batch::columns_unknown(schema, names.iter().copied()));
                columns_read(schema, model_column, names)
            }
        });
        let choice = choose.as_ref().map(|choose| choose as &dyn Fn(&[&str]) -> Vec<usize>);
        let (reader, total) = self.reader(&bytes, choice)?;
        Ok(Pass {
            path: self.path.clone(),
            format: self.format,
            model: model.to_owned(),
            model_column,
            reader,
            total,
            bytes,
            losses: Arc::clone(&self.losses),
            first: Arc::clone(&self.first),
            rows: 0,
            kept: 0,
            others: BTreeSet::new(),
        })
    }

    fn reader(&self, bytes: &Arc<AtomicU64>, choice: Choice<'_>) -> Result<(Reader, Total), Error> {
        let file = self.file()?;
        let damaged = |error: ArrowError| damaged(&self.path, self.format, &error);
        Ok(match self.format {
            Format::Parquet => {
                let (tables, rows) = open::parquet(file, choice).map_err(damaged)?;
                (Reader::Tables(tables), rows.map_or(Total::Unknown, Total::Rows))
            }
            Format::Arrow => (Reader::Tables(open::ipc(file, choice).map_err(damaged)?), Total::Unknown),
            Format::Csv => {
                let tables = open::csv(file, Arc::clone(bytes), choice).map_err(damaged)?;
                (Reader::Tables(tables), Total::Bytes(self.length))
            }
            Format::Ndjson => {
                let counted = BufReader::with_capacity(BUFFER_BYTES, Counted::new(file, Arc::clone(bytes)));
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

/// The columns that batches of the schema need, and the one that says whose rows they are.
fn columns_read(schema: &Schema, model_column: Option<&str>, names: &[&str]) -> Vec<usize> {
    let mut columns = Batch::columns_read(schema, names.iter().copied());
    columns.extend(names.iter().position(|name| model_column == Some(*name)));
    columns.into_iter().collect()
}

/// The batches of one pass over a file; ends after the first error.
pub struct Batches {
    decoded: Ahead<Result<(Progress, Batch), Error>>,
    path: PathBuf,
    hook: Option<Hook>,
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // Bounded by the file: a read without a row of this model is skipped, not answered.
        for decoded in self.decoded.by_ref() {
            match decoded {
                Err(error) => return Some(Err(error)),
                Ok((progress, batch)) => {
                    if let Some(hook) = &self.hook {
                        hook(progress);
                    }
                    if !batch.is_empty() {
                        return Some(Ok(batch));
                    }
                }
            }
        }
        None
    }
}

fn batch(schema: &Arc<Schema>, step: Step, unexpected: &Unexpected) -> Result<Batch, record::Error> {
    match step {
        Step::Table { table, first_row, kept } => {
            Batch::from_arrow(schema, &table).map_err(|error| place(error, first_row, kept.as_ref()))
        }
        Step::Records(records) => {
            let mut builder = BatchBuilder::new(Arc::clone(schema));
            records.iter().for_each(|record| builder.push(record));
            let (batch, unknown) = builder.finish()?;
            unexpected.add(unknown.keys().map(String::as_str));
            Ok(batch)
        }
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
