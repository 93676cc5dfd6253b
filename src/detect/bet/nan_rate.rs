use super::{Bin, Kind, Subject, Topic};

/// NaN or an infinity more often.
pub(super) struct NanRate;

impl Kind for NanRate {
    fn name(&self) -> &'static str {
        "nan_rate"
    }

    fn manual(&self) -> &'static str {
        "A number is NaN or infinite more often than the baseline allows."
    }

    fn weight(&self) -> f64 {
        0.02
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Value) && matches!(bet.bin, Bin::NotANumber | Bin::Infinite)
    }

    fn became(&self, bet: &Subject<'_>) -> String {
        match bet.bin {
            Bin::Infinite => "became infinite".to_owned(),
            _ => "became NaN".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        "nan"
    }
}
