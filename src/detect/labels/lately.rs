use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{Ratio, Timestamp, whole};

/// Labels by which is told how many cannot be scored.
const LABELS_MAX: usize = 400;
/// The time that counts as lately, in so many parts.
const PARTS: i64 = 64;

/// What came lately. What labels showed long ago, however many they were, says nothing of now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lately {
    /// Whether the last labels could be scored, the oldest first.
    scored: VecDeque<bool>,
    /// Judged requests by when their rows were answered: in microseconds, rounded down to a part of the time that
    /// counts. The newest parts only.
    requests: BTreeMap<i64, u64>,
}

impl Lately {
    /// Takes a label that could be scored, or not.
    pub(super) fn label(&mut self, is_scored: bool) {
        self.scored.push_back(is_scored);
        if self.scored.len() > LABELS_MAX {
            self.scored.pop_front();
        }
    }

    /// The part of the last labels that could not be scored; nothing of none.
    pub(super) fn unscored(&self) -> Option<Ratio> {
        let unscored = self.scored.iter().filter(|is_scored| !**is_scored).count();
        Ratio::of(whole(unscored), whole(self.scored.len()))
    }

    /// Takes a judged request whose rows were answered then, where so much time counts as lately.
    pub(super) fn request(&mut self, answered_at: Timestamp, lately: Duration) {
        let part = i64::try_from(lately.as_micros()).unwrap_or(i64::MAX) / PARTS;
        let part = part.max(1);
        let from = answered_at.as_micros().div_euclid(part).saturating_mul(part);
        *self.requests.entry(from).or_insert(0) += 1;
        // One part more than the whole, for the one that has just begun.
        while i64::try_from(self.requests.len()).unwrap_or(i64::MAX) > PARTS + 1 {
            self.requests.pop_first();
        }
    }

    /// Judged requests whose rows were surely answered since then.
    pub(super) fn requests_since(&self, fresh: Timestamp) -> u64 {
        self.requests.range(fresh.as_micros()..).map(|(_, requests)| requests).sum()
    }

    /// The requests begin anew; how labels come is no matter of an alarm.
    pub(super) fn forget_requests(&mut self) {
        self.requests.clear();
    }
}
