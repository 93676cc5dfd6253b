use super::{Effect, NotMeasured, Pair};

/// Jensen-Shannon distance.
pub(super) struct JensenShannon;

impl Effect for JensenShannon {
    fn name(&self) -> &'static str {
        "jensen_shannon"
    }

    fn manual(&self) -> &'static str {
        "Jensen-Shannon distance, base 2: the square root of the divergence, from 0 to 1. Bins are deciles of the baseline, or words. Endres and Schindelin (2003); as scipy.spatial.distance.jensenshannon(base=2)."
    }

    fn on_metrics(&self) -> bool {
        true
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        let half = |share: f64, middle: f64| if share > 0.0 { share * (share / middle).log2() } else { 0.0 };
        let divergence: f64 = pair
            .shares()?
            .into_iter()
            .map(|(p, q)| {
                let middle = f64::midpoint(p, q);
                (half(p, middle) + half(q, middle)) / 2.0
            })
            .sum();
        // Rounding may leave equal distributions a hair below 0.
        Ok(if divergence > 0.0 { divergence.sqrt() } else { 0.0 })
    }
}
