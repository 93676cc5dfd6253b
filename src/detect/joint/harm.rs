//! What a fault does to decisions, as far as the surrogate and the rows in memory tell.

use super::Joint;
use super::recent::{Recent, Row};
use super::surrogate::Surrogate;
use crate::units::{count, whole};

/// Healthy rows that an estimate needs.
const HEALTHY_MIN: usize = 30;
/// A feature takes part in what does not belong together when it has this part of the largest share in it,
const CONCERNED_PART: f64 = 0.3;
/// and so many at the most.
const CONCERNED_MAX: usize = 8;

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
        let wrong = |rows: &[Row<'_>]| -> (f64, f64) {
            let told = self.told(surrogate, &rows.iter().map(|r| r.features).collect::<Vec<_>>());
            let known = rows.iter().zip(told).filter(|(row, _)| row.residual.is_finite());
            known.fold((0.0, 0.0), |(n, wrong), (row, told)| {
                (n + 1.0, wrong + flips(surrogate, told, told + row.residual))
            })
        };
        let ((healthy, before), (faulty, now)) = (wrong(&rows.healthy), wrong(&rows.faulty));
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
        let told = self.told(surrogate, &before);
        let then = self.told(surrogate, &mixed.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let all: f64 = told.iter().zip(then).map(|(a, b)| flips(surrogate, *a, b)).sum();
        Ok(Flips { share: all / count(whole(told.len())), at_least: false, rows: whole(rows.faulty.len()) })
    }

    /// By how much the share of decisions of one kind has changed: fewer than were flipped, where both kinds were.
    pub(in crate::detect) fn decisions_shifted(&self, rows: &Rows<'_>) -> Result<Flips, &'static str> {
        let surrogate = self.surrogate()?;
        Self::enough(rows)?;
        let share = |rows: &[Row<'_>]| {
            let told = self.told(surrogate, &rows.iter().map(|r| r.features).collect::<Vec<_>>());
            let answers = told.iter().zip(rows).map(|(told, row)| {
                let answer = told + row.residual;
                if answer.is_finite() { answer } else { *told }
            });
            answers.map(|answer| surrogate.decides(answer)).sum::<f64>() / count(whole(rows.len()))
        };
        let moved = (share(&rows.faulty) - share(&rows.healthy)).abs();
        Ok(Flips { share: moved, at_least: true, rows: whole(rows.faulty.len()) })
    }

    /// The features that take part in what does not belong together since the start, most first: by their Shapley
    /// values in the odds, beside those of before.
    pub(in crate::detect) fn incoherent(&self, rows: &Rows<'_>) -> Vec<usize> {
        let Some(coherence) = &self.coherence else { return Vec::new() };
        let of = |rows: &[Row<'_>]| {
            let flat: Vec<f32> = rows.iter().flat_map(|r| r.features.iter().copied()).collect();
            coherence.shares(&flat)
        };
        let Some((before, now)) = of(&rows.healthy).zip(of(&rows.faulty)) else { return Vec::new() };
        let mut lost: Vec<(usize, f64)> =
            before.iter().zip(now).map(|(before, now)| before - now).enumerate().collect();
        lost.sort_by(|a, b| b.1.total_cmp(&a.1));
        let most = lost.first().map_or(0.0, |(_, lost)| *lost);
        let concerned = lost.into_iter().filter(|(_, lost)| *lost > 0.0 && *lost >= CONCERNED_PART * most);
        let places = concerned.take(CONCERNED_MAX);
        places.filter_map(|(place, _)| self.inputs.columns.get(place).map(|i| i.position)).collect()
    }

    fn enough(rows: &Rows<'_>) -> Result<(), &'static str> {
        match (rows.healthy.len(), rows.faulty.len()) {
            (healthy, _) if healthy < HEALTHY_MIN => Err(TOO_FEW_HEALTHY),
            (_, 0) => Err("no row since the estimated start is in memory"),
            _ => Ok(()),
        }
    }

    fn surrogate(&self) -> Result<&Surrogate, &'static str> {
        self.surrogates.first().ok_or("there is no surrogate of the model: its answers do not follow from the features that are recorded")
    }

    fn told(&self, surrogate: &Surrogate, rows: &[&[f32]]) -> Vec<f64> {
        let mut told = Vec::new();
        surrogate.foretell(&rows.concat(), &mut told);
        told.into_iter().map(f64::from).collect()
    }

    fn places<'a>(&'a self, columns: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        let all = self.inputs.columns.iter().enumerate();
        all.filter(|(_, input)| columns.contains(&input.position)).map(|(place, _)| place)
    }
}

const TOO_FEW_HEALTHY: &str = "fewer than 30 rows from before the fault are in memory";

/// 1 where two answers lead to different decisions.
fn flips(surrogate: &Surrogate, a: f64, b: f64) -> f64 {
    f64::from(u8::from(surrogate.differs(a, b)))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of rows in memory")]
const fn floor(rows: f64) -> u64 {
    rows.floor() as u64
}
