use super::{Bin, Kind, Subject, Topic};

/// A category that the baseline lacked.
pub(super) struct Unseen;

impl Kind for Unseen {
    fn name(&self) -> &'static str {
        "unseen"
    }

    fn manual(&self) -> &'static str {
        "A category, or a number in a column that had none, which the baseline's planning rows never had."
    }

    fn weight(&self) -> f64 {
        0.06
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Value) && matches!(bet.bin, Bin::Unseen)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "took values never seen before".to_owned()
    }

    fn kind(&self) -> &'static str {
        "unseen"
    }
}
