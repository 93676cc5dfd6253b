//! Which streams a model's traffic has, and into which bins they are cut.

use std::collections::BTreeMap;

use super::bins::{Bin, Plan, Planning, widened};
use super::contract::stands_for_nothing;
use super::cut::{Code, Cutter, SKIP, code};
use super::grid;
use super::stream::{Places, Rare, Role, Source, Stream};
use crate::record::{Batch, Cell, Column, Contract, Kind, Role as ColumnRole, Scalar, Schema};

/// Replicas, regions, clients … of one name, each with a stream of its own, at the most;
const SLICES_MAX: usize = 16;
/// and all together.
const SLICES_ALL_MAX: usize = 64;
/// Answers that are looked at together, at the most.
const ANSWERS_MAX: usize = 16;
/// Classes of an answer that is looked at together with others, at the most.
const CLASSES_MAX: usize = 12;
/// The range of an answer is widened by this share of its width.
const RANGE_MARGIN: f64 = 0.005;
/// Tags that name the process that answered, or the version, which has baselines of its own: their mix says
/// nothing. Where rows come from is told by `arm`, `hop` and `dims`; what answered by `model_hash`.
const IDENTITY: [&str; 2] = ["version", "source"];

/// What planning rows had beside the values that bins are cut by.
#[derive(Debug)]
pub(super) struct Seen {
    columns: Vec<SeenColumn>,
    tags: BTreeMap<String, (Planning, BTreeMap<String, u64>)>,
    has_requests: bool,
    has_entities: bool,
    /// By group of features that can be zero: its members, and the most that were in one row.
    zeros: Vec<(Vec<usize>, usize)>,
    /// The answers of planning rows, by column: what goes together.
    answers: BTreeMap<usize, Vec<Answer>>,
}

/// One cell of an answer.
#[derive(Debug, Clone)]
enum Answer {
    None,
    Number(f64),
    Text(String),
}

#[derive(Debug, Default)]
struct SeenColumn {
    null: bool,
    wrong_type: bool,
    not_a_number: bool,
    infinite: bool,
    zero: bool,
    default: bool,
    /// Whether hardly any category is left to be seen.
    is_complete: bool,
    grids: u16,
    status: bool,
    ages: Option<Planning>,
}

impl Seen {
    pub(super) fn new(schema: &Schema) -> Self {
        let is_output = |p: &usize| schema.columns.get(*p).is_some_and(|c| c.role == ColumnRole::Output);
        let columns = schema.columns.len();
        Self {
            zeros: zero_groups(schema).into_iter().map(|(_, members)| (members, 0)).collect(),
            answers: (0..columns).filter(is_output).take(ANSWERS_MAX).map(|p| (p, Vec::new())).collect(),
            columns: (0..columns).map(|_| SeenColumn::default()).collect(),
            tags: BTreeMap::new(),
            has_requests: false,
            has_entities: false,
        }
    }

    pub(super) fn observe(&mut self, batch: &Batch, row: usize) {
        let meta = batch.meta();
        self.has_requests |= meta.request_id(row).is_some();
        self.has_entities |= meta.entity(row).is_some();
        let all = batch.columns().iter().zip(&batch.schema().columns);
        for (position, (seen, (cells, column))) in self.columns.iter_mut().zip(all).enumerate() {
            seen.cell(cells.cell(row), column);
            seen.status |= meta.feature_status(position, row).is_some();
            let age = meta.feature_ts(position, row).zip(meta.ts().get(row));
            if let Some((read, ts)) = age {
                let planning = seen.ages.get_or_insert_with(|| Planning::new(&plain(Kind::Numeric)));
                planning.observe(Cell::Number(ts.seconds_since(read)));
            }
        }
        let cell = |p: &usize| batch.columns().get(*p).map_or(Cell::Null, |c| c.cell(row));
        for (members, most) in &mut self.zeros {
            let column = |p: &usize| batch.schema().columns.get(*p);
            let dead = members.iter().filter(|p| stands_for_nothing(cell(p), column(p))).count();
            // A row in which all are dead says nothing of how many others may be.
            *most = if dead < members.len() { dead.max(*most) } else { *most };
        }
        for (position, answers) in &mut self.answers {
            answers.push(match cell(position) {
                Cell::Number(v) => Answer::Number(v),
                Cell::Text(word) => Answer::Text(word.to_owned()),
                Cell::Null | Cell::WrongType => Answer::None,
            });
        }
        for tag in meta.tags().iter().filter(|t| !IDENTITY.contains(&t.name.as_str())) {
            let new = || (Planning::new(&plain(Kind::Categorical)), BTreeMap::new());
            let (planning, values) = self.tags.entry(tag.name.clone()).or_insert_with(new);
            let Some(value) = tag.value(row) else { continue };
            planning.observe(Cell::Text(value));
            if values.len() <= SLICES_MAX || values.contains_key(value) {
                *values.entry(value.to_owned()).or_insert(0) += 1;
            }
        }
    }
}

