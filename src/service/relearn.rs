//! The answers of a version that no baseline is of, counted until somebody takes them for its baseline.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::Error;
use super::judge::add_bounded;
use super::learn::{BUILT_BY, seal};
use crate::baseline::{Baseline, Draft, Provenance};
use crate::detect::{self, Calibration, RELEARN_STEPS_MIN, Relearner, Weak};
use crate::profile::Profile;
use crate::record::Batch;
use crate::units::Timestamp;

/// How it was is remembered again and again: after so many more steps, and after this part of all.
const REMEMBER_STEPS: u64 = 500;
const REMEMBER_PART: u64 = 4;
/// So many times, the oldest goes first.
const REMEMBERED: usize = 2;

/// How far the answers of a version without a baseline are relearnt: counts only, no row is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Relearnt {
    /// The version.
    pub version: String,
    /// Its requests that were counted, since it began or silentry was started.
    pub counted: u64,
    /// As many as must be.
    pub needed: u64,
    /// When the first of them came.
    pub since: Option<Timestamp>,
    /// Until when rows must have come, where the baseline has a season: two cycles of it.
    pub until: Option<Timestamp>,
    /// Whether a baseline can be made of them: to be taken by accepting the version, or downloaded.
    pub ready: bool,
    /// What is missing, or in the way, when it is not.
    pub missing: Option<String>,
    /// Why its rows are not counted now, when they are not.
    pub paused: Option<String>,
    /// Features that its rows had and the present baseline lacks, with their rows: they are not part of it.
    pub unexpected: BTreeMap<String, u64>,
}

/// What was counted of one version.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    relearner: Relearner,
    profile: Profile,
    unexpected: BTreeMap<String, u64>,
    since: Option<Timestamp>,
    last: Option<Timestamp>,
    /// How often some of it was taken back.
    taken_back: u64,
}

/// How much was counted of a version at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    steps: u64,
    taken_back: u64,
}

/// One version whose answers are relearnt.
#[derive(Debug)]
pub(super) struct Relearning {
    counted: Counted,
    /// How it was before, with the number of rows that all versions without a baseline had then: the oldest
    /// first, never more than [`REMEMBERED`].
    before: Vec<(u64, Counted)>,
    /// Nothing counted, to begin anew.
    nothing: Counted,
}

impl Counted {
    /// Nothing yet, beside the present baseline.
    pub(super) fn nothing(present: &Baseline) -> Result<Self, Error> {
        let wrong = |source| Error::Detect { model: present.model().to_owned(), source };
        let schema = present.schema();
        let calibration = Calibration::read(present.calibration(), schema).map_err(wrong)?;
        Ok(Self {
            relearner: Relearner::new(schema, calibration).map_err(wrong)?,
            profile: Profile::new(Arc::clone(schema)),
            unexpected: BTreeMap::new(),
            since: None,
            last: None,
            taken_back: 0,
        })
    }

    pub(super) const fn mark(&self) -> Mark {
        Mark { steps: self.relearner.steps(), taken_back: self.taken_back }
    }

    /// Whether all that was counted at an earlier moment still is.
    pub(super) const fn has_all_of(&self, earlier: Mark) -> bool {
        self.taken_back == earlier.taken_back && self.relearner.steps() >= earlier.steps
    }

    fn take(
        &mut self,
        batch: &Batch,
        unexpected: &BTreeMap<String, u64>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.since.get_or_insert(now);
        self.last = Some(now);
        for (name, rows) in unexpected {
            add_bounded(&mut self.unexpected, name, *rows);
        }
        self.profile.observe(batch)?;
        self.relearner.observe(batch);
        Ok(())
    }

    /// When two cycles of the present baseline's season are over.
    fn until(&self, present: &Baseline) -> Option<Timestamp> {
        let cycles = present.seasonality().cycle()? * 2;
        self.since.map(|since| since.plus(cycles))
    }

