use super::{Effect, NotMeasured, Pair};
use crate::units::count;

/// Cramer-von Mises statistic.
pub(super) struct CramerVonMises;

impl Effect for CramerVonMises {
    fn name(&self) -> &'static str {
        "cramer_von_mises"
    }

    fn manual(&self) -> &'static str {
        "Cramer-von Mises statistic T of two samples, ties at their middle rank; numbers only, two rows a side at least. It grows with the rows of both sides: compare windows of like size only. Exact where a bin of the sketch holds one value; else values of one bin count as ties. Anderson (1962); as scipy.stats.cramervonmises_2samp."
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        let values = pair.values()?;
        let (all_p, all_q) = pair.totals()?;
        if all_p < 2.0 || all_q < 2.0 {
            return Err(NotMeasured::TooFewRows);
        }
        // The squares of (rank in both - rank in its own sample): within a tie the first rank is the same
        // and the others run on, so that only what the other side adds and the run's own variance are left.
        let squares = |mine: f64, other_below: f64, other: f64| {
            let apart = other_below + other / 2.0;
            mine * (apart * apart + (mine * mine - 1.0) / 12.0)
        };
        let (mut below_p, mut below_q, mut of_p, mut of_q) = (0.0, 0.0, 0.0, 0.0);
        for (_, p, q) in values {
            let (p, q) = (count(*p), count(*q));
            of_p += squares(p, below_q, q);
            of_q += squares(q, below_p, p);
            below_p += p;
            below_q += q;
        }
        let (product, all) = (all_p * all_q, all_p + all_q);
        Ok((all_p * of_p + all_q * of_q) / (product * all) - (4.0 * product - 1.0) / (6.0 * all))
    }
}
