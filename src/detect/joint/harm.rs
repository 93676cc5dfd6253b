//! What a fault does to decisions, as far as the surrogate and the rows in memory tell.

use super::Joint;
use super::coherence::Coherence;
use super::recent::{Recent, Row};
use super::surrogate::Surrogate;
use crate::detect::trees;
use crate::units::{count, floor, whole};

/// Healthy rows that an estimate needs.
const HEALTHY_MIN: usize = 30;
/// A feature does not belong to the others when its replacement brings back this part of the odds that were lost;
const CONCERNED_PART: f64 = 0.2;
/// so many at the most,
const CONCERNED_MAX: usize = 6;
/// tried with so many values each, in so many rows; and so many rows looked at for each feature that is found.
const VALUES: usize = 12;
const REPAIRED_ROWS: usize = 64;
const EVALUATED_MAX: usize = 60_000;

/// Rows before and after the estimated start of a fault.
#[derive(Debug)]
pub(in crate::detect) struct Rows<'a> {
    healthy: Vec<Row<'a>>,
    faulty: Vec<Row<'a>>,
}

/// Decisions that come out otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::detect) struct Flips {
    /// Of all rows since the start, from 0 to 1.
    pub(in crate::detect) share: f64,
    /// Whether it may be more.
    pub(in crate::detect) at_least: bool,
    /// Rows of the fault that it is made from.
    pub(in crate::detect) rows: u64,
}

impl<'a> Rows<'a> {
    /// The rows in memory, split at the first row of a fault; the last is the one that is judged.
    pub(in crate::detect) fn of(recent: &'a Recent, since: u64, judged: u64) -> Self {
        let before = since.checked_sub(1);
        Self {
            healthy: before.map_or_else(Vec::new, |last| recent.rows(0..=last, judged)),
            faulty: recent.rows(since..=judged, judged),
        }
    }
}

