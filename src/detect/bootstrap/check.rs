use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use statrs::function::gamma::gamma_ur;

use super::blocks::CircularBlocks;
use super::factor::{Measured, threshold_factor};
use super::recording::{Recording, Tape};
use crate::baseline::Budget;
use crate::detect::calibrate::Calibration;
use crate::detect::setup::Options;
use crate::detect::state::State;
use crate::detect::{Error, Monitor};
use crate::units::{PerSecond, count, whole};

/// The steps of a block, at the least.
const BLOCK_STEPS_MIN: usize = 512;
/// A block is at least so many times as long as the memory found.
const BLOCK_MEMORIES: usize = 2;
/// The highest threshold measured: the first of these that the work allows, else the last.
const HIGHEST: [u64; 4] = [10_000, 3_000, 1_000, 300];
/// The thresholds measured: the highest over these, each with so many runs as if each were as long as wanted.
const MEASURED: [(u64, u64); 5] = [(100, 600), (30, 360), (10, 300), (3, 150), (1, 100)];
/// Steps monitored over the highest threshold: the sum of all runs, rounded up.
const WORK_OF_HIGHEST: u64 = 200;
/// Steps that are looked at together.
const CHUNK_STEPS: usize = 256;
/// What a run length is called too short against: the chance that it is not.
const TOO_SHORT: f64 = 0.025;
/// Budgets that a refusal looks for, in rows.
const OTHER_BUDGETS: [u64; 5] = [10_000_000, 1_000_000, 100_000, 10_000, 1_000];

/// Whether the run length of a calibrated baseline was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunLength {
    /// Only counts were there, and no rows to draw.
    #[default]
    NoRows,
    /// The rows would not fill two blocks.
    TooFewRows {
        /// Steps that were there.
        found: u64,
        /// Steps of two blocks.
        expected: u64,
    },
    /// Up to a threshold of so many rows: there the run length is the threshold at the least, or it was
    /// made so by raising the threshold.
    Measured {
        /// The highest threshold measured.
        up_to: u64,
    },
}

impl RunLength {
    pub(in crate::detect) fn is_no_rows(&self) -> bool {
        *self == Self::NoRows
    }
}

/// How the run length is measured.
#[derive(Debug, Clone, Copy)]
pub struct Bootstrap {
    /// The budget: the wanted mean steps to a false alarm.
    pub wanted: f64,
    /// Steps a second in health.
    pub rate: PerSecond,
    /// Rows that may be monitored, about, and bins that may be looked at. The fewest that tell anything
    /// are 60,000 steps.
    pub rows_max: u64,
    /// See `rows_max`.
    pub bins_max: u64,
    /// Which rows are drawn.
    pub seed: u64,
}

/// What monitored rows showed at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    threshold: u64,
    steps: u64,
    alarms: u64,
}

impl Counted {
    /// The run length, and its lower limit.
    pub(super) fn run_length(self) -> (f64, f64) {
        let (steps, alarms) = (count(self.steps), count(self.alarms));
        (steps / count(self.alarms.max(1)), steps / alarms_upper(alarms))
    }

    pub(super) fn is_short(self) -> bool {
        self.run_length().1 < count(self.threshold)
    }

    fn measured(self) -> Measured {
        let (run_length, alarms) = (self.run_length().0, count(self.alarms));
        Measured { threshold: count(self.threshold), run_length, alarms }
    }
}

/// The steps of a block.
pub(super) fn block_steps(calibration: &Calibration) -> usize {
    let memory = usize::try_from(calibration.memory).unwrap_or(usize::MAX);
    memory.saturating_mul(BLOCK_MEMORIES).max(BLOCK_STEPS_MIN)
}

impl Recording {
    /// Measures the run length at five thresholds and raises the threshold as far as the budget needs;
    /// `told` hears how many steps of how many are done.
    ///
    /// Each threshold has runs of its own, which begin at the start of a block with a monitor at rest and
    /// end with the first alarm. A threshold holds where the lower 97.5 % limit of its run length (exact,
    /// Poisson) is the threshold at the least. Where one does not, the curve through all of them says how
    /// far to raise.
    ///
    /// # Errors
    /// [`Error::RunLength`] when no threshold can be promised to be enough.
    pub fn check(mut self, how: &Bootstrap, told: &dyn Fn(u64, u64)) -> Result<Calibration, Error> {
        self.forget_fitted();
        let (steps, expected) = (self.tape.steps(), self.block.saturating_mul(2));
        if steps < expected {
            let run_length = RunLength::TooFewRows { found: whole(steps), expected: whole(expected) };
            return Ok(Calibration { run_length, ..self.calibration });
        }
        let highest = self.highest(how);
        let counted = self.count(highest, how, told)?;
        let points: Vec<Measured> = counted.iter().map(|c| c.measured()).collect();
        let factor = match worst(&counted) {
            None => 1.0,
            Some(worst) => {
                threshold_factor(&points, how.wanted).ok_or_else(|| self.refused(worst, &points, how))?
            }
        };
        let run_length = RunLength::Measured { up_to: highest };
        Ok(Calibration { run_length, threshold_factor: factor, ..self.calibration })
    }

