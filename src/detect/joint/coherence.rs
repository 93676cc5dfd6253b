//! Whether the features of a row belong together: trees that tell rows from rows of which a part was taken from
//! another row, as a store does that answers for the wrong entity.
//!
//! What such trees answer is the logarithm of a ratio of densities (Gutmann and Hyvärinen, 2012, J. Mach. Learn.
//! Res. 13:307: noise-contrastive estimation), so that it is near the best statistic there is for that fault.

use ndarray::aview1;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::surrogate::Held;
use crate::detect::trees::{self, Cuts, Growth, Task, Trees};
use crate::units::{count, whole};

const GROWTH: Growth = Growth { rounds: 120, depth: 6, rate: 0.12, task: Task::Odds, cuts: Cuts::Histogram };
/// Mixed rows for each row, at the most, and cells of all together.
const MIXED_PER_ROW: usize = 4;
const CELLS_MAX: usize = 4_000_000;
/// The seed of what is mixed: the same sample gives the same trees.
const SEED: u64 = 0x05EE_D0FC;
/// Standard errors by which rows must be told from mixed ones, of those that were not fitted.
const CHANCE: f64 = 5.0;

/// What tells whether features belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Coherence {
    trees: Trees,
}

/// Why nothing tells whether features belong together.
#[derive(Debug, thiserror::Error, Clone, PartialEq)]
pub(super) enum NoCoherence {
    /// Not enough rows to learn from, or to judge by.
    #[error("too few rows")]
    TooFew,
    /// Rows are not told from mixed ones.
    #[error("they tell nothing of each other")]
    Unrelated,
    /// The library gave up.
    #[error("no trees: {0}")]
    NoTrees(#[from] trees::Error),
}

impl Coherence {
    /// Fits to the rows for which `fits` holds; gives what it says of the others too.
    pub(super) fn fit(
        (matrix, width): (&[f32], usize),
        groups: &[Vec<usize>],
        fits: impl Fn(usize) -> bool,
    ) -> Result<(Self, Held), NoCoherence> {
        if width < 2 {
            return Err(NoCoherence::Unrelated);
        }
        let rows: Vec<&[f32]> = matrix.chunks_exact(width).collect();
        let of = |wanted: bool| -> Vec<&[f32]> {
            let mine = rows.iter().enumerate().filter(|(row, _)| fits(*row) == wanted);
            mine.map(|(_, row)| *row).collect()
        };
        let (fitted, others) = (of(true), of(false));
        if fitted.len() < super::ROWS_MIN / 2 || others.len() < super::ROWS_MIN / 8 {
            return Err(NoCoherence::TooFew);
        }
        let mut mixer =
            Mixer { random: StdRng::seed_from_u64(SEED), groups, width, order: (0..width).collect() };
        let copies = (CELLS_MAX / (2 * fitted.len() * width)).clamp(1, MIXED_PER_ROW);
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for _ in 0..copies {
            for row in &fitted {
                x.extend_from_slice(row);
                y.push(1.0);
            }
            mixer.mix(&fitted, &mut x);
            y.resize(x.len() / width, 0.0);
        }
        let trees = Trees::fit(&x, width, &y, GROWTH)?;
        let (mut whole_rows, mut mixed_rows, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
        trees.of(&others.concat(), width, &mut whole_rows)?;
        mixer.mix(&others, &mut mixed);
        trees.of(&mixed, width, &mut mixed_rows)?;
        let whole: Vec<f64> = whole_rows.iter().map(|v| f64::from(*v)).collect();
        let broken: Vec<f64> = mixed_rows.iter().map(|v| f64::from(*v)).collect();
        // What is not a number tells nothing.
        if z(&whole, &broken) > CHANCE {
            Ok((Self { trees }, Held { whole, broken }))
        } else {
            Err(NoCoherence::Unrelated)
        }
    }

    /// The logarithm of the odds that the features of each row belong together, in nats; evenly many mixed rows
    /// given.
    pub(super) fn of(
        &self,
        (matrix, width): (&[f32], usize),
        out: &mut Vec<f32>,
    ) -> Result<(), trees::Error> {
        self.trees.of(matrix, width, out)
    }

    pub(super) fn is_sound(&self, width: usize) -> bool {
        self.trees.width() == width
    }
}

/// By how many standard errors two samples differ in mean.
fn z(a: &[f64], b: &[f64]) -> f64 {
    let of = |values: &[f64]| {
        let (n, values) = (count(whole(values.len())), aview1(values));
        (values.sum() / n, values.var(0.0) / n)
    };
    let ((a, va), (b, vb)) = (of(a), of(b));
    (a - b) / (va + vb).sqrt()
}

struct Mixer<'a> {
    random: StdRng,
    /// The inputs of each group, by their place in a row.
    groups: &'a [Vec<usize>],
    width: usize,
    order: Vec<usize>,
}

impl Mixer<'_> {
    /// Each row with a part of another one: of some inputs up to half of them, or of some groups where there are
    /// several.
    fn mix(&mut self, rows: &[&[f32]], out: &mut Vec<f32>) {
        let mut donors: Vec<usize> = (0..rows.len()).collect();
        donors.shuffle(&mut self.random);
        for (row, donor) in rows.iter().zip(donors) {
            let from = out.len();
            out.extend_from_slice(row);
            let Some(donor) = rows.get(donor) else { continue };
            let Some(mixed) = out.get_mut(from..) else { continue };
            let mut take = |input: usize| {
                if let (Some(place), Some(value)) = (mixed.get_mut(input), donor.get(input)) {
                    *place = *value;
                }
            };
            if self.groups.len() > 1 && self.random.random_bool(0.5) {
                let n = self.random.random_range(1..self.groups.len());
                let mut groups: Vec<&Vec<usize>> = self.groups.iter().collect();
                groups.shuffle(&mut self.random);
                groups.into_iter().take(n).flatten().for_each(|input| take(*input));
            } else {
                let n = self.random.random_range(1..=(self.width / 2).max(1));
                self.order.shuffle(&mut self.random);
                self.order.iter().take(n).for_each(|input| take(*input));
            }
        }
    }
}
