//! What the promise of few false alarms rests on.

use serde::{Deserialize, Serialize};

use super::Calibration;
use super::bootstrap::RunLength;

/// With fewer steps than this, steps that depend on each other as much as an AR(1) process with correlation 0.15
/// would look independent.
const STEPS_MIN: u64 = 1_000;

/// Whether the promise of the budget is a theorem for this traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// The baseline's steps show no dependence: the mean time to a false alarm is at least the budget.
    Proven,
    /// They do, or differ between merged recordings, or too few of them tell: evidence is tempered by how much news comes in clumps, as measured on the baseline, and the
    /// threshold raised until rows drawn from it keep the run length; [`RunLength`] says whether that was
    /// checked.
    Calibrated,
}

impl Calibration {
    /// Whether the budget's promise is proven for this traffic, or calibrated on it.
    #[must_use]
    pub fn promise(&self) -> Promise {
        let is_raised = self.threshold_factor > 1.0;
        let is_clumped = self.streams.iter().any(|s| s.clumping > 1.0);
        // What is true of these entities need not be of tomorrow's.
        let is_checked =
            self.unchecked.is_empty() && self.entities.is_none() && self.checked_steps() >= STEPS_MIN;
        if is_clumped || is_raised || !is_checked { Promise::Calibrated } else { Promise::Proven }
    }

    /// The fewest steps among the recordings that it was made from: each was looked at for dependence by itself.
    pub(super) fn checked_steps(&self) -> u64 {
        self.shortest.unwrap_or(self.rows)
    }

    /// By how much the threshold is raised above the wanted run length: from 1.
    #[must_use]
    pub const fn threshold_factor(&self) -> f64 {
        self.threshold_factor
    }

    /// Whether the run length of a calibrated promise was checked.
    #[must_use]
    pub const fn run_length(&self) -> RunLength {
        self.run_length
    }

    /// The promise in words.
    #[must_use]
    pub fn told_promise(&self) -> String {
        let factor = self.threshold_factor;
        let unchecked = self.unchecked.first().filter(|_| self.clumped().is_empty());
        let why = match (self.unlike.first(), unchecked) {
            (None, _) if self.checked_steps() < STEPS_MIN && self.clumped().is_empty() => format!(
                "{} steps are too few to see whether they depend on each other, expected {STEPS_MIN}",
                self.checked_steps()
            ),
            (Some(first), _) => format!("`{first}` differs between the merged recordings"),
            (None, Some(first)) => {
                format!("too few rows of `{first}` to see whether they depend on each other")
            }
            (None, None) => match self.entities.filter(|_| self.clumped().is_empty()) {
                Some(entities) => {
                    format!("rows are of {entities} entities that come back, and others may differ")
                }
                None => "rows depend on each other".to_owned(),
            },
        };
        match (self.promise(), self.run_length) {
            (Promise::Proven, _) => "proven: no row depends on another, as far as can be seen".to_owned(),
            (Promise::Calibrated, RunLength::Measured { up_to }) => {
                let raised =
                    if factor > 1.0 { format!("raised ×{factor:.1}") } else { "not raised".to_owned() };
                format!(
                    "calibrated: {why}; threshold {raised}, checked by circular block bootstrap up to {up_to} rows"
                )
            }
            (Promise::Calibrated, RunLength::TooFewRows { found, expected }) => format!(
                "calibrated, not bootstrapped: {why}, {found} of them are fewer than two blocks, expected {expected}"
            ),
            (Promise::Calibrated, RunLength::NoRows) => {
                format!("calibrated, not bootstrapped: {why}, and no rows were kept")
            }
        }
    }

    /// The streams whose steps depend on each other, with the factor by which their evidence is tempered,
    /// most first.
    #[must_use]
    pub fn clumped(&self) -> Vec<(String, f64)> {
        let mut clumped: Vec<(String, f64)> =
            self.streams.iter().filter(|s| s.clumping > 1.0).map(|s| (s.name.clone(), s.clumping)).collect();
        clumped.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        clumped
    }
}
