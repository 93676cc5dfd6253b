use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cut::Code;
use crate::record::{Cell, Column, Kind as ColumnKind, Scalar};
use crate::units::{count, whole};

/// Quantile bins of a numeric column, at the most.
const QUANTILE_BINS: usize = 16;
/// The outermost quantile bins are cut again so far from the ends: one row in so many, rarest first.
const TAILS: [usize; 3] = [200, 64, 32];
/// Values frequent enough for a bin of their own, at the most.
const ATOMS_MAX: usize = 12;
/// The share of planning rows that makes a value an atom.
const ATOM_SHARE: f64 = 0.004;
/// A column with no more distinct values than this is discrete: each is an atom.
const DISCRETE_MAX: usize = 24;
/// Beyond the range by this share of its width is far, ...
const FAR_SHARE: f64 = 0.5;
/// ... or by so many widths of the outermost interval, if that is more: a heavy tail reaches farther.
const FAR_TAIL: f64 = 2.0;
const FAR_BELOW: usize = 9;
const FAR_ABOVE: usize = 10;
/// The planning range is widened by this share of its width before values count as outside.
const RANGE_MARGIN: f64 = 0.02;
/// Categories with a bin of their own, at the most; the other known ones share a bin.
const CATEGORIES_MAX: usize = 60;

/// What one bin of a stream stands for. Each belongs to exactly one detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bin {
    /// Null, or the key was absent.
    Null,
    /// A value of another type.
    WrongType,
    /// Not a number.
    NotANumber,
    /// Positive or negative infinity.
    Infinite,
    /// Exactly zero.
    Zero,
    /// The declared default, where it is not zero.
    Default,
    /// Below all that planning rows had.
    BelowRange,
    /// Above all that planning rows had.
    AboveRange,
    /// Below it by more than half of its width.
    FarBelow,
    /// Above it by more than half of its width.
    FarAbove,
    /// A value where planning rows had none, or a category that they lacked.
    Unseen,
    /// A numeric interval, from (exclusive) to (inclusive).
    Between(f64, f64),
    /// One number that comes often.
    Number(f64),
    /// One category.
    Category(String),
    /// Known categories too rare for a bin of their own.
    OtherCategory,
    /// Text that is there: free text is watched for presence only.
    Text,
    /// A place in the plan that no cell of this column can fall into.
    Never,
    /// Every feature of the group that can be is zero or false.
    GroupZero,
    /// The same, where some have a declared default that counts as well.
    GroupDefault,
    /// So many more features of the group are zero or at their default than planning rows ever had.
    ManyZeros(u8),
    /// Some feature of the group is something else.
    GroupAlive,
    /// A declared rule was broken.
    Broken,
    /// Every declared rule was kept.
    Kept,
    /// So many members of the group (or the one column) have the value of the row before.
    Repeats(u8),
    /// The number lies on a grid of so many decimals; from 7 on, on the grid of a narrower float.
    Grid(u8),
    /// The row, or the request, is new.
    First,
    /// The row was seen already: 3 just before, 2 within 512 rows, 1 within 2,048.
    SeenAgo(u8),
    /// The request was delivered already.
    Again,
    /// So many columns of the group, or more, have what planning rows never had; 0 for fewer.
    Unusual(u8),
    /// The second answer is where planning rows had it with the first.
    Agrees,
    /// It is elsewhere.
    Contradicts,
    /// The entity's values of the group are what they were.
    Unchanged,
    /// The entity's values of the group have changed.
    Changed,
}

impl Bin {
    /// Whether the bin is known without looking at data, so that every baseline row counts for it.
    ///
    /// The others are chosen from the planning rows, and a count over the same rows would be biased.
    pub(super) const fn is_known_beforehand(&self) -> bool {
        !matches!(
            self,
            Self::BelowRange
                | Self::AboveRange
                | Self::FarBelow
                | Self::FarAbove
                | Self::Unseen
                | Self::Between(..)
                | Self::Number(_)
                | Self::Category(_)
                | Self::OtherCategory
                | Self::Unusual(_)
                | Self::ManyZeros(_)
                | Self::Agrees
                | Self::Contradicts
        )
    }