    fn highest(&self, how: &Bootstrap) -> u64 {
        let bins = count(how.bins_max) / count(whole(self.calibration.streams.len().max(1)));
        let steps = count(how.rows_max) / self.tape.step_rows();
        let work = if steps < bins { steps } else { bins };
        let least = HIGHEST.last().copied().unwrap_or(1);
        HIGHEST.into_iter().find(|highest| count(highest * WORK_OF_HIGHEST) <= work).unwrap_or(least)
    }

    pub(super) fn count(
        &self,
        highest: u64,
        how: &Bootstrap,
        told: &dyn Fn(u64, u64),
    ) -> Result<Vec<Counted>, Error> {
        let plan = MEASURED.map(|(over, runs)| (highest / over, highest / over * runs));
        let all = plan.iter().map(|(_, steps)| steps).sum();
        let (mut done, mut counted) = (0, Vec::new());
        for ((threshold, steps), seed) in plan.into_iter().zip(how.seed..) {
            let mut runs = Runs::new(self, threshold, how.rate, seed)?;
            counted.push(runs.count(steps, &|now| told(done + now, all)));
            done += steps;
        }
        Ok(counted)
    }

    fn refused(&self, worst: Counted, points: &[Measured], how: &Bootstrap) -> Error {
        let mut others = OTHER_BUDGETS.into_iter().filter(|rows| count(*rows) < how.wanted);
        let budget = others.find(|rows| threshold_factor(points, count(*rows)).is_some());
        let stream = self.calibration.clumped().into_iter().next();
        Error::RunLength {
            column: stream.map_or_else(|| "(none)".to_owned(), |(name, _)| name),
            found: format!("{:.0}", worst.run_length().0),
            threshold: worst.threshold,
            advice: budget.map_or_else(String::new, |rows| format!(", or state `--budget 1/{rows}rows`")),
        }
    }
}

/// Of the thresholds that do not hold, the one that misses by most.
fn worst(counted: &[Counted]) -> Option<Counted> {
    let share = |c: &Counted| c.run_length().0 / count(c.threshold);
    counted.iter().copied().filter(|c| c.is_short()).min_by(|a, b| share(a).total_cmp(&share(b)))
}

/// The upper 97.5 % limit of the mean of a Poisson count.
///
/// # Source
/// Garwood (1936), Biometrika 28:437; by halving, for `P(N <= alarms)` falls with the mean.
fn alarms_upper(alarms: f64) -> f64 {
    let (mut low, mut high) = (alarms, alarms + 10.0 + 10.0 * alarms.sqrt());
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if gamma_ur(alarms + 1.0, middle) > TOO_SHORT { low = middle } else { high = middle }
    }
    high
}

/// One monitor that runs again and again over drawn steps, each time until its alarm.
struct Runs<'a> {
    monitor: Monitor,
    at_rest: State,
    tape: &'a Tape,
    blocks: CircularBlocks,
    threshold: u64,
}

impl<'a> Runs<'a> {
    fn new(recording: &'a Recording, threshold: u64, rate: PerSecond, seed: u64) -> Result<Self, Error> {
        let options = Options { budget: Budget::Rows(threshold), rate, without: BTreeSet::new() };
        let calibration = Calibration { threshold_factor: 1.0, ..recording.calibration.clone() };
        let monitor = Monitor::new(Arc::clone(&recording.schema), calibration, options)?;
        let tape = &recording.tape;
        let blocks = CircularBlocks::new(tape.steps(), recording.block, seed);
        let blocks = blocks.ok_or(Error::TooFewRows { rows: 0, expected: 1 })?;
        Ok(Self { at_rest: monitor.state.clone(), monitor, tape, blocks, threshold })
    }

    /// Takes about so many steps.
    fn count(&mut self, steps_max: u64, told: &dyn Fn(u64)) -> Counted {
        let (mut steps, mut alarms) = (0, 0);
        while let Some(stretch) = self.blocks.next().filter(|_| steps < steps_max) {
            let (taken, raised) = self.run(stretch);
            steps += taken;
            if raised {
                alarms += 1;
                self.monitor.state.clone_from(&self.at_rest);
                self.monitor.queue.clear();
                self.blocks.restart();
            }
            told(steps.min(steps_max));
        }
        Counted { threshold: self.threshold, steps, alarms }
    }

    /// Takes steps up to the first alarm; gives how many, and whether there was one.
    fn run(&mut self, stretch: Range<usize>) -> (u64, bool) {
        let (mut from, mut taken) = (stretch.start, 0);
        while from < stretch.end {
            let chunk = from..stretch.end.min(from + CHUNK_STEPS);
            let (judged, raised) = self.monitor.observe_steps(self.tape, &chunk);
            taken += judged;
            if raised {
                return (taken, true);
            }
            from = chunk.end;
        }
        (taken, false)
    }
}
