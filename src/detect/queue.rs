//! Steps that wait to be bet on, with their rows' codes, stream by stream.

use std::ops::Range;

use super::cut::{Code, SKIP};
use super::evidence::{Asked, Evidence, Hit, Moment, Rows};
use super::steps::STEP_ROWS_MAX;
use super::table::Table;
use crate::units::{Timestamp, count, whole};

/// One step: rows of one request or entity, in the queue from one place to before another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: usize,
    pub(super) to: usize,
    /// The number of its last row over all rows, from 1.
    pub(super) row: u64,
    /// That row's time.
    pub(super) ts: Timestamp,
    /// Seconds by which it lengthens the run; none where every step counts as one.
    pub(super) length: Option<f64>,
    pub(super) stratum: usize,
    /// Whether the baseline knows the hour.
    pub(super) is_known: bool,
}

impl Span {
    /// A step of the row at one place.
    pub(super) const fn new(place: usize) -> Self {
        Self {
            from: place,
            to: place + 1,
            row: 0,
            ts: Timestamp::from_micros(0),
            length: None,
            stratum: 0,
            is_known: true,
        }
    }
}

/// Codes of rows that have not been bet on, and the steps that they make.
#[derive(Debug)]
pub(super) struct Queue {
    codes: Vec<Vec<Code>>,
    rows: usize,
    closed: Vec<Span>,
    open: Option<Span>,
}

impl Queue {
    pub(super) fn new(streams: usize) -> Self {
        Self { codes: vec![Vec::new(); streams], rows: 0, closed: Vec::new(), open: None }
    }

    /// Adds the rows of a chunk, by stream their codes, after those of the open step; gives the first
    /// one's place.
    pub(super) fn begin_chunk<'a>(&mut self, codes_of: impl Fn(usize) -> &'a [Code]) -> usize {
        let (from, to) = self.open.map_or((0, 0), |span| (span.from, span.to));
        for (stream, codes) in self.codes.iter_mut().enumerate() {
            codes.truncate(to);
            codes.drain(..from.min(codes.len()));
            codes.extend_from_slice(codes_of(stream));
        }
        self.open = self.open.map(|span| Span { from: 0, to: to - from, ..span });
        self.rows = to - from;
        self.rows
    }

    /// Adds a row at a place to the open step, or opens one with it.
    pub(super) fn push(&mut self, place: usize, row: Span) {
        self.open = Some(match self.open {
            None => row,
            Some(open) => Span {
                from: open.from,
                to: place + 1,
                // The length and the hour are those with which the step began.
                length: open.length,
                stratum: open.stratum,
                is_known: open.is_known,
                ..row
            },
        });
    }

    /// Takes a row at a place out: nobody bets on it.
    pub(super) fn skip(&mut self, place: usize) {
        for codes in &mut self.codes {
            if let Some(code) = codes.get_mut(place) {
                *code = SKIP;
            }
        }
    }

    /// Whether the open step has as many rows as a step may have.
    pub(super) fn is_full(&self) -> bool {
        self.open.is_some_and(|span| span.to - span.from >= STEP_ROWS_MAX)
    }

    /// Whether a step has rows and may get more.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Drops all that waits.
    pub(super) fn clear(&mut self) {
        self.closed.clear();
        self.open = None;
    }

    /// The open step has no more rows.
    pub(super) fn close(&mut self) {
        self.closed.extend(self.open.take());
    }

    /// The same, as the row with this number shows.
    pub(super) fn close_at(&mut self, row: u64) {
        self.closed.extend(self.open.take().map(|span| Span { row, ..span }));
    }

    pub(super) fn code(&self, stream: usize, place: usize) -> Code {
        self.codes.get(stream).and_then(|c| c.get(place)).copied().unwrap_or(SKIP)
    }

    /// The codes of one step in one stream.
    pub(super) fn codes(&self, stream: usize, span: &Span) -> &[Code] {
        if !span.is_known {
            return &[];
        }
        self.codes.get(stream).and_then(|c| c.get(span.from..span.to)).unwrap_or(&[])
    }

    /// The codes of some rows in one stream.
    pub(super) fn between(&self, stream: usize, rows: Range<usize>) -> &[Code] {
        self.codes.get(stream).and_then(|c| c.get(rows)).unwrap_or(&[])
    }

    /// The complete steps, to be bet on; to be given back for the room that they take.
    pub(super) fn take_spans(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.closed)
    }

    pub(super) fn give_back(&mut self, mut spans: Vec<Span>) {
        spans.clear();
        if self.closed.is_empty() {
            self.closed = spans;
        }
    }

    /// Lets one stream bet on some steps, and adds what is asked of its evidence.
    pub(super) fn bet(
        &self,
        stream: usize,
        (evidence, table): (&mut Evidence, &Table),
        steps: &Steps<'_>,
        mut asked: Asked<'_>,
    ) {
        let Some(codes) = self.codes.get(stream) else { return };
        let is_pooled = table.strata.len() == 1;
        let (mut hits, mut most) = (Vec::new(), 0.0);
        for run in if is_pooled { &steps.runs } else { &steps.runs_by_stratum } {
            let tick = steps.first.wrapping_add(u32::try_from(run.at).unwrap_or(u32::MAX));
            let Some(span) = steps.spans.get(run.at) else { return };
            let stratum = if is_pooled { 0 } else { span.stratum };
            let totals = match &mut asked {
                Asked::Each(totals) => totals.get_mut(run.at..),
                Asked::AtMost(_) => None,
            };
            let mut bound = 0.0;
            if run.rows > 0 {
                let codes = codes.get(span.from..span.from + run.rows).unwrap_or(&[]);
                let lengths = steps.lengths.get(run.at..).unwrap_or(&[]);
                let rows = Rows { codes, lengths, first: tick, stratum };
                evidence.observe_rows(table, rows, totals.map_or(Asked::AtMost(&mut bound), Asked::Each));
            } else {
                let codes = if span.is_known { codes.get(span.from..span.to).unwrap_or(&[]) } else { &[] };
                shares(codes, &mut hits);
                let length = steps.lengths.get(run.at).copied().unwrap_or(1.0);
                evidence.observe_shares(table, &hits, Moment { length, tick, stratum });
                bound = evidence.total(table);
                if let Some(total) = totals.and_then(<[f64]>::first_mut) {
                    *total += bound;
                }
            }
            most = if bound > most { bound } else { most };
        }
        if let Asked::AtMost(bound) = asked {
            *bound += most;
        }
    }
}