    /// Where the bin's values lie on the number line; nothing for what is no number.
    pub(super) const fn place(&self) -> Option<f64> {
        match self {
            Self::BelowRange | Self::FarBelow => Some(f64::NEG_INFINITY),
            Self::AboveRange | Self::FarAbove => Some(f64::INFINITY),
            Self::Zero => Some(0.0),
            Self::Number(v) => Some(*v),
            Self::Between(low, high) => Some(f64::midpoint(*low, *high)),
            _ => None,
        }
    }

    /// Whether the bin is special: where planning rows had none of it, hardly any other row has.
    pub(super) const fn is_special(&self) -> bool {
        matches!(
            self,
            Self::Null
                | Self::WrongType
                | Self::NotANumber
                | Self::Infinite
                | Self::Zero
                | Self::Default
                | Self::FarBelow
                | Self::FarAbove
                | Self::Unseen
                | Self::Grid(_)
        )
    }
}

/// How the cells of one column fall into bins: chosen once, from the planning rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Plan {
    Numeric { default: Option<f64>, atoms: Vec<f64>, edges: Vec<f64> },
    Words { default: Option<String>, own: BTreeMap<String, usize>, known: Vec<String> },
    Presence,
}

/// Positions of the bins that every numeric column has; intervals and atoms follow.
const NUMERIC_HEAD: [Bin; 11] = [
    Bin::Null,
    Bin::WrongType,
    Bin::NotANumber,
    Bin::Infinite,
    Bin::Zero,
    Bin::Default,
    Bin::BelowRange,
    Bin::AboveRange,
    Bin::Unseen,
    Bin::FarBelow,
    Bin::FarAbove,
];
const WORDS_HEAD: [Bin; 5] = [Bin::Null, Bin::WrongType, Bin::Default, Bin::Unseen, Bin::OtherCategory];
const UNSEEN_WORD: Code = 3;
const RARE_WORD: Code = 4;
const PRESENCE: [Bin; 3] = [Bin::Null, Bin::WrongType, Bin::Text];

impl Plan {
    /// The bins in the order of [`Plan::bin`].
    pub(super) fn bins(&self) -> Vec<Bin> {
        match self {
            Self::Numeric { default, atoms, edges } => {
                let mut bins = NUMERIC_HEAD.to_vec();
                never(&mut bins, &Bin::Default, default.is_none());
                never(&mut bins, &Bin::Unseen, !edges.is_empty());
                never(&mut bins, &Bin::BelowRange, edges.is_empty());
                never(&mut bins, &Bin::AboveRange, edges.is_empty());
                never(&mut bins, &Bin::FarBelow, edges.is_empty());
                never(&mut bins, &Bin::FarAbove, edges.is_empty());
                bins.extend(edges.windows(2).filter_map(|pair| match pair {
                    [low, high] => Some(Bin::Between(*low, *high)),
                    _ => None,
                }));
                bins.extend(atoms.iter().map(|a| Bin::Number(*a)));
                bins
            }
            Self::Words { default, own, known } => {
                let mut bins = WORDS_HEAD.to_vec();
                never(&mut bins, &Bin::Default, default.is_none());
                never(&mut bins, &Bin::OtherCategory, known.is_empty());
                let mut names: Vec<_> = own.iter().collect();
                names.sort_by_key(|(_, position)| **position);
                bins.extend(names.into_iter().map(|(name, _)| Bin::Category(name.clone())));
                bins
            }
            Self::Presence => PRESENCE.to_vec(),
        }
    }

    /// The positions of unseen words and of rare ones, where there were more than are remembered.
    pub(super) fn endless_words(&self) -> Option<(Code, Code)> {
        match self {
            Self::Words { own, known, .. } if own.len() + known.len() >= PLANNED_WORDS_MAX => {
                Some((UNSEEN_WORD, RARE_WORD))
            }
            _ => None,
        }
    }

    /// The position of the bin that a cell falls into.
    pub(super) fn bin(&self, cell: Cell<'_>) -> usize {
        match (self, cell) {
            (_, Cell::Null) => 0,
            (Self::Numeric { default, atoms, edges }, Cell::Number(v)) => {
                numeric_bin(v, *default, atoms, edges)
            }
            (Self::Words { default, own, known }, Cell::Text(word)) => {
                words_bin(word, default.as_deref(), own, known)
            }
            (Self::Presence, Cell::Text(_)) => 2,
            _ => 1,
        }
    }
}

