use std::collections::BTreeMap;
use std::time::Duration;

use crate::chaos::{Act, Journal};
use crate::slo::{Phases, Span};
use crate::units::Timestamp;

/// The times of a run that its journal tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Marks {
    pub(super) started: Option<Timestamp>,
    pub(super) steady: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) aborted: Option<String>,
    pub(super) not_run: Option<String>,
    faults: BTreeMap<String, FaultMarks>,
}

/// The times of one fault.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct FaultMarks {
    pub(super) armed: Option<Timestamp>,
    pub(super) active: Option<Timestamp>,
    pub(super) restored: Option<Timestamp>,
    /// Of the last probe: when it showed that the fault is gone, or what it saw instead.
    pub(super) probe: Option<Result<Timestamp, String>>,
}

impl Marks {
    pub(super) fn read(journal: &Journal) -> Self {
        let mut marks = Self::default();
        for entry in &journal.0 {
            marks.note(entry.at, &entry.act);
        }
        marks
    }

    /// The times of a fault; none of them when the journal does not name it.
    pub(super) fn fault(&self, id: &str) -> FaultMarks {
        self.faults.get(id).cloned().unwrap_or_else(FaultMarks::default)
    }

    /// Every fault that the journal names.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&String, &FaultMarks)> {
        self.faults.iter()
    }

    /// When the first fault became active.
    pub(super) fn first_active(&self) -> Option<Timestamp> {
        self.faults.values().filter_map(|f| f.active).min()
    }

    /// When the last fault was taken back; nothing while one is on.
    pub(super) fn last_restored(&self) -> Option<Timestamp> {
        let touched = self.faults.values().filter(|f| f.active.is_some());
        touched.map(|f| f.restored).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// The end of the run, or the last time that the journal knows.
    pub(super) fn end(&self) -> Option<Timestamp> {
        let last = |f: &FaultMarks| f.restored.max(f.active);
        self.ended.or_else(|| self.faults.values().filter_map(last).max())
    }

    fn note(&mut self, at: Timestamp, act: &Act) {
        match act {
            Act::RunStarted => keep_first(&mut self.started, at),
            Act::SteadyStarted => keep_first(&mut self.steady, at),
            Act::FaultArmed { fault } => keep_first(&mut self.of(fault).armed, at),
            Act::FaultActive { fault } => keep_first(&mut self.of(fault).active, at),
            Act::FaultRestored { fault } => self.of(fault).restored = Some(at),
            Act::FaultVerified { fault } => self.of(fault).probe = Some(Ok(at)),
            Act::FaultStillLive { fault, seen } => self.of(fault).probe = Some(Err(seen.clone())),
            Act::Aborted { reason } => self.aborted = Some(reason.clone()),
            Act::NotRun { reason } => self.not_run = Some(reason.clone()),
            Act::RunEnded => self.ended = Some(at),
        }
    }

    fn of(&mut self, fault: &str) -> &mut FaultMarks {
        self.faults.entry(fault.to_owned()).or_default()
    }
}

impl FaultMarks {
    /// Whether something may have been broken.
    pub(super) const fn touched(&self) -> bool {
        self.armed.is_some() || self.active.is_some()
    }
}

fn keep_first(mark: &mut Option<Timestamp>, at: Timestamp) {
    mark.get_or_insert(at);
}

/// The spans over which service levels are judged: steady from `SteadyStarted` to the first
/// `FaultActive`, fault from there to the last `FaultRestored` plus `in_flight`, whole from
/// `SteadyStarted` to `RunEnded`.
///
/// Nothing when the journal lacks one of these, but for a restore: then the fault lasts to the end.
#[must_use]
pub fn phases(journal: &Journal, in_flight: Duration) -> Option<Phases> {
    let marks = Marks::read(journal);
    let (steady, active, ended) = (marks.steady?, marks.first_active()?, marks.ended?);
    let restored = marks.last_restored().map_or(ended, |at| at.plus(in_flight).min(ended));
    Some(Phases {
        steady: Span { from: steady, to: active },
        fault: Span { from: active, to: restored },
        whole: Span { from: steady, to: ended },
    })
}
