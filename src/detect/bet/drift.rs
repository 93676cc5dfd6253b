use super::{Family, Kind, Subject, Topic};

/// The whole distribution leaning to one side.
pub(super) struct Drift;

impl Kind for Drift {
    fn name(&self) -> &'static str {
        "drift"
    }

    fn manual(&self) -> &'static str {
        "A feature or an answer leans to one side as a whole: offsets, scales, shifted populations. Bets on exponential tilts of the bins' normal scores, of four strengths in both directions."
    }

    fn weight(&self) -> f64 {
        0.12
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.family == Family::Tilt && bet.topic == Topic::Value
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "drifted".to_owned()
    }

    fn kind(&self) -> &'static str {
        "drift"
    }
}