/// Marks a bin that the column cannot have: nobody bets on it, and nobody is quiet about it.
fn never(bins: &mut [Bin], bin: &Bin, cannot: bool) {
    for place in bins.iter_mut().filter(|place| cannot && *place == bin) {
        *place = Bin::Never;
    }
}

pub(super) fn numeric_bin(v: f64, default: Option<f64>, atoms: &[f64], edges: &[f64]) -> usize {
    if v.is_nan() {
        return 2;
    }
    if v.is_infinite() {
        return 3;
    }
    if v == 0.0 {
        return 4;
    }
    if default.is_some_and(|d| d.total_cmp(&v).is_eq()) {
        return 5;
    }
    let head = NUMERIC_HEAD.len();
    let intervals = edges.len().saturating_sub(1);
    if let Ok(i) = atoms.binary_search_by(|a| a.total_cmp(&v)) {
        return head + intervals + i;
    }
    match (edges.first(), edges.last()) {
        (Some(low), _) if v < *low => match far(edges) {
            Some((below, _)) if v < below => FAR_BELOW,
            _ => 6,
        },
        (_, Some(high)) if v > *high => match far(edges) {
            Some((_, above)) if v > above => FAR_ABOVE,
            _ => 7,
        },
        (Some(_), Some(_)) => {
            // The first interval also holds its own lower edge.
            let above = edges.partition_point(|e| *e < v);
            head + above.saturating_sub(1).min(intervals.saturating_sub(1))
        }
        _ => 8,
    }
}

/// The values below and above which a number lies far out of a range: by half of its width, or by twice
/// the width of the outermost interval (which begins at the last value of one row in 200). A number of
/// the other sign is far from numbers of one sign.
pub(super) fn far(edges: &[f64]) -> Option<(f64, f64)> {
    let (low, high) = (edges.first()?, edges.last()?);
    let (second, last_but_one) = (edges.get(1)?, edges.get(edges.len().checked_sub(2)?)?);
    let beyond = |tail: f64| {
        let (by_range, by_tail) = (FAR_SHARE * (high - low), FAR_TAIL * tail);
        if by_tail > by_range { by_tail } else { by_range }
    };
    // The range was widened: zero may lie just outside of what planning rows had.
    let margin = RANGE_MARGIN / 2.0_f64.mul_add(RANGE_MARGIN, 1.0) * (high - low);
    let nothing = 1e-9 * (high - low);
    let (below, above) = (low - beyond(second - low), high + beyond(high - last_but_one));
    let (lowest, highest) = (if *low < 0.0 { *low } else { 0.0 }, if *high > 0.0 { *high } else { 0.0 });
    let has_no_negative = low + margin >= -nothing && below < lowest;
    let has_no_positive = high - margin <= nothing && above > highest;
    Some((if has_no_negative { lowest } else { below }, if has_no_positive { highest } else { above }))
}

pub(super) fn words_bin(
    word: &str,
    default: Option<&str>,
    own: &BTreeMap<String, usize>,
    known: &[String],
) -> usize {
    if default == Some(word) {
        return 2;
    }
    if let Some(position) = own.get(word) {
        return WORDS_HEAD.len() + position;
    }
    let is_known = known.binary_search_by(|k| k.as_str().cmp(word)).is_ok();
    usize::from(if is_known { RARE_WORD } else { UNSEEN_WORD })
}

/// Values of the planning rows of one column, bounded.
#[derive(Debug)]
pub(super) enum Planning {
    Numeric { default: Option<f64>, values: Vec<f64> },
    Words { default: Option<String>, counts: BTreeMap<String, u64> },
    Presence,
}

/// Distinct words remembered while planning; later ones are unseen to the plan and counted so.
const PLANNED_WORDS_MAX: usize = 10_000;

impl Planning {
    pub(super) fn new(column: &Column) -> Self {
        match column.kind {
            ColumnKind::Numeric | ColumnKind::Embedding => {
                let default = match column.default {
                    Some(Scalar::Number(d)) if d != 0.0 => Some(d),
                    _ => None,
                };
                Self::Numeric { default, values: Vec::new() }
            }
            ColumnKind::Categorical | ColumnKind::Boolean => {
                let default = match &column.default {
                    Some(Scalar::Text(d)) => Some(d.clone()),
                    Some(Scalar::Bool(d)) => Some(d.to_string()),
                    _ => None,
                };
                Self::Words { default, counts: BTreeMap::new() }
            }
            ColumnKind::Text => Self::Presence,
        }
    }

