use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::loss::{Answer, Answers, Loss, Truth};
use crate::detect::limits;
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
    /// Too few rows have waited for their label long enough, and too few of those that wait have one.
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

/// Rows by kind of answers, those whose time for a label is over and those that wait.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settled {
    kinds: BTreeMap<String, Kind>,
}

/// Rows of one kind of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    /// Whether those have a label whose time is over.
    settled: Interval,
    /// Those that wait, and that have their label all the same. Told anew after a restart: a crash loses them.
    #[serde(skip)]
    rows: u64,
    #[serde(skip)]
    labelled: u64,
}

impl Settled {
    /// No kind is ever forgotten, so that a row leaves the entry that it came to.
    fn kind(&mut self, kind: &str) -> &mut Kind {
        let kind = cut_name(kind);
        let is_known = self.kinds.contains_key(kind) || self.kinds.len() < KINDS_MAX;
        self.kinds.entry(if is_known { kind } else { OTHERS }.to_owned()).or_default()
    }

    /// Takes a row that waits from now on.
    pub(super) fn wait(&mut self, kind: &str, is_labelled: bool) {
        let kind = self.kind(kind);
        kind.rows += 1;
        kind.labelled += u64::from(is_labelled);
    }

    /// Takes note that a row that waits has its label.
    pub(super) fn label(&mut self, kind: &str) {
        self.kind(kind).labelled += 1;
    }

    /// Takes a row that waited and whose time is over, with or without a label.
    pub(super) fn leave(&mut self, kind: &str, is_labelled: bool) {
        let of_kind = self.kind(kind);
        of_kind.rows = of_kind.rows.saturating_sub(1);
        of_kind.labelled = of_kind.labelled.saturating_sub(u64::from(is_labelled));
        self.push(kind, is_labelled);
    }

    /// Takes a row that does not wait, with or without a label.
    pub(super) fn push(&mut self, kind: &str, is_labelled: bool) {
        self.kind(kind).settled.push(f64::from(u8::from(is_labelled)));
    }

    pub(super) fn report(&self) -> SkewReport {
        let alpha = ALPHA / count(whole(KINDS_MAX + 1));
        let share = |(name, Kind { settled, .. }): (&String, &Kind)| {
            let (labelled, (lower, upper)) = (settled.mean()?, settled.limits(alpha)?);
            Some(SkewShare { answers: name.clone(), rows: settled.n(), labelled, lower, upper })
        };
        let answers: Vec<SkewShare> = self.kinds.iter().filter_map(share).collect();
        let state = match state(&answers) {
            Skew::TooFewRows if self.are_mostly_labelled(alpha) => Skew::Even,
            known => known,
        };
        SkewReport { state, answers }
    }

    /// Whether so many rows have their label, of every kind and among them those that wait, that no kind can get
    /// labels twice as often as another any more: nobody has to wait for the others to know that.
    fn are_mostly_labelled(&self, alpha: f64) -> bool {
        let pooled = |kind: &Kind| {
            let with_label = kind.settled.mean().map_or(0.0, |mean| mean * count(kind.settled.n()));
            (count(kind.settled.n() + kind.rows), with_label + count(kind.labelled))
        };
        let all: Vec<(f64, f64)> = self.kinds.values().map(pooled).collect();
        let (rows, labels) = all.iter().fold((0.0, 0.0), |(r, l), (rows, labels)| (r + rows, l + labels));
        let mut main = all
            .iter()
            .filter(|(of, with)| *of >= PART_MIN * rows || *with >= PART_MIN * labels)
            .filter(|(of, _)| *of > 0.0)
            .peekable();
        let is_mostly = |(of, with): &(f64, f64)| 1.0 - limits::upper(of - with, *of, alpha) > 1.0 / EVEN;
        main.peek().is_some() && main.all(is_mostly)
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
