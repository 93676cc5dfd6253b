use super::{Kind, Subject, Topic};

/// A feature against what the other features foretell.
pub(super) struct FeatureGiven;

impl Kind for FeatureGiven {
    fn name(&self) -> &'static str {
        "feature_given"
    }

    fn manual(&self) -> &'static str {
        "A number that is usual by itself and unusual beside the other features of its row."
    }

    fn weight(&self) -> f64 {
        0.1
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_of_relation(Topic::Given)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "no longer follows from the other features as it did".to_owned()
    }

    fn kind(&self) -> &'static str {
        "relation"
    }
}
