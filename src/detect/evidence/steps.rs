//! What one step does to one bet, for those who look back.

use super::super::cut::{Code, SKIP};
use super::super::table::{Bet, EPSILONS, Family, LANE_PARTS, LOSSES, Table};
use super::more::shared;
use crate::units::{count, whole};

/// With how many strengths a bet is made at the most.
pub(in crate::detect) const STRENGTHS: usize = EPSILONS.len();

/// The weight of a bet, strength by strength; 0 for those that it has not.
pub(in crate::detect) fn strengths(table: &Table, bet: Bet) -> [f64; STRENGTHS] {
    let mut weights = [0.0; STRENGTHS];
    let Some(place) = table.place(bet) else { return weights };
    let of = |all: &[f64]| all.get(place).copied().unwrap_or(0.0);
    match bet.family {
        Family::More => weights = LANE_PARTS.map(|part| part * of(&table.weights)),
        Family::Less => {
            let taken = weights.iter_mut().take(LOSSES.len());
            taken.for_each(|weight| *weight = of(&table.less_weights));
        }
        Family::Tilt => weights[0] = table.tilt_weight,
    }
    weights
}

/// The logarithms of a step's e-values, strength by strength; nothing where it tells the bet nothing.
pub(in crate::detect) fn gains(
    table: &Table,
    bet: Bet,
    stratum: usize,
    codes: &[Code],
) -> Option<[f64; STRENGTHS]> {
    let place = table.place(bet)?;
    let pooled = if table.strata.len() == 1 { 0 } else { stratum };
    let stratum = table.strata.get(pooled).filter(|s| s.is_known)?;
    let told = || codes.iter().copied().filter(|code| *code != SKIP);
    let rows = count(whole(told().count()));
    if rows < 1.0 {
        return None;
    }
    let share_of = |hits: &dyn Fn(usize) -> bool| {
        count(whole(told().filter(|code| hits(usize::from(*code))).count())) / rows
    };
    let mut logs = [0.0; STRENGTHS];
    match bet.family {
        Family::More => {
            let share = share_of(&|bin| table.places.get(bin).is_some_and(|p| usize::from(*p) == place));
            let full = stratum.gains.get(place)?;
            let gains = match share {
                _ if share >= 1.0 => *full,
                _ if share > 0.0 => shared(full, share, table),
                _ => [0.0; STRENGTHS],
            };
            for ((log, keep), gain) in logs.iter_mut().zip(table.keep).zip(gains) {
                *log = f64::from(keep + gain).ln();
            }
        }
        Family::Less => {
            let (_, bins) = table.less_covers.get(place)?;
            let share = share_of(&|bin| bins.contains(&bin));
            let losses = stratum.less.get(place)?;
            for ((log, hit), miss) in logs.iter_mut().zip(losses.hit).zip(losses.miss) {
                *log = share * f64::from(hit) + (1.0 - share) * f64::from(miss);
            }
        }
        Family::Tilt => {
            let of = |code: Code| stratum.tilts.get(usize::from(code))?.get(place).copied().map(f64::from);
            logs[0] = (told().map(|code| of(code).unwrap_or(1.0)).sum::<f64>() / rows).ln();
        }
    }
    Some(logs)
}
