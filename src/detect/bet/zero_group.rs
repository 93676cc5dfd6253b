use super::{Bin, Kind, Subject, Topic};

/// A whole upstream at zero or at its defaults in one row.
pub(super) struct ZeroGroup;

impl Kind for ZeroGroup {
    fn name(&self) -> &'static str {
        "zero_group"
    }

    fn manual(&self) -> &'static str {
        "All features of one upstream group are zero, false, empty or their declared default in the same row, or more of them than planning rows of the baseline ever had: what a service that swallowed a time-out puts there. Needs a group of two features or more that can be; words without a declared default cannot."
    }

    fn weight(&self) -> f64 {
        0.16
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Group)
            && matches!(bet.bin, Bin::GroupZero | Bin::GroupDefault | Bin::ManyZeros(_))
    }

    fn became(&self, bet: &Subject<'_>) -> String {
        match bet.bin {
            Bin::GroupDefault => "became 0 or their default".to_owned(),
            Bin::ManyZeros(_) => "became 0 in more features at once than ever".to_owned(),
            _ => "became 0".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        "zero"
    }
}
