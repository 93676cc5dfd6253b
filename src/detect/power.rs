use super::ledger::EPSILONS;

/// Rows until bets on one bin are expected to reach the threshold, when a share `q` of rows that
/// did not fall into it now does: `log(threshold / (weight step)) / growth`, the least over the
/// shares bet on. Nothing when no bet grows.
pub(super) fn rows_to_alarm(threshold_over_weight: f64, limit: f64, q: f64) -> Option<f64> {
    let hit = limit + q * (1.0 - limit);
    let growths = EPSILONS.iter().map(|eps| {
        let keep = 1.0 - eps;
        hit * (keep + eps / limit).ln() + (1.0 - hit) * keep.ln()
    });
    let best = growths.filter(|g| *g > 0.0).reduce(|a, b| if b > a { b } else { a })?;
    let rows = threshold_over_weight.ln() / best;
    // Not even a complete fault is seen before its first row.
    Some(if rows > 1.0 { rows.ceil() } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smaller the fault the longer it takes, and a bin that is always hit never alarms.
    #[test]
    fn smaller_faults_take_longer() {
        let needs = [1.0, 0.3, 0.05, 0.01].map(|q| rows_to_alarm(1e12, 3e-4, q).unwrap());
        assert!(needs.windows(2).all(|w| w[0] < w[1]), "{needs:?}");
        assert!(needs[0] <= 5.0, "{needs:?}");
        assert_eq!(rows_to_alarm(1e12, 1.0, 0.5), None);
    }
}
