use crate::units::Timestamp;

/// What a rehearsal tells while it runs; called from several tasks, it must not block.
pub trait Progress: Send + Sync {
    /// A new stage began, in words.
    fn stage(&self, words: &str);
    /// So many of so many steps of the stage are done.
    fn step(&self, done: u64, all: u64);
    /// Something worth a line of its own happened.
    fn event(&self, at: Timestamp, words: &str);
}

/// Tells nothing.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Progress for Quiet {
    fn stage(&self, _: &str) {}
    fn step(&self, _: u64, _: u64) {}
    fn event(&self, _: Timestamp, _: &str) {}
}