impl SeenColumn {
    fn cell(&mut self, cell: Cell<'_>, column: &Column) {
        match cell {
            Cell::Null => self.null = true,
            Cell::WrongType => self.wrong_type = true,
            Cell::Number(v) => {
                self.not_a_number |= v.is_nan();
                self.infinite |= v.is_infinite();
                self.zero |= v == 0.0;
                self.default |= matches!(&column.default, Some(Scalar::Number(d)) if d.total_cmp(&v).is_eq());
                let grid = grid::of(v);
                self.grids |= if grid == SKIP { 0 } else { 1 << grid };
            }
            Cell::Text(word) => {
                self.default |= matches!(&column.default, Some(Scalar::Text(d)) if d == word);
            }
        }
    }

    /// Whether planning rows had nothing of a special bin, and nothing like it.
    const fn never_had(&self, bin: &Bin) -> bool {
        match bin {
            Bin::Null => !self.null,
            Bin::WrongType => !self.wrong_type,
            Bin::NotANumber => !self.not_a_number,
            Bin::Infinite => !self.infinite,
            Bin::Zero => !self.zero,
            Bin::Default => !self.default,
            Bin::Unseen => self.is_complete,
            // One number in ten has a decimal less by chance: only a grid two steps coarser is news.
            Bin::Grid(decimals @ 0..=6) => self.grids & ((1 << (*decimals + 2)) - 1) == 0,
            Bin::Grid(grid) => self.grids & (1 << *grid) == 0,
            _ => true,
        }
    }
}

/// A column that is in no schema.
pub(super) fn plain(kind: Kind) -> Column {
    Column {
        name: String::new(),
        role: ColumnRole::Meta,
        kind,
        group: String::new(),
        default: None,
        contract: Contract::default(),
        vector: None,
    }
}

/// Every stream, those first that others are made from.
pub(super) fn streams(schema: &Schema, columns: Vec<Planning>, seen: Seen, strata: usize) -> Vec<Stream> {
    let mut made = Made { schema, strata, streams: Vec::new() };
    let Seen { columns: seen_columns, tags, has_requests, has_entities, zeros, answers } = seen;
    let mut seen_columns: Vec<SeenColumn> = seen_columns;
    for (position, planning) in columns.into_iter().enumerate() {
        let Some(column) = schema.columns.get(position) else { continue };
        if column.role != ColumnRole::Meta
            && let Some(seen) = seen_columns.get_mut(position)
        {
            seen.is_complete = planning.is_complete();
            made.column(position, planning.plan(), seen);
        }
    }
    let places = Places::of(&made.streams);
    for (group, members) in groups(schema) {
        made.group(&group, &members, (&seen_columns, &zeros), (&places, has_entities));
    }
    made.pairs(&answers);
    made.row("rows", Source::Replay);
    if has_requests {
        made.row("requests", Source::Duplicate);
    }
    made.tags(tags);
    made.streams
}

/// The columns of each group that are watched, inputs and outputs apart.
fn groups(schema: &Schema) -> Vec<(String, Vec<usize>)> {
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for (position, column) in schema.columns.iter().enumerate().filter(|(_, c)| c.role != ColumnRole::Meta) {
        match groups.iter_mut().find(|(name, _)| *name == column.group) {
            Some((_, members)) => members.push(position),
            None => groups.push((column.group.clone(), vec![position])),
        }
    }
    groups
}

struct Made<'a> {
    schema: &'a Schema,
    strata: usize,
    streams: Vec<Stream>,
}

