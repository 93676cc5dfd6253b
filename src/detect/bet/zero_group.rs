use super::{Bin, Kind};

/// A whole upstream at zero or at its defaults in one row.
pub(super) struct ZeroGroup;

impl Kind for ZeroGroup {
    fn name(&self) -> &'static str {
        "zero_group"
    }

    fn manual(&self) -> &'static str {
        "All features of one upstream group are zero, or their declared default, in the same row: what a service that swallowed a time-out puts there. Needs a group of two features or more."
    }

    fn weight(&self) -> f64 {
        0.12
    }

    fn claims(&self, bin: &Bin) -> bool {
        matches!(bin, Bin::GroupZero)
    }

    fn became(&self, _: &Bin) -> String {
        "became 0".to_owned()
    }

    fn kind(&self) -> &'static str {
        "zero"
    }
}
