//! Which rows belong together, and how many are looked at at once.

use std::ops::Range;

use super::contract::is_judged;
use crate::record::Batch;

/// Rows of one request beyond this begin a new step.
pub(super) const STEP_ROWS_MAX: usize = 4_096;
/// Rows that are looked at together.
const CHUNK_ROWS: usize = 1_024;

/// Rows in stretches that are looked at together.
pub(super) fn chunks(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.step_by(CHUNK_ROWS).map(move |from| from..end.min(from + CHUNK_ROWS))
}

/// Groups rows into steps: adjacent answered rows of one request or of one entity.
#[derive(Debug, Default, Clone)]
pub(super) struct Steps {
    request: Option<u64>,
    entity: Option<u64>,
}

impl Steps {
    /// Whether a row begins a step; a row of neither request nor entity is one by itself.
    pub(super) fn begins(&mut self, batch: &Batch, row: usize) -> bool {
        let request = batch.meta().request_id(row).map(super::bits::hash_of);
        let entity = batch.meta().entity(row).map(super::bits::hash_of);
        let goes_on =
            (request.is_some() && request == self.request) || (entity.is_some() && entity == self.entity);
        (self.request, self.entity) = (request, entity);
        !goes_on
    }
}

/// Numbers steps from 0, those with an answered row.
#[derive(Debug, Default, Clone)]
pub(super) struct Numbers {
    steps: Steps,
    seen: u64,
    /// Whether the current step has had an answered row.
    counted: bool,
}

impl Numbers {
    /// Steps with an answered row so far.
    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    /// The number of the step of a row, and whether the row is its first; nothing for a row that no
    /// model answered.
    pub(super) fn number(&mut self, batch: &Batch, row: usize) -> Option<(u64, bool)> {
        if self.steps.begins(batch, row) {
            self.counted = false;
        }
        if !is_judged(batch, row) {
            return None;
        }
        let first = !self.counted;
        self.seen += u64::from(first);
        self.counted = true;
        Some((self.seen - 1, first))
    }
}
