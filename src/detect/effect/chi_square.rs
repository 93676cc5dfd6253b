use super::{Effect, NotMeasured, Pair};
use crate::units::count;

/// Pearson's chi-square statistic of homogeneity.
pub(super) struct ChiSquare;

impl Effect for ChiSquare {
    fn name(&self) -> &'static str {
        "chi_square"
    }

    fn manual(&self) -> &'static str {
        "Pearson's chi-square statistic of homogeneity over the counts of both sides by bin, without Yates' correction; bins that neither side fills are left out, so its degrees of freedom are the others less one. Bins are deciles of the baseline, or words. It grows with the rows of both sides: cramers_v does not. No p-value is given: one read at every window alarms without a budget. Pearson (1900); as scipy.stats.chi2_contingency(correction=False)."
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        let (all_p, all_q) = pair.totals()?;
        Ok(of_counts(&counts(pair), all_p, all_q))
    }
}

/// Counts of both sides by bin, without the bins that neither fills.
pub(super) fn counts(pair: &Pair) -> Vec<(f64, f64)> {
    let filled = pair.binned().into_iter().filter(|(p, q)| p + q > 0);
    filled.map(|(p, q)| (count(p), count(q))).collect()
}

/// The statistic of counts, given their sums.
pub(super) fn of_counts(counts: &[(f64, f64)], all_p: f64, all_q: f64) -> f64 {
    let (share_p, share_q) = (all_p / (all_p + all_q), all_q / (all_p + all_q));
    let term = |seen: f64, expected: f64| (seen - expected).powi(2) / expected;
    counts.iter().map(|(p, q)| term(*p, (p + q) * share_p) + term(*q, (p + q) * share_q)).sum()
}
