use super::{Bin, Family, Kind, Subject, Topic};

/// Where rows come from.
pub(super) struct Mix;

impl Kind for Mix {
    fn name(&self) -> &'static str {
        "mix"
    }

    fn manual(&self) -> &'static str {
        "The mix of replicas, regions, clients, arms changed: one sends more than its share, one is new, one is gone. Needs `dims`, `arm` or `hop` in records."
    }

    fn weight(&self) -> f64 {
        0.02
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.topic == Topic::Mix && !matches!(bet.bin, Bin::Never)
    }

    fn became(&self, bet: &Subject<'_>) -> String {
        match (bet.family, bet.bin) {
            (Family::Less, Bin::Category(name)) => format!("come from `{name}` less often"),
            (_, Bin::Category(name)) => format!("come from `{name}` more often"),
            _ => "come from elsewhere".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        "mix"
    }
}
