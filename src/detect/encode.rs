//! Rows to bins of streams: everything that looks at values, and the memory that some streams need.

mod relations;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, StringArray};

use self::relations::Relations;
use super::bins::Bin;
use super::bits::{fill_bits, hash_of, mix};
use super::cut::{Code, Cutter, SKIP, code};
use super::joint::{Joint, Residuals, Scalar};
use super::memory::Recency;
use super::steps::Steps;
use super::stream::{MANY_ZEROS_MAX, Places, Rare, SAME_MAX, Source, Stream};
use super::{contract, grid};
use crate::record::{Batch, Cell, Cells, Schema, Status, Values};
use crate::units::whole;

/// Rows that a replayed or duplicate row is remembered for.
const REPLAY_ROWS: u64 = 2_048;
const REPLAY_NEAR_ROWS: u64 = 512;
/// Rows that a request is remembered for.
const REQUEST_ROWS: u64 = 4_096;
/// Rates of recording that differ by no more than this part are one.
const SAMPLING_BAND: f64 = 0.01;
/// Sightings after which an entity's last values count as forgotten.
const ENTITY_ROWS: u64 = 1 << 20;

/// Turns rows into codes, chunk by chunk, in arrival order.
#[derive(Debug, Clone)]
pub(super) struct Encoder {
    /// By column; none for columns that nobody watches.
    columns: Vec<Option<Watched>>,
    sources: Vec<Work>,
    /// What relations make of rows; none where no stream asks.
    relations: Option<Relations>,
    memory: Memory,
    // What follows is overwritten chunk by chunk.
    codes: Vec<Vec<Code>>,
    bits: Vec<Vec<u64>>,
    same: Vec<Vec<bool>>,
    rows_hash: Vec<u64>,
    repeated: Vec<bool>,
    turns: Vec<Turn>,
    begins: Vec<bool>,
}

/// Which bets look at a row, so that no two rows of one bet share one: those on repeats at the first row of
/// every other step, those on grids at the rows of the steps between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The first row of its step, to be compared with the last of the step before.
    Repeat,
    Grid,
    Neither,
}

/// What there is to do for a stream, beside its column's own bins.
#[derive(Debug, Clone)]
struct Work {
    source: Source,
    cutter: Option<Cutter>,
    /// For groups: by member, the codes of its column that stand for nothing.
    empty: Vec<(usize, Vec<bool>)>,
    /// By column of a stream that looks at other streams: that of its values, and that of its grid.
    others: Vec<(Option<usize>, Option<usize>)>,
    /// For relations: which of the scalars asked for.
    asks: usize,
}

/// A column with its stream of values.
#[derive(Debug, Clone)]
struct Watched {
    is_feature: bool,
}

/// What is remembered of the rows before.
#[derive(Debug, Clone)]
struct Memory {
    rows: u64,
    /// The share of requests that is recorded: the first that a row says, or the baseline's.
    sampling: Option<f64>,
    steps: Steps,
    /// Steps begun so far.
    begun: u64,
    last: Vec<u64>,
    features: Recency,
    requests: Recency,
    entities: Vec<Recency>,
}

impl Encoder {
    pub(super) fn new(schema: &Schema, streams: &[Stream], joint: &Arc<Joint>) -> Self {
        let columns: Vec<Option<Watched>> = schema
            .columns
            .iter()
            .map(|column| {
                let is_feature = column.role == crate::record::Role::Input;
                (column.role != crate::record::Role::Meta).then_some(Watched { is_feature })
            })
            .collect();
        let places = Places::of(streams);
        let mut sources: Vec<Work> =
            streams.iter().map(|s| Work::new(s, schema, (streams, &places))).collect();
        let relations = Relations::new(&mut sources, joint, places);
        let entities = sources.iter().filter(|w| matches!(w.source, Source::Entity { .. })).count();
        Self {
            memory: Memory {
                rows: 0,
                sampling: None,
                steps: Steps::default(),
                begun: 0,
                last: vec![0; columns.len()],
                features: Recency::new(REPLAY_ROWS * 4),
                requests: Recency::new(REQUEST_ROWS * 2),
                entities: vec![Recency::new(1 << 14); entities],
            },
            codes: vec![Vec::new(); sources.len()],
            bits: vec![Vec::new(); columns.len()],
            same: vec![Vec::new(); columns.len()],
            rows_hash: Vec::new(),
            repeated: Vec::new(),
            turns: Vec::new(),
            begins: Vec::new(),
            columns,
            sources,
            relations,
        }
    }

