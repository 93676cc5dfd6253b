//! How much each feature tells of the model's answer: what matters more gets more of the budget.

use std::collections::BTreeMap;

use super::calibrate::Calibration;
use super::cut::{Code, SKIP};
use super::stream::{Role, Source, Stream};
use crate::units::{count, whole};

/// A feature that tells nothing of the answer has this part of the weight of the one that tells most: a fault
/// in it may do harm that the baseline does not show.
const FLOOR: f64 = 0.25;
/// With fewer rows than this nothing is known of influence.
const ROWS_MIN: f64 = 500.0;
/// Less than so many standard deviations of what chance tells is nothing.
const CHANCE: f64 = 3.0;
/// Bins of a feature and of an answer that are told apart; those beyond count as the last.
const FEATURE_BINS_MAX: usize = 32;
const ANSWER_BINS_MAX: usize = 16;
/// Answers that are looked at: the first ones.
const ANSWERS_MAX: usize = 4;

/// Rows by bin of each feature and bin of each answer.
#[derive(Debug, Clone)]
pub(super) struct Influence {
    tables: Vec<Of>,
}

/// One feature and one answer.
#[derive(Debug, Clone)]
struct Of {
    feature: usize,
    position: usize,
    answer: usize,
    /// By bin of the feature, then of the answer.
    rows: Vec<Row>,
}

type Row = [u32; ANSWER_BINS_MAX];

impl Influence {
    pub(super) fn new(streams: &[Stream]) -> Self {
        let columns = |role: Role| {
            let values = streams.iter().enumerate().filter(move |(_, s)| s.role == role);
            values.filter_map(|(index, stream)| match stream.source {
                Source::Column { position, .. } => Some((index, position, stream.bins.len())),
                _ => None,
            })
        };
        let answers: Vec<usize> = columns(Role::Output).map(|(index, ..)| index).take(ANSWERS_MAX).collect();
        let tables = columns(Role::Input).flat_map(|(feature, position, bins)| {
            let rows = vec![[0; ANSWER_BINS_MAX]; bins.min(FEATURE_BINS_MAX)];
            answers.iter().map(move |answer| Of { feature, position, answer: *answer, rows: rows.clone() })
        });
        Self { tables: tables.collect() }
    }

    /// Counts a row, given its code by stream.
    pub(super) fn observe(&mut self, codes: &[Code]) {
        let code = |stream: usize| codes.get(stream).filter(|c| **c != SKIP).map(|c| usize::from(*c));
        for of in &mut self.tables {
            let last = of.rows.len().saturating_sub(1);
            let Some((feature, answer)) = code(of.feature).zip(code(of.answer)) else { continue };
            let row = of.rows.get_mut(feature.min(last));
            if let Some(rows) = row.and_then(|row| row.get_mut(answer.min(ANSWER_BINS_MAX - 1))) {
                *rows = rows.saturating_add(1);
            }
        }
    }

    /// By stream: the weight of what it is made of, on average 1 over features; all 1 where nothing is known. A
    /// stream of several columns has that of the one with most. What a feature tells is what it tells of the answer
    /// of which it tells most; steps that depend on each other count as fewer, so clumping must be known.
    pub(super) fn influences(&self, streams: &[Stream]) -> Vec<f64> {
        let clumping = |stream: usize| streams.get(stream).map_or(1.0, |stream| stream.clumping);
        let mut told: BTreeMap<usize, f64> = BTreeMap::new();
        for of in &self.tables {
            let (one, two) = (clumping(of.feature), clumping(of.answer));
            let nats = information(&of.rows, if one > two { one } else { two });
            let most = told.entry(of.position).or_insert(0.0);
            *most = if nats > *most { nats } else { *most };
        }
        let most = told.values().fold(0.0, |most, told| if *told > most { *told } else { most });
        if most <= 0.0 {
            return vec![1.0; streams.len()];
        }
        let weight = |told: f64| FLOOR + (1.0 - FLOOR) * told / most;
        let mean = told.values().map(|told| weight(*told)).sum::<f64>() / count(whole(told.len()));
        let by_column: BTreeMap<usize, f64> =
            told.into_iter().map(|(position, told)| (position, weight(told) / mean)).collect();
        let of = |stream: &Stream| {
            let positions = stream.source.positions();
            let members = positions.iter().filter_map(|position| by_column.get(position).copied());
            members.reduce(|a, b| if b > a { b } else { a }).unwrap_or(1.0)
        };
        streams.iter().map(of).collect()
    }
}

