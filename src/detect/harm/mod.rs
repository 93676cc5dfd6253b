//! Harm: what a model's answers are worth now, estimated without labels. To read, never an alarm.
//!
//! Each learns from labelled rows of a baseline and speaks of a window without labels. None of them sees that what
//! the features mean has changed (concept drift): no estimate without labels can. silentry keeps no rows: whoever has
//! a sample of both asks.

mod cbpe;
mod isotonic;
mod label_shift;
mod loss;

pub use cbpe::{Cbpe, EstimatedPerformance, ScoredRow, realised_performance};
pub use label_shift::{LabelShift, label_shift};
pub use loss::DirectLoss;
