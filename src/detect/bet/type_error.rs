use super::{Bin, Kind};

/// A value of another type.
pub(super) struct TypeError;

impl Kind for TypeError {
    fn name(&self) -> &'static str {
        "type_error"
    }

    fn manual(&self) -> &'static str {
        "A value has another type than in the baseline: a number as a string, an object where a number was."
    }

    fn weight(&self) -> f64 {
        0.05
    }

    fn claims(&self, bin: &Bin) -> bool {
        matches!(bin, Bin::WrongType)
    }

    fn became(&self, _: &Bin) -> String {
        "changed type".to_owned()
    }

    fn kind(&self) -> &'static str {
        "type"
    }
}
