//! What a fault does to decisions, as far as the surrogates and the rows in memory tell.
//!
//! Rows are taken as independent of each other, and a surrogate's answer to features that were exchanged as that of
//! the model: bounds are of chance in the rows alone. An alarm comes when rows show much, and where the fault began is
//! estimated from the same rows, so that bounds of rows fixed before would be too narrow: those of rows since the start
//! hold whenever one stops, and from each row at which the fault may have begun.

mod guilty;
mod repair;
mod share;

use super::Joint;
use super::recent::{Recent, Row};
use super::surrogate::Surrogate;
use crate::units::{count, whole};

use guilty::Guilty;
use repair::Repair;
use share::{Bounded, Hits, Z};

/// Healthy rows that an estimate needs.
const HEALTHY_MIN: usize = 30;
/// Rows since the start without which nothing is said of shares that moved, nor that none was flipped.
const FAULTY_MIN: f64 = 30.0;
/// More rows of which nothing can be told, as a share, and nothing is told at all.
const UNTOLD_MAX: f64 = 0.05;
/// A surrogate that decides otherwise than the model in a larger share of healthy rows tells nothing of flips.
const WRONG_MAX: f64 = 0.4;
/// Standard errors by which rows of another entity must differ from those of health in what tells them.
const TOLD_Z: f64 = 3.0;
/// Rows of either kind in which features are replaced, at the most: those next to the start.
const REPLACED_ROWS: usize = 512;
/// Standard errors for 95 % where the largest of six is taken.
const LARGEST_OF_SIX_Z: f64 = 2.638;

/// Rows before and after the estimated start of a fault.
#[derive(Debug)]
pub(in crate::detect) struct Rows<'a> {
    healthy: Vec<Row<'a>>,
    faulty: Vec<Row<'a>>,
    /// First rows that the fault may have had, of which one was chosen.
    starts: u64,
}

/// Decisions that come out otherwise, as shares of all rows since the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::detect) struct Flips {
    /// From 0 to 1; where it may be more, the lower bound.
    pub(in crate::detect) share: f64,
    /// The bounds of 95 %.
    pub(in crate::detect) low: f64,
    pub(in crate::detect) high: f64,
    /// Whether it may be more.
    pub(in crate::detect) at_least: bool,
    /// Rows of the fault that it is made from.
    pub(in crate::detect) rows: u64,
}

/// A surrogate with its place among all.
type Numbered<'a> = (usize, &'a Surrogate);

/// An estimate, or why there is none.
type Told<T> = Result<T, &'static str>;

const TOO_FEW_HEALTHY: &str = "fewer than 30 rows from before the fault are in memory";
const TOO_FEW_FAULTY: &str = "fewer than 30 rows since the estimated start tell too little";
const NO_FAULTY: &str = "no row since the estimated start is in memory";
const NO_CUT: &str =
    "answers in health lie on one side of one half, and no recorded label tells where decisions are made";
const UNTAUGHT: &str = "the surrogate was not taught what the model does where these features are missing";

impl<'a> Rows<'a> {
    /// The rows in memory, split at the first row of a fault, which is the most likely one of so many; the last is the
    /// one that is judged.
    pub(in crate::detect) fn of(recent: &'a Recent, since: u64, judged: u64, starts: u64) -> Self {
        let before = since.checked_sub(1);
        Self {
            healthy: before.map_or_else(Vec::new, |last| recent.rows(0..=last, judged)),
            faulty: recent.rows(since..=judged, judged),
            starts: starts.max(1),
        }
    }

    /// First rows that the fault may have had, one at the least.
    fn starts(&self) -> f64 {
        count(self.starts)
    }

    /// Whether there are rows enough of either.
    fn are_told_of(&self) -> Told<()> {
        match (self.healthy.len(), self.faulty.len()) {
            (healthy, _) if healthy < HEALTHY_MIN => Err(TOO_FEW_HEALTHY),
            (_, 0) => Err(NO_FAULTY),
            _ => Ok(()),
        }
    }

    fn are_many(&self) -> Told<()> {
        if rows_of(self.faulty.len()) < FAULTY_MIN { Err(TOO_FEW_FAULTY) } else { self.are_told_of() }
    }
}

impl Flips {
    /// A share of none is told of rows enough alone: else it would read as no harm.
    fn of(share: Bounded, rows: usize) -> Told<Self> {
        let Bounded { value, low, high } = share.as_share();
        if value <= 0.0 && rows_of(rows) < FAULTY_MIN {
            return Err(TOO_FEW_FAULTY);
        }
        Ok(Self { share: value, low, high, at_least: false, rows: whole(rows) })
    }

