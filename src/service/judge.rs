use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use crate::baseline::Baseline;
use crate::detect::{
    self, Calibration, EffectSize, Finding, Monitor, Options, ROW_RATE, StreamReport, StreamState,
};
use crate::profile::Profile;
use crate::record::{Batch, Schema, cut_name};
use crate::units::Timestamp;

/// What of a baseline a monitor holds rows against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of it.
    Whole,
    /// All but the row rate, which is the model's and not a version's: one for all versions.
    OneVersion,
    /// Features alone: answers and the row rate are another version's.
    InputsOnly,
}

/// A baseline, and all that holds rows against it.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) baseline: Baseline,
    pub(super) monitor: Monitor,
    pub(super) effects: Vec<EffectSize>,
    /// The hash of the baseline that the configuration names in this place.
    pub(super) configured: String,
    /// Features that rows had and the baseline lacks.
    pub(super) unexpected: BTreeMap<String, u64>,
    /// When its last rows came, or when it was first looked at without any.
    pub(super) last: Option<Timestamp>,
    profile: Profile,
    profile_began: Option<Timestamp>,
}

/// Names kept of what the baseline does not know; further ones share an entry.
const NAMES_MAX: usize = 50;
/// The entry of the others.
pub(super) const OTHERS: &str = "(others)";

/// Counts by name, for names that senders make up: so many, each cut by [`cut_name`].
pub(super) fn add_bounded(counts: &mut BTreeMap<String, u64>, name: &str, rows: u64) {
    let name = cut_name(name);
    let is_known = counts.contains_key(name);
    let name = if is_known || counts.len() < NAMES_MAX { name } else { OTHERS };
    *counts.entry(name.to_owned()).or_insert(0) += rows;
}

/// A monitor of a baseline at rest, with every detector on.
///
/// # Errors
/// [`Error::Detect`] for a baseline without a calibration of today.
pub fn monitor(baseline: &Baseline) -> Result<Monitor, Error> {
    monitor_of(baseline, &[], Scope::Whole)
}

/// A monitor of a baseline, at rest.
pub(super) fn monitor_of(baseline: &Baseline, without: &[String], scope: Scope) -> Result<Monitor, Error> {
    let wrong = |source| Error::Detect { model: baseline.model().to_owned(), source };
    let calibration = Calibration::read(baseline.calibration(), baseline.schema()).map_err(wrong)?;
    let calibration = if scope == Scope::InputsOnly { calibration.inputs_only() } else { calibration };
    let mut without: BTreeSet<String> = without.iter().cloned().collect();
    if scope != Scope::Whole {
        without.insert(ROW_RATE.to_owned());
    }
    let options = Options { budget: baseline.budget(), rate: baseline.rate(), without };
    Monitor::new(Arc::clone(baseline.schema()), calibration, options).map_err(wrong)
}

impl Judge {
    pub(super) fn new(baseline: Baseline, without: &[String], scope: Scope) -> Result<Self, Error> {
        Ok(Self {
            monitor: monitor_of(&baseline, without, scope)?,
            effects: Vec::new(),
            configured: baseline.content_hash().to_owned(),
            unexpected: BTreeMap::new(),
            last: None,
            profile: Profile::new(Arc::clone(baseline.schema())),
            profile_began: None,
            baseline,
        })
    }

    pub(super) fn schema(&self) -> &Arc<Schema> {
        self.baseline.schema()
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.schema().version.as_deref()
    }

    /// Takes the next rows: detectors and the window's profile.
    pub(super) fn observe(
        &mut self,
        batch: &Batch,
        unexpected: &BTreeMap<String, u64>,
        now: Timestamp,
    ) -> Vec<Finding> {
        for (name, rows) in unexpected {
            add_bounded(&mut self.unexpected, name, *rows);
        }
        self.last = Some(now);
        // The batch was built on this very schema, so the profile takes it.
        let profiled = self.profile.observe(batch);
        debug_assert!(profiled.is_ok(), "{profiled:?}");
        self.monitor.observe_at(batch, now)
    }

    /// Closes the window of effect sizes when it is over.
    pub(super) fn close_window(&mut self, now: Timestamp, length: Duration) {
        let began = *self.profile_began.get_or_insert(now);
        if now < began.plus(length) {
            return;
        }
        self.effects = if self.profile.rows() > 0 {
            detect::effect_sizes(self.baseline.profile(), &self.profile)
        } else {
            Vec::new()
        };
        self.profile = Profile::new(Arc::clone(self.baseline.schema()));
        self.profile_began = Some(now);
    }
}

/// Detectors in groups that know something now: quiet or drifted.
pub(super) fn decided(reports: &[StreamReport]) -> u64 {
    let decided = reports.iter().filter(|r| !matches!(r.state, StreamState::Undecided(_)));
    crate::units::whole(decided.count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NAME_CHARS_MAX;

    /// Neither their number nor their length is the sender's choice; every row is counted.
    #[test]
    fn names_are_bounded() {
        let mut counts = BTreeMap::new();
        (0..1_000).for_each(|i| add_bounded(&mut counts, &format!("{i}{}", "ü".repeat(1_000)), 2));
        assert_eq!((counts.len(), counts.values().sum::<u64>()), (NAMES_MAX + 1, 2_000));
        assert!(counts.keys().all(|name| name.chars().count() <= NAME_CHARS_MAX), "{counts:?}");
    }
}
