use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::{Batch, Cell, Role, Scalar, Schema};

/// A longer word is no label: it would fill the memory of rows that wait for theirs.
const WORD_BYTES_MAX: usize = 256;
/// Whole numbers of so many different values are classes.
pub(super) const CLASSES_OF_NUMBERS: usize = 20;

/// What turned out to be right, in one spelling: `1`, `1.0`, `"1"` and `true` are the same class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Truth {
    /// A finite number; `true` is 1 and `false` is 0.
    Number(f64),
    /// A word, without the spaces around it.
    Word(String),
}

impl Truth {
    /// The truth that a scalar spells; nothing for null, what is no scalar, no finite number, or too long.
    #[must_use]
    pub fn of(scalar: &Scalar) -> Option<Self> {
        match scalar {
            Scalar::Bool(is_true) => Some(Self::Number(f64::from(u8::from(*is_true)))),
            Scalar::Number(number) => Self::number(*number),
            Scalar::Text(text) => Self::word(text),
            Scalar::Null | Scalar::Vector(_) | Scalar::Nested => None,
        }
    }

    fn number(number: f64) -> Option<Self> {
        // Zero has one sign.
        number.is_finite().then_some(Self::Number(number + 0.0))
    }

    fn word(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.len() > WORD_BYTES_MAX {
            return None;
        }
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Some(Self::Number(f64::from(u8::from(text.eq_ignore_ascii_case("true")))));
        }
        match text.parse::<f64>() {
            // `nan` and `inf` are no class either.
            Ok(number) => Self::number(number),
            Err(_) => Some(Self::Word(text.to_owned())),
        }
    }

    /// What it takes in memory beside itself, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        match self {
            Self::Number(_) => 0,
            Self::Word(word) => word.len(),
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self, Self::Number(number) if number.fract().abs() <= 0.0)
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => word.fmt(f),
        }
    }
}

/// What a model answered for one row, as far as a label can be held against it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A class, or the value of a regression.
    Value(Truth),
    /// The chance of class 1.
    Chance(f64),
    /// One chance a class, in the order of [`Answers`].
    Chances(Vec<f64>),
}

impl Answer {
    /// What it takes in memory beside itself, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        match self {
            Self::Value(value) => value.bytes(),
            Self::Chance(_) => 0,
            Self::Chances(chances) => chances.len() * size_of::<f64>(),
        }
    }
}

/// Where a schema's rows have the answers that labels are held against: the column `prediction`; without one
/// the columns `prob_<class>`; without those `score`, the chance of class 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    from: From,
    /// The classes of `prob_<class>`.
    classes: Vec<Truth>,
}

#[derive(Debug, Clone, PartialEq)]
enum From {
    /// The column, and whether it holds numbers.
    Prediction(usize, bool),
    Chances(Vec<usize>),
    Score(usize),
    Nothing,
}

impl Answers {
    /// Those of a schema.
    #[must_use]
    pub fn of(schema: &Schema) -> Self {
        let outputs = || schema.columns.iter().enumerate().filter(|(_, column)| column.role == Role::Output);
        let named = |name: &str| outputs().find(|(_, column)| column.name == name);
        if let Some((place, column)) = named("prediction") {
            return Self { from: From::Prediction(place, column.kind.is_numeric()), classes: Vec::new() };
        }
        let class = |name: &str| Truth::word(name.strip_prefix("prob_")?);
        let chances: Vec<(usize, Truth)> =
            outputs().filter_map(|(place, column)| Some((place, class(&column.name)?))).collect();
        if chances.len() > 1 {
            let (places, classes) = chances.into_iter().unzip();
            return Self { from: From::Chances(places), classes };
        }
        let from = named("score").map_or(From::Nothing, |(place, _)| From::Score(place));
        Self { from, classes: Vec::new() }
    }

