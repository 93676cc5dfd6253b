use super::{Bin, Kind, Subject, Topic};

/// Answers that contradict each other.
pub(super) struct Consistency;

impl Kind for Consistency {
    fn name(&self) -> &'static str {
        "consistency"
    }

    fn manual(&self) -> &'static str {
        "Answers of one row that do not go together in health: a label against its probability, a threshold that moved, permuted classes."
    }

    fn weight(&self) -> f64 {
        0.1
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Pair) && matches!(bet.bin, Bin::Contradicts)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "do not go together as they used to".to_owned()
    }

    fn kind(&self) -> &'static str {
        "consistency"
    }
}
