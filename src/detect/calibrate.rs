use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bins::{Bin, Plan, Planning};
use super::limits;
use super::state::Pending;
use super::{Error, KINDS};
use crate::record::{Batch, Cell, Cells, Column, Contract, Kind, Role, RowStatus, Schema};

/// One row in three plans bins and the others are counted, so that no bin is judged by the rows
/// that chose it: a value that only those rows had would else look impossible.
const PLAN_ONE_IN: u64 = 3;
/// Planning stops after about so many rows; all later ones are counted.
const PLAN_ROWS_MAX: u64 = 20_000;
/// The chance, over baselines, that any limit of this calibration is wrong.
const WRONG_LIMITS: f64 = 0.05;
/// Fewer rows than this cannot carry a baseline of any budget.
const ROWS_MIN: u64 = 100;

/// What a stream is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// One column, by position.
    Column { position: usize, plan: Plan },
    /// The features of one group, by position: are all zero or at their default?
    Group { members: Vec<usize> },
    /// The declared rules of one column, by position.
    Contract { position: usize, contract: Contract },
}

/// One scalar stream with the baseline's counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) source: Source,
    /// The column's name; a group's name for a group.
    pub(super) name: String,
    pub(super) group: String,
    pub(super) is_output: bool,
    pub(super) bins: Vec<Bin>,
    /// Baseline rows in each bin, and the rows that could have fallen there.
    pub(super) hits: Vec<u64>,
    pub(super) trials: Vec<u64>,
}

/// What a baseline knows about every stream: bins and counts, no rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The layout of this structure.
    pub(super) version: u32,
    /// Requests of the baseline that a model answered.
    pub(super) rows: u64,
    pub(super) streams: Vec<Stream>,
}

/// The layout that this program writes and reads.
const VERSION: u32 = 1;

impl Calibration {
    /// Reads a calibration out of a baseline file and checks that it belongs to the schema.
    ///
    /// # Errors
    /// [`Error::Calibration`] when it does not parse, is of another version, or names columns
    /// that the schema lacks.
    pub fn read(value: &serde_json::Value, schema: &Schema) -> Result<Self, Error> {
        let calibration =
            Self::deserialize(value).map_err(|e| Error::Calibration(format!("does not parse: {e}")))?;
        if calibration.version != VERSION {
            return Err(Error::Calibration(format!("version {}, expected {VERSION}", calibration.version)));
        }
        for stream in &calibration.streams {
            stream.check(schema)?;
        }
        Ok(calibration)
    }

    /// The baseline's requests: rows of one request count once.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The chance that one limit may be wrong, so that all hold together with 95 %.
    pub(super) fn delta(&self) -> f64 {
        let is_bet = |bin: &&Bin| KINDS.iter().any(|k| k.claims(bin));
        let limits: usize = self.streams.iter().map(|s| s.bins.iter().filter(is_bet).count()).sum();
        WRONG_LIMITS / crate::units::count(limits.max(1) as u64)
    }

    /// The upper confidence limit of each bin's healthy share, stream by stream.
    pub(super) fn upper_limits(&self) -> Vec<Vec<f64>> {
        let delta = self.delta();
        let mut known: BTreeMap<(u64, u64), f64> = BTreeMap::new();
        let mut limit = |hits, trials| {
            let (k, n) = (crate::units::count(hits), crate::units::count(trials));
            *known.entry((hits, trials)).or_insert_with(|| limits::upper(k, n, delta))
        };
        self.streams
            .iter()
            .map(|s| s.hits.iter().zip(&s.trials).map(|(h, t)| limit(*h, *t)).collect())
            .collect()
    }
}

impl Stream {
    fn check(&self, schema: &Schema) -> Result<(), Error> {
        let lengths_agree = self.bins.len() == self.hits.len() && self.bins.len() == self.trials.len();
        let bins_agree = match &self.source {
            Source::Column { plan, .. } => plan.bins().len() == self.bins.len(),
            Source::Group { .. } | Source::Contract { .. } => self.bins.len() == 2,
        };
        let positions: &[usize] = match &self.source {
            Source::Column { position, .. } | Source::Contract { position, .. } => &[*position],
            Source::Group { members } => members,
        };
        if lengths_agree && bins_agree && positions.iter().all(|p| *p < schema.columns.len()) {
            Ok(())
        } else {
            Err(Error::Calibration(format!("stream `{}` does not fit the schema", self.name)))
        }
    }

    /// The position of the bin that one row of a batch falls into.
    pub(super) fn bin(&self, columns: &[Cells], schema: &Schema, row: usize) -> usize {
        let cell = |position: usize| columns.get(position).map_or(Cell::Null, |c| c.cell(row));
        match &self.source {
            Source::Column { position, plan } => plan.bin(cell(*position)),
            Source::Group { members } => {
                let dead = members.iter().all(|p| is_zero_or_default(cell(*p), schema.columns.get(*p)));
                usize::from(!dead)
            }
            Source::Contract { position, contract } => {
                usize::from(broken_rule(cell(*position), contract).is_none())
            }
        }
    }
}

