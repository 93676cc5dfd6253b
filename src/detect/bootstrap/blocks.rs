use std::ops::Range;

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Step numbers of a circular block bootstrap: stretches of `block` steps that start anywhere, the first
/// step following the last. Without end; a stretch that goes round the end comes in parts.
///
/// Every step is drawn equally often, and what depends on the steps before keeps doing so within a
/// stretch: `block` is at least twice their memory. A step keeps its rows and its own hour. What the
/// bootstrap cannot show is how far the baseline itself is from the truth: its steps are those that the
/// limits were made from, so it stands beside limits with confidence, never in their place.
///
/// # Source
/// Politis and Romano (1992), A circular block-resampling procedure for stationary data, in Exploring
/// the Limits of Bootstrap.
#[derive(Debug)]
pub(super) struct CircularBlocks {
    steps: usize,
    block: usize,
    left: usize,
    step: usize,
    random: StdRng,
}

impl CircularBlocks {
    /// `None` without steps or with empty blocks. Blocks longer than the baseline go round it.
    pub(super) fn new(steps: usize, block: usize, seed: u64) -> Option<Self> {
        let usable = steps > 0 && block > 0;
        usable.then(|| Self { steps, block, left: 0, step: 0, random: StdRng::seed_from_u64(seed) })
    }

    /// Begins the next block now.
    pub(super) const fn restart(&mut self) {
        self.left = 0;
    }
}

impl Iterator for CircularBlocks {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.left == 0 {
            self.step = self.random.random_range(0..self.steps);
            self.left = self.block;
        }
        let stretch = self.step..self.steps.min(self.step + self.left);
        self.left -= stretch.len();
        self.step = if stretch.end < self.steps { stretch.end } else { 0 };
        Some(stretch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(steps: usize, block: usize, seed: u64, n: usize) -> Vec<usize> {
        CircularBlocks::new(steps, block, seed).unwrap().flatten().take(n).collect()
    }

    /// Blocks are stretches of the baseline that go round its end, drawn evenly, the same for a seed.
    #[test]
    fn blocks_go_round() {
        let drawn = steps(10, 4, 1, 40_000);
        for stretch in drawn.chunks(4) {
            assert!(stretch.windows(2).all(|w| w[1] == (w[0] + 1) % 10), "{stretch:?}");
        }
        for step in 0..10 {
            let times = drawn.iter().filter(|s| **s == step).count();
            assert!((3_700..4_300).contains(&times), "step {step}: {times} of 40000");
        }
        assert_eq!(steps(1_000, 7, 5, 100), steps(1_000, 7, 5, 100));
        assert_ne!(steps(1_000, 7, 5, 100), steps(1_000, 7, 6, 100));
        let round = steps(3, 7, 2, 7);
        assert!(round.windows(2).all(|w| w[1] == (w[0] + 1) % 3), "{round:?}");
        assert!(CircularBlocks::new(0, 4, 1).is_none() && CircularBlocks::new(4, 0, 1).is_none());
    }
}
