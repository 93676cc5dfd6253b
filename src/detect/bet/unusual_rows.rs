use super::{Bin, Kind, Subject, Topic};

/// Several columns of a row are unusual at once.
pub(super) struct UnusualRows;

impl Kind for UnusualRows {
    fn name(&self) -> &'static str {
        "unusual_rows"
    }

    fn manual(&self) -> &'static str {
        "Columns of one group have in one row what planning rows of the baseline never had: null, zero, out of range, of a new category, of another resolution. Counted together, so that a fault of many columns needs fewer rows."
    }

    fn weight(&self) -> f64 {
        0.4
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Unusual) && matches!(bet.bin, Bin::Unusual(1..))
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "have what the baseline never had".to_owned()
    }

    fn kind(&self) -> &'static str {
        "unusual"
    }
}
