//! What a model would have answered, as far as its features tell: boosted trees fitted to its answers in health.

use ndarray::{Array1, aview1};
use serde::{Deserialize, Serialize};

use crate::detect::cut::Code;
use crate::detect::trees::{self, Cuts, Growth, Task, Trees};
use crate::units::{count, single, whole};

/// Answers that have a surrogate, at the most.
pub(super) const SURROGATES_MAX: usize = 3;
/// Numbers with fewer distinct values than this are classes.
const CLASSES_MAX: usize = 12;
/// Probabilities nearer to 0 and 1 than this count as this near.
const PROBABILITY_MIN: f64 = 1e-4;
/// Of what is left of an answer's variance on rows that were not fitted, no more than this may be left, or features
/// tell nothing of the answer.
const LEFT_MAX: f64 = 0.9;
/// Answers that go together as closely as this are one.
const SAME: f64 = 0.99;
const GROWTH: Growth =
    Growth { rounds: 120, depth: 6, rate: 0.12, task: Task::Number, cuts: Cuts::Histogram };
/// Where fewer of the answers than this lie on one side of one half, nobody decides there.
const SIDE_MIN: f64 = 0.01;
/// How far an answer that is broken on purpose lies on the way to another row's: such of another model lie nearer than
/// any row's, and such of another row are farther out still, so that they are worth no less. Of parts from 0.15 to 1
/// the one that finds an older model in a tenth of the rows of sfs-dev soonest.
const BROKEN_PART: f64 = 0.3;
/// A label is cut out of a number where no more of its rarer side's rows than this are on the wrong side of the cut,
const CUT_WRONG_MAX: f64 = 0.05;
/// and the rarer side has so many.
const CUT_ROWS_MIN: f64 = 10.0;
/// A number that was at most this, in units from the median, and is one more now, has moved.
const NUMBER_MOVES: [f64; 3] = [-1.5, -0.5, 0.5];

/// One answer and what foretells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Surrogate {
    /// The answer's column.
    pub(super) position: usize,
    scale: Scale,
    trees: Trees,
    /// Where an answer becomes the other decision, on its scale: as a recorded label tells, or at even odds where
    /// answers lie on both sides. None where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cut: Option<f64>,
    /// Whether there are more than two classes, of which it tells one from the rest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_one_of_many: bool,
}

/// On which scale an answer is compared: one on which the same step means about as much everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scale {
    /// A probability, as the logarithm of its odds.
    Odds,
    /// A number, as the inverse hyperbolic sine of its distance from the median: even near it, logarithmic far out.
    Number { middle: f64, unit: f64 },
    /// 1 in one bin of the answer's stream, else 0.
    Class(Code),
}

impl Scale {
    /// An answer on this scale; NaN where there is none.
    fn of(self, number: f64, code: Code) -> f64 {
        match self {
            Self::Odds => {
                let p = number.clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN);
                (p / (1.0 - p)).ln()
            }
            Self::Number { middle, unit } => ((number - middle) / unit).asinh(),
            Self::Class(class) => f64::from(u8::from(code == class)),
        }
    }

    /// The scale of an answer of the sample; nothing where it never varies.
    fn new(numbers: Option<&[f64]>, codes: &[Code]) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.unwrap_or(&[]).iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let mut distinct = sorted.clone();
        distinct.dedup_by(|a, b| a.total_cmp(b).is_eq());
        if distinct.len() > CLASSES_MAX {
            let at = |part: usize| sorted.get(sorted.len() * part / 4).copied();
            let (low, middle, high) = (at(1)?, at(2)?, at(3)?);
            if sorted.first().is_some_and(|v| *v >= 0.0) && sorted.last().is_some_and(|v| *v <= 1.0) {
                return Some(Self::Odds);
            }
            // Where half of all answers are one number, by what the others spread.
            let width = distinct.last()? - distinct.first()?;
            let unit = if high > low { high - low } else { width / 4.0 };
            return (unit.is_finite() && unit > 0.0).then_some(Self::Number { middle, unit });
        }
        let mut rows = [0_u64; 256];
        for code in codes {
            if let Some(n) = rows.get_mut(usize::from(*code)) {
                *n += 1;
            }
        }
        let by_rows = (0_u8..=u8::MAX).zip(rows).max_by_key(|(code, n)| (*n, u8::MAX - *code));
        let (most, n) = by_rows?;
        (n < whole(codes.len())).then_some(Self::Class(most))
    }
}

/// An answer of the sample on its scale.
pub(super) struct Target {
    pub(super) position: usize,
    scale: Scale,
    pub(super) values: Vec<f64>,
    is_class: bool,
    /// Distinct bins of its answers.
    bins: usize,
    cut: Option<f64>,
}

