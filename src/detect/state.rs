use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};

use serde::{Deserialize, Serialize};

use super::ledger::{Evidence, Hit, Step};
use super::rate::Rate;
use super::recovery::Recovery;
use crate::units::{Timestamp, count, whole};

/// All that changes with rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Rows seen.
    pub(super) row: u64,
    /// Requests judged: those that the model answered.
    pub(super) judged: u64,
    /// When the last judged row was seen: on arrival, or by its own time in a replay.
    pub(super) last_seen: Option<Timestamp>,
    /// The latest time of a judged row.
    latest: Option<Timestamp>,
    /// Judged rows in a row that lie far before it.
    behind: u32,
    /// The request of the last row, as a hash.
    request: Option<u64>,
    /// The rows of a request that may have more.
    pub(super) pending: Pending,
    /// The judged row after which the unlatched streams began.
    pub(super) began: u64,
    /// No row for too long.
    pub(super) is_silent: bool,
    /// Too few of the rows on offer are judged.
    #[serde(default)]
    pub(super) is_short: bool,
    /// By stream.
    pub(super) evidence: Vec<Evidence>,
    pub(super) rate: Option<Rate>,
    pub(super) groups: Vec<Group>,
}

/// Answered rows of one request, waiting for the others: they make one step together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The bin of each row in each stream, row by row.
    bins: Vec<usize>,
    rows: usize,
    /// The last row's time.
    pub(super) ts: Option<Timestamp>,
    /// By how much the rows lengthen the run.
    pub(super) length: f64,
}

impl Pending {
    /// More rows than this make a step of their own.
    pub(super) const ROWS_MAX: usize = 4_096;

    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row by its bin in each stream.
    pub(super) fn push(&mut self, bins: impl Iterator<Item = usize>) {
        self.bins.extend(bins);
        self.rows += 1;
    }

