use super::{Effect, NotMeasured, Pair};

/// Total variation distance.
pub(super) struct TotalVariation;

impl Effect for TotalVariation {
    fn name(&self) -> &'static str {
        "total_variation"
    }

    fn manual(&self) -> &'static str {
        "Total variation distance: half the sum over bins of |p - q|, from 0 to 1: the share of rows that would have to change. Bins are deciles of the baseline, or words. The distance itself, where Evidently's `TVD` is a p-value."
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        Ok(pair.shares()?.into_iter().map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0)
    }
}
