use super::{Effect, NotMeasured, Pair};

/// A smaller share is raised to this: without it the divergence is infinite. Evidently does so with a share of 0 where
/// none lies between, and else fills in a millionth of the smallest share, so that values differ there.
const FLOOR: f64 = 1e-4;

/// Kullback-Leibler divergence.
pub(super) struct KullbackLeibler;

impl Effect for KullbackLeibler {
    fn name(&self) -> &'static str {
        "kullback_leibler"
    }

    fn manual(&self) -> &'static str {
        "Kullback-Leibler divergence of the window from the baseline: sum over bins of p ln(p / q), p the baseline, in nats, from 0 without upper bound. Bins are deciles of the baseline, or words; a share below 0.0001 counts as 0.0001, and both sides are scaled to 1 again. Kullback and Leibler (1951); as scipy.stats.entropy."
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        let raised = |share: f64| if share > FLOOR { share } else { FLOOR };
        let shares: Vec<(f64, f64)> =
            pair.shares()?.into_iter().map(|(p, q)| (raised(p), raised(q))).collect();
        let (all_p, all_q) = shares.iter().fold((0.0, 0.0), |(a, b), (p, q)| (a + p, b + q));
        let nats: f64 = shares.iter().map(|(p, q)| p / all_p * (p * all_q / (q * all_p)).ln()).sum();
        // Rounding may leave equal distributions a hair below 0.
        Ok(if nats > 0.0 { nats } else { 0.0 })
    }
}
