use super::{Bin, Kind, Subject, Topic};

/// Values that stay.
pub(super) struct Stuck;

impl Kind for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn manual(&self) -> &'static str {
        "A feature, a whole group or an entity keeps the value of the row before more often than in health: a frozen store, a cache that never expires, a store that stamps old values with the present."
    }

    fn weight(&self) -> f64 {
        0.08
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Repeat) && matches!(bet.bin, Bin::Repeats(1..) | Bin::Unchanged)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "repeat the row before".to_owned()
    }

    fn kind(&self) -> &'static str {
        "stuck"
    }
}