    /// The share of requests that is recorded, as far as rows said.
    pub(super) const fn sampling(&self) -> Option<f64> {
        self.memory.sampling
    }

    /// Lets bets that look back look only at rows recorded at this rate.
    pub(super) const fn at_sampling(mut self, sampling: f64) -> Self {
        self.memory.sampling = Some(sampling);
        self
    }

    /// Leaves out the relations of streams that nobody bets on: they cost more than all else.
    pub(super) fn leaving_out(mut self, is_idle: impl Fn(usize) -> bool) -> Self {
        let Some(relations) = &mut self.relations else { return self };
        relations.asked.clear();
        for (stream, work) in self.sources.iter_mut().enumerate() {
            if let Source::Joint { scalar, .. } = work.source {
                work.asks = if is_idle(stream) { usize::MAX } else { relations.asked.len() };
                relations.asked.extend(Some(scalar).filter(|_| !is_idle(stream)));
            }
        }
        self.relations = self.relations.filter(|relations| !relations.asked.is_empty());
        self
    }

    /// Lets relations look at one row in so many from now on: a matter of load, never of what rows hold.
    pub(super) const fn thin_relations(&mut self, one_in: u64) {
        if let Some(relations) = &mut self.relations {
            relations.one_in = one_in;
        }
    }

    /// Features that relations read; nothing where no stream asks for one.
    pub(super) fn relation_width(&self) -> Option<usize> {
        self.relations.as_ref().map(|relations| relations.joint.width())
    }

    /// Forgets the rows before: after a time of which nothing is known.
    pub(super) fn forget(&mut self) {
        self.memory.rows = 0;
        self.memory.features.forget();
        self.memory.requests.forget();
        self.memory.entities.iter_mut().for_each(Recency::forget);
    }

    /// Whether it remembers too few rows to tell which were seen before.
    pub(super) const fn is_filling(&self) -> bool {
        self.memory.rows <= REPLAY_ROWS
    }

    /// The codes of one stream, row by row of the last chunk.
    pub(super) fn of(&self, stream: usize) -> &[Code] {
        self.codes.get(stream).map_or(&[], Vec::as_slice)
    }

    /// Whether a relation could not be computed of some row, whose codes say nothing of it then.
    pub(super) fn has_failed(&self, stream: usize) -> bool {
        let found = self.relations.as_ref().zip(self.sources.get(stream));
        found.is_some_and(|(relations, work)| {
            matches!(work.source, Source::Joint { .. }) && relations.numbers.has_failed(work.asks)
        })
    }

    pub(super) fn streams(&self) -> usize {
        self.codes.len()
    }

    /// Whether any stream asks for such a scalar.
    pub(super) fn asks(&self, is: impl Fn(Scalar) -> bool) -> bool {
        self.relations.as_ref().is_some_and(|relations| relations.asked.iter().any(|scalar| is(*scalar)))
    }

    /// A row of the last chunk as relations read it, and its answers less what the surrogates say.
    pub(super) fn relation_row(&self, place: usize) -> Option<(&[f32], Residuals)> {
        let relations = self.relations.as_ref()?;
        let place = place.checked_sub(relations.looked_at.start)?;
        relations.numbers.row(place, &relations.asked)
    }

    /// Whether a row of the last chunk begins a step.
    pub(super) fn begins(&self, place: usize) -> bool {
        self.begins.get(place).copied().unwrap_or(true)
    }

    /// The same for the next row, of which nothing else is looked at.
    pub(super) fn pass(&mut self, batch: &Batch, row: usize) -> bool {
        self.memory.steps.begins(batch, row)
    }

    /// Reads some rows of a batch.
    pub(super) fn encode(&mut self, batch: &Batch, rows: &Range<usize>) {
        let first = self.memory.rows;
        self.read_columns(batch, rows);
        self.read_requests(batch, rows);
        self.read_steps(batch, rows);
        for (stream, work) in self.sources.iter().enumerate() {
            if let Some(relations) = self.relations.as_mut().filter(|r| r.first == stream) {
                relations.compute(batch, rows, &self.codes, first);
            }
            let mut codes = self.codes.get_mut(stream).map(std::mem::take).unwrap_or_else(Vec::new);
            let mut view = View {
                batch,
                rows,
                first,
                all: &self.codes,
                same: &self.same,
                bits: &self.bits,
                rows_hash: &self.rows_hash,
                repeated: &self.repeated,
                turns: &self.turns,
                relations: self.relations.as_ref(),
                memory: &mut self.memory,
            };
            work.codes(&mut view, &mut codes);
            if let Some(place) = self.codes.get_mut(stream) {
                *place = codes;
            }
        }
        self.skip_repeated();
        self.skip_other_sampling(batch, rows);
        self.memory.rows += whole(rows.len());
    }

