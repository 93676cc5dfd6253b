//! silentry: a model-aware silent-failure detector and chaos verifier.
//!
//! The rooms below are listed in the order data flows, foundations first; ARCHITECTURE.md has the
//! diagram and says which room may import which.

pub mod alert;
pub mod baseline;
pub mod chaos;
pub mod detect;
pub mod oip;
pub mod profile;
pub mod record;
pub mod sketch;
pub mod tap;
pub mod units;
