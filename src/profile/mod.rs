//! Sketches of all columns of one model over one window of time.

mod window;

pub use window::{Profile, Window};

/// What a profile cannot do.
#[derive(Debug, thiserror::Error, Clone, PartialEq)]
pub enum Error {
    /// Rows or a profile of another schema.
    #[error("rows of model `{found}` do not follow the schema of this profile of model `{expected}`")]
    SchemasDiffer {
        /// The model whose rows came.
        found: String,
        /// The model of the profile.
        expected: String,
    },
    /// A window that ends before it starts, or at once.
    #[error("a window from {from} to {to} holds no time")]
    EmptyWindow {
        /// Its first instant.
        from: crate::units::Timestamp,
        /// The first instant after it.
        to: crate::units::Timestamp,
    },
    /// Stored sketches that do not belong to the stored schema.
    #[error("the stored sketches do not fit the columns of model `{0}`")]
    NotOfSchema(String),
    /// Two sketches that do not merge.
    #[error(transparent)]
    Sketch(#[from] crate::sketch::Error),
    /// A stored schema that is none.
    #[error(transparent)]
    Schema(#[from] crate::record::Error),
}
