use std::ops::Range;
use std::sync::Arc;

use super::super::calibrate::Calibration;
use super::super::cut::{Code, SKIP};
use super::super::encode::Encoder;
use super::super::steps::{Numbers, chunks};
use super::super::stream::Source;
use super::super::{Finding, Monitor};
use crate::record::{Batch, Schema};
use crate::units::{Timestamp, count, whole};

/// Rows, and bytes, that are kept at most.
const KEPT_ROWS_MAX: u64 = 1 << 18;
const KEPT_BYTES_MAX: u64 = 1 << 27;
/// Rows that are kept whatever they take.
const KEPT_ROWS_MIN: u64 = 4_096;
/// A longer baseline is kept in parts, spread evenly over it: so many at most.
const PARTS_MAX: u64 = 16;
/// A part has at least so many blocks.
const PART_BLOCKS_MIN: u64 = 8;

/// The bins of a baseline's rows, step by step, to draw from: a last pass over the rows that a calibration
/// was counted from.
///
/// Of more than 262,144 rows (fewer for very many streams) up to 16 stretches, spread evenly, are kept.
#[derive(Debug)]
pub struct Recording {
    pub(super) schema: Arc<Schema>,
    pub(super) calibration: Calibration,
    /// Steps of a block.
    pub(super) block: usize,
    encoder: Encoder,
    numbers: Numbers,
    rows: u64,
    parts: Parts,
    is_kept: bool,
    is_as_fitted: bool,
    pub(super) tape: Tape,
}

/// Which rows are kept: the first `kept` of every `of`.
#[derive(Debug, Clone, Copy)]
struct Parts {
    of: u64,
    kept: u64,
}

impl Parts {
    fn new(rows: u64, streams: u64, block: u64) -> Self {
        let kept = (KEPT_BYTES_MAX / streams.max(1)).clamp(KEPT_ROWS_MIN, KEPT_ROWS_MAX);
        let parts = (kept / (PART_BLOCKS_MIN * block).max(1)).clamp(1, PARTS_MAX);
        if rows <= kept {
            return Self { of: u64::MAX, kept: u64::MAX };
        }
        Self { of: rows.div_ceil(parts), kept: kept / parts }
    }

    const fn keeps(self, row: u64) -> bool {
        row % self.of < self.kept
    }
}

/// What the streams saw of the steps that were kept.
#[derive(Debug, Default)]
pub(super) struct Tape {
    /// By stream, row by row.
    codes: Vec<Vec<Code>>,
    ts: Vec<Timestamp>,
    /// The first row of each step.
    starts: Vec<usize>,
    /// By row: whether relations keep better in it than they will, because they were fitted to it.
    as_fitted: Vec<bool>,
}

impl Recording {
    /// Ready for the first row; `rows`: how many there will be, all in all.
    #[must_use]
    pub fn new(schema: Arc<Schema>, calibration: Calibration, rows: u64) -> Self {
        let block = super::check::block_steps(&calibration);
        let streams = calibration.streams.len();
        Self {
            encoder: calibration.encoder(&schema),
            numbers: Numbers::default(),
            rows: 0,
            parts: Parts::new(rows, whole(streams), whole(block)),
            is_kept: false,
            is_as_fitted: false,
            tape: Tape { codes: vec![Vec::new(); streams], ..Tape::default() },
            schema,
            calibration,
            block,
        }
    }

    /// Reads the next rows, in the order in which they were counted.
    pub fn observe(&mut self, batch: &Batch) {
        for rows in chunks(0..batch.len()) {
            self.encoder.encode(batch, &rows);
            for (place, row) in rows.enumerate() {
                self.take(batch, row, place);
            }
        }
    }

    fn take(&mut self, batch: &Batch, row: usize, place: usize) {
        self.rows += 1;
        let Some((step, first)) = self.numbers.number(batch, row) else { return };
        if first {
            self.is_kept = self.parts.keeps(self.rows - 1);
            self.is_as_fitted = self.calibration.fitted.0.is_as_fitted(step);
        }
        if !self.is_kept {
            return;
        }
        let tape = &mut self.tape;
        if first {
            tape.starts.push(tape.ts.len());
        }
        tape.as_fitted.push(self.is_as_fitted);
        tape.ts.push(batch.meta().ts().get(row).copied().unwrap_or(Timestamp::from_micros(0)));
        for (stream, codes) in tape.codes.iter_mut().enumerate() {
            codes.push(self.encoder.of(stream).get(place).copied().unwrap_or(SKIP));
        }
    }
}

