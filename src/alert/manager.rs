use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sink::{Delivered, Retry, Sink};
use super::timeline::{Bounded, Entry, Event, Lost, Timeline};
use super::view::{Alert, Change, Severity, State};
use crate::detect::{Alarm, Finding, Share};
use crate::units::{Timestamp, duration_text};

/// Settings of alerts and of who is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long a condition must hold before it fires; 0 fires at once.
    #[serde(rename = "for", with = "duration_text")]
    pub hold: Duration,
    /// The severity that alerts carry.
    pub severity: Severity,
    /// How long an alert may fire; an older one is stale: nobody knows whether it still holds.
    #[serde(with = "duration_text")]
    pub max_age: Duration,
    /// The most entries of the timeline; the oldest are dropped and counted.
    pub timeline_max: NonZeroUsize,
    /// How failed notifications are tried again.
    pub retry: Retry,
    /// Who is told.
    pub sinks: Vec<Sink>,
}

/// Some hundreds of alerts with all their steps; about a megabyte on disk.
const TIMELINE_MAX: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();
/// A week: whoever has not looked by then will not know what it was about.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The most ended alerts that are still shown.
pub(super) const RECENT_MAX: usize = 100;

impl Default for Config {
    fn default() -> Self {
        Self {
            hold: Duration::ZERO,
            severity: Severity::default(),
            max_age: MAX_AGE,
            timeline_max: TIMELINE_MAX,
            retry: Retry::default(),
            sinks: Vec::new(),
        }
    }
}

/// Turns findings into alerts: at most one open alert for a group of a version of a model.
///
/// Open alerts are bounded by the groups of the loaded models, for findings name no others.
#[derive(Debug, Clone)]
pub struct Manager {
    pub(super) hold: Duration,
    pub(super) severity: Severity,
    pub(super) max_age: Duration,
    pub(super) next: u64,
    pub(super) open: BTreeMap<Key, Open>,
    pub(super) recent: VecDeque<Open>,
    pub(super) timeline: Bounded,
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) model: String,
    pub(super) version: Option<String>,
    pub(super) group: String,
}

/// An alert and what the next change to it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    pub(super) alert: Alert,
    /// The time of the row that raised it.
    pub(super) stream_at: Timestamp,
    /// Detectors whose own evidence reached the threshold.
    detectors: Vec<Detection>,
    /// Sinks that accepted it.
    delivered: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detection {
    detector: String,
    features: Vec<String>,
    stream_at: Timestamp,
    /// Whether the timeline has it; it waits for the rising edge.
    noted: bool,
}