    /// So many or more; nothing where that is none.
    fn at_least(low: f64, rows: usize, why: &'static str) -> Told<Self> {
        let low = low.clamp(0.0, 1.0);
        let found = Self { share: low, low, high: 1.0, at_least: true, rows: whole(rows) };
        if low > 0.0 { Ok(found) } else { Err(why) }
    }
}

impl Joint {
    /// Whether there is any surrogate of the model.
    pub(in crate::detect) const fn has_surrogate(&self) -> bool {
        !self.surrogates.is_empty()
    }

    /// Decisions of some answers that are otherwise than features say, beyond those of health: for faults behind the
    /// tap. Of several answers that with most; none where one of them has no surrogate and the others say nothing.
    pub(in crate::detect) fn answers_flipped(&self, rows: &Rows<'_>, columns: &[usize]) -> Told<Flips> {
        let own = self.surrogates.iter().enumerate().filter(|(_, s)| columns.contains(&s.position));
        let found: Vec<Told<Flips>> = own.map(|(which, s)| self.answer_flipped(rows, which, s)).collect();
        let all = found.len() == columns.len() && found.iter().all(Result::is_ok);
        let most = found.iter().flatten().copied().reduce(|a, b| if b.share > a.share { b } else { a });
        match (most, found.into_iter().find_map(Result::err)) {
            (Some(most), _) if all || most.low > 0.0 => Ok(most),
            (_, Some(why)) => Err(why),
            _ => Err("not every answer that alarms has a surrogate of its own"),
        }
    }

    fn answer_flipped(&self, rows: &Rows<'_>, which: usize, surrogate: &Surrogate) -> Told<Flips> {
        if !surrogate.decides() {
            return Err(NO_CUT);
        }
        rows.are_told_of()?;
        let count_of = |rows: &[Row<'_>]| {
            let (mut wrong, mut no_answer) = (Hits::default(), Hits::default());
            let mut untaught = Hits::default();
            for (row, told) in rows.iter().zip(self.told(surrogate, rows.iter().map(|r| r.features))) {
                let residual = row.residuals.get(which).copied().unwrap_or(f64::NAN);
                no_answer.add(residual.is_nan());
                untaught.add(told.is_nan());
                if let Some(differs) = surrogate.differs(told, told + residual) {
                    wrong.add(differs);
                }
            }
            (wrong, no_answer, untaught)
        };
        let ((before, none_before, _), (now, none, untaught)) =
            (count_of(&rows.healthy), count_of(&rows.faulty));
        if before.n < rows_of(HEALTHY_MIN) {
            return Err("fewer than 30 rows from before the fault in memory have an answer");
        }
        if untaught.share() > UNTOLD_MAX {
            return Err(UNTAUGHT);
        }
        if none.share() - none_before.share() > UNTOLD_MAX || now.n < 1.0 {
            return Err("rows since the estimated start have no answer, which is no decision");
        }
        let found = beyond_usual(now, before, (surrogate.is_cut(), rows.starts()))?;
        if surrogate.is_one_of_many {
            let why = "the surrogate tells one class from all others, and that one is as in health";
            return Flips::at_least(found.low, floor(now.n), why);
        }
        Flips::of(found, floor(now.n))
    }

    /// Decisions that come out otherwise because features of rows have the value of a fault: those of rows from
    /// before with such values, times the share of rows that were hit.
    pub(in crate::detect) fn features_flipped(&self, rows: &Rows<'_>, columns: &[usize]) -> Told<Flips> {
        rows.are_told_of()?;
        let (places, surrogates) = self.read_of(columns)?;
        let guilty = Guilty::of(rows, &places).ok_or(
            "no value of these features is so much more frequent than in health that it must be the fault's",
        )?;
        let flipped = |donors: &[(&[f32], Vec<usize>)]| -> Told<f64> {
            let mixed = rows.healthy.iter().zip(donors.iter().cycle());
            let mixed: Vec<Vec<f32>> =
                mixed.map(|(row, (donor, mask))| with(row.features, donor, mask)).collect();
            Ok(self.flipped(&surrogates, &rows.healthy, &mixed)?.share())
        };
        let (dose, (now, before)) = (guilty.dose, guilty.shares);
        // Rows that look like it in health do so in the part that was not hit as well, and flip nothing.
        let usual = (1.0 - dose.value) * before;
        let like_it = if guilty.healthy.is_empty() || usual <= 0.0 { 0.0 } else { flipped(&guilty.healthy)? };
        let all = now * flipped(&guilty.faulty)? - usual * like_it;
        Flips::of(times(dose, all / dose.value, rows.healthy.len()), rows.faulty.len())
    }

