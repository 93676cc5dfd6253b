//! What there is to bet on: scalar streams, each cut into bins, with the baseline's counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Error;
use super::bins::{Bin, Plan};
use super::cut::{Code, SKIP};
use super::joint::Scalar;
use crate::record::{Contract, Schema, Status};

/// What a stream is made from. Columns are named by their position in the schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// One column.
    Column { position: usize, plan: Plan },
    /// The features of one group: are all zero or at their default, or more of them than the most that
    /// planning rows had?
    Group { members: Vec<usize>, has_defaults: bool, usual: usize },
    /// The declared rules of one column.
    Contract { position: usize, contract: Contract },
    /// Whether one column has the value of the row before.
    Repeat { position: usize },
    /// How many columns of a group do.
    SameCount { members: Vec<usize> },
    /// On which grid the numbers of a column lie: decimals, narrow floats.
    Grid { position: usize },
    /// Whether a row with the same features was seen lately.
    Replay,
    /// Whether the request was delivered already.
    Duplicate,
    /// Whether so many columns of a group at the least have what planning rows never had.
    Unusual { members: Vec<Rare>, least: u8 },
    /// What the service said of a feature.
    Status { position: usize },
    /// How old a feature was, in seconds.
    Age { position: usize, plan: Plan },
    /// Whether an entity's features of a group changed since it was last seen.
    Entity { members: Vec<usize> },
    /// Which replica, region, client … the row came from.
    Tag { name: String, plan: Plan },
    /// Two answers together: by bin of the first, the range of the second.
    Pair { first: usize, second: usize, ranges: Vec<Option<(f64, f64)>> },
    /// What a relation between columns makes of a row; columns are those that it is told of.
    Joint {
        scalar: Scalar,
        columns: Vec<usize>,
        plan: Plan,
        /// By bin: rows of a sample in which the relation was broken on purpose; empty where none were made.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        broken: Vec<u32>,
    },
    /// The same as [`Source::Group`], in the rows of one replica, region, client ….
    Slice { tag: String, value: String, members: Vec<usize>, has_defaults: bool, usual: usize },
}

/// A column with the bins that planning rows never had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rare {
    pub(super) position: usize,
    /// Special bins of the column that no planning row fell into.
    pub(super) codes: Vec<Code>,
    /// Grids that no planning row lay on.
    pub(super) grids: Vec<Code>,
}

/// What a stream is about: together with the bin it tells whose bet it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The values of a feature or answer.
    Value,
    /// A whole group in one row.
    Group,
    /// A declared rule.
    Contract,
    /// Values that stay: of a column, a group or an entity.
    Repeat,
    /// The resolution of numbers.
    Grid,
    /// Rows seen before.
    Replay,
    /// Requests delivered before.
    Duplicate,
    /// Unusual columns in one row.
    Unusual,
    /// What the service says of its features.
    Status,
    /// The age of a feature.
    Age,
    /// Where rows come from.
    Mix,
    /// Answers that belong together.
    Pair,
    /// Answers against what the features foretell.
    Residual,
    /// Whether features belong together.
    Coherence,
    /// A feature against what others foretell.
    Given,
    /// Categories that come together, or a clock and the hour.
    Odds,
}

/// By column: which stream has its values and which its grid, so that wide tables need no search.
#[derive(Debug, Default)]
pub(super) struct Places {
    values: BTreeMap<usize, usize>,
    grids: BTreeMap<usize, usize>,
}

impl Places {
    pub(super) fn of(streams: &[Stream]) -> Self {
        let mut places = Self::default();
        for (index, stream) in streams.iter().enumerate() {
            match stream.source {
                Source::Column { position, .. } => places.values.insert(position, index),
                Source::Grid { position } => places.grids.insert(position, index),
                _ => None,
            };
        }
        places
    }

    pub(super) fn value(&self, column: usize) -> Option<usize> {
        self.values.get(&column).copied()
    }

    pub(super) fn grid(&self, column: usize) -> Option<usize> {
        self.grids.get(&column).copied()
    }
}

