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
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Rows decoded at once, in a file of so few columns that [`CELLS_MAX`] allows it.
pub(super) const ROWS_MAX: usize = 8_192;

/// Cells decoded at once: 16 MiB of numbers, of which a few lots are in memory together.
const CELLS_MAX: usize = 1 << 21;

/// Rows of so many columns decoded at once.
pub(super) fn batch_rows(columns: usize) -> usize {
    (CELLS_MAX / columns.max(1)).clamp(1, ROWS_MAX)
}

/// Bytes read at once.
pub(super) const BUFFER_BYTES: usize = 1 << 16;

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

/// Which columns to read, by the names of all; all of them when there is nothing to choose by.
pub(super) type Choice<'a> = Option<&'a dyn Fn(&[&str]) -> Vec<usize>>;

fn chosen(choice: Choice<'_>, schema: &ArrowSchema) -> Option<Vec<usize>> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    choice.map(|choose| choose(&names))
}

fn width(chosen: Option<&Vec<usize>>, schema: &ArrowSchema) -> usize {
    chosen.map_or_else(|| schema.fields().len(), Vec::len)
}

/// Opens Parquet; answers its number of rows as well.
pub(super) fn parquet(file: File, choice: Choice<'_>) -> Result<(Tables, Option<u64>), ArrowError> {
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).ok();
    let chosen = chosen(choice, builder.schema());
    let batch_rows = batch_rows(width(chosen.as_ref(), builder.schema()));
    if let Some(columns) = chosen {
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        builder = builder.with_projection(mask);
    }
    Ok((Box::new(builder.with_batch_size(batch_rows).build()?), rows))
}

/// Opens CSV. Every column is text: what a cell is, is judged cell by cell by those who know the
/// schema, so that one bad cell never stops its neighbours.
pub(super) fn csv(mut file: File, read: Arc<AtomicU64>, choice: Choice<'_>) -> Result<Tables, ArrowError> {
    let header = arrow::csv::reader::Format::default().with_header(true);
    let (names, _) = header.infer_schema(BufReader::new(&mut file), Some(0))?;
    file.rewind()?;
    let chosen = chosen(choice, &names);
    let batch_rows = batch_rows(width(chosen.as_ref(), &names));
    let fields: Vec<Field> =
        names.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true)).collect();
    let mut builder = arrow::csv::ReaderBuilder::new(Arc::new(ArrowSchema::new(fields)))
        .with_header(true)
        .with_batch_size(batch_rows);
    if let Some(columns) = chosen {
        builder = builder.with_projection(columns);
    }
    let counted = BufReader::with_capacity(BUFFER_BYTES, Counted::new(file, read));
    Ok(Box::new(builder.build_buffered(counted)?))
}

/// Opens Arrow IPC: the file format begins with a magic word, a stream does not.
pub(super) fn ipc(mut file: File, choice: Choice<'_>) -> Result<Tables, ArrowError> {
    const MAGIC: &[u8] = b"ARROW1";
    let mut start = Vec::new();
    (&mut file).take(6).read_to_end(&mut start)?;
    file.rewind()?;
    let is_file = start == MAGIC;
    let schema = if is_file {
        FileReader::try_new(BufReader::new(&mut file), None)?.schema()
    } else {
        StreamReader::try_new(BufReader::new(&mut file), None)?.schema()
    };
    file.rewind()?;
    let chosen = chosen(choice, &schema);
    let batch_rows = batch_rows(width(chosen.as_ref(), &schema));
    let file = BufReader::with_capacity(BUFFER_BYTES, file);
    if is_file {
        Ok(Box::new(sliced(FileReader::try_new(file, chosen)?, batch_rows)))
    } else {
        Ok(Box::new(sliced(StreamReader::try_new(file, chosen)?, batch_rows)))
    }
}

/// Tables cut to lots of `rows`: a writer may have put a whole day into one.
fn sliced(
    tables: impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send,
    rows: usize,
) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send {
    tables.flat_map(move |table| -> Tables {
        match table {
            Err(error) => Box::new(std::iter::once(Err(error))),
            Ok(table) => {
                let length = table.num_rows();
                let slice = move |from| Ok(table.slice(from, rows.min(length - from)));
                Box::new((0..length).step_by(rows).map(slice))
            }
        }
    })
}