    /// Decisions that come out otherwise because features are those of another row: answers that were given against
    /// what the surrogate says of the row with these features replaced by such as belong to it, beyond what that makes
    /// of rows of health. The surrogate was not taught what the model says of features that do not belong together;
    /// the answers tell. How many rows were hit need not be known.
    pub(in crate::detect) fn entities_flipped(&self, rows: &Rows<'_>, columns: &[usize]) -> Told<Flips> {
        rows.are_told_of()?;
        // An alarm names who is off against whom; replaced together, they would belong together.
        let concerned = self.incoherent(rows);
        let columns = if concerned.is_empty() { columns } else { &concerned };
        let (places, surrogates) = self.read_of(columns)?;
        let coherence =
            self.coherence.as_ref().ok_or("nothing tells what features of the right entity would be")?;
        let repair = Repair::new(coherence, &rows.healthy);
        let is_wrong = |rows: &[Row<'_>]| {
            let replaced = repair.replaced(rows, &places);
            let mut wrong = Hits::default();
            let mut differ = vec![None; rows.len()];
            for (which, surrogate) in &surrogates {
                let told = self.told(surrogate, rows.iter().map(|r| r.features));
                let then = self.told(surrogate, replaced.iter().map(Vec::as_slice));
                for ((row, differ), (told, then)) in
                    rows.iter().zip(&mut differ).zip(told.into_iter().zip(then))
                {
                    let given = told + row.residuals.get(*which).copied().unwrap_or(f64::NAN);
                    if let Some(this) = surrogate.differs(given, then) {
                        *differ = Some(differ.unwrap_or(false) || this);
                    }
                }
            }
            differ.into_iter().flatten().for_each(|is| wrong.add(is));
            wrong
        };
        // Those next to the start: a window that moves with the alarm would be one that it chose.
        let healthy = rows.healthy.len().saturating_sub(REPLACED_ROWS);
        let before = is_wrong(rows.healthy.get(healthy..).unwrap_or(&[]));
        let now = is_wrong(rows.faulty.get(..REPLACED_ROWS).unwrap_or(&rows.faulty));
        let is_cut = surrogates.iter().all(|(_, s)| s.is_cut());
        let given = beyond_usual(now, before, (is_cut, rows.starts()));
        if now.n >= FAULTY_MIN {
            return given.and_then(|share| Flips::of(share, floor(now.n)));
        }
        // Of a few rows the answers tell next to nothing; the bounds are those of both.
        let told = self.exchanged(rows, &places, &surrogates)?;
        let hull = given.map_or(Bounded { low: 0.0, high: 1.0, ..told }, |given| Bounded {
            value: told.value,
            low: if given.low < told.low { given.low } else { told.low },
            high: if given.high > told.high { given.high } else { told.high },
        });
        Flips::of(hull, rows.faulty.len())
    }

