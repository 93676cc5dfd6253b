//! What relations between columns make of rows: at every row, or under load at some.

use std::ops::Range;
use std::sync::Arc;

use super::Work;
use crate::detect::cut::Code;
use crate::detect::joint::{self, Joint, Scalar};
use crate::detect::lanes::mixed;
use crate::detect::stream::{Places, Source};
use crate::record::Batch;

/// The relations that streams ask for, one scalar each.
#[derive(Debug, Clone)]
pub(super) struct Relations {
    pub(super) joint: Arc<Joint>,
    pub(super) asked: Vec<Scalar>,
    /// The first stream that asks: its columns' own come before it.
    pub(super) first: usize,
    places: Arc<Places>,
    pub(super) numbers: joint::Numbers,
    /// Of so many rows one is looked at.
    pub(super) one_in: u64,
    /// Those of the last chunk that were.
    pub(super) looked_at: Range<usize>,
}

impl Relations {
    /// Tells every stream that asks which of the scalars is its own.
    pub(super) fn new(sources: &mut [Work], joint: &Arc<Joint>, places: Places) -> Option<Self> {
        let (mut asked, mut first) = (Vec::new(), None);
        for (stream, work) in sources.iter_mut().enumerate() {
            if let Source::Joint { scalar, .. } = work.source {
                first = first.or(Some(stream));
                work.asks = asked.len();
                asked.push(scalar);
            }
        }
        Some(Self {
            joint: Arc::clone(joint),
            asked,
            first: first?,
            places: Arc::new(places),
            numbers: joint::Numbers::default(),
            one_in: 1,
            looked_at: 0..0,
        })
    }

    /// Looks at a chunk's rows, or at some of them in a row, chosen without a look at what they hold.
    pub(super) fn compute(&mut self, batch: &Batch, rows: &Range<usize>, codes: &[Vec<Code>], first: u64) {
        self.looked_at = one_of(rows.len(), self.one_in, first);
        let (from, to) = (rows.start + self.looked_at.start, rows.start + self.looked_at.end);
        let skipped = self.looked_at.start;
        let chunk = joint::Chunk { batch, rows: &(from..to), codes, skipped, places: &self.places };
        self.joint.compute(&chunk, &self.asked, &mut self.numbers);
    }
}

/// One in so many of a chunk's rows: a stretch of them, or now and then all of few. Each row's turn comes as often.
fn one_of(rows: usize, one_in: u64, first: u64) -> Range<usize> {
    let one_in = usize::try_from(one_in.max(1)).unwrap_or(usize::MAX);
    let turn = usize::try_from(mixed(first) & 0xFFFF).unwrap_or(0) % one_in;
    if rows < one_in {
        return if turn == 0 { 0..rows } else { 0..0 };
    }
    turn * rows / one_in..(turn + 1) * rows / one_in
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of chunks of any size one row in so many is looked at, no place of a chunk more often than another, and all
    /// where nothing is thinned.
    #[test]
    fn every_place_has_its_turn() {
        for rows in [1, 5, 9, 64, 1_023, 1_024] {
            assert_eq!(one_of(rows, 1, 77), 0..rows);
            let mut looked_at = vec![0_u32; rows];
            let chunks = 8_000;
            for chunk in 0..chunks {
                for place in one_of(rows, 8, chunk * 1_024) {
                    looked_at[place] += 1;
                }
            }
            assert!(looked_at.iter().all(|n| (800..1_200).contains(n)), "{rows}: {looked_at:?}");
        }
    }
}
