//! What a model's answers are worth: estimated without labels, beside what turned out where labels are.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::Array2;
use serde::Serialize;

use super::sample::{Chance, Layout, Row, bounded, matrix};
use super::{Figure, Parts, SEED, Sides, told};
use crate::detect::{
    Cbpe, DirectLoss, EstimatedPerformance, NoEstimate, ScoredRow, Truth, label_shift, realised_performance,
};
use crate::units::{count, whole};

/// Classes whose shares are told, at the most.
const CLASSES_MAX: usize = 100;

/// What each estimate takes for granted: where it is not so, the figure may look better than ever.
const OF_CHANCES: &str = "a chance means what it meant in the reference: not where features are lost or wrong, or answers not of their rows";
const OF_LOSSES: &str =
    "features and answers tell of the loss what they told in the reference: not where they are lost or wrong";
const OF_MIXES: &str = "only the mix of classes changed, and each class looks as ever";

/// What answers are worth, told without labels where the reference has some.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EstimatedHarm {
    /// Of a classifier of two classes, by its chances (CBPE).
    pub classifier: Classifier,
    /// The mean loss of any model, by its features and answers (direct estimation).
    pub loss: MeanLoss,
    /// The mix of true classes, by the answers (black-box shift estimation).
    pub classes: ClassShares,
}

/// What is expected, and what the labels of the same rows say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Beside {
    /// Estimated without labels.
    pub expected: Figure,
    /// Counted, of the rows that have one.
    pub realised: Figure,
}

/// Performance of a classifier of two classes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classifier {
    /// What it takes for granted.
    pub assumes: &'static str,
    /// The class whose chance is known: the positive one.
    pub positive: Option<String>,
    /// The column that holds its chance.
    pub chance: Option<String>,
    /// The share of right answers.
    pub accuracy: Sides<Beside>,
    /// The share of the positive answers that is right.
    pub precision: Sides<Beside>,
    /// The share of the positives that was found.
    pub recall: Sides<Beside>,
    /// The harmonic mean of the two.
    pub f1: Sides<Beside>,
    /// The chance that a positive has a higher score than a negative.
    pub roc_auc: Sides<Beside>,
    /// Rows with a chance beyond all that were learnt from, which count as the nearest of those.
    pub beyond: Sides<Option<u64>>,
    /// Rows without a chance or an answer, which are left out.
    pub rows_left_out: Sides<u64>,
}

/// The mean loss of answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeanLoss {
    /// What it takes for granted.
    pub assumes: &'static str,
    /// `wrong`: 1 for another class than the true one; `absolute_error` of numbers; absent where no label tells which.
    pub of: Option<&'static str>,
    /// The share of the variance of losses that can be foreseen. Near 0 or below, what is expected is the mean of the
    /// reference whatever comes.
    pub foreseen: Figure,
    /// The mean loss.
    pub mean: Sides<Beside>,
    /// Rows with an infinite number, which are left out of what is expected.
    pub rows_left_out: Sides<u64>,
    /// Labelled rows whose answer cannot be held against the label.
    pub unscored: Sides<u64>,
}

/// Shares of true classes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassShares {
    /// What it takes for granted.
    pub assumes: &'static str,
    /// Why no class is known; absent where classes are.
    pub unknown: Option<String>,
    /// Every class of the reference's labels and answers.
    pub classes: Vec<ClassShare>,
    /// Rows whose answer is none of these classes, or missing.
    pub rows_left_out: Sides<u64>,
}

/// The share of rows that are truly of a class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassShare {
    /// The class.
    pub class: String,
    /// Its share, from 0 to 1.
    pub share: Sides<Beside>,
    /// Whether the expected share came out negative and counts as 0: more changed than the mix of classes then.
    pub clipped: Sides<Option<bool>>,
}

impl EstimatedHarm {
    pub(super) fn of(layout: &Layout, parts: &Parts<'_>) -> Self {
        let answers = Answered::of(layout, parts);
        Self {
            classifier: classifier(layout, parts, &answers),
            loss: mean_loss(layout, parts, &answers),
            classes: class_shares(parts, &answers),
        }
    }
}

/// What answers are held against.
struct Answered {
    /// What the answers are, or why nobody knows.
    kind: Result<Kind, String>,
    /// The part of the reference whose labels say what turned out.
    held: &'static str,
    /// Whether there is anything to learn from.
    is_learnable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Classes,
    Values,
}