impl Joint {
    /// Decisions that are otherwise than features say, beyond those of health: for faults behind the tap.
    pub(in crate::detect) fn answers_flipped(&self, rows: &Rows<'_>) -> Result<Flips, &'static str> {
        let surrogate = self.surrogate()?;
        let wrong = |rows: &[Row<'_>]| -> Result<(f64, f64), &'static str> {
            let told = self.told(surrogate, &rows.iter().map(|r| r.features).collect::<Vec<_>>())?;
            let known = rows.iter().zip(told).filter(|(row, _)| row.residual.is_finite());
            Ok(known.fold((0.0, 0.0), |(n, wrong), (row, told)| {
                (n + 1.0, wrong + flips(surrogate, told, told + row.residual))
            }))
        };
        let ((healthy, before), (faulty, now)) = (wrong(&rows.healthy)?, wrong(&rows.faulty)?);
        if healthy < count(whole(HEALTHY_MIN)) {
            return Err(TOO_FEW_HEALTHY);
        }
        if faulty < 1.0 {
            return Err("no row since the estimated start has an answer");
        }
        let share = now / faulty - before / healthy;
        Ok(Flips { share: if share > 0.0 { share } else { 0.0 }, at_least: false, rows: floor(faulty) })
    }

    /// Decisions that come out otherwise when some features of rows of before take the values that they have since:
    /// for features that are not those of the row.
    pub(in crate::detect) fn features_flipped(
        &self,
        rows: &Rows<'_>,
        columns: &[usize],
    ) -> Result<Flips, &'static str> {
        let surrogate = self.surrogate()?;
        let places: Vec<usize> = self.places(columns).collect();
        if places.is_empty() {
            return Err("the surrogate reads none of the features concerned");
        }
        Self::enough(rows)?;
        let before: Vec<&[f32]> = rows.healthy.iter().map(|r| r.features).collect();
        let mixed: Vec<Vec<f32>> = before
            .iter()
            .zip(rows.faulty.iter().cycle())
            .map(|(healthy, faulty)| {
                let mut row = healthy.to_vec();
                for place in &places {
                    if let (Some(value), Some(now)) = (row.get_mut(*place), faulty.features.get(*place)) {
                        *value = *now;
                    }
                }
                row
            })
            .collect();
        let told = self.told(surrogate, &before)?;
        let then = self.told(surrogate, &mixed.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let all: f64 = told.iter().zip(then).map(|(a, b)| flips(surrogate, *a, b)).sum();
        Ok(Flips { share: all / count(whole(told.len())), at_least: false, rows: whole(rows.faulty.len()) })
    }

    /// By how much the share of decisions of one kind has changed: fewer than were flipped, where both kinds were.
    pub(in crate::detect) fn decisions_shifted(&self, rows: &Rows<'_>) -> Result<Flips, &'static str> {
        let surrogate = self.surrogate()?;
        Self::enough(rows)?;
        let share = |rows: &[Row<'_>]| -> Result<f64, &'static str> {
            let told = self.told(surrogate, &rows.iter().map(|r| r.features).collect::<Vec<_>>())?;
            let answers = told.iter().zip(rows).map(|(told, row)| {
                let answer = told + row.residual;
                if answer.is_finite() { answer } else { *told }
            });
            Ok(answers.map(|answer| surrogate.decides(answer)).sum::<f64>() / count(whole(rows.len())))
        };
        let moved = (share(&rows.faulty)? - share(&rows.healthy)?).abs();
        Ok(Flips { share: moved, at_least: true, rows: whole(rows.faulty.len()) })
    }

    /// The features that do not belong to the others since the start, most first: those whose replacement by values
    /// of other rows brings back most of the odds that were lost, one after the other. More than in health, where the
    /// best of several values brings something too.
    pub(in crate::detect) fn incoherent(&self, rows: &Rows<'_>) -> Vec<usize> {
        // Where trees say nothing of the rows, the alarm names what it would without them.
        match self.coherence.as_ref().map(|coherence| self.replaced(coherence, rows)) {
            Some(Ok(found)) => found,
            _ => Vec::new(),
        }
    }

    fn replaced(&self, coherence: &Coherence, rows: &Rows<'_>) -> Result<Vec<usize>, trees::Error> {
        if Self::enough(rows).is_err() {
            return Ok(Vec::new());
        }
        let width = self.width();
        let rows_max = (EVALUATED_MAX / (width * VALUES).max(1)).clamp(8, REPAIRED_ROWS);
        let flat = |rows: &[Row<'_>]| -> Vec<Vec<f32>> {
            rows.iter().rev().take(rows_max).map(|r| r.features.to_vec()).collect()
        };
        let (mut healthy, mut faulty) = (flat(&rows.healthy), flat(&rows.faulty));
        let repair = Repair { coherence, width, donors: healthy.clone() };
        let lost = repair.mean(&healthy)? - repair.mean(&faulty)?;
        let mut found = Vec::new();
        while found.len() < CONCERNED_MAX && lost > 0.0 {
            let left = (0..width).filter(|place| !found.contains(place));
            let gains = left.map(|place| {
                let (usual, healthy) = repair.best(&healthy, place)?;
                let (gain, faulty) = repair.best(&faulty, place)?;
                Ok((place, gain - usual, (healthy, faulty)))
            });
            let gains: Vec<_> = gains.collect::<Result<_, trees::Error>>()?;
            let best = gains.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a });
            let enough = best.filter(|(_, gain, _)| *gain >= CONCERNED_PART * lost);
            let Some((place, _, repaired)) = enough else { break };
            found.push(place);
            (healthy, faulty) = repaired;
        }
        Ok(found.into_iter().filter_map(|p| self.inputs.columns.get(p).map(|i| i.position)).collect())
    }

    fn enough(rows: &Rows<'_>) -> Result<(), &'static str> {
        match (rows.healthy.len(), rows.faulty.len()) {
            (healthy, _) if healthy < HEALTHY_MIN => Err(TOO_FEW_HEALTHY),
            (_, 0) => Err("no row since the estimated start is in memory"),
            _ => Ok(()),
        }
    }

    fn surrogate(&self) -> Result<&Surrogate, &'static str> {
        self.surrogates.first().ok_or("there is no surrogate of the model")
    }

    fn told(&self, surrogate: &Surrogate, rows: &[&[f32]]) -> Result<Vec<f64>, &'static str> {
        let mut told = Vec::new();
        let said = surrogate.foretell((&rows.concat(), self.width()), &mut told);
        said.map_err(|_| "the surrogate says nothing of the rows in memory")?;
        Ok(told.into_iter().map(f64::from).collect())
    }

    fn places<'a>(&'a self, columns: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        let all = self.inputs.columns.iter().enumerate();
        all.filter(|(_, input)| columns.contains(&input.position)).map(|(place, _)| place)
    }
}

/// Tries what would make rows belong together.
struct Repair<'a> {
    coherence: &'a Coherence,
    width: usize,
    donors: Vec<Vec<f32>>,
}

impl Repair<'_> {
    fn odds(&self, rows: &[Vec<f32>]) -> Result<Vec<f32>, trees::Error> {
        let mut odds = Vec::new();
        self.coherence.of((&rows.concat(), self.width), &mut odds)?;
        Ok(odds)
    }

    fn mean(&self, rows: &[Vec<f32>]) -> Result<f64, trees::Error> {
        Ok(self.odds(rows)?.into_iter().map(f64::from).sum::<f64>() / count(whole(rows.len().max(1))))
    }

    /// By how much the odds grow in the mean when one feature takes the best of several values of other rows, and
    /// the rows with it.
    fn best(&self, rows: &[Vec<f32>], place: usize) -> Result<(f64, Vec<Vec<f32>>), trees::Error> {
        let before = self.odds(rows)?;
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
            let odds = self.odds(&tried)?;
            for (best, (odds, row)) in best.iter_mut().zip(odds.into_iter().zip(tried)) {
                if odds > best.0 {
                    *best = (odds, row);
                }
            }
        }
        let grown: f64 = best.iter().zip(&before).map(|((now, _), before)| f64::from(now - before)).sum();
        let rows: Vec<Vec<f32>> = best.into_iter().map(|(_, row)| row).collect();
        Ok((grown / count(whole(rows.len().max(1))), rows))
    }
}

const TOO_FEW_HEALTHY: &str = "fewer than 30 rows from before the fault are in memory";

/// 1 where two answers lead to different decisions.
fn flips(surrogate: &Surrogate, a: f64, b: f64) -> f64 {
    f64::from(u8::from(surrogate.differs(a, b)))
}
