use super::{Effect, NotMeasured, Pair, chi_square};
use crate::units::{count, whole};

/// Cramer's V, the bias taken out.
pub(super) struct CramersV;

impl Effect for CramersV {
    fn name(&self) -> &'static str {
        "cramers_v"
    }

    fn manual(&self) -> &'static str {
        "Cramer's V between side and bin, less the bias of few rows (0 where chance explains all of it), from 0 to 1. Both sides count as having the rows of the smaller one, so that it does not depend on how long the baseline is. Bins are deciles of the baseline, or words. Bergsma (2013); as Deepchecks."
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        let (all_p, all_q) = pair.totals()?;
        let mut counts = chi_square::counts(pair);
        if counts.len() < 2 {
            return Err(NotMeasured::OneValue);
        }
        let rows = if all_p < all_q { all_p } else { all_q };
        if rows < 2.0 {
            return Err(NotMeasured::TooFewRows);
        }
        for (p, q) in &mut counts {
            *p *= rows / all_p;
            *q *= rows / all_q;
        }
        let (less, bins) = (2.0 * rows - 1.0, count(whole(counts.len())));
        let phi = chi_square::of_counts(&counts, rows, rows) / (2.0 * rows) - (bins - 1.0) / less;
        let corrected = |levels: f64| levels - (levels - 1.0).powi(2) / less - 1.0;
        let (sides, bins) = (corrected(2.0), corrected(bins));
        let most = if bins < sides { bins } else { sides };
        match (phi > 0.0, most > 0.0) {
            (_, false) => Err(NotMeasured::TooFewRows),
            (true, true) => Ok((phi / most).sqrt()),
            (false, true) => Ok(0.0),
        }
    }
}
