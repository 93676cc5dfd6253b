use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Rows decoded at once.
pub(super) const BATCH_ROWS: usize = 8_192;

/// A file format, told by the extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values with a header line.
    Csv,
    /// Arrow IPC, file or stream.
    Arrow,
    /// One record a line.
    Ndjson,
}

const EXTENSIONS: [(&str, Format); 8] = [
    ("parquet", Format::Parquet),
    ("csv", Format::Csv),
    ("arrow", Format::Arrow),
    ("arrows", Format::Arrow),
    ("feather", Format::Arrow),
    ("ipc", Format::Arrow),
    ("ndjson", Format::Ndjson),
    ("jsonl", Format::Ndjson),
];

impl Format {
    /// The format of a file of this name.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        EXTENSIONS.iter().find(|(name, _)| *name == extension).map(|(_, format)| *format)
    }

    pub(super) fn extensions() -> String {
        EXTENSIONS.map(|(name, _)| format!(".{name}")).join(", ")
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Arrow => "Arrow IPC",
            Self::Ndjson => "NDJSON",
        })
    }
}

/// A reader that counts, so that progress can be told while a decoder owns it.
#[derive(Debug)]
pub(super) struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    pub(super) const fn new(inner: R, read: Arc<AtomicU64>) -> Self {
        Self { inner, read }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(n)
    }
}

/// The tables of a columnar file, one after another.
pub(super) type Tables = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// Opens Parquet; answers its number of rows as well.
pub(super) fn parquet(file: File) -> Result<(Tables, Option<u64>), ArrowError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).ok();
    let reader = builder.with_batch_size(BATCH_ROWS).build()?;
    Ok((Box::new(reader), rows))
}

/// Opens CSV. Every column is text: what a cell is, is judged cell by cell by those who know the
/// schema, so that one bad cell never stops its neighbours.
pub(super) fn csv(mut file: File, read: Arc<AtomicU64>) -> Result<Tables, ArrowError> {
    let header = arrow::csv::reader::Format::default().with_header(true);
    let (names, _) = header.infer_schema(BufReader::new(&mut file), Some(0))?;
    file.rewind()?;
    let fields: Vec<Field> =
        names.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true)).collect();
    let reader = arrow::csv::ReaderBuilder::new(Arc::new(ArrowSchema::new(fields)))
        .with_header(true)
        .with_batch_size(BATCH_ROWS)
        .build(Counted::new(file, read))?;
    Ok(Box::new(reader))
}

/// Opens Arrow IPC: the file format begins with a magic word, a stream does not.
pub(super) fn ipc(mut file: File) -> Result<Tables, ArrowError> {
    const MAGIC: &[u8] = b"ARROW1";
    let mut start = Vec::new();
    (&mut file).take(6).read_to_end(&mut start)?;
    file.rewind()?;
    if start == MAGIC {
        Ok(Box::new(FileReader::try_new(BufReader::new(file), None)?))
    } else {
        Ok(Box::new(StreamReader::try_new(BufReader::new(file), None)?))
    }
}
