use super::{Bin, Kind, Subject, Topic};

/// Numbers on another grid.
pub(super) struct Resolution;

impl Kind for Resolution {
    fn name(&self) -> &'static str {
        "resolution"
    }

    fn manual(&self) -> &'static str {
        "Numbers lie on another grid than in health: rounded, truncated, or passed through a narrower float."
    }

    fn weight(&self) -> f64 {
        0.04
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Grid) && matches!(bet.bin, Bin::Grid(_))
    }

    fn became(&self, bet: &Subject<'_>) -> String {
        match bet.bin {
            Bin::Grid(0) => "became whole numbers".to_owned(),
            Bin::Grid(decimals @ 1..=5) => format!("have {decimals} decimals"),
            Bin::Grid(7 | 9) => "were narrowed to 16 bit floats".to_owned(),
            Bin::Grid(8) => "were narrowed to 32 bit floats".to_owned(),
            _ => "changed their resolution".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        "resolution"
    }
}
