//! Which streams a model's traffic has, and into which bins they are cut.

use std::collections::BTreeMap;

use super::bins::{Bin, Plan, Planning};
use super::cut::{Code, SKIP, code};
use super::grid;
use super::stream::{PAIR_CLASSES, PAIR_INTERVALS, Rare, Role, Source, Stream};
use crate::record::{Batch, Cell, Column, Contract, Kind, Role as ColumnRole, Scalar, Schema};

/// Replicas, regions, clients … of one name, each with a stream of its own, at the most;
const SLICES_MAX: usize = 16;
/// and all together.
const SLICES_ALL_MAX: usize = 64;
/// Tags that say which model answered, not where a row came from.
const IDENTITY: [&str; 2] = ["version", "model_hash"];

/// What planning rows had beside the values that bins are cut by.
#[derive(Debug)]
pub(super) struct Seen {
    columns: Vec<SeenColumn>,
    tags: BTreeMap<String, (Planning, BTreeMap<String, u64>)>,
    has_requests: bool,
    has_entities: bool,
}

#[derive(Debug, Default)]
struct SeenColumn {
    null: bool,
    wrong_type: bool,
    not_a_number: bool,
    infinite: bool,
    zero: bool,
    default: bool,
    grids: u16,
    status: bool,
    ages: Option<Planning>,
}

