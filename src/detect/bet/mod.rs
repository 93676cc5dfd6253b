//! Sequential evidence: detectors that may alarm, one file each.
//!
//! A detector here is a family of bets on bins of streams. It holds its name, its share of the
//! alarm budget and its words; the ledger does the betting.

mod contract;
mod default_rate;
mod nan_rate;
mod null_rate;
mod out_of_range;
mod row_rate;
mod type_error;
mod unseen;
mod value_share;
mod zero_group;
mod zero_rate;

use super::bins::Bin;

/// A family of bets with a name and a weight.
pub trait Kind: Sync {
    /// The name in configuration, alarms, metrics and verdicts.
    fn name(&self) -> &'static str;
    /// What it sees and when it is of use, for the manual.
    fn manual(&self) -> &'static str;
    /// Its share of the alarm budget, 0 to 1; 0 for declared rules, which need none.
    fn weight(&self) -> f64;
    /// Whether it bets on that bin becoming commoner.
    fn claims(&self, bin: &Bin) -> bool;
    /// What happened to values that fell into the bin: `became 0`.
    fn became(&self, bin: &Bin) -> String;
    /// The alarm's kind: one word for what changed.
    fn kind(&self) -> &'static str;
}

/// Every detector that may alarm, in the order of the manual.
pub const KINDS: &[&dyn Kind] = &[
    &contract::Contract,
    &zero_group::ZeroGroup,
    &zero_rate::ZeroRate,
    &default_rate::DefaultRate,
    &null_rate::NullRate,
    &nan_rate::NanRate,
    &type_error::TypeError,
    &out_of_range::OutOfRange,
    &unseen::Unseen,
    &value_share::ValueShare,
    &row_rate::RowRate,
];
