use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::outcome::{Outcome, Unanswered};
use super::{Answered, Terms};
use crate::detect::Undecided;
use crate::units::{Timestamp, count, whole};

/// More than one in so many of the last rows without an answer, and the right ones say nothing: a fault may hide in
/// those that have none.
const BORNE: usize = 20;
/// The last rows by which the missing answers are judged.
const ROWS: usize = 64;
/// Right answers since the last wrong one before which rows are not quiet: nine in ten faults in 5 % of rows show
/// within so many.
const POWER: u64 = 45;
/// So many times the gap between two answers that came, and none come any more.
const SILENT_GAPS: f64 = 100.0;
/// A silence no longer than this says nothing.
const SILENCE_MIN: Duration = Duration::from_secs(60);

/// What became of a question, and when that became known; nothing is missing of one that was answered.
type Became = (Timestamp, Option<Unanswered>);

/// The last outcomes, as far as they tell whether all is well.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// Of every known request: each asks for something else, and no other stands for it.
    Requests {
        /// By name; nothing of one that was not asked yet.
        last: BTreeMap<String, Option<Became>>,
        /// After so long without an outcome nothing is known of a request.
        patience: Duration,
    },
    /// Of rows, which stand for each other.
    Rows(VecDeque<Became>),
}

impl Seen {
    pub(super) fn new(terms: &Terms) -> Self {
        match terms {
            Terms::Known { requests, patience } => {
                let last = requests.iter().map(|name| (name.clone(), None)).collect();
                Self::Requests { last, patience: *patience }
            }
            Terms::Sampled => Self::Rows(VecDeque::new()),
        }
    }

    pub(super) fn note(&mut self, answered: &Answered, now: Timestamp) {
        let missing = if let Outcome::Unanswered(why) = &answered.outcome { Some(*why) } else { None };
        match self {
            Self::Requests { last, .. } => {
                if let Some(request) = answered.of.as_ref().and_then(|name| last.get_mut(name)) {
                    *request = Some((now, missing));
                }
            }
            Self::Rows(recent) => {
                recent.push_back((now, missing));
                if recent.len() > ROWS {
                    recent.pop_front();
                }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Requests { last, .. } => last.values_mut().for_each(|request| *request = None),
            Self::Rows(recent) => recent.clear(),
        }
    }

    /// Why nobody knows whether all is well, `right` answers after the last wrong one; nothing where all is.
    pub(super) fn undecided(&self, right: u64, now: Timestamp) -> Option<Undecided> {
        match self {
            Self::Requests { last, patience } => of_requests(last, *patience, now),
            Self::Rows(recent) if is_silent(recent, now) => Some(Undecided::NoRows),
            Self::Rows(recent) => {
                let missing = missing(recent).map(Unanswered::undecided);
                missing.or_else(|| (right < POWER).then_some(Undecided::BelowPower))
            }
        }
    }
}

/// All is well when each request's last outcome is the right answer, and none is old.
fn of_requests(
    last: &BTreeMap<String, Option<Became>>,
    patience: Duration,
    now: Timestamp,
) -> Option<Undecided> {
    let missing = commonest(last.values().flatten().filter_map(|(_, missing)| *missing));
    let is_old = |became: &Option<Became>| became.is_none_or(|(at, _)| now > at.plus(patience));
    if last.values().all(is_old) {
        return Some(Undecided::NoRows);
    }
    if let Some((why, _)) = missing {
        return Some(why.undecided());
    }
    if last.values().any(Option::is_none) {
        return Some(Undecided::BelowPower);
    }
    last.values().any(is_old).then_some(Undecided::NoRows)
}

/// Whether no outcome became known for too long.
fn is_silent(recent: &VecDeque<Became>, now: Timestamp) -> bool {
    let (Some((first, _)), Some((last, _))) = (recent.front(), recent.back()) else { return true };
    let gaps = count(whole(recent.len()).saturating_sub(1));
    let usual = if gaps > 0.0 { last.seconds_since(*first) / gaps } else { 0.0 };
    let patience = Duration::try_from_secs_f64(usual * SILENT_GAPS).unwrap_or(SILENCE_MIN);
    now > last.plus(if patience > SILENCE_MIN { patience } else { SILENCE_MIN })
}

/// Why too many answers are missing lately: a reason that is never borne, or else the commonest of too many.
fn missing(recent: &VecDeque<Became>) -> Option<Unanswered> {
    let all = || recent.iter().filter_map(|(_, missing)| *missing);
    if let Some((why, _)) = commonest(all().filter(|why| !why.is_borne())) {
        return Some(why);
    }
    if all().count().saturating_mul(BORNE) <= recent.len() {
        return None;
    }
    commonest(all()).map(|(why, _)| why)
}

fn commonest(reasons: impl Iterator<Item = Unanswered>) -> Option<(Unanswered, usize)> {
    let mut by_reason: BTreeMap<Unanswered, usize> = BTreeMap::new();
    for why in reasons {
        *by_reason.entry(why).or_insert(0) += 1;
    }
    by_reason.into_iter().max_by_key(|(_, n)| *n)
}
