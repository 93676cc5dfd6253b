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
/// What follows from causes begins to calm down when they have this much calm,
const SETTLED_ROWS: f64 = RECOVERY_ROWS / 200.0;
/// of its own this much is enough,
const FOLLOWS_ROWS: f64 = RECOVERY_ROWS / 20.0;
/// within so many rows; after them it is waited for like a cause.
const FOLLOWS_WITHIN: u32 = 2_000;
/// Where badness hardly varies, up to this part of what is held is staked on a row.
const STAKE_MAX: f64 = 0.5;
/// Bets that are waited for, at the most: the most evident ones.
const SUSPECTS_MAX: usize = 256;

/// The test of recovery of one latched group: the roles of healthy and faulty swapped.
///
/// Every suspect bet has a badness of rows, from 0 to 1: for a bet on a bin becoming commoner a hit is 1.
/// A Shiryaev-Roberts e-detector bets that the mean badness is back at the most that health has in this hour,
/// `p`, against the hypothesis that it is still `p + d` or more. `d` is 1 % of what could be bad, or where
/// health has too much of it for that, the least that 1,000 rows can tell from health. The group has
/// recovered when the evidence of every cause reaches 100,000 rows; what follows from causes must then reach 5,000
/// within 2,000 rows, or 100,000 like a cause: that of it alone a live fault is called over is bounded by the
/// smaller number.
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
    /// The same of all columns of the group together.
    Forms,
    /// Whole rows, groups, and all else.
    Else,
}

/// What a bet calls bad, and how much of it health has.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Badness {
    /// By bin: from 0 to 1.
    pub(super) of_bins: Vec<f64>,
    /// By stratum, one for all where they are alike: the most that health has, on average; nothing where
    /// the bet says nothing.
    pub(super) healthy: Vec<Option<f64>>,
    /// Its variance over that of something which is either 0 or 1, up to 1.
    pub(super) spread: f64,
}

/// What is known of a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dose {
    /// The part of what is not bad in health that it has turned bad since it began, up to 1.
    pub(super) share: f64,
    /// The part of rows that the stream tells something of, up to 1.
    pub(super) told: f64,
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
    /// By stratum, one for all where they are alike; nothing where the bet says nothing.
    limits: Vec<Option<Limit>>,
    spread: f64,
    /// Whether it follows from another suspect.
    follows: bool,
    /// Rows for which it has been calming down, where it follows.
    rows: u32,
}

/// The mean badness of health and of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Limit {
    /// The most that health has, on average.
    healthy: f64,
    /// What still counts as live, on average.
    live: f64,
    /// What would, were nothing known of the fault.
    usual: f64,
}

impl Recovery {
    /// Adds a bet on a stream to those that must calm down; one already there goes on.
    pub(super) fn suspect(&mut self, (stream, of, bet): (usize, Of, Bet), badness: Badness, dose: Dose) {
        let Badness { of_bins: badness, healthy, spread } = badness;
        let patience = PATIENCE_ROWS * if dose.told > TOLD_MIN { dose.told } else { TOLD_MIN };
        // What health may always have cannot calm down.
        let limit = |healthy: &Option<f64>| {
            healthy.filter(|p| *p < 1.0).map(|p| Limit::new(p, dose.share, patience, spread))
        };
        let limits: Vec<Option<Limit>> = healthy.iter().map(limit).collect();
        let says_nothing = limits.iter().all(Option::is_none);
        if says_nothing || self.is_suspect(stream, bet) || self.suspects.len() >= SUSPECTS_MAX {
            return;
        }
        let (calm, follows, rows) = (0.0, false, 0);
        self.suspects.push(Suspect { stream, bet, of, calm, badness, limits, spread, follows, rows });
        self.tell_causes();
    }

    /// Tells what follows from what: where a value became commoner, others became rarer, the whole leaned, and
    /// what came repeats and lies on a grid of its own.
    fn tell_causes(&mut self) {
        let causes: Vec<(usize, Of)> =
            self.suspects.iter().filter(|s| s.bet.family == Family::More).map(|s| (s.stream, s.of)).collect();
        for suspect in &mut self.suspects {
            let (stream, of) = (suspect.stream, suspect.of);
            let is_more = suspect.bet.family == Family::More;
            suspect.follows = causes.iter().any(|(cause, cause_of)| {
                let its_values = match (cause_of, of) {
                    (Of::Values(a), Of::Form(b)) => *a == b,
                    (Of::Values(_), Of::Forms) => true,
                    _ => false,
                };
                its_values || (*cause == stream && !is_more)
            });
        }
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

    /// One step: its stratum, and the codes of its rows in each stream.
    ///
    /// What follows begins to calm down when the causes have begun to: before, it says nothing of its own.
    pub(super) fn observe<'a>(&mut self, stratum: usize, codes: impl Fn(usize) -> &'a [Code]) {
        let mut settled = true;
        for cause in self.suspects.iter_mut().filter(|s| !s.follows) {
            cause.observe(stratum, codes(cause.stream));
            settled &= cause.calm >= SETTLED_ROWS;
        }
        for follower in self.suspects.iter_mut().filter(|s| s.follows) {
            if settled {
                follower.observe(stratum, codes(follower.stream));
            } else {
                (follower.calm, follower.rows) = (0.0, 0);
            }
        }
    }