/// Whether a column has a value that stands for nothing.
fn can_be_zero(column: &Column) -> bool {
    matches!(column.kind, Kind::Numeric | Kind::Boolean) || column.default.is_some()
}

fn is_zero_or_default(cell: Cell<'_>, column: Option<&Column>) -> bool {
    use crate::record::Scalar;
    let default = column.and_then(|c| c.default.as_ref());
    match (cell, default) {
        (Cell::Number(v), Some(Scalar::Number(d))) => v == 0.0 || v.total_cmp(d).is_eq(),
        (Cell::Number(v), _) => v == 0.0,
        (Cell::Text(t), Some(Scalar::Text(d))) => t == d || t.is_empty(),
        (Cell::Text(t), Some(Scalar::Bool(d))) => t == if *d { "true" } else { "false" },
        (Cell::Text(t), _) => {
            t.is_empty() || (t == "false" && column.is_some_and(|c| c.kind == Kind::Boolean))
        }
        _ => false,
    }
}

/// The first declared rule that a cell breaks, in words.
pub(super) fn broken_rule(cell: Cell<'_>, contract: &Contract) -> Option<String> {
    match cell {
        Cell::Null => contract.not_null.then(|| "not_null".to_owned()),
        Cell::WrongType => contract.typed.then(|| "typed".to_owned()),
        Cell::Number(v) => {
            if contract.finite && !v.is_finite() {
                return Some("finite".to_owned());
            }
            if let Some(min) = contract.min
                && (v < min || v.is_nan())
            {
                return Some(format!("min {min}"));
            }
            match contract.max {
                Some(max) if v > max || v.is_nan() => Some(format!("max {max}")),
                _ => None,
            }
        }
        Cell::Text(t) => {
            let listed = contract.one_of.is_empty() || contract.one_of.iter().any(|o| o == t);
            (!listed).then(|| format!("one_of {}", contract.one_of.join(", ")))
        }
    }
}

/// Whether a row is judged: a request that failed left its model nothing to see, and is loud already.
pub(super) fn is_judged(batch: &Batch, row: usize) -> bool {
    batch.rows().get(row).is_some_and(|meta| meta.status != Some(RowStatus::Error))
}

/// Whether the request with this number, counted from 0, plans bins; else it is counted.
fn plans(row: u64) -> bool {
    mixed(row).is_multiple_of(PLAN_ONE_IN) && row / PLAN_ONE_IN < PLAN_ROWS_MAX
}

