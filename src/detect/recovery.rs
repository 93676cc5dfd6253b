use serde::{Deserialize, Serialize};

use super::cut::{Code, SKIP};
use super::table::{Bet, Family};
use crate::units::{count, whole};

/// The share of rows that must not be overlooked: a fault live at this dose must not resolve.
const LIVE_SHARE: f64 = 0.01;
/// In a bin that is common in health, a fault must be this many rows' worth of news to be waited for:
/// a smaller one cannot be told from health in that time by anybody.
const PATIENCE_ROWS: f64 = 1_000.0;
/// A stream that tells something of fewer rows than this part is still given this part of the patience.
const TOLD_MIN: f64 = 0.25;
/// A live fault is called over at most once in so many rows, on average.
const RECOVERY_ROWS: f64 = 100_000.0;
/// Calm is not counted beyond this: what was calm long ago must not hide a fault of now.
const CALM_MAX: f64 = 10.0 * RECOVERY_ROWS;
/// Bets that are waited for, at the most: the most evident ones.
const SUSPECTS_MAX: usize = 256;

/// The test of recovery of one latched group: the roles of healthy and faulty swapped.
///
/// Every suspect bet has a badness of rows, from 0 to 1: for a bet on a bin becoming commoner a hit is 1.
/// A Shiryaev-Roberts e-detector bets that the mean badness is back at the most that health has, `p`,
/// against the hypothesis that it is still `p + d` or more. `d` is 1 % of what could be bad, or where
/// health has too much of it for that, the least that 1,000 rows can tell from health. The group has
/// recovered when every suspect's evidence reaches 100,000 rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recovery {
    suspects: Vec<Suspect>,
}

/// What a stream tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Of {
    /// The values of the column at a position.
    Values(usize),
    /// What follows from them: on which grid they lie, whether they repeat.
    Form(usize),
    /// Whole rows, groups, and all else.
    Else,
}

/// One bet that must calm down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Suspect {
    stream: usize,
    bet: Bet,
    of: Of,
    calm: f64,
    /// By bin: from 0 to 1.
    badness: Vec<f64>,
    /// The most that health has, on average.
    healthy: f64,
    /// What still counts as live, on average.
    live: f64,
}

impl Recovery {
    /// Adds a bet on a stream to those that must calm down; one already there goes on.
    ///
    /// `badness`: by bin; `healthy`: the most that health has on average; `seen`: the mean since the fault
    /// began; `told`: the part of rows that the stream tells something of, up to 1.
    pub(super) fn suspect(
        &mut self,
        (stream, of, bet): (usize, Of, Bet),
        (badness, healthy): (Vec<f64>, f64),
        (seen, told): (f64, f64),
    ) {
        let is_known = self.is_suspect(stream, bet);
        // What health may always have cannot calm down.
        if is_known || healthy >= 1.0 || self.suspects.len() >= SUSPECTS_MAX {
            return;
        }
        let live = live_share(healthy, seen, PATIENCE_ROWS * if told > TOLD_MIN { told } else { TOLD_MIN });
        self.suspects.push(Suspect { stream, bet, of, calm: 0.0, badness, healthy, live });
    }

    /// Starts a bet that is already there anew.
    pub(super) fn start_anew(&mut self, stream: usize, bet: Bet) {
        for suspect in self.suspects.iter_mut().filter(|s| s.stream == stream && s.bet == bet) {
            suspect.calm = 0.0;
        }
    }

    pub(super) fn is_suspect(&self, stream: usize, bet: Bet) -> bool {
        self.suspects.iter().any(|s| s.stream == stream && s.bet == bet)
    }

