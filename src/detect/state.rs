use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::rate::Rate;
use super::recovery::Recovery;
use super::stream::Role;
use crate::units::Timestamp;

/// Where a change seems to have begun.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    /// The row's number over all rows, from 1.
    pub(super) row: u64,
    /// The step's number over those that are judged, from 1.
    pub(super) judged: u64,
    pub(super) ts: Timestamp,
}

/// The moment of a step: its last row, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) row: u64,
    pub(super) judged: u64,
    pub(super) ts: Timestamp,
}

impl Step {
    /// A change that begins with this step.
    pub(super) const fn start(self) -> Start {
        Start { row: self.row, judged: self.judged, ts: self.ts }
    }
}

/// A step's number modulo 2^32.
pub(super) fn tick(judged: u64) -> u32 {
    u32::try_from(judged & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// All that changes with rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    /// Rows seen.
    pub(super) row: u64,
    /// Steps judged: requests, or runs of one entity, that the model answered.
    pub(super) judged: u64,
    /// When the last judged row was seen: on arrival, or by its own time in a replay.
    pub(super) last_seen: Option<Timestamp>,
    /// The latest time of a judged row.
    latest: Option<Timestamp>,
    /// Judged rows in a row that lie far before it.
    behind: u32,
    /// Whether steps may have several rows and must be waited for.
    pub(super) clustered: bool,
    /// The judged step after which the unlatched streams began.
    pub(super) began: u64,
    /// The seconds that the rows of the latest step brought so far, and those of the step before.
    pub(super) brought: f64,
    pub(super) before: f64,
    /// The seconds since then that rows brought.
    pub(super) passed: f64,
    /// No row for too long.
    pub(super) is_silent: bool,
    /// The last step lay in an hour that the baseline never saw.
    pub(super) in_unseen_hour: bool,
    /// Too few of the rows on offer are judged.
    pub(super) is_short: bool,
    /// By stream.
    pub(super) evidence: Vec<Evidence>,
    pub(super) rate: Option<Rate>,
    pub(super) groups: Vec<Group>,
    marks: Marks,
}

/// Which row and time a step had: exact for the latest, every second, fourth … of those before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Marks(VecDeque<(u64, u64, Timestamp)>);

impl Marks {
    /// Steps are known exactly for so long.
    const EXACT: u64 = 1_024;
    /// They are looked through after so many times as many.
    const THINNED_EVERY: u64 = 4;

    fn push(&mut self, step: Step) {
        if step.judged.is_multiple_of(Self::EXACT * Self::THINNED_EVERY) {
            // Of steps so many times older, one in so many.
            self.0.retain(|(judged, _, _)| {
                let times = (step.judged.saturating_sub(*judged) / Self::EXACT).max(1);
                judged.is_multiple_of(1 << times.ilog2())
            });
        }
        self.0.push_back((step.judged, step.row, step.ts));
    }

    /// The step with this number, or the latest known before it.
    fn at(&self, judged: u64) -> Option<Start> {
        let after = self.0.partition_point(|(known, _, _)| *known <= judged);
        let (known, row, ts) = self.0.get(after.saturating_sub(1))?;
        Some(Start { judged: *known, row: *row, ts: *ts })
    }
}

/// Streams that alarm together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) streams: Vec<usize>,
    pub(super) latch: Option<Latch>,
}

/// A group after its alarm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Latch {
    /// Detectors whose own evidence has reached the threshold, by position in [`KINDS`].
    pub(super) fired: BTreeSet<usize>,
    pub(super) recovery: Recovery,
    /// Only a declared rule was broken: the group goes on betting, and explains nothing.
    pub(super) by_contract_only: bool,
    /// The judged step at which it began.
    pub(super) since: u64,
    /// Somebody said that the change is meant: it stays latched for good, and says nothing more.
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
            clustered: false,
            began: 0,
            brought: 0.0,
            before: 0.0,
            passed: 0.0,
            is_silent: true,
            in_unseen_hour: false,
            is_short: false,
            evidence,
            rate,
            groups,
            marks: Marks::default(),
        }
    }

    /// A step was judged.
    pub(super) fn mark(&mut self, step: Step) {
        self.judged = step.judged;
        self.marks.push(step);
    }

    /// The step with this number modulo 2^32, none of them later than the last.
    pub(super) fn start_of(&self, tick_then: u32) -> Start {
        let ago = u64::from(tick(self.judged).wrapping_sub(tick_then));
        let judged = self.judged.saturating_sub(ago);
        self.marks.at(judged).unwrap_or(Start { row: 0, judged, ts: Timestamp::from_micros(0) })
    }

    /// Whether any group is latched.
    pub(super) fn any_latch(&self) -> bool {
        self.groups.iter().any(|g| g.latch.is_some())
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
        let length = if gap > 0.0 && gap <= patience { gap } else { 0.0 };
        self.passed += length;
        length
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
        (self.began, self.passed) = (step.judged, 0.0);
        for stream in streams {
            if let Some(evidence) = self.evidence.get_mut(*stream) {
                evidence.reset();
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

    /// The latest steps are known exactly, those long ago nearly.
    #[test]
    fn steps_are_remembered() {
        let mut state = State::new(Vec::new(), None, Vec::new());
        for judged in 1..=50_000_u64 {
            state.mark(Step { row: 2 * judged, judged, ts: Timestamp::from_millis(judged.cast_signed()) });
        }
        for judged in [50_000, 49_501, 49_000] {
            let start = state.start_of(tick(judged));
            assert_eq!((start.judged, start.row), (judged, 2 * judged));
        }
        let long_ago = state.start_of(tick(20_000));
        assert!((19_900..=20_000).contains(&long_ago.judged), "{long_ago:?}");
        assert!(state.marks.0.len() < 12_000);
    }
}
