//! stub, replaced at merge
use std::time::Duration;
/// budget
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// t
    Time(Duration),
    /// r
    Rows(u64),
}
