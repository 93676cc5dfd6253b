//! Rows of versions that no baseline is of.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Error;
use super::judge::{OTHERS, Scope, monitor_of};
use super::model::version_of;
use super::relearn::{Counted, Paused, Relearning, Relearnt};
use crate::baseline::Baseline;
use crate::detect::{
    Finding, Monitor, ROW_RATE, StreamReport, StreamState, Undecided, VERSION, unknown_version,
};
use crate::record::{Batch, BatchBuilder, Record, Role};
use crate::units::Timestamp;

/// The group of the alerts that say so; the model's version is told beside it.
pub(super) const VERSION_GROUP: &str = VERSION;
/// Their kind, and what stands for their detector.
pub(super) const VERSION_KIND: &str = VERSION;
/// Versions that have an alert of their own; senders may make names up, and further ones share one.
const VERSIONS_MAX: usize = 8;
/// A longer name is cut where it is kept; that of a digest is not.
const NAME_CHARS_MAX: usize = 160;
/// What a name ends with that was cut.
const CUT: char = '…';
/// A version that no row was of for so long is gone.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(3_600);

/// One version without a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stranger {
    pub(super) rows: u64,
    last: Timestamp,
    /// Somebody knows, and wants no alert of it.
    accepted: bool,
}

/// The rows of versions without a baseline: their features are held against those of the model's
/// baseline, their answers against nothing, and counted.
#[derive(Debug)]
pub(super) struct Strangers {
    pub(super) monitor: Monitor,
    seen: BTreeMap<String, Stranger>,
    /// By version, those that share the entry of the others aside.
    relearning: BTreeMap<String, Relearning>,
    /// Too many rows of the model are lost.
    is_lossy: bool,
    /// Whether something was latched at the beginning or the end of the rows that were judged last.
    was_latched: bool,
}

/// Records of versions without a baseline, as they were judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) records: &'a [&'a Record],
    pub(super) batch: &'a Batch,
    pub(super) unexpected: &'a BTreeMap<String, u64>,
}

/// The name under which a version is kept.
fn short(version: &str) -> String {
    let mut name: String = version.chars().take(NAME_CHARS_MAX).collect();
    if name.len() < version.len() {
        name.push(CUT);
    }
    name
}

/// Whether a name stands for all versions that begin like it.
fn is_cut(name: &str) -> bool {
    name.chars().count() > NAME_CHARS_MAX
}

impl Strangers {
    pub(super) fn new(baseline: &Baseline, without: &[String]) -> Result<Self, Error> {
        let monitor = monitor_of(baseline, without, Scope::InputsOnly)?;
        Ok(Self {
            monitor,
            seen: BTreeMap::new(),
            relearning: BTreeMap::new(),
            is_lossy: false,
            was_latched: false,
        })
    }

    pub(super) const fn seen(&self) -> &BTreeMap<String, Stranger> {
        &self.seen
    }

    pub(super) fn resume(&mut self, seen: BTreeMap<String, Stranger>) {
        self.seen = seen;
    }