impl Calibration {
    /// The features that weigh otherwise than the mean, by what they tell of the answer: the most first, each with
    /// its weight in units of the mean.
    #[must_use]
    pub fn influences(&self) -> Vec<(&str, f64)> {
        let features = self.streams.iter().filter(|stream| {
            let is_values = matches!(stream.source, Source::Column { .. });
            is_values && stream.role == Role::Input && !super::stream::is_usual(&stream.influence)
        });
        let mut all: Vec<(&str, f64)> = features.map(|s| (s.name.as_str(), s.influence)).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all
    }
}

/// The mutual information of two binned columns, in nats, less its bias (Miller, 1955); 0 with few rows, and
/// where chance tells as much: `2 n` times the information of independent columns is about chi-square, with `n` the
/// rows over how much they come in clumps.
fn information(rows: &[Row], clumping: f64) -> f64 {
    let of_feature: Vec<f64> = rows.iter().map(|bin| bin.iter().map(|n| f64::from(*n)).sum()).collect();
    let mut of_answer = [0.0; ANSWER_BINS_MAX];
    for bin in rows {
        of_answer.iter_mut().zip(bin).for_each(|(sum, n)| *sum += f64::from(*n));
    }
    let all: f64 = of_feature.iter().sum();
    if all < ROWS_MIN {
        return 0.0;
    }
    let mut nats = 0.0;
    for (bin, of_feature) in rows.iter().zip(&of_feature) {
        for (n, of_answer) in bin.iter().zip(&of_answer).filter(|(n, _)| **n > 0) {
            let n = f64::from(*n);
            nats += n / all * (n * all / (of_feature * of_answer)).ln();
        }
    }
    let hit = |sums: &[f64]| count(whole(sums.iter().filter(|n| **n > 0.0).count()));
    let freedom = (hit(&of_feature) - 1.0) * (hit(&of_answer) - 1.0);
    let twice = 2.0 * all / clumping;
    let (bias, deviation) = (freedom / twice, (2.0 * freedom).sqrt() / twice);
    if nats > bias + CHANCE * deviation { nats - bias } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(cells: &[[u32; 2]]) -> Vec<Row> {
        let row = |cells: &[u32; 2]| {
            let mut row = [0; ANSWER_BINS_MAX];
            row[..2].copy_from_slice(cells);
            row
        };
        cells.iter().map(row).collect()
    }

    /// `entropy(rows) + entropy(columns) - entropy(all)` as scipy 1.17 has them, less the bias; what is independent tells nothing, and of
    /// few rows nothing is known.
    #[test]
    fn information_is_as_in_the_book() {
        let (own, bias) = (information(&table(&[[400, 100], [150, 350]]), 1.0), 1.0 / 2_000.0);
        assert!((own + bias - 0.132_505_450_917_047_8).abs() < 1e-12, "{own}");
        let clumped = |by| information(&table(&[[260, 240], [220, 280]]), by);
        assert!(clumped(1.0) > 1e-3 && clumped(4.0) < f64::EPSILON, "{}", clumped(4.0));
        for nothing in [table(&[[250, 250], [250, 250]]), table(&[[40, 10], [15, 35]]), Vec::new()] {
            assert!(information(&nothing, 1.0).abs() < f64::EPSILON, "{nothing:?}");
        }
    }
}
