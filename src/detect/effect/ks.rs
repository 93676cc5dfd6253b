use super::{Effect, NotMeasured, Pair};
use crate::units::count;

/// Kolmogorov-Smirnov statistic.
pub(super) struct KolmogorovSmirnov;

impl Effect for KolmogorovSmirnov {
    fn name(&self) -> &'static str {
        "ks"
    }

    fn manual(&self) -> &'static str {
        "Kolmogorov-Smirnov statistic: the largest distance between the two distribution functions, from 0 to 1; numbers only. Exact where a bin of the sketch holds one value; else low by at most the largest share of one bin (0.8 % wide). As scipy.stats.ks_2samp."
    }

    fn on_metrics(&self) -> bool {
        true
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        let values = pair.values()?;
        let (all_p, all_q) = pair.totals()?;
        let (mut below_p, mut below_q, mut largest) = (0, 0, 0.0);
        for (_, p, q) in values {
            below_p += p;
            below_q += q;
            let gap = (count(below_p) / all_p - count(below_q) / all_q).abs();
            if gap > largest {
                largest = gap;
            }
        }
        Ok(largest)
    }
}
