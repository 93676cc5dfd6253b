//! Steps that wait to be bet on, with their rows' codes, stream by stream.

use super::calibrate::STEP_ROWS_MAX;
use super::cut::{Code, SKIP};
use super::evidence::{Evidence, Hit, Moment, Rows};
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
                length: open.length.zip(row.length).map(|(a, b)| a + b),
                // The hour is that in which the step began.
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

    /// Lets one stream bet on some steps, the first of which has the number `first`, and adds its
    /// evidence after each to `totals`.
    pub(super) fn bet(
        &self,
        stream: usize,
        spans: &[Span],
        (evidence, table): (&mut Evidence, &Table),
        first: u32,
        lengths: &[f64],
        totals: &mut [f64],
    ) {
        let Some(codes) = self.codes.get(stream) else { return };
        let is_pooled = table.strata.len() == 1;
        let mut hits = Vec::new();
        let mut at = 0;
        while let Some(rest) = spans.get(at..).filter(|rest| !rest.is_empty()) {
            let tick = first.wrapping_add(u32::try_from(at).unwrap_or(u32::MAX));
            let alike = alike(rest, is_pooled);
            let (Some(span), Some(totals)) = (rest.first(), totals.get_mut(at..)) else { return };
            let stratum = if is_pooled { 0 } else { span.stratum };
            if alike > 0 {
                let codes = codes.get(span.from..span.from + alike).unwrap_or(&[]);
                let lengths = lengths.get(at..).unwrap_or(&[]);
                evidence.observe_rows(table, Rows { codes, lengths, first: tick, stratum }, totals);
                at += alike;
                continue;
            }
            let codes = if span.is_known { codes.get(span.from..span.to).unwrap_or(&[]) } else { &[] };
            shares(codes, &mut hits);
            let length = lengths.get(at).copied().unwrap_or(1.0);
            evidence.observe_shares(table, &hits, Moment { length, tick, stratum });
            if let Some(total) = totals.first_mut() {
                *total += evidence.total(table);
            }
            at += 1;
        }
    }
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
