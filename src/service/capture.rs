use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Error;
use super::judge::add_bounded;
use super::learn::{BUILT_BY, LearnOptions, seal};
use crate::baseline::{self, Baseline, Draft, Provenance};
use crate::detect::{Learner, ReferenceLearner, Weak};
use crate::profile::Profile;
use crate::record::{BatchBuilder, Observed, Record, Scalar, Schema, infer};
use crate::units::{PerSecond, Timestamp, count, whole};

/// Records from which the columns are inferred; they wait in memory until then.
const SCHEMA_ROWS: usize = 1_000;
/// Fewer do when they hold as many cells as this.
const SCHEMA_CELLS: usize = 2_000_000;
/// After this part of the time no more rows plan bins than must.
const PLAN_PART: u32 = 8;

/// A baseline to be learnt from live rows.
#[derive(Debug, Clone)]
pub struct Capture {
    /// What to learn and how; its time is not looked at.
    pub options: LearnOptions,
    /// How long, from the first row on.
    pub length: Duration,
}

/// How far learning is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Learning {
    /// Rows taken.
    pub rows: u64,
    /// Requests that chose the bins, and those that were counted.
    pub planned: u64,
    /// Requests that were counted.
    pub counted: u64,
    /// When the first row came.
    pub since: Option<Timestamp>,
    /// When enough time will have passed; absent before the first row.
    pub until: Option<Timestamp>,
    /// Why nothing more is learnt, when that is so.
    pub failed: Option<String>,
}

/// What was learnt.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The baseline.
    pub baseline: Baseline,
    /// Groups that would be lost in silence.
    pub weak: Vec<Weak>,
    /// Rows by feature that came only after the columns were settled.
    pub unexpected: BTreeMap<String, u64>,
    /// Rows by other version, which were left out.
    pub other_versions: BTreeMap<String, u64>,
}

/// One model whose baseline is being learnt: counts only, no row is kept.
#[derive(Debug)]
pub(super) struct Capturing {
    capture: Capture,
    phase: Phase,
    since: Option<Timestamp>,
    last: Option<Timestamp>,
    rows: u64,
    unexpected: BTreeMap<String, u64>,
    other_versions: BTreeMap<String, u64>,
}

#[derive(Debug)]
enum Phase {
    /// The columns are not known yet.
    Waiting {
        observed: Box<Observed>,
        records: Vec<Record>,
        cells: usize,
    },
    Learning {
        learner: Box<Learner>,
        profile: Box<Profile>,
        labels: Box<ReferenceLearner>,
    },
    Failed(String),
}

