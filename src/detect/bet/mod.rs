//! Sequential evidence: detectors that may alarm, one file each.
//!
//! A detector here is a family of bets on bins of streams. It holds its name, its share of the
//! alarm budget and its words; the ledger does the betting.

mod coherence;
mod consistency;
mod contract;
mod default_rate;
mod drift;
mod duplicates;
mod feature_given;
mod feature_status;
mod mix;
mod nan_rate;
mod null_rate;
mod out_of_range;
mod pair_odds;
mod replayed_rows;
mod resolution;
mod row_rate;
mod staleness;
mod stuck;
mod surrogate_residual;
mod type_error;
mod unseen;
mod unusual_rows;
mod value_loss;
mod value_share;
mod zero_group;
mod zero_rate;

use super::bins::Bin;
use super::stream::Topic;
use super::table::Family;
use super::tails::Side;

/// What is bet on: a bin of a stream becoming commoner or rarer, or the whole stream leaning.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What the stream is about.
    pub topic: Topic,
    /// What is bet.
    pub family: Family,
    /// The bin; for a tilt the first one, which says nothing.
    pub bin: &'a Bin,
    /// What else a bet on less covers.
    pub side: Side,
}

impl Subject<'_> {
    /// Whether it is on what a relation makes of a row: always a finite number, so that other bins stay empty.
    fn is_of_relation(&self, topic: Topic) -> bool {
        let is_possible = !matches!(
            self.bin,
            Bin::Null | Bin::WrongType | Bin::NotANumber | Bin::Infinite | Bin::Zero | Bin::Unseen
        );
        self.topic == topic
            && match self.family {
                Family::More => is_possible,
                Family::Less => false,
                Family::Tilt => true,
            }
    }

    /// Whether it is on what happens to a vector as a whole, and then to each of its projections too.
    pub(super) const fn is_of_whole_vectors(&self) -> bool {
        let is_state = matches!(
            self.bin,
            Bin::Null | Bin::WrongType | Bin::NotANumber | Bin::Infinite | Bin::Zero | Bin::Default
        );
        match self.topic {
            Topic::Value => is_state && !matches!(self.family, Family::Tilt),
            Topic::Repeat | Topic::Group => true,
            _ => false,
        }
    }

    fn is_more_of(&self, topic: Topic) -> bool {
        self.topic == topic && self.family == Family::More
    }
}

/// A family of bets with a name and a weight.
pub trait Kind: Sync {
    /// The name in configuration, alarms, metrics and verdicts.
    fn name(&self) -> &'static str;
    /// What it sees and when it is of use, for the manual.
    fn manual(&self) -> &'static str;
    /// Its part of the alarm budget, against those of the other detectors that the model's traffic has a
    /// stream for; 0 for declared rules, which need none.
    fn weight(&self) -> f64;
    /// Whether the bet is its own.
    fn claims(&self, bet: &Subject<'_>) -> bool;
    /// What happened to the values: `became 0`.
    fn became(&self, bet: &Subject<'_>) -> String;
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
    &value_loss::ValueLoss,
    &drift::Drift,
    &unusual_rows::UnusualRows,
    &stuck::Stuck,
    &resolution::Resolution,
    &replayed_rows::ReplayedRows,
    &duplicates::Duplicates,
    &consistency::Consistency,
    &surrogate_residual::SurrogateResidual,
    &coherence::Coherence,
    &feature_given::FeatureGiven,
    &pair_odds::PairOdds,
    &feature_status::FeatureStatus,
    &staleness::Staleness,
    &mix::Mix,
    &row_rate::RowRate,
];
