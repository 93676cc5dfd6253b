//! Decoders: bytes to records. Each of them answers what is wrong instead of failing its neighbours.

mod explain;
pub mod labels;
pub mod ndjson;
pub mod oip;