impl Source {
    pub(super) const fn topic(&self) -> Topic {
        match self {
            Self::Column { .. } => Topic::Value,
            Self::Group { .. } | Self::Slice { .. } => Topic::Group,
            Self::Contract { .. } => Topic::Contract,
            Self::Repeat { .. } | Self::SameCount { .. } | Self::Entity { .. } => Topic::Repeat,
            Self::Grid { .. } => Topic::Grid,
            Self::Replay => Topic::Replay,
            Self::Duplicate => Topic::Duplicate,
            Self::Unusual { .. } => Topic::Unusual,
            Self::Status { .. } => Topic::Status,
            Self::Age { .. } => Topic::Age,
            Self::Tag { .. } => Topic::Mix,
            Self::Pair { .. } => Topic::Pair,
            Self::Joint { scalar, .. } => scalar.topic(),
        }
    }

    /// Whether it compares rows with rows before, so that it depends on how many of them are recorded.
    pub(super) const fn looks_back(&self) -> bool {
        matches!(self.topic(), Topic::Repeat | Topic::Replay | Topic::Duplicate)
    }

    /// The columns that it speaks of.
    pub(super) fn positions(&self) -> Vec<usize> {
        match self {
            Self::Column { position, .. }
            | Self::Contract { position, .. }
            | Self::Repeat { position }
            | Self::Grid { position }
            | Self::Status { position }
            | Self::Age { position, .. } => vec![*position],
            Self::Group { members, .. }
            | Self::SameCount { members }
            | Self::Entity { members }
            | Self::Slice { members, .. } => members.clone(),
            Self::Unusual { members, .. } => members.iter().map(|m| m.position).collect(),
            Self::Pair { first, second, .. } => vec![*first, *second],
            Self::Joint { columns, .. } => columns.clone(),
            Self::Replay | Self::Duplicate | Self::Tag { .. } => Vec::new(),
        }
    }

    /// Where more words came than are planned for: the codes of unseen words and of rare ones. Which of the
    /// two a word is depends on when planning stopped, and is no sign of steps that depend on each other.
    pub(super) fn endless_words(&self) -> Option<(Code, Code)> {
        match self {
            Self::Column { plan, .. } | Self::Tag { plan, .. } => plan.endless_words(),
            _ => None,
        }
    }

    /// Whether a bin is hit by something that happens to every column at once. Bins that count columns do not
    /// tell which, unless they count all.
    pub(super) fn is_of_all_members(&self, bin: &Bin) -> bool {
        match (self, bin) {
            (Self::Group { .. } | Self::Slice { .. }, Bin::GroupZero | Bin::GroupDefault)
            | (Self::Entity { .. } | Self::Pair { .. }, _) => true,
            (Self::SameCount { members }, Bin::Repeats(same)) => usize::from(*same) == members.len(),
            _ => false,
        }
    }

    /// Whether a bin counts columns.
    pub(super) const fn counts_columns(&self) -> bool {
        matches!(
            self,
            Self::Group { .. } | Self::Slice { .. } | Self::SameCount { .. } | Self::Unusual { .. }
        )
    }

    /// The bins in the order of their codes.
    pub(super) fn bins(&self) -> Vec<Bin> {
        match self {
            Self::Column { plan, .. }
            | Self::Age { plan, .. }
            | Self::Tag { plan, .. }
            | Self::Joint { plan, .. } => plan.bins(),
            Self::Group { has_defaults, .. } | Self::Slice { has_defaults, .. } => {
                let mut bins = vec![if *has_defaults { Bin::GroupDefault } else { Bin::GroupZero }];
                bins.extend((1..=MANY_ZEROS_MAX).rev().map(Bin::ManyZeros));
                bins.push(Bin::GroupAlive);
                bins
            }
            Self::Contract { .. } => vec![Bin::Broken, Bin::Kept],
            Self::Repeat { .. } => vec![Bin::Repeats(0), Bin::Repeats(1)],
            Self::SameCount { members } => (0..=SAME_MAX
                .min(u8::try_from(members.len()).unwrap_or(SAME_MAX)))
                .map(Bin::Repeats)
                .collect(),
            Self::Grid { .. } => (0..GRIDS).map(Bin::Grid).collect(),
            Self::Replay => {
                let mut bins = vec![Bin::First];
                bins.extend((1..=3).map(Bin::SeenAgo));
                bins
            }
            Self::Duplicate => vec![Bin::First, Bin::Again],
            Self::Unusual { least, .. } => vec![Bin::Unusual(0), Bin::Unusual(*least)],
            Self::Status { .. } => {
                let named = |s: &Status| Bin::Category(s.name().to_owned());
                std::iter::once(Bin::Null).chain(Status::ALL.iter().map(named)).collect()
            }
            Self::Entity { .. } => vec![Bin::Changed, Bin::Unchanged],
            Self::Pair { .. } => vec![Bin::Agrees, Bin::Contradicts],
        }
    }
}

