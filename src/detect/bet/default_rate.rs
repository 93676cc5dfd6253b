use super::{Bin, Kind, Subject, Topic};

/// One column at its declared default more often.
pub(super) struct DefaultRate;

impl Kind for DefaultRate {
    fn name(&self) -> &'static str {
        "default_rate"
    }

    fn manual(&self) -> &'static str {
        "A feature is at the default that the schema file declares (other than zero) more often than the baseline allows."
    }

    fn weight(&self) -> f64 {
        0.03
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Value) && matches!(bet.bin, Bin::Default)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "fell to their default".to_owned()
    }

    fn kind(&self) -> &'static str {
        "default"
    }
}
