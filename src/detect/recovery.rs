use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The share of rows that must not be overlooked: a fault live at this dose must not resolve.
const LIVE_SHARE: f64 = 0.01;
/// In a bin that is common in health, a fault must be this many rows' worth of news to be waited for:
/// a smaller one cannot be told from health in that time by anybody.
const PATIENCE_ROWS: f64 = 2_000.0;
/// A live fault is called over at most once in so many rows, on average.
const RECOVERY_ROWS: f64 = 100_000.0;
/// Evidence is not counted beyond this.
const CALM_MAX: f64 = 1e150;

/// The test of recovery of one latched group: the roles of healthy and faulty swapped.
///
/// For every suspect bin a Shiryaev-Roberts e-detector bets that its share is back below the
/// baseline's upper limit `p`, against the hypothesis that it is still `p + d` or more. `d` is 1 % of
/// the rows that could hit it, or where the bin is too common for that, the least that 2,000 rows can
/// tell from health. The group has recovered when every suspect's evidence reaches 100,000 rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recovery {
    suspects: BTreeMap<usize, BTreeMap<usize, f64>>,
}

impl Recovery {
    /// Adds a bin of a stream to those that must calm down; one already there goes on.
    pub(super) fn suspect(&mut self, stream: usize, bin: usize) {
        self.suspects.entry(stream).or_default().entry(bin).or_insert(0.0);
    }

    /// Adds a bin, or starts one that is already there anew.
    pub(super) fn suspect_anew(&mut self, stream: usize, bin: usize) {
        self.suspects.entry(stream).or_default().insert(bin, 0.0);
    }

    pub(super) fn is_suspect(&self, stream: usize, bin: usize) -> bool {
        self.suspects.get(&stream).is_some_and(|bins| bins.contains_key(&bin))
    }

    /// One row of one stream: the bin it fell into and the streams' upper limits.
    pub(super) fn observe(&mut self, stream: usize, hit: usize, limits: &[f64]) {
        let Some(bins) = self.suspects.get_mut(&stream) else { return };
        for (bin, calm) in bins {
            let Some(&healthy) = limits.get(*bin) else { continue };
            let live = live_share(healthy);
            let e = if *bin == hit { healthy / live } else { (1.0 - healthy) / (1.0 - live) };
            let value = (*calm + 1.0) * e;
            *calm = if value < CALM_MAX { value } else { CALM_MAX };
        }
    }

    /// Whether every suspect has calmed down; never without a suspect.
    pub(super) fn is_complete(&self) -> bool {
        !self.suspects.is_empty()
            && self.suspects.values().flat_map(BTreeMap::values).all(|c| *c >= RECOVERY_ROWS)
    }
}

/// The smallest share that counts as the fault still being live.
fn live_share(healthy: f64) -> f64 {
    let floor = LIVE_SHARE * (1.0 - healthy);
    let tellable = (2.0 * healthy * (1.0 - healthy) * RECOVERY_ROWS.ln() / PATIENCE_ROWS).sqrt();
    let excess = if tellable > floor { tellable } else { floor };
    // Between the limit and certainty there is always room for a live fault, if only half of it.
    let half = (1.0 - healthy) / 2.0;
    healthy + if excess < half { excess } else { half }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bin that is common in health resolves too, within a few thousand rows.
    #[test]
    fn common_bins_resolve() {
        let mut recovery = Recovery::default();
        recovery.suspect(0, 1);
        let resolved = (0..20_000).find(|row| {
            recovery.observe(0, usize::from(row % 5 == 0), &[1.0, 0.21]);
            recovery.is_complete()
        });
        assert!(resolved.is_some_and(|rows| rows < 4_000), "{resolved:?}");
    }

    fn rows_until_resolved(period: usize, limit: usize) -> Option<usize> {
        let mut recovery = Recovery::default();
        recovery.suspect(0, 1);
        (0..limit).find(|row| {
            let hit = usize::from(period > 0 && row % period == 0);
            recovery.observe(0, hit, &[1.0, 3e-4]);
            recovery.is_complete()
        })
    }

    /// A fault that is over resolves within about 700 rows; one live in 1 % of rows does not.
    #[test]
    fn live_fault_does_not_resolve() {
        let over = rows_until_resolved(0, 10_000).unwrap();
        assert!((500..900).contains(&over), "{over}");
        assert_eq!(rows_until_resolved(100, 200_000), None);
        assert_eq!(rows_until_resolved(3, 200_000), None);
    }

    /// Nothing to wait for is not recovered.
    #[test]
    fn without_suspects_nothing_recovers() {
        assert!(!Recovery::default().is_complete());
    }
}