    /// Whether a baseline can be made of it.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn check(&self, present: &Baseline) -> Result<(), String> {
        self.relearner.check().map_err(|error| error.to_string())?;
        match self.until(present).filter(|until| self.last.is_none_or(|last| last < *until)) {
            Some(until) => Err(format!("rows are needed until {until}: two cycles of its season")),
            None => Ok(()),
        }
    }

    /// The baseline of the version: what judges features is the present one's, what judges answers was counted.
    ///
    /// # Errors
    /// What is missing, and groups that would be lost in silence.
    pub(super) fn seal(self, present: &Baseline, version: &str, now: Timestamp) -> Result<Baseline, Error> {
        let wrong = |source: detect::Error| Error::Detect { model: present.model().to_owned(), source };
        let calibration = Calibration::read(present.calibration(), present.schema()).map_err(wrong)?;
        let calibration = self.relearner.finish(calibration).map_err(wrong)?;
        let profile = self.profile.of_version(version);
        let own = Provenance {
            source: format!("answers of version `{version}` in live traffic"),
            sha256: None,
            rows: profile.rows(),
            from: self.since.unwrap_or(now),
            to: self.last.unwrap_or(now),
            built_at: now,
            built_by: BUILT_BY.to_owned(),
            parts: Vec::new(),
        };
        let mut parts = vec![own.clone()];
        parts.extend(present.provenance().recordings().into_iter().cloned());
        let source = format!("{}, features as in {}", own.source, present.content_hash());
        let draft = Draft {
            name: present.name().to_owned(),
            provenance: Provenance { source, parts, ..own },
            seasonality: present.seasonality(),
            budget: present.budget(),
            rate: present.rate(),
            profile,
            calibration: serde_json::to_value(&calibration).map_err(Error::Hash)?,
            accepted_weak: Vec::new(),
        };
        let (baseline, weak) = seal(draft)?;
        refuse_new_weak(&weak, present.accepted_weak())?;
        Ok(baseline)
    }
}

/// A group that would be lost in silence is taken only where it was in the present baseline.
fn refuse_new_weak(weak: &[Weak], accepted: &[String]) -> Result<(), Error> {
    let new = weak.iter().find(|weak| !accepted.contains(&weak.group));
    new.map_or(Ok(()), |weak| Err(Error::NotLearnt(weak.to_string())))
}

impl Relearning {
    pub(super) fn new(nothing: Counted) -> Self {
        Self { counted: nothing.clone(), before: Vec::new(), nothing }
    }

    pub(super) const fn counted(&self) -> &Counted {
        &self.counted
    }

    /// Counts the next rows of the version; `row`: the rows that all versions without a baseline had before.
    pub(super) fn take(
        &mut self,
        (batch, unexpected): (&Batch, &BTreeMap<String, u64>),
        row: u64,
        now: Timestamp,
    ) -> Result<(), Error> {
        let steps = self.counted.relearner.steps();
        let then = self.before.last().map_or(0, |(_, counted)| counted.relearner.steps());
        if steps >= then + REMEMBER_STEPS.max(then / REMEMBER_PART) {
            if self.before.len() >= REMEMBERED {
                self.before.remove(0);
            }
            self.before.push((row, self.counted.clone()));
        }
        self.counted.take(batch, unexpected, now)
    }

    /// Takes back all that came since a row, counted as in [`Relearning::take`]: something was wrong from then on.
    pub(super) fn take_back(&mut self, since_row: u64) {
        self.before.retain(|(row, _)| *row <= since_row);
        self.go_back();
    }

    fn go_back(&mut self) {
        let taken_back = self.counted.taken_back.saturating_add(1);
        let before = self.before.last().map_or(&self.nothing, |(_, counted)| counted);
        self.counted = Counted { taken_back, ..before.clone() };
    }

    /// The same by time: all that came since.
    pub(super) fn take_back_since(&mut self, since: Timestamp) {
        if self.counted.last.is_none_or(|last| last < since) {
            return;
        }
        self.before.retain(|(_, counted)| counted.last.is_none_or(|last| last < since));
        self.go_back();
    }

    /// How far it is; `paused`: why its rows are not counted now, and whether that is in the way.
    pub(super) fn view(&self, version: &str, present: &Baseline, paused: &Paused) -> Relearnt {
        let counted = &self.counted;
        let missing = counted.check(present).err().or_else(|| paused.in_the_way());
        Relearnt {
            version: version.to_owned(),
            counted: counted.relearner.steps(),
            needed: RELEARN_STEPS_MIN,
            since: counted.since,
            until: counted.until(present),
            ready: missing.is_none(),
            missing,
            paused: paused.why(),
            unexpected: counted.unexpected.clone(),
        }
    }
}

/// Why rows of versions without a baseline are not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Paused {
    /// They are.
    No,
    /// A group of their features is latched.
    Latched { group: String, accepted: bool },
    /// A group of the rows of a version with a baseline is latched, and nobody accepted it.
    Elsewhere { group: String, version: String },
    /// The run that is under way.
    Run(String),
    /// Too many rows are lost.
    RowsLost,
}

