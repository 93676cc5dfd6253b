use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::loss::{Answer, Answers, CLASSES_OF_NUMBERS, Loss, Truth, are_classes};
use super::replay::{LOSSES_MAX, Replay};
use super::requests::{Ended, Requests};
use crate::detect::{Promise, limits, mean::upper_mean};
use crate::record::{Batch, Schema};
use crate::units::{Timestamp, ceil, count};

/// Labelled rows that choose the loss where answers are numbers; they are not counted.
const PLAN_ROWS: usize = 200;
/// Classes that are told apart; with more, any label may be one.
const CLASSES_MAX: usize = 100;
/// An error counts as wrong altogether that is so many times the one that nine in ten stay below.
const BOUND_OF_QUANTILE: f64 = 4.0;
/// Losses are counted in steps of this part, each rounded up.
const STEPS: u16 = 4_096;
/// Fewer labelled requests carry no reference.
const REQUESTS_MIN: u64 = 100;
/// In fewer of them a risk that is higher at times would not be seen.
const REPLAYED_MIN: u64 = 1_000;
/// The chance, over baselines, that the risk is above its limit.
const ALPHA: f64 = 0.05;

/// What a model's answers cost in the baseline: the risk that production is held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    #[serde(rename = "of")]
    loss: Loss,
    /// What splits the values of a regression into four; empty for classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    edges: Vec<f64>,
    /// Labelled requests; the rows of one count once.
    requests: u64,
    /// Their losses, each the mean of its rows.
    sum: f64,
    /// Requests by loss, in steps of 1/4096, rounded up.
    losses: BTreeMap<u16, u64>,
    /// Labelled rows of which nobody can say whether they are right.
    unscored: u64,
    /// Whether these requests themselves keep the budget at the limit of their mean.
    #[serde(default, skip_serializing_if = "Replay::is_missing")]
    replay: Replay,
}

impl Reference {
    /// The loss that it is of.
    #[must_use]
    pub const fn loss(&self) -> &Loss {
        &self.loss
    }

    /// Labelled requests.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Labelled rows that could not be scored.
    #[must_use]
    pub const fn unscored(&self) -> u64 {
        self.unscored
    }

    /// The mean loss, from 0 to 1.
    #[must_use]
    pub fn risk(&self) -> f64 {
        self.sum / count(self.requests)
    }

    /// What the risk is at most in health: from 0 to 1. The upper confidence limit of the mean, which 95 % of
    /// baselines keep; or more, where the risk of the baseline itself is so high at times that the limit of its mean
    /// would raise false alarms.
    #[must_use]
    pub fn limit(&self) -> f64 {
        let mean = self.limit_of_mean();
        match self.replay {
            Replay::Raised(limit) if limit > mean => limit,
            Replay::Raised(_) | Replay::Kept | Replay::Missing => mean,
        }
    }

    /// Whether the budget of the alarm is proven for this model, or calibrated on its baseline: proven needs 1,000
    /// labelled requests that, held against the limit of their own mean in their order, keep it.
    #[must_use]
    pub fn promise(&self) -> Promise {
        let is_proven = self.replay == Replay::Kept && self.requests >= REPLAYED_MIN;
        if is_proven { Promise::Proven } else { Promise::Calibrated }
    }

    /// The same in words.
    #[must_use]
    pub fn told_promise(&self) -> String {
        match self.replay {
            Replay::Kept if self.requests >= REPLAYED_MIN => {
                "proven: no labelled request depends on another, as far as can be seen".to_owned()
            }
            Replay::Kept => format!(
                "calibrated: {} labelled requests are too few to see whether the risk is higher at times, expected \
                 {REPLAYED_MIN}",
                self.requests
            ),
            Replay::Raised(limit) => format!(
                "calibrated: the risk is higher at times, so that it is held against {limit:.4} in place of {:.4}",
                self.limit_of_mean()
            ),
            Replay::Missing => "calibrated: the labelled requests were not replayed".to_owned(),
        }
    }

    /// Of losses that are 0 or 1 the limit of a share (Clopper and Pearson), of others that of a mean.
    fn limit_of_mean(&self) -> f64 {
        if self.losses.keys().all(|step| [0, STEPS].contains(step)) {
            return limits::upper(self.sum, count(self.requests), ALPHA);
        }
        let top = (STEPS, 0);
        let has_top = self.losses.contains_key(&STEPS);
        let counted = self.losses.iter().map(|(step, n)| (*step, *n)).chain((!has_top).then_some(top));
        let (losses, counts): (Vec<f64>, Vec<f64>) =
            counted.map(|(step, n)| (part_of(step), count(n))).unzip();
        let limit = upper_mean(&losses, &counts, ALPHA);
        if limit.is_finite() { limit.clamp(0.0, 1.0) } else { 1.0 }
    }

