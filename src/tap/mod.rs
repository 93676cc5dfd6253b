//! Traffic in: bytes to records, files to batches, and a bounded queue between decoder and consumer.
//!
//! Nothing here waits for a consumer, and nothing is lost without being counted by [`Reason`].

mod file;
mod format;
mod intake;
mod losses;

pub use file::{Batches, Error, Format, Progress, Source};
pub use format::{labels, ndjson, oip};
pub use intake::{Intake, Limits, Outlet, intake};
pub use losses::{Losses, Reason};
