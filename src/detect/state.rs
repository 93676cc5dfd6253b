use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ledger::{Evidence, Step};
use super::rate::Rate;
use super::recovery::Recovery;
use crate::units::Timestamp;

/// All that changes with rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Rows seen.
    pub(super) row: u64,
    /// Rows judged: those that the model answered.
    pub(super) judged: u64,
    pub(super) last: Option<Timestamp>,
    pub(super) last_judged: Option<Timestamp>,
    /// The judged row after which the unlatched streams began.
    pub(super) began: u64,
    /// No row for too long.
    pub(super) is_silent: bool,
    /// By stream.
    pub(super) evidence: Vec<Evidence>,
    pub(super) rate: Option<Rate>,
    pub(super) groups: Vec<Group>,
}

/// What the streams of a group are to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    /// Features from one upstream.
    Input,
    /// Its answers.
    Output,
    /// The row rate.
    Traffic,
}

/// Streams that alarm together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) streams: Vec<usize>,
    pub(super) latch: Option<Latch>,
}

/// A group after its alarm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Latch {
    /// Detectors whose own evidence has reached the threshold, by position in [`KINDS`].
    pub(super) fired: BTreeSet<usize>,
    pub(super) recovery: Recovery,
}

impl State {
    /// Starts some streams anew.
    pub(super) fn restart(&mut self, streams: &[usize], step: Step) {
        self.began = step.judged;
        for stream in streams {
            if let Some(evidence) = self.evidence.get_mut(*stream) {
                evidence.reset(step.start());
            }
        }
    }
}