    /// A row's cells as bits, which of them are those of the row before, and the row's own hash.
    fn read_columns(&mut self, batch: &Batch, rows: &Range<usize>) {
        self.rows_hash.clear();
        self.rows_hash.resize(rows.len(), 0);
        let is_first = self.memory.rows == 0;
        for (position, watched) in self.columns.iter().enumerate() {
            let (Some(watched), Some(cells)) = (watched, batch.columns().get(position)) else { continue };
            let (Some(bits), Some(same)) = (self.bits.get_mut(position), self.same.get_mut(position)) else {
                continue;
            };
            fill_bits(cells, rows.clone(), bits);
            let Some(last) = self.memory.last.get_mut(position) else { continue };
            same.clear();
            let before = std::iter::once(*last).chain(bits.iter().copied());
            same.extend(bits.iter().zip(before).map(|(now, before)| *now == before));
            if is_first && let Some(first) = same.first_mut() {
                *first = false;
            }
            *last = bits.last().copied().unwrap_or(*last);
            if watched.is_feature {
                self.rows_hash.iter_mut().zip(bits.iter()).for_each(|(hash, bits)| *hash = mix(*hash, *bits));
            }
        }
    }

    /// Which rows are requests delivered before: the same request, part and features within some rows.
    fn read_requests(&mut self, batch: &Batch, rows: &Range<usize>) {
        self.repeated.clear();
        let first = self.memory.rows;
        for ((row, features), number) in rows.clone().zip(&self.rows_hash).zip(first..) {
            let Some(request) = batch.meta().request_id(row) else {
                self.repeated.push(false);
                continue;
            };
            let part = batch.meta().sub_row(row).unwrap_or(u64::MAX);
            let key = mix(mix(hash_of(request), part), *features);
            let age = self.memory.requests.see(key, 0, number).map(|(_, age)| age);
            self.repeated.push(age.is_some_and(|age| age <= REQUEST_ROWS));
        }
    }

    /// What was seen before is another question where more or fewer rows are recorded: streams that look back
    /// say nothing then.
    fn skip_other_sampling(&mut self, batch: &Batch, rows: &Range<usize>) {
        let of = |row: usize| batch.meta().sampling(row).unwrap_or(1.0);
        if self.memory.sampling.is_none() {
            self.memory.sampling = rows.clone().next().map(of);
        }
        let usual = self.memory.sampling.unwrap_or(1.0);
        let differs = |row: usize| (of(row) - usual).abs() > SAMPLING_BAND * usual;
        if !rows.clone().any(differs) {
            return;
        }
        for (codes, _) in
            self.codes.iter_mut().zip(&self.sources).filter(|(_, work)| work.source.looks_back())
        {
            for (code, _) in codes.iter_mut().zip(rows.clone()).filter(|(_, row)| differs(*row)) {
                *code = SKIP;
            }
        }
    }

    /// Which rows begin a step, and whose turn each is.
    fn read_steps(&mut self, batch: &Batch, rows: &Range<usize>) {
        self.turns.clear();
        self.begins.clear();
        for row in rows.clone() {
            let begins = self.memory.steps.begins(batch, row);
            let turn = match (self.memory.begun % 2 == 1, begins) {
                (true, true) => Turn::Repeat,
                (false, true) | (true, false) => Turn::Grid,
                (false, false) => Turn::Neither,
            };
            self.memory.begun += u64::from(begins);
            self.turns.push(turn);
            self.begins.push(begins);
        }
    }

    /// A request delivered again is counted, and bets on nothing else.
    fn skip_repeated(&mut self) {
        if !self.repeated.contains(&true) {
            return;
        }
        for (codes, work) in self.codes.iter_mut().zip(&self.sources) {
            if matches!(work.source, Source::Duplicate | Source::Contract { .. }) {
                continue;
            }
            for (code, repeated) in codes.iter_mut().zip(&self.repeated) {
                if *repeated {
                    *code = SKIP;
                }
            }
        }
    }
}

