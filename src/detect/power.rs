//! How many rows a fault of some size takes to alarm.

use super::bins::Bin;
use super::monitor::Monitor;
use super::state::Group;
use super::stream::{Role, Source, Stream};
use super::table::{BLOCK, Bet, EPSILONS, Family, Losses, Stratum, TILTS, Tilts};
use crate::baseline::Budget;

/// Nine in ten faults alarm within the rows that are told.
const QUANTILE_Z: f64 = 1.2816;
/// A fault that takes longer than this is as good as unseen, where a larger one is quicker.
const SLOW_ROWS: f64 = 20_000.0;
/// The part of a bin's weight that one share of rows has, about.
const LANE_MEAN: f64 = 0.25;
/// What is left of a bin's rows after the loss that a bet on less must see.
const LEFT: f64 = 0.1;
/// To the rows of an hour, so many of all hours are added.
const LENT_ROWS: f64 = 30.0;
/// The place among [`TILTS`] of the lean that a tilt must see, for each side: 0.45 standard deviations; of a relation
/// whose broken rows are known the first is one that is broken in 35 of 100 rows.
const LEANS: [usize; 2] = [1, 6];

/// What it takes to see a fault of one size.
#[derive(Debug, Clone, Copy)]
pub(super) enum Needed {
    /// So many rows.
    Rows(f64),
    /// No number of rows is enough.
    Never,
    /// There is no bet on it.
    Nothing,
}

/// One bin's bets, as they stand against a fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Against {
    /// Evidence that one of them needs: the logarithm of threshold over weight and step.
    pub(super) nats: f64,
    /// The upper limit of the healthy share: what is bet against.
    pub(super) limit: f64,
    /// The healthy share itself, as estimated.
    pub(super) healthy: f64,
    /// By how much evidence is tempered.
    pub(super) clumping: f64,
}

impl Against {
    /// Rows within which nine in ten faults alarm, when a share `q` of rows that did not fall into the
    /// bin now does: by the normal approximation of a random walk to `nats`, the least over the shares
    /// bet on. Nothing when no bet grows.
    pub(super) fn rows_to_alarm(&self, q: f64) -> Option<f64> {
        let hit = self.healthy + q * (1.0 - self.healthy);
        let rows = EPSILONS.iter().filter_map(|eps| {
            let temper = |e: f64| e.ln() / self.clumping;
            let (won, lost) = (temper(1.0 - eps + eps / self.limit), temper(1.0 - eps));
            let growth = hit * won + (1.0 - hit) * lost;
            let spread = (hit * (1.0 - hit)).sqrt() * (won - lost);
            (Walk { growth, spread }).rows_to(self.nats)
        });
        least(rows)
    }
}

/// The logarithm of evidence under a fault: a random walk.
#[derive(Debug, Clone, Copy)]
struct Walk {
    /// Its mean step.
    growth: f64,
    /// The standard deviation of its steps.
    spread: f64,
}

impl Walk {
    /// Of steps that are so probable and worth so much; the shares need not add up to 1.
    fn of(steps: &[(f64, f64)]) -> Self {
        let all: f64 = steps.iter().map(|(share, _)| share).sum();
        let growth = steps.iter().map(|(share, worth)| share * worth).sum::<f64>() / all;
        let variance = steps.iter().map(|(share, worth)| share * (worth - growth).powi(2)).sum::<f64>() / all;
        Self { growth, spread: variance.sqrt() }
    }

    /// Steps within which nine in ten such walks reach so much; nothing when they do not rise.
    fn rows_to(self, nats: f64) -> Option<f64> {
        // The root of rows * growth - z * sqrt(rows) * spread = nats.
        let drag = QUANTILE_Z * self.spread;
        let root = (drag + (drag * drag + 4.0 * self.growth * nats).sqrt()) / (2.0 * self.growth);
        (self.growth > 0.0).then_some(root * root)
    }
}

/// The least of some numbers of rows, whole. Not even a complete fault is seen before its first row.
fn least(rows: impl Iterator<Item = f64>) -> Option<f64> {
    let rows = rows.reduce(|a, b| if b < a { b } else { a })?;
    Some(if rows > 1.0 { rows.ceil() } else { 1.0 })
}

