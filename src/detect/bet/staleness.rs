use super::{Family, Kind, Subject, Topic};

/// Features older than they were.
pub(super) struct Staleness;

impl Kind for Staleness {
    fn name(&self) -> &'static str {
        "staleness"
    }

    fn manual(&self) -> &'static str {
        "The age of a feature, from its own time to the row's, moved to where health seldom has it. Needs `feature_ts` in records."
    }

    fn weight(&self) -> f64 {
        0.02
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.topic == Topic::Age && bet.family != Family::Less
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "came with another age than usual".to_owned()
    }

    fn kind(&self) -> &'static str {
        "stale"
    }
}
