use serde::Serialize;

use super::join::Fate;
use super::{Counted, Labels};
use crate::units::Timestamp;

/// What became of a model's labels since the start: each ends as exactly one of the first six.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LabelsView {
    /// The first of a row that was seen; those that a record itself carries among them.
    pub joined: u64,
    /// The same came before: ignored.
    pub duplicate: u64,
    /// Another came before: the first was kept.
    pub conflict: u64,
    /// Its row was seen, longer or more rows ago than is waited for.
    pub expired: u64,
    /// No row of that name came, five minutes later either: sampled away, lost, or of before the start.
    pub unknown_request: u64,
    /// What records carried as a label, and is none.
    pub malformed: u64,
    /// Labels that wait for their row.
    pub waiting: u64,
    /// Labels of rows that no baseline judges: of a version without one, or of before the present one.
    pub not_judged: u64,
    /// Rows that wait for a label, or had theirs and are still known.
    pub rows: u64,
    /// When the oldest of these came: of labels of earlier rows most find nothing.
    pub oldest_row: Option<Timestamp>,
    /// Rows that left without a label.
    pub rows_unlabelled: u64,
    /// Those of them that left before their time was over, to make room for others.
    pub rows_evicted: u64,
    /// Rows whose request and index came before: the first answer was kept.
    pub rows_repeated: u64,
    /// Rows without a `request_id`, or with one of more than 1,024 bytes: no later label can be of them.
    pub rows_without_request: u64,
    /// Since when rows are remembered: the start where a baseline has labels, else the first label; an orderly
    /// restart keeps them. Null where none is.
    pub since: Option<Timestamp>,
}

impl Labels {
    pub(in crate::service) fn view(&self) -> LabelsView {
        let n = |fate| self.counts.get(&fate).copied().unwrap_or(0);
        let Counted { nobodys, repeated, nameless, waited, evicted, since, .. } = &self.counted;
        LabelsView {
            joined: n(Fate::Joined),
            duplicate: n(Fate::Duplicate),
            conflict: n(Fate::Conflict),
            expired: n(Fate::Expired),
            unknown_request: n(Fate::Unknown),
            malformed: n(Fate::Malformed),
            waiting: self.join.waiting(),
            not_judged: *nobodys,
            rows: self.join.len(),
            oldest_row: self.join.oldest(),
            rows_unlabelled: waited + evicted,
            rows_evicted: *evicted,
            rows_repeated: *repeated,
            rows_without_request: *nameless,
            since: *since,
        }
    }
}