/// More members with the value of the row before than this are as many as this.
pub(super) const SAME_MAX: u8 = 15;
/// Grids of numbers: 0 to 6 decimals, and those beyond on the grid of 16 or 32 bit floats or of neither.
pub(super) const GRIDS: u8 = 10;
/// More zeros in a group than planning rows had are told apart up to this.
pub(super) const MANY_ZEROS_MAX: u8 = 3;

/// What the columns of a stream are to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    /// Features from one upstream.
    Input,
    /// Its answers.
    Output,
    /// What features tell of each other.
    Relations,
    /// Rows as a whole, and where they come from.
    Rows,
    /// The row rate.
    Traffic,
}

impl Role {
    /// Whether an alarm of a group of the other role explains what one of this role shows: answers and relations
    /// follow from features, and answers from features that do not belong together.
    pub(super) const fn follows(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Output | Self::Relations | Self::Rows, Self::Input) | (Self::Output, Self::Relations)
        )
    }
}

/// Steps of the baseline by bin, for one stratum of one stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Steps that had a bin, of those that did not plan the bins.
    pub(super) trials: f64,
    pub(super) hits: Vec<f64>,
    /// The same over all steps: for bins that are known without looking at data.
    pub(super) trials_all: f64,
    pub(super) hits_all: Vec<f64>,
}

impl Counts {
    pub(super) fn new(bins: usize) -> Self {
        Self { trials: 0.0, hits: vec![0.0; bins], trials_all: 0.0, hits_all: vec![0.0; bins] }
    }

    /// Hits and trials of one bin, by the rows that may speak for it.
    pub(super) fn of(&self, bin: usize, kind: &Bin) -> (f64, f64) {
        let at = |hits: &[f64]| hits.get(bin).copied().unwrap_or(0.0);
        if kind.is_known_beforehand() {
            (at(&self.hits_all), self.trials_all)
        } else {
            (at(&self.hits), self.trials)
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.trials += other.trials;
        self.trials_all += other.trials_all;
        for (mine, theirs) in [(&mut self.hits, &other.hits), (&mut self.hits_all, &other.hits_all)] {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
    }
}

/// One scalar stream with the baseline's counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) source: Source,
    /// The column's name; a group's name for a group.
    pub(super) name: String,
    pub(super) group: String,
    pub(super) role: Role,
    pub(super) bins: Vec<Bin>,
    /// By stratum; one where the time of day does not matter.
    pub(super) counts: Vec<Counts>,
    /// By how much news comes in clumps: 1 for independent steps.
    pub(super) clumping: f64,
    /// The weight of what it is made of, by what that tells of the answer: 1 on average.
    #[serde(default = "usual", skip_serializing_if = "is_usual")]
    pub(super) influence: f64,
}

pub(super) const fn usual() -> f64 {
    1.0
}

pub(super) fn is_usual(influence: &f64) -> bool {
    (influence - 1.0).abs() < f64::EPSILON
}

impl Stream {
    /// Where more words came than are planned for: takes unseen words, and those that only planning rows had, for
    /// rare ones. Which of these a word is depends on when planning stopped, and is no sign that steps depend on
    /// each other.
    pub(super) fn words_alike(&self) -> impl Fn(Code) -> Code + use<> {
        let words = self.source.endless_words();
        let is_counted: Vec<bool> = (0..self.bins.len())
            .map(|bin| self.counts.iter().any(|c| c.hits.get(bin).is_some_and(|hits| *hits > 0.0)))
            .collect();
        move |code| match words {
            Some((unseen, rare))
                if code == unseen || !is_counted.get(usize::from(code)).copied().unwrap_or(false) =>
            {
                rare
            }
            _ => code,
        }
    }