/// What a stream may look at.
struct View<'a> {
    batch: &'a Batch,
    rows: &'a Range<usize>,
    /// The number of the first row over all rows.
    first: u64,
    all: &'a [Vec<Code>],
    same: &'a [Vec<bool>],
    bits: &'a [Vec<u64>],
    rows_hash: &'a [u64],
    repeated: &'a [bool],
    turns: &'a [Turn],
    relations: Option<&'a Relations>,
    memory: &'a mut Memory,
}

impl View<'_> {
    fn cell(&self, position: usize, row: usize) -> Cell<'_> {
        self.batch.columns().get(position).map_or(Cell::Null, |c| c.cell(row))
    }

    fn same_of(&self, position: usize) -> &[bool] {
        self.same.get(position).map_or(&[], Vec::as_slice)
    }
}

impl Work {
    fn new(stream: &Stream, schema: &Schema, (streams, places): (&[Stream], &Places)) -> Self {
        let plan = match &stream.source {
            Source::Column { plan, .. }
            | Source::Age { plan, .. }
            | Source::Tag { plan, .. }
            | Source::Joint { plan, .. } => Some(plan),
            _ => None,
        };
        let empty = match &stream.source {
            Source::Group { members, .. } | Source::Slice { members, .. } => {
                members.iter().filter_map(|p| empty_codes(*p, schema, (streams, places))).collect()
            }
            _ => Vec::new(),
        };
        let others = match &stream.source {
            source @ (Source::Unusual { .. } | Source::Pair { .. }) => {
                source.positions().into_iter().map(|p| (places.value(p), places.grid(p))).collect()
            }
            _ => Vec::new(),
        };
        Self { source: stream.source.clone(), cutter: plan.map(Cutter::new), empty, others, asks: 0 }
    }

    fn codes(&self, view: &mut View<'_>, codes: &mut Vec<Code>) {
        codes.clear();
        let rows = view.rows.clone();
        match &self.source {
            Source::Column { position, .. } => {
                if let (Some(cutter), Some(cells)) = (&self.cutter, view.batch.columns().get(*position)) {
                    cutter.codes(cells, rows, codes);
                }
            }
            Source::Contract { position, contract } => {
                codes.extend(rows.map(|row| {
                    Code::from(contract::broken_rule(view.cell(*position, row), contract).is_none())
                }))
            }
            Source::Group { usual, .. } => self.dead(*usual, view, codes),
            Source::Slice { tag, value, usual, .. } => {
                self.dead(*usual, view, codes);
                keep_only(codes, view.rows, tag_of(view.batch, tag), value);
            }
            Source::Repeat { position } => {
                codes.extend(view.same_of(*position).iter().map(|same| Code::from(*same)));
                take_turns(codes, view.turns, Turn::Repeat);
            }
            Source::SameCount { members } => {
                count_members(codes, rows.len(), members.iter().map(|p| view.same_of(*p)), SAME_MAX);
                take_turns(codes, view.turns, Turn::Repeat);
            }
            Source::Grid { position } => self.grid(*position, view, codes),
            Source::Unusual { members, least } => unusual((members, *least), &self.others, view, codes),
            Source::Replay => replayed(view, codes),
            Source::Duplicate => codes.extend(view.rows.clone().zip(view.repeated).map(|(row, again)| {
                if view.batch.meta().request_id(row).is_some() { Code::from(*again) } else { SKIP }
            })),
            Source::Status { position } => codes.extend(rows.map(|row| {
                let status = view.batch.meta().feature_status(*position, row);
                let place = status.and_then(|s| Status::ALL.iter().position(|known| *known == s));
                place.map_or(0, |place| code(place + 1))
            })),
            Source::Age { position, .. } => self.ages(*position, view, codes),
            Source::Entity { members } => changed(members, view, codes),
            Source::Tag { name, .. } => self.tags(name, view, codes),
            Source::Pair { second, ranges, .. } => self.pair(*second, ranges, view, codes),
            Source::Joint { .. } => self.relation(view, codes),
        }
        // A source without its column bets on nothing.
        codes.resize(view.rows.len(), SKIP);
    }

