use super::{Effect, NotMeasured, Pair};
use crate::units::count;

/// Energy distance.
pub(super) struct Energy;

impl Effect for Energy {
    fn name(&self) -> &'static str {
        "energy"
    }

    fn manual(&self) -> &'static str {
        "Energy distance: the square root of 2 E|X - Y| - E|X - X'| - E|Y - Y'|, in the square root of the column's unit, from 0 without upper bound; numbers only. Exact where a bin of the sketch holds one value. Szekely and Rizzo (2013); as scipy.stats.energy_distance."
    }

    fn measure(&self, pair: &Pair) -> Result<f64, NotMeasured> {
        let values = pair.values()?;
        let (all_p, all_q) = pair.totals()?;
        let (mut below_p, mut below_q, mut area) = (0, 0, 0.0);
        let mut last: Option<f64> = None;
        for (value, p, q) in values {
            if let Some(last) = last {
                area += (count(below_p) / all_p - count(below_q) / all_q).powi(2) * (value - last);
            }
            below_p += p;
            below_q += q;
            last = Some(*value);
        }
        Ok((2.0 * area).sqrt())
    }
}