impl Answered {
    /// What the answers are, told by the labels of the reference; where it has none, by those of the input.
    fn of(layout: &Layout, parts: &Parts<'_>) -> Self {
        fn labelled<'a>(rows: &[&'a [Row]]) -> Vec<&'a Row> {
            rows.iter().copied().flatten().filter(|row| row.truth.is_some()).collect()
        }
        let reference = labelled(&[parts.fitted, parts.held]);
        let is_learnable = !reference.is_empty();
        let rows = if is_learnable { reference } else { labelled(&[parts.input]) };
        let kind = if !layout.answers.is_there() {
            Err("no answer is known, expected a column `prediction`, `score` or `prob_<class>`".to_owned())
        } else if rows.is_empty() {
            Err(no_label("reference"))
        } else {
            let values = rows.iter().flat_map(|row| [row.truth.as_ref(), row.said.as_ref()]).flatten();
            Ok(if layout.answers.are_classes(values) { Kind::Classes } else { Kind::Values })
        };
        let held = if is_learnable { "held part of the reference" } else { "reference" };
        Self { kind, held, is_learnable }
    }

    /// The classes only, or why there are none.
    fn classes(&self) -> Result<(), String> {
        match &self.kind {
            Ok(Kind::Classes) => Ok(()),
            Ok(Kind::Values) => Err("the answers are values, expected classes".to_owned()),
            Err(why) => Err(why.clone()),
        }
    }

    /// Whether there are labels to learn from.
    fn learnable(&self) -> Result<(), String> {
        if self.is_learnable { Ok(()) } else { Err(no_label("reference")) }
    }

    /// What turned out, of each side with its name.
    fn realised<T>(
        &self,
        parts: &Parts<'_>,
        of: impl Fn(&[Row], &'static str) -> Result<T, String>,
    ) -> Sides<Result<T, String>> {
        let of = |rows: &[Row], side| {
            if rows.iter().any(|row| row.truth.is_some()) { of(rows, side) } else { Err(no_label(side)) }
        };
        Sides { reference: of(parts.held, self.held), input: of(parts.input, "input") }
    }
}

fn no_label(side: &str) -> String {
    format!("no row of the {side} has a label")
}

/// Both sides, the reference by its held part.
fn both<T>(parts: &Parts<'_>, of: impl Fn(&[Row]) -> T) -> Sides<T> {
    Sides { reference: of(parts.held), input: of(parts.input) }
}

/// Two classes, and the chance of one of them.
struct Binary<'a> {
    chance: &'a Chance,
    classes: BTreeSet<String>,
}

impl<'a> Binary<'a> {
    fn of(layout: &'a Layout, parts: &Parts<'_>, answers: &Answered) -> Result<Self, String> {
        answers.classes()?;
        let chance = layout.chance.as_ref().map_err(Clone::clone)?;
        let labelled =
            if answers.is_learnable { [parts.fitted, parts.held] } else { [parts.input, parts.input] };
        let truths = labelled.into_iter().flatten().filter_map(|row| row.truth.as_ref());
        let classes: BTreeSet<String> = truths.map(ToString::to_string).collect();
        let positive = chance.positive.to_string();
        if classes.len() > 2 {
            return Err(format!("the labels are of {} classes, expected 2", classes.len()));
        }
        if classes.len() == 2 && !classes.contains(&positive) {
            let (labels, column) = (classes.into_iter().collect::<Vec<_>>().join("`, `"), &chance.column);
            return Err(format!(
                "the labels are `{labels}`, expected `{positive}`, which `{column}` is the chance of"
            ));
        }
        Ok(Self { chance, classes })
    }

    fn scored(&self, row: &Row) -> Option<ScoredRow> {
        Some(ScoredRow { score: row.chance?, predicted: row.said.as_ref()? == &self.chance.positive })
    }

    /// Rows with a label of one of the two classes, and whether it is the positive one.
    fn labelled(&self, rows: &[Row]) -> (Vec<ScoredRow>, Vec<bool>) {
        let labelled = |row: &Row| {
            let truth = row.truth.as_ref()?;
            let is_known = self.classes.contains(&truth.to_string());
            is_known.then_some((self.scored(row)?, *truth == self.chance.positive))
        };
        rows.iter().filter_map(labelled).unzip()
    }
}