impl Made<'_> {
    fn column(&mut self, position: usize, plan: Plan, seen: &mut SeenColumn) {
        let Some(column) = self.schema.columns.get(position) else { return };
        let has_numbers = matches!(&plan, Plan::Numeric { edges, .. } if !edges.is_empty());
        let mut sources = vec![Source::Column { position, plan }];
        if !column.contract.is_empty() {
            sources.push(Source::Contract { position, contract: column.contract.clone() });
        }
        if has_numbers {
            sources.push(Source::Grid { position });
        }
        sources.push(Source::Repeat { position });
        if seen.status {
            sources.push(Source::Status { position });
        }
        if let Some(ages) = seen.ages.take() {
            sources.push(Source::Age { position, plan: ages.plan() });
        }
        let role = if column.role == ColumnRole::Output { Role::Output } else { Role::Input };
        let new = |source| Stream::new(source, &column.name, &column.group, role, self.strata);
        let new: Vec<Stream> = sources.into_iter().map(new).collect();
        self.streams.extend(new);
    }

    fn group(
        &mut self,
        group: &str,
        members: &[usize],
        (seen, zeros): (&[SeenColumn], &[(Vec<usize>, usize)]),
        (places, has_entities): (&Places, bool),
    ) {
        if members.len() < 2 {
            return;
        }
        let of = |p: &usize| self.schema.columns.get(*p);
        let is_output = members.iter().filter_map(of).any(|c| c.role == ColumnRole::Output);
        let role = if is_output { Role::Output } else { Role::Input };
        let mut sources = Vec::new();
        let zeroable = |p: &usize| of(p).is_some_and(can_be_zero);
        let zeroable: Vec<usize> = members.iter().copied().filter(zeroable).collect();
        if let Some((members, usual)) = zeros.iter().find(|(members, _)| *members == zeroable) {
            let has_defaults = members.iter().filter_map(of).any(|c| c.default.is_some());
            sources.push(Source::Group { members: zeroable, has_defaults, usual: *usual });
        }
        if !is_output && has_entities {
            sources.push(Source::Entity { members: members.to_vec() });
        }
        sources.push(Source::SameCount { members: members.to_vec() });
        let rare: Vec<Rare> = members.iter().map(|p| self.rare(*p, seen, places)).collect();
        // Two at once are rarer yet, where one by itself is nothing unheard of.
        let least = if is_output { 1 } else { 2 };
        sources.extend((1..=least).map(|least| Source::Unusual { members: rare.clone(), least }));
        for source in sources {
            self.streams.push(Stream::new(source, group, group, role, self.strata));
        }
    }

    fn rare(&self, position: usize, seen: &[SeenColumn], places: &Places) -> Rare {
        let seen = seen.get(position);
        let of = |place: Option<usize>| {
            let stream = place.and_then(|place| self.streams.get(place));
            let new = |bin: &Bin| bin.is_special() && seen.is_some_and(|s| s.never_had(bin));
            let rare = stream.iter().flat_map(|s| s.bins.iter().enumerate().filter(|(_, bin)| new(bin)));
            rare.map(|(bin, _)| code(bin)).collect::<Vec<Code>>()
        };
        Rare { position, codes: of(places.value(position)), grids: of(places.grid(position)) }
    }

    /// Each answer of few classes together with each answer that is a number.
    fn pairs(&mut self, answers: &BTreeMap<usize, Vec<Answer>>) {
        let mut pairs = Vec::new();
        for (first, classes) in answers {
            let Some(codes) = self.classes(*first, classes) else { continue };
            for (second, values) in answers.iter().filter(|(second, _)| *second != first) {
                if let Some(ranges) = ranges(&codes, values) {
                    pairs.push(Source::Pair { first: *first, second: *second, ranges });
                }
            }
        }
        let group = self.output_group();
        let new = |s| Stream::new(s, &group, &group, Role::Output, self.strata);
        let pairs: Vec<Stream> = pairs.into_iter().take(SLICES_MAX).map(new).collect();
        self.streams.extend(pairs);
    }

    /// The bins of an answer, row by row, where it has few.
    fn classes(&self, position: usize, answers: &[Answer]) -> Option<Vec<Code>> {
        let plan = self.streams.iter().find_map(|s| match &s.source {
            Source::Column { position: p, plan } if *p == position => Some(plan),
            _ => None,
        })?;
        let cutter = Cutter::new(plan);
        let codes: Vec<Code> = answers
            .iter()
            .map(|answer| match answer {
                Answer::None => SKIP,
                Answer::Number(v) => cutter.code(Cell::Number(*v)),
                Answer::Text(word) => cutter.code(Cell::Text(word)),
            })
            .collect();
        let mut distinct = codes.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let is_class = |code: &Code| {
            let bin = plan.bins().get(usize::from(*code)).cloned();
            matches!(bin, Some(Bin::Zero | Bin::Number(_) | Bin::Category(_))) || *code == SKIP
        };
        let few = (2..=CLASSES_MAX).contains(&distinct.len());
        (few && distinct.iter().all(is_class)).then_some(codes)
    }

    fn output_group(&self) -> String {
        let output = self.schema.columns.iter().find(|c| c.role == ColumnRole::Output);
        output.map_or_else(|| Schema::OUTPUT_GROUP.to_owned(), |c| c.group.clone())
    }

    fn row(&mut self, name: &str, source: Source) {
        self.streams.push(Stream::new(source, name, Schema::ROWS_GROUP, Role::Rows, self.strata));
    }

    fn tags(&mut self, tags: BTreeMap<String, (Planning, BTreeMap<String, u64>)>) {
        let whole_groups: Vec<(String, Vec<usize>, (bool, usize))> = self
            .streams
            .iter()
            .filter_map(|s| match &s.source {
                Source::Group { members, has_defaults, usual } => {
                    Some((s.group.clone(), members.clone(), (*has_defaults, *usual)))
                }
                _ => None,
            })
            .collect();
        let mut slices = 0;
        for (name, (planning, values)) in tags {
            self.row(&name, Source::Tag { name: name.clone(), plan: planning.plan() });
            if values.len() > SLICES_MAX {
                continue;
            }
            for value in values.into_keys() {
                let told = format!("{name}={value}");
                for (group, members, (has_defaults, usual)) in &whole_groups {
                    if slices >= SLICES_ALL_MAX {
                        return;
                    }
                    slices += 1;
                    let (members, has_defaults) = (members.clone(), *has_defaults);
                    let (tag, value) = (name.clone(), value.clone());
                    let source = Source::Slice { tag, value, members, has_defaults, usual: *usual };

                    self.streams.push(Stream::new(source, &told, group, Role::Input, self.strata));
                }
            }
        }
    }
}

