use super::{Bin, Kind, Subject, Topic};

/// A value of another type.
pub(super) struct TypeError;

impl Kind for TypeError {
    fn name(&self) -> &'static str {
        "type_error"
    }

    fn manual(&self) -> &'static str {
        "A value has another type than in the baseline: a number as a string, an object where a number was, \
         a vector of another dimension."
    }

    fn weight(&self) -> f64 {
        0.03
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Value) && matches!(bet.bin, Bin::WrongType)
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "changed type".to_owned()
    }

    fn kind(&self) -> &'static str {
        "type"
    }
}