    /// Decisions of rows from before that the surrogate has otherwise with features of the rows since. The lower bound
    /// is of the least share of rows that was hit, as the relation between features tells it: its mean over rows lies
    /// between those of health and of exchanged features, in proportion.
    fn exchanged(&self, rows: &Rows<'_>, places: &[usize], surrogates: &[Numbered<'_>]) -> Told<Bounded> {
        let odds = |rows: &[&[f32]]| {
            let mut odds = Vec::new();
            let told = self.coherence.as_ref().map(|c| c.of((&rows.concat(), self.width()), &mut odds));
            match told {
                Some(Ok(())) => Mean::of(&odds),
                _ => Mean::of(&[]),
            }
        };
        let mixed_with = |donors: &mut dyn Iterator<Item = &Row<'_>>| -> Vec<Vec<f32>> {
            let each = rows.healthy.iter().zip(donors);
            each.map(|(row, donor)| with(row.features, donor.features, places)).collect()
        };
        let others = mixed_with(&mut rows.healthy.iter().cycle().skip(rows.healthy.len() / 2));
        let healthy = odds(&rows.healthy.iter().map(|r| r.features).collect::<Vec<_>>());
        let faulty = odds(&rows.faulty.iter().map(|r| r.features).collect::<Vec<_>>());
        let dose = healthy
            .part_of(odds(&others.iter().map(Vec::as_slice).collect::<Vec<_>>()), (faulty, rows.starts()))
            .ok_or("the relation between features does not tell these from those of another entity")?;
        // What this relation shows within so few rows has hit nearly all of them.
        let dose = Bounded { value: 1.0, high: 1.0, ..dose };
        let now = mixed_with(&mut rows.faulty.iter().cycle());
        let flipped = self.flipped(surrogates, &rows.healthy, &now)?;
        Ok(times(dose, flipped.share(), rows.healthy.len()))
    }

    /// By how much the share of decisions of one kind has changed beyond chance: fewer than were flipped, where both
    /// kinds were.
    pub(in crate::detect) fn decisions_shifted(&self, rows: &Rows<'_>) -> Told<Flips> {
        rows.are_many()?;
        let mut most: f64 = 0.0;
        let mut reason = NO_CUT;
        for (which, surrogate) in self.surrogates.iter().enumerate() {
            match self.decision_shifted(rows, which, surrogate) {
                Ok(least) if least > most => most = least,
                Ok(_) => {
                    reason = "decisions of either kind are about as frequent as in health, which tells nothing of those that were exchanged"
                }
                Err(why) => reason = why,
            }
        }
        Flips::at_least(most, rows.faulty.len(), reason)
    }

    /// The lower bound of the share of rows whose decision has moved.
    fn decision_shifted(&self, rows: &Rows<'_>, which: usize, surrogate: &Surrogate) -> Told<f64> {
        let answers = |rows: &[Row<'_>]| -> Vec<f64> {
            let told = self.told(surrogate, rows.iter().map(|r| r.features));
            let answers = told.into_iter().zip(rows).map(|(told, row)| {
                let answer = told + row.residuals.get(which).copied().unwrap_or(f64::NAN);
                if answer.is_nan() { told } else { answer }
            });
            answers.collect()
        };
        let (before, now) = (answers(&rows.healthy), answers(&rows.faulty));
        let known = |answers: &[f64]| rows_of(answers.iter().filter(|a| !a.is_nan()).count());
        if known(&before) < rows_of(HEALTHY_MIN) {
            return Err(TOO_FEW_HEALTHY);
        }
        if known(&now) < (1.0 - UNTOLD_MAX) * rows_of(now.len()) {
            return Err(UNTAUGHT);
        }
        let hits = |answers: &[f64], is: &dyn Fn(f64) -> bool| {
            let mut hits = Hits::default();
            answers.iter().filter(|a| !a.is_nan()).for_each(|a| hits.add(is(*a)));
            hits
        };
        let moves = surrogate.moves();
        let z = if moves.len() > 1 { LARGEST_OF_SIX_Z } else { Z };
        // The largest of all surrogates is taken.
        let ways = rows.starts() * rows_of(self.surrogates.len());
        let least = moves.into_iter().flat_map(|(low, high)| {
            let up = hits(&now, &|a| a > high).more_than(hits(&before, &|a| a > low), z, ways);
            let down = hits(&now, &|a| a <= low).more_than(hits(&before, &|a| a <= high), z, ways);
            [up.low, down.low]
        });
        least.reduce(|a, b| if b > a { b } else { a }).ok_or(NO_CUT)
    }

    /// The places of features that a surrogate reads, and the surrogates of answers of which it is known what another
    /// decision is.
    fn read_of(&self, columns: &[usize]) -> Told<(Vec<usize>, Vec<Numbered<'_>>)> {
        let places: Vec<usize> = self.places(columns).collect();
        if places.is_empty() {
            return Err("the surrogate reads none of the features concerned");
        }
        let surrogates: Vec<Numbered<'_>> =
            self.surrogates.iter().enumerate().filter(|(_, s)| s.decides()).collect();
        if surrogates.is_empty() { Err(NO_CUT) } else { Ok((places, surrogates)) }
    }

    /// The rows of which any answer is another decision once they are changed.
    fn flipped(&self, surrogates: &[Numbered<'_>], rows: &[Row<'_>], changed: &[Vec<f32>]) -> Told<Hits> {
        let mut flipped = vec![Some(false); rows.len()];
        for (_, surrogate) in surrogates {
            let before = self.told(surrogate, rows.iter().map(|r| r.features));
            let then = self.told(surrogate, changed.iter().map(Vec::as_slice));
            for (flipped, (a, b)) in flipped.iter_mut().zip(before.into_iter().zip(then)) {
                *flipped = flipped.zip(surrogate.differs(a, b)).map(|(any, this)| any || this);
            }
        }
        let mut hits = Hits::default();
        flipped.iter().flatten().for_each(|is| hits.add(*is));
        if hits.n < (1.0 - UNTOLD_MAX) * rows_of(rows.len()) { Err(UNTAUGHT) } else { Ok(hits) }
    }

    /// What a surrogate says of rows; NaN of those that lack a feature that was never missing where it was fitted.
    fn told<'r>(&self, surrogate: &Surrogate, rows: impl Iterator<Item = &'r [f32]>) -> Vec<f64> {
        let rows: Vec<&[f32]> = rows.collect();
        let mut told = Vec::new();
        if surrogate.foretell((&rows.concat(), self.width()), &mut told).is_err() {
            told = vec![f32::NAN; rows.len()];
        }
        let untaught = |row: &[f32]| {
            row.iter().zip(&self.inputs.columns).any(|(v, input)| v.is_nan() && !input.knows_missing)
        };
        let each = told.into_iter().zip(rows);
        each.map(|(told, row)| if untaught(row) { f64::NAN } else { f64::from(told) }).collect()
    }

    fn places<'c>(&'c self, columns: &'c [usize]) -> impl Iterator<Item = usize> + 'c {
        let all = self.inputs.columns.iter().enumerate();
        all.filter(|(_, input)| columns.contains(&input.position)).map(|(place, _)| place)
    }
}

