//! Answers held against those that are known to be right: no statistics, no baseline and no budget.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Alarm, Finding, Share, StreamReport, StreamState, Undecided};
use crate::record::Schema;
use crate::units::{Timestamp, count, whole};

/// What changed, in an alarm.
const KIND: &str = "wrong_answer";
/// Wrong answers further apart than so many right ones are not of one fault.
const GAP_MAX: u64 = 1_000;
/// A fault is over after so many times as many right answers as ever stood between two wrong ones of it: chance
/// leaves that many out once in twenty.
const GAPS: u64 = 3;
/// More than one in so many of the last answers missing, and the right ones say nothing: a fault may hide in
/// those that are missing.
const BORNE: usize = 20;
/// So many times the gap between two answers that came, and none come any more.
const SILENT_GAPS: f64 = 100.0;
/// A silence no longer than this says nothing.
const SILENCE_MIN: Duration = Duration::from_secs(60);
/// Of a row, an answer and what is wrong with it, no more than this is told.
const TOLD_CHARS_MAX: usize = 400;

/// A detector that holds answers against those that are known to be right.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Requests whose answers were recorded, sent to the live model.
    KnownAnswer,
    /// Rows of live traffic, sent to a pinned copy of the model.
    PinnedCopy,
}

impl Check {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 2] = [Self::KnownAnswer, Self::PinnedCopy];

    /// The name in configuration, alarms, metrics and verdicts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KnownAnswer => "known_answer",
            Self::PinnedCopy => "pinned_copy",
        }
    }

    /// What it sees and when it is of use, for the manual.
    #[must_use]
    pub const fn manual(self) -> &'static str {
        match self {
            Self::KnownAnswer => {
                "The live model answered a request whose right answer was recorded (`known_answers` of the model) \
                 otherwise than then. One wrong answer is enough, and costs nothing of the budget. Off unless \
                 configured: it sends requests to your model, on a schedule."
            }
            Self::PinnedCopy => {
                "The model answered a row otherwise than a pinned copy of it (`pinned` of the model) does, the \
                 features being the same: an older or broken model, labels that were swapped, answers of another \
                 request. With 1 % of rows asked again, a fault in a share q of rows is found after about 100 / q \
                 rows. One wrong answer is enough, and costs nothing of the budget. Off unless configured."
            }
        }
    }
}

/// Why an answer says nothing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Unanswered {
    /// As many rows as may wait did.
    QueueFull,
    /// The row lacks a feature, has one of another type, or is too large: it cannot be asked again.
    Unaskable,
    /// Nobody took the request, or the line broke.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The request was refused.
    Refused,
    /// Whoever was asked failed.
    Failed,
    /// The answer is no inference response, or a too large one.
    Unreadable,
    /// The two answers have no part in common.
    Incomparable,
    /// The answers are of different versions of the model.
    OtherVersion,
    /// The pinned copy is no judge: it answers its own known requests wrongly, or one row in two ways.
    JudgeWrong,
}

impl Unanswered {
    /// All of them, in the order of every list.
    pub const ALL: [Self; 10] = [
        Self::QueueFull,
        Self::Unaskable,
        Self::Unreachable,
        Self::Timeout,
        Self::Refused,
        Self::Failed,
        Self::Unreadable,
        Self::Incomparable,
        Self::OtherVersion,
        Self::JudgeWrong,
    ];

    /// The word in metrics and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Unaskable => "unaskable",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unreadable => "unreadable",
            Self::Incomparable => "incomparable",
            Self::OtherVersion => "other_version",
            Self::JudgeWrong => "judge_wrong",
        }
    }

    const fn undecided(self) -> Undecided {
        match self {
            Self::OtherVersion => Undecided::OtherVersion,
            Self::JudgeWrong => Undecided::JudgeWrong,
            _ => Undecided::Unanswered,
        }
    }
}

/// What became of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The right answer.
    Right,
    /// A wrong one.
    Wrong {
        /// The output that is wrong.
        output: String,
        /// Request, output, element, what it is and what was expected.
        what: String,
    },
    /// None that says anything.
    Unanswered(Unanswered),
}

