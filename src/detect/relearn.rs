//! The answers of another version of the model, counted into the bins of the present one's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Error;
use super::bins::Bin;
use super::bootstrap::RunLength;
use super::calibrate::{Calibration, Counter};
use super::stream::{Role, Source, Stream};
use crate::record::{Batch, Schema};
use crate::units::count;

/// Steps whose answers must be counted: as many as plan the bins of a baseline that is learnt from live rows.
pub const RELEARN_STEPS_MIN: u64 = 4_000;
/// Bytes kept to see whether steps depend on each other: several versions are counted beside each other, each
/// with how it was before, in a process that may have little memory.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// Answers of which more than this share lie in one interval, outside all that was planned for, or are none, are
/// answers whose change could not be seen: they need bins of their own, or are no reference.
const BLIND_SHARE: f64 = 0.5;
/// The same for one number or one category.
const CONSTANT_SHARE: f64 = 0.99;
/// Unless the present version's are so as well: the rest is no less than this part of what it was.
const REST_PART: f64 = 0.5;

/// Counts the answers of rows of another version; what judges features is carried over.
///
/// Streams are made of features or of answers, so none is left that the present version taught and the other one
/// contradicts; what features told of the present one's answers is not carried over. Counts only, no row is kept.
#[derive(Debug, Clone)]
pub struct Relearner {
    counter: Counter,
    /// What the present version answered.
    present: Arc<Calibration>,
}

impl Relearner {
    /// Ready for the first row.
    ///
    /// # Errors
    /// [`Error::NoZone`] when nobody knows the season's time zone.
    pub fn new(schema: &Schema, present: Calibration) -> Result<Self, Error> {
        let present = present.outputs_only();
        let counter = Counter::with_plan_of(schema, &present)?.by_hour().keeping(KEPT_BYTES_MAX);
        Ok(Self { counter, present: Arc::new(present) })
    }

    /// Reads the next rows of the version, in arrival order.
    pub fn observe(&mut self, batch: &Batch) {
        self.counter.observe(batch);
    }

    /// Answered steps read so far.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.counter.steps()
    }

    /// Whether they are enough, and such that a change would be seen.
    ///
    /// # Errors
    /// [`Error::NotRelearnt`] with what is missing.
    pub fn check(&self) -> Result<(), Error> {
        let steps = self.steps();
        let lacks = if steps < RELEARN_STEPS_MIN {
            let missing = RELEARN_STEPS_MIN - steps;
            Some(format!("{steps} of {RELEARN_STEPS_MIN} requests are counted, {missing} are missing"))
        } else {
            self.hours().or_else(|| self.broken()).or_else(|| self.blind())
        };
        lacks.map_or(Ok(()), |lacks| Err(Error::NotRelearnt(lacks)))
    }

    /// Hours that the present version was seen in and this one was not.
    fn hours(&self) -> Option<String> {
        let pairs = self.present.seen.iter().zip(self.counter.seen());
        let missing = pairs.filter(|(present, own)| **present > 0 && **own == 0).count();
        (missing > 0).then(|| format!("{missing} hours of its season had no row yet"))
    }

    fn broken(&self) -> Option<String> {
        let Err(Error::ContractBroken { column, rows }) = self.counter.check_contracts() else { return None };
        Some(format!("{rows} of its rows break the declared contract of `{column}`"))
    }

    fn blind(&self) -> Option<String> {
        let pairs = self.counter.streams().iter().zip(&self.present.streams);
        let found = pairs.filter_map(|(own, present)| Some((own, blind_in(own, present)?)));
        let (stream, (share, what)) = found.max_by(|a, b| a.1.0.total_cmp(&b.1.0))?;
        Some(format!(
            "{:.0} % of its answers `{}` {what}, where no change of them would be seen: build a baseline of its own rows",
            share * 100.0,
            stream.name
        ))
    }

    /// The present calibration with these answers in the place of its own.
    ///
    /// Of how much news comes in clumps the larger measure stays, and the run length of the two together was not
    /// measured.
    ///
    /// # Errors
    /// Those of [`Relearner::check`].
    pub fn finish(self, present: Calibration) -> Result<Calibration, Error> {
        self.check()?;
        let answers = self.counter.finish()?;
        let mut own = answers.streams.into_iter();
        let mut all = present;
        all.forget_answers_relations();
        let of_answers: BTreeSet<String> =
            all.streams.iter().filter(|s| s.role == Role::Output).map(|s| s.name.clone()).collect();
        for stream in all.streams.iter_mut().filter(|stream| stream.role == Role::Output) {
            let next = own.next().filter(|next| next.source == stream.source);
            let lost = || Error::NotRelearnt(format!("the bins of `{}` are another baseline's", stream.name));
            *stream = next.ok_or_else(lost)?;
        }
        for stream in &mut all.streams {
            stream.influence = super::stream::usual();
        }
        all.output_rows = Some(answers.rows);
        // What this version's answers cost nobody knows yet.
        all.labels = None;
        all.clustered |= answers.clustered;
        all.entities = match (all.entities, answers.entities) {
            (Some(present), Some(own)) => Some(present.max(own)),
            (present, own) => present.or(own),
        };
        all.memory = all.memory.max(answers.memory);
        for names in [&mut all.unchecked, &mut all.unlike] {
            names.retain(|name| !of_answers.contains(name));
        }
        all.unchecked.extend(answers.unchecked);
        all.run_length = RunLength::NoRows;
        Ok(all)
    }
}