    pub(super) fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// The same requests and those of another baseline; nothing when they are of different losses.
    #[must_use]
    pub fn merged(mut self, other: &Self) -> Option<Self> {
        match (&mut self.loss, &other.loss) {
            // Either may have missed a rare class.
            (Loss::Wrong { classes }, Loss::Wrong { classes: theirs }) => {
                *classes =
                    classes.take().zip(theirs.as_ref()).and_then(|(mine, theirs)| united(mine, theirs));
            }
            (mine, theirs) if mine == theirs => {}
            _ => return None,
        }
        // The limit of both together is tighter than that of either, and nobody replayed it.
        let (mine, theirs) = (self.limit(), other.limit());
        self.replay = Replay::Raised(if mine > theirs { mine } else { theirs });
        self.requests += other.requests;
        self.sum += other.sum;
        self.unscored += other.unscored;
        for (step, n) in &other.losses {
            *self.losses.entry(*step).or_insert(0) += n;
        }
        Some(self)
    }

    /// Why it cannot be used, when it cannot.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let counted: u64 = self.losses.values().sum();
        let fits = counted == self.requests && self.losses.keys().all(|step| *step <= STEPS);
        if !fits || self.requests < REQUESTS_MIN {
            return Err(format!(
                "its labels are of {} requests in {counted} losses, expected {REQUESTS_MIN} or more of both",
                self.requests
            ));
        }
        let is_bound =
            !matches!(self.loss(), Loss::Absolute { bound } if !(bound.is_finite() && *bound > 0.0));
        let is_sum = self.sum.is_finite() && (0.0..=count(self.requests)).contains(&self.sum);
        let is_raised = !matches!(self.replay, Replay::Raised(limit) if !(0.0..=1.0).contains(&limit));
        if is_bound && is_sum && is_raised && self.edges.iter().all(|edge| edge.is_finite()) {
            return Ok(());
        }
        Err("the losses of its labels are no numbers from 0 to 1".to_owned())
    }
}

/// Learns the risk of labelled rows in one pass; rows without a label say nothing.
#[derive(Debug, Clone)]
pub struct ReferenceLearner {
    answers: Answers,
    /// Pairs that choose the loss, until it is chosen.
    plan: Vec<(Answer, Truth)>,
    chosen: Option<(Loss, Vec<f64>)>,
    /// Classes of labels and of answers.
    classes: Vec<Truth>,
    requests: Requests,
    counted: u64,
    sum: f64,
    losses: BTreeMap<u16, u64>,
    /// The first of them in their order, to be replayed.
    in_order: Vec<u16>,
    unscored: u64,
}

impl ReferenceLearner {
    /// Ready for the first row of a schema.
    #[must_use]
    pub fn new(schema: &Arc<Schema>) -> Self {
        let answers = Answers::of(schema);
        Self {
            chosen: answers.loss().map(|loss| (loss, Vec::new())),
            answers,
            plan: Vec::new(),
            classes: Vec::new(),
            requests: Requests::default(),
            counted: 0,
            sum: 0.0,
            losses: BTreeMap::new(),
            in_order: Vec::new(),
            unscored: 0,
        }
    }

    /// Takes the next rows.
    pub fn observe(&mut self, batch: &Batch) {
        for row in 0..batch.len() {
            let Some(label) = batch.meta().label(row) else { continue };
            let answer = self.answers.answer(batch, row);
            match (answer, Truth::of(label)) {
                (Some(answer), Some(truth)) => {
                    let ts = batch.meta().ts().get(row).copied();
                    let ts = ts.unwrap_or(Timestamp::from_micros(0));
                    self.take(batch.meta().request_id(row), (answer, truth), ts);
                }
                _ => self.unscored += 1,
            }
        }
    }

