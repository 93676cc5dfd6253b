//! Two calibrations of one plan become one by addition.

use super::bootstrap::RunLength;
use super::calibrate::Calibration;
use super::cut::code;
use super::stream::{Counts, Stream};
use super::{Error, scores, strata};
use crate::units::{count, whole};

/// The chance that recordings alike are called unlike, over all streams.
const UNLIKE: f64 = 1e-3;
/// Recordings that differ by more than this cannot be made up for by tempering evidence.
const DISPERSION_MAX: f64 = 100.0;

impl Calibration {
    /// Adds the counts of another calibration with the same bins: as if the rows of both had been
    /// counted, in either order, with a pause between the two after which no row is remembered.
    ///
    /// Of how much news comes in clumps, and of what raises the threshold, the larger measure stays; the
    /// run length of the two together was not measured. Labels add up where they are of one loss; of two they are dropped. Where a stream differs between the two by more than
    /// chance, its rows are no sample of one thing: its news counts as clumped by as much as they differ.
    ///
    /// # Errors
    /// [`Error::PlansDiffer`] when seasons, streams or bins differ, [`Error::Unlike`] when a stream differs by
    /// more than can be made up for; nothing was added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if self.season != other.season {
            return Err(Error::PlansDiffer("their seasons differ".to_owned()));
        }
        self.check_streams(other)?;
        let dispersions = self.dispersions(other)?;
        if self.output_rows.is_some() || other.output_rows.is_some() {
            let answered = |one: &Self| one.output_rows.unwrap_or(one.rows);
            self.output_rows = Some(answered(self) + answered(other));
        }
        self.shortest = Some(self.checked_steps().min(other.checked_steps()));
        self.rows += other.rows;
        self.clustered |= other.clustered;
        self.entities = match (self.entities, other.entities) {
            (Some(mine), Some(theirs)) => Some(mine.max(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        self.memory = self.memory.max(other.memory);
        if other.threshold_factor > self.threshold_factor {
            self.threshold_factor = other.threshold_factor;
        }
        self.run_length = RunLength::NoRows;
        self.labels = match (self.labels.take(), &other.labels) {
            (Some(mine), Some(theirs)) => mine.merged(theirs),
            (mine, theirs) => mine.or_else(|| theirs.clone()),
        };
        let more = other.unchecked.iter().filter(|name| !self.unchecked.contains(name));
        let more: Vec<String> = more.cloned().collect();
        self.unchecked.extend(more);
        self.seen.iter_mut().zip(&other.seen).for_each(|(mine, theirs)| *mine += theirs);
        if self.seconds.len() == other.seconds.len() {
            self.seconds.iter_mut().zip(&other.seconds).for_each(|(mine, theirs)| *mine += theirs);
        } else {
            // Of one of them nobody knows how long it saw each hour.
            self.seconds.clear();
        }
        let unlike = other.unlike.iter().filter(|name| !self.unlike.contains(name));
        let unlike: Vec<String> = unlike.cloned().collect();
        self.unlike.extend(unlike);
        let streams = self.streams.iter_mut().zip(&other.streams).zip(dispersions);
        for ((mine, theirs), dispersion) in streams {
            mine.counts.iter_mut().zip(&theirs.counts).for_each(|(a, b)| a.add(b));
            if theirs.clumping > mine.clumping {
                mine.clumping = theirs.clumping;
            }
            mine.clumping *= dispersion;
            if dispersion > 1.0 && !self.unlike.contains(&mine.name) {
                self.unlike.push(mine.name.clone());
            }
        }
        Ok(())
    }

    /// By stream: by how much the two differ in excess of chance; 1 where they may be alike.
    fn dispersions(&self, other: &Self) -> Result<Vec<f64>, Error> {
        let tables: usize = self.streams.iter().map(|s| s.counts.len()).sum();
        let level = UNLIKE / count(whole(tables.max(1)));
        let pairs = self.streams.iter().zip(&other.streams);
        let all: Vec<f64> = pairs.map(|(mine, theirs)| dispersion(mine, theirs, level)).collect();
        let worst = self.streams.iter().zip(&all).max_by(|a, b| a.1.total_cmp(b.1));
        match worst.filter(|(_, dispersion)| **dispersion > DISPERSION_MAX) {
            Some((stream, dispersion)) => Err(Error::Unlike {
                column: stream.name.clone(),
                found: format!("{dispersion:.0}"),
                expected: DISPERSION_MAX,
            }),
            None => Ok(all),
        }
    }

    fn check_streams(&self, other: &Self) -> Result<(), Error> {
        for (mine, theirs) in self.streams.iter().zip(&other.streams) {
            let what = if mine.source != theirs.source || mine.name != theirs.name {
                "has other bins"
            } else if mine.group != theirs.group || mine.role != theirs.role {
                "is of another group"
            } else if mine.counts.len() != theirs.counts.len() {
                "has one table for all hours in one of them only"
            } else {
                continue;
            };
            return Err(Error::PlansDiffer(format!("the stream of `{}` {what}", mine.name)));
        }
        let (mine, theirs) = (self.streams.len(), other.streams.len());
        if mine == theirs && self.joint != other.joint {
            return Err(Error::PlansDiffer("relations were fitted to other rows".to_owned()));
        }
        if mine == theirs {
            return Ok(());
        }
        Err(Error::PlansDiffer(format!("one has {mine} streams and the other {theirs}")))
    }
}

/// By how much a stream differs between two recordings, in the hour where it differs most: at least 1.
fn dispersion(mine: &Stream, theirs: &Stream, level: f64) -> f64 {
    let mut both = mine.clone();
    both.counts.iter_mut().zip(&theirs.counts).for_each(|(a, b): (&mut Counts, _)| a.add(b));
    // The second recording has more words that did not plan: that says nothing about its rows.
    let alike = both.words_alike();
    // Of all bins the same rows, those that planned none: of these the second recording has no more.
    let of = |stream: &Stream, counts: &Counts| {
        let mut hits: Vec<f64> = counts.hits.iter().map(|hits| hits / stream.clumping).collect();
        for bin in 0..hits.len() {
            let to = usize::from(alike(code(bin)));
            let moved = hits.get_mut(bin).filter(|_| to != bin).map_or(0.0, std::mem::take);
            hits.get_mut(to).into_iter().for_each(|hits| *hits += moved);
        }
        let trials = vec![counts.trials / stream.clumping; hits.len()];
        (hits, trials)
    };
    let scores: Vec<f64> =
        scores::of(mine).map_or_else(Vec::new, |z| z.into_iter().map(|z| z.unwrap_or(0.0)).collect());
    mine.counts.iter().zip(&theirs.counts).fold(1.0, |most, (one, two)| {
        let ((one, of_one), (two, of_two)) = (of(mine, one), of(theirs, two));
        let table = strata::Table { hits: &[one, two], trials: &[of_one, of_two] };
        let is_alike = strata::is_homogeneous(&table, &scores, level);
        let found = if is_alike { 1.0 } else { strata::dispersion(&table, &scores) };
        if found > most { found } else { most }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::array::Float64Array;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::baseline::Budget;
    use crate::detect::calibrate::Counter;
    use crate::detect::{Finding, Monitor, Options, Promise, Season, normal};
    use crate::record::{Batch, Cells, Column, Kind, Meta, Role, Schema, Values};
    use crate::units::{PerSecond, Timestamp};

    fn schema() -> Arc<Schema> {
        let column = |name: &str, role, group: &str| Column::plain(name, role, Kind::Numeric, group);
        let columns = vec![
            column("flag", Role::Input, "f"),
            column("b", Role::Input, "g"),
            column("score", Role::Output, "output"),
        ];
        Arc::new(Schema::new("m".into(), None, columns).unwrap())
    }

    /// Rows with a flag as often as this, a column with this mean, and a score.
    fn rows(seed: u64, n: usize, (flag, mean): (f64, f64)) -> Batch {
        let mut random = StdRng::seed_from_u64(seed);
        let mut cells: [Vec<f64>; 3] = Default::default();
        for _ in 0..n {
            let number = normal::quantile(random.random()) + mean;
            cells[0].push(if random.random_bool(flag) { 1.0 } else { 0.0 });
            cells[1].push(number);
            cells[2].push(normal::quantile(random.random()));
        }
        let of = |c: Vec<f64>| Cells::new("c", Values::Number(Float64Array::from(c)), None).unwrap();
        let times = (0..n).map(|i| Timestamp::from_millis(10 * i as i64)).collect();
        Batch::new(schema(), cells.map(of).into(), Meta::of_times(times)).unwrap()
    }

    /// The baseline of one recording with another added.
    fn merged(one: &Batch, two: &Batch) -> Result<Calibration, Error> {
        let mut calibration = Calibration::fit(one, Season::none()).unwrap();
        let mut counter = Counter::with_plan_of(&schema(), &calibration).unwrap();
        counter.observe(two);
        calibration.merge(&counter.finish().unwrap())?;
        Ok(calibration)
    }

    fn alarms(calibration: &Calibration, rows: &Batch) -> usize {
        let options =
            Options { budget: Budget::Rows(100_000), rate: PerSecond::of(100), without: BTreeSet::new() };
        let mut monitor = Monitor::new(schema(), calibration.clone(), options).unwrap();
        let findings = monitor.observe(rows);
        findings.iter().filter(|f| matches!(f, Finding::Raised(_))).count()
    }

    /// Recordings alike stay proven; those that differ are calibrated, and neither half alarms.
    #[test]
    fn unlike_recordings_are_calibrated() {
        for seed in 0..3 {
            let alike =
                merged(&rows(seed, 30_000, (0.1, 0.0)), &rows(seed + 10, 30_000, (0.1, 0.0))).unwrap();
            assert_eq!(alike.promise(), Promise::Proven, "{seed}: {:?}", alike.unlike);
        }
        for (kind, differs) in [((0.16, 0.0), "flag"), ((0.1, 0.15), "b")] {
            let both = merged(&rows(1, 5_000, (0.1, 0.0)), &rows(2, 5_000, kind)).unwrap();
            assert_eq!((both.promise(), &both.unlike), (Promise::Calibrated, &vec![differs.to_owned()]));
            let told = both.told_promise();
            assert!(told.contains(&format!("`{differs}` differs between the merged recordings")), "{told}");
            assert_eq!(alarms(&both, &rows(3, 20_000, (0.1, 0.0))), 0);
            assert_eq!(alarms(&both, &rows(4, 20_000, kind)), 0);
            let kept = Calibration::read(&serde_json::to_value(&both).unwrap(), &schema()).unwrap();
            assert_eq!(kept, both);
        }
    }

    /// Recordings too short to show that steps depend on each other prove nothing together either.
    #[test]
    fn short_recordings_prove_nothing_together() {
        let both = merged(&rows(1, 2_000, (0.1, 0.0)), &rows(2, 700, (0.1, 0.0))).unwrap();
        assert_eq!((both.promise(), both.checked_steps()), (Promise::Calibrated, 700));
        assert!(both.told_promise().contains("700 steps are too few"), "{}", both.told_promise());
        let again = merged(&rows(1, 2_000, (0.1, 0.0)), &rows(2, 1_700, (0.1, 0.0))).unwrap();
        assert_eq!((again.promise(), again.checked_steps()), (Promise::Proven, 1_700));
    }

    /// A small recording that differs lies far from both together.
    #[test]
    fn small_recordings_count() {
        let both = merged(&rows(1, 9_000, (0.1, 0.0)), &rows(2, 1_500, (0.16, 0.0))).unwrap();
        assert_eq!(both.promise(), Promise::Calibrated);
        assert_eq!(alarms(&both, &rows(4, 20_000, (0.16, 0.0))), 0);
    }

    /// What differs by more than tempering makes up for is no one baseline.
    #[test]
    fn recordings_too_unlike_are_refused() {
        let refused =
            merged(&rows(1, 5_000, (0.1, 0.0)), &rows(2, 5_000, (0.5, 0.0))).unwrap_err().to_string();
        assert!(refused.contains("`flag` differs") && refused.contains("expected at most 100"), "{refused}");
        assert!(!refused.contains('\n'), "one line");
    }
}
