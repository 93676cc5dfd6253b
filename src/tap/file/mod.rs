//! Recorded traffic: Parquet, CSV, Arrow IPC and NDJSON files as batches.

mod ahead;
mod open;
mod pass;
mod source;
#[cfg(test)]
mod tests;
mod unexpected;

pub use open::Format;
pub use pass::Progress;
pub use source::{Batches, Source};

use std::path::PathBuf;

use super::format::ndjson::Rejection;

/// Why a file gives no rows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that says nothing about the format.
    #[error("`{}`: the format is told by the extension, expected one of {}", path.display(), Format::extensions())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be opened or read.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not of the format that its name says, or damaged.
    #[error("`{}`: not readable as {format}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should be.
        format: Format,
        /// What the reader said.
        reason: String,
    },
    /// Its columns or cells do not make rows.
    #[error("`{}`: {source}", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// Why.
        source: crate::record::Error,
    },
    /// It holds no row of the model.
    #[error("`{}`: no row of model `{model}`{}", path.display(), why(models, rejection.as_ref()))]
    NoRows {
        /// The file.
        path: PathBuf,
        /// The model asked for.
        model: String,
        /// Other models that it has rows of, some of them.
        models: Vec<String>,
        /// The first line that could not be read.
        rejection: Option<Rejection>,
    },
}

fn why(models: &[String], rejection: Option<&Rejection>) -> String {
    let others =
        if models.is_empty() { String::new() } else { format!(", but of `{}`", models.join("`, `")) };
    let line = rejection.map_or_else(String::new, |r| format!("; {r}"));
    format!("{others}{line}")
}
