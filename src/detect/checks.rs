//! Answers held against those that are known to be right: no statistics, no baseline and no budget.

mod outcome;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use outcome::{Answered, Check, Outcome, Unanswered};
use seen::Seen;
use serde::{Deserialize, Serialize};

use super::{Alarm, Finding, Share, StreamReport, StreamState, Undecided};
use crate::record::Schema;
use crate::units::{Timestamp, whole};

/// What changed, in an alarm.
const KIND: &str = "wrong_answer";
/// Wrong answers further apart than so many right ones are not of one fault.
const GAP_MAX: u64 = 1_000;
/// A fault is over after so many times as many right answers as ever stood between two wrong ones of it: chance
/// leaves that many out once in twenty.
const GAPS: u64 = 3;
/// A fault that known requests showed is over after so many right answers to each of those that showed it.
const ROUNDS: u64 = 3;
/// A fault that rows showed is over after so many right ones: nineteen in twenty faults in 5 % of rows show within
/// them.
const ROWS: u64 = 59;
/// Of a row, an answer and what is wrong with it, no more than this is told.
const TOLD_CHARS_MAX: usize = 400;

/// How a check decides that it knows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terms {
    /// Known requests that are asked again and again. All is well when each of them was answered rightly the last
    /// time that it was asked; a fault is over after three right answers to each that showed it, and as many to
    /// the others.
    Known {
        /// Their names.
        requests: BTreeSet<String>,
        /// After so long without an outcome nothing is known of a request.
        patience: Duration,
    },
    /// Rows of live traffic, of which some are asked again: they stand for each other.
    Sampled,
}

impl Terms {
    const fn check(&self) -> Check {
        match self {
            Self::Known { .. } => Check::KnownAnswer,
            Self::Sampled => Check::PinnedCopy,
        }
    }

    /// Right answers in a row after which a fault is over, at least.
    fn recovery(&self) -> u64 {
        match self {
            Self::Known { requests, .. } => whole(requests.len()).saturating_mul(ROUNDS),
            Self::Sampled => ROWS,
        }
    }
}

/// What one check has seen, and how it stands.
#[derive(Debug, Clone)]
pub struct Checker {
    terms: Terms,
    settings: String,
    right: u64,
    wrong: u64,
    unanswered: BTreeMap<Unanswered, u64>,
    seen: Seen,
    last_answer: Option<Timestamp>,
    last_wrong: Option<String>,
    last_unanswered: Option<String>,
    held: Held,
}

/// What is kept of a check over a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The settings by which it was found.
    #[serde(default)]
    of: Option<String>,
    latch: Option<Latch>,
    /// Right answers since the last wrong one.
    right: u64,
    /// The most right answers between two wrong ones of this fault.
    gap: u64,
    /// Whether there was a wrong one.
    was_wrong: bool,
    /// Known requests that were answered wrongly in this fault, and the right answers to each since.
    #[serde(default)]
    owed: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Latch {
    since: Timestamp,
    answers: u64,
    wrong: u64,
    accepted: bool,
}

/// How a check stands, with its counts since the process began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct CheckReport {
    /// The check.
    pub detector: &'static str,
    /// Questions that were due: those that never were asked among them.
    pub asked: u64,
    /// Right answers.
    pub right: u64,
    /// Wrong ones.
    pub wrong: u64,
    /// Questions without an answer that says anything, by reason.
    pub unanswered: BTreeMap<&'static str, u64>,
    /// When the last answer that says something came.
    pub last_answer: Option<Timestamp>,
    /// What was wrong with the last wrong one.
    pub last_wrong: Option<String>,
    /// Why the last one without an answer has none, with what is known beside the reason, such as an HTTP status.
    pub last_unanswered: Option<String>,
    /// Right answers in a row that end the alarm, and how many there are; null when there is none.
    pub recovery: Option<Recovering>,
}