impl Manager {
    /// A manager without alerts.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            hold: config.hold,
            severity: config.severity,
            max_age: config.max_age,
            next: 1,
            open: BTreeMap::new(),
            recent: VecDeque::new(),
            timeline: Bounded::new(config.timeline_max.get(), Timeline::default(), Lost::default()),
        }
    }

    /// Takes a finding about a model; gives what it changed, in order.
    pub fn observe(&mut self, model: &str, finding: &Finding, now: Timestamp) -> Vec<Change> {
        self.observe_version(model, None, finding, now)
    }

    /// Takes a finding about the rows of a version that is not the one of the model's baseline.
    pub fn observe_version(
        &mut self,
        model: &str,
        version: Option<&str>,
        finding: &Finding,
        now: Timestamp,
    ) -> Vec<Change> {
        let now = self.onward(now);
        let key = |group: &str| Key {
            model: model.to_owned(),
            version: version.map(str::to_owned),
            group: group.to_owned(),
        };
        match finding {
            Finding::Raised(alarm) => self.raised(key(&alarm.group), alarm, now),
            Finding::Fired { group, detector, features, ts, .. } => {
                self.fired(key(group), Detection::new(detector, features, *ts), now)
            }
            Finding::Resolved { group, ts, .. } => self.end(&key(group), State::Resolved, *ts, now),
        }
    }

    /// Lets pending alerts fire that have held for long enough, firing ones become stale, and silences
    /// end.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Change> {
        let now = self.onward(now);
        let (hold, max_age) = (self.hold, self.max_age);
        let mut changes: Vec<Change> = Vec::new();
        for open in self.open.values_mut() {
            changes.extend(open.mature(hold, now));
            changes.extend(open.grow_old(max_age, now));
        }
        let all = self.open.values_mut().chain(&mut self.recent);
        changes.extend(all.filter_map(|open| open.end_silence(now)));
        self.noted(changes)
    }

    /// Ends the open alerts of what is watched no longer: a model, a version, a baseline.
    pub fn supersede(&mut self, now: Timestamp, is_over: impl Fn(&Alert) -> bool) -> Vec<Change> {
        let now = self.onward(now);
        let over = self.open.iter().filter(|(_, open)| is_over(&open.alert));
        let keys: Vec<Key> = over.map(|(key, _)| key.clone()).collect();
        keys.iter().flat_map(|key| self.end(key, State::Superseded, now, now)).collect()
    }

    /// Notes that a sink accepted an alert, once a sink; nothing for an alert long gone.
    pub fn delivered(&mut self, delivered: &Delivered) -> Option<Change> {
        let mut all = self.open.values_mut().chain(self.recent.iter_mut());
        let open = all.find(|open| open.alert.id == delivered.alert)?;
        let fired_at = open.alert.fired_at?;
        if !open.delivered.insert(delivered.sink.clone()) {
            return None;
        }
        let event = Event::Delivered { sink: delivered.sink.clone() };
        let change = open.change(event, delivered.at.max(fired_at), open.stream_at);
        self.timeline.note(change.entry.clone());
        Some(change)
    }

    /// The open alerts, to look at.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.open.values().map(|open| &open.alert)
    }

    /// The open alerts, by model, version and group.
    #[must_use]
    pub fn active(&self) -> Vec<Alert> {
        self.open.values().map(|open| open.alert.clone()).collect()
    }

    /// The last alerts that ended, newest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Alert> {
        self.recent.iter().map(|open| open.alert.clone()).collect()
    }

    /// Everything that alerts did, as far back as the bound reaches.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.timeline.timeline()
    }

    /// What the timeline no longer has.
    #[must_use]
    pub const fn timeline_lost(&self) -> Lost {
        self.timeline.lost()
    }

    /// Never before the last entry: a clock set back over a restart must not turn the order round.
    pub(super) fn onward(&self, now: Timestamp) -> Timestamp {
        self.timeline.last_at().map_or(now, |last| last.max(now))
    }

    fn raised(&mut self, key: Key, alarm: &Alarm, now: Timestamp) -> Vec<Change> {
        let detections = alarm
            .shares
            .iter()
            .filter(|share| share.fired)
            .map(|share| Detection::new(&share.detector, &alarm.features, alarm.ts))
            .collect();
        let Some(open) = self.open.get_mut(&key) else {
            return self.begin(key, alarm, detections, now);
        };
        open.raised_again(alarm);
        let changes = open.detected(detections, now);
        self.noted(changes)
    }

    /// A detector fired within a group that is latched. Were its alert lost, it is opened here:
    /// a latched group without an alert would pass for a healthy one.
    fn fired(&mut self, key: Key, detection: Detection, now: Timestamp) -> Vec<Change> {
        let Some(open) = self.open.get_mut(&key) else {
            let alarm = unseen(&key.group, &detection);
            return self.begin(key, &alarm, vec![detection], now);
        };
        let changes = open.detected(vec![detection], now);
        self.noted(changes)
    }

    fn begin(&mut self, key: Key, alarm: &Alarm, detections: Vec<Detection>, now: Timestamp) -> Vec<Change> {
        let mut open = self.opened(&key, alarm, now);
        let mut changes = vec![open.change(Event::Pending, now, alarm.ts)];
        changes.extend(open.detected(detections, now));
        changes.extend(open.mature(self.hold, now));
        self.open.insert(key, open);
        self.noted(changes)
    }

    /// Ends an alert in one of the states in which none is open.
    pub(super) fn end(
        &mut self,
        key: &Key,
        state: State,
        stream_at: Timestamp,
        now: Timestamp,
    ) -> Vec<Change> {
        let Some(mut open) = self.open.remove(key) else { return Vec::new() };
        open.alert.state = state;
        open.alert.resolved_at = Some(now);
        let event = match (state, &open.alert.accepted) {
            (State::Accepted, Some(by)) => Event::Accepted { who: by.who.clone(), note: by.note.clone() },
            (State::Superseded, _) => Event::Superseded,
            _ => Event::Resolved,
        };
        let change = open.change(event, now, stream_at);
        self.recent.push_front(open);
        self.recent.truncate(RECENT_MAX);
        self.noted(vec![change])
    }

    fn opened(&mut self, key: &Key, alarm: &Alarm, now: Timestamp) -> Open {
        let id = self.next;
        self.next = id.saturating_add(1);
        let alert = Alert {
            id,
            model: key.model.clone(),
            version: key.version.clone(),
            group: alarm.group.clone(),
            state: State::Pending,
            severity: self.severity,
            detector: alarm.detector.clone(),
            kind: alarm.kind.clone(),
            features: alarm.features.clone(),
            message: alarm.message.clone(),
            since: alarm.since,
            pending_at: now,
            fired_at: None,
            resolved_at: None,
            ack: None,
            silence: None,
            accepted: None,
            shares: writable(&alarm.shares),
            diagnosis: (*alarm.diagnosis).clone(),
        };
        Open { alert, stream_at: alarm.ts, detectors: Vec::new(), delivered: BTreeSet::new() }
    }

    pub(super) fn noted(&mut self, changes: Vec<Change>) -> Vec<Change> {
        for change in &changes {
            self.timeline.note(change.entry.clone());
        }
        changes
    }
}

