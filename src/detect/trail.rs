//! The latest steps, kept to tell when a fault began.
//!
//! A bet's evidence is a sum with one term for every step at which a fault may have begun: what was won from there on
//! (Shiryaev 1963, Theory Probab. Appl. 8:22; Roberts 1966, Technometrics 8:411). Where every step is as likely a
//! start as any other, each term's part of the sum is how likely it is that the fault began there.

use super::cut::Code;
use super::evidence::{STRENGTHS, gains, strengths};
use super::queue::{Queue, Span};
use super::table::{Bet, Table};

/// Rows that are kept: one byte each and stream.
const ROWS: usize = 1_024;
/// The part of the sum that may lie before the interval told, and after it: 95 % for a fault that begins at once and
/// hits as one of the bets says. Bets are made on few strengths and against limits of health rather than on the
/// truth, so that of real faults it holds a few percent fewer; benches/README.md has the count.
const OUTSIDE: f64 = 0.025;

/// The latest steps with their codes, never written anywhere.
#[derive(Debug, Clone)]
pub(super) struct Trail {
    steps: Vec<Kept>,
    /// By stream.
    codes: Vec<Vec<Code>>,
    /// Rows whose codes are kept.
    rows: usize,
}

/// A step, and where its codes are.
#[derive(Debug, Clone, Copy)]
struct Kept {
    span: Span,
    judged: u64,
}

/// A bet of a stream, with its tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched<'a> {
    pub(super) stream: usize,
    pub(super) bet: Bet,
    pub(super) table: &'a Table,
    /// Its weighted evidence.
    pub(super) worth: f64,
    /// Whether it compares rows with rows before.
    pub(super) looks_back: bool,
}

/// Between which rows a fault began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Began {
    /// The number of the earliest row, from 1.
    pub(super) first: u64,
    /// The number of the row by which it began as likely as not; nothing where that lies before all that are kept.
    pub(super) median: Option<u64>,
    /// The number of the last row of the latest step.
    pub(super) last: u64,
    /// Whether it may lie before all that are kept, or before the evidence began.
    pub(super) or_earlier: bool,
}

impl Trail {
    pub(super) fn new(streams: usize) -> Self {
        Self { steps: Vec::new(), codes: vec![Vec::new(); streams], rows: 0 }
    }

    /// Keeps steps that were judged; the first one's number.
    pub(super) fn push(&mut self, queue: &Queue, spans: &[Span], first: u64) {
        let (Some(from), Some(to)) = (spans.first().map(|s| s.from), spans.last().map(|s| s.to)) else {
            return;
        };
        for (stream, codes) in self.codes.iter_mut().enumerate() {
            codes.extend_from_slice(queue.between(stream, from..to));
        }
        let moved = |span: &Span| Span {
            from: self.rows + span.from - from,
            to: self.rows + span.to - from,
            ..*span
        };
        self.steps.extend(spans.iter().zip(first..).map(|(span, judged)| Kept { span: moved(span), judged }));
        self.rows += to - from;
        if self.rows > 2 * ROWS {
            self.forget();
        }
    }

    /// Forgets all but the latest rows.
    fn forget(&mut self) {
        let gone = self.steps.partition_point(|kept| kept.span.from + ROWS < self.rows);
        let cut = self.steps.get(gone).map_or(self.rows, |kept| kept.span.from);
        self.steps.drain(..gone);
        for kept in &mut self.steps {
            (kept.span.from, kept.span.to) = (kept.span.from - cut, kept.span.to - cut);
        }
        for codes in &mut self.codes {
            codes.drain(..cut.min(codes.len()));
        }
        self.rows -= cut;
    }

    /// When a fault began of which some bets tell: after the judged step `after`, up to the latest.
    pub(super) fn began(&self, bets: &[Watched<'_>], after: u64) -> Option<Began> {
        // However rows came in stretches, as many are looked at.
        let from = self.steps.partition_point(|k| k.span.from + ROWS < self.rows || k.judged <= after);
        let steps = self.steps.get(from..).filter(|steps| !steps.is_empty())?;
        let mut terms = vec![0.0; steps.len()];
        let mut earlier = 0.0;
        for bet in bets {
            let of_bet = self.terms(steps, bet);
            // What of its evidence began before all steps that are kept.
            let left = bet.worth - of_bet.iter().sum::<f64>();
            earlier += if left > 0.0 { left } else { 0.0 };
            terms.iter_mut().zip(of_bet).for_each(|(all, term)| *all += term);
        }
        let within: f64 = terms.iter().sum();
        let total = earlier + within;
        if !(within > 0.0 && total.is_finite()) {
            return None;
        }
        let at = |part: f64| {
            let mut sum = earlier;
            steps.iter().zip(&terms).position(|(_, term)| {
                sum += term;
                sum >= part * total
            })
        };
        let rows = |kept: &Kept| u64::try_from(kept.span.to - kept.span.from).unwrap_or(1);
        let first = at(OUTSIDE).unwrap_or(0);
        let median = if earlier < 0.5 * total { at(0.5) } else { None };
        let last = at(1.0 - OUTSIDE).unwrap_or(steps.len() - 1);
        // What compares rows with those before shows from the second on.
        let looks_back = usize::from(bets.iter().any(|bet| bet.looks_back));
        let before = steps.get(first.saturating_sub(looks_back))?;
        let middle = median.and_then(|median| steps.get(median.saturating_sub(looks_back)));
        Some(Began {
            first: (before.span.row + 1).saturating_sub(rows(before)),
            median: middle.map(|middle| (middle.span.row + 1).saturating_sub(rows(middle))),
            last: steps.get(last)?.span.row,
            or_earlier: first == 0 && before.judged > 1,
        })
    }

    /// All terms of a bet.
    #[cfg(test)]
    pub(super) fn sum_of(&self, watched: &Watched<'_>) -> f64 {
        self.terms(&self.steps, watched).iter().sum()
    }

    /// By step: what a bet's evidence would be if it had begun there, weighted.
    fn terms(&self, steps: &[Kept], watched: &Watched<'_>) -> Vec<f64> {
        let weights = strengths(watched.table, watched.bet);
        let (mut logs, mut is_told) = ([0.0; STRENGTHS], false);
        let mut terms = vec![0.0; steps.len()];
        for (term, kept) in terms.iter_mut().zip(steps).rev() {
            let codes = self.codes.get(watched.stream).and_then(|c| c.get(kept.span.from..kept.span.to));
            let codes = codes.filter(|_| kept.span.is_known).unwrap_or(&[]);
            match gains(watched.table, watched.bet, kept.span.stratum, codes) {
                Some(step) => logs.iter_mut().zip(step).for_each(|(log, step)| *log += step),
                // Its length is the next step's that tells something.
                None if is_told => {}
                None => continue,
            }
            is_told = true;
            let length = kept.span.length.unwrap_or(1.0);
            *term = weights.iter().zip(logs).map(|(weight, log)| weight * length * log.exp()).sum();
        }
        terms
    }
}
