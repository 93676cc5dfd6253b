use super::{Bin, Kind, Subject, Topic};

/// One column null or absent more often.
pub(super) struct NullRate;

impl Kind for NullRate {
    fn name(&self) -> &'static str {
        "null_rate"
    }

    fn manual(&self) -> &'static str {
        "A feature or an answer is null, or its key is absent, more often than the baseline allows."
    }

    fn weight(&self) -> f64 {
        0.07
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Value) && matches!(bet.bin, Bin::Null)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "became null".to_owned()
    }

    fn kind(&self) -> &'static str {
        "null"
    }
}
