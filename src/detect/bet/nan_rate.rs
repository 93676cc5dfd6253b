use super::{Bin, Kind};

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
        0.05
    }

    fn claims(&self, bin: &Bin) -> bool {
        matches!(bin, Bin::NotANumber | Bin::Infinite)
    }

    fn became(&self, bin: &Bin) -> String {
        match bin {
            Bin::Infinite => "became infinite".to_owned(),
            _ => "became NaN".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        "nan"
    }
}
