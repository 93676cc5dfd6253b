use super::stage::Stage;
use crate::scene::{self, Wine};
use crate::verdict::KnownAnswers;

/// Requests whose answers are known, sent after the restore.
const ASKED: usize = 20;
/// Scores this close are the same answer.
const SAME: f64 = 1e-9;

/// Asks the model service for wines that only the store knows, and compares its answers with the
/// model's own on the true features: proof, apart from any detector, that the path is whole again.
pub(super) async fn ask(stage: &Stage, url: &str) -> KnownAnswers {
    let unpopular: Vec<&Wine> = stage.data.wines().iter().filter(|wine| !wine.is_popular()).collect();
    // Spread over the table: its neighbours are alike, and a burst of them is a change of traffic that
    // detectors rightly see.
    let apart = (unpopular.len() / ASKED).max(1);
    let mut known = KnownAnswers { asked: 0, right: 0 };
    for wine in unpopular.into_iter().step_by(apart).take(ASKED) {
        known.asked += 1;
        known.right += u64::from(is_right(stage, url, wine, known.asked).await);
    }
    known
}

async fn is_right(stage: &Stage, url: &str, wine: &Wine, number: u64) -> bool {
    let expected = stage.model.predict(&wine.features());
    match scene::ask(url, &format!("known-{number}"), wine).await {
        Ok(answer) => (answer.score - expected.score).abs() < SAME && answer.label == expected.label,
        Err(error) => {
            tracing::warn!(%error, "a request with a known answer failed");
            false
        }
    }
}
