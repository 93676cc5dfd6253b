use super::table::EPSILONS;

/// Nine in ten faults alarm within the rows that are told.
const QUANTILE_Z: f64 = 1.2816;

/// One bin's bets, as they stand against a fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bet {
    /// Evidence that one of them needs: the logarithm of threshold over weight and step.
    pub(super) nats: f64,
    /// The upper limit of the healthy share: what is bet against.
    pub(super) limit: f64,
    /// The healthy share itself, as estimated.
    pub(super) healthy: f64,
    /// By how much evidence is tempered.
    pub(super) clumping: f64,
}

impl Bet {
    /// Rows within which nine in ten faults alarm, when a share `q` of rows that did not fall into the
    /// bin now does: by the normal approximation of a random walk to `nats`, the least over the shares
    /// bet on. Nothing when no bet grows.
    pub(super) fn rows_to_alarm(&self, q: f64) -> Option<f64> {
        let hit = self.healthy + q * (1.0 - self.healthy);
        let rows = EPSILONS.iter().filter_map(|eps| {
            let temper = |e: f64| e.ln() / self.clumping;
            let (won, lost) = (temper(1.0 - eps + eps / self.limit), temper(1.0 - eps));
            let growth = hit * won + (1.0 - hit) * lost;
            let spread = (hit * (1.0 - hit)).sqrt() * (won - lost);
            // The root of rows * growth - z * sqrt(rows) * spread = nats.
            let drag = QUANTILE_Z * spread;
            let root = (drag + (drag * drag + 4.0 * growth * self.nats).sqrt()) / (2.0 * growth);
            (growth > 0.0).then_some(root * root)
        });
        let rows = rows.reduce(|a, b| if b < a { b } else { a })?;
        // Not even a complete fault is seen before its first row.
        Some(if rows > 1.0 { rows.ceil() } else { 1.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(limit: f64, healthy: f64, q: f64) -> Option<f64> {
        Bet { nats: 27.6, limit, healthy, clumping: 1.0 }.rows_to_alarm(q)
    }

    /// The smaller the fault the longer it takes, and a bin that is always hit never alarms.
    #[test]
    fn smaller_faults_take_longer() {
        let needs = [1.0, 0.3, 0.05, 0.01].map(|q| rows(3e-4, 1e-5, q).unwrap());
        assert!(needs.windows(2).all(|w| w[0] < w[1]), "{needs:?}");
        assert!(needs[0] <= 5.0, "{needs:?}");
        assert_eq!(rows(1.0, 0.99, 0.5), None);
    }

    /// A fault that moves a common bin no further than its limit cannot be seen.
    #[test]
    fn within_the_limit_is_unseen() {
        assert_eq!(rows(0.25, 0.2, 0.05), None);
        assert!(rows(0.21, 0.2, 0.05).is_some_and(|n| n > 5_000.0));
    }
}
