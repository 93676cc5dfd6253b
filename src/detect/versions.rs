//! What a monitor does with the rows of a version that its baseline is not of.

use super::{Calibration, Finding, Monitor};
use crate::record::Batch;
use crate::units::Timestamp;

impl Calibration {
    /// The same without the model's answers: what features look like is carried over to another version,
    /// what a version answers is its own.
    #[must_use]
    pub fn inputs_only(mut self) -> Self {
        self.streams.retain(|stream| !stream.is_output);
        self
    }
}

impl Monitor {
    /// Counts rows that arrive now and that another monitor judges, for the row rate alone: they are
    /// traffic of the model all the same, and a rollout is no silence.
    pub fn count_at(&mut self, batch: &Batch, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        for meta in batch.rows() {
            let ts = meta.ts.min(now);
            let is_counted = self.state.starts_request(meta.request_id.as_deref()) && !self.state.is_short;
            let row = self.state.row;
            if is_counted && self.state.rate.as_mut().is_some_and(|rate| rate.observe(row, ts)) {
                self.judge_rate(ts, &mut findings);
            }
        }
        findings
    }
}