/// How far an alarm is from its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Recovering {
    /// Right answers in a row.
    pub right: u64,
    /// As many as there must be.
    pub needed: u64,
    /// Known requests that were answered wrongly, and the right answers to each since: each has to have three.
    pub requests: BTreeMap<String, u64>,
}

impl Checker {
    /// A check that has seen nothing; `settings` stand for who is asked, and for what.
    #[must_use]
    pub fn new(terms: Terms, settings: String) -> Self {
        Self {
            seen: Seen::new(&terms),
            terms,
            settings,
            right: 0,
            wrong: 0,
            unanswered: BTreeMap::new(),
            last_answer: None,
            last_wrong: None,
            last_unanswered: None,
            held: Held::default(),
        }
    }

    /// Which one it is.
    #[must_use]
    pub const fn check(&self) -> Check {
        self.terms.check()
    }

    /// Takes an outcome that became known now. A wrong answer raises the alarm, or says anew how many were wrong;
    /// the right ones end it.
    pub fn take(&mut self, answered: Answered, now: Timestamp) -> Option<Finding> {
        let at = answered.at.min(now);
        self.seen.note(&answered, now);
        let of = answered.of.as_deref();
        match answered.outcome {
            Outcome::Unanswered(why) => {
                *self.unanswered.entry(why).or_insert(0) += 1;
                let of = of.map_or_else(String::new, |name| format!("request `{name}`: "));
                let detail = answered.detail.map_or_else(String::new, |detail| format!(": {detail}"));
                let told = format!("{of}{}{detail}", why.name());
                self.last_unanswered = Some(told.chars().take(TOLD_CHARS_MAX).collect());
                None
            }
            Outcome::Right => {
                self.last_answer = Some(now);
                self.right += 1;
                self.take_right(of, at)
            }
            Outcome::Wrong { output, what } => {
                self.last_answer = Some(now);
                self.wrong += 1;
                self.take_wrong(of, (&output, &what), at)
            }
        }
    }

    fn take_right(&mut self, of: Option<&str>, at: Timestamp) -> Option<Finding> {
        let needed = self.needed();
        self.held.right = self.held.right.saturating_add(1);
        if let Some(right) = of.and_then(|name| self.held.owed.get_mut(name)) {
            *right = right.saturating_add(1);
        }
        let latch = self.held.latch.as_mut()?;
        latch.answers = latch.answers.saturating_add(1);
        let is_owed = self.held.owed.values().any(|right| *right < ROUNDS);
        if self.held.right < needed || is_owed {
            return None;
        }
        let is_told = !latch.accepted;
        self.held.latch = None;
        self.held.owed.clear();
        is_told.then(|| Finding::Resolved { group: Schema::OUTPUT_GROUP.to_owned(), row: 0, ts: at })
    }

    fn take_wrong(
        &mut self,
        of: Option<&str>,
        (output, what): (&str, &str),
        at: Timestamp,
    ) -> Option<Finding> {
        let is_same_fault = self.held.latch.is_some() || self.held.was_wrong && self.held.right <= GAP_MAX;
        let gap = if self.held.gap > self.held.right { self.held.gap } else { self.held.right };
        self.held.gap = if is_same_fault { gap } else { 0 };
        self.held.right = 0;
        self.held.was_wrong = true;
        if let (Some(name), Terms::Known { requests, .. }) = (of, &self.terms)
            && requests.contains(name)
        {
            self.held.owed.insert(name.to_owned(), 0);
        }
        let what: String = what.chars().take(TOLD_CHARS_MAX).collect();
        self.last_wrong = Some(what.clone());
        let latch = self.held.latch.get_or_insert(Latch { since: at, answers: 0, wrong: 0, accepted: false });
        latch.answers = latch.answers.saturating_add(1);
        latch.wrong = latch.wrong.saturating_add(1);
        let latch = latch.clone();
        (!latch.accepted).then(|| Finding::Raised(self.alarm(&latch, output, &what, at)))
    }

    /// Right answers in a row that end the alarm.
    fn needed(&self) -> u64 {
        let gaps = self.held.gap.saturating_mul(GAPS);
        let least = self.terms.recovery();
        if gaps > least { gaps } else { least }
    }

