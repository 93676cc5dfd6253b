use super::{Bin, Kind, Subject, Topic};

/// Requests delivered twice.
pub(super) struct Duplicates;

impl Kind for Duplicates {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn manual(&self) -> &'static str {
        "Requests that were delivered already, with the same features: retries, at-least-once queues. Such rows bet on nothing else."
    }

    fn weight(&self) -> f64 {
        0.05
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Duplicate) && matches!(bet.bin, Bin::Again)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "were delivered before".to_owned()
    }

    fn kind(&self) -> &'static str {
        "duplicate"
    }
}
