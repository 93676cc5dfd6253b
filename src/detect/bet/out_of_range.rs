use super::{Bin, Kind, Subject, Topic};

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
        0.06
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Value)
            && matches!(bet.bin, Bin::BelowRange | Bin::AboveRange | Bin::FarBelow | Bin::FarAbove)
    }

    fn became(&self, bet: &Subject<'_>) -> String {
        match bet.bin {
            Bin::BelowRange => "fell below their range".to_owned(),
            Bin::FarBelow => "fell far below their range".to_owned(),
            Bin::FarAbove => "rose far above their range".to_owned(),
            _ => "rose above their range".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        "range"
    }
}