    fn alarm(&self, latch: &Latch, output: &str, what: &str, at: Timestamp) -> Alarm {
        let group = Schema::OUTPUT_GROUP.to_owned();
        let (Latch { since, answers, wrong, .. }, detector) = (latch, self.check().name().to_owned());
        let message = match self.check() {
            Check::KnownAnswer => format!(
                "`{group}`: {wrong} of {answers} answers to requests with known answers are wrong since {since}; {what}"
            ),
            Check::PinnedCopy => format!(
                "`{group}`: {wrong} of {answers} rows asked again were answered otherwise than by the model's pinned \
                 copy since {since}, the features being the same; {what}"
            ),
        };
        Alarm {
            row: 0,
            ts: at,
            kind: KIND.to_owned(),
            features: vec![output.to_owned()],
            group,
            score: f64::NAN,
            threshold: f64::NAN,
            since_row: 0,
            since: *since,
            shares: vec![Share { detector: detector.clone(), of_threshold: 1.0, fired: true }],
            detector,
            message,
            diagnosis: Box::default(),
        }
    }

    /// Takes the alarm for meant: nothing is found until right answers have ended it, or [`Checker::forget`].
    pub const fn accept(&mut self) {
        if let Some(latch) = &mut self.held.latch {
            latch.accepted = true;
        }
    }

    /// Begins anew: what was wrong was wrong for another baseline.
    pub fn forget(&mut self) {
        self.held = Held::default();
        self.seen.clear();
    }

    /// Whether its alarm is open: raised, and not accepted.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.held.latch.as_ref().is_some_and(|latch| !latch.accepted)
    }

    /// Whether it found wrong answers that it did not see the end of, accepted or not.
    #[must_use]
    pub fn latched(&self) -> Option<bool> {
        self.held.latch.as_ref().map(|latch| latch.accepted)
    }

    /// What must not be lost over a restart.
    #[must_use]
    pub fn save(&self) -> Held {
        Held { of: Some(self.settings.clone()), ..self.held.clone() }
    }

    /// Goes on from there, where it was found by the same settings; else begins anew, and says so by `false`. What was
    /// seen lately is seen anew: until then it is undecided.
    pub fn restore(&mut self, held: Held) -> bool {
        if held.of.as_ref() != Some(&self.settings) {
            return false;
        }
        self.held = held;
        if self.held.latch.is_none() {
            // It says nothing of the time in which nobody looked.
            self.held.right = 0;
        }
        true
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> StreamState {
        match &self.held.latch {
            Some(latch) if latch.accepted => return StreamState::Undecided(Undecided::Accepted),
            Some(_) => return StreamState::Drifted,
            None => {}
        }
        let undecided = self.seen.undecided(self.held.right, now);
        undecided.map_or(StreamState::Quiet, StreamState::Undecided)
    }

    /// How it stands, as other detectors say it.
    #[must_use]
    pub fn stream_report(&self, now: Timestamp) -> StreamReport {
        StreamReport {
            group: Schema::OUTPUT_GROUP.to_owned(),
            detector: self.check().name(),
            of_threshold: None,
            state: self.state(now),
        }
    }

    /// How it stands, with its counts.
    #[must_use]
    pub fn report(&self) -> CheckReport {
        let unanswered: BTreeMap<&'static str, u64> =
            self.unanswered.iter().map(|(why, n)| (why.name(), *n)).collect();
        let (right, needed, requests) = (self.held.right, self.needed(), self.held.owed.clone());
        let recovery = Recovering { right, needed, requests };
        CheckReport {
            detector: self.check().name(),
            asked: self.right + self.wrong + unanswered.values().sum::<u64>(),
            right: self.right,
            wrong: self.wrong,
            unanswered,
            last_answer: self.last_answer,
            last_wrong: self.last_wrong.clone(),
            last_unanswered: self.last_unanswered.clone(),
            recovery: self.holds().then_some(recovery),
        }
    }
}