impl Capturing {
    pub(super) fn new(capture: Capture) -> Result<Self, Error> {
        let phase = match capture.options.plan()? {
            None => Phase::Waiting { observed: Box::default(), records: Vec::new(), cells: 0 },
            Some((schema, plan)) => {
                let learner = Learner::with_plan_of(Arc::clone(&schema), &plan);
                Phase::learning(schema, learner.map_err(|e| capture.options.wrong(e))?)
            }
        };
        let (unexpected, other_versions) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { capture, phase, since: None, last: None, rows: 0, unexpected, other_versions })
    }

    pub(super) fn model(&self) -> &str {
        &self.capture.options.model
    }

    pub(super) fn view(&self) -> Learning {
        let (planned, counted) = match &self.phase {
            Phase::Learning { learner, .. } => learner.steps(),
            Phase::Waiting { .. } | Phase::Failed(_) => (0, 0),
        };
        let failed = match &self.phase {
            Phase::Failed(why) => Some(why.clone()),
            Phase::Waiting { .. } | Phase::Learning { .. } => None,
        };
        let until = self.since.map(|since| since.plus(self.capture.length));
        Learning { rows: self.rows, planned, counted, since: self.since, until, failed }
    }

    /// Takes the next records of the model, in arrival order.
    pub(super) fn take(&mut self, records: &[Record], now: Timestamp) -> Result<(), Error> {
        if let Phase::Failed(why) = &self.phase {
            return Err(Error::NotLearnt(why.clone()));
        }
        let records: Vec<&Record> = records.iter().filter(|r| self.is_of_version(r)).collect();
        if records.is_empty() {
            return Ok(());
        }
        self.rows += whole(records.len());
        self.last = Some(now);
        let since = *self.since.get_or_insert(now);
        let taken = self.learn(&records, now >= since.plus(self.capture.length / PLAN_PART));
        if let Err(error) = &taken {
            self.phase = Phase::Failed(error.to_string());
        }
        taken
    }

    /// A row that says that another version answered is not of this one.
    fn is_of_version(&mut self, record: &Record) -> bool {
        let expected = match &self.phase {
            Phase::Learning { learner, .. } => learner.schema().version.as_deref(),
            Phase::Waiting { .. } | Phase::Failed(_) => self.capture.options.schema.version.as_deref(),
        };
        let other = record.version.as_deref().filter(|v| expected.is_some_and(|expected| expected != *v));
        if let Some(version) = other {
            add_bounded(&mut self.other_versions, version, 1);
        }
        other.is_none()
    }

    fn learn(&mut self, new: &[&Record], hurries: bool) -> Result<(), Error> {
        if let Phase::Waiting { observed, records, cells } = &mut self.phase {
            for record in new {
                observed.record(record);
                *cells += record.features.values().map(Scalar::width).sum::<usize>();
                records.push(Record::clone(record));
            }
            if records.len() < SCHEMA_ROWS && *cells < SCHEMA_CELLS {
                return Ok(());
            }
            return self.settle(hurries);
        }
        self.count(new, hurries)
    }

    /// Infers the columns from the records that waited, and learns from these.
    fn settle(&mut self, hurries: bool) -> Result<(), Error> {
        let Phase::Waiting { observed, records, .. } = &mut self.phase else { return Ok(()) };
        let options = &self.capture.options;
        let in_first = |source| {
            Error::NotLearnt(format!(
                "in the first {} rows of model `{}`: {source}",
                records.len(),
                options.model
            ))
        };
        let schema = infer(&options.model, &options.schema, observed).map_err(in_first)?;
        let (schema, waiting) = (Arc::new(schema), std::mem::take(records));
        let learner = Learner::new(Arc::clone(&schema), options.season());
        self.phase = Phase::learning(schema, learner);
        self.count(&waiting.iter().collect::<Vec<_>>(), hurries)
    }

    fn count(&mut self, records: &[&Record], hurries: bool) -> Result<(), Error> {
        let Phase::Learning { learner, profile, labels } = &mut self.phase else { return Ok(()) };
        let options = &self.capture.options;
        let mut builder = BatchBuilder::new(Arc::clone(learner.schema()));
        records.iter().for_each(|record| builder.push(record));
        let wrong = |source| Error::Batch { model: options.model.clone(), source };
        let (batch, unexpected) = builder.finish().map_err(wrong)?;
        for (name, rows) in &unexpected {
            add_bounded(&mut self.unexpected, name, *rows);
        }
        if hurries {
            learner.hurry();
        }
        profile.observe(&batch)?;
        labels.observe(&batch);
        learner.observe(&batch).map_err(|e| options.wrong(e))
    }

    /// The baseline of what was learnt so far.
    pub(super) fn finish(mut self, now: Timestamp) -> Result<Captured, Error> {
        if self.since.is_none() {
            return Err(Error::NotLearnt("no row came".to_owned()));
        }
        self.settle(true)?;
        let rate = self.rate();
        let wrong = |e| self.capture.options.wrong(e);
        let (learner, profile, labels) = match self.phase {
            Phase::Learning { learner, profile, labels } => (learner, *profile, labels),
            Phase::Waiting { .. } => return Err(Error::NotLearnt("no row came".to_owned())),
            Phase::Failed(why) => return Err(Error::NotLearnt(why)),
        };
        let calibration = learner.finish().map_err(wrong)?.with_labels(labels.finish());
        let options = &self.capture.options;
        let draft = Draft {
            name: options.name.clone(),
            provenance: Provenance {
                source: "live traffic".to_owned(),
                sha256: None,
                rows: profile.rows(),
                from: self.since.unwrap_or(now),
                to: self.last.unwrap_or(now),
                built_at: now,
                built_by: BUILT_BY.to_owned(),
                parts: Vec::new(),
            },
            seasonality: options.seasonality,
            budget: options.budget,
            rate: rate?,
            profile,
            calibration: serde_json::to_value(&calibration).map_err(Error::Hash)?,
            accepted_weak: Vec::new(),
        };
        let (baseline, weak) = seal(draft)?;
        Ok(Captured { baseline, weak, unexpected: self.unexpected, other_versions: self.other_versions })
    }

    /// Requests a second, by our own clock: senders' clocks may lead or lag.
    fn rate(&self) -> Result<PerSecond, Error> {
        if let Some(rate) = self.capture.options.rate {
            return Ok(rate);
        }
        let view = self.view();
        let seconds = self.since.zip(self.last).map(|(first, last)| last.seconds_since(first));
        let unknown = || baseline::Error::RateUnknown("all rows came at once".to_owned());
        let seconds = seconds.filter(|s| *s > 0.0).ok_or_else(unknown)?;
        Ok(PerSecond::new(count(view.planned + view.counted) / seconds)?)
    }
}

