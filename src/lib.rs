//! silentry: a model-aware silent-failure detector and chaos verifier.
//!
//! The rooms below are listed in the order data flows, foundations first; ARCHITECTURE.md has the
//! diagram and says which room may import which.

pub mod alert;
pub mod chaos;
pub mod client;
pub mod detect;
pub mod record;
pub mod resp;
pub mod scene;
pub mod units;
