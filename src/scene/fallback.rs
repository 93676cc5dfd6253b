use std::sync::{Mutex, PoisonError};

use crate::units::Timestamp;

/// Entries beyond this are counted, not kept: the first ones are what a run is judged by.
const ENTRIES_MAX: usize = 10_000;

/// One row for which the service put something else where the store's features belonged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// When the model answered; the same instant as the record's.
    pub at: Timestamp,
    /// The request.
    pub request_id: String,
    /// Whose features.
    pub wine: i64,
    /// Why, such as `timed out`.
    pub reason: String,
}

/// The service's own log of substitutions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FallbackLog {
    /// The first ones, in order.
    pub entries: Vec<Fallback>,
    /// All of them.
    pub total: u64,
}

/// The log while the service runs.
#[derive(Debug, Default)]
pub(super) struct Fallbacks(Mutex<FallbackLog>);

impl Fallbacks {
    pub(super) fn note(&self, fallback: Fallback) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.total += 1;
        if log.entries.len() < ENTRIES_MAX {
            log.entries.push(fallback);
        }
    }

    pub(super) fn log(&self) -> FallbackLog {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