    /// The bins of one of `streams`, each with its share of the rows.
    pub(super) fn hits(&self, stream: usize, streams: usize, hits: &mut Vec<Hit>) {
        hits.clear();
        let share = 1.0 / count(whole(self.rows.max(1)));
        for bin in self.bins.iter().skip(stream).step_by(streams.max(1)) {
            match hits.iter_mut().find(|hit| hit.bin == *bin) {
                Some(hit) => hit.share += share,
                None => hits.push(Hit { bin: *bin, share }),
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.bins.clear();
        (self.rows, self.ts, self.length) = (0, None, 0.0);
    }
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Latch {
    /// Detectors whose own evidence has reached the threshold, by position in [`KINDS`].
    pub(super) fired: BTreeSet<usize>,
    pub(super) recovery: Recovery,
    /// Only a declared rule was broken: the group goes on betting, and explains nothing.
    pub(super) by_contract_only: bool,
    /// The judged row at which it began.
    pub(super) since: u64,
    /// Somebody said that the change is meant: it stays latched for good, and says nothing more.
    #[serde(default)]
    pub(super) accepted: bool,
}

impl Latch {
    pub(super) fn new(step: Step) -> Self {
        Self {
            fired: BTreeSet::new(),
            recovery: Recovery::default(),
            by_contract_only: false,
            since: step.judged,
            accepted: false,
        }
    }
}

impl Group {
    /// Whether its change was accepted.
    pub(super) fn is_accepted(&self) -> bool {
        self.latch.as_ref().is_some_and(|latch| latch.accepted)
    }

    /// Whether its evidence may raise an alarm.
    pub(super) fn is_free(&self) -> bool {
        self.latch.as_ref().is_none_or(|latch| latch.by_contract_only)
    }
}

/// So many rows far before the latest time show that the latest was wrong, and not they.
const BEHIND_ROWS: u32 = 64;

impl State {
    /// At rest.
    pub(super) fn new(evidence: Vec<Evidence>, rate: Option<Rate>, groups: Vec<Group>) -> Self {
        Self {
            row: 0,
            judged: 0,
            last_seen: None,
            latest: None,
            behind: 0,
            request: None,
            pending: Pending::default(),
            began: 0,
            is_silent: true,
            is_short: false,
            evidence,
            rate,
            groups,
        }
    }

    /// Lets the rows' time pass to `ts`; gives the seconds by which that lengthens the run, known
    /// before the row's values are looked at.
    ///
    /// Time is the latest that any row said, so senders with clocks apart do not count it twice. A leap
    /// of more than `patience` is a silence or a wrong clock and lengthens nothing: it can only make
    /// false alarms rarer.
    pub(super) fn pass(&mut self, ts: Timestamp, patience: f64) -> f64 {
        let latest = *self.latest.get_or_insert(ts);
        let gap = ts.seconds_since(latest);
        self.behind = if gap < -patience { self.behind + 1 } else { 0 };
        if gap > 0.0 || self.behind >= BEHIND_ROWS {
            self.latest = Some(ts);
            self.behind = 0;
        }
        if gap > 0.0 && gap <= patience { gap } else { 0.0 }
    }

    /// Whether a row is the first of its request; a row without a request is one by itself.
    pub(super) fn starts_request(&mut self, request: Option<&str>) -> bool {
        let hash = request.map(|id| {
            let mut hasher = DefaultHasher::new();
            hasher.write(id.as_bytes());
            hasher.finish()
        });
        let starts = hash.is_none() || hash != self.request;
        self.request = hash;
        starts
    }

    /// Goes on after a time of which nothing is known: it is no silence of the traffic's.
    pub(super) fn resume(&mut self) {
        self.is_silent = true;
        self.is_short = false;
        self.last_seen = None;
        if let Some(rate) = &mut self.rate {
            rate.resume();
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds by which rows at these milliseconds lengthen the run.
    fn lengths(millis: impl IntoIterator<Item = i64>) -> f64 {
        let mut state = State::new(Vec::new(), None, Vec::new());
        millis.into_iter().map(|ms| state.pass(Timestamp::from_millis(ms), 10.0)).sum()
    }

    /// Senders with clocks apart, rows out of order and single wrong clocks never count time twice.
    #[test]
    fn time_is_counted_once() {
        let apart = |offset: i64| (0..6_000).map(move |i| i * 10 + if i % 2 == 0 { 0 } else { offset });
        for offset in [0, 50, 500, 5_000] {
            let (counted, real) = (lengths(apart(offset)), 60.0 + count_seconds(offset));
            assert!(counted <= real && counted > 50.0, "{offset}: {counted}");
        }
        assert!(lengths([1_000, 0, 2_000, 0, 3_000]) <= 2.0);
        let one_wrong = (0..1_000).map(|i| if i == 500 { 0 } else { 1_000_000_000 + i * 10 });
        assert!(lengths(one_wrong) <= 10.0);
    }

    /// The rows of a request share one step: three in four at a bin are three quarters of a hit.
    #[test]
    fn rows_of_a_request_share_a_step() {
        let mut pending = Pending::default();
        for bins in [[0, 7], [0, 7], [0, 7], [1, 7]] {
            pending.push(bins.into_iter());
        }
        let mut hits = Vec::new();
        pending.hits(0, 2, &mut hits);
        assert_eq!(hits, [Hit { bin: 0, share: 0.75 }, Hit { bin: 1, share: 0.25 }]);
        pending.hits(1, 2, &mut hits);
        assert_eq!(hits, [Hit { bin: 7, share: 1.0 }]);
    }

    fn count_seconds(millis: i64) -> f64 {
        Timestamp::from_millis(millis).seconds_since(Timestamp::from_millis(0))
    }

    /// A row from the far future stops the time only until enough rows have said otherwise.
    #[test]
    fn a_wrong_future_heals() {
        let year = 31_557_600_000;
        let counted = lengths((0..2_000).map(|i| if i == 100 { year } else { i * 10 }));
        assert!(counted > 17.0 && counted <= 20.0, "{counted}");
    }

    /// Adjacent rows of one request are one request; rows without one are each their own.
    #[test]
    fn requests_begin_once() {
        let mut state = State::new(Vec::new(), None, Vec::new());
        let starts: Vec<bool> = [Some("a"), Some("a"), Some("b"), None, None, Some("b")]
            .map(|id| state.starts_request(id))
            .into();
        assert_eq!(starts, [true, false, true, true, true, true]);
    }
}
