use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::units::Timestamp;

/// One step in the life of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The condition became true.
    Pending,
    /// It stayed true for as long as the rule asks: the rising edge.
    Firing,
    /// One detector's own evidence reached the threshold, at the rising edge or later.
    Detector {
        /// The detector.
        detector: String,
        /// Its features, most evident first.
        features: Vec<String>,
    },
    /// A receiver accepted it.
    Delivered {
        /// Which receiver.
        sink: String,
    },
    /// Somebody looks at it.
    Acknowledged {
        /// Who.
        who: String,
        /// What they said.
        note: Option<String>,
    },
    /// Nobody is told of it for a time.
    Silenced {
        /// Who asked for that.
        who: String,
        /// What they said.
        note: Option<String>,
        /// When it ends by itself.
        until: Timestamp,
    },
    /// The silence is over: who knows of the alert is told how it stands.
    SilenceEnded {
        /// Since when nobody was told.
        since: Timestamp,
    },
    /// It has stood for longer than the configured age: whether it still holds is not known.
    Stale,
    /// The test of recovery held.
    Resolved,
    /// Somebody said that the change is meant: it ends.
    Accepted {
        /// Who.
        who: String,
        /// What they said.
        note: Option<String>,
    },
    /// What it was held against is watched no longer: it ends.
    Superseded,
}

impl Event {
    /// Whether the alert ends with it.
    #[must_use]
    pub const fn ends(&self) -> bool {
        matches!(self, Self::Resolved | Self::Accepted { .. } | Self::Superseded)
    }
}

/// An event of one alert, with the two times it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Entry {
    /// When this process knew it.
    pub at: Timestamp,
    /// The time of the row that caused it.
    pub stream_at: Timestamp,
    /// The model.
    pub model: String,
    /// The alert's number, unique within the timeline.
    pub alert: u64,
    /// The group it is about.
    pub group: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Everything that alerts did, in order of [`Entry::at`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Timeline(pub Vec<Entry>);

/// What a bounded timeline had to give up: before `until` it is no longer whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Lost {
    /// How many of the oldest entries were dropped.
    pub entries: u64,
    /// The time of the newest of them; absent when none was.
    pub until: Option<Timestamp>,
}

/// A timeline that drops its oldest entries beyond a bound, and counts them.
#[derive(Debug, Clone)]
pub(super) struct Bounded {
    entries: VecDeque<Entry>,
    entries_max: usize,
    lost: Lost,
}

impl Bounded {
    pub(super) fn new(entries_max: usize, timeline: Timeline, lost: Lost) -> Self {
        let mut made = Self { entries: timeline.0.into(), entries_max, lost };
        made.shed();
        made
    }

    /// Adds an entry behind all that are not later: reports of delivery come with a delay.
    pub(super) fn note(&mut self, entry: Entry) {
        let place = self.entries.partition_point(|e| e.at <= entry.at);
        self.entries.insert(place, entry);
        self.shed();
    }

    pub(super) fn timeline(&self) -> Timeline {
        Timeline(self.entries.iter().cloned().collect())
    }

    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.entries.back().map(|e| e.at)
    }

    pub(super) const fn lost(&self) -> Lost {
        self.lost
    }

    fn shed(&mut self) {
        while self.entries.len() > self.entries_max {
            if let Some(oldest) = self.entries.pop_front() {
                self.lost.entries = self.lost.entries.saturating_add(1);
                self.lost.until = Some(oldest.at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(millis: i64, alert: u64) -> Entry {
        let at = Timestamp::from_millis(millis);
        let (model, group) = ("wine".to_owned(), "redis:wine".to_owned());
        Entry { at, stream_at: at, model, alert, group, event: Event::Pending }
    }

    /// The oldest go first, and the timeline says up to when it is no longer whole.
    #[test]
    fn the_oldest_are_dropped_and_counted() {
        let mut bounded = Bounded::new(2, Timeline::default(), Lost::default());
        assert_eq!(bounded.lost(), Lost { entries: 0, until: None });
        for (alert, millis) in (0..5).enumerate() {
            bounded.note(entry(millis, u64::try_from(alert).unwrap()));
        }
        let kept: Vec<u64> = bounded.timeline().0.iter().map(|e| e.alert).collect();
        assert_eq!(kept, [3, 4]);
        assert_eq!(bounded.lost(), Lost { entries: 3, until: Some(Timestamp::from_millis(2)) });
    }

    /// A late report goes where its time belongs, behind entries of the same instant.
    #[test]
    fn late_entries_find_their_place() {
        let mut bounded = Bounded::new(9, Timeline::default(), Lost::default());
        for (millis, alert) in [(1, 1), (3, 2), (1, 3), (2, 4)] {
            bounded.note(entry(millis, alert));
        }
        let order: Vec<u64> = bounded.timeline().0.iter().map(|e| e.alert).collect();
        assert_eq!(order, [1, 3, 4, 2]);
    }
}
