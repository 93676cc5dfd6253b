//! What one inference looked like: the schema of a model's traffic and checked batches of rows.
//!
//! Nothing here knows where rows came from. A row that cannot be read never reaches this room; a
//! cell that cannot be read does, as [`Cell::WrongType`].

mod batch;
mod columnar;
mod columnar_meta;
mod file_names;
#[cfg(test)]
mod fixture;
mod infer;
mod json;
mod meta;
mod meta_builder;
mod names;
mod published;
mod schema;
mod schema_file;
mod vector;
mod word;

pub use batch::{Batch, BatchBuilder, Cell, Cells, Values};
pub use infer::{DISTINCT_MAX, Observed, infer};
pub use json::{Prediction, Record, RowStatus, Scalar, Status};
pub use meta::{Meta, Tag};
pub use names::{NAME_CHARS_MAX, cut_name};
pub use published::json_schema;
pub use schema::{Column, Contract, Kind, Role, Schema};
pub use schema_file::{ColumnSpec, SchemaFile};
pub use vector::{COORDINATES_MAX, PROJECTIONS, VectorPart};
pub use word::word;

/// What a schema or a batch cannot be made of.
#[derive(Debug, thiserror::Error, Clone, PartialEq)]
pub enum Error {
    /// Two columns of one name.
    #[error("column `{0}` appears twice")]
    DuplicateColumn(String),
    /// A schema without features.
    #[error("model `{0}` has no input column: nothing to watch")]
    NoInputs(String),
    /// Columns of different lengths.
    #[error("column `{column}` has {found} rows, expected {expected}")]
    Length {
        /// The column that differs.
        column: String,
        /// Its length.
        found: usize,
        /// The batch's length.
        expected: usize,
    },
    /// A group that alerts could not be told by.
    #[error("column `{column}` is in group `{group}`, which {reason}: expected a group of its own")]
    Group {
        /// The column.
        column: String,
        /// Its group.
        group: String,
        /// What is wrong with that.
        reason: String,
    },
    /// A contract that no value can keep.
    #[error("column `{column}`: contract {rule}")]
    Contract {
        /// The column's name.
        column: String,
        /// What is wrong with the rule.
        rule: String,
    },
    /// An embedding that cannot be watched.
    #[error("column `{column}`: an embedding that {reason}")]
    Embedding {
        /// The embedding.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A schema file that cannot be read.
    #[error("schema file: {0}")]
    SchemaFile(String),
    /// A schema file that speaks of what the data does not have.
    #[error("schema file: {place}: the data has no column `{name}`; {nearest}")]
    NoSuchColumn {
        /// The field that names it.
        place: String,
        /// The name.
        name: String,
        /// What the data has that is spelled much like it.
        nearest: String,
    },
    /// Columns without a single value: their kind cannot be seen.
    #[error("{} hold no value in any row: state `kind` in a schema file, or `ignore` them", list(.0))]
    NoValues(Vec<String>),
    /// Cells of a type that no kind of column holds.
    #[error(
        "column `{column}` holds {found}, expected numbers, booleans, text or vectors of one dimension; \
         `ignore` it in a schema file"
    )]
    Unsupported {
        /// The column.
        column: String,
        /// What it holds.
        found: String,
    },
    /// A declared kind that most cells contradict.
    #[error("column `{column}`: kind is declared as {declared}, but {found}")]
    KindContradicted {
        /// The column.
        column: String,
        /// What the schema file says.
        declared: &'static str,
        /// What was seen.
        found: String,
    },
    /// More dimensions than are kept.
    #[error(
        "the data has {} columns of dimensions, expected at most {limit}: {}; \
         rename one to a column of role `meta` in a schema file to leave it out",
        .names.len(), quoted(.names)
    )]
    TooManyDims {
        /// The columns.
        names: Vec<String>,
        /// How many are kept.
        limit: usize,
    },
    /// A table that does not say when its rows happened.
    #[error(
        "the data has no column `{0}`: every row needs its time, as RFC 3339 or integer milliseconds since 1970"
    )]
    NoTime(String),
    /// A cell that must be right and is not.
    #[error("column `{column}`, row {row}: found {found}, expected {expected}")]
    Cell {
        /// The column.
        column: String,
        /// The row, from 0.
        row: usize,
        /// What the cell holds.
        found: String,
        /// What it must hold.
        expected: &'static str,
    },
}

fn list(names: &[String]) -> String {
    format!("{} {}", if names.len() == 1 { "column" } else { "columns" }, quoted(names))
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