impl Seen {
    pub(super) fn new(columns: usize) -> Self {
        Self {
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

    /// Whether planning rows had a special bin; those that lie outside of all that they had never are.
    const fn had(&self, bin: &Bin) -> bool {
        match bin {
            Bin::Null => self.null,
            Bin::WrongType => self.wrong_type,
            Bin::NotANumber => self.not_a_number,
            Bin::Infinite => self.infinite,
            Bin::Zero => self.zero,
            Bin::Default => self.default,
            Bin::Grid(grid) => self.grids & (1 << *grid) != 0,
            _ => false,
        }
    }
}

/// A column that is in no schema.
fn plain(kind: Kind) -> Column {
    Column {
        name: String::new(),
        role: ColumnRole::Meta,
        kind,
        group: String::new(),
        default: None,
        contract: Contract::default(),
    }
}

/// Every stream, those first that others are made from.
pub(super) fn streams(schema: &Schema, columns: Vec<Planning>, seen: Seen, strata: usize) -> Vec<Stream> {
    let mut made = Made { schema, strata, streams: Vec::new() };
    let Seen { columns: seen_columns, tags, has_requests, has_entities } = seen;
    let mut seen_columns: Vec<SeenColumn> = seen_columns;
    for (position, planning) in columns.into_iter().enumerate() {
        let Some(column) = schema.columns.get(position) else { continue };
        if column.role != ColumnRole::Meta
            && let Some(seen) = seen_columns.get_mut(position)
        {
            made.column(position, planning.plan(), seen);
        }
    }
    for (group, members) in groups(schema) {
        made.group(&group, &members, &seen_columns, has_entities);
    }
    made.pairs();
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

    fn group(&mut self, group: &str, members: &[usize], seen: &[SeenColumn], has_entities: bool) {
        if members.len() < 2 {
            return;
        }
        let of = |p: &usize| self.schema.columns.get(*p);
        let is_output = members.iter().filter_map(of).any(|c| c.role == ColumnRole::Output);
        let role = if is_output { Role::Output } else { Role::Input };
        let mut sources = Vec::new();
        let zeroable: Vec<usize> =
            members.iter().copied().filter(|p| of(p).is_some_and(can_be_zero)).collect();
        if !is_output && zeroable.len() > 1 {
            let has_defaults = zeroable.iter().filter_map(of).any(|c| c.default.is_some());
            sources.push(Source::Group { members: zeroable, has_defaults });
        }
        if !is_output && has_entities {
            sources.push(Source::Entity { members: members.to_vec() });
        }
        sources.push(Source::SameCount { members: members.to_vec() });
        sources.push(Source::Unusual { members: members.iter().map(|p| self.rare(*p, seen)).collect() });
        for source in sources {
            self.streams.push(Stream::new(source, group, group, role, self.strata));
        }
    }

    fn rare(&self, position: usize, seen: &[SeenColumn]) -> Rare {
        let of = |is: &dyn Fn(&Source) -> bool| {
            let stream = self.streams.iter().find(|s| is(&s.source));
            let new = |bin: &Bin| bin.is_special() && !seen.get(position).is_some_and(|s| s.had(bin));
            let rare = stream.iter().flat_map(|s| s.bins.iter().enumerate().filter(|(_, bin)| new(bin)));
            rare.map(|(bin, _)| code(bin)).collect::<Vec<Code>>()
        };
        Rare {
            position,
            codes: of(&|s| matches!(s, Source::Column { position: p, .. } if *p == position)),
            grids: of(&|s| matches!(s, Source::Grid { position: p } if *p == position)),
        }
    }

    /// Each answer of few classes together with each answer that is a number.
    fn pairs(&mut self) {
        let answers: Vec<(usize, &Stream)> = self
            .streams
            .iter()
            .filter(|s| s.role == Role::Output)
            .filter_map(|s| match s.source {
                Source::Column { position, .. } => Some((position, s)),
                _ => None,
            })
            .collect();
        let mut pairs = Vec::new();
        for (first, classes) in answers.iter().filter_map(|(p, s)| Some((*p, classes_of(&s.bins)?))) {
            for (second, intervals) in answers.iter().filter_map(|(p, s)| Some((*p, intervals_of(&s.bins)?)))
            {
                if first != second && pairs.len() < SLICES_MAX {
                    pairs.push(Source::Pair { first, classes: classes.clone(), second, intervals });
                }
            }
        }
        let pairs: Vec<Stream> = pairs
            .into_iter()
            .map(|s| Stream::new(s, Schema::OUTPUT_GROUP, &self.output_group(), Role::Output, self.strata))
            .collect();
        self.streams.extend(pairs);
    }

    fn output_group(&self) -> String {
        let output = self.schema.columns.iter().find(|c| c.role == ColumnRole::Output);
        output.map_or_else(|| Schema::OUTPUT_GROUP.to_owned(), |c| c.group.clone())
    }

    fn row(&mut self, name: &str, source: Source) {
        self.streams.push(Stream::new(source, name, Schema::ROWS_GROUP, Role::Rows, self.strata));
    }

    fn tags(&mut self, tags: BTreeMap<String, (Planning, BTreeMap<String, u64>)>) {
        let whole_groups: Vec<(String, Vec<usize>, bool)> = self
            .streams
            .iter()
            .filter_map(|s| match &s.source {
                Source::Group { members, has_defaults } => {
                    Some((s.group.clone(), members.clone(), *has_defaults))
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
                for (group, members, has_defaults) in &whole_groups {
                    if slices >= SLICES_ALL_MAX {
                        return;
                    }
                    slices += 1;
                    let (members, has_defaults) = (members.clone(), *has_defaults);
                    let (tag, value) = (name.clone(), value.clone());
                    let source = Source::Slice { tag, value, members, has_defaults };

                    self.streams.push(Stream::new(source, &told, group, Role::Input, self.strata));
                }
            }
        }
    }
}

/// Whether a column has a value that stands for nothing.
fn can_be_zero(column: &Column) -> bool {
    matches!(column.kind, Kind::Numeric | Kind::Boolean) || column.default.is_some()
}

/// Bins as classes, where there are few; the others are no class.
fn classes_of(bins: &[Bin]) -> Option<Vec<Code>> {
    let is_class = |b: &Bin| matches!(b, Bin::Zero | Bin::Number(_) | Bin::Category(_));
    let is_between = |b: &Bin| matches!(b, Bin::Between(low, high) if low < high);
    let few = bins.iter().filter(|b| is_class(b)).count();
    let has_intervals = bins.iter().filter(|b| is_between(b)).count() > 3;
    if has_intervals || few > usize::from(PAIR_CLASSES) || few < 2 {
        return None;
    }
    let mut next = 0;
    let mut place = |bin: &Bin| {
        if !is_class(bin) {
            return SKIP;
        }
        next += 1;
        next - 1
    };
    Some(bins.iter().map(&mut place).collect())
}

/// Bins of a number as intervals from low to high; nothing for what has few values.
fn intervals_of(bins: &[Bin]) -> Option<Vec<Code>> {
    let mut places: Vec<f64> = bins.iter().filter_map(Bin::place).collect();
    let finite = places.iter().filter(|p| p.is_finite()).count();
    if finite < 5 {
        return None;
    }
    places.sort_by(f64::total_cmp);
    let all = places.len();
    let most = usize::from(PAIR_INTERVALS);
    let interval = |place: f64| {
        let rank = places.partition_point(|p| *p < place);
        if all <= most { code(rank) } else { code(rank * most / all) }
    };
    Some(bins.iter().map(|b| b.place().map_or(SKIP, interval)).collect())
}