/// Answers that cannot be told apart.
struct Alike {
    what: &'static str,
    /// The share of steps from which on that is too much.
    most: f64,
    /// Whether different bins of them cannot be told apart either.
    together: bool,
}

impl Alike {
    const fn of(bin: &Bin) -> Option<Self> {
        let (what, most, together) = match bin {
            Bin::Null => ("are null", BLIND_SHARE, true),
            Bin::WrongType => ("are of another type", BLIND_SHARE, true),
            Bin::NotANumber | Bin::Infinite => ("are no finite number", BLIND_SHARE, true),
            Bin::BelowRange | Bin::AboveRange | Bin::FarBelow | Bin::FarAbove | Bin::Unseen => {
                ("lie outside of what the present baseline has", BLIND_SHARE, true)
            }
            Bin::Between(..) | Bin::OtherCategory => {
                ("lie in one bin of the present baseline", BLIND_SHARE, false)
            }
            Bin::Zero | Bin::Default | Bin::Number(_) | Bin::Category(_) => {
                ("are one and the same", CONSTANT_SHARE, false)
            }
            _ => return None,
        };
        Some(Self { what, most, together })
    }
}

/// By what they are: the largest share of a stream's steps that cannot be told apart, and the most that it may be.
fn shares(stream: &Stream) -> BTreeMap<&'static str, (f64, f64)> {
    let mut shares = BTreeMap::new();
    for (index, bin) in stream.bins.iter().enumerate() {
        let Some(Alike { what, most, together }) = Alike::of(bin) else { continue };
        let (hits, trials) = stream.pooled(index);
        let share = if trials > 0.0 { hits / trials } else { 0.0 };
        let (of_all, _) = shares.entry(what).or_insert((0.0, most));
        if together {
            *of_all += share;
        } else if share > *of_all {
            *of_all = share;
        }
    }
    shares
}

/// Where too many answers cannot be told apart and the present version's could.
fn blind_in(own: &Stream, present: &Stream) -> Option<(f64, &'static str)> {
    if !matches!(own.source, Source::Column { .. }) {
        return None;
    }
    let before = shares(present);
    let too_many = shares(own).into_iter().filter(|(what, (share, most))| {
        let rest = 1.0 - before.get(what).map_or(0.0, |(share, _)| *share);
        share > most && 1.0 - share < REST_PART * rest
    });
    too_many.map(|(what, (share, _))| (share, what)).max_by(|a, b| a.0.total_cmp(&b.0))
}

const fn is_relation(stream: &Stream) -> bool {
    matches!(stream.source, Source::Joint { .. })
}

impl Calibration {
    /// Without what features told of another version's answers.
    fn forget_answers_relations(&mut self) {
        let known = self.streams.len();
        self.streams.retain(|stream| stream.role != Role::Output || !is_relation(stream));
        if self.streams.len() < known {
            Arc::make_mut(&mut self.joint).forget_answers();
        }
    }

    /// The same with the model's answers alone. What features told of them is another version's.
    fn outputs_only(mut self) -> Self {
        self.streams.retain(|stream| stream.role == Role::Output && !is_relation(stream));
        self
    }

    /// The steps that a stream was counted over.
    pub(super) fn rows_of(&self, stream: &Stream) -> u64 {
        match (stream.role, self.output_rows) {
            (Role::Output, Some(rows)) => rows,
            _ => self.rows,
        }
    }

