use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::score::wilson;
use crate::chaos::Effect;
use crate::record::{Batch, Role, RowMeta, RowStatus, Status};
use crate::units::Timestamp;

/// Rows by what the service said of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// All.
    pub seen: u64,
    /// Those with a status for a feature of the group.
    pub spoken: u64,
    /// Of these, those in which something else stood for a feature.
    pub changed: u64,
    /// Those whose request failed.
    pub failed: u64,
}

/// What a [`Witness`] saw of one group, before the fault and since.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Rows older than the fault's activity.
    pub before: Rows,
    /// Rows since.
    pub during: Rows,
    /// The first row since in which something else stood for a feature.
    pub first_changed: Option<Timestamp>,
    /// The last.
    pub last_changed: Option<Timestamp>,
    /// The first row since whose request failed.
    pub first_failed: Option<Timestamp>,
    /// The last.
    pub last_failed: Option<Timestamp>,
    /// Rows after the last harmed one that the service called good.
    pub clean_since: u64,
    /// Changed features, and in how many rows since.
    pub features: BTreeMap<String, u64>,
}

/// Proves apart from any detector that a fault reached the model's rows.
///
/// It believes what the service itself says: a `feature_status` of default, stale, error, not_found
/// or null means that something else stood in. Feed it every batch in order.
#[derive(Debug, Clone)]
pub struct Witness {
    group: String,
    active: Option<Timestamp>,
    evidence: Evidence,
}

/// One-sided chance of calling a service's ordinary substitutions an effect: 1e-6.
const AMBIENT_Z: f64 = 4.753;

impl Witness {
    /// A witness of one group that has seen nothing.
    #[must_use]
    pub fn new(group: String) -> Self {
        Self { group, active: None, evidence: Evidence::default() }
    }

    /// The group that it watches.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Rows from `at` on count as since the fault; call it before the fault is switched on.
    pub const fn activate(&mut self, at: Timestamp) {
        self.active = Some(at);
    }

    /// Looks at the rows of a batch.
    pub fn see(&mut self, batch: &Batch) {
        let columns = &batch.schema().columns;
        let members: BTreeMap<usize, &str> = columns
            .iter()
            .enumerate()
            .filter(|(_, c)| c.role == Role::Input && c.group == self.group)
            .map(|(position, c)| (position, c.name.as_str()))
            .collect();
        for row in batch.rows() {
            self.see_row(row, &members);
        }
    }

    /// What it has seen so far.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence.clone()
    }

    fn see_row(&mut self, row: &RowMeta, members: &BTreeMap<usize, &str>) {
        let spoken = row.feature_status.keys().any(|position| members.contains_key(position));
        let changed: Vec<&str> = row
            .feature_status
            .iter()
            .filter(|(_, status)| **status != Status::Present)
            .filter_map(|(position, _)| members.get(position).copied())
            .collect();
        let failed = row.status == Some(RowStatus::Error);
        let since = self.active.is_some_and(|active| row.ts >= active);
        let rows = if since { &mut self.evidence.during } else { &mut self.evidence.before };
        rows.seen += 1;
        rows.spoken += u64::from(spoken);
        rows.changed += u64::from(!changed.is_empty());
        rows.failed += u64::from(failed);
        if since {
            self.evidence.note(row.ts, spoken, &changed, failed);
        }
    }
}

impl Evidence {
    fn note(&mut self, at: Timestamp, spoken: bool, changed: &[&str], failed: bool) {
        if !changed.is_empty() {
            widen(&mut self.first_changed, &mut self.last_changed, at);
        }
        if failed {
            widen(&mut self.first_failed, &mut self.last_failed, at);
        }
        for name in changed {
            *self.features.entry((*name).to_owned()).or_insert(0) += 1;
        }
        if failed || !changed.is_empty() {
            self.clean_since = 0;
        } else if spoken {
            self.clean_since += 1;
        }
    }

    /// Whether rows changed that did not before.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.rose(|rows| (rows.changed, rows.spoken))
    }

    /// Whether requests failed that did not before.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.rose(|rows| (rows.failed, rows.seen))
    }

    /// What follows for the effect: nothing when no row said anything.
    #[must_use]
    pub fn effect(&self) -> Effect {
        if self.changed() || self.failed() {
            Effect::Effective
        } else if self.during.spoken == 0 {
            Effect::Unverified
        } else {
            Effect::NoEffect
        }
    }

    /// The last row that was changed or failed.
    #[must_use]
    pub fn last_harm(&self) -> Option<Timestamp> {
        self.last_changed.into_iter().chain(self.last_failed).max()
    }

    /// Changed features, most often first.
    #[must_use]
    pub fn features_by_count(&self) -> Vec<String> {
        let mut features: Vec<(&String, &u64)> = self.features.iter().collect();
        features.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        features.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Whether a share is larger since the fault than before: any at all where there was none, else
    /// beyond what chance explains, so that a store's everyday `not_found` is no effect.
    fn rose(&self, part: fn(&Rows) -> (u64, u64)) -> bool {
        let ((hits_before, before), (hits, during)) = (part(&self.before), part(&self.during));
        if hits == 0 || hits_before == 0 {
            return hits > 0;
        }
        match (wilson(hits_before, before, AMBIENT_Z), wilson(hits, during, AMBIENT_Z)) {
            (Some((_, most_before)), Some((least_since, _))) => least_since > most_before,
            _ => false,
        }
    }
}

fn widen(first: &mut Option<Timestamp>, last: &mut Option<Timestamp>, at: Timestamp) {
    *first = Some(first.map_or(at, |first| first.min(at)));
    *last = Some(last.map_or(at, |last| last.max(at)));
}
