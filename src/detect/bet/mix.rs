use super::{Bin, Family, Kind, Subject, Topic};

/// Where rows come from.
pub(super) struct Mix;

impl Kind for Mix {
    fn name(&self) -> &'static str {
        "mix"
    }

    fn manual(&self) -> &'static str {
        "The mix of replicas, regions, clients, arms changed: one sends more than its share, one is new, one is gone. Or another model answers under the same version (`model_hash`). Needs `dims`, `arm`, `hop` or `model_hash` in records."
    }

    fn weight(&self) -> f64 {
        0.02
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.topic == Topic::Mix && !matches!(bet.bin, Bin::Never)
    }

    fn became(&self, bet: &Subject<'_>) -> String {
        match (bet.family, bet.bin) {
            (Family::Less, Bin::Category(name)) => format!("is `{name}` less often"),
            (_, Bin::Category(name)) => format!("is `{name}` more often"),
            _ => "is none that the baseline has".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        "mix"
    }
}
