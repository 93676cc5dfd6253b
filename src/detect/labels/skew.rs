use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::loss::{Answer, Answers, Loss, Truth};
use crate::record::cut_name;
use crate::units::{count, whole};

/// Kinds of answers told apart; further ones share an entry.
const KINDS_MAX: usize = 8;
const OTHERS: &str = "(others)";
/// The chance that labels are ever called skewed that are not.
const ALPHA: f64 = 0.05;
/// Labels that surely come so many times as often for one kind of answers as for another are skewed.
const SKEWED: f64 = 1.5;
/// They are even when they surely come less than so many times as often.
const EVEN: f64 = 2.0;
/// Kinds with a smaller part of the rows and of the labels do not keep the others from being even.
const PART_MIN: f64 = 0.05;

/// Whether labels come for all kinds of answers alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Skew {
    /// Less than twice as often for any kind of answers as for another.
    Even,
    /// Surely one and a half times as often for one kind of answers as for another: what labels say of the
    /// model is not true of all its rows.
    Skewed,
    /// Too few rows have waited for their label long enough.
    TooFewRows,
}

/// How labels come.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SkewReport {
    /// Whether for all kinds of answers alike.
    pub state: Skew,
    /// By kind of answers; of rows that wait no longer.
    pub answers: Vec<SkewShare>,
}

/// How often one kind of answers gets a label.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SkewShare {
    /// A class, or a range of scores or values.
    pub answers: String,
    /// Rows that had the time to get one.
    pub rows: u64,
    /// The share of them that did.
    pub labelled: f64,
    /// Limits of that share, for all kinds and times at once.
    pub lower: f64,
    /// The upper one.
    pub upper: f64,
}

/// Rows whose time for a label is over, by kind of answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settled {
    kinds: BTreeMap<String, Interval>,
}

impl Settled {
    /// Takes a row whose time is over, with or without a label.
    pub(super) fn push(&mut self, kind: &str, is_labelled: bool) {
        let kind = cut_name(kind);
        let is_known = self.kinds.contains_key(kind) || self.kinds.len() < KINDS_MAX;
        let kind = if is_known { kind } else { OTHERS };
        let loss = f64::from(u8::from(is_labelled));
        self.kinds.entry(kind.to_owned()).or_default().push(loss);
    }

    pub(super) fn report(&self) -> SkewReport {
        let alpha = ALPHA / count(whole(KINDS_MAX + 1));
        let share = |(name, kind): (&String, &Interval)| {
            let (labelled, (lower, upper)) = (kind.mean()?, kind.limits(alpha)?);
            Some(SkewShare { answers: name.clone(), rows: kind.n(), labelled, lower, upper })
        };
        let answers: Vec<SkewShare> = self.kinds.iter().filter_map(share).collect();
        SkewReport { state: state(&answers), answers }
    }
}

fn state(shares: &[SkewShare]) -> Skew {
    let pairs = || shares.iter().flat_map(|one| shares.iter().map(move |two| (one, two)));
    if pairs().any(|(often, seldom)| often.lower > SKEWED * seldom.upper) {
        return Skew::Skewed;
    }
    let labelled = |share: &SkewShare| share.labelled * count(share.rows);
    let (rows, labels): (u64, f64) = (shares.iter().map(|s| s.rows).sum(), shares.iter().map(labelled).sum());
    let counts = |share: &&SkewShare| {
        count(share.rows) >= PART_MIN * count(rows) || labelled(share) >= PART_MIN * labels
    };
    let main: Vec<&SkewShare> = shares.iter().filter(counts).collect();
    let is_even = |(often, seldom): (&&SkewShare, &&SkewShare)| {
        std::ptr::eq(*often, *seldom) || often.upper < EVEN * seldom.lower
    };
    // Of one kind alone it is still known how often it has a label only when it ever has one.
    let all = main.iter().all(|one| one.lower > 0.0 && main.iter().all(|two| is_even((one, two))));
    if !main.is_empty() && all { Skew::Even } else { Skew::TooFewRows }
}

/// The kind of an answer, for people: its class, or the range that it falls into.
pub(super) fn kind_of(loss: &Loss, answers: &Answers, edges: &[f64], answer: &Answer) -> String {
    match (loss, answer) {
        (Loss::Absolute { .. }, Answer::Value(Truth::Number(value))) => range(edges, *value),
        (_, Answer::Value(value)) => value.to_string(),
        (_, Answer::Chance(chance)) => range(&[0.25, 0.5, 0.75], *chance),
        (_, Answer::Chances(chances)) => {
            let likeliest = chances.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            let class = likeliest.and_then(|(place, _)| answers.class(place));
            class.map_or_else(|| OTHERS.to_owned(), ToString::to_string)
        }
    }
}

fn range(edges: &[f64], value: f64) -> String {
    let above = edges.iter().rfind(|edge| value >= **edge);
    let below = edges.iter().find(|edge| value < **edge);
    match (above, below) {
        (None, None) => "all".to_owned(),
        (None, Some(to)) => format!("< {to}"),
        (Some(from), Some(to)) => format!("{from} to {to}"),
        (Some(from), None) => format!(">= {from}"),
    }
}