impl Open {
    pub(super) fn change(&self, event: Event, at: Timestamp, stream_at: Timestamp) -> Change {
        let (model, group) = (self.alert.model.clone(), self.alert.group.clone());
        let entry = Entry { at, stream_at, model, alert: self.alert.id, group, event };
        Change { entry, alert: self.alert.clone() }
    }

    /// Takes over what is known better now; what identifies the alert stays.
    fn raised_again(&mut self, alarm: &Alarm) {
        self.alert.features.clone_from(&alarm.features);
        self.alert.message.clone_from(&alarm.message);
        self.alert.shares = writable(&alarm.shares);
        self.alert.diagnosis = (*alarm.diagnosis).clone();
    }

    /// Takes detectors that fired; those not yet known are noted, from the rising edge on.
    fn detected(&mut self, detections: Vec<Detection>, now: Timestamp) -> Vec<Change> {
        for detection in detections {
            if self.detectors.iter().all(|known| known.detector != detection.detector) {
                self.detectors.push(detection);
            }
        }
        self.news(now)
    }

    fn news(&mut self, now: Timestamp) -> Vec<Change> {
        if !matches!(self.alert.state, State::Firing | State::Stale) {
            return Vec::new();
        }
        let mut news = Vec::new();
        for detection in self.detectors.iter_mut().filter(|d| !d.noted) {
            detection.noted = true;
            news.push(detection.clone());
        }
        let change = |d: Detection| {
            let event = Event::Detector { detector: d.detector, features: d.features };
            self.change(event, now, d.stream_at)
        };
        news.into_iter().map(change).collect()
    }

    /// Fires when the condition has held for long enough.
    fn mature(&mut self, hold: Duration, now: Timestamp) -> Vec<Change> {
        if self.alert.state != State::Pending || now < self.alert.pending_at.plus(hold) {
            return Vec::new();
        }
        self.alert.state = State::Firing;
        self.alert.fired_at = Some(now);
        let mut changes = vec![self.change(Event::Firing, now, self.stream_at)];
        changes.extend(self.news(now));
        changes
    }

    /// Is stale when it has fired for too long.
    fn grow_old(&mut self, max_age: Duration, now: Timestamp) -> Option<Change> {
        let is_old = self.alert.fired_at.is_some_and(|fired_at| now >= fired_at.plus(max_age));
        if self.alert.state != State::Firing || !is_old {
            return None;
        }
        self.alert.state = State::Stale;
        Some(self.change(Event::Stale, now, now))
    }

    fn end_silence(&mut self, now: Timestamp) -> Option<Change> {
        let over = self.alert.silence.take_if(|silence| now >= silence.until)?;
        Some(self.change(Event::SilenceEnded { since: over.since }, now, now))
    }
}

impl Detection {
    fn new(detector: &str, features: &[String], stream_at: Timestamp) -> Self {
        Self { detector: detector.to_owned(), features: features.to_vec(), stream_at, noted: false }
    }
}

/// The alarm of a latched group whose raising was not seen here: only what the finding says.
fn unseen(group: &str, detection: &Detection) -> Alarm {
    let Detection { detector, features, stream_at, .. } = detection;
    Alarm {
        row: 0,
        ts: *stream_at,
        detector: detector.clone(),
        kind: String::new(),
        features: features.clone(),
        group: group.to_owned(),
        score: f64::NAN,
        threshold: f64::NAN,
        since_row: 0,
        since: *stream_at,
        shares: Vec::new(),
        message: format!("`{group}`: {detector} fired; when it began was not seen by this process"),
        diagnosis: Box::default(),
    }
}

/// Shares as JSON can carry them: it has no infinity, and what it wrote for one could not be read
/// after a restart. A broken contract is infinite evidence; the largest number says as much.
fn writable(shares: &[Share]) -> Vec<Share> {
    let finite = |share: &Share| {
        debug_assert!(!share.of_threshold.is_nan(), "a share that is not known is no part of an alarm");
        let of_threshold = if share.of_threshold.is_finite() { share.of_threshold } else { f64::MAX };
        Share { of_threshold, ..share.clone() }
    };
    shares.iter().map(finite).collect()
}

#[cfg(test)]
mod tests;
