//! Traffic in: bytes to records, files to batches, and a bounded queue between decoder and consumer.
//!
//! Nothing here waits for a consumer, and nothing is lost without being counted by [`Reason`].

pub mod file;
pub mod format;
mod intake;
mod losses;

pub use intake::{Intake, Limits, Outlet, intake};
pub use losses::{Losses, Reason};
