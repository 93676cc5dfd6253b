use super::{Effect, Pair};
use crate::units::count;

/// A share of 0 is raised to this, as most implementations do: without it the index is infinite.
const FLOOR: f64 = 1e-4;

/// Population stability index.
pub(super) struct Psi;

impl Effect for Psi {
    fn name(&self) -> &'static str {
        "psi"
    }

    fn manual(&self) -> &'static str {
        "Population stability index: sum over bins of (q - p) ln(q / p), in nats, from 0 without upper bound. Bins are deciles of the baseline, or words; a share of 0 counts as 0.0001. Siddiqi (2006), Credit Risk Scorecards."
    }

    fn measure(&self, pair: &Pair) -> Option<f64> {
        let (all_p, all_q) = pair.totals()?;
        let raised = |share: f64| if share > FLOOR { share } else { FLOOR };
        let terms = pair.binned().into_iter().filter(|(p, q)| p + q > 0).map(|(p, q)| {
            let (p, q) = (raised(count(p) / all_p), raised(count(q) / all_q));
            (q - p) * (q / p).ln()
        });
        Some(terms.sum())
    }
}