impl Phase {
    fn learning(schema: Arc<Schema>, learner: Learner) -> Self {
        let labels = Box::new(ReferenceLearner::new(&schema));
        Self::Learning { learner: Box::new(learner), profile: Box::new(Profile::new(schema)), labels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{Budget, Seasonality};
    use crate::record::SchemaFile;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn options(schema: &str) -> LearnOptions {
        LearnOptions {
            model: "m".to_owned(),
            name: "m".to_owned(),
            schema: SchemaFile::parse(schema).unwrap(),
            budget: Budget::DEFAULT,
            rate: None,
            seasonality: Seasonality::None,
            time_zone: "UTC".to_owned(),
            plan_of: None,
            accept_weak: false,
            now: at(0),
        }
    }

    fn capturing(options: LearnOptions) -> Capturing {
        Capturing::new(Capture { options, length: Duration::from_secs(80) }).unwrap()
    }

    fn record(i: i64, more: &str) -> Record {
        let (a, b) = (1 + i * 7_919 % 99_991, 1 + i * 104_729 % 99_989);
        let line = format!(
            r#"{{"ts":{},"model":"m","request_id":"r{i}","features":{{"a":{a},"b":{b}{more}}},"prediction":{{"score":{}}}}}"#,
            10 * i,
            i % 89
        );
        serde_json::from_str(&line).unwrap()
    }

    /// Rows from..to, a hundred a second, in bodies of 250.
    fn take(capturing: &mut Capturing, rows: std::ops::Range<i64>, more: &str) {
        let records: Vec<Record> = rows.clone().map(|i| record(i, more)).collect();
        for (body, i) in records.chunks(250).zip(0..) {
            capturing.take(body, at(10 * (rows.start + 250 * i))).unwrap();
        }
    }

    /// The columns settle, the first rows plan until an eighth of the time is over, the others count; what
    /// comes too late is told, and the rate is that of arrival.
    #[test]
    fn live_rows_become_a_baseline() {
        let mut live = capturing(options("groups: {\"redis:u\": [a, b]}"));
        assert_eq!(live.view().until, None);
        take(&mut live, 0..6_000, "");
        take(&mut live, 6_000..8_001, r#","late":1"#);
        let view = live.view();
        assert_eq!((view.rows, view.planned, view.counted), (8_001, 4_000, 4_001));
        assert_eq!((view.since, view.until), (Some(at(0)), Some(at(80_000))));
        let learnt = live.finish(at(90_000)).unwrap();
        assert_eq!(learnt.unexpected, BTreeMap::from([("late".to_owned(), 2_001)]));
        assert!(learnt.weak.is_empty());
        let baseline = learnt.baseline;
        assert_eq!((baseline.profile().rows(), baseline.schema().columns.len()), (8_001, 3));
        assert!((baseline.rate().get() - 100.0).abs() < 0.1, "{}", baseline.rate());
        assert_eq!(baseline.provenance().source, "live traffic");
        let text = String::from_utf8(baseline.to_bytes().unwrap()).unwrap();
        assert!(!text.contains("r17"), "no row is kept");
    }

    /// Rows that carry their label at once say what the answers cost.
    #[test]
    fn labels_of_live_rows_are_learnt() {
        let mut live = capturing(options("{}"));
        let labelled = |i: i64| {
            let mut record = record(i, "");
            let score = f64::from(u8::try_from(i % 89).unwrap()) / 100.0;
            let answer = record.prediction.as_mut().unwrap();
            answer.score = Some(crate::record::Scalar::Number(score));
            record.label = Some(crate::record::Scalar::Bool(i % 3 == 0));
            record
        };
        for i in 0..32 {
            let body: Vec<Record> = (250 * i..250 * (i + 1)).map(labelled).collect();
            live.take(&body, at(2_500 * i)).unwrap();
        }
        let baseline = live.finish(at(90_000)).unwrap().baseline;
        let labels = crate::detect::Calibration::labels_of(baseline.calibration()).unwrap().unwrap();
        assert_eq!((labels.requests(), labels.loss().name()), (8_000, "brier"));
    }

    /// Too little, nothing, and rows without a time between them are no baseline.
    #[test]
    fn too_little_is_no_baseline() {
        let refused = |rows: i64| {
            let mut live = capturing(options("{}"));
            take(&mut live, 0..rows, "");
            live.finish(at(90_000)).unwrap_err().to_string()
        };
        assert_eq!(refused(0), "no row came");
        for rows in [1, 999, 3_000, 4_050] {
            assert!(refused(rows).contains("expected at least 4100"), "{rows}: {}", refused(rows));
        }
        let mut live = capturing(options("{}"));
        let all: Vec<Record> = (0..30_000).map(|i| record(i, "")).collect();
        live.take(&all, at(5)).unwrap();
        assert!(live.finish(at(9)).unwrap_err().to_string().contains("all rows came at once"));
    }

    /// Columns that cannot be settled end it at once, and not after two days; the rows after are refused.
    #[test]
    fn columns_that_cannot_be_are_told_at_once() {
        let mut live = capturing(options("groups: {g: [a, c]}"));
        let all: Vec<Record> = (0..1_000).map(|i| record(i, "")).collect();
        let refused = live.take(&all, at(0)).unwrap_err().to_string();
        assert!(refused.contains("first 1000 rows") && refused.contains("`c`"), "{refused}");
        assert_eq!(live.view().failed.as_ref(), Some(&refused));
        assert!(live.take(&all, at(1)).is_err());
        assert!(live.finish(at(2)).is_err());
    }

    /// Rows of another version are left out and told; rows that say none are taken.
    #[test]
    fn other_versions_are_left_out() {
        let mut live = capturing(options("version: '2'"));
        let mut all: Vec<Record> = (0..300).map(|i| record(i, "")).collect();
        for (row, i) in all.iter_mut().zip(0..) {
            row.version = [None, Some("2".to_owned()), Some("1".to_owned())][i % 3].clone();
        }
        live.take(&all, at(0)).unwrap();
        assert_eq!(live.view().rows, 200);
        assert_eq!(live.other_versions, BTreeMap::from([("1".to_owned(), 100)]));
    }

    /// A second capture with the plan of the first counts from its first row, and the two merge; another
    /// season has another plan.
    #[test]
    fn a_second_capture_merges_with_the_first() {
        let mut first = capturing(options("{}"));
        take(&mut first, 0..8_000, "");
        let first = first.finish(at(90_000)).unwrap().baseline;
        let planned = LearnOptions { plan_of: Some(first.clone()), ..options("{}") };
        let mut second = capturing(planned.clone());
        take(&mut second, 10_000..11_000, "");
        assert_eq!((second.view().planned, second.view().counted), (0, 1_000));
        let second = second.finish(at(190_000)).unwrap().baseline;
        let how = super::super::MergeOptions { budget: None, accept_weak: false, now: at(200_000) };
        let merged = super::super::merge(&first, &second, &how).unwrap();
        assert_eq!(merged.profile().rows(), 9_000);
        assert_eq!(merged.provenance().recordings().len(), 2);
        let again = super::super::merge(&merged, &second, &how).unwrap_err().to_string();
        assert!(again.contains("another recording"), "{again}");
        for wrong in [
            LearnOptions { seasonality: Seasonality::HourOfDay, ..planned.clone() },
            LearnOptions { model: "n".to_owned(), ..planned },
        ] {
            let refused =
                Capturing::new(Capture { options: wrong, length: Duration::from_secs(1) }).unwrap_err();
            assert!(matches!(refused, Error::PlanOf { .. }), "{refused}");
        }
    }
}