impl Monitor {
    /// Steps that tell it something within which nine in ten faults in a share of them alarm by one detector and
    /// one stream alone: by the bin that needs most, each by the first of some shares that it can see. For bets on less, the fault is a bin that
    /// loses nine in ten of its rows, or all where less cannot be seen; for tilts, a lean by 0.45 standard deviations.
    ///
    /// Bins that health may always hit (a constant column's value) are left out: they cannot become
    /// commoner.
    pub(super) fn rows_needed_in(&self, stream: usize, kind: usize, shares: &[f64]) -> Needed {
        let mut most = Needed::Nothing;
        for bet in self.wiring.bets(stream) {
            if self.wiring.owner_index(stream, bet) != Some(kind) {
                continue;
            }
            match (self.rows_needed_by(stream, bet, shares), most) {
                (Some(Needed::Never), _) => return Needed::Never,
                (Some(Needed::Rows(rows)), Needed::Rows(others)) if rows <= others => {}
                (Some(needed), _) => most = needed,
                (None, _) => {}
            }
        }
        most
    }

    /// The bet on a whole group of features at zero; that of its one feature, where it has one.
    pub(super) fn all_zero(&self, group: &Group) -> Option<(usize, Bet)> {
        let streams =
            || group.streams.iter().copied().filter_map(|s| Some((s, self.calibration.streams.get(s)?)));
        let of_group = |s: &Stream| matches!(s.source, Source::Group { .. });
        let of_column = |s: &Stream| matches!(s.source, Source::Column { .. });
        let is_zero = |b: &Bin| matches!(b, Bin::GroupZero | Bin::GroupDefault | Bin::Zero);
        let columns = streams().filter(|(_, s)| of_column(s)).count();
        let found = streams().find(|(_, s)| of_group(s));
        let found = found.or_else(|| streams().find(|(_, s)| columns == 1 && of_column(s)));
        let (stream, calibrated) = found.filter(|_| group.role == Role::Input)?;
        let index = calibrated.bins.iter().position(is_zero)?;
        Some((stream, Bet { family: Family::More, index }))
    }

    /// Nothing where no bet is possible.
    fn rows_needed_by(&self, stream: usize, bet: Bet, shares: &[f64]) -> Option<Needed> {
        let rows = match bet.family {
            Family::More => {
                let against = self.bet_against(stream, bet)?;
                let mut rows = shares.iter().filter_map(|share| against.rows_to_alarm(*share));
                // Where a small fault is hardly more than what health has, a larger one is what can be seen.
                rows.clone().find(|rows| *rows <= SLOW_ROWS).or_else(|| rows.next_back())
            }
            Family::Less => self.rows_to_loss(stream, bet)?,
            // All tilts to one side see one lean together.
            Family::Tilt if !LEANS.contains(&bet.index) => return None,
            Family::Tilt => self.rows_to_lean(stream, bet.index)?,
        };
        Some(rows.map_or(Needed::Never, Needed::Rows))
    }

    /// Rows within which a bet on less sees the loss of nine in ten of its rows, or of all where it cannot see less:
    /// in the worst hour that has such rows.
    fn rows_to_loss(&self, stream: usize, bet: Bet) -> Option<Option<f64>> {
        let (calibrated, table) = (self.calibration.streams.get(stream)?, self.wiring.table(stream)?);
        let place = table.place(bet)?;
        let block = f64::from(BLOCK);
        let nats = (self.threshold / (table.less_weights.get(place)? * self.step_length() * block)).ln();
        let (_, covers) = table.less_covers.get(place)?;
        let (hits, trials) = covers.iter().fold((0.0, 1.0), |(hits, most), bin| {
            let (of_bin, trials) = calibrated.pooled(*bin);
            (hits + of_bin, if trials > most { trials } else { most })
        });
        let miss = |of: &Losses| of.miss.first().copied().map_or(0.0, f64::from);
        let losses = table.strata.iter().filter(|s| s.is_known).filter_map(|s| s.less.get(place));
        let worst =
            losses.filter(|of| miss(of) > 0.0).reduce(|a, b| if miss(b) < miss(a) { b } else { a })?;
        let rows_at = |left: f64| {
            let losses = worst.hit.iter().zip(&worst.miss);
            let walks = losses
                .map(|(hit, miss)| Walk::of(&[(left, f64::from(*hit)), (1.0 - left, f64::from(*miss))]));
            // Known at the end of a block.
            least(walks.filter_map(|walk| walk.rows_to(nats))).map(|rows| rows + block)
        };
        Some(rows_at(LEFT * hits / trials).or_else(|| rows_at(0.0)))
    }

