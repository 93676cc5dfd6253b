//! From findings to alerts: pending, firing, resolved; the timeline; those who are told.

mod timeline;

pub use timeline::{Entry, Event, Timeline};
