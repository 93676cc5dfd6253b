use super::{Kind, Subject, Topic};

/// Answers against what a surrogate of the model foretells.
pub(super) struct SurrogateResidual;

impl Kind for SurrogateResidual {
    fn name(&self) -> &'static str {
        "surrogate_residual"
    }

    fn manual(&self) -> &'static str {
        "Answers that no longer follow from the features of their row as boosted trees, fitted to the baseline, say: predictions of another request, another model under the same name, features that the model saw otherwise than the tap."
    }

    fn weight(&self) -> f64 {
        0.25
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_of_relation(Topic::Residual)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "no longer follow from the features as they did".to_owned()
    }

    fn kind(&self) -> &'static str {
        "relation"
    }
}