    fn take(&mut self, request: Option<&str>, (answer, truth): (Answer, Truth), ts: Timestamp) {
        let Some((loss, _)) = &self.chosen else {
            self.plan.push((answer, truth));
            if self.plan.len() >= PLAN_ROWS {
                self.choose();
            }
            return;
        };
        let Some(found) = loss.of(&self.answers, &answer, &truth) else {
            self.unscored += 1;
            return;
        };
        if matches!(loss, Loss::Wrong { .. }) {
            self.note_class(truth);
            if let Answer::Value(said) = answer {
                self.note_class(said);
            }
        }
        let ended = self.requests.push(request, found, ts);
        self.count(ended);
    }

    fn note_class(&mut self, class: Truth) {
        // One more than are told apart says that there are too many.
        if self.classes.len() <= CLASSES_MAX && !self.classes.contains(&class) {
            self.classes.push(class);
        }
    }

    fn count(&mut self, ended: Option<Ended>) {
        let Some(Ended { loss, .. }) = ended else { return };
        self.counted += 1;
        self.sum += loss;
        *self.losses.entry(step_of(loss)).or_insert(0) += 1;
        if self.in_order.len() < LOSSES_MAX {
            self.in_order.push(step_of(loss));
        }
    }

    /// Whether numbers are classes, and which error is a large one.
    fn choose(&mut self) {
        let plan = std::mem::take(&mut self.plan);
        let values: Vec<&Truth> = plan
            .iter()
            .flat_map(|(answer, truth)| match answer {
                Answer::Value(said) => vec![said, truth],
                Answer::Chance(_) | Answer::Chances(_) => vec![truth],
            })
            .collect();
        if are_classes(values, CLASSES_OF_NUMBERS) {
            self.chosen = Some((Loss::Wrong { classes: None }, Vec::new()));
            for (answer, truth) in plan {
                self.note_class(truth);
                if let Answer::Value(said) = answer {
                    self.note_class(said);
                }
            }
            return;
        }
        let pairs = plan.iter().filter_map(|(answer, truth)| match (answer, truth) {
            (Answer::Value(Truth::Number(said)), Truth::Number(truth)) => Some((*said, *truth)),
            _ => None,
        });
        let (said, mut errors): (Vec<f64>, Vec<f64>) =
            pairs.map(|(said, truth)| (said, (said - truth).abs())).unzip();
        errors.sort_by(f64::total_cmp);
        let usual = errors.get(errors.len() * 9 / 10).copied().filter(|error| *error > 0.0);
        let bound = usual.or_else(|| errors.last().copied()).filter(|error| *error > 0.0);
        // Where every one of them was right, nothing says which error is large: the next ones may.
        if let Some(bound) = bound {
            self.chosen = Some((Loss::Absolute { bound: BOUND_OF_QUANTILE * bound }, quarters(said)));
        }
    }

    /// The reference, where enough requests had a label.
    #[must_use]
    pub fn finish(mut self) -> Option<Reference> {
        let ended = self.requests.end();
        self.count(ended);
        let (mut loss, edges) = self.chosen?;
        if let Loss::Wrong { classes } = &mut loss {
            *classes = (self.classes.len() <= CLASSES_MAX).then_some(self.classes);
        }
        let reference = Reference {
            loss,
            edges,
            requests: self.counted,
            sum: self.sum,
            losses: self.losses,
            unscored: self.unscored,
            replay: Replay::Missing,
        };
        if reference.requests < REQUESTS_MIN {
            return None;
        }
        let in_order: Vec<f64> = self.in_order.iter().map(|step| part_of(*step)).collect();
        let replay = Replay::of(&in_order, reference.limit_of_mean());
        Some(Reference { replay, ..reference })
    }
}

/// Classes of either; nothing when they are too many.
fn united(mut mine: Vec<Truth>, theirs: &[Truth]) -> Option<Vec<Truth>> {
    for class in theirs {
        if !mine.contains(class) {
            mine.push(class.clone());
        }
    }
    (mine.len() <= CLASSES_MAX).then_some(mine)
}

/// A loss in steps, rounded up.
fn step_of(loss: f64) -> u16 {
    u16::try_from(ceil(loss.clamp(0.0, 1.0) * f64::from(STEPS))).unwrap_or(STEPS)
}

/// A loss that was counted in steps.
fn part_of(step: u16) -> f64 {
    f64::from(step) / f64::from(STEPS)
}

/// The values that split others into four, each once.
fn quarters(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values.get(values.len() * part / 4).copied();
    let mut edges: Vec<f64> = [1, 2, 3].into_iter().filter_map(at).collect();
    edges.dedup();
    edges
}