    pub(super) fn observe(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Numeric { default, values }, Cell::Number(v)) => {
                let special = v == 0.0 || default.is_some_and(|d| d.total_cmp(&v).is_eq());
                if v.is_finite() && !special {
                    values.push(v);
                }
            }
            (Self::Words { default, counts }, Cell::Text(word)) => {
                if default.as_deref() == Some(word) {
                    return;
                }
                if let Some(n) = counts.get_mut(word) {
                    *n += 1;
                } else if counts.len() < PLANNED_WORDS_MAX {
                    counts.insert(word.to_owned(), 1);
                }
            }
            _ => {}
        }
    }

    /// Whether every category came more than once: then hardly any is left to be seen (Good 1953,
    /// Biometrika 40:237: the share of unseen ones is about that of those seen once).
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Words { counts, .. } => {
                counts.len() < PLANNED_WORDS_MAX && !counts.is_empty() && counts.values().all(|n| *n > 1)
            }
            Self::Numeric { .. } | Self::Presence => false,
        }
    }

    pub(super) fn plan(self) -> Plan {
        match self {
            Self::Numeric { default, values } => plan_numeric(default, values),
            Self::Words { default, counts } => plan_words(default, counts),
            Self::Presence => Plan::Presence,
        }
    }
}

fn plan_numeric(default: Option<f64>, mut values: Vec<f64>) -> Plan {
    values.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (values.first().copied(), values.last().copied()) else {
        return Plan::Numeric { default, atoms: Vec::new(), edges: Vec::new() };
    };
    let atoms = choose_atoms(&values);
    let rest: Vec<f64> =
        values.iter().copied().filter(|v| atoms.binary_search_by(|a| a.total_cmp(v)).is_err()).collect();
    let (lowest, highest) = widened((low, high), RANGE_MARGIN);
    let mut edges = vec![lowest];
    let tail = |share: usize| rest.len() / share;
    edges.extend(TAILS.iter().filter_map(|share| rest.get(tail(*share)).filter(|_| tail(*share) > 0)));
    edges.extend((1..QUANTILE_BINS).filter_map(|i| rest.get(rest.len() * i / QUANTILE_BINS).copied()));
    let upper =
        |share: &usize| rest.get(rest.len().checked_sub(1 + tail(*share)).filter(|_| tail(*share) > 0)?);
    edges.extend(TAILS.iter().rev().filter_map(upper));
    edges.push(highest);
    edges.dedup_by(|a, b| a.total_cmp(b).is_eq());
    if edges.len() == 1 {
        // A constant column: one interval, of no width, that holds it.
        edges.push(high);
    }
    Plan::Numeric { default, atoms, edges }
}

/// A range wider at both ends by a share of its width, within what a double can hold: an infinite edge can
/// be written to no file, and an infinite number lies beyond every range.
pub(super) fn widened((low, high): (f64, f64), share: f64) -> (f64, f64) {
    let width = high - low;
    let margin = if width.is_finite() { share * width } else { share * high - share * low };
    ((low - margin).clamp(f64::MIN, f64::MAX), (high + margin).clamp(f64::MIN, f64::MAX))
}

/// Values that come often enough for a bin of their own, sorted.
fn choose_atoms(sorted: &[f64]) -> Vec<f64> {
    let mut runs: Vec<(f64, u64)> = Vec::new();
    for &v in sorted {
        match runs.last_mut() {
            Some((last, n)) if last.total_cmp(&v).is_eq() => *n += 1,
            _ => runs.push((v, 1)),
        }
    }
    let discrete = runs.len() <= DISCRETE_MAX;
    let floor = ATOM_SHARE * count(whole(sorted.len()));
    let mut frequent: Vec<(f64, u64)> =
        runs.into_iter().filter(|(_, n)| discrete || (*n > 1 && count(*n) > floor)).collect();
    frequent.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.total_cmp(&b.0)));
    frequent.truncate(if discrete { DISCRETE_MAX } else { ATOMS_MAX });
    let mut atoms: Vec<f64> = frequent.into_iter().map(|(v, _)| v).collect();
    atoms.sort_by(f64::total_cmp);
    atoms
}

