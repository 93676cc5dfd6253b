use super::{Bin, Kind, Subject, Topic};

/// A declared rule broken: one row is enough.
pub(super) struct Contract;

impl Kind for Contract {
    fn name(&self) -> &'static str {
        "contract"
    }

    fn manual(&self) -> &'static str {
        "A rule that the schema file declares (not_null, finite, min, max, one_of, typed) was broken. Alarms at the first row and costs nothing of the budget, because a declared rule has no healthy exceptions."
    }

    fn weight(&self) -> f64 {
        0.0
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Contract) && matches!(bet.bin, Bin::Broken)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "broke a declared rule".to_owned()
    }

    fn kind(&self) -> &'static str {
        "contract"
    }
}