/// Flips where decisions are otherwise than the surrogate says, beyond how often they are in health.
fn beyond_usual(now: Hits, before: Hits, (is_cut, starts): (bool, f64)) -> Told<Bounded> {
    if before.n < rows_of(HEALTHY_MIN) || now.n < 1.0 {
        return Err("too few rows in memory have an answer that is held against the surrogate's");
    }
    let usual = before.share();
    if usual > WRONG_MAX {
        return Err("the surrogate decides otherwise than the model too often in health");
    }
    // A flipped decision that the surrogate had wrong before agrees with it: of two, so many are not seen, and of
    // numbers none, which are only farther away.
    let seen = if is_cut { 1.0 - 2.0 * usual } else { 1.0 - usual };
    Ok(now.more_than(before, Z, starts).map(|v| v / seen).as_share())
}

/// A row with some values of another one.
fn with(row: &[f32], donor: &[f32], places: &[usize]) -> Vec<f32> {
    let mut row = row.to_vec();
    for place in places {
        if let (Some(value), Some(other)) = (row.get_mut(*place), donor.get(*place)) {
            *value = *other;
        }
    }
    row
}

/// A dose times the share of healthy rows that it flips, each within its bounds.
fn times(dose: Bounded, flipped: f64, healthy: usize) -> Bounded {
    let flipped = flipped.clamp(0.0, 1.0);
    let (low, high) = share::bounds(flipped, rows_of(healthy), Z);
    Bounded { value: dose.value * flipped, low: dose.low * low, high: dose.high * high }
}

/// Mean and variance of what a relation says of rows.
#[derive(Debug, Clone, Copy)]
struct Mean {
    n: f64,
    mean: f64,
    variance: f64,
}

impl Mean {
    fn of(values: &[f32]) -> Self {
        let n = rows_of(values.len());
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        Self { n, mean, variance }
    }

    /// How far a mixture's mean lies on the way from this to that of others: which part of it those are. Nothing where
    /// the way is not longer than chance.
    fn part_of(self, others: Self, (mixture, ways): (Self, f64)) -> Option<Bounded> {
        let way = self.mean - others.mean;
        let chance = (self.variance / self.n + others.variance / others.n).sqrt();
        let part = ((self.mean - mixture.mean) / way).clamp(0.0, 1.0);
        // Few rows of a mixture tell their own variance badly: it follows from what is mixed.
        let mixed = (1.0 - part) * self.variance + part * others.variance + part * (1.0 - part) * way * way;
        let variance = mixed / mixture.n
            + (1.0 - part).powi(2) * self.variance / self.n
            + part.powi(2) * others.variance / others.n;
        let error = share::stopped_z(mixture.n, Z, ways) * variance.sqrt() / way;
        let bounded = Bounded { value: part, low: part - error, high: part + error }.as_share();
        (way > TOLD_Z * chance && error.is_finite()).then_some(bounded)
    }
}

/// Rows as a number.
fn rows_of(rows: usize) -> f64 {
    count(whole(rows))
}

fn floor(rows: f64) -> usize {
    usize::try_from(crate::units::floor(rows)).unwrap_or(usize::MAX)
}
