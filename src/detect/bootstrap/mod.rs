//! Whether a threshold gives the wanted run length on a baseline whose rows depend on each other, measured
//! on rows drawn from it by circular block bootstrap.
//!
//! What is drawn are the steps' bins, as the streams saw them in the baseline's own order. So nothing
//! that looks back (repeats, replays, duplicates, entities) sees the seams or a row drawn twice, and
//! every stream takes part; only the row rate, which has no bins, does not.

mod blocks;
mod check;
mod factor;
mod recording;
#[cfg(test)]
mod tests;

pub use check::{Bootstrap, RunLength};
pub use recording::Recording;
