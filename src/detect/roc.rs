//! The area under the receiver operating characteristic.

/// One row or a class of rows with one score: how much of it is positive, and how much negative.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighed {
    pub(super) score: f64,
    pub(super) positive: f64,
    pub(super) negative: f64,
}

/// The chance that a positive has a higher score than a negative, equal scores counting half; nothing when one of them
/// has no weight.
///
/// # Source
/// Hanley and McNeil (1982), Radiology 143:29.
pub(super) fn auc(mut rows: Vec<Weighed>) -> Option<f64> {
    rows.sort_by(|a, b| a.score.total_cmp(&b.score));
    let (mut below, mut above, mut positives) = (0.0, 0.0, 0.0);
    for tied in rows.chunk_by(|a, b| a.score.total_cmp(&b.score).is_eq()) {
        let (positive, negative) =
            tied.iter().fold((0.0, 0.0), |(p, n), row| (p + row.positive, n + row.negative));
        above += positive * (below + negative / 2.0);
        below += negative;
        positives += positive;
    }
    (positives > 0.0 && below > 0.0).then(|| above / (positives * below))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All right, all wrong, all tied, and the textbook's case of scikit-learn: 0.75.
    #[test]
    fn ranks_are_counted() {
        let of = |rows: &[(f64, bool)]| {
            auc(rows
                .iter()
                .map(|(score, is)| {
                    let positive = if *is { 1.0 } else { 0.0 };
                    Weighed { score: *score, positive, negative: 1.0 - positive }
                })
                .collect())
        };
        assert_eq!(of(&[(0.1, false), (0.9, true)]), Some(1.0));
        assert_eq!(of(&[(0.1, true), (0.9, false)]), Some(0.0));
        assert_eq!(of(&[(0.5, true), (0.5, false), (0.5, true)]), Some(0.5));
        assert_eq!(of(&[(0.1, false), (0.4, false), (0.35, true), (0.8, true)]), Some(0.75));
        assert_eq!(of(&[(0.1, true), (0.9, true)]), None);
    }
}
