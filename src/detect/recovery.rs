use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ledger::Hit;

/// The share of rows that must not be overlooked: a fault live at this dose must not resolve.
const LIVE_SHARE: f64 = 0.01;
/// In a bin that is common in health, a fault must be this many rows' worth of news to be waited for:
/// a smaller one cannot be told from health in that time by anybody.
const PATIENCE_ROWS: f64 = 2_000.0;
/// A live fault is called over at most once in so many rows, on average.
const RECOVERY_ROWS: f64 = 100_000.0;
/// Calm is not counted beyond this: what was calm long ago must not hide a fault of now.
const CALM_MAX: f64 = 10.0 * RECOVERY_ROWS;

/// The test of recovery of one latched group: the roles of healthy and faulty swapped.
///
/// For every suspect bin a Shiryaev-Roberts e-detector bets that its share is back below the
/// baseline's upper limit `p`, against the hypothesis that it is still `p + d` or more. `d` is 1 % of
/// the rows that could hit it, or where the bin is too common for that, the least that 2,000 rows can
/// tell from health. The group has recovered when every suspect's evidence reaches 100,000 rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recovery {
    suspects: BTreeMap<usize, BTreeMap<usize, Suspect>>,
}

/// One bin that must calm down.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Suspect {
    calm: f64,
    /// Its share of rows while the fault was on, as far as the alarm knew.
    seen: f64,
}

impl Recovery {
    /// Adds a bin of a stream to those that must calm down; one already there goes on.
    ///
    /// `seen`: its share of rows since the fault began.
    pub(super) fn suspect(&mut self, stream: usize, bin: usize, seen: f64) {
        self.suspects.entry(stream).or_default().entry(bin).or_insert(Suspect { calm: 0.0, seen });
    }

    /// Adds a bin, or starts one that is already there anew.
    pub(super) fn suspect_anew(&mut self, stream: usize, bin: usize) {
        self.suspects.entry(stream).or_default().insert(bin, Suspect { calm: 0.0, seen: 1.0 });
    }

    pub(super) fn is_suspect(&self, stream: usize, bin: usize) -> bool {
        self.suspects.get(&stream).is_some_and(|bins| bins.contains_key(&bin))
    }

    /// One request in one stream: the bins that its rows fell into, and the stream's upper limits.
    pub(super) fn observe(&mut self, stream: usize, hits: &[Hit], limits: &[f64]) {
        let Some(bins) = self.suspects.get_mut(&stream) else { return };
        for (bin, suspect) in bins {
            let Some(&healthy) = limits.get(*bin) else { continue };
            let live = live_share(healthy, suspect.seen);
            let share = hits.iter().find(|hit| hit.bin == *bin).map_or(0.0, |hit| hit.share);
            let e = share * (healthy / live) + (1.0 - share) * ((1.0 - healthy) / (1.0 - live));
            let value = (suspect.calm + 1.0) * e;
            // What is not a number is not calm.
            suspect.calm = if value.is_nan() { 0.0 } else { value.clamp(0.0, CALM_MAX) };
        }
    }

    /// Whether every suspect has calmed down; never without a suspect.
    pub(super) fn is_complete(&self) -> bool {
        !self.suspects.is_empty()
            && self.suspects.values().flat_map(BTreeMap::values).all(|s| s.calm >= RECOVERY_ROWS)
    }
}

/// The smallest share that counts as the fault still being live: never more than halfway to what was
/// seen of it, so that a moderate change that stays does not resolve.
fn live_share(healthy: f64, seen: f64) -> f64 {
    let usual = usual_live_share(healthy);
    let halfway = f64::midpoint(healthy, seen);
    if halfway > healthy && halfway < usual { halfway } else { usual }
}

fn usual_live_share(healthy: f64) -> f64 {
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
        recovery.suspect(0, 1, 0.9);
        let resolved = (0..20_000).find(|row| {
            recovery.observe(0, &one(usize::from(row % 5 == 0)), &[1.0, 0.21]);
            recovery.is_complete()
        });
        assert!(resolved.is_some_and(|rows| rows < 4_000), "{resolved:?}");
    }

    fn one(bin: usize) -> [Hit; 1] {
        [Hit { bin, share: 1.0 }]
    }

    fn rows_until_resolved(period: usize, limit: usize) -> Option<usize> {
        let mut recovery = Recovery::default();
        recovery.suspect(0, 1, 0.9);
        (0..limit).find(|row| {
            let hit = usize::from(period > 0 && row % period == 0);
            recovery.observe(0, &one(hit), &[1.0, 3e-4]);
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

    /// A moderate change of a common bin that stays does not resolve.
    #[test]
    fn moderate_change_that_stays_does_not_resolve() {
        let mut recovery = Recovery::default();
        recovery.suspect(0, 1, 0.22);
        let resolved = (0..300_000).find(|row| {
            recovery.observe(0, &one(usize::from(row % 50 < 11)), &[1.0, 0.2006]);
            recovery.is_complete()
        });
        assert_eq!(resolved, None);
    }

    /// Nothing to wait for is not recovered.
    #[test]
    fn without_suspects_nothing_recovers() {
        assert!(!Recovery::default().is_complete());
    }
}