impl Recording {
    /// What relations say of rows that they were fitted to is what they say of others, stretch by stretch: rows to
    /// come will not keep them as well.
    pub(super) fn forget_fitted(&mut self) {
        let Tape { codes, as_fitted, .. } = &mut self.tape;
        let others: Vec<usize> =
            as_fitted.iter().enumerate().filter(|(_, as_fitted)| !**as_fitted).map(|(row, _)| row).collect();
        for (stream, codes) in self.calibration.streams.iter().zip(codes) {
            if !matches!(stream.source, Source::Joint { .. }) {
                continue;
            }
            let mut others = others.iter().cycle();
            let fitted = as_fitted.iter().enumerate().filter(|(_, as_fitted)| **as_fitted);
            for (row, _) in fitted {
                let other = others.next().and_then(|other| codes.get(*other)).copied();
                if let (Some(code), Some(other)) = (codes.get_mut(row), other) {
                    *code = other;
                }
            }
        }
    }
}

impl Tape {
    pub(super) fn steps(&self) -> usize {
        self.starts.len()
    }

    /// Rows of a step, on average.
    pub(super) fn step_rows(&self) -> f64 {
        count(whole(self.ts.len())) / count(whole(self.steps().max(1)))
    }

    fn rows(&self, steps: &Range<usize>) -> Range<usize> {
        let start = |step: usize| self.starts.get(step).copied().unwrap_or(self.ts.len());
        start(steps.start)..start(steps.end)
    }
}

