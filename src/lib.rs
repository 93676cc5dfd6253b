//! silentry: a model-aware silent-failure detector and chaos verifier.
//!
//! The rooms below are listed in the order data flows, foundations first; ARCHITECTURE.md has the
//! diagram and says which room may import which.

pub mod units;
pub mod telemetry;
pub mod store;
pub mod record;
pub mod oip;
pub mod tap;
pub mod resp;
pub mod client;
pub mod sketch;
pub mod profile;
pub mod baseline;
pub mod detect;
pub mod alert;
pub mod oracle;
pub mod slo;
pub mod chaos;
pub mod verdict;
pub mod scene;
pub mod service;
pub mod api;
pub mod lab;
pub mod config;
pub mod cli;
