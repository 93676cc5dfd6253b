use super::{Bin, Kind, Subject, Topic};

/// Rows seen before.
pub(super) struct ReplayedRows;

impl Kind for ReplayedRows {
    fn name(&self) -> &'static str {
        "replayed_rows"
    }

    fn manual(&self) -> &'static str {
        "Rows whose features were all seen within the last 2,048 rows: a replayed log, a stuck queue, a cache in the wrong place. Silent until it remembers that many rows."
    }

    fn weight(&self) -> f64 {
        0.03
    }

    fn claims(&self, bet: &Subject<'_>) -> bool {
        bet.is_more_of(Topic::Replay) && matches!(bet.bin, Bin::SeenAgo(_))
    }

    fn became(&self, _: &Subject<'_>) -> String {
        "were seen before".to_owned()
    }

    fn kind(&self) -> &'static str {
        "replay"
    }
}
