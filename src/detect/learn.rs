//! A calibration from rows that come once: the first steps plan the bins, all later ones are counted.

use std::sync::Arc;

use super::Error;
use super::calibrate::{Calibration, Counter, Planner, ROWS_MIN};
use super::hours::Season;
use super::steps::Steps;
use crate::record::{Batch, Schema};

/// Steps that plan bins, at the least and at the most.
const PLAN_STEPS_MIN: u64 = 4_000;
const PLAN_STEPS_MAX: u64 = 10_000;
/// Rows that plan bins, at the most: a step may have many.
const PLAN_ROWS_MAX: usize = 200_000;

/// Learns from live rows in one pass, and keeps none of them.
///
/// Beside counts it holds the values of the steps that plan the bins, a bounded number, until they are
/// planned. Those steps are counted nowhere, so no bin is judged by the rows that chose it.
#[derive(Debug)]
pub struct Learner {
    schema: Arc<Schema>,
    planned: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Planning(Box<Planning>),
    Counting(Box<Counter>),
    /// Bins could not be made: it has been said why.
    Failed,
}

#[derive(Debug)]
struct Planning {
    planner: Planner,
    steps: Steps,
    rows: usize,
    /// Steps after which counting begins.
    until: u64,
}

impl Learner {
    /// Ready for the first row, which plans.
    #[must_use]
    pub fn new(schema: Arc<Schema>, season: Season) -> Self {
        let planner = Planner::of_all(Arc::clone(&schema), season);
        let planning = Planning { planner, steps: Steps::default(), rows: 0, until: PLAN_STEPS_MAX };
        Self { schema, planned: 0, phase: Phase::Planning(Box::new(planning)) }
    }

    /// Ready for the first row, which is counted into the bins of an earlier calibration.
    ///
    /// # Errors
    /// [`Error::NoZone`] when nobody knows its season's time zone.
    pub fn with_plan_of(schema: Arc<Schema>, calibration: &Calibration) -> Result<Self, Error> {
        let counter = Counter::with_plan_of(&schema, calibration)?;
        Ok(Self { schema, planned: 0, phase: Phase::Counting(Box::new(counter)) })
    }

    /// Lets no more steps plan than are needed: for traffic that is slow against the time there is.
    pub fn hurry(&mut self) {
        if let Phase::Planning(planning) = &mut self.phase {
            planning.until = PLAN_STEPS_MIN;
        }
    }

    /// Answered steps that planned bins, and those that were counted.
    #[must_use]
    pub const fn steps(&self) -> (u64, u64) {
        match &self.phase {
            Phase::Planning(planning) => (planning.planner.steps(), 0),
            Phase::Counting(counter) => (self.planned, counter.steps()),
            Phase::Failed => (self.planned, 0),
        }
    }

    /// Reads the next rows, in arrival order.
    ///
    /// # Errors
    /// [`Error::NoZone`] when nobody knows the season's time zone; nothing is learnt from then on.
    pub fn observe(&mut self, batch: &Batch) -> Result<(), Error> {
        let counted_from = match &mut self.phase {
            Phase::Planning(planning) => planning.observe(batch),
            Phase::Counting(_) | Phase::Failed => Some(0),
        };
        let Some(from) = counted_from else { return Ok(()) };
        self.begin_counting()?;
        if let Phase::Counting(counter) = &mut self.phase {
            counter.observe_from(batch, from);
        }
        Ok(())
    }

    fn begin_counting(&mut self) -> Result<(), Error> {
        if !matches!(self.phase, Phase::Planning(_)) {
            return Ok(());
        }
        if let Phase::Planning(planning) = std::mem::replace(&mut self.phase, Phase::Failed) {
            self.planned = planning.planner.steps();
            self.phase = Phase::Counting(Box::new(planning.planner.finish_for_others()?));
        }
        Ok(())
    }

    /// The schema of its rows.
    #[must_use]
    pub const fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The calibration, of the rows that were counted.
    ///
    /// # Errors
    /// [`Error::TooFewRows`] when nothing, or next to nothing, was counted; [`Error::ContractBroken`]
    /// when the rows break a declared rule.
    pub fn finish(self) -> Result<Calibration, Error> {
        let (planned, counted) = self.steps();
        match self.phase {
            Phase::Counting(counter) if counted >= ROWS_MIN => counter.finish(),
            Phase::Planning(planning) => {
                Err(Error::TooFewRows { rows: planned, expected: planning.until + ROWS_MIN })
            }
            Phase::Counting(_) | Phase::Failed => {
                Err(Error::TooFewRows { rows: planned + counted, expected: planned + ROWS_MIN })
            }
        }
    }
}