    /// Rows within which the tilts see the baseline's bins lean as one of them says: in the worst hour.
    fn rows_to_lean(&self, stream: usize, lean: usize) -> Option<Option<f64>> {
        let (calibrated, table) = (self.calibration.streams.get(stream)?, self.wiring.table(stream)?);
        let nats = (self.threshold / (table.tilt_weight * self.step_length())).ln();
        let all: Vec<f64> = (0..table.bins).map(|bin| calibrated.pooled(bin).0).collect();
        let lent = LENT_ROWS / all.iter().sum::<f64>();
        let (hits, _) = calibrated.by_stratum();
        let rows_in = |(stratum, hits): (&Stratum, &Vec<f64>)| {
            let of_tilt = |e: &Tilts, tilt: usize| e.get(tilt).copied().map_or(1.0, f64::from);
            // Where an hour has few rows, those of all hours speak for it.
            let rows = hits.iter().zip(&all).map(|(own, all)| own + lent * all);
            let leant =
                rows.zip(&stratum.tilts).map(|(rows, e)| rows * of_tilt(e, lean).powf(table.clumping));
            let leant: Vec<f64> = leant.collect();
            let walk = |tilt| {
                let worth = stratum.tilts.iter().map(|e| of_tilt(e, tilt).ln());
                Walk::of(&leant.iter().copied().zip(worth).collect::<Vec<_>>())
            };
            least((0..TILTS.len()).filter_map(|tilt| walk(tilt).rows_to(nats)))
        };
        let hours = table.strata.iter().zip(&hits);
        let known = hours.filter(|(s, _)| s.is_known && !s.tilts.is_empty());
        known.map(rows_in).reduce(|a, b| a.zip(b).map(|(a, b)| if b > a { b } else { a }))
    }

    /// A bet as it stands against a fault, by the worst hour that the baseline knows.
    pub(super) fn bet_against(&self, stream: usize, bet: Bet) -> Option<Against> {
        let calibrated = self.calibration.streams.get(stream)?;
        let table = self.wiring.table(stream)?;
        let place = table.place(bet)?;
        let weight = *table.weights.get(place)?;
        let known = table.strata.iter().filter(|s| s.is_known);
        let upper = known.filter_map(|s| s.upper.get(place).copied());
        let (hits, trials) = calibrated.pooled(bet.index);
        Some(Against {
            nats: (self.threshold / (weight * self.step_length() * LANE_MEAN)).ln(),
            limit: upper.reduce(|a, b| if b > a { b } else { a })?,
            healthy: (hits + 0.5) / (trials + 1.0),
            clumping: calibrated.clumping,
        })
    }

    /// By how much one row lengthens the run, in units of the budget.
    pub(super) fn step_length(&self) -> f64 {
        match self.options.budget {
            Budget::Time(_) if self.options.rate.get() > 0.0 => 1.0 / self.options.rate.get(),
            Budget::Time(_) | Budget::Rows(_) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(limit: f64, healthy: f64, q: f64) -> Option<f64> {
        Against { nats: 27.6, limit, healthy, clumping: 1.0 }.rows_to_alarm(q)
    }

    /// The smaller the fault the longer it takes, and a bin that is always hit never alarms.
    #[test]
    fn smaller_faults_take_longer() {
        let needs = [1.0, 0.3, 0.05, 0.01].map(|q| rows(3e-4, 1e-5, q).unwrap());
        assert!(needs.windows(2).all(|w| w[0] < w[1]), "{needs:?}");
        assert!(needs[0] <= 5.0, "{needs:?}");
        assert_eq!(rows(1.0, 0.99, 0.5), None);
    }

    /// A walk of steps with known worth has their mean and deviation, and one that falls arrives nowhere.
    #[test]
    fn walks_are_of_their_steps() {
        let walk = Walk::of(&[(2.0, 1.0), (6.0, -0.2)]);
        assert!(
            (walk.growth - 0.1).abs() < 1e-12 && (walk.spread - 0.27_f64.sqrt()).abs() < 1e-12,
            "{walk:?}"
        );
        assert!(walk.rows_to(10.0).is_some_and(|rows| rows > 100.0));
        assert_eq!(Walk { growth: -0.1, spread: 1.0 }.rows_to(10.0), None);
        assert_eq!(least([3.2, 0.1].into_iter()), Some(1.0));
    }

    /// A fault that moves a common bin no further than its limit cannot be seen.
    #[test]
    fn within_the_limit_is_unseen() {
        assert_eq!(rows(0.25, 0.2, 0.05), None);
        assert!(rows(0.21, 0.2, 0.05).is_some_and(|n| n > 5_000.0));
    }
}
