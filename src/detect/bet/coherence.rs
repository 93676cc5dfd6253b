use super::{Kind, Subject, Topic};

/// Features of one row that belong together.
pub(super) struct Coherence;

impl Kind for Coherence {
    fn name(&self) -> &'static str {
        "coherence"
    }

    fn manual(&self) -> &'static str {
        "Features of a row that do not belong together: those of the wrong entity, a delayed or stale group, columns that were swapped."
    }

    fn weight(&self) -> f64 {
        0.25
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_of_relation(Topic::Coherence)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "no longer go together as those of one entity do".to_owned()
    }

    fn kind(&self) -> &'static str {
        "relation"
    }
}