/// Steps to be bet on by every stream.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    spans: &'a [Span],
    /// The number of the first.
    first: u32,
    /// By how much each lengthens the run; none where each counts as one.
    lengths: &'a [f64],
    runs: Vec<Run>,
    runs_by_stratum: Vec<Run>,
}

/// Steps of one row each, one after the other.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The place of the first.
    at: usize,
    /// How many there are; 0 for one step of several rows, or of none that is known.
    rows: usize,
}

impl<'a> Steps<'a> {
    pub(super) fn new(spans: &'a [Span], first: u32, lengths: &'a [f64]) -> Self {
        Self { spans, first, lengths, runs: runs(spans, true), runs_by_stratum: runs(spans, false) }
    }
}

fn runs(spans: &[Span], is_pooled: bool) -> Vec<Run> {
    let (mut runs, mut at) = (Vec::new(), 0);
    while let Some(rest) = spans.get(at..).filter(|rest| !rest.is_empty()) {
        let rows = alike(rest, is_pooled);
        runs.push(Run { at, rows });
        at += if rows > 0 { rows } else { 1 };
    }
    runs
}

/// How many of the first steps have one row each, the next after the last, in one stratum.
fn alike(spans: &[Span], is_pooled: bool) -> usize {
    let Some(first) = spans.first() else { return 0 };
    let same = |(at, span): &(usize, &Span)| {
        span.from == first.from + at
            && span.to == span.from + 1
            && span.is_known
            && (is_pooled || span.stratum == first.stratum)
    };
    spans.iter().enumerate().take_while(same).count()
}

/// The bins of a step's rows, each with its share of the rows.
fn shares(codes: &[Code], hits: &mut Vec<Hit>) {
    hits.clear();
    let told = || codes.iter().copied().filter(|code| *code != SKIP);
    let share = 1.0 / count(whole(told().count().max(1)));
    for code in told() {
        match hits.iter_mut().find(|hit| hit.code == code) {
            Some(hit) => hit.share += share,
            None => hits.push(Hit { code, share }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a step share it: three in four at a bin are three quarters of a hit.
    #[test]
    fn rows_of_a_step_share_it() {
        let mut hits = Vec::new();
        shares(&[0, 0, SKIP, 0, 1], &mut hits);
        assert_eq!(hits, [Hit { code: 0, share: 0.75 }, Hit { code: 1, share: 0.25 }]);
        shares(&[SKIP, SKIP], &mut hits);
        assert_eq!(hits, []);
    }
}
