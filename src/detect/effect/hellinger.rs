use super::{Effect, NotMeasured, Pair};

/// Hellinger distance.
pub(super) struct Hellinger;

impl Effect for Hellinger {
    fn name(&self) -> &'static str {
        "hellinger"
    }

    fn manual(&self) -> &'static str {
        "Hellinger distance: the square root of half the sum over bins of (sqrt p - sqrt q)^2, from 0 to 1. Bins are deciles of the baseline, or words. Hellinger (1909)."
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        let terms = pair.shares()?.into_iter().map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2));
        Ok((terms.sum::<f64>() / 2.0).sqrt())
    }
}
