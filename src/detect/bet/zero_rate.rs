use super::{Bin, Kind, Subject, Topic};

/// One column at zero more often.
pub(super) struct ZeroRate;

impl Kind for ZeroRate {
    fn name(&self) -> &'static str {
        "zero_rate"
    }

    fn manual(&self) -> &'static str {
        "A feature or an answer is exactly zero more often than the baseline allows."
    }

    fn weight(&self) -> f64 {
        0.1
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Value) && matches!(bet.bin, Bin::Zero)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "became 0".to_owned()
    }

    fn kind(&self) -> &'static str {
        "zero"
    }
}