impl Target {
    /// Nothing where the answer never varies.
    pub(super) fn new(sampled: &super::sample::Sampled) -> Option<Self> {
        let scale = Scale::new(sampled.numbers.as_deref(), &sampled.codes)?;
        let number = |row: usize| sampled.numbers.as_ref().and_then(|n| n.get(row)).copied();
        let values: Vec<f64> = sampled
            .codes
            .iter()
            .enumerate()
            .map(|(row, code)| scale.of(number(row).unwrap_or(f64::NAN), *code))
            .collect();
        let mut bins = sampled.codes.clone();
        bins.sort_unstable();
        bins.dedup();
        let is_class = matches!(scale, Scale::Class(_));
        let cut = match scale {
            Scale::Odds => lies_on_both_sides(&values).then_some(0.0),
            Scale::Class(_) => Some(0.5),
            Scale::Number { .. } => None,
        };
        Some(Self { position: sampled.position, scale, values, is_class, bins: bins.len(), cut })
    }

    /// Takes the cut from the first label of two words that is this number's side of one.
    fn cut_by(&mut self, labels: &[(Vec<f64>, usize)]) {
        let pairs = labels.iter().filter(|(_, bins)| *bins == 2);
        if let Some(cut) = pairs.filter_map(|(label, _)| label_cut(&self.values, label)).next() {
            self.cut = Some(cut);
        }
    }
}

/// The answers that are worth a surrogate: numbers before classes, and none that another one tells already. Beyond
/// [`SURROGATES_MAX`] they are only counted.
pub(super) fn chosen(mut targets: Vec<Target>) -> (Vec<Target>, usize) {
    targets.sort_by_key(|t| (t.is_class, t.position));
    let labels: Vec<(Vec<f64>, usize)> =
        targets.iter().filter(|t| t.is_class).map(|t| (t.values.clone(), t.bins)).collect();
    targets.iter_mut().filter(|t| !t.is_class).for_each(|t| t.cut_by(&labels));
    let mut chosen: Vec<Target> = Vec::new();
    let mut left = 0;
    for target in targets {
        let is_told = chosen.iter().any(|other| {
            // A class that is cut out of a number is told by the number.
            (target.is_class && !other.is_class) || correlation(&target.values, &other.values).abs() > SAME
        });
        match (is_told, chosen.len() < SURROGATES_MAX) {
            (true, _) => {}
            (_, true) => chosen.push(target),
            (_, false) => left += 1,
        }
    }
    (chosen, left)
}

/// Whether logarithms of odds are above and below 0 often enough for a decision to be made there.
fn lies_on_both_sides(values: &[f64]) -> bool {
    let known: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let above = count(whole(known.iter().filter(|v| **v > 0.0).count()));
    let least = SIDE_MIN * count(whole(known.len()));
    above >= least && count(whole(known.len())) - above >= least
}

/// The number that separates the rows of a label (1 or 0) from the others best; nothing where none does well.
fn label_cut(numbers: &[f64], label: &[f64]) -> Option<f64> {
    let mut rows: Vec<(f64, f64)> =
        numbers.iter().copied().zip(label.iter().copied()).filter(|(v, _)| v.is_finite()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all = count(whole(rows.len()));
    let ones: f64 = rows.iter().map(|(_, is)| is).sum();
    let rarer = if ones < all - ones { ones } else { all - ones };
    let (mut below, mut ones_below) = (0.0, 0.0);
    let mut best: Option<(f64, f64)> = None;
    for pair in rows.windows(2) {
        let [(value, is), (next, _)] = pair else { continue };
        (below, ones_below) = (below + 1.0, ones_below + is);
        // Rows on the wrong side where the label is above the cut, and where it is below.
        let above_wrong = ones_below + (all - below) - (ones - ones_below);
        let wrong = if above_wrong < all - above_wrong { above_wrong } else { all - above_wrong };
        if next > value && best.is_none_or(|(least, _)| wrong < least) {
            best = Some((wrong, f64::midpoint(*value, *next)));
        }
    }
    let (wrong, cut) = best?;
    (rarer >= CUT_ROWS_MIN && wrong <= CUT_WRONG_MAX * rarer).then_some(cut)
}

/// Pearson's, over rows where both are known; 0 where one does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let known = a.iter().zip(b).filter(|(a, b)| a.is_finite() && b.is_finite());
    let (a, b): (Vec<f64>, Vec<f64>) = known.unzip();
    let centred = |values: Vec<f64>| {
        let values = Array1::from(values);
        let mean = values.sum() / count(whole(values.len()));
        values - mean
    };
    let (a, b) = (centred(a), centred(b));
    let found = a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt();
    if found.is_finite() { found } else { 0.0 }
}

/// Why an answer has no surrogate.
#[derive(Debug, thiserror::Error, Clone, PartialEq)]
pub(super) enum NoSurrogate {
    /// It is null in nearly all rows.
    #[error("too few rows have an answer")]
    TooFew,
    /// Features leave so much of its variance, from 0 to 1 and more.
    #[error(
        "the features that are recorded leave {:.0} % of the answers' variance unexplained",
        100.0 * if *.0 < 1.0 { *.0 } else { 1.0 }
    )]
    Unexplained(f64),
    /// The library gave up.
    #[error("no trees: {0}")]
    NoTrees(#[from] trees::Error),
}