    pub(super) fn new(source: Source, name: &str, group: &str, role: Role, strata: usize) -> Self {
        let bins = source.bins();
        let counts = vec![Counts::new(bins.len()); strata];
        let (name, group) = (name.to_owned(), group.to_owned());
        Self { source, name, group, role, bins, counts, clumping: 1.0, influence: usual() }
    }

    /// The baseline's steps of which it tells something.
    pub(super) fn told(&self) -> f64 {
        self.counts.iter().map(|c| c.trials_all).sum()
    }

    /// Hits and trials of one bin over all strata.
    pub(super) fn pooled(&self, bin: usize) -> (f64, f64) {
        let Some(kind) = self.bins.get(bin) else { return (0.0, 0.0) };
        let each = self.counts.iter().map(|c| c.of(bin, kind));
        each.fold((0.0, 0.0), |(h, t), (hits, trials)| (h + hits, t + trials))
    }

    /// Hits and trials by stratum and bin; where steps depend on each other, as many as independent ones
    /// would be worth.
    pub(super) fn by_stratum(&self) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let of = |counts: &Counts| -> (Vec<f64>, Vec<f64>) {
            let each = self.bins.iter().enumerate().map(|(bin, kind)| counts.of(bin, kind));
            each.map(|(hits, trials)| (hits / self.clumping, trials / self.clumping)).unzip()
        };
        self.counts.iter().map(of).unzip()
    }

    /// Hits and trials of all bins of a cover over all strata.
    pub(super) fn pooled_cover(&self, bins: &[usize]) -> (f64, f64) {
        let each = self.counts.iter().map(|c| self.of_cover(c, bins));
        each.fold((0.0, 0.0), |(h, t), (hits, trials)| (h + hits, t + trials))
    }

    fn of_cover(&self, counts: &Counts, bins: &[usize]) -> (f64, f64) {
        if let ([bin], Some(kind)) = (bins, bins.first().and_then(|bin| self.bins.get(*bin))) {
            return counts.of(*bin, kind);
        }
        (bins.iter().filter_map(|bin| counts.hits.get(*bin)).sum(), counts.trials)
    }

    /// The same as [`Stream::by_stratum`] for what bets on less cover.
    pub(super) fn covered_by_stratum<'a>(
        &self,
        covers: impl Iterator<Item = &'a [usize]> + Clone,
    ) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let of = |counts: &Counts| -> (Vec<f64>, Vec<f64>) {
            let each = covers.clone().map(|bins| self.of_cover(counts, bins));
            each.map(|(hits, trials)| (hits / self.clumping, trials / self.clumping)).unzip()
        };
        self.counts.iter().map(of).unzip()
    }

    pub(super) fn check(&self, schema: &Schema, strata: usize) -> Result<(), Error> {
        let bins = self.bins.len();
        let fits = |c: &Counts| {
            let sound = |hits: &[f64], trials: f64| {
                let all = hits.iter().all(|h| h.is_finite() && *h >= 0.0 && *h <= trials + 1e-6);
                hits.len() == bins && trials.is_finite() && all
            };
            sound(&c.hits, c.trials) && sound(&c.hits_all, c.trials_all)
        };
        let known = self.source.positions().iter().all(|p| *p < schema.columns.len());
        let is_of_bins = match &self.source {
            Source::Joint { broken, .. } => broken.is_empty() || broken.len() == bins,
            _ => true,
        };
        let sound = known
            && is_of_bins
            && bins <= usize::from(SKIP)
            && self.bins == self.source.bins()
            && (self.counts.len() == strata || self.counts.len() == 1)
            && self.counts.iter().all(fits)
            && self.clumping >= 1.0
            && self.clumping.is_finite()
            && self.influence > 0.0
            && self.influence.is_finite();
        if sound {
            Ok(())
        } else {
            Err(Error::Calibration(format!("stream `{}` does not fit the schema", self.name)))
        }
    }
}
