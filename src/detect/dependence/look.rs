use super::blocks::Blocks;
use super::gaps::Gaps;
use super::{FALSE_ALARM, Margins, Sequence, larger, smaller};

/// Both views of one sequence, and the level at which they speak.
pub(super) struct Look {
    bins: usize,
    blocks: Blocks,
    gaps: Gaps,
    /// Comparisons made, over all streams.
    tests: f64,
}

impl Look {
    pub(super) fn of(sequence: &Sequence<'_>, streams: usize) -> Option<Self> {
        let margins = Margins::of(sequence)?;
        let blocks = Blocks::of(sequence, &margins);
        let gaps = Gaps::of(sequence, &margins);
        let tests = (blocks.tests() + gaps.tests()).max(1) * streams.max(1);
        Some(Self {
            bins: sequence.bins,
            blocks,
            gaps,
            tests: crate::units::count(crate::units::whole(tests)),
        })
    }

    /// Whether independence is rejected anywhere.
    pub(super) fn rejects(&self) -> bool {
        self.p_value() < FALSE_ALARM
    }

    /// The smallest chance of all comparisons, times their number.
    pub(super) fn p_value(&self) -> f64 {
        let of_bins = (0..self.bins).flat_map(|b| [self.gaps.p_value(b), self.blocks.bin(b).p_value()]);
        let all = of_bins.chain([self.blocks.pooled().p_value(), self.blocks.score().p_value()]);
        smaller(all.fold(1.0, smaller) * self.tests, 1.0)
    }

    fn is_below(&self, p: f64) -> bool {
        p * self.tests < FALSE_ALARM
    }

    /// The factor of one bin that is not independent by itself.
    pub(super) fn bin(&self, bin: usize) -> Option<f64> {
        let counts = self.blocks.bin(bin);
        let close = self.is_below(self.gaps.p_value(bin));
        if !close && !self.is_below(counts.p_value()) {
            return None;
        }
        let clumped = self.gaps.upper(bin);
        let Some(counted) = counts.upper() else { return Some(larger(clumped, 1.0)) };
        let bounded = if self.tells_by_gaps(bin) && clumped > 1.0 {
            let likely = larger(clumped, counts.value().unwrap_or(1.0));
            larger(smaller(counted, likely), clumped)
        } else {
            counted
        };
        Some(larger(bounded, 1.0))
    }

    /// Few clumps in few long blocks say little: the gaps tell better how large they are.
    fn tells_by_gaps(&self, bin: usize) -> bool {
        self.is_below(self.gaps.p_value(bin)) && self.blocks.bin(bin).is_settled_at_once()
    }

    /// The factor of the sum of scores.
    pub(super) fn score(&self) -> f64 {
        let score = self.blocks.score();
        if self.is_wide() { larger(score.upper().unwrap_or(1.0), 1.0) } else { 1.0 }
    }

    /// The factor of all bins together, when they or the scores are not independent.
    pub(super) fn pooled(&self) -> Option<f64> {
        self.is_wide().then(|| larger(self.blocks.pooled().upper().unwrap_or(1.0), 1.0))
    }

    fn is_wide(&self) -> bool {
        [self.blocks.pooled(), self.blocks.score()].iter().any(|series| self.is_below(series.p_value()))
    }

    /// The longest memory of anything that is not independent.
    pub(super) fn decorrelation(&self) -> usize {
        let wide = [self.blocks.pooled(), self.blocks.score()];
        let wide = wide.iter().filter(|s| self.is_below(s.p_value())).map(|s| s.decorrelation());
        let bins = (0..self.bins).map(|bin| {
            let counts = self.blocks.bin(bin);
            let span = if self.is_below(self.gaps.p_value(bin)) { self.gaps.span(bin) } else { 1 };
            let spread = self.is_below(counts.p_value()) && !self.tells_by_gaps(bin);
            if spread { span.max(counts.decorrelation()) } else { span }
        });
        wide.chain(bins).max().unwrap_or(1)
    }
}