    /// Whether any is known.
    pub(super) fn are_there_at_all(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Whether there were any lately.
    pub(super) fn are_there(&self, now: Timestamp) -> bool {
        self.seen.values().any(|stranger| now < stranger.last.plus(GONE_AFTER))
    }

    /// Counts a row, with its number and time; gives the alarm of a version that is new, with the name that it is kept under.
    pub(super) fn note(
        &mut self,
        version: &str,
        expected: &str,
        (row, ts): (u64, Timestamp),
        now: Timestamp,
    ) -> Option<(String, Finding)> {
        let name = short(version);
        let name = if self.has_room(&name, now) { name } else { OTHERS.to_owned() };
        if let Some(stranger) = self.seen.get_mut(&name) {
            stranger.rows = stranger.rows.saturating_add(1);
            stranger.last = now;
            return None;
        }
        self.seen.insert(name.clone(), Stranger { rows: 1, last: now, accepted: false });
        let alarm = unknown_version(&name, expected, row, ts);
        Some((name, Finding::Raised(alarm)))
    }

    /// Whether a version has an entry of its own, or may have one: where there are many, of those that somebody
    /// knows the one goes that is gone for longest.
    fn has_room(&mut self, name: &str, now: Timestamp) -> bool {
        let own = self.seen.iter().filter(|(known, _)| *known != OTHERS);
        if self.seen.contains_key(name) || own.clone().count() < VERSIONS_MAX {
            return true;
        }
        let is_gone = |stranger: &Stranger| stranger.accepted && now >= stranger.last.plus(GONE_AFTER);
        let gone = own.filter(|(_, stranger)| is_gone(stranger));
        let Some(longest) = gone.min_by_key(|(_, s)| s.last).map(|(name, _)| name.clone()) else {
            return false;
        };
        self.remove(&longest);
        true
    }

    /// Forgets versions that are gone; gives the end of the alert of each.
    pub(super) fn forget(&mut self, now: Timestamp) -> Vec<(String, Finding)> {
        let is_gone = |stranger: &Stranger| !stranger.accepted && now >= stranger.last.plus(GONE_AFTER);
        let gone: Vec<String> =
            self.seen.iter().filter(|(_, s)| is_gone(s)).map(|(name, _)| name.clone()).collect();
        let end = |name: String| {
            self.remove(&name);
            let ended = Finding::Resolved { group: VERSION_GROUP.to_owned(), row: 0, ts: now };
            (name, ended)
        };
        gone.into_iter().map(end).collect()
    }

    /// Somebody knows of a version: there is no further alert of it until there is another baseline.
    pub(super) fn accept(&mut self, version: &str) {
        if let Some(stranger) = self.seen.get_mut(version) {
            stranger.accepted = true;
        }
    }

    /// A version has a baseline from now on, or is gone.
    pub(super) fn remove(&mut self, version: &str) {
        self.seen.remove(version);
        self.relearning.remove(version);
    }

    /// Judges the features of rows.
    pub(super) fn observe(&mut self, batch: &Batch, now: Timestamp) -> Vec<Finding> {
        let before = self.monitor.latched().is_some();
        let findings = self.monitor.observe_at(batch, now);
        self.was_latched = before || self.monitor.latched().is_some();
        self.take_back(&findings);
        findings
    }

    /// Lets time pass for their features.
    pub(super) fn advance(&mut self, now: Timestamp) -> Vec<Finding> {
        let findings = self.monitor.advance(now);
        self.take_back(&findings);
        findings
    }

    /// A faulty time is not learnt: not the rows either that came before its alarm.
    fn take_back(&mut self, findings: &[Finding]) {
        for finding in findings {
            if let Finding::Raised(alarm) = finding {
                self.relearning.values_mut().for_each(|relearning| relearning.take_back(alarm.since_row));
            }
        }
    }

    /// The same by time, where the alarm is of rows that have a baseline; those of the row rate are about none.
    pub(super) fn take_back_since(&mut self, findings: &[Finding]) {
        for finding in findings {
            if let Finding::Raised(alarm) = finding
                && alarm.detector != ROW_RATE
            {
                self.relearning.values_mut().for_each(|relearning| relearning.take_back_since(alarm.since));
            }
        }
    }

    /// Whether so many of the model's rows are lost that those that come are not counted.
    pub(super) const fn set_lossy(&mut self, is_lossy: bool) {
        self.is_lossy = is_lossy;
    }

    pub(super) const fn is_lossy(&self) -> bool {
        self.is_lossy
    }

    /// Counts the answers of rows that were judged just now, version by version, into the bins of the present
    /// baseline, unless their features were faulty meanwhile; why else they are not is asked before.
    pub(super) fn relearn(
        &mut self,
        present: &Baseline,
        judged: Judged<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        if self.was_latched {
            return Ok(());
        }
        let Judged { records, batch, unexpected } = judged;
        let versions: BTreeSet<&str> = records.iter().filter_map(|record| version_of(record)).collect();
        let row = self.monitor.rows().saturating_sub(crate::units::whole(batch.len()));
        for version in &versions {
            // A name that is cut, and those beyond a handful, stand for several versions.
            if !self.seen.contains_key(*version) || *version == OTHERS || is_cut(version) {
                continue;
            }
            if versions.len() == 1 {
                self.of_version(version, present)?.take((batch, unexpected), row, now)?;
                continue;
            }
            let mut builder = BatchBuilder::new(Arc::clone(present.schema()));
            let own = records.iter().filter(|record| version_of(record) == Some(*version));
            own.for_each(|record| builder.push(record));
            let wrong = |source| Error::Batch { model: present.model().to_owned(), source };
            let (batch, unexpected) = builder.finish().map_err(wrong)?;
            self.of_version(version, present)?.take((&batch, &unexpected), row, now)?;
        }
        Ok(())
    }

    fn of_version(&mut self, version: &str, present: &Baseline) -> Result<&mut Relearning, Error> {
        let relearning = match self.relearning.entry(version.to_owned()) {
            Entry::Occupied(known) => return Ok(known.into_mut()),
            Entry::Vacant(new) => new,
        };
        Ok(relearning.insert(Relearning::new(Counted::nothing(present)?)))
    }

    /// How far the answers of each version are relearnt.
    pub(super) fn relearnt(&self, present: &Baseline, paused: &Paused) -> Vec<Relearnt> {
        self.relearning.iter().map(|(version, one)| one.view(version, present, paused)).collect()
    }

    /// What was counted of a version, when a baseline can be made of it; else what is missing.
    pub(super) fn counted(
        &self,
        version: &str,
        present: &Baseline,
        paused: &Paused,
    ) -> Result<&Counted, String> {
        let Some(relearning) = self.relearning.get(version) else {
            return Err(match paused.why() {
                Some(why) => format!("none of its rows is counted: {why}"),
                None if version == OTHERS || is_cut(version) => {
                    "it stands for several versions, which are not counted".to_owned()
                }
                None => "none of its rows is counted since silentry was started".to_owned(),
            });
        };
        relearning.counted().check(present)?;
        paused.in_the_way().map_or_else(|| Ok(relearning.counted()), Err)
    }

    /// How their features stand; answers have nothing to be held against.
    pub(super) fn report(&self, baseline: &Baseline, whole: &[StreamReport]) -> Vec<StreamReport> {
        let columns = &baseline.schema().columns;
        let of_answers = |group: &str| columns.iter().any(|c| c.role == Role::Output && c.group == group);
        let answers = whole.iter().filter(|report| of_answers(&report.group)).map(|report| StreamReport {
            of_threshold: None,
            state: StreamState::Undecided(Undecided::NoBaseline),
            ..report.clone()
        });
        // The row rate is the model's.
        let is_feature = |report: &StreamReport| report.detector != ROW_RATE;
        self.monitor.report().into_iter().filter(is_feature).chain(answers).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1_000)
    }