    /// The share of steps of which a stream tells something.
    pub(super) fn told_share(&self, stream: &Stream) -> f64 {
        let (told, rows) = (stream.told(), count(self.rows_of(stream)));
        if told < rows {
            told / rows
        } else if told > 0.0 {
            1.0
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::Float64Array;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::baseline::{Budget, Seasonality};
    use crate::detect::{Finding, Monitor, Options, Promise, Season};
    use crate::record::{Cells, Column, Contract, Kind, Meta, Role as ColumnRole, Values};
    use crate::units::{PerSecond, Timestamp};

    /// Requests of the present version's baseline, a minute apart: two weeks.
    const PRESENT: usize = 20_160;
    const MINUTE: i64 = 60_000;

    fn schema(most: Option<f64>) -> Arc<Schema> {
        let column = |name: &str, role, group: &str, max| Column {
            name: name.into(),
            role,
            kind: Kind::Numeric,
            group: group.into(),
            default: None,
            contract: Contract { max, ..Contract::default() },
            vector: None,
        };
        let columns = vec![
            column("a", ColumnRole::Input, "g", None),
            column("b", ColumnRole::Input, "g", None),
            column("score", ColumnRole::Output, "output", most),
        ];
        Arc::new(Schema::new("m".into(), None, columns).unwrap())
    }

    /// Rows a step of time apart, with scores made of numbers that are new and of the one before.
    fn rows(
        schema: &Arc<Schema>,
        (n, millis): (usize, i64),
        mut score: impl FnMut(f64, f64) -> f64,
    ) -> Batch {
        let mut random = StdRng::seed_from_u64(n as u64);
        let mut cells: [Vec<f64>; 3] = Default::default();
        let mut last = 0.5;
        for _ in 0..n {
            cells[0].push(random.random());
            cells[1].push(random.random());
            last = score(random.random(), last);
            cells[2].push(last);
        }
        let of = |c: Vec<f64>| Cells::new("c", Values::Number(Float64Array::from(c)), None).unwrap();
        let times = (0..n).map(|i| Timestamp::from_millis(millis * i as i64)).collect();
        Batch::new(Arc::clone(schema), cells.map(of).into(), Meta::of_times(times)).unwrap()
    }

    fn present(schema: &Arc<Schema>, seasonality: Seasonality) -> Calibration {
        let batch = rows(schema, (PRESENT, MINUTE), |new, _| new);
        let season = Season { seasonality, zone: "UTC".to_owned() };
        Calibration::fit(&batch, season).unwrap()
    }

    fn alarms(schema: &Arc<Schema>, calibration: &Calibration, rows: &Batch) -> Vec<String> {
        let options =
            Options { budget: Budget::Rows(100_000), rate: PerSecond::of(100), without: BTreeSet::new() };
        let mut monitor = Monitor::new(Arc::clone(schema), calibration.clone(), options).unwrap();
        let raised = monitor.observe(rows).into_iter().filter_map(|finding| match finding {
            Finding::Raised(alarm) => Some(alarm.group),
            _ => None,
        });
        raised.collect()
    }

    fn lacks(relearner: &Relearner) -> String {
        relearner.check().unwrap_err().to_string()
    }

    /// What judges features stays as it was; answers are judged by the other version's, all of which its streams
    /// were told, however many rows the features had.
    #[test]
    fn features_stay_and_answers_are_another_versions() {
        let schema = schema(None);
        let cost =
            r#"{"of":{"loss":"brier"},"requests":100,"sum":10.0,"losses":{"0":90,"4096":10},"unscored":0}"#;
        let cost: crate::detect::Reference = serde_json::from_str(cost).unwrap();
        assert!(cost.check().is_ok());
        let present = present(&schema, Seasonality::None).with_labels(Some(cost));
        let squared = |new: f64, _: f64| new * new;
        let mut relearner = Relearner::new(&schema, present.clone()).unwrap();
        relearner.observe(&rows(&schema, (3_999, MINUTE), squared));
        assert_eq!(lacks(&relearner), "3999 of 4000 requests are counted, 1 are missing");
        assert!(relearner.clone().finish(present.clone()).is_err());
        relearner.observe(&rows(&schema, (1_001, MINUTE), squared));
        let both = relearner.finish(present.clone()).unwrap();
        assert_eq!(
            (both.rows, both.output_rows, both.promise()),
            (present.rows, Some(5_000), Promise::Proven)
        );
        assert!(both.labels().is_none(), "what the other version's answers cost is not known");
        let pairs = || both.streams.iter().zip(&present.streams);
        for (stream, before) in pairs() {
            assert_eq!((&stream.source, &stream.name), (&before.source, &before.name));
            assert_eq!(stream.counts == before.counts, stream.role != Role::Output, "{:?}", stream.source);
            if matches!(stream.source, Source::Column { .. }) {
                assert!((both.told_share(stream) - 1.0).abs() < 1e-9, "{}", stream.name);
            }
        }
        let kept = Calibration::read(&serde_json::to_value(&both).unwrap(), &schema).unwrap();
        assert_eq!(kept, both);
        let mut damaged = serde_json::to_value(&both).unwrap();
        damaged["output_rows"] = 0.into();
        assert!(Calibration::read(&damaged, &schema).is_err());
        assert_eq!(alarms(&schema, &both, &rows(&schema, (8_000, 10), squared)), Vec::<String>::new());
        assert_eq!(alarms(&schema, &both, &rows(&schema, (3_000, 10), |new, _| new)), ["output"]);
        let mut merged = both.clone();
        merged.merge(&both).unwrap();
        assert_eq!((merged.rows, merged.output_rows), (2 * both.rows, Some(10_000)));
    }

    /// Answers that depend on each other take the promise of features that do not with them.
    #[test]
    fn dependent_answers_are_calibrated() {
        let schema = schema(None);
        let present = present(&schema, Seasonality::None);
        let mut relearner = Relearner::new(&schema, present.clone()).unwrap();
        relearner.observe(&rows(&schema, (6_000, MINUTE), |new, last| 0.9 * last + 0.1 * new));
        let both = relearner.finish(present).unwrap();
        assert_eq!(both.promise(), Promise::Calibrated);
        assert!(both.told_promise().contains("not bootstrapped"), "{}", both.told_promise());
    }

    /// Hours that are alike in the present version's answers need not be so in the other's: each has its own table
    /// then, and in no hour is what is usual there an alarm.
    #[test]
    fn hours_of_answers_are_found_anew() {
        let schema = schema(None);
        let present = present(&schema, Seasonality::HourOfDay);
        // By minute: half of the day low, the other half high.
        let by_hour = |seed_minutes: usize| {
            let mut minute = 0;
            rows(&schema, (seed_minutes, MINUTE), move |new, _| {
                minute += 1;
                if minute / 720 % 2 == 0 { 0.5 * new } else { 0.5 + 0.5 * new }
            })
        };
        let mut relearner = Relearner::new(&schema, present.clone()).unwrap();
        relearner.observe(&by_hour(PRESENT));
        let both = relearner.finish(present.clone()).unwrap();
        let tables = |of: &Calibration| {
            let answers = of.streams.iter().filter(|s| s.role == Role::Output && s.name == "score");
            answers.map(|s| s.counts.len()).max()
        };
        assert_eq!((tables(&present), tables(&both)), (Some(1), Some(24)));
        // Its rate is none of this test's.
        assert!(!alarms(&schema, &both, &by_hour(PRESENT - 1)).contains(&"output".to_owned()));
    }

    /// A season is relearnt in all of its hours, and rows that break a declared rule are no reference.
    #[test]
    fn what_is_no_reference_is_refused() {
        let plain = schema(None);
        let hourly = present(&plain, Seasonality::HourOfDay);
        let mut relearner = Relearner::new(&plain, hourly).unwrap();
        relearner.observe(&rows(&plain, (5_000, 100), |new, _| new));
        assert_eq!(lacks(&relearner), "23 hours of its season had no row yet");
        relearner.observe(&rows(&plain, (1_500, MINUTE), |new, _| new));
        assert!(relearner.check().is_ok());

        let blind = |score: fn(f64, f64) -> f64| {
            let mut relearner = Relearner::new(&plain, present(&plain, Seasonality::None)).unwrap();
            relearner.observe(&rows(&plain, (5_000, MINUTE), score));
            lacks(&relearner)
        };
        assert!(blind(|_, _| 0.0).starts_with("100 % of its answers `score` are one and the same"));
        assert!(blind(|_, _| f64::NAN).contains("`score` are no finite number"));
        assert!(blind(|new, _| 5.0 + new).contains("`score` lie outside of what the present baseline has"));
        assert!(blind(|new, _| 0.5 + new / 1e3).contains("`score` lie in one bin"));

        let ruled = schema(Some(1.0));
        let mut relearner = Relearner::new(&ruled, present(&ruled, Seasonality::None)).unwrap();
        relearner.observe(&rows(&ruled, (5_000, 100), |new, _| if new < 0.01 { 1.5 } else { new }));
        assert!(lacks(&relearner).contains("rows break the declared contract of `score`"));
    }
}