    /// Whether every suspect has calmed down; never without a suspect.
    pub(super) fn is_complete(&self) -> bool {
        !self.suspects.is_empty() && self.suspects.iter().all(Suspect::is_calm)
    }
}

impl Suspect {
    fn observe(&mut self, stratum: usize, rows: &[Code]) {
        let told = rows.iter().filter(|code| **code != SKIP).count();
        let Some(limit) = self.limit_in(stratum).filter(|_| told > 0) else { return };
        let bad = |code: &Code| self.badness.get(usize::from(*code)).copied().unwrap_or(1.0);
        let sum: f64 = rows.iter().filter(|code| **code != SKIP).map(bad).sum();
        let share = sum / count(whole(told));
        // How little of what follows would still be live is not known from how much there was; of a lean it is.
        let is_usual = self.follows && self.bet.family != Family::Tilt && limit.usual > limit.live;
        let live = if is_usual { limit.usual } else { limit.live };
        let value = (self.calm + 1.0) * (1.0 + stake(limit.healthy, live, self.spread) * (live - share));
        // What is not a number is not calm.
        self.calm = if value.is_nan() { 0.0 } else { value.clamp(0.0, CALM_MAX) };
        self.rows = self.rows.saturating_add(1);
    }

    fn limit_in(&self, stratum: usize) -> Option<Limit> {
        let of = if self.limits.len() > 1 { stratum } else { 0 };
        self.limits.get(of).copied().flatten()
    }

    /// What follows from a cause takes many times as long to tell, and is not waited for as long; but it must
    /// show that it is over.
    fn is_calm(&self) -> bool {
        let soon = self.follows && self.rows <= FOLLOWS_WITHIN;
        self.calm >= if soon { FOLLOWS_ROWS } else { RECOVERY_ROWS }
    }
}

impl Limit {
    /// The smallest share that counts as the fault still being live: never more than halfway to what was
    /// seen of it, so that a moderate change that stays does not resolve.
    fn new(healthy: f64, dose: f64, patience: f64, spread: f64) -> Self {
        let usual = usual_live_share(healthy, patience, spread);
        let halfway = healthy + dose * (1.0 - healthy) / 2.0;
        let live = if halfway > healthy && halfway < usual { halfway } else { usual };
        Self { healthy, live, usual }
    }
}

/// What is staked on a row not being bad: of something that is either 0 or 1, the best; of what varies less,
/// more.
fn stake(healthy: f64, live: f64, spread: f64) -> f64 {
    let stake = (live - healthy) / (live * (1.0 - live));
    let (most, wanted) = (STAKE_MAX / (1.0 - live), stake / spread);
    if wanted <= most {
        wanted
    } else if stake > most {
        stake
    } else {
        most
    }
}