impl Planning {
    /// Reads rows until enough steps have planned: the row from which on they are to be counted.
    fn observe(&mut self, batch: &Batch) -> Option<usize> {
        for row in 0..batch.len() {
            // A step is never cut: its rows are not independent of each other.
            let begins = self.steps.begins(batch, row);
            if begins && (self.planner.steps() >= self.until || self.rows >= PLAN_ROWS_MAX) {
                return Some(row);
            }
            if self.rows < PLAN_ROWS_MAX {
                self.planner.observe_row(batch, row);
                self.rows += 1;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::stream::Source;
    use super::*;
    use crate::record::{BatchBuilder, Column, Kind, Record, Role};

    fn schema() -> Arc<Schema> {
        let column = |name: &str, role, group: &str| Column::plain(name, role, Kind::Numeric, group);
        let columns = vec![
            column("a", Role::Input, "g"),
            column("b", Role::Input, "g"),
            column("score", Role::Output, "output"),
        ];
        Arc::new(Schema::new("m".into(), None, columns).unwrap())
    }

    /// Rows of requests of `of` rows each.
    fn rows(seed: u64, n: usize, of: usize) -> Vec<Record> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut number = || random.random_range(1..1_000_000);
        (0..n)
            .map(|i| {
                let (a, b, score) = (number(), number(), number());
                let line = serde_json::json!({
                    "ts": 10 * i, "model": "m", "request_id": format!("{seed}-{}", i / of),
                    "features": {"a": a, "b": b}, "prediction": {"score": score},
                });
                serde_json::from_value(line).unwrap()
            })
            .collect()
    }

    fn batch(rows: &[Record]) -> Batch {
        let mut builder = BatchBuilder::new(schema());
        rows.iter().for_each(|row| builder.push(row));
        builder.finish().unwrap().0
    }

    fn learnt(rows: &[Record], cut: usize) -> Learner {
        let mut learner = Learner::new(schema(), Season::none());
        learner.hurry();
        for part in rows.chunks(cut) {
            learner.observe(&batch(part)).unwrap();
        }
        learner
    }

    /// The result does not depend on how rows are cut, no request is cut in two, and planning rows are
    /// counted nowhere.
    #[test]
    fn the_first_steps_plan_and_the_others_count() {
        let rows = rows(1, 15_000, 3);
        let (small, large) = (learnt(&rows, 7), learnt(&rows, 4_096));
        assert_eq!((small.steps(), large.steps()), ((4_000, 1_000), (4_000, 1_000)));
        let (small, large) = (small.finish().unwrap(), large.finish().unwrap());
        assert_eq!(small, large);
        assert_eq!(small.rows(), 1_000);
        let counts = &small.streams.first().unwrap().counts;
        assert!(counts.iter().all(|c| c.trials > 0.0));
        // Some of those that count say what tilts and tails are made of.
        assert!(counts.iter().all(|c| c.trials < 0.9 * c.trials_all), "{counts:?}");
    }

    /// What was planned but not counted is no baseline, and neither is nothing.
    #[test]
    fn too_little_is_refused() {
        for n in [0, 100, 4_000, 4_050] {
            let refused = learnt(&rows(1, n, 1), 64).finish().unwrap_err();
            assert!(matches!(refused, Error::TooFewRows { expected: 4_100, .. }), "{n}: {refused}");
        }
        assert!(learnt(&rows(1, 4_200, 1), 64).finish().is_ok());
    }

    /// Two recordings counted into one plan and added are what both together give; which steps say what tilts
    /// are made of begins anew with each.
    #[test]
    fn two_halves_merge_to_the_whole() {
        let plan = learnt(&rows(9, 5_000, 1), 512).finish().unwrap();
        let (one, two) = (rows(2, 2_000, 1), rows(3, 3_000, 1));
        let counted = |parts: &[&[Record]]| {
            let mut learner = Learner::with_plan_of(schema(), &plan).unwrap();
            parts.iter().for_each(|rows| learner.observe(&batch(rows)).unwrap());
            learner.finish().unwrap()
        };
        let mut merged = counted(&[&one]);
        merged.merge(&counted(&[&two])).unwrap();
        let whole = counted(&[&one, &two]);
        assert_eq!((merged.rows, &merged.seen, merged.clustered), (5_000, &whole.seen, false));
        for (merged, whole) in merged.streams.iter().zip(&whole.streams) {
            // The memory of rows seen before fills anew after the pause, and is silent meanwhile.
            if merged.source != Source::Replay {
                assert_eq!(merged.source, whole.source);
                let all = |stream: &super::super::stream::Stream| -> Vec<(f64, Vec<f64>)> {
                    stream.counts.iter().map(|c| (c.trials_all, c.hits_all.clone())).collect()
                };
                assert_eq!(all(merged), all(whole), "{:?}", merged.source);
            }
        }
    }

    /// Bins of another plan cannot be added, and the refusal names the first stream that differs.
    #[test]
    fn other_plans_do_not_merge() {
        let mut one = learnt(&rows(1, 5_000, 1), 512).finish().unwrap();
        let other = learnt(&rows(2, 5_000, 1), 512).finish().unwrap();
        let before = one.clone();
        let refused = one.merge(&other).unwrap_err().to_string();
        assert!(refused.contains("`a`") && refused.contains("--plan-of"), "{refused}");
        assert_eq!(one, before, "nothing was added");
    }
}