/// A number that shares no period with the rows: splitmix64's finaliser (Steele et al., 2014). Every
/// third row itself would be the first of each request of three.
const fn mixed(row: u64) -> u64 {
    let z = row.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Numbers requests: adjacent answered rows of one request have one number, from 0.
#[derive(Debug, Default)]
struct Requests {
    last: Option<String>,
    /// Requests with an answered row.
    seen: u64,
    /// Whether the current request has had one.
    counted: bool,
}

impl Requests {
    /// The number of the request of a row, and whether the row is its first; nothing for a row that no
    /// model answered.
    fn number(&mut self, batch: &Batch, row: usize) -> Option<(u64, bool)> {
        let request = batch.rows().get(row).and_then(|meta| meta.request_id.as_ref());
        if request.is_none() || request != self.last.as_ref() {
            self.last = request.cloned();
            self.counted = false;
        }
        if !is_judged(batch, row) {
            return None;
        }
        let first = !self.counted;
        self.seen += u64::from(first);
        self.counted = true;
        Some((self.seen - 1, first))
    }
}

/// First pass over a baseline's rows: chooses the bins.
#[derive(Debug)]
pub struct Planner {
    schema: Arc<Schema>,
    columns: Vec<Planning>,
    requests: Requests,
}

impl Planner {
    /// Ready for the first batch.
    #[must_use]
    pub fn new(schema: Arc<Schema>) -> Self {
        let columns = schema.columns.iter().map(Planning::new).collect();
        Self { schema, columns, requests: Requests::default() }
    }

    /// Reads the next rows, in order.
    pub fn observe(&mut self, batch: &Batch) {
        for row in 0..batch.len() {
            if self.requests.number(batch, row).is_some_and(|(request, _)| plans(request)) {
                for (planning, cells) in self.columns.iter_mut().zip(batch.columns()) {
                    planning.observe(cells.cell(row));
                }
            }
        }
    }

    /// The bins, ready to be counted in a second pass over the same rows in the same order.
    #[must_use]
    pub fn finish(self) -> Counter {
        let mut streams = Vec::new();
        for (position, (planning, column)) in self.columns.into_iter().zip(&self.schema.columns).enumerate() {
            if column.role == Role::Meta {
                continue;
            }
            let plan = planning.plan();
            let bins = plan.bins();
            streams.push(Stream::new(Source::Column { position, plan }, column, bins));
            if !column.contract.is_empty() {
                let source = Source::Contract { position, contract: column.contract.clone() };
                streams.push(Stream::new(source, column, vec![Bin::Broken, Bin::Kept]));
            }
        }
        for (name, mut members) in self.schema.input_groups() {
            let column = |position: &usize| self.schema.columns.get(*position);
            members.retain(|position| column(position).is_some_and(can_be_zero));
            if members.len() < 2 {
                continue;
            }
            let defaults = members.iter().filter_map(column).any(|c| c.default.is_some());
            let zero = if defaults { Bin::GroupDefault } else { Bin::GroupZero };
            let bins = vec![zero, Bin::GroupAlive];
            let zeros = vec![0; bins.len()];
            streams.push(Stream {
                source: Source::Group { members },
                name: name.to_owned(),
                group: name.to_owned(),
                is_output: false,
                bins,
                hits: zeros.clone(),
                trials: zeros,
            });
        }
        Counter::new(self.schema, streams, self.requests.seen)
    }
}

impl Stream {
    fn new(source: Source, column: &Column, bins: Vec<Bin>) -> Self {
        let zeros = vec![0; bins.len()];
        Self {
            source,
            name: column.name.clone(),
            group: column.group.clone(),
            is_output: column.role == Role::Output,
            bins,
            hits: zeros.clone(),
            trials: zeros,
        }
    }
}

/// Second pass over a baseline's rows: counts requests into the bins.
///
/// A request of several rows counts in each bin with its share of them. Sums of such shares are less
/// spread than binomial counts of the same mean (Hoeffding, 1956), so limits made for counts hold.
#[derive(Debug)]
pub struct Counter {
    schema: Arc<Schema>,
    streams: Vec<Stream>,
    /// By stream and bin: the sum of shares so far.
    sums: Vec<Vec<f64>>,
    requests: Requests,
    planned: u64,
    /// The bins of the current request's rows.
    current: Pending,
    current_plans: bool,
}

impl Counter {
    fn new(schema: Arc<Schema>, streams: Vec<Stream>, planned: u64) -> Self {
        Self {
            schema,
            sums: streams.iter().map(|s| vec![0.0; s.bins.len()]).collect(),
            streams,
            requests: Requests::default(),
            planned,
            current: Pending::default(),
            current_plans: false,
        }
    }

    /// Reads the next rows, in the order of the first pass.
    pub fn observe(&mut self, batch: &Batch) {
        for row in 0..batch.len() {
            let Some((request, first)) = self.requests.number(batch, row) else { continue };
            if first {
                self.close();
                self.current_plans = plans(request);
            }
            let (streams, schema) = (&self.streams, &self.schema);
            self.current.push(streams.iter().map(|s| s.bin(batch.columns(), schema, row)));
        }
    }

    /// Counts the current request, which has no more rows.
    fn close(&mut self) {
        if self.current.rows() == 0 {
            return;
        }
        let all = self.streams.len();
        let mut hits = Vec::new();
        for (index, (stream, sums)) in self.streams.iter_mut().zip(&mut self.sums).enumerate() {
            self.current.hits(index, all, &mut hits);
            let counts = |bin: &Bin| !self.current_plans || bin.is_known_beforehand();
            for (bin, trials) in stream.bins.iter().zip(&mut stream.trials) {
                *trials += u64::from(counts(bin));
            }
            for hit in &hits {
                if stream.bins.get(hit.bin).is_some_and(counts)
                    && let Some(sum) = sums.get_mut(hit.bin)
                {
                    *sum += hit.share;
                }
            }
        }
        self.current.clear();
    }

    /// The calibration.
    ///
    /// # Errors
    /// [`Error::TooFewRows`] below 100 rows; [`Error::PassesDiffer`] when the two passes read
    /// different numbers of rows; [`Error::ContractBroken`] when the baseline itself breaks a
    /// declared rule, because then either is wrong.
    pub fn finish(mut self) -> Result<Calibration, Error> {
        self.close();
        let rows = self.requests.seen;
        if rows < ROWS_MIN {
            return Err(Error::TooFewRows { rows, expected: ROWS_MIN });
        }
        if rows != self.planned {
            return Err(Error::PassesDiffer { first: self.planned, second: rows });
        }
        for (stream, sums) in self.streams.iter_mut().zip(&self.sums) {
            for (hits, sum) in stream.hits.iter_mut().zip(sums) {
                *hits = rounded_up(*sum);
            }
        }
        for stream in &self.streams {
            let broken = stream.bins.iter().position(|b| *b == Bin::Broken);
            match broken.and_then(|b| stream.hits.get(b)) {
                Some(&rows) if rows > 0 => {
                    return Err(Error::ContractBroken { column: stream.name.clone(), rows });
                }
                _ => {}
            }
        }
        Ok(Calibration { version: VERSION, rows, streams: self.streams })
    }
}

/// A sum of shares as a count that is not below it; thirds that sum to one are one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the number of requests")]
fn rounded_up(sum: f64) -> u64 {
    const ROUNDING: f64 = 1e-6;
    (sum - ROUNDING).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planning rows have no period: of the first rows of requests of any size a third plans.
    #[test]
    fn planning_has_no_period() {
        for period in [2_u64, 3, 6, 10, 32] {
            for phase in [0, 1] {
                let requests = 1_800;
                let planned = (0..requests).filter(|i| plans(i * period + phase)).count();
                assert!((500..700).contains(&planned), "{period} {phase}: {planned}");
            }
        }
    }
}