    /// One step: the codes of its rows in each stream.
    pub(super) fn observe<'a>(&mut self, codes: impl Fn(usize) -> &'a [Code]) {
        for suspect in &mut self.suspects {
            let rows = codes(suspect.stream);
            let bad = |code: &Code| suspect.badness.get(usize::from(*code)).copied().unwrap_or(0.0);
            let told = rows.iter().filter(|code| **code != SKIP).count();
            if told == 0 {
                continue;
            }
            let sum: f64 = rows.iter().filter(|code| **code != SKIP).map(bad).sum();
            let share = sum / count(whole(told));
            let (healthy, live) = (suspect.healthy, suspect.live);
            let e = share * (healthy / live) + (1.0 - share) * ((1.0 - healthy) / (1.0 - live));
            let value = (suspect.calm + 1.0) * e;
            // What is not a number is not calm.
            suspect.calm = if value.is_nan() { 0.0 } else { value.clamp(0.0, CALM_MAX) };
        }
    }

    /// Whether every suspect has calmed down; never without a suspect.
    ///
    /// Where a value became commoner, others became rarer, the whole leaned, and what came repeats and lies on
    /// a grid of its own: it is waited for, and not they, which take many times as long to tell. Should one of
    /// them go on, it alarms anew.
    pub(super) fn is_complete(&self) -> bool {
        let follows = |s: &Suspect| {
            let is_cause = |c: &Suspect| {
                let same_stream = c.stream == s.stream && s.bet.family != Family::More;
                let its_values = matches!((c.of, s.of), (Of::Values(a), Of::Form(b)) if a == b);
                c.bet.family == Family::More && (same_stream || its_values)
            };
            self.suspects.iter().any(is_cause)
        };
        !self.suspects.is_empty() && self.suspects.iter().all(|s| s.calm >= RECOVERY_ROWS || follows(s))
    }
}

/// The smallest share that counts as the fault still being live: never more than halfway to what was
/// seen of it, so that a moderate change that stays does not resolve.
fn live_share(healthy: f64, seen: f64, patience: f64) -> f64 {
    let usual = usual_live_share(healthy, patience);
    let halfway = f64::midpoint(healthy, seen);
    if halfway > healthy && halfway < usual { halfway } else { usual }
}

fn usual_live_share(healthy: f64, patience: f64) -> f64 {
    let floor = LIVE_SHARE * (1.0 - healthy);
    let tellable = (2.0 * healthy * (1.0 - healthy) * RECOVERY_ROWS.ln() / patience).sqrt();
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
        suspect(&mut recovery, 0.21, 0.9);
        let resolved = (0..20_000_u32).find(|row| {
            recovery.observe(one(row % 5 == 0));
            recovery.is_complete()
        });
        assert!(resolved.is_some_and(|rows| rows < 2_000), "{resolved:?}");
    }

    fn suspect(recovery: &mut Recovery, healthy: f64, seen: f64) {
        let bet = Bet { family: Family::More, index: 1 };
        recovery.suspect((0, Of::Values(0), bet), (vec![0.0, 1.0], healthy), (seen, 1.0));
    }

    fn one(is_hit: bool) -> impl Fn(usize) -> &'static [Code] {
        move |_| if is_hit { &[1] } else { &[0] }
    }

    fn rows_until_resolved(period: u32, limit: u32) -> Option<u32> {
        let mut recovery = Recovery::default();
        suspect(&mut recovery, 3e-4, 0.9);
        (0..limit).find(|row| {
            recovery.observe(one(period > 0 && row % period == 0));
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
        suspect(&mut recovery, 0.2006, 0.22);
        let resolved = (0..300_000_u32).find(|row| {
            recovery.observe(one(row % 50 < 11));
            recovery.is_complete()
        });
        assert_eq!(resolved, None);
    }

    /// What follows from a value is not waited for once that is over; alone it is.
    #[test]
    fn what_follows_is_not_waited_for() {
        let bet = Bet { family: Family::More, index: 1 };
        for (of, waits) in [(Of::Form(0), false), (Of::Form(1), true), (Of::Else, true)] {
            let mut recovery = Recovery::default();
            suspect(&mut recovery, 3e-4, 0.9);
            recovery.suspect((1, of, bet), (vec![0.0, 1.0], 0.14), (0.5, 0.5));
            let resolved = (0..1_000_u32).find(|_| {
                // The second stream stays as bad as it was.
                recovery.observe(|stream| if stream == 0 { &[0] } else { &[1] });
                recovery.is_complete()
            });
            assert_eq!(resolved.is_none(), waits, "{of:?}: {resolved:?}");
        }
    }

    /// Nothing to wait for is not recovered.
    #[test]
    fn without_suspects_nothing_recovers() {
        assert!(!Recovery::default().is_complete());
    }
}
