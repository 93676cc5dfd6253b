use super::{Bin, Family, Kind, Side, Subject, Topic};

/// Any bin becoming rarer.
pub(super) struct ValueLoss;

impl Kind for ValueLoss {
    fn name(&self) -> &'static str {
        "value_loss"
    }

    fn manual(&self) -> &'static str {
        "Some value or interval that health has often became rarer or vanished: rows lost by content, clipped tails, a segment that no longer arrives. Settled every 64 requests."
    }

    fn weight(&self) -> f64 {
        0.2
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.topic == Topic::Value && bet.family == Family::Less
    }

    fn became(&self, bet: &Subject<'_>) -> String {
        match bet.bin {
            Bin::Between(_, v) | Bin::Number(v) if bet.side == Side::AndBelow => {
                format!("are {v:.4} or less less often")
            }
            Bin::Between(v, _) if bet.side == Side::AndAbove => format!("are more than {v:.4} less often"),
            Bin::Number(v) if bet.side == Side::AndAbove => format!("are {v:.4} or more less often"),
            Bin::Between(low, high) => format!("left ({low:.4}, {high:.4}]"),
            Bin::Number(v) => format!("are {v} less often"),
            Bin::Category(name) => format!("are `{name}` less often"),
            _ => "became rarer".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        "loss"
    }
}