fn usual_live_share(healthy: f64, patience: f64, spread: f64) -> f64 {
    let floor = LIVE_SHARE * (1.0 - healthy);
    let variance = healthy * (1.0 - healthy) * spread;
    let tellable = (2.0 * variance * RECOVERY_ROWS.ln() / patience).sqrt();
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
            recovery.observe(0, one(row % 5 == 0));
            recovery.is_complete()
        });
        assert!(resolved.is_some_and(|rows| rows < 2_000), "{resolved:?}");
    }

    fn suspect(recovery: &mut Recovery, healthy: f64, seen: f64) {
        let share = (seen - healthy) / (1.0 - healthy);
        recovery.suspect((0, Of::Values(0), MORE), bad(vec![Some(healthy)]), Dose { share, told: 1.0 });
    }

    const MORE: Bet = Bet { family: Family::More, index: 1 };
    const LESS: Bet = Bet { family: Family::Less, index: 0 };
    const COMPLETE: Dose = Dose { share: 1.0, told: 1.0 };

    /// The second of three bins is bad.
    fn bad(healthy: Vec<Option<f64>>) -> Badness {
        Badness { of_bins: vec![0.0, 1.0, 0.0], healthy, spread: 1.0 }
    }

    fn one(is_hit: bool) -> impl Fn(usize) -> &'static [Code] {
        move |_| if is_hit { &[1] } else { &[0] }
    }

    fn rows_until_resolved(period: u32, limit: u32) -> Option<u32> {
        let mut recovery = Recovery::default();
        suspect(&mut recovery, 3e-4, 0.9);
        (0..limit).find(|row| {
            recovery.observe(0, one(period > 0 && row % period == 0));
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
            recovery.observe(0, one(row % 50 < 11));
            recovery.is_complete()
        });
        assert_eq!(resolved, None);
    }

    /// After how many rows the fault of a value that is over resolves, where one row in so many is still bad to
    /// another bet.
    fn with_follower((of, bet): (Of, Bet), healthy: f64, period: u32) -> Option<u32> {
        with_late((of, bet), healthy, period, (0, 0))
    }

    /// The same where rows are bad to the value before one row, and to the other bet before another one.
    fn with_late((of, bet): (Of, Bet), healthy: f64, period: u32, (value, other): (u32, u32)) -> Option<u32> {
        let mut recovery = Recovery::default();
        recovery.suspect((1, of, bet), bad(vec![Some(healthy)]), COMPLETE);
        suspect(&mut recovery, 3e-4, 0.9);
        (0..30_000_u32).find(|row| {
            let is_bad = |stream| match stream {
                1 => *row < other || row % period == 0,
                _ => *row < value,
            };
            recovery.observe(0, |stream| if is_bad(stream) { &[1] } else { &[0] });
            recovery.is_complete()
        })
    }

    /// What follows from a value costs a few hundred rows more when it is over, and holds the alarm when it is
    /// not; what does not follow takes its own time.
    #[test]
    fn what_follows_is_not_waited_for_as_long() {
        let alone = rows_until_resolved(0, 10_000).unwrap();
        let over = with_follower((Of::Form(0), MORE), 0.14, 10).unwrap();
        assert!(over < alone + 400, "{over} {alone}");
        for (of, period) in [(Of::Form(0), 1), (Of::Form(0), 3), (Of::Forms, 1), (Of::Else, 3)] {
            assert_eq!(with_follower((of, MORE), 0.14, period), None, "{of:?} {period}");
        }
    }

    /// What follows needs less calm than a cause, counted from when its cause has begun to calm down; what does
    /// not follow, or is bad for long after its cause, needs as much.
    #[test]
    fn what_follows_has_its_time_after_its_cause() {
        // A few more bad rows than in health, and fewer than in a live fault: it takes long to tell.
        let after = |of, late| with_late((of, MORE), 0.125, 7, late).unwrap();
        let apart = after(Of::Form(1), (0, 0));
        for of in [Of::Form(0), Of::Forms] {
            let over = after(of, (0, 0));
            assert!(over + 500 < apart, "{of:?}: {over} {apart}");
            // However long both last,
            let both = after(of, (3_000, 3_000));
            assert!(both.abs_diff(3_000 + over) < 10, "{of:?}: {both} {over}");
            // and not where it is the only one that does.
            let late = (0, 3_000);
            assert_eq!(after(of, late), after(Of::Form(1), late));
        }
        assert_eq!(after(Of::Else, (0, 0)), apart);
    }

    /// A bin that nobody planned for is bad to every bet.
    #[test]
    fn unknown_bins_are_no_calm() {
        let after = |code: &'static [Code]| {
            let mut recovery = Recovery::default();
            suspect(&mut recovery, 3e-4, 0.9);
            (0..10_000_u32).find(|_| {
                recovery.observe(0, |_| code);
                recovery.is_complete()
            })
        };
        assert!(after(&[2]).is_some());
        assert_eq!((after(&[3]), after(&[0, 3])), (None, None));
    }

    /// A range that is lost for good while the value that became commoner is over holds the alarm, and one that
    /// is back does not.
    #[test]
    fn a_loss_that_stays_does_not_resolve() {
        let run = |is_back: bool| {
            let mut recovery = Recovery::default();
            suspect(&mut recovery, 3e-4, 0.9);
            let badness = Badness { of_bins: vec![0.0, 1.0, 1.0], healthy: vec![Some(0.85)], spread: 1.0 };
            let dose = Dose { share: 0.98, told: 1.0 };
            recovery.suspect((0, Of::Values(0), LESS), badness, dose);
            (0..30_000_u32).find(|row| {
                recovery.observe(0, |_| if is_back && row % 6 == 0 { &[0] } else { &[2] });
                recovery.is_complete()
            })
        };
        assert_eq!(run(false), None);
        assert!(run(true).is_some_and(|rows| rows < 1_500), "{:?}", run(true));
    }

    /// What is usual in one hour is a live fault in another, and an hour of which nothing is known, or in which
    /// the bet says nothing, is no calm.
    #[test]
    fn hours_are_kept_apart() {
        let after = |stratum: usize, is_bad: fn(u32) -> bool| {
            let mut recovery = Recovery::default();
            let healthy = vec![Some(0.62), Some(0.002), None, Some(1.0)];
            recovery.suspect((0, Of::Values(0), MORE), bad(healthy), COMPLETE);
            (0..10_000_u32).find(|row| {
                recovery.observe(stratum, one(is_bad(*row)));
                recovery.is_complete()
            })
        };
        assert!(after(0, |row| row % 10 < 6).is_some());
        assert_eq!(after(1, |row| row % 10 < 3), None);
        assert!(after(1, |row| row % 1_000 == 500).is_some());
        assert_eq!((after(2, |_| false), after(3, |_| false), after(7, |_| false)), (None, None, None));
    }

    /// What hardly varies is told from health by less than a value that is either there or not.
    #[test]
    fn small_spreads_tell_more() {
        let live = |spread| Limit::new(0.5, 1.0, PATIENCE_ROWS, spread).live;
        assert!(live(0.1) < 0.53 && live(1.0) > 0.57, "{} {}", live(0.1), live(1.0));
    }

    /// Nothing to wait for is not recovered.
    #[test]
    fn without_suspects_nothing_recovers() {
        assert!(!Recovery::default().is_complete());
    }
}
