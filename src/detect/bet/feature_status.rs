use super::{Bin, Kind, Subject, Topic};
use crate::record::Status;

/// What the service says of its features.
pub(super) struct FeatureStatus;

impl Kind for FeatureStatus {
    fn name(&self) -> &'static str {
        "feature_status"
    }

    fn manual(&self) -> &'static str {
        "The service itself says that a feature was null, not found, stale, a default or an error more often than in health. Needs `feature_status` in records."
    }

    fn weight(&self) -> f64 {
        0.02
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Status)
            && matches!(bet.bin, Bin::Category(word) if word != Status::Present.name())
    }

    fn became(&self, bet: &Subject<'_>) -> String {
        match bet.bin {
            Bin::Category(word) => format!("were reported as {word}"),
            _ => "were reported as missing".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        "status"
    }
}
