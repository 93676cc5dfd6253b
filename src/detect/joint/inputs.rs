//! Features as rows of numbers: what trees and regressions read.

use serde::{Deserialize, Serialize};

use super::sample::Sampled;
use crate::detect::bins::Bin;
use crate::detect::cut::Code;
use crate::detect::normal;
use crate::detect::trees::{cell, origin};
use crate::record::{Cell, Cells, Values};
use crate::units::{count, single, whole};

/// Features that relations are fitted over, at the most: the first ones that vary.
pub(super) const INPUTS_MAX: usize = 256;
/// Places of a number among the sample's, told apart for its normal score.
const RANKS: usize = 128;

/// The features of a model, in the order of its trees.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Inputs {
    pub(super) columns: Vec<Input>,
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Input {
    pub(super) position: usize,
    /// None for numbers; else by bin of the column's stream, where the bin says something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by_code: Option<Vec<Option<f32>>>,
    /// What trees read numbers less of; baselines from before there was one have them as they are.
    #[serde(default, skip_serializing_if = "is_zero")]
    origin: f64,
    ranks: Ranks,
    /// Whether trees were fitted to rows enough in which it is missing, so that what they say of such rows is learnt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) knows_missing: bool,
}

/// The normal score of each place that a value may have among the sample's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Ranks {
    /// Ascending; empty for words, whose places are their bins.
    edges: Vec<f64>,
    /// By place: one more than edges, or as many as bins.
    scores: Vec<f32>,
}

fn is_zero(origin: &f64) -> bool {
    *origin == 0.0
}

impl Input {
    /// A column of the sample; words in the order of the mean of `target` over those of their rows for
    /// which `fits` holds, by which trees can split them. Nothing where it does not vary.
    pub(super) fn new(
        sampled: &Sampled,
        bins: &[Bin],
        target: Option<&[f64]>,
        fits: impl Fn(usize) -> bool,
    ) -> Option<Self> {
        let position = sampled.position;
        if let Some(numbers) = &sampled.numbers {
            let mut sorted: Vec<f64> = numbers.iter().copied().filter(|v| !v.is_nan()).collect();
            sorted.sort_by(f64::total_cmp);
            let varies = sorted.first().zip(sorted.last()).is_some_and(|(low, high)| low < high);
            let (origin, ranks) = (origin(&sorted), Ranks::of_numbers(&sorted));
            return varies.then_some(Self { position, by_code: None, origin, ranks, knows_missing: false });
        }
        // By bin: its rows, those with an answer, and the answers' sum.
        let mut rows: Vec<(f64, f64, f64)> = vec![(0.0, 0.0, 0.0); bins.len()];
        for (row, code) in sampled.codes.iter().enumerate() {
            let Some((n, answered, sum)) = rows.get_mut(usize::from(*code)) else { continue };
            *n += 1.0;
            if let Some(answer) = target.and_then(|t| t.get(row)).filter(|a| fits(row) && a.is_finite()) {
                (*answered, *sum) = (*answered + 1.0, *sum + answer);
            }
        }
        let says = |bin: usize| {
            bins.get(bin)
                .is_some_and(|bin| matches!(bin, Bin::Category(_) | Bin::OtherCategory | Bin::Default))
        };
        let mut order: Vec<(usize, f64)> = rows
            .iter()
            .enumerate()
            .filter(|(bin, (n, ..))| *n > 0.0 && says(*bin))
            .map(|(bin, (_, answered, sum))| (bin, if *answered > 0.0 { sum / answered } else { 0.0 }))
            .collect();
        if order.len() < 2 {
            return None;
        }
        order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let mut by_code = vec![None; bins.len()];
        let mut scores = vec![0.0; bins.len()];
        let all: f64 = order.iter().filter_map(|(bin, _)| rows.get(*bin)).map(|(n, ..)| n).sum();
        let mut below = 0.0;
        for (place, (bin, _)) in order.iter().enumerate() {
            let n = rows.get(*bin).map_or(0.0, |(n, ..)| *n);
            if let (Some(value), Some(score)) = (by_code.get_mut(*bin), scores.get_mut(*bin)) {
                *value = Some(single(count(whole(place))));
                *score = single(normal::quantile((below + 0.5 * n) / all));
            }
            below += n;
        }
        let ranks = Ranks { edges: Vec::new(), scores };
        Some(Self { position, by_code: Some(by_code), origin: 0.0, ranks, knows_missing: false })
    }

    /// Whether its values are words.
    pub(super) const fn is_of_words(&self) -> bool {
        self.by_code.is_some()
    }

