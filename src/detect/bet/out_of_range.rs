use super::{Bin, Kind};

/// Outside all that the baseline had.
pub(super) struct OutOfRange;

impl Kind for OutOfRange {
    fn name(&self) -> &'static str {
        "out_of_range"
    }

    fn manual(&self) -> &'static str {
        "A number lies below or above everything that the baseline's planning rows had, with a margin of 2 % of their range."
    }

    fn weight(&self) -> f64 {
        0.10
    }

    fn claims(&self, bin: &Bin) -> bool {
        matches!(bin, Bin::BelowRange | Bin::AboveRange)
    }

    fn became(&self, bin: &Bin) -> String {
        match bin {
            Bin::BelowRange => "fell below their range".to_owned(),
            _ => "rose above their range".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        "range"
    }
}