/// Whether a column has a value that stands for nothing.
fn can_be_zero(column: &Column) -> bool {
    matches!(column.kind, Kind::Numeric | Kind::Boolean | Kind::Embedding) || column.default.is_some()
}

/// By class, the range of the numbers that came with it; nothing where they are no numbers, or as few as
/// classes themselves.
fn ranges(classes: &[Code], values: &[Answer]) -> Option<Vec<Option<(f64, f64)>>> {
    let mut ranges: Vec<Option<(f64, f64)>> = vec![None; usize::from(SKIP)];
    let (mut all, mut distinct) = (None, Vec::new());
    let join = |range: Option<(f64, f64)>, v: f64| {
        let (low, high) = range.unwrap_or((v, v));
        Some((if v < low { v } else { low }, if v > high { v } else { high }))
    };
    for (class, value) in classes.iter().zip(values) {
        let Answer::Number(v) = value else { continue };
        if v.is_finite() {
            if distinct.len() <= CLASSES_MAX && !distinct.contains(v) {
                distinct.push(*v);
            }
            all = join(all, *v);
            if let Some(range) = ranges.get_mut(usize::from(*class)) {
                *range = join(*range, *v);
            }
        }
    }
    let (low, high) = all.filter(|_| distinct.len() > CLASSES_MAX)?;
    let (lowest, highest) = widened((low, high), RANGE_MARGIN);
    let (below, above) = (low - lowest, highest - high);
    for (low, high) in ranges.iter_mut().flatten() {
        (*low, *high) = ((*low - below).clamp(f64::MIN, f64::MAX), (*high + above).clamp(f64::MIN, f64::MAX));
    }
    while ranges.last().is_some_and(Option::is_none) {
        ranges.pop();
    }
    Some(ranges)
}

/// The features of each group that have a value that stands for nothing, where there are several.
fn zero_groups(schema: &Schema) -> Vec<(String, Vec<usize>)> {
    let of = |p: &usize| schema.columns.get(*p);
    let mut all = groups(schema);
    for (_, members) in &mut all {
        members.retain(|p| of(p).is_some_and(|c| c.role == ColumnRole::Input && can_be_zero(c)));
    }
    all.retain(|(_, members)| members.len() > 1);
    all
}