fn plan_words(default: Option<String>, counts: BTreeMap<String, u64>) -> Plan {
    let mut by_count: Vec<(String, u64)> = counts.into_iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let rare = by_count.split_off(by_count.len().min(CATEGORIES_MAX));
    let own = by_count.into_iter().enumerate().map(|(i, (name, _))| (name, i)).collect();
    let mut known: Vec<String> = rare.into_iter().map(|(name, _)| name).collect();
    known.sort();
    Plan::Words { default, own, known }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(values: &[f64]) -> Plan {
        plan_numeric(None, values.to_vec())
    }

    fn check(plan: &Plan, v: f64, expected: &Bin) {
        let bins = plan.bins();
        assert_eq!(&bins[plan.bin(Cell::Number(v))], expected, "{v}");
    }

    /// What a number can be falls into different bins: zero, out of range, an atom, none of them.
    #[test]
    fn numbers_fall_where_they_belong() {
        let mut values: Vec<f64> = (0..1_000).map(|i| 10.0 + f64::from(i) / 100.0).collect();
        values.extend([12.5; 400]);
        let plan = numeric(&values);
        for (v, bin) in [
            (0.0, Bin::Zero),
            (-0.0, Bin::Zero),
            (f64::NAN, Bin::NotANumber),
            (f64::NEG_INFINITY, Bin::Infinite),
            (9.0, Bin::BelowRange),
            (21.0, Bin::AboveRange),
            (12.5, Bin::Number(12.5)),
        ] {
            check(&plan, v, &bin);
        }
        for v in [10.0, 11.111, 19.99] {
            let bins = plan.bins();
            let Bin::Between(low, high) = bins[plan.bin(Cell::Number(v))] else {
                panic!("{v} is in an interval")
            };
            assert!(low <= v && v <= high, "{v} in ({low}, {high}]");
        }
    }

    /// Far is by the range, by a heavy tail, or by the sign.
    #[test]
    fn far_is_told_from_near() {
        let even: Vec<f64> = (0..1_000).map(|i| f64::from(i) / 100.0).collect();
        let heavy: Vec<f64> = (1..1_000).map(|i| 1.0 / f64::from(i)).collect();
        for (values, v, bin) in [
            (&even, 12.0, Bin::AboveRange),
            (&even, 16.0, Bin::FarAbove),
            (&even, -0.3, Bin::FarBelow),
            (&heavy, 2.0, Bin::AboveRange),
            (&heavy, 4.0, Bin::FarAbove),
        ] {
            check(&numeric(values), v, &bin);
        }
        let plan = numeric(&even);
        let near = plan.bins()[plan.bin(Cell::Number(-0.1))].clone();
        assert!(matches!(near, Bin::Between(..)), "the range is widened beyond zero: {near:?}");
        let both: Vec<f64> = even.iter().map(|v| v - 5.0).collect();
        check(&numeric(&both), -9.0, &Bin::BelowRange);
    }

    /// Degenerate columns have a plan: constant, empty, two values.
    #[test]
    fn degenerate_columns() {
        check(&numeric(&[7.0; 50]), 7.0, &Bin::Number(7.0));
        check(&numeric(&[7.0; 50]), 7.5, &Bin::FarAbove);
        check(&numeric(&[]), 7.5, &Bin::Unseen);
        check(&numeric(&[1.0, 2.0]), 1.5, &Bin::Between(0.98, 2.02));
    }

    /// Words: frequent ones stand alone, rare ones share, others are unseen.
    #[test]
    fn words_fall_where_they_belong() {
        let mut counts: BTreeMap<String, u64> = (0..80).map(|i| (format!("w{i:02}"), 2)).collect();
        counts.insert("often".into(), 900);
        let plan = plan_words(None, counts);
        let bins = plan.bins();
        assert_eq!(bins[plan.bin(Cell::Text("often"))], Bin::Category("often".into()));
        assert_eq!(bins[plan.bin(Cell::Text("w79"))], Bin::OtherCategory);
        assert_eq!(bins[plan.bin(Cell::Text("new"))], Bin::Unseen);
        assert_eq!(bins[plan.bin(Cell::WrongType)], Bin::WrongType);
    }
}