    /// The numbers of some rows, each written `width` apart.
    pub(super) fn fill(&self, cells: &Column<'_>, out: &mut [f32], width: usize) {
        let places = out.iter_mut().step_by(width);
        match (&self.by_code, cells) {
            (Some(by_code), Column { codes, .. }) => {
                for (place, code) in places.zip(*codes) {
                    *place = by_code.get(usize::from(*code)).copied().flatten().unwrap_or(f32::NAN);
                }
            }
            (None, Column { numbers: Numbers::Plain(values), .. }) => {
                places.zip(*values).for_each(|(place, v)| *place = cell(*v, self.origin));
            }
            (None, Column { numbers: Numbers::Cells(cells, first), .. }) => {
                for (place, row) in places.zip(*first..) {
                    *place = match cells.cell(row) {
                        Cell::Number(v) => cell(v, self.origin),
                        _ => f32::NAN,
                    };
                }
            }
        }
    }

    /// The normal score of its place among the sample's, row by row; 0 where there is none.
    pub(super) fn scores(&self, cells: &Column<'_>, out: &mut Vec<f32>) {
        out.clear();
        let of = |v: f64| {
            if v.is_nan() {
                return 0.0;
            }
            let place = self.ranks.edges.partition_point(|edge| *edge < v);
            self.ranks.scores.get(place).copied().unwrap_or(0.0)
        };
        match (&self.by_code, cells) {
            (Some(_), Column { codes, .. }) => out.extend(
                codes.iter().map(|code| self.ranks.scores.get(usize::from(*code)).copied().unwrap_or(0.0)),
            ),
            (None, Column { numbers: Numbers::Plain(values), .. }) => {
                out.extend(values.iter().map(|v| of(*v)));
            }
            (None, Column { numbers: Numbers::Cells(cells, first), codes }) => {
                out.extend((*first..*first + codes.len()).map(|row| match cells.cell(row) {
                    Cell::Number(v) => of(v),
                    _ => 0.0,
                }));
            }
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        let finite = |v: &[f32]| v.iter().all(|v| v.is_finite());
        let ranks = &self.ranks;
        let fits = match &self.by_code {
            Some(by_code) => {
                let places = by_code.iter().flatten().all(|place| place.is_finite());
                places && ranks.edges.is_empty() && ranks.scores.len() == by_code.len()
            }
            None => ranks.scores.len() == ranks.edges.len() + 1,
        };
        fits && self.origin.is_finite()
            && finite(&ranks.scores)
            && ranks.edges.iter().all(|e| e.is_finite())
            && ranks.edges.is_sorted()
    }
}

impl Ranks {
    fn of_numbers(sorted: &[f64]) -> Self {
        let at = |i: usize| sorted.get(sorted.len() * i / RANKS).copied();
        let mut edges: Vec<f64> = (1..RANKS).filter_map(at).filter(|v| v.is_finite()).collect();
        edges.dedup_by(|a, b| a.total_cmp(b).is_eq());
        let mut counts = vec![0.0; edges.len() + 1];
        for v in sorted {
            let place = edges.partition_point(|edge| edge < v);
            if let Some(n) = counts.get_mut(place) {
                *n += 1.0;
            }
        }
        let all = count(whole(sorted.len()));
        let mut below = 0.0;
        let of = |n: &f64| {
            let rank = (below + 0.5 * n) / all;
            below += n;
            single(normal::quantile(rank.clamp(1e-3, 1.0 - 1e-3)))
        };
        let scores = counts.iter().map(of).collect();
        Self { edges, scores }
    }
}

/// The cells of one column over a stretch of rows.
#[derive(Debug)]
pub(super) struct Column<'a> {
    pub(super) codes: &'a [Code],
    pub(super) numbers: Numbers<'a>,
}

/// Numbers without gaps, or cells from one row on.
#[derive(Debug)]
pub(super) enum Numbers<'a> {
    Plain(&'a [f64]),
    Cells(&'a Cells, usize),
}

impl<'a> Column<'a> {
    /// Some rows of a batch's column.
    pub(super) fn of(cells: &'a Cells, codes: &'a [Code], rows: &std::ops::Range<usize>) -> Self {
        use arrow::array::Array;
        let plain = match cells.values() {
            Values::Number(numbers) if !cells.has_wrong_type() && numbers.null_count() == 0 => {
                numbers.values().get(rows.clone())
            }
            _ => None,
        };
        let numbers = plain.map_or(Numbers::Cells(cells, rows.start), Numbers::Plain);
        Self { codes, numbers }
    }

    /// All rows of the sample's.
    pub(super) fn of_sample(sampled: &'a Sampled) -> Self {
        let numbers = sampled.numbers.as_deref().unwrap_or(&[]);
        Self { codes: &sampled.codes, numbers: Numbers::Plain(numbers) }
    }
}
