use super::{Bin, Kind, Subject, Topic};

/// Any other bin becoming commoner.
pub(super) struct ValueShare;

impl Kind for ValueShare {
    fn name(&self) -> &'static str {
        "value_share"
    }

    fn manual(&self) -> &'static str {
        "Some value or interval of a feature or of the answer became commoner: stuck values, shifted populations, a model that answers differently. An answer is a column like any other, so prediction shift is seen here."
    }

    fn weight(&self) -> f64 {
        0.12
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Value)
            && matches!(
                bet.bin,
                Bin::Between(..) | Bin::Number(_) | Bin::Category(_) | Bin::OtherCategory | Bin::Text
            )
    }

    fn became(&self, bet: &Subject<'_>) -> String {
        match bet.bin {
            Bin::Between(low, high) => format!("moved into ({low:.4}, {high:.4}]"),
            Bin::Number(v) => format!("became {v}"),
            Bin::Category(name) => format!("became `{name}`"),
            _ => "became commoner".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        "share"
    }
}