/// One question and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// When the live model answered: the row's own time, where it is about one.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
}

impl Answered {
    /// A question without an answer that says anything.
    #[must_use]
    pub const fn none(at: Timestamp, why: Unanswered) -> Self {
        Self { at, outcome: Outcome::Unanswered(why) }
    }
}

/// How a check decides that it knows something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Right answers in a row after which a fault is over, at least; those that never came do not count.
    pub recovery: u64,
    /// Right answers since the last wrong one before which nothing is quiet.
    pub power: u64,
    /// The last answers by which the missing ones are judged.
    pub window: usize,
    /// After so long without an answer nothing is known; nothing: after many times as long as they usually take.
    pub patience: Option<Duration>,
}

impl Terms {
    /// For requests with known answers that are asked again and again: three whole rounds end a fault, one is
    /// needed to be quiet.
    #[must_use]
    pub fn known(requests: usize, patience: Duration) -> Self {
        let all = whole(requests);
        Self {
            recovery: all.saturating_mul(3),
            power: all,
            window: requests.clamp(1, WINDOW_MAX),
            patience: Some(patience),
        }
    }

    /// For rows of live traffic: nine in ten faults in 5 % of rows show within 45 rows, nineteen in twenty
    /// within 59.
    #[must_use]
    pub const fn sampled() -> Self {
        Self { recovery: 59, power: 45, window: WINDOW_MAX, patience: None }
    }
}

/// The most answers that are remembered.
const WINDOW_MAX: usize = 64;

/// What one check has seen, and how it stands.
#[derive(Debug, Clone)]
pub struct Checker {
    check: Check,
    terms: Terms,
    right: u64,
    wrong: u64,
    unanswered: BTreeMap<Unanswered, u64>,
    /// The last outcomes, by when they became known.
    recent: VecDeque<(Timestamp, Option<Unanswered>)>,
    last_answer: Option<Timestamp>,
    last_wrong: Option<String>,
    held: Held,
}

/// What is kept of a check over a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    latch: Option<Latch>,
    /// Right answers since the last wrong one.
    right: u64,
    /// The most right answers between two wrong ones of this fault.
    gap: u64,
    /// Whether there was a wrong one.
    was_wrong: bool,
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
    /// Right answers in a row that end the alarm, and how many there are; null when there is none.
    pub recovery: Option<Recovering>,
}

/// How far an alarm is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Recovering {
    /// Right answers in a row.
    pub right: u64,
    /// As many as there must be.
    pub needed: u64,
}

impl Checker {
    /// A check that has seen nothing.
    #[must_use]
    pub fn new(check: Check, terms: Terms) -> Self {
        Self {
            check,
            terms,
            right: 0,
            wrong: 0,
            unanswered: BTreeMap::new(),
            recent: VecDeque::new(),
            last_answer: None,
            last_wrong: None,
            held: Held::default(),
        }
    }

    /// Which one it is.
    #[must_use]
    pub const fn check(&self) -> Check {
        self.check
    }

    /// Takes an outcome that became known now. A wrong answer raises the alarm, or says anew how many were wrong;
    /// the right ones end it.
    pub fn take(&mut self, answered: Answered, now: Timestamp) -> Option<Finding> {
        let at = answered.at.min(now);
        let missing = if let Outcome::Unanswered(why) = &answered.outcome { Some(*why) } else { None };
        self.recent.push_back((now, missing));
        if self.recent.len() > self.terms.window {
            self.recent.pop_front();
        }
        match answered.outcome {
            Outcome::Unanswered(why) => {
                *self.unanswered.entry(why).or_insert(0) += 1;
                None
            }
            Outcome::Right => {
                self.last_answer = Some(now);
                self.right += 1;
                self.take_right(at)
            }
            Outcome::Wrong { output, what } => {
                self.last_answer = Some(now);
                self.wrong += 1;
                self.take_wrong(&output, &what, at)
            }
        }
    }

