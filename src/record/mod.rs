//! What one inference looked like: the schema of a model's traffic and checked batches of rows.
//!
//! Nothing here knows where rows came from. A row that cannot be read never reaches this room; a
//! cell that cannot be read does, as [`Cell::WrongType`].

mod batch;
mod json;
mod published;
mod schema;

pub use batch::{Batch, BatchBuilder, Cell, Cells, RowMeta, Values};
pub use json::{Prediction, Record, RowStatus, Scalar, Status};
pub use published::json_schema;
pub use schema::{Column, Contract, Kind, Role, Schema};

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
    /// A contract that no value can keep.
    #[error("column `{column}`: contract {rule}")]
    Contract {
        /// The column's name.
        column: String,
        /// What is wrong with the rule.
        rule: String,
    },
}
