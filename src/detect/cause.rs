//! What is likely behind an alarm, from all that speaks at its row.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::bins::Bin;
use super::monitor::Monitor;
use super::stream::{Role, Source, Topic};
use super::table::{Bet, Family};

/// Less than so many nats are no symptom.
const NATS_MIN: f64 = 3.0;
/// More is told as this: a file can hold nothing infinite.
const NATS_TOLD: f64 = 1e6;
/// What chance reaches among all bets of a model;
const NATS_CHANCE: f64 = 9.0;
/// what is so near to the most evident symptom tells something at any rate;
const NATS_NEAR: f64 = 3.0;
/// and so many nats above the floor a symptom is as sure as it gets.
const NATS_SURE: f64 = 8.0;

/// What likely went wrong, in classes that are repaired in different places.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Zeros, defaults or means in the place of values that could not be had.
    Fallback,
    /// Nulls and NaN, columns that are gone, rows that are lost.
    Missing,
    /// Values, rows or answers of before: a stuck or cached feature, a replay, a retry.
    Stale,
    /// Features or answers that belong to something else.
    WrongEntity,
    /// Another scale, offset, sign or column.
    Unit,
    /// Another type, spelling, set of words or resolution.
    Schema,
    /// Another model, or another threshold or link behind it.
    Model,
    /// Other customers: the world changed, not the pipeline.
    Population,
}

/// Every class.
pub const CLASSES: [Class; 8] = [
    Class::Fallback,
    Class::Missing,
    Class::Stale,
    Class::WrongEntity,
    Class::Unit,
    Class::Schema,
    Class::Model,
    Class::Population,
];

impl Class {
    /// The word in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fallback => "fallback",
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::WrongEntity => "wrong_entity",
            Self::Unit => "unit",
            Self::Schema => "schema",
            Self::Model => "model",
            Self::Population => "population",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Fallback => "a fallback value",
            Self::Missing => "missing data",
            Self::Stale => "stale data",
            Self::WrongEntity => "the wrong entity",
            Self::Unit => "another unit or column",
            Self::Schema => "another schema",
            Self::Model => "another model",
            Self::Population => "another population",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// One thing that is otherwise than in health.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Symptom {
    /// Features that are zero or at their default.
    Zero,
    /// Features that are null or NaN.
    Null,
    /// Features of another type.
    Type,
    /// Numbers outside of all that health had.
    Range,
    /// Words that health did not have.
    Word,
    /// One value more often than in health.
    Constant,
    /// Values distributed otherwise.
    Values,
    /// Some values less often, or never.
    Loss,
    /// Numbers of another resolution.
    Resolution,
    /// Values that stay.
    Stuck,
    /// Rows seen before.
    Replay,
    /// Requests delivered before.
    Duplicate,
    /// Features older than in health.
    Age,
    /// What the service says of its features.
    Status,
    /// A declared rule that is broken.
    Rule,
    /// Several unheard-of values in one row.
    Unusual,
    /// Rows from elsewhere.
    Mix,
    /// Features that do not belong together.
    Incoherent,
    /// Answers that do not follow from features.
    Residual,
    /// Answers that contradict each other.
    Contradiction,
    /// Answers that are none.
    NoAnswer,
    /// One answer more often than in health.
    ConstantAnswer,
    /// Answers outside of all that health had, or of another type.
    AnswerRange,
    /// Answers distributed otherwise.
    Answers,
    /// Answers of another resolution.
    AnswerResolution,
}

/// A symptom and how much speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Shown {
    /// What it is.
    pub symptom: Symptom,
    /// The evidence of the bet on it that has most, in nats, from 3.
    pub nats: f64,
}

/// One class with its part among all classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Cause {
    /// The class.
    pub class: Class,
    /// Its part among all classes, from 0 to 1: how the symptoms are shared, not a chance that was calibrated.
    pub part: f64,
    /// The symptoms that speak for it rather than for the others, most first.
    pub because: Vec<Symptom>,
}

impl Monitor {
    /// What speaks at this row, over all groups that are free to alarm, most first.
    pub(super) fn symptoms(&self) -> Vec<Shown> {
        let mut shown: Vec<Shown> = Vec::new();
        let free = self.state.groups.iter().filter(|g| g.is_free());
        for stream in free.flat_map(|g| g.streams.iter().copied()) {
            for bet in self.wiring.bets(stream) {
                let Some(nats) = self.suspicion(stream, bet).map(|s| s.nats).filter(|n| *n >= NATS_MIN)
                else {
                    continue;
                };
                let nats = if nats < NATS_TOLD { nats } else { NATS_TOLD };
                let Some(symptom) = self.symptom(stream, bet) else { continue };
                match shown.iter_mut().find(|s| s.symptom == symptom) {
                    Some(known) if known.nats < nats => known.nats = nats,
                    Some(_) => {}
                    None => shown.push(Shown { symptom, nats }),
                }
            }
        }
        shown.sort_by(|a, b| b.nats.total_cmp(&a.nats).then(a.symptom.cmp(&b.symptom)));
        shown
    }