    fn take_right(&mut self, at: Timestamp) -> Option<Finding> {
        let needed = self.needed();
        self.held.right = self.held.right.saturating_add(1);
        let latch = self.held.latch.as_mut()?;
        latch.answers = latch.answers.saturating_add(1);
        if latch.accepted || self.held.right < needed {
            return None;
        }
        self.held.latch = None;
        Some(Finding::Resolved { group: Schema::OUTPUT_GROUP.to_owned(), row: 0, ts: at })
    }

    fn take_wrong(&mut self, output: &str, what: &str, at: Timestamp) -> Option<Finding> {
        let is_same_fault = self.held.latch.is_some() || self.held.was_wrong && self.held.right <= GAP_MAX;
        let gap = if self.held.gap > self.held.right { self.held.gap } else { self.held.right };
        self.held.gap = if is_same_fault { gap } else { 0 };
        self.held.right = 0;
        self.held.was_wrong = true;
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
        if gaps > self.terms.recovery { gaps } else { self.terms.recovery }
    }

    fn alarm(&self, latch: &Latch, output: &str, what: &str, at: Timestamp) -> Alarm {
        let group = Schema::OUTPUT_GROUP.to_owned();
        let (Latch { since, answers, wrong, .. }, detector) = (latch, self.check.name().to_owned());
        let message = match self.check {
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

    /// Takes the alarm for meant: nothing is found until [`Checker::forget`].
    pub const fn accept(&mut self) {
        if let Some(latch) = &mut self.held.latch {
            latch.accepted = true;
        }
    }

    /// Begins anew: what was wrong was wrong for another baseline.
    pub fn forget(&mut self) {
        self.held = Held::default();
        self.recent.clear();
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
        self.held.clone()
    }

    /// Goes on from there. What was seen lately is seen anew: until then it is undecided.
    pub fn restore(&mut self, held: Held) {
        self.held = held;
        if self.held.latch.is_none() {
            // It says nothing of the time in which nobody looked.
            self.held.right = 0;
        }
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> StreamState {
        match &self.held.latch {
            Some(latch) if latch.accepted => return StreamState::Undecided(Undecided::Accepted),
            Some(_) => return StreamState::Drifted,
            None => {}
        }
        let undecided = StreamState::Undecided;
        if self.is_silent(now) {
            return undecided(Undecided::NoRows);
        }
        if let Some(why) = self.missing() {
            return undecided(why.undecided());
        }
        if self.held.right < self.terms.power {
            return undecided(Undecided::BelowPower);
        }
        StreamState::Quiet
    }

    /// Whether no outcome became known for too long.
    fn is_silent(&self, now: Timestamp) -> bool {
        let (Some((first, _)), Some((last, _))) = (self.recent.front(), self.recent.back()) else {
            return true;
        };
        let patience = self.terms.patience.unwrap_or_else(|| {
            let gaps = count(whole(self.recent.len()).saturating_sub(1));
            let usual = if gaps > 0.0 { last.seconds_since(*first) / gaps } else { 0.0 };
            let patience = Duration::try_from_secs_f64(usual * SILENT_GAPS).unwrap_or(SILENCE_MIN);
            if patience > SILENCE_MIN { patience } else { SILENCE_MIN }
        });
        now > last.plus(patience)
    }

    /// The commonest reason of missing answers, where there are too many of them lately.
    fn missing(&self) -> Option<Unanswered> {
        let mut by_reason: BTreeMap<Unanswered, usize> = BTreeMap::new();
        for why in self.recent.iter().filter_map(|(_, missing)| *missing) {
            *by_reason.entry(why).or_insert(0) += 1;
        }
        let all: usize = by_reason.values().sum();
        if all.saturating_mul(BORNE) <= self.recent.len() {
            return None;
        }
        by_reason.into_iter().max_by_key(|(_, n)| *n).map(|(why, _)| why)
    }

    /// How it stands, as other detectors say it.
    #[must_use]
    pub fn stream_report(&self, now: Timestamp) -> StreamReport {
        StreamReport {
            group: Schema::OUTPUT_GROUP.to_owned(),
            detector: self.check.name(),
            of_threshold: None,
            state: self.state(now),
        }
    }

    /// How it stands, with its counts.
    #[must_use]
    pub fn report(&self) -> CheckReport {
        let unanswered: BTreeMap<&'static str, u64> =
            self.unanswered.iter().map(|(why, n)| (why.name(), *n)).collect();
        let recovery = Recovering { right: self.held.right, needed: self.needed() };
        CheckReport {
            detector: self.check.name(),
            asked: self.right + self.wrong + unanswered.values().sum::<u64>(),
            right: self.right,
            wrong: self.wrong,
            unanswered,
            last_answer: self.last_answer,
            last_wrong: self.last_wrong.clone(),
            recovery: self.holds().then_some(recovery),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1_000)
    }

    fn wrong() -> Outcome {
        Outcome::Wrong {
            output: "score".to_owned(),
            what: "request `r`, output `score` is 0, expected 1".to_owned(),
        }
    }

    /// A check whose outcomes come one a second.
    struct Asked(Checker, i64);

    impl Asked {
        fn sampled() -> Self {
            Self(Checker::new(Check::PinnedCopy, Terms::sampled()), 0)
        }

        fn take(&mut self, outcome: Outcome) -> Option<Finding> {
            self.1 += 1;
            self.0.take(Answered { at: at(self.1), outcome }, at(self.1))
        }

        fn times(&mut self, n: u64, outcome: &Outcome) -> Vec<Finding> {
            (0..n).filter_map(|_| self.take(outcome.clone())).collect()
        }

        fn state(&self) -> StreamState {
            self.0.state(at(self.1))
        }
    }

    fn undecided(why: Undecided) -> StreamState {
        StreamState::Undecided(why)
    }

    /// Right answers never alarm, however many, and quiet is earned by as many as a small fault needs.
    #[test]
    fn right_answers_are_quiet() {
        let mut asked = Asked::sampled();
        assert_eq!(asked.state(), undecided(Undecided::NoRows));
        assert_eq!(asked.times(44, &Outcome::Right), []);
        assert_eq!(asked.state(), undecided(Undecided::BelowPower));
        assert_eq!(asked.times(100_000, &Outcome::Right), []);
        assert_eq!(asked.state(), StreamState::Quiet);
    }

    /// One wrong answer is enough; the alarm says how many of how many since when, each time anew; it ends after
    /// right answers in a row, which those that never came do not stand for.
    #[test]
    fn one_wrong_answer_alarms() {
        let mut asked = Asked::sampled();
        asked.times(10, &Outcome::Right);
        let Some(Finding::Raised(alarm)) = asked.take(wrong()) else { panic!("no alarm") };
        assert_eq!(
            (alarm.group.as_str(), alarm.detector.as_str(), alarm.since),
            ("output", "pinned_copy", at(11))
        );
        assert!(
            alarm.message.contains("1 of 1 rows") && alarm.message.ends_with("expected 1"),
            "{}",
            alarm.message
        );
        asked.times(7, &Outcome::Right);
        let Some(Finding::Raised(again)) = asked.take(wrong()) else { panic!("not said again") };
        assert!(again.message.contains("2 of 9 rows") && again.since == at(11), "{}", again.message);
        assert_eq!(asked.state(), StreamState::Drifted);
        assert_eq!(asked.times(1_000, &Outcome::Unanswered(Unanswered::Timeout)), []);
        assert_eq!(asked.state(), StreamState::Drifted);
        let ended = asked.times(59, &Outcome::Right);
        assert!(
            matches!(&ended[..], [Finding::Resolved { group, ts, .. }] if group == "output" && *ts == at(1_078))
        );
    }

    /// A fault in few rows is one alarm or two, not one a wrong row: the end waits for longer the rarer they are.
    #[test]
    fn rare_wrong_answers_do_not_flap() {
        for seed in 0..20 {
            let (mut asked, mut rng) = (Asked::sampled(), StdRng::seed_from_u64(seed));
            let (mut raised, mut open) = (0, false);
            for _ in 0..20_000 {
                let outcome = if rng.random_bool(0.01) { wrong() } else { Outcome::Right };
                match asked.take(outcome) {
                    Some(Finding::Raised(_)) if !open => (raised, open) = (raised + 1, true),
                    Some(Finding::Resolved { .. }) => open = false,
                    _ => {}
                }
            }
            assert!((1..=6).contains(&raised), "seed {seed}: {raised} alarms for 200 wrong answers");
        }
    }

    /// What cannot be asked or answered is counted by reason and leaves nothing quiet, whatever the reason; a
    /// handful among many is borne.
    #[test]
    fn no_answer_is_never_quiet() {
        for why in Unanswered::ALL {
            let mut asked = Asked::sampled();
            asked.times(200, &Outcome::Right);
            asked.times(3, &Outcome::Unanswered(why));
            assert_eq!(asked.state(), StreamState::Quiet);
            assert_eq!(asked.times(1, &Outcome::Unanswered(why)), []);
            assert_eq!(asked.state(), undecided(why.undecided()), "{why:?}");
            assert_eq!(asked.0.report().unanswered, BTreeMap::from([(why.name(), 4)]));
            asked.times(64, &Outcome::Right);
            assert_eq!(asked.state(), StreamState::Quiet);
        }
    }

    /// Of a handful of known requests each has to be answered; without a round for a while nothing is known.
    #[test]
    fn every_known_request_counts() {
        let terms = Terms::known(3, Duration::from_secs(100));
        let mut asked = Asked(Checker::new(Check::KnownAnswer, terms), 0);
        asked.times(2, &Outcome::Right);
        asked.take(Outcome::Unanswered(Unanswered::Failed));
        assert_eq!(asked.state(), undecided(Undecided::Unanswered));
        asked.times(3, &Outcome::Right);
        assert_eq!(asked.state(), StreamState::Quiet);
        assert_eq!(asked.0.state(at(asked.1 + 101)), undecided(Undecided::NoRows));
        asked.take(wrong());
        assert_eq!(asked.times(8, &Outcome::Right), []);
        assert_eq!(asked.times(1, &Outcome::Right).len(), 1, "three rounds");
    }

    /// Traffic that stops leaves a sampled check undecided after a hundred of its usual gaps.
    #[test]
    fn silence_is_not_quiet() {
        let mut asked = Asked::sampled();
        asked.times(100, &Outcome::Right);
        assert_eq!(asked.0.state(at(asked.1 + 100)), StreamState::Quiet);
        assert_eq!(asked.0.state(at(asked.1 + 101)), undecided(Undecided::NoRows));
    }

    /// A restart keeps the alarm and forgets what was quiet; an accepted alarm says nothing until there is
    /// another baseline.
    #[test]
    fn restart_and_acceptance() {
        let mut asked = Asked::sampled();
        asked.times(100, &Outcome::Right);
        let mut next = Asked::sampled();
        next.0.restore(asked.0.save());
        next.times(1, &Outcome::Right);
        assert_eq!(next.state(), undecided(Undecided::BelowPower));
        next.take(wrong());
        let mut last = Asked::sampled();
        let written = serde_json::to_string(&next.0.save()).unwrap();
        last.0.restore(serde_json::from_str(&written).unwrap());
        assert_eq!((last.state(), last.0.holds()), (StreamState::Drifted, true));
        assert_eq!(last.times(58, &Outcome::Right), []);
        last.0.accept();
        assert_eq!(last.times(500, &Outcome::Right).len() + last.times(5, &wrong()).len(), 0);
        assert_eq!((last.state(), last.0.holds()), (undecided(Undecided::Accepted), false));
        last.0.forget();
        assert!(matches!(last.take(wrong()), Some(Finding::Raised(_))));
    }
}