    /// The column that a harmful shift is told of.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.from {
            From::Score(_) => "score",
            From::Prediction(..) | From::Chances(_) | From::Nothing => "prediction",
        }
    }

    /// The answer of a row; nothing where the model gave none, or one that says nothing.
    #[must_use]
    pub fn answer(&self, batch: &Batch, row: usize) -> Option<Answer> {
        let cell = |place: usize| batch.columns().get(place).map(|cells| cells.cell(row));
        let chance = |place: usize| match cell(place) {
            Some(Cell::Number(chance)) if (0.0..=1.0).contains(&chance) => Some(chance),
            _ => None,
        };
        match &self.from {
            From::Prediction(place, _) => match cell(*place)? {
                Cell::Number(number) => Truth::number(number).map(Answer::Value),
                Cell::Text(word) => Truth::word(word).map(Answer::Value),
                Cell::Null | Cell::WrongType => None,
            },
            From::Chances(places) => {
                places.iter().map(|place| chance(*place)).collect::<Option<_>>().map(Answer::Chances)
            }
            From::Score(place) => chance(*place).map(Answer::Chance),
            From::Nothing => None,
        }
    }

    /// The loss that needs no rows to be chosen: none for numbers, which may be classes or values.
    #[must_use]
    pub fn loss(&self) -> Option<Loss> {
        match &self.from {
            From::Prediction(_, false) => Some(Loss::Wrong { classes: None }),
            From::Chances(_) | From::Score(_) => Some(Loss::Brier),
            From::Prediction(_, true) | From::Nothing => None,
        }
    }

    /// The class or the value that an answer amounts to: the likeliest class where it is made of chances, the first of
    /// those that are as likely; class 1 from a chance of 0.5.
    #[must_use]
    pub fn said(&self, answer: &Answer) -> Option<Truth> {
        match answer {
            Answer::Value(value) => Some(value.clone()),
            Answer::Chance(chance) => Some(Truth::Number(if *chance >= 0.5 { 1.0 } else { 0.0 })),
            Answer::Chances(chances) => {
                let places = chances.iter().enumerate().rev();
                let likeliest = places.max_by(|a, b| a.1.total_cmp(b.1));
                likeliest.and_then(|(place, _)| self.class(place)).cloned()
            }
        }
    }

    /// Whether answers are classes rather than values, given some labels and answers: words and chances are, and so are
    /// whole numbers of a few different values.
    #[must_use]
    pub fn are_classes<'a>(&self, values: impl IntoIterator<Item = &'a Truth>) -> bool {
        self.loss().is_some() || are_classes(values, CLASSES_OF_NUMBERS)
    }

    /// Whether there is anything to hold a label against.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.from != From::Nothing
    }

    /// The class of `prob_<class>` at a place.
    pub(super) fn class(&self, place: usize) -> Option<&Truth> {
        self.classes.get(place)
    }
}

/// What an answer costs against its label: from 0, right, to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "loss")]
pub enum Loss {
    /// 1 for another class than the true one.
    Wrong {
        /// The classes of the baseline's labels and answers. A label of none of them is not scored: it may be
        /// a new class, or the same classes in another spelling. Null when there are too many to tell.
        classes: Option<Vec<Truth>>,
    },
    /// The squared distance of the chances from the truth, halved where there is one a class (Brier, 1950).
    Brier,
    /// The absolute error, clipped at `bound` and divided by it.
    Absolute {
        /// An error that counts as wrong altogether; above 0.
        bound: f64,
    },
}

impl Loss {
    /// Its name in documents.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Wrong { .. } => "wrong",
            Self::Brier => "brier",
            Self::Absolute { .. } => "absolute_error",
        }
    }

    /// The loss of one answer against its label, from 0 to 1; nothing when the two cannot be compared.
    #[must_use]
    pub fn of(&self, answers: &Answers, answer: &Answer, truth: &Truth) -> Option<f64> {
        let loss = match (self, answer, truth) {
            (Self::Wrong { classes }, Answer::Value(said), truth) => {
                let is_known = classes.as_ref().is_none_or(|classes| classes.contains(truth));
                is_known.then(|| f64::from(u8::from(said != truth)))
            }
            (Self::Brier, Answer::Chance(chance), Truth::Number(truth)) => {
                let is_class = [Truth::Number(0.0), Truth::Number(1.0)].contains(&Truth::Number(*truth));
                is_class.then(|| (truth - chance) * (truth - chance))
            }
            (Self::Brier, Answer::Chances(chances), truth) => {
                let is_true: Vec<bool> = answers.classes.iter().map(|class| class == truth).collect();
                let distance = |(chance, is_true): (&f64, &bool)| {
                    let away = f64::from(u8::from(*is_true)) - chance;
                    away * away
                };
                let sum: f64 = chances.iter().zip(&is_true).map(distance).sum();
                is_true.contains(&true).then_some(sum / 2.0)
            }
            (Self::Absolute { bound }, Answer::Value(Truth::Number(said)), Truth::Number(truth)) => {
                Some((said - truth).abs() / bound)
            }
            _ => None,
        };
        // Chances that do not add up to 1 may be farther away than any should.
        loss.filter(|loss| loss.is_finite()).map(|loss| loss.clamp(0.0, 1.0))
    }
}

/// Whether numbers are classes rather than values: whole, and few of them.
pub(super) fn are_classes<'a>(values: impl IntoIterator<Item = &'a Truth>, most: usize) -> bool {
    let mut known: Vec<&Truth> = Vec::new();
    for value in values {
        if matches!(value, Truth::Number(_)) && !value.is_whole() {
            return false;
        }
        if !known.contains(&value) {
            known.push(value);
        }
        if known.len() > most {
            return false;
        }
    }
    true
}