    /// How many members stand for nothing: all, or how many more than usual.
    fn dead(&self, usual: usize, view: &View<'_>, codes: &mut Vec<Code>) {
        // A group may have more members than a code can tell.
        let mut all_dead = vec![0_u32; view.rows.len()];
        for (value, empty) in &self.empty {
            let Some(of_member) = view.all.get(*value) else { continue };
            for (dead, member) in all_dead.iter_mut().zip(of_member) {
                *dead += u32::from(empty.get(usize::from(*member)).copied().unwrap_or(false));
            }
        }
        let alive = MANY_ZEROS_MAX + 1;
        codes.extend(all_dead.into_iter().map(|dead| {
            let dead = usize::try_from(dead).unwrap_or(usize::MAX);
            match dead.checked_sub(usual) {
                _ if dead >= self.empty.len() => 0,
                None | Some(0) => alive,
                Some(more) => alive - code(more).min(MANY_ZEROS_MAX),
            }
        }));
    }

    fn grid(&self, position: usize, view: &View<'_>, codes: &mut Vec<Code>) {
        let Some(cells) = view.batch.columns().get(position) else { return };
        if let (Values::Number(numbers), false) = (cells.values(), cells.has_wrong_type()) {
            let values = numbers.values().get(view.rows.clone()).unwrap_or(&[]);
            let of = |(v, turn): (&f64, &Turn)| if *turn == Turn::Grid { grid::of(*v) } else { SKIP };
            codes.extend(values.iter().zip(view.turns).map(of));
            if numbers.null_count() > 0 {
                for (code, row) in codes.iter_mut().zip(view.rows.clone()) {
                    if numbers.is_null(row) {
                        *code = SKIP;
                    }
                }
            }
        }
    }

    fn ages(&self, position: usize, view: &View<'_>, codes: &mut Vec<Code>) {
        let Some(cutter) = &self.cutter else { return };
        let meta = view.batch.meta();
        let ages = view.rows.clone().map(|row| {
            let read = meta.feature_ts(position, row)?;
            Some(meta.ts().get(row)?.seconds_since(read))
        });
        let values = Values::Number(ages.collect());
        if let Ok(cells) = Cells::new("age", values, None) {
            cutter.codes(&cells, 0..view.rows.len(), codes);
        }
    }

    fn tags(&self, name: &str, view: &View<'_>, codes: &mut Vec<Code>) {
        let Some(cutter) = &self.cutter else { return };
        let Some(tag) = tag_of(view.batch, name) else {
            codes.resize(view.rows.len(), 0);
            return;
        };
        if let Ok(cells) = Cells::new(name, Values::Text(tag.clone()), None) {
            cutter.codes(&cells, view.rows.clone(), codes);
        }
    }

    fn relation(&self, view: &View<'_>, codes: &mut Vec<Code>) {
        let (Some(cutter), Some(relations)) = (&self.cutter, view.relations) else { return };
        let of = |v: &f64| if v.is_nan() { SKIP } else { cutter.code(Cell::Number(*v)) };
        codes.resize(codes.len() + relations.looked_at.start, SKIP);
        codes.extend(relations.numbers.get(self.asks).iter().map(of));
        codes.resize(view.rows.len(), SKIP);
    }

    fn pair(&self, second: usize, ranges: &[Option<(f64, f64)>], view: &View<'_>, codes: &mut Vec<Code>) {
        let first = self.others.first().and_then(|(value, _)| view.all.get((*value)?));
        let Some(first) = first else { return };
        codes.extend(first.iter().zip(view.rows.clone()).map(|(class, row)| {
            let range = ranges.get(usize::from(*class)).copied().flatten();
            match (range, view.cell(second, row)) {
                (Some((low, high)), Cell::Number(v)) if !v.is_nan() => Code::from(v < low || v > high),
                // Other streams see classes and values that are new.
                _ => SKIP,
            }
        }));
    }
}

/// The codes of a column's own bins that stand for nothing: zero, false, empty, the declared default.
fn empty_codes(
    position: usize,
    schema: &Schema,
    (streams, places): (&[Stream], &Places),
) -> Option<(usize, Vec<bool>)> {
    let column = schema.columns.get(position)?;
    let value = places.value(position)?;
    let stands_for_nothing = |bin: &Bin| match bin {
        Bin::Zero | Bin::Default => true,
        Bin::Category(word) => {
            word.is_empty() || (word == "false" && column.kind == crate::record::Kind::Boolean)
        }
        _ => false,
    };
    Some((value, streams.get(value)?.bins.iter().map(stands_for_nothing).collect()))
}

