//! Files on disk that are whole or absent: atomic writes, listing, kept versions.
//!
//! Nothing here knows what a file holds. One process owns a folder at a time.

mod dir;
mod file;
mod versions;

use std::path::PathBuf;

pub use dir::{Dir, NAME_BYTES_MAX};
pub use file::{check_file, write_file};

/// What a folder refuses or cannot do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that could leave the folder, be hidden, or not be a file's name everywhere.
    #[error(
        "`{0}` is no file name, expected 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, `.`, `_`, `-`, not starting with `.`"
    )]
    Name(String),
    /// A file larger than its reader takes.
    #[error("`{path}` holds {bytes} bytes, expected at most {bytes_max}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The reader's cap.
        bytes_max: u64,
    },
    /// More entries than a listing takes.
    #[error("`{path}` holds more than {entries_max} entries")]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// The cap.
        entries_max: usize,
    },
    /// The system said no.
    #[error("cannot {act} `{path}`: {source}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}