    fn strangers() -> Strangers {
        Strangers::new(&crate::service::tests::a(), &[]).unwrap()
    }

    /// One alarm a version, and one more for all beyond a handful, however long names are.
    #[test]
    fn no_storm() {
        let mut all = strangers();
        let mut raised: Vec<String> = Vec::new();
        for i in 0..1_000 {
            let version = format!("{}{}", i % 100, "x".repeat(500));
            raised.extend(all.note(&version, "1", (0, at(i)), at(i)).map(|(name, _)| name));
        }
        assert_eq!(raised.len(), VERSIONS_MAX + 1, "{raised:?}");
        assert!(raised.iter().all(|name| name.chars().count() <= NAME_CHARS_MAX + 1));
        assert_eq!(raised.last().map(String::as_str), Some(OTHERS));
        assert_eq!(all.seen().values().map(|s| s.rows).sum::<u64>(), 1_000);
    }

    /// Releases that somebody knew of do not hold their places for good: when there is none left, the one that is
    /// gone for longest makes room, and none that is there.
    #[test]
    fn releases_make_room() {
        let mut all = strangers();
        for i in 0..8 {
            let (name, _) = all.note(&i.to_string(), "r", (0, at(i)), at(i)).unwrap();
            all.accept(&name);
        }
        let told = |all: &mut Strangers, version: &str, now: i64| {
            all.note(version, "r", (0, at(now)), at(now)).map(|(name, _)| name)
        };
        assert_eq!(told(&mut all, "0", 100), None);
        assert_eq!(told(&mut all, "8", 3_600).as_deref(), Some(OTHERS), "all are there");
        assert_eq!(told(&mut all, "8", 3_700).as_deref(), Some("8"));
        assert!(all.seen().contains_key("0") && !all.seen().contains_key("1"), "{:?}", all.seen());
        assert_eq!(told(&mut all, "0", 3_700), None, "still accepted");
    }

    /// A version that is gone for an hour ends its alert and would raise another; an accepted one is
    /// known for good.
    #[test]
    fn what_is_gone_is_forgotten() {
        let mut all = strangers();
        assert!(
            all.note("2", "1", (0, at(0)), at(0)).is_some()
                && all.note("3", "1", (0, at(0)), at(0)).is_some()
        );
        all.accept("3");
        assert!(all.forget(at(3_599)).is_empty());
        let ended = all.forget(at(3_600));
        assert!(matches!(&ended[..], [(name, Finding::Resolved { .. })] if name == "2"), "{ended:?}");
        assert!(all.note("2", "1", (0, at(9_000)), at(9_000)).is_some());
        assert!(all.note("3", "1", (0, at(9_000)), at(9_000)).is_none());
        assert!(all.are_there(at(12_599)) && !all.are_there(at(12_600)));
    }
}
