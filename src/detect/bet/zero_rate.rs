use super::{Bin, Kind};

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
        0.14
    }

    fn claims(&self, bin: &Bin) -> bool {
        matches!(bin, Bin::Zero)
    }

    fn became(&self, _: &Bin) -> String {
        "became 0".to_owned()
    }

    fn kind(&self) -> &'static str {
        "zero"
    }
}