/// Leaves out the rows whose turn it is not.
fn take_turns(codes: &mut [Code], turns: &[Turn], turn: Turn) {
    for (code, of_row) in codes.iter_mut().zip(turns) {
        *code = if *of_row == turn { *code } else { SKIP };
    }
}

fn count_members<'a>(
    codes: &mut Vec<Code>,
    rows: usize,
    members: impl Iterator<Item = &'a [bool]>,
    most: Code,
) {
    codes.resize(rows, 0);
    for member in members {
        codes.iter_mut().zip(member).for_each(|(code, is)| *code = code.saturating_add(Code::from(*is)));
    }
    codes.iter_mut().for_each(|code| *code = (*code).min(most));
}

fn unusual(
    (members, least): (&[Rare], u8),
    others: &[(Option<usize>, Option<usize>)],
    view: &View<'_>,
    codes: &mut Vec<Code>,
) {
    let rows = view.rows.len();
    codes.resize(rows, 0);
    let mut is_unusual: Vec<bool> = Vec::with_capacity(rows);
    for (member, (value, grid)) in members.iter().zip(others) {
        is_unusual.clear();
        is_unusual.resize(rows, false);
        for (rare, stream) in [(&member.codes, value), (&member.grids, grid)] {
            let Some(of_member) = stream.and_then(|s| view.all.get(s)) else { continue };
            let mut is_rare = [false; 256];
            for code in rare.iter().filter(|code| **code != SKIP) {
                if let Some(place) = is_rare.get_mut(usize::from(*code)) {
                    *place = true;
                }
            }
            for (is, code) in is_unusual.iter_mut().zip(of_member) {
                *is |= is_rare.get(usize::from(*code)).copied().unwrap_or(false);
            }
        }
        codes.iter_mut().zip(&is_unusual).for_each(|(code, is)| *code = code.saturating_add(Code::from(*is)));
    }
    codes.iter_mut().for_each(|code| *code = Code::from(*code >= least));
}

fn replayed(view: &mut View<'_>, codes: &mut Vec<Code>) {
    for ((hash, repeated), number) in view.rows_hash.iter().zip(view.repeated).zip(view.first..) {
        if *repeated {
            codes.push(SKIP);
            continue;
        }
        let age = view.memory.features.see(*hash, 0, number).map(|(_, age)| age);
        codes.push(match age {
            // A memory that is not full yet finds too little.
            _ if number < REPLAY_ROWS => SKIP,
            Some(0..=1) => 3,
            Some(age) if age <= REPLAY_NEAR_ROWS => 2,
            Some(age) if age <= REPLAY_ROWS => 1,
            _ => 0,
        });
    }
}

fn changed(members: &[usize], view: &mut View<'_>, codes: &mut Vec<Code>) {
    let Some(slot) = members.first().copied() else { return };
    let mut hashes = vec![0; view.rows.len()];
    for bits in members.iter().filter_map(|m| view.bits.get(*m)) {
        hashes.iter_mut().zip(bits).for_each(|(hash, bits)| *hash = mix(*hash, *bits));
    }
    let index = slot % view.memory.entities.len().max(1);
    for ((row, values), number) in view.rows.clone().zip(hashes).zip(view.first..) {
        let Some(entity) = view.batch.meta().entity(row) else {
            codes.push(SKIP);
            continue;
        };
        let Some(memory) = view.memory.entities.get_mut(index) else { return };
        let key = mix(hash_of(entity), whole(slot));
        codes.push(match memory.see(key, values, number) {
            Some((before, age)) if age <= ENTITY_ROWS => Code::from(before == values),
            _ => SKIP,
        });
    }
}

fn tag_of<'a>(batch: &'a Batch, name: &str) -> Option<&'a StringArray> {
    batch.meta().tags().iter().find(|t| t.name == name).map(|t| &t.values)
}

fn keep_only(codes: &mut [Code], rows: &Range<usize>, tag: Option<&StringArray>, value: &str) {
    for (code, row) in codes.iter_mut().zip(rows.clone()) {
        if !tag.is_some_and(|t| t.is_valid(row) && t.value(row) == value) {
            *code = SKIP;
        }
    }
}
