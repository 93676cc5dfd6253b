use serde::{Deserialize, Serialize};

use crate::units::{Timestamp, count, whole};

/// The largest part of its money that a bet risks on one loss, and how many times smaller the next is.
const PART_MAX: f64 = 0.9;
const PARTS_APART: f64 = 2.0;
/// Bets are made down to those that suit a risk so many times the tolerated one.
const SMALLEST_RISE: f64 = 1.1;
const BETS_MAX: usize = 16;
/// Losses in which the rise must have shown that a detector calls visible: so many times the mean delay.
const SURE: f64 = 2.0;

/// Bets that a risk is above a level, or below one.
///
/// A bet of stake `s` multiplies its money by `1 + s (loss - level)`, which is unfavourable as long as the
/// risk, given all before, is at most `level` (for bets that it is below, the other way round). Money of 1 is
/// put in anew with each loss, so that the sum minus the number of losses is a supermartingale, and so is the
/// mean over bets: the mean number of losses until it reaches `a` is at least `a`, however losses are
/// distributed within 0 to 1.
///
/// # Source
/// Shin, Ramdas and Rinaldo, arXiv 2203.03532 (e-detectors), with the bets of Waudby-Smith and Ramdas (2024),
/// JRSS B 86:1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bets {
    level: f64,
    /// Positive: on losses above the level; negative: on losses below.
    stakes: Vec<f64>,
}

/// What one bet holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Money {
    /// The Shiryaev-Roberts sum.
    sum: f64,
    /// The money of the luckiest beginning, and when that was: the row's number and time.
    run: f64,
    since: u64,
    since_at: Timestamp,
    /// The losses since then, and how many they are.
    losses: f64,
    n: u64,
}

/// What the richest bet lives of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rise {
    /// Number and time of the first row.
    pub(super) since: u64,
    pub(super) since_at: Timestamp,
    /// The mean loss from there on, and of how many it is.
    pub(super) mean: f64,
    pub(super) n: u64,
}

/// The loss that is judged: its number and the time of its row.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) number: u64,
    pub(super) ts: Timestamp,
}

impl Bets {
    /// On a risk above a level; none where nothing is above it.
    pub(super) fn above(level: f64) -> Self {
        // A stake of 1 / level would lose all on a loss of 0. That for the risk m among losses of 0 and 1 is
        // this part of it: (m - level) / (1 - level).
        let smallest = level * (SMALLEST_RISE - 1.0) / (1.0 - level);
        let stakes = if level > 0.0 && level < 1.0 { parts(smallest) } else { Vec::new() };
        Self { level, stakes: stakes.into_iter().map(|part| part / level).collect() }
    }

    /// On a risk below a level.
    pub(super) fn below(level: f64) -> Self {
        let stakes = if level > 0.0 && level < 1.0 { parts(1.0 - 1.0 / SMALLEST_RISE) } else { Vec::new() };
        Self { level, stakes: stakes.into_iter().map(|part| -part / (1.0 - level)).collect() }
    }

    /// Whether any bet is made.
    pub(super) const fn can_win(&self) -> bool {
        !self.stakes.is_empty()
    }

    /// Money at rest.
    pub(super) fn rest(&self, at: At) -> Vec<Money> {
        let money = Money { sum: 0.0, run: 1.0, since: at.number, since_at: at.ts, losses: 0.0, n: 0 };
        vec![money; self.stakes.len()]
    }

    /// Whether money is of these bets.
    pub(super) fn fits(&self, money: &[Money]) -> bool {
        let sound = |money: &Money| money.sum.is_finite() && money.sum >= 0.0 && money.run.is_finite();
        money.len() == self.stakes.len() && money.iter().all(sound)
    }

    /// Takes the next loss, from 0 to 1; answers the mean money over all bets.
    pub(super) fn push(&self, money: &mut [Money], loss: f64, at: At) -> f64 {
        for (money, stake) in money.iter_mut().zip(&self.stakes) {
            let factor = 1.0 + stake * (loss - self.level);
            money.sum = (1.0 + money.sum) * factor;
            if money.run <= 1.0 {
                (money.run, money.since, money.since_at) = (1.0, at.number, at.ts);
                (money.losses, money.n) = (0.0, 0);
            }
            money.run *= factor;
            money.losses += loss;
            money.n += 1;
        }
        self.evidence(money)
    }

    /// Whether losses from 0 to 1, one after the other, reach a mean money of `threshold` at most so often; after
    /// each time all begins anew.
    pub(super) fn keep(&self, losses: &[f64], threshold: f64, most: f64) -> bool {
        let needed = threshold * count(whole(self.stakes.len()));
        let (mut sums, mut alarms) = (vec![0.0; self.stakes.len()], 0.0);
        for loss in losses {
            let mut all = 0.0;
            for (sum, stake) in sums.iter_mut().zip(&self.stakes) {
                *sum = (1.0 + *sum) * (1.0 + stake * (loss - self.level));
                all += *sum;
            }
            if self.can_win() && all >= needed {
                sums.fill(0.0);
                alarms += 1.0;
                if alarms > most {
                    return false;
                }
            }
        }
        true
    }

    /// The mean money over all bets.
    pub(super) fn evidence(&self, money: &[Money]) -> f64 {
        money.iter().map(|money| money.sum).sum::<f64>() / count(whole(self.stakes.len().max(1)))
    }

    /// What the richest bet lives of.
    pub(super) fn rise(money: &[Money]) -> Option<Rise> {
        let Money { since, since_at, losses, n, .. } =
            *money.iter().max_by(|a, b| a.sum.total_cmp(&b.sum))?;
        (n > 0).then(|| Rise { since, since_at, mean: losses / count(n), n })
    }

    /// Losses of 0 and 1, the widest there are, of this risk until the mean money reaches `threshold`, twice
    /// the mean; nothing when no bet grows.
    pub(super) fn losses_needed(&self, risk: f64, threshold: f64) -> Option<f64> {
        let growth = |stake: &f64| {
            let (up, down) = (1.0 + stake * (1.0 - self.level), 1.0 - stake * self.level);
            risk * up.ln() + (1.0 - risk) * down.ln()
        };
        let best = self.stakes.iter().map(growth).fold(0.0, |best, g| if g > best { g } else { best });
        let wanted = (threshold * count(whole(self.stakes.len()))).ln();
        (best > 0.0).then(|| SURE * wanted / best)
    }
}

/// Parts of the money to risk, from the largest to that which suits the smallest change.
fn parts(smallest: f64) -> Vec<f64> {
    let next = |part: &f64| Some(part / PARTS_APART);
    let mut parts: Vec<f64> = std::iter::successors(Some(PART_MAX), next)
        .take_while(|part| part * PARTS_APART > smallest)
        .take(BETS_MAX)
        .collect();
    if parts.is_empty() {
        parts.push(PART_MAX);
    }
    parts
}
