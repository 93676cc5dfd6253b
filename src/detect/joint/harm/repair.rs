//! Which features of a row do not belong to the others.

use super::Rows;
use crate::detect::joint::Joint;
use crate::detect::joint::coherence::Coherence;
use crate::detect::joint::recent::Row;
use crate::units::{count, whole};

/// A feature does not belong to the others when its replacement brings back this part of the odds that were lost;
const CONCERNED_PART: f64 = 0.2;
/// so many at the most,
const CONCERNED_MAX: usize = 6;
/// tried with so many values each, in so many rows; and so many rows looked at for each feature that is found.
const VALUES: usize = 12;
const REPAIRED_ROWS: usize = 64;
const EVALUATED_MAX: usize = 60_000;

impl Joint {
    /// The features that do not belong to the others since the start, most first: those whose replacement by values
    /// of other rows brings back most of the odds that were lost, one after the other. More than in health, where the
    /// best of several values brings something too.
    pub(in crate::detect) fn incoherent(&self, rows: &Rows<'_>) -> Vec<usize> {
        let Some(coherence) = self.coherence.as_ref().filter(|_| rows.are_told_of().is_ok()) else {
            return Vec::new();
        };
        let width = self.width();
        let rows_max = (EVALUATED_MAX / (width * VALUES).max(1)).clamp(8, REPAIRED_ROWS);
        let flat = |rows: &[Row<'_>]| -> Vec<Vec<f32>> {
            rows.iter().rev().take(rows_max).map(|r| r.features.to_vec()).collect()
        };
        let (mut healthy, mut faulty) = (flat(&rows.healthy), flat(&rows.faulty));
        let repair = Repair { coherence, donors: healthy.clone() };
        let lost = repair.mean(&healthy) - repair.mean(&faulty);
        let mut found = Vec::new();
        while found.len() < CONCERNED_MAX && lost > 0.0 {
            let left = (0..width).filter(|place| !found.contains(place));
            let gains = left.map(|place| {
                let (usual, healthy) = repair.best(&healthy, place);
                let (gain, faulty) = repair.best(&faulty, place);
                (place, gain - usual, (healthy, faulty))
            });
            let best = gains.reduce(|a, b| if b.1 > a.1 { b } else { a });
            let enough = best.filter(|(_, gain, _)| *gain >= CONCERNED_PART * lost);
            let Some((place, _, repaired)) = enough else { break };
            found.push(place);
            (healthy, faulty) = repaired;
        }
        found.into_iter().filter_map(|p| self.inputs.columns.get(p).map(|i| i.position)).collect()
    }
}

/// Tries what would make rows belong together.
pub(super) struct Repair<'a> {
    coherence: &'a Coherence,
    donors: Vec<Vec<f32>>,
}

impl<'a> Repair<'a> {
    /// With values of some rows to try.
    pub(super) fn new(coherence: &'a Coherence, donors: &[Row<'_>]) -> Self {
        Self { coherence, donors: donors.iter().map(|row| row.features.to_vec()).collect() }
    }

    /// Rows of which some features, whatever they were, are those of another row: of several that with which the row
    /// belongs together best.
    pub(super) fn replaced(&self, rows: &[Row<'_>], places: &[usize]) -> Vec<Vec<f32>> {
        let mut best: Vec<Option<(f32, Vec<f32>)>> = vec![None; rows.len()];
        for turn in 0..VALUES {
            let donors = self.donors.iter().cycle().skip(turn * 7 + 1);
            let tried: Vec<Vec<f32>> = rows
                .iter()
                .zip(donors)
                .map(|(row, donor)| super::with(row.features, donor, places))
                .collect();
            for (best, (odds, row)) in best.iter_mut().zip(self.odds(&tried).into_iter().zip(tried)) {
                if best.as_ref().is_none_or(|(most, _)| odds > *most) {
                    *best = Some((odds, row));
                }
            }
        }
        let kept = |(best, row): (Option<(f32, Vec<f32>)>, &Row<'_>)| {
            best.map_or_else(|| row.features.to_vec(), |(_, replaced)| replaced)
        };
        best.into_iter().zip(rows).map(kept).collect()
    }

    fn odds(&self, rows: &[Vec<f32>]) -> Vec<f32> {
        let width = rows.first().map_or(0, Vec::len);
        let mut odds = Vec::new();
        // Where trees say nothing of the rows, nothing is found better or worse.
        if self.coherence.of((&rows.concat(), width), &mut odds).is_err() {
            odds = vec![f32::NAN; rows.len()];
        }
        odds
    }

    fn mean(&self, rows: &[Vec<f32>]) -> f64 {
        self.odds(rows).into_iter().map(f64::from).sum::<f64>() / count(whole(rows.len().max(1)))
    }

    /// By how much the odds grow in the mean when one feature takes the best of several values of other rows, and
    /// the rows with it.
    fn best(&self, rows: &[Vec<f32>], place: usize) -> (f64, Vec<Vec<f32>>) {
        let before = self.odds(rows);
        let mut best: Vec<(f32, Vec<f32>)> = before.iter().copied().zip(rows.iter().cloned()).collect();
        for turn in 0..VALUES {
            // Donors apart from each other: a step that shares no period with the rows.
            let donors = self.donors.iter().cycle().skip(turn * 7 + 1);
            let tried: Vec<Vec<f32>> = rows
                .iter()
                .zip(donors)
                .map(|(row, donor)| {
                    let mut row = row.clone();
                    if let (Some(value), Some(other)) = (row.get_mut(place), donor.get(place)) {
                        *value = *other;
                    }
                    row
                })
                .collect();
            let odds = self.odds(&tried);
            for (best, (odds, row)) in best.iter_mut().zip(odds.into_iter().zip(tried)) {
                if odds > best.0 {
                    *best = (odds, row);
                }
            }
        }
        let grown: f64 = best.iter().zip(&before).map(|((now, _), before)| f64::from(now - before)).sum();
        let rows: Vec<Vec<f32>> = best.into_iter().map(|(_, row)| row).collect();
        (grown / count(whole(rows.len().max(1))), rows)
    }
}
