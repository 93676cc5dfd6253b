use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::units::{Timestamp, count};

/// The time over which lost rows are held against a model.
const WINDOW: Duration = Duration::from_secs(60);
/// The window moves in steps of this length.
const SLOT: Duration = Duration::from_secs(10);
/// Slots that a window can touch.
const SLOTS: usize = 7;
/// A larger share of rows lost leaves a model's streams undecided: a fault in the lost rows, or the
/// fault that loses them, would not be seen.
const LOST_SHARE_MAX: f64 = 0.01;

/// What became of a model's rows in the last minute, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct RecentRows {
    /// The length of the window in seconds.
    pub window_secs: u64,
    /// Rows that were taken in.
    pub taken: u64,
    /// Rows that were not: shed here, unreadable, or missing in their sender's count.
    pub lost: u64,
    /// Whether a whole body was lost, of which nobody knows whose rows and how many it held.
    pub lost_uncounted: bool,
    /// The share of rows lost, from 0 to 1; null when there were none at all.
    pub lost_share: Option<f64>,
    /// The share of the rows on offer, lost ones among them, that detectors judged or are about to; null
    /// when there were none at all.
    pub coverage: Option<f64>,
}

impl RecentRows {
    /// Whether more was lost than a quiet stream may lose.
    #[must_use]
    pub fn too_many_lost(&self) -> bool {
        self.lost_uncounted || self.lost_share.is_some_and(|share| share > LOST_SHARE_MAX)
    }
}

/// Counts the rows of one model over the last minute.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Slot>);

#[derive(Debug)]
struct Slot {
    began: Timestamp,
    taken: u64,
    lost: u64,
    /// Rows among the taken that were then not judged.
    unjudged: u64,
    uncounted: bool,
}

impl Recent {
    pub(super) fn taken(&mut self, now: Timestamp, rows: u64) {
        self.change(now, |slot| slot.taken += rows);
    }

    pub(super) fn lost(&mut self, now: Timestamp, rows: u64) {
        if rows > 0 {
            self.change(now, |slot| slot.lost += rows);
        }
    }

    /// Rows that were counted as taken before.
    pub(super) fn not_judged(&mut self, now: Timestamp, rows: u64) {
        self.change(now, |slot| slot.unjudged += rows);
    }

    pub(super) fn lost_uncounted(&mut self, now: Timestamp) {
        self.change(now, |slot| slot.uncounted = true);
    }

    fn change(&mut self, now: Timestamp, change: impl FnOnce(&mut Slot)) {
        if self.0.back().is_none_or(|newest| now >= newest.began.plus(SLOT)) {
            self.0.push_back(Slot { began: now, taken: 0, lost: 0, unjudged: 0, uncounted: false });
        }
        while self.0.len() > SLOTS {
            self.0.pop_front();
        }
        if let Some(newest) = self.0.back_mut() {
            change(newest);
        }
    }

    pub(super) fn view(&self, now: Timestamp) -> RecentRows {
        let mut view = RecentRows {
            window_secs: WINDOW.as_secs(),
            taken: 0,
            lost: 0,
            lost_uncounted: false,
            lost_share: None,
            coverage: None,
        };
        let mut unjudged = 0;
        for slot in self.0.iter().filter(|slot| slot.began.plus(WINDOW) > now) {
            view.taken += slot.taken;
            view.lost += slot.lost;
            unjudged += slot.unjudged;
            view.lost_uncounted |= slot.uncounted;
        }
        let all = view.taken + view.lost;
        // Those taken earlier than a minute ago may fail within it.
        view.taken = view.taken.saturating_sub(unjudged);
        view.lost = all - view.taken;
        view.lost_share = (all > 0).then(|| count(view.lost) / count(all));
        view.coverage = (all > 0).then(|| count(view.taken) / count(all));
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1_000)
    }

    /// One row in a hundred is borne, more is not, and a minute later it is forgotten.
    #[test]
    fn a_floor_and_a_window() {
        let mut recent = Recent::default();
        assert_eq!((recent.view(at(0)).lost_share, recent.view(at(0)).too_many_lost()), (None, false));
        recent.taken(at(0), 990);
        recent.lost(at(5), 10);
        assert!(!recent.view(at(5)).too_many_lost(), "{:?}", recent.view(at(5)));
        recent.lost(at(9), 1);
        assert!(recent.view(at(9)).too_many_lost());
        recent.taken(at(59), 10);
        assert!(recent.view(at(59)).too_many_lost());
        assert_eq!((recent.view(at(60)).taken, recent.view(at(60)).lost), (10, 0));
        assert!(!recent.view(at(60)).too_many_lost());
    }

    /// Rows that were taken and then not judged are lost, and counted once.
    #[test]
    fn what_is_not_judged_is_not_covered() {
        let mut recent = Recent::default();
        assert_eq!(recent.view(at(0)).coverage, None);
        recent.taken(at(0), 100);
        recent.not_judged(at(1), 80);
        recent.lost(at(2), 100);
        let view = recent.view(at(3));
        assert_eq!((view.taken, view.lost, view.coverage), (20, 180, Some(0.1)));
    }

    /// A body of unknown content leaves nothing known, and only its rows taken are shown.
    #[test]
    fn a_lost_body_is_never_quiet() {
        let mut recent = Recent::default();
        recent.taken(at(0), 1_000_000);
        recent.lost_uncounted(at(1));
        assert!(recent.view(at(1)).too_many_lost());
    }

    /// Years of slots stay a handful.
    #[test]
    fn memory_is_bounded() {
        let mut recent = Recent::default();
        (0..10_000).for_each(|i| recent.taken(at(i * 10), 1));
        assert_eq!(recent.0.len(), SLOTS);
        assert_eq!(recent.view(at(99_990)).taken, 6);
    }
}