fn classifier(layout: &Layout, parts: &Parts<'_>, answers: &Answered) -> Classifier {
    let binary = Binary::of(layout, parts, answers);
    let fitted = binary.as_ref().map_err(Clone::clone).and_then(|binary| {
        answers.learnable()?;
        let (scored, labels) = binary.labelled(parts.fitted);
        let scores: Vec<f64> = scored.iter().map(|row| row.score).collect();
        Cbpe::fit(&scores, &labels).map_err(|why| format!("to learn from: {}", told(&why)))
    });
    let expected = both(parts, |rows| {
        let cbpe = fitted.as_ref().map_err(Clone::clone)?;
        let binary = binary.as_ref().map_err(Clone::clone)?;
        let scored: Vec<ScoredRow> = rows.iter().filter_map(|row| binary.scored(row)).collect();
        cbpe.estimate(&scored).map_err(|why| told(&why))
    });
    let realised = answers.realised(parts, |rows, side| {
        let binary = binary.as_ref().map_err(Clone::clone)?;
        let (scored, labels) = binary.labelled(rows);
        if scored.is_empty() {
            return Err(format!("no row of the {side} has a chance, an answer and a label of a known class"));
        }
        realised_performance(&scored, &labels).map_err(|why| told(&why))
    });
    let measure = |of: fn(&EstimatedPerformance) -> Result<f64, NoEstimate>| {
        let figure = |performance: &Result<EstimatedPerformance, String>| match performance {
            Ok(performance) => Figure::from(of(performance)),
            Err(why) => Figure::unknown(why),
        };
        beside(&expected.map(figure), &realised.map(figure))
    };
    let beyond = |expected: &Result<EstimatedPerformance, String>| expected.as_ref().ok().map(|of| of.beyond);
    Classifier {
        assumes: OF_CHANCES,
        positive: binary.as_ref().ok().map(|binary| binary.chance.positive.to_string()),
        chance: binary.as_ref().ok().map(|binary| binary.chance.column.clone()),
        accuracy: measure(|of| Ok(of.accuracy)),
        precision: measure(|of| of.precision.clone()),
        recall: measure(|of| of.recall.clone()),
        f1: measure(|of| of.f1.clone()),
        roc_auc: measure(|of| of.roc_auc.clone()),
        beyond: expected.map(beyond),
        rows_left_out: both(parts, |rows| {
            whole(rows.iter().filter(|row| row.chance.is_none() || row.said.is_none()).count())
        }),
    }
}

fn beside(expected: &Sides<Figure>, realised: &Sides<Figure>) -> Sides<Beside> {
    let pair = |expected: &Figure, realised: &Figure| Beside {
        expected: expected.clone(),
        realised: realised.clone(),
    };
    Sides {
        reference: pair(&expected.reference, &realised.reference),
        input: pair(&expected.input, &realised.input),
    }
}

/// The loss of a row; nothing where its answer cannot be held against its label.
fn loss_of(kind: Kind, row: &Row) -> Option<f64> {
    match (kind, row.said.as_ref()?, row.truth.as_ref()?) {
        (Kind::Classes, said, truth) => Some(if said == truth { 0.0 } else { 1.0 }),
        (Kind::Values, Truth::Number(said), Truth::Number(truth)) => Some((said - truth).abs()),
        (Kind::Values, ..) => None,
    }
}

fn mean_loss(layout: &Layout, parts: &Parts<'_>, answers: &Answered) -> MeanLoss {
    let width = layout.width();
    let places: Vec<usize> = (0..width).collect();
    let kind = &answers.kind;
    let fitted = kind.clone().and_then(|kind| {
        answers.learnable()?;
        let labelled = parts.fitted.iter().filter(|row| loss_of(kind, row).is_some());
        let (rows, _) = bounded(labelled, width);
        let losses: Vec<f64> = rows.iter().filter_map(|row| loss_of(kind, row)).collect();
        let fitted = DirectLoss::fit(matrix(&rows, &places).view(), &losses, SEED);
        fitted.map_err(|why| match why {
            // What is learnt from are losses.
            NoEstimate::TargetNeverVaries { value } => {
                format!("to learn from: the loss is {value} in every row, expected one that varies")
            }
            why => format!("to learn from: {}", told(&why)),
        })
    });
    let expected = both(parts, |rows| {
        let fitted = fitted.as_ref().map_err(Clone::clone)?;
        let (rows, _) = bounded(rows, width);
        fitted.estimate(matrix(&rows, &places).view()).map_err(|why| told(&why))
    });
    let realised = answers.realised(parts, |rows, side| {
        let kind = kind.clone()?;
        let losses: Vec<f64> = rows.iter().filter_map(|row| loss_of(kind, row)).collect();
        if losses.is_empty() {
            return Err(format!("no label of the {side} can be held against its answer"));
        }
        Ok(losses.iter().sum::<f64>() / count(whole(losses.len())))
    });
    MeanLoss {
        assumes: OF_LOSSES,
        of: kind.as_ref().ok().map(|kind| match kind {
            Kind::Classes => "wrong",
            Kind::Values => "absolute_error",
        }),
        foreseen: Figure::from(fitted.as_ref().map(DirectLoss::foreseen)),
        mean: beside(
            &expected.map(|of| Figure::from(of.clone())),
            &realised.map(|of| Figure::from(of.clone())),
        ),
        rows_left_out: both(parts, |rows| bounded(rows, width).1),
        unscored: both(parts, |rows| {
            let is_unscored = |row: &&Row| {
                row.truth.is_some() && kind.as_ref().ok().and_then(|kind| loss_of(*kind, row)).is_none()
            };
            whole(rows.iter().filter(is_unscored).count())
        }),
    }
}

