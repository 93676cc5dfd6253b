//! Evidence of silent failures: bets that may alarm, effect sizes to read, one ledger, one threshold.

mod finding;

pub use finding::{Alarm, Finding, Share, StreamState, Undecided};
