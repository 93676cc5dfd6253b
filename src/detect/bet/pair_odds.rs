use super::{Kind, Subject, Topic};

/// Categories that come together, and clocks that go with the time stamp.
pub(super) struct PairOdds;

impl Kind for PairOdds {
    fn name(&self) -> &'static str {
        "pair_odds"
    }

    fn manual(&self) -> &'static str {
        "Two categories that hardly ever come together, or a feature that tells the hour and does not go with the time stamp."
    }

    fn weight(&self) -> f64 {
        0.1
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_of_relation(Topic::Odds)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "come together as they hardly ever did".to_owned()
    }

    fn kind(&self) -> &'static str {
        "relation"
    }
}
