use super::{Effect, NotMeasured, Pair};

/// A smaller share is raised to this, as most implementations do with one of 0: without it the index is infinite.
const FLOOR: f64 = 1e-4;

/// Population stability index.
pub(super) struct Psi;

impl Effect for Psi {
    fn name(&self) -> &'static str {
        "psi"
    }

    fn manual(&self) -> &'static str {
        "Population stability index: sum over bins of (q - p) ln(q / p), in nats, from 0 without upper bound. Bins are deciles of the baseline, or words; a share below 0.0001 counts as 0.0001. Siddiqi (2006), Credit Risk Scorecards."
    }

    fn on_metrics(&self) -> bool {
        true
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        let raised = |share: f64| if share > FLOOR { share } else { FLOOR };
        let terms = pair.shares()?.into_iter().map(|(p, q)| {
            let (p, q) = (raised(p), raised(q));
            (q - p) * (q / p).ln()
        });
        Ok(terms.sum())
    }
}
