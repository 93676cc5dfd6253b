use super::{Effect, Pair};
use crate::units::count;

/// Jensen-Shannon distance.
pub(super) struct JensenShannon;

impl Effect for JensenShannon {
    fn name(&self) -> &'static str {
        "jensen_shannon"
    }

    fn manual(&self) -> &'static str {
        "Jensen-Shannon distance, base 2: the square root of the divergence, from 0 to 1. Bins are deciles of the baseline, or words. Endres and Schindelin (2003); as scipy.spatial.distance.jensenshannon(base=2)."
    }

    fn measure(&self, pair: &Pair) -> Option<f64> {
        let (all_p, all_q) = pair.totals()?;
        let half = |share: f64, middle: f64| if share > 0.0 { share * (share / middle).log2() } else { 0.0 };
        let divergence: f64 = pair
            .binned()
            .into_iter()
            .map(|(p, q)| {
                let (p, q) = (count(p) / all_p, count(q) / all_q);
                let middle = f64::midpoint(p, q);
                (half(p, middle) + half(q, middle)) / 2.0
            })
            .sum();
        // Rounding may leave equal distributions a hair below 0.
        Some(if divergence > 0.0 { divergence.sqrt() } else { 0.0 })
    }
}
