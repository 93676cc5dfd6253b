use super::{Kind, Subject};

/// Rows a second outside the declared band.
pub(super) struct RowRate;

impl Kind for RowRate {
    fn name(&self) -> &'static str {
        "row_rate"
    }

    fn manual(&self) -> &'static str {
        "Rows come at less than a quarter or more than four times the baseline's rate. Counts by the second, judged as Poisson counts with four times their variance."
    }

    fn weight(&self) -> f64 {
        0.02
    }

    fn claims(&self, _: &Subject<'_>) -> bool {
        false
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "changed".to_owned()
    }

    fn kind(&self) -> &'static str {
        "rate"
    }
}