fn class_shares(parts: &Parts<'_>, answers: &Answered) -> ClassShares {
    let classes =
        answers.classes().and_then(|()| answers.learnable()).and_then(|()| classes_of(parts.fitted));
    let (classes, unknown) = match classes {
        Ok(classes) => (classes, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let places: BTreeMap<&str, usize> =
        classes.iter().enumerate().map(|(at, class)| (class.as_str(), at)).collect();
    let place = |of: Option<&Truth>| places.get(of?.to_string().as_str()).copied();
    let mut confusion = Array2::<u64>::zeros((classes.len(), classes.len()));
    for row in parts.fitted {
        if let Some(cell) = place(row.said.as_ref()).zip(place(row.truth.as_ref()))
            && let Some(cell) = confusion.get_mut(cell)
        {
            *cell += 1;
        }
    }
    let expected = both(parts, |rows| {
        let mut predicted = vec![0; classes.len()];
        for at in rows.iter().filter_map(|row| place(row.said.as_ref())) {
            predicted.get_mut(at).into_iter().for_each(|rows| *rows += 1);
        }
        label_shift(confusion.view(), &predicted).map_err(|why| match why {
            NoEstimate::ClassWithoutRows { class } => {
                let name = usize::try_from(class).ok().and_then(|class| classes.get(class));
                name.map_or_else(|| why.to_string(), |name| format!("no label of the reference is `{name}`"))
            }
            _ => told(&why),
        })
    });
    let truly = answers.realised(parts, |rows, _| {
        let labelled = rows.iter().filter(|row| row.truth.is_some());
        Ok(labelled.map(|row| place(row.truth.as_ref())).collect::<Vec<Option<usize>>>())
    });
    let share = |at: usize| {
        let of_estimate = |of: &Result<crate::detect::LabelShift, String>| match of {
            Ok(shift) => Figure::from(shift.shares.get(at).copied().ok_or("no such class")),
            Err(why) => Figure::unknown(why),
        };
        let of_labels = |of: &Result<Vec<Option<usize>>, String>| match of {
            Ok(labelled) => {
                let rows = labelled.iter().filter(|place| **place == Some(at)).count();
                Figure::known(count(whole(rows)) / count(whole(labelled.len())))
            }
            Err(why) => Figure::unknown(why),
        };
        beside(&expected.map(of_estimate), &truly.map(of_labels))
    };
    let told = classes.iter().enumerate().map(|(at, class)| ClassShare {
        class: class.clone(),
        share: share(at),
        clipped: expected.map(|of| of.as_ref().ok().map(|shift| shift.clipped.contains(&at))),
    });
    ClassShares {
        assumes: OF_MIXES,
        classes: told.collect(),
        unknown,
        rows_left_out: both(parts, |rows| {
            whole(rows.iter().filter(|row| place(row.said.as_ref()).is_none()).count())
        }),
    }
}

/// The classes of labels and answers, in the order of their names.
fn classes_of(rows: &[Row]) -> Result<Vec<String>, String> {
    let labelled = rows.iter().filter(|row| row.truth.is_some());
    let named = labelled.flat_map(|row| [row.truth.as_ref(), row.said.as_ref()]).flatten();
    let classes: BTreeSet<String> = named.map(ToString::to_string).collect();
    match classes.len() {
        0 => Err("no row to learn from has a label".to_owned()),
        all if all > CLASSES_MAX => Err(format!("{all} classes, expected at most {CLASSES_MAX}")),
        _ => Ok(classes.into_iter().collect()),
    }
}
