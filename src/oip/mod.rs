//! Open Inference Protocol v2 over REST: its messages as serde types, tables out of tensors, and
//! whether an answer is the expected one.
//!
//! A model service parses requests and writes answers with these types; a tap reads both. Numbers
//! are doubles here, as in every record: integers beyond 2^53 lose their last digits.

mod compare;
mod data;
mod message;
mod table;

pub use compare::{
    Compared, Expected, KnownAnswer, Part, Tolerance, Wrong, are_other, compare, compare_predictions,
};
pub use message::{Datatype, ErrorBody, InferRequest, InferResponse, RequestedOutput, Tensor};
pub use table::{Feature, table};

/// What the `id` of a request with a known answer begins with.
pub const KNOWN_ID: &str = "silentry-known-";
/// What the `id` of a request to a pinned copy begins with.
pub const PINNED_ID: &str = "silentry-pinned-";

/// Whether a request of this `id` was sent by silentry itself, and is nobody's traffic.
#[must_use]
pub fn is_own(id: &str) -> bool {
    id.starts_with(KNOWN_ID) || id.starts_with(PINNED_ID)
}

/// Why a body is no inference message, or no table.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the JSON of such a message.
    #[error("{message}: {source}")]
    Json {
        /// Which message it should be.
        message: &'static str,
        /// What the parser said, with line and column.
        source: serde_json::Error,
    },
    /// A shape and data that do not belong together.
    #[error("tensor `{tensor}`: shape {shape:?} means {expected} elements, found {found}")]
    Elements {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// The product of the shape.
        expected: String,
        /// Elements of `data`.
        found: usize,
    },
    /// A shape that is no column and no table.
    #[error("tensor `{tensor}`: shape {shape:?}, expected {expected}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// What it should be.
        expected: String,
    },
    /// No tensor at all.
    #[error("no tensors, expected one of shape [rows, columns] or one a column")]
    NoTensors,
    /// Two tensors of one name.
    #[error("tensor `{0}` appears twice")]
    Twice(String),
    /// An element that is no number.
    #[error("tensor `{tensor}`: element {element} is {found}, expected a number")]
    NotANumber {
        /// The tensor.
        tensor: String,
        /// The element, row-major from 0.
        element: usize,
        /// What it is.
        found: &'static str,
    },
}
