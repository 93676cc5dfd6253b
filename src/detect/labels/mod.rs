//! How well a model does, once the truth is known: labels that arrive late, row by row.
//!
//! Beside the ledger, and apart from it: its bets read features and answers and never a label. What is judged
//! here is the loss of answers against their labels, by a test of its own with a budget of its own.
//!
//! # Source
//! Podkopaev and Ramdas (2022), Tracking the risk of a deployed model and detecting harmful distribution
//! shifts, arXiv 2110.06177.

mod bets;
mod interval;
mod lately;
mod loss;
mod performance;
mod reference;
mod replay;
mod report;
mod requests;
mod skew;
#[cfg(test)]
mod tests;

pub use loss::{Answer, Answers, Loss, Truth};
pub use performance::{HarmOptions, Performance, SavedPerformance, Scored};
pub use reference::{Reference, ReferenceLearner};
pub use report::{PerformanceReport, RiskInterval, SourceRisk};
pub use skew::{Skew, SkewReport, SkewShare};

/// What raises the alarm about a risk that rose.
pub const HARMFUL_SHIFT: &str = "harmful_shift";
/// What it sees, for the manual.
pub const HARMFUL_SHIFT_MANUAL: &str = "Answers that cost more against their labels than in the baseline: labels in \
    records or at POST /v1/labels. Beside the ledger, with a budget of its own (`labels.budget` of a model).";