impl Monitor {
    /// Takes recorded steps as if their rows came now, until the first alarm: gives how many were judged,
    /// and whether there was one. A step of several rows is judged when the next begins.
    pub(super) fn observe_steps(&mut self, tape: &Tape, steps: &Range<usize>) -> (u64, bool) {
        let rows = tape.rows(steps);
        let codes_of =
            |stream: usize| tape.codes.get(stream).and_then(|c| c.get(rows.clone())).unwrap_or(&[]);
        let place = self.queue.begin_chunk(codes_of);
        let mut findings = Vec::new();
        let mut starts = tape.starts.get(steps.clone()).unwrap_or(&[]).iter().peekable();
        for (row, place) in rows.clone().zip(place..) {
            let begins = starts.next_if(|start| **start == row).is_some();
            if begins || self.queue.is_full() {
                self.queue.close_at(self.state.row + 1);
            }
            self.state.row += 1;
            let ts = tape.ts.get(row).copied().unwrap_or(Timestamp::from_micros(0));
            self.gather(place, ts, begins, &mut findings);
        }
        let spans = self.queue.take_spans();
        let mut judged = 0;
        while let Some(rest) = spans.get(judged..).filter(|rest| !rest.is_empty()) {
            judged += self.judge_many(rest, &mut findings);
            if findings.iter().any(|finding| matches!(finding, Finding::Raised(_))) {
                return (whole(judged), true);
            }
        }
        self.queue.give_back(spans);
        (whole(judged), false)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::detect::bins::Bin;
    use crate::detect::bootstrap::Bootstrap;
    use crate::detect::stream::Topic;
    use crate::detect::{Season, normal};
    use crate::record::{Cells, Column, Kind, Meta, Role, Values};
    use crate::units::PerSecond;

    /// A recording of two features that go together and an answer made of them.
    fn related(rows: usize) -> Recording {
        let mut random = StdRng::seed_from_u64(13);
        let (mut a, mut b, mut y) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rows {
            let [one, two]: [f64; 2] = random.random();
            let (one, two) = (normal::quantile(one), normal::quantile(two));
            a.push(one);
            b.push(0.9 * one + 0.4 * two);
            y.push(1.0 / (1.0 + (-one - two).exp()));
        }
        let column = |name: &str, role, group: &str| Column::plain(name, role, Kind::Numeric, group);
        let columns = vec![
            column("a", Role::Input, "g"),
            column("b", Role::Input, "g"),
            column("y", Role::Output, "o"),
        ];
        let schema = Arc::new(Schema::new("m".into(), None, columns).unwrap());
        let cells = [a, b, y].map(|v| Cells::new("c", Values::Number(Float64Array::from(v)), None).unwrap());
        let times = (0..rows).map(|i| Timestamp::from_millis(10 * i as i64)).collect();
        let batch = Batch::new(Arc::clone(&schema), cells.into(), Meta::of_times(times)).unwrap();
        let calibration = Calibration::fit(&batch, Season::none()).unwrap();
        let mut recording = Recording::new(schema, calibration, rows as u64);
        recording.observe(&batch);
        recording
    }

    /// Relations say of rows that they were fitted to what they say of others, in these rows' order and from the first
    /// again where they end; of others, and in every other stream, nothing changes.
    #[test]
    fn relations_forget_the_rows_that_they_were_fitted_to() {
        let mut recording = related(6_000);
        let before = recording.tape.codes.clone();
        recording.forget_fitted();
        let Tape { codes, as_fitted, .. } = &recording.tape;
        let of = |codes: &[Code], wanted: bool| -> Vec<Code> {
            codes.iter().zip(as_fitted).filter(|(_, is)| **is == wanted).map(|(code, _)| *code).collect()
        };
        assert!(as_fitted.iter().filter(|is| **is).count() > 2_000);
        let (mut relations, mut changed) = (0, 0);
        for ((stream, before), after) in recording.calibration.streams.iter().zip(&before).zip(codes) {
            if !matches!(stream.source, Source::Joint { .. }) {
                assert_eq!(before, after, "{:?}", stream.source);
                continue;
            }
            let (others, fitted) = (of(before, false), of(after, true));
            assert_eq!(others, of(after, false), "{}", stream.name);
            let again: Vec<Code> = others.iter().copied().cycle().take(fitted.len()).collect();
            assert!(fitted == again, "{}", stream.name);
            relations += 1;
            changed += usize::from(fitted != of(before, true));
        }
        assert!(relations > 3 && changed == relations, "{changed} of {relations}");
    }

    /// A check draws no row that relations were fitted to: what they say of these alone, however wild, raises no alarm
    /// and no threshold.
    #[test]
    fn a_check_looks_at_no_row_that_was_fitted() {
        let mut recording = related(4_000);
        let Tape { codes, as_fitted, .. } = &mut recording.tape;
        for (stream, codes) in recording.calibration.streams.iter().zip(codes) {
            if stream.source.topic() == Topic::Residual {
                let far = stream.bins.iter().position(|bin| *bin == Bin::FarAbove).unwrap();
                let fitted = codes.iter_mut().zip(as_fitted.iter()).filter(|(_, is)| **is);
                fitted.for_each(|(code, _)| *code = crate::detect::cut::code(far));
            }
        }
        let rate = PerSecond::of(100);
        let how = Bootstrap { wanted: 300.0, rate, rows_max: 60_000, bins_max: u64::MAX, seed: 1 };
        let checked = recording.check(&how, &|_, _| {}).unwrap();
        assert!(checked.threshold_factor() <= 1.0, "{}", checked.threshold_factor());
    }

    /// All of a short baseline is kept, and of a long one stretches of several blocks.
    #[test]
    fn a_long_baseline_is_kept_in_parts() {
        let kept = |rows: u64, streams, block| {
            let parts = Parts::new(rows, streams, block);
            let kept: Vec<bool> = (0..rows).map(|row| parts.keeps(row)).collect();
            let stretches = kept.windows(2).filter(|w| !w[0] && w[1]).count() + usize::from(kept[0]);
            (kept.iter().filter(|kept| **kept).count(), stretches)
        };
        assert_eq!(kept(262_144, 100, 512), (262_144, 1));
        assert_eq!(kept(1_000_000, 100, 512), (262_144, 16));
        assert_eq!(kept(1_000_000, 100, 10_000), (262_143, 3));
        assert_eq!(kept(1_000_000, 100, 1_000_000), (262_144, 1));
        assert_eq!(kept(100_000, 30_000, 512), (4_473, 1));
    }
}
