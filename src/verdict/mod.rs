//! The verdict: would we have noticed?
//!
//! One pure engine joins what was done (journal), what was told (alert timeline), what the ordinary
//! service levels saw, and what reached the model's rows (witness), in a fixed order: was the run
//! valid, did the fault take effect, was it loud or silent, did each expected detector fire in its
//! time, did anything fire falsely, did it recover. It reads no clock and no threshold: it judges what
//! others did and cannot tune them.
//!
//! What is not known is null with its reason in [`Hypothesis::because`], and never a pass.

mod control;
mod describe;
mod detection;
mod document;
mod effect;
mod episode;
mod expectation;
mod headline;
mod judge;
mod marks;
mod recovery;
mod score;
mod suite;
#[cfg(test)]
mod tests;
mod validity;
mod witness;

pub use describe::describe;
pub use document::{
    Clock, Detection, EffectBy, FalseAlarm, FalseAlarms, FaultVerdict, Hypothesis, Impact, Known, Provenance,
    SloObjective, Slos, Split, Tap, Verdict, json_schema,
};
pub use expectation::{exit_code, exit_code_expecting, unmet};
pub use judge::{Frozen, Input, KnownAnswers, Limits, Watch, judge};
pub use marks::phases;
pub use score::{Score, ScoreState, Trial, credit, score};
pub use suite::suite_score;
pub use witness::{Evidence, Rows, Witness};