/// What a relation says of rows that were not fitted, as they are and broken on purpose.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) whole: Vec<f64>,
    pub(super) broken: Vec<f64>,
}

impl Surrogate {
    /// Fits trees to the rows for which `fits` holds, and judges them by the others. Gives the residuals of those
    /// others too, and what they were if each answer were [`BROKEN_PART`] of the way to another one's.
    pub(super) fn fit(
        target: &Target,
        (matrix, width): (&[f32], usize),
        fits: impl Fn(usize) -> bool,
    ) -> Result<(Self, Held), NoSurrogate> {
        let is_known = |row: usize| target.values.get(row).is_some_and(|v| v.is_finite());
        let of = |wanted: bool| -> (Vec<f32>, Vec<f64>) {
            let (mut x, mut y) = (Vec::new(), Vec::new());
            for row in (0..target.values.len()).filter(|row| is_known(*row) && fits(*row) == wanted) {
                x.extend_from_slice(matrix.get(row * width..(row + 1) * width).unwrap_or(&[]));
                y.push(target.values.get(row).copied().unwrap_or(0.0));
            }
            (x, y)
        };
        let (x, y) = of(true);
        let (others, expected) = of(false);
        if y.len() < super::ROWS_MIN / 2 || expected.len() < super::ROWS_MIN / 8 {
            return Err(NoSurrogate::TooFew);
        }
        let y: Vec<f32> = y.into_iter().map(single).collect();
        let trees = Trees::fit(&x, width, &y, GROWTH)?;
        let mut told = Vec::new();
        trees.of(&others, width, &mut told)?;
        let residuals: Vec<f64> = expected.iter().zip(&told).map(|(y, told)| y - f64::from(*told)).collect();
        // Part of the way to the answer of a row from far away.
        let far = expected.iter().cycle().skip(expected.len() / 2);
        let part = |(y, other): (&f64, &f64)| (1.0 - BROKEN_PART) * y + BROKEN_PART * other;
        let answers = expected.iter().zip(far).map(part);
        let broken = answers.zip(&told).map(|(y, told)| y - f64::from(*told)).collect();
        let left = aview1(&residuals).var(0.0) / aview1(&expected).var(0.0);
        // What is not a number explains nothing.
        if left < LEFT_MAX {
            let is_one_of_many = target.is_class && target.bins > 2;
            let Target { position, scale, cut, .. } = *target;
            Ok((Self { position, scale, trees, cut, is_one_of_many }, Held { whole: residuals, broken }))
        } else {
            Err(NoSurrogate::Unexplained(left))
        }
    }

    /// What the trees say of rows, to be compared with the answers.
    pub(super) fn foretell(
        &self,
        (matrix, width): (&[f32], usize),
        out: &mut Vec<f32>,
    ) -> Result<(), trees::Error> {
        self.trees.of(matrix, width, out)
    }

    /// An answer less what the trees say; NaN where there is no answer.
    pub(super) fn residual(&self, number: f64, code: Code, told: f32) -> f64 {
        self.scale.of(number, code) - f64::from(told)
    }

    /// Whether two answers on the surrogate's scale are different decisions: on different sides of the cut, or for
    /// numbers without one farther apart than half of all answers in health. Nothing where one is not known, or
    /// nobody knows where decisions are made.
    pub(super) fn differs(&self, a: f64, b: f64) -> Option<bool> {
        if a.is_nan() || b.is_nan() {
            return None;
        }
        match (self.cut, self.scale) {
            (Some(cut), _) => Some((a > cut) != (b > cut)),
            (None, Scale::Number { .. }) => Some((a.sinh() - b.sinh()).abs() > 1.0),
            (None, _) => None,
        }
    }

    /// Whether it is known what another decision is.
    pub(super) const fn decides(&self) -> bool {
        self.cut.is_some() || matches!(self.scale, Scale::Number { .. })
    }

    /// Whether there are two decisions, on either side of a cut.
    pub(super) const fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Pairs of limits: who was below the lower and is above the upper now, or the other way round, has another
    /// decision. Nothing where nobody knows where decisions are made.
    pub(super) fn moves(&self) -> Vec<(f64, f64)> {
        match (self.cut, self.scale) {
            (Some(cut), _) => vec![(cut, cut)],
            (None, Scale::Number { .. }) => {
                NUMBER_MOVES.iter().map(|from| (from.asinh(), (from + 1.0).asinh())).collect()
            }
            (None, _) => Vec::new(),
        }
    }

    pub(super) const fn is_of_numbers(&self) -> bool {
        !matches!(self.scale, Scale::Class(_))
    }

    pub(super) fn is_sound(&self, width: usize) -> bool {
        let scale = match self.scale {
            Scale::Number { middle, unit } => middle.is_finite() && unit.is_finite() && unit > 0.0,
            Scale::Odds | Scale::Class(_) => true,
        };
        scale && self.cut.is_none_or(f64::is_finite) && self.trees.width() == width
    }
}
