use std::collections::BTreeMap;
use std::time::Duration;

use crate::alert::{Entry, Event, Timeline};
use crate::units::Timestamp;

/// One alert from its rising edge to its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Episode {
    pub(super) alert: u64,
    pub(super) group: String,
    /// The rising edge, and the row that caused it.
    pub(super) firing: Edge,
    pub(super) resolved: Option<Timestamp>,
    pub(super) delivered: Option<Timestamp>,
    pub(super) fired: Vec<Fired>,
}

/// When it was known, and the time of the row that caused it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Edge {
    pub(super) at: Timestamp,
    pub(super) stream_at: Timestamp,
}

/// When a fault took effect, by the rows' clock, and how much coarser than it others are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Onset {
    pub(super) at: Timestamp,
    pub(super) resolution: Duration,
}

impl Onset {
    /// Whether an edge came after: its row by the very clock of the effect, its knowledge by another.
    pub(super) fn may_have_caused(&self, edge: Edge) -> bool {
        edge.stream_at >= self.at && edge.at.plus(self.resolution) >= self.at
    }
}

/// A detector whose own evidence sufficed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fired {
    pub(super) detector: String,
    pub(super) edge: Edge,
}

impl Episode {
    /// All alerts that fired, in order of their rising edge; one that only stood pending told nobody.
    pub(super) fn all(timeline: &Timeline) -> Vec<Self> {
        let mut open: BTreeMap<u64, Draft> = BTreeMap::new();
        let mut done = Vec::new();
        for entry in &timeline.0 {
            let draft = open.entry(entry.alert).or_insert_with(|| Draft::new(entry));
            draft.note(entry);
            if entry.event.ends() {
                done.extend(open.remove(&entry.alert).and_then(Draft::finish));
            }
        }
        done.extend(open.into_values().filter_map(Draft::finish));
        done.sort_by_key(|episode| (episode.firing.at, episode.alert));
        done
    }

    /// Whether it stood at a time.
    pub(super) fn stands(&self, at: Timestamp) -> bool {
        self.firing.at <= at && self.resolved.is_none_or(|resolved| resolved > at)
    }

    /// Whether it stood when a fault took effect, so that it cannot have been caused by it: it fired
    /// before, or for a row from before.
    pub(super) fn preceded(&self, onset: Onset) -> bool {
        !onset.may_have_caused(self.firing) && self.resolved.is_none_or(|resolved| resolved > onset.at)
    }

    /// Its detectors, each with the time at which people could know: its own, or the rising edge.
    pub(super) fn told(&self) -> impl Iterator<Item = (&str, Edge)> {
        self.fired.iter().map(|fired| {
            let at = fired.edge.at.max(self.firing.at);
            (fired.detector.as_str(), Edge { at, stream_at: fired.edge.stream_at })
        })
    }
}

struct Draft {
    alert: u64,
    group: String,
    firing: Option<Edge>,
    resolved: Option<Timestamp>,
    delivered: Option<Timestamp>,
    fired: Vec<Fired>,
}

impl Draft {
    fn new(entry: &Entry) -> Self {
        Self {
            alert: entry.alert,
            group: entry.group.clone(),
            firing: None,
            resolved: None,
            delivered: None,
            fired: Vec::new(),
        }
    }

    fn note(&mut self, entry: &Entry) {
        let edge = Edge { at: entry.at, stream_at: entry.stream_at };
        match &entry.event {
            Event::Pending
            | Event::Acknowledged { .. }
            | Event::Silenced { .. }
            | Event::SilenceEnded { .. }
            // It is as open as before.
            | Event::Stale => {}
            Event::Firing => {
                self.firing.get_or_insert(edge);
            }
            Event::Detector { detector, .. } => {
                if !self.fired.iter().any(|fired| fired.detector == *detector) {
                    self.fired.push(Fired { detector: detector.clone(), edge });
                }
            }
            Event::Delivered { .. } => {
                self.delivered.get_or_insert(entry.at);
            }
            Event::Resolved | Event::Accepted { .. } | Event::Superseded => self.resolved = Some(entry.at),
        }
    }

    fn finish(self) -> Option<Episode> {
        let Self { alert, group, firing, resolved, delivered, fired } = self;
        firing.map(|firing| Episode { alert, group, firing, resolved, delivered, fired })
    }
}
