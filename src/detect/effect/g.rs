use super::{Effect, NotMeasured, Pair, chi_square};

/// Likelihood-ratio (G) statistic of homogeneity.
pub(super) struct G;

impl Effect for G {
    fn name(&self) -> &'static str {
        "g"
    }

    fn manual(&self) -> &'static str {
        "Likelihood-ratio statistic G of homogeneity over the counts of both sides by bin: twice the sum of seen ln(seen / expected), without correction; degrees of freedom as chi_square. Bins are deciles of the baseline, or words. It grows with the rows of both sides. Wilks (1938); as scipy.stats.chi2_contingency(lambda_=\"log-likelihood\", correction=False)."
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        let (all_p, all_q) = pair.totals()?;
        let (share_p, share_q) = (all_p / (all_p + all_q), all_q / (all_p + all_q));
        let term = |seen: f64, expected: f64| if seen > 0.0 { seen * (seen / expected).ln() } else { 0.0 };
        let counts = chi_square::counts(pair);
        let sum: f64 =
            counts.iter().map(|(p, q)| term(*p, (p + q) * share_p) + term(*q, (p + q) * share_q)).sum();
        // Rounding may leave equal distributions a hair below 0.
        Ok(if sum > 0.0 { 2.0 * sum } else { 0.0 })
    }
}