impl Paused {
    pub(super) fn why(&self) -> Option<String> {
        match self {
            Self::No => None,
            Self::Run(run) => Some(format!("run `{run}` is under way: its faults are not learnt")),
            Self::Elsewhere { group, version } => {
                Some(format!("group `{group}` of version `{version}` is drifted"))
            }
            Self::RowsLost => Some("too many of the model's rows are lost".to_owned()),
            Self::Latched { group, accepted: false } => {
                Some(format!("group `{group}` of its features is drifted"))
            }
            Self::Latched { group, accepted: true } => Some(format!(
                "the change of group `{group}` was accepted: its features are not the present baseline's"
            )),
        }
    }

    /// What is latched would begin anew as if nothing were, and what judges a run does not change: nothing is
    /// taken over meanwhile.
    pub(super) fn in_the_way(&self) -> Option<String> {
        (*self != Self::RowsLost).then(|| self.why()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{Budget, Seasonality};
    use crate::record::{BatchBuilder, Record, SchemaFile};
    use crate::service::{LearnOptions, learn};
    use crate::tap::Source;
    use crate::units::PerSecond;

    /// A row of this time; its numbers look random.
    fn line(i: i64, millis: i64) -> String {
        let (a, b, score) = (1 + i * 7_919 % 99_991, 1 + i * 104_729 % 99_989, i * 6_007 % 9_973);
        format!(
            r#"{{"ts":{millis},"model":"m","features":{{"a":{a},"b":{b}}},"prediction":{{"score":{score}}}}}"#
        )
    }

    /// The baseline of two days, of which each hour is a reference of its own.
    fn daily() -> Baseline {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.ndjson");
        let rows: Vec<String> = (0..2_901).map(|i| line(i, i * 60_000)).collect();
        std::fs::write(&path, rows.join("\n")).unwrap();
        let options = LearnOptions {
            model: "m".to_owned(),
            name: "m".to_owned(),
            schema: SchemaFile::parse("version: '1'").unwrap(),
            budget: Budget::DEFAULT,
            rate: Some(PerSecond::of(1)),
            seasonality: Seasonality::HourOfDay,
            time_zone: "UTC".to_owned(),
            plan_of: None,
            accept_weak: true,
            now: Timestamp::from_millis(0),
        };
        learn(&Source::open(&path).unwrap(), &options, &|_, _| {}).unwrap()
    }

    /// That one weak group was accepted says nothing of another.
    #[test]
    fn only_the_same_weak_group_is_taken() {
        let weak = Weak {
            group: "output".to_owned(),
            rows: None,
            zero_share: 0.9,
            baseline_rows: 4_000,
            rows_needed: None,
            budget_needed: None,
        };
        let accepted = |groups: &[&str]| groups.iter().map(|&group| group.to_owned()).collect::<Vec<_>>();
        assert!(refuse_new_weak(std::slice::from_ref(&weak), &accepted(&["g", "output"])).is_ok());
        let refused = refuse_new_weak(&[weak], &accepted(&["g"])).unwrap_err().to_string();
        assert!(refused.starts_with("group `output` at 100 % zeros would never alarm"), "{refused}");
    }

    /// Rows of every hour are not enough where there is a season: it takes two cycles of it.
    #[test]
    fn a_season_takes_two_cycles() {
        let present = daily();
        let mut counted = Counted::nothing(&present).unwrap();
        let take = |counted: &mut Counted, i: i64, now: Timestamp| {
            let mut builder = BatchBuilder::new(Arc::clone(present.schema()));
            builder.push(&serde_json::from_str::<Record>(&line(i, now.as_millis())).unwrap());
            counted.take(&builder.finish().unwrap().0, &BTreeMap::new(), now).unwrap();
        };
        for i in 0..4_320 {
            take(&mut counted, i, Timestamp::from_millis(i * 20_000));
        }
        let missing = counted.check(&present).unwrap_err();
        assert_eq!(missing, "rows are needed until 1970-01-03T00:00:00.000000Z: two cycles of its season");
        take(&mut counted, 4_320, Timestamp::from_millis(2 * 86_400_000));
        counted.check(&present).unwrap();
        let sealed = counted.seal(&present, "2", Timestamp::from_millis(0)).unwrap();
        assert_eq!((sealed.schema().version.as_deref(), sealed.profile().rows()), (Some("2"), 4_321));
    }
}