    fn symptom(&self, stream: usize, bet: Bet) -> Option<Symptom> {
        let stream = self.calibration.streams.get(stream)?;
        let bin = stream.bins.get(bet.index);
        let is_answer = stream.role == Role::Output;
        Some(match stream.source.topic() {
            Topic::Value if is_answer => match (bet.family, bin?) {
                (Family::More, Bin::Null | Bin::NotANumber) => Symptom::NoAnswer,
                (Family::More, Bin::Zero | Bin::Default | Bin::Number(_) | Bin::Category(_)) => {
                    Symptom::ConstantAnswer
                }
                (Family::More, bin) if !matches!(bin, Bin::Between(..)) => Symptom::AnswerRange,
                _ => Symptom::Answers,
            },
            Topic::Value => match (bet.family, bin?) {
                (Family::More, Bin::Null | Bin::NotANumber) => Symptom::Null,
                (Family::More, Bin::WrongType) => Symptom::Type,
                (Family::More, Bin::Zero | Bin::Default) => Symptom::Zero,
                (Family::More, Bin::Unseen) if matches!(stream.source, Source::Column { .. }) => {
                    Symptom::Word
                }
                (Family::More, Bin::Number(_)) => Symptom::Constant,
                (
                    Family::More,
                    Bin::BelowRange | Bin::AboveRange | Bin::FarBelow | Bin::FarAbove | Bin::Infinite,
                ) => Symptom::Range,
                (Family::Less, _) => Symptom::Loss,
                _ => Symptom::Values,
            },
            Topic::Group => Symptom::Zero,
            Topic::Contract => Symptom::Rule,
            Topic::Repeat if is_answer => Symptom::ConstantAnswer,
            Topic::Repeat => Symptom::Stuck,
            Topic::Grid if is_answer => Symptom::AnswerResolution,
            Topic::Grid => Symptom::Resolution,
            Topic::Replay => Symptom::Replay,
            Topic::Duplicate => Symptom::Duplicate,
            Topic::Unusual if is_answer => Symptom::AnswerRange,
            Topic::Unusual => Symptom::Unusual,
            Topic::Status => Symptom::Status,
            Topic::Age => Symptom::Age,
            Topic::Mix => Symptom::Mix,
            Topic::Pair => Symptom::Contradiction,
            Topic::Residual => Symptom::Residual,
            Topic::Coherence | Topic::Given | Topic::Odds => Symptom::Incoherent,
        })
    }
}

/// How much a symptom speaks for a class, from 0 to 3.
const fn speaks(symptom: Symptom, class: Class) -> f64 {
    use Class::{Fallback, Missing, Model, Population, Schema, Stale, Unit, WrongEntity};
    use Symptom as Is;
    match (symptom, class) {
        (Is::Zero, Fallback) | (Is::Null, Missing) | (Is::Type | Is::Word | Is::Rule, Schema) => 3.0,
        (Is::Stuck | Is::Replay | Is::Duplicate | Is::Age, Stale) => 3.0,
        (Is::Contradiction | Is::AnswerRange | Is::AnswerResolution | Is::NoAnswer, Model) => 3.0,
        (Is::Constant, Fallback) | (Is::Range, Unit) | (Is::Resolution, Schema) => 2.5,
        (Is::Residual, Model) => 2.2,
        (Is::Residual | Is::Incoherent, WrongEntity) | (Is::Range, Fallback) | (Is::Values, Population) => {
            2.0
        }
        (Is::Incoherent | Is::Resolution, Unit) => 1.8,
        (Is::Status, Fallback | Missing | Stale) | (Is::Constant, Stale) | (Is::Values, Unit) => 1.5,
        (Is::Mix, Population) | (Is::Word, Missing) | (Is::ConstantAnswer | Is::Answers, Model) => 1.5,
        (Is::Values, Fallback) => 1.2,
        (Is::Loss, Missing | Population | Schema) | (Is::Constant, Schema) => 1.0,
        (Is::Resolution, Fallback) | (Is::Answers, Population) => 1.0,
        (Is::Unusual, Schema | Fallback | Unit) => 0.8,
        (Is::ConstantAnswer, Population) => 0.7,
        (Is::Zero, Schema) => 0.5,
        _ => 0.0,
    }
}

/// The classes that symptoms speak for, most likely first.
pub(super) fn causes(symptoms: &[Shown]) -> Vec<Cause> {
    // Among thousands of bets some reach nine nats by chance: less is a symptom only where nothing has more.
    let top = symptoms.iter().fold(0.0, |top, s| if s.nats > top { s.nats } else { top });
    let floor = if top - NATS_NEAR < NATS_CHANCE { top - NATS_NEAR } else { NATS_CHANCE };
    let sure = |s: &Shown| ((s.nats - floor) / NATS_SURE).clamp(0.0, 1.0);
    let mut scores: Vec<(Class, f64, Vec<Symptom>)> = CLASSES
        .into_iter()
        .map(|class| {
            let mut told: Vec<(Symptom, f64)> =
                symptoms.iter().map(|s| (s.symptom, sure(s) * speaks(s.symptom, class))).collect();
            told.retain(|(_, score)| *score > 0.0);
            told.sort_by(|a, b| b.1.total_cmp(&a.1));
            let score = told.iter().map(|(_, score)| score).sum();
            (class, score, told.into_iter().map(|(symptom, _)| symptom).collect())
        })
        .collect();
    scores.retain(|(_, score, _)| *score > 0.0);
    scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let all: f64 = scores.iter().map(|(_, score, _)| score).sum();
    scores.into_iter().map(|(class, score, because)| Cause { class, part: score / all, because }).collect()
}
