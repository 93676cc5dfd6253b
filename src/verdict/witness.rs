use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::score::wilson;
use crate::record::{Batch, Meta, Role, RowStatus, Status};
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
        let members: Vec<(usize, &str)> = columns
            .iter()
            .enumerate()
            .filter(|(position, c)| {
                c.role == Role::Input && c.group == self.group && batch.meta().has_feature_status(*position)
            })
            .map(|(position, c)| (position, c.name.as_str()))
            .collect();
        for (row, ts) in batch.meta().ts().iter().enumerate() {
            self.see_row(batch.meta(), (row, *ts), &members);
        }
    }

    /// What it has seen so far.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence.clone()
    }

    fn see_row(&mut self, meta: &Meta, (row, ts): (usize, Timestamp), members: &[(usize, &str)]) {
        let mut spoken = false;
        let mut changed: Vec<&str> = Vec::new();
        for (position, name) in members {
            let status = meta.feature_status(*position, row);
            spoken |= status.is_some();
            if status.is_some_and(|status| status != Status::Present) {
                changed.push(name);
            }
        }
        let failed = meta.status(row) == Some(RowStatus::Error);
        let since = self.active.is_some_and(|active| ts >= active);
        let rows = if since { &mut self.evidence.during } else { &mut self.evidence.before };
        rows.seen += 1;
        rows.spoken += u64::from(spoken);
        rows.changed += u64::from(!changed.is_empty());
        rows.failed += u64::from(failed);
        if since {
            self.evidence.note(ts, spoken, &changed, failed);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;
    use crate::verdict::tests::script::{GROUP, at, record, schema};

    /// Rows of one a millisecond: what the service says, and how often before and since the fault.
    fn evidence(before: &[(&str, usize)], since: &[(&str, usize)]) -> Evidence {
        let mut witness = Witness::new(GROUP.to_owned());
        let mut millis = 0;
        for (phase, rows) in [before, since].into_iter().enumerate() {
            if phase == 1 {
                witness.activate(at(millis));
            }
            let mut builder = BatchBuilder::new(schema());
            for (word, n) in rows {
                for _ in 0..*n {
                    let status = Some(*word).filter(|w| !["", "failed"].contains(w));
                    builder.push(&record(millis, status, *word != "failed"));
                    millis += 1;
                }
            }
            witness.see(&builder.finish().unwrap().0);
        }
        witness.evidence()
    }

    /// Every word but `present` means that something else stood in, and no word means nothing.
    #[test]
    fn words_of_the_service() {
        for (word, spoken, changed) in [
            ("present", 1, 0),
            ("default", 1, 1),
            ("stale", 1, 1),
            ("error", 1, 1),
            ("not_found", 1, 1),
            ("null", 1, 1),
            ("", 0, 0),
        ] {
            let seen = evidence(&[("present", 5)], &[(word, 1)]);
            assert_eq!(seen.before, Rows { seen: 5, spoken: 5, changed: 0, failed: 0 });
            assert_eq!(seen.during, Rows { seen: 1, spoken, changed, failed: 0 }, "{word}");
            assert_eq!(seen.changed(), changed > 0, "{word}");
        }
    }

    /// The first and the last harmed row are told, how many good ones followed, and which features.
    #[test]
    fn times_of_the_effect() {
        let seen = evidence(&[("present", 10)], &[("present", 3), ("default", 4), ("", 2), ("present", 5)]);
        assert_eq!((seen.first_changed, seen.last_changed), (Some(at(13)), Some(at(16))));
        assert_eq!((seen.clean_since, seen.last_harm()), (5, Some(at(16))));
        assert_eq!(seen.features_by_count(), ["alcohol"]);
    }

    /// A store's everyday share of substitutions is no effect, a larger one is, and one before is not counted.
    #[test]
    fn ambient_substitutions() {
        let before = [("present", 990), ("not_found", 10)];
        assert!(!evidence(&before, &[("present", 985), ("not_found", 15)]).changed());
        assert!(evidence(&before, &[("present", 700), ("not_found", 300)]).changed());
        assert!(!evidence(&before, &[("present", 10)]).changed());
    }

    /// Failed requests are harm of their own, with or without a word on features.
    #[test]
    fn failures() {
        let seen = evidence(&[("present", 10)], &[("failed", 2), ("present", 1)]);
        assert!(seen.failed() && !seen.changed());
        assert_eq!((seen.first_failed, seen.last_failed, seen.clean_since), (Some(at(10)), Some(at(11)), 1));
    }

    /// Another group's features say nothing of this one's.
    #[test]
    fn other_groups_are_not_its_own() {
        let mut witness = Witness::new("redis:other".to_owned());
        witness.activate(at(0));
        let mut builder = BatchBuilder::new(schema());
        builder.push(&record(1, Some("default"), true));
        witness.see(&builder.finish().unwrap().0);
        assert_eq!(witness.evidence().during, Rows { seen: 1, spoken: 0, changed: 0, failed: 0 });
    }
}
