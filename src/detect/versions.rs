//! What a monitor does with the rows of a version that its baseline is not of.

use super::stream::Role;
use super::{Calibration, Finding, Monitor};
use crate::record::Batch;
use crate::units::Timestamp;

impl Calibration {
    /// The same without the model's answers: what features look like is carried over to another version,
    /// what a version answers is its own.
    #[must_use]
    pub fn inputs_only(mut self) -> Self {
        self.streams.retain(|stream| stream.role != Role::Output);
        self
    }
}

impl Monitor {
    /// Counts rows that arrive now and that another monitor judges, for the row rate alone: they are
    /// traffic of the model all the same, and a rollout is no silence.
    pub fn count_at(&mut self, batch: &Batch, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (row, said) in batch.meta().ts().iter().enumerate() {
            if self.state.steps.begins(batch, row) && !self.state.is_short {
                self.count_row((*said).min(now), &mut findings);
            }
        }
        findings
    }
}
