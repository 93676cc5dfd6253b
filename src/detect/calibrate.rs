use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bins::{Bin, Planning};
use super::bootstrap::RunLength;
use super::cut::{Code, SKIP};
use super::dependence::{self, Sequence};
use super::encode::Encoder;
use super::hours::{Hours, Season};
use super::influence::Influence;
use super::joint::{self, Joint, Sample};
use super::labels::Reference;
use super::lanes::{Aside, Fitted, Lanes};
use super::plan::{self, Seen};
use super::steps::{Numbers, STEP_ROWS_MAX, chunks};
use super::stream::{Counts, Source, Stream};
use super::{Error, strata};
use crate::record::{Batch, Schema};
use crate::units::{Timestamp, ceil, count, whole};

/// Fewer rows than this cannot carry a baseline of any budget.
pub(super) const ROWS_MIN: u64 = 100;
/// Steps, and bytes, kept to check whether they depend on each other.
const KEPT_STEPS_MAX: usize = 1 << 16;
const KEPT_BYTES_MAX: usize = 1 << 28;

/// What a baseline knows about every stream: bins and counts, no rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The layout of this structure.
    pub(super) version: u32,
    /// Steps of the baseline: requests, or runs of one entity, that a model answered.
    pub(super) rows: u64,
    /// Whether some step has several rows, so that steps must be waited for.
    pub(super) clustered: bool,
    pub(super) season: Season,
    /// By stratum: the steps that the baseline has there.
    pub(super) seen: Vec<u64>,
    /// By stratum: the seconds that the baseline saw of it; empty without a season, and when nobody counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) seconds: Vec<f64>,
    pub(super) streams: Vec<Stream>,
    /// What columns tell of each other, which some of the streams are made of.
    #[serde(default)]
    pub(super) joint: Arc<Joint>,
    /// Steps farther apart than this are nearly independent, in all streams.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(super) memory: u64,
    /// By how much the threshold is raised above the wanted run length: from 1.
    #[serde(default = "no_factor", skip_serializing_if = "is_no_factor")]
    pub(super) threshold_factor: f64,
    /// The share of requests that the baseline's rows are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sampling: Option<f64>,
    /// How many entities its steps are of, where these come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entities: Option<u64>,
    /// Streams with too few rows to see whether they depend on each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unchecked: Vec<String>,
    #[serde(default, skip_serializing_if = "RunLength::is_no_rows")]
    pub(super) run_length: RunLength,
    /// The steps of the shortest of the recordings that were merged: each was looked at for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shortest: Option<u64>,
    /// Streams that differ between the recordings that were merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unlike: Vec<String>,
    /// The steps that the model's answers were counted over, where these are other rows than its features'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) output_rows: Option<u64>,
    /// What the answers cost that had a label; no bet of the ledger reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<Reference>,
    /// The steps that relations were fitted to, as long as the rows that they belong to are at hand.
    #[serde(skip)]
    pub(super) fitted: Aside,
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_one(memory: &u64) -> bool {
    *memory == 1
}

const fn no_factor() -> f64 {
    1.0
}

fn is_no_factor(factor: &f64) -> bool {
    *factor <= 1.0
}

/// So many entities are told apart; with more, the steps of one are few among all.
const ENTITIES_MAX: usize = 1 << 20;
/// Steps of an entity on average from which on they count as coming back.
const RETURNS_MIN: f64 = 1.5;

/// The layout that this program writes and reads.
const VERSION: u32 = 2;

#[cfg(test)]
impl Calibration {
    /// Of all rows of a batch, in two passes.
    pub(super) fn fit(batch: &Batch, season: Season) -> Result<Self, Error> {
        let mut planner = Planner::seasonal(Arc::clone(batch.schema()), season);
        planner.observe(batch);
        let mut counter = planner.finish()?;
        counter.observe(batch);
        counter.finish()
    }
}

impl Calibration {
    /// What turns rows into the codes that were counted.
    pub(super) fn encoder(&self, schema: &Schema) -> Encoder {
        Encoder::new(schema, &self.streams, &self.joint).at_sampling(self.sampling.unwrap_or(1.0))
    }

    /// Reads a calibration out of a baseline file and checks that it belongs to the schema.
    ///
    /// # Errors
    /// [`Error::Calibration`] when it does not parse, is of another version, or names columns
    /// that the schema lacks.
    pub fn read(value: &serde_json::Value, schema: &Schema) -> Result<Self, Error> {
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(VERSION)) {
            let found = version.map_or_else(|| "(none)".to_owned(), |v| v.to_string());
            return Err(Error::Calibration(format!(
                "version {found}, expected {VERSION}: build the baseline again"
            )));
        }
        let calibration =
            Self::deserialize(value).map_err(|e| Error::Calibration(format!("does not parse: {e}")))?;
        for stream in &calibration.streams {
            stream.check(schema, calibration.season.strata())?;
        }
        let joint = &calibration.joint;
        let has = |stream: &Stream| match stream.source {
            Source::Joint { scalar, .. } => joint.has(scalar),
            _ => true,
        };
        if !joint.is_sound(schema.columns.len()) || !calibration.streams.iter().all(has) {
            return Err(Error::Calibration("relations between columns do not fit the schema".to_owned()));
        }
        if calibration.seen.len() != calibration.season.strata() {
            return Err(Error::Calibration("hours do not fit its seasonality".to_owned()));
        }
        let sound = |seconds: &f64| seconds.is_finite() && *seconds >= 0.0;
        let strata = [0, calibration.season.strata()];
        if !strata.contains(&calibration.seconds.len()) || !calibration.seconds.iter().all(sound) {
            return Err(Error::Calibration("seconds of its hours do not fit its seasonality".to_owned()));
        }
        Hours::new(&calibration.season)?;
        if calibration.rows == 0 || calibration.output_rows == Some(0) {
            return Err(Error::Calibration("has no steps, expected 1 or more".to_owned()));
        }
        let factor = calibration.threshold_factor;
        if !(factor.is_finite() && factor >= 1.0) {
            return Err(Error::Calibration(format!("threshold_factor is {factor}, expected 1 or more")));
        }
        if let Some(labels) = &calibration.labels {
            labels.check().map_err(Error::Calibration)?;
        }
        Ok(calibration)
    }

    /// The same out of a baseline file, without the rest of it.
    ///
    /// # Errors
    /// [`Error::Calibration`] when it does not parse.
    pub fn labels_of(value: &serde_json::Value) -> Result<Option<Reference>, Error> {
        let Some(labels) = value.get("labels") else { return Ok(None) };
        let wrong = |e: serde_json::Error| Error::Calibration(format!("does not parse: {e}"));
        let labels = Option::<Reference>::deserialize(labels).map_err(wrong)?;
        labels.map(|labels| labels.check().map(|()| labels)).transpose().map_err(Error::Calibration)
    }

    /// With what the answers of labelled rows cost.
    #[must_use]
    pub fn with_labels(self, labels: Option<Reference>) -> Self {
        Self { labels, ..self }
    }

    /// What the answers of labelled rows cost; nothing where there were none, or too few.
    #[must_use]
    pub const fn labels(&self) -> Option<&Reference> {
        self.labels.as_ref()
    }

    /// The baseline's steps: rows of one request or entity run count once.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether what is normal depends on the hour, and where.
    #[must_use]
    pub const fn season(&self) -> &Season {
        &self.season
    }
}

/// First pass over a baseline's rows: chooses the bins.
#[derive(Debug)]
pub struct Planner {
    schema: Arc<Schema>,
    season: Season,
    columns: Vec<Planning>,
    seen: Seen,
    sample: Sample,
    numbers: Numbers,
    which: Lanes,
}

impl Planner {
    /// Ready for the first batch; the time of day does not matter.
    #[must_use]
    pub fn new(schema: Arc<Schema>) -> Self {
        Self::seasonal(schema, Season::none())
    }

    /// Ready for the first batch of traffic with a season.
    #[must_use]
    pub fn seasonal(schema: Arc<Schema>, season: Season) -> Self {
        let columns = schema.columns.iter().map(Planning::new).collect();
        let seen = Seen::new(&schema);
        let sample = Sample::new(&schema);
        Self { schema, season, columns, seen, sample, numbers: Numbers::default(), which: Lanes::halves() }
    }

    /// The same, of which every step plans bins and none will be counted.
    pub(super) fn of_all(schema: Arc<Schema>, season: Season) -> Self {
        Self { which: Lanes::All, ..Self::seasonal(schema, season) }
    }

    /// Reads the next rows, in order.
    pub fn observe(&mut self, batch: &Batch) {
        for row in 0..batch.len() {
            self.observe_row(batch, row);
        }
    }

    pub(super) fn observe_row(&mut self, batch: &Batch, row: usize) {
        let Some((step, _)) = self.numbers.number(batch, row) else { return };
        if let Some(stretch) = self.which.offers(step) {
            self.sample.observe(batch, row, stretch);
        }
        if self.which.plans(step) {
            for (planning, cells) in self.columns.iter_mut().zip(batch.columns()) {
                planning.observe(cells.cell(row));
            }
            self.seen.observe(batch, row);
        }
    }

    /// Answered steps read so far.
    pub(super) const fn steps(&self) -> u64 {
        self.numbers.seen()
    }

    /// The bins, ready to be counted in a second pass over the same rows in the same order.
    ///
    /// # Errors
    /// [`Error::NoZone`] when nobody knows the season's time zone.
    pub fn finish(self) -> Result<Counter, Error> {
        let planned = Some(self.numbers.seen());
        let fitted = Fitted::new(self.sample.stretches());
        Ok(Counter { planned, which: Lanes::Halves(fitted), ..self.counter()? })
    }

    /// The bins, ready to be counted over other rows than those that planned them. Some of these plan too:
    /// the scores of tilts, and what tails cover.
    pub(super) fn finish_for_others(self) -> Result<Counter, Error> {
        Ok(Counter { which: Lanes::Others, ..self.counter()? })
    }

    fn counter(self) -> Result<Counter, Error> {
        let strata = self.season.strata();
        let mut streams = plan::streams(&self.schema, self.columns, self.seen, strata);
        let joint = joint::fit(&self.sample, &self.schema, &mut streams, strata);
        Counter::new(&self.schema, (streams, Arc::new(joint)), self.season)
    }
}

/// Second pass over a baseline's rows: counts steps into the bins.
///
/// A step of several rows counts in each bin with its share of them; limits allow for sums of such shares.
#[derive(Debug, Clone)]
pub struct Counter {
    encoder: Encoder,
    streams: Vec<Stream>,
    season: Season,
    hours: Hours,
    seen: Vec<u64>,
    /// The earliest and the latest time of a step.
    times: Option<(Timestamp, Timestamp)>,
    numbers: Numbers,
    /// The steps of the first pass over the same rows, where there was one.
    planned: Option<u64>,
    which: Lanes,
    /// Whether it was given which streams have a table for each hour.
    keeps_strata: bool,
    clustered: bool,
    /// Entities seen, up to [`ENTITIES_MAX`], and steps of one.
    entities: BTreeSet<u64>,
    entity_steps: u64,
    /// The codes of the current step's rows, row by row, and how many rows it has.
    current: Vec<Code>,
    current_rows: usize,
    current_plans: bool,
    current_as_fitted: bool,
    current_stratum: usize,
    /// By stream: the codes of the first steps, to see whether they depend on each other.
    kept: Vec<Vec<Code>>,
    kept_strata: Vec<u8>,
    kept_max: usize,
    /// Of rows that plan; none where weights are given.
    influence: Option<Influence>,
    joint: Arc<Joint>,
}

impl Counter {
    /// Counts rows none of which planned the bins.
    fn new(
        schema: &Schema,
        (streams, joint): (Vec<Stream>, Arc<Joint>),
        season: Season,
    ) -> Result<Self, Error> {
        Ok(Self {
            encoder: Encoder::new(schema, &streams, &joint),
            hours: Hours::new(&season)?,
            seen: vec![0; season.strata()],
            times: None,
            season,
            numbers: Numbers::default(),
            planned: None,
            which: Lanes::None,
            keeps_strata: false,
            clustered: false,
            entities: BTreeSet::new(),
            entity_steps: 0,
            current: Vec::new(),
            current_rows: 0,
            current_plans: false,
            current_as_fitted: false,
            current_stratum: 0,
            kept: vec![Vec::new(); streams.len()],
            kept_strata: Vec::new(),
            kept_max: KEPT_STEPS_MAX.min(KEPT_BYTES_MAX / streams.len().max(1)),
            influence: Some(Influence::new(&streams)),
            joint,
            streams,
        })
    }

    /// Counts other rows into the bins of an earlier calibration, so that the two can be merged.
    ///
    /// The rows must not be those that the earlier one was made of: some of them chose the bins.
    ///
    /// # Errors
    /// [`Error::NoZone`] when nobody knows the season's time zone.
    pub fn with_plan_of(schema: &Schema, calibration: &Calibration) -> Result<Self, Error> {
        let emptied = |stream: &Stream| Stream {
            counts: vec![Counts::new(stream.bins.len()); stream.counts.len()],
            clumping: 1.0,
            ..stream.clone()
        };
        let streams = calibration.streams.iter().map(emptied).collect();
        let relations = (streams, Arc::clone(&calibration.joint));
        let new = Self::new(schema, relations, calibration.season.clone())?;
        let encoder = calibration.encoder(schema);
        Ok(Self { encoder, keeps_strata: true, which: Lanes::Others, influence: None, ..new })
    }

    /// The same, which keeps no more than so many bytes to see whether its steps depend on each other.
    pub(super) fn keeping(mut self, bytes_max: usize) -> Self {
        self.kept_max = self.kept_max.min(bytes_max / self.streams.len().max(1));
        self
    }

    /// The same, which finds out by itself which streams are alike at all hours.
    pub(super) fn by_hour(mut self) -> Self {
        let strata = self.season.strata();
        for stream in &mut self.streams {
            stream.counts = vec![Counts::new(stream.bins.len()); strata];
        }
        self.keeps_strata = false;
        self
    }

    /// The counts so far.
    pub(super) fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// By stratum: the steps so far.
    pub(super) fn seen(&self) -> &[u64] {
        &self.seen
    }

    /// Reads the next rows, in the order of the first pass.
    pub fn observe(&mut self, batch: &Batch) {
        self.observe_from(batch, 0);
    }

    /// Reads the rows of a batch from one on.
    pub(super) fn observe_from(&mut self, batch: &Batch, from: usize) {
        for rows in chunks(from..batch.len()) {
            self.encoder.encode(batch, &rows);
            for (place, row) in rows.enumerate() {
                self.take(batch, row, place);
            }
        }
    }

    fn take(&mut self, batch: &Batch, row: usize, place: usize) {
        let Some((step, first)) = self.numbers.number(batch, row) else { return };
        if first || self.current_rows >= STEP_ROWS_MAX {
            self.close();
            self.note_entity(batch, row);
            self.current_plans = self.which.plans(step);
            self.current_as_fitted = self.which.is_as_fitted(step);
            let ts = batch.meta().ts().get(row).copied();
            self.current_stratum = ts.map_or(0, |ts| self.hours.stratum(ts));
            if let Some(ts) = ts {
                let (from, to) = self.times.unwrap_or((ts, ts));
                self.times = Some((from.min(ts), to.max(ts)));
            }
        }
        self.current_rows += 1;
        for stream in 0..self.encoder.streams() {
            self.current.push(self.encoder.of(stream).get(place).copied().unwrap_or(SKIP));
        }
    }

    fn note_entity(&mut self, batch: &Batch, row: usize) {
        let Some(entity) = batch.meta().entity(row).map(super::bits::hash_of) else { return };
        self.entity_steps += 1;
        if self.entities.len() < ENTITIES_MAX {
            self.entities.insert(entity);
        }
    }

    /// How many entities there are, where they come back more than now and then.
    fn returning(&self) -> Option<u64> {
        let entities = whole(self.entities.len());
        let returns = count(self.entity_steps) > RETURNS_MIN * count(entities);
        (entities > 0 && self.entities.len() < ENTITIES_MAX && returns).then_some(entities)
    }

    /// Counts the current step, which has no more rows.
    fn close(&mut self) {
        if self.current.is_empty() {
            return;
        }
        // A row that is delivered again is one more row of its step too.
        self.clustered |= self.current_rows > 1;
        if let Some(seen) = self.seen.get_mut(self.current_stratum) {
            *seen += 1;
        }
        if let Some(influence) = self.influence.as_mut().filter(|_| self.current_plans) {
            // Of a step of several rows the first: the others are no news of their own.
            influence.observe(&self.current);
        }
        let all = self.streams.len();
        let keeps = self.kept_strata.len() < self.kept_max;
        if keeps {
            self.kept_strata.push(u8::try_from(self.current_stratum).unwrap_or(u8::MAX));
        }
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let codes = || self.current.iter().skip(index).step_by(all).copied().filter(|c| *c != SKIP);
            if let (true, Some(kept)) = (keeps, self.kept.get_mut(index)) {
                // Rows that were fitted are better than others, stretch by stretch: no sign of a memory.
                let is_fitted = self.current_as_fitted && matches!(stream.source, Source::Joint { .. });
                kept.push(codes().next().filter(|_| !is_fitted).unwrap_or(SKIP));
            }
            let rows = codes().count();
            let stratum = if stream.counts.len() == 1 { 0 } else { self.current_stratum };
            let Some(counts) = stream.counts.get_mut(stratum).filter(|_| rows > 0) else { continue };
            let share = 1.0 / count(whole(rows));
            let is_chosen_by = match stream.source {
                // What relations read are bins, which rows that plan have chosen.
                Source::Joint { .. } => self.current_as_fitted || self.current_plans,
                _ => self.current_plans,
            };
            counts.trials_all += 1.0;
            counts.trials += if is_chosen_by { 0.0 } else { 1.0 };
            for code in codes() {
                let bin = usize::from(code);
                // Rounded shares of many steps must not add up to more than there were steps.
                let add = |hits: &mut f64, trials: f64| {
                    let sum = *hits + share;
                    *hits = if sum > trials { trials } else { sum };
                };
                if let Some(hits) = counts.hits_all.get_mut(bin) {
                    add(hits, counts.trials_all);
                }
                if let (false, Some(hits)) = (is_chosen_by, counts.hits.get_mut(bin)) {
                    add(hits, counts.trials);
                }
            }
        }
        self.current.clear();
        self.current_rows = 0;
    }

    /// Answered steps read so far.
    pub(super) const fn steps(&self) -> u64 {
        self.numbers.seen()
    }

    /// The calibration.
    ///
    /// # Errors
    /// [`Error::TooFewRows`] below 100 rows; [`Error::PassesDiffer`] when the two passes read
    /// different numbers of rows; [`Error::ContractBroken`] when the baseline itself breaks a
    /// declared rule, because then either is wrong.
    pub fn finish(mut self) -> Result<Calibration, Error> {
        self.close();
        let rows = self.numbers.seen();
        if rows < ROWS_MIN {
            return Err(Error::TooFewRows { rows, expected: ROWS_MIN });
        }
        if let Some(first) = self.planned.filter(|first| *first != rows) {
            return Err(Error::PassesDiffer { first, second: rows });
        }
        self.check_contracts()?;
        let (memory, unchecked) = self.measure_clumping();
        if let Some(influence) = &self.influence {
            let influences = influence.influences(&self.streams);
            self.streams.iter_mut().zip(influences).for_each(|(stream, weight)| stream.influence = weight);
        }
        for stream in self.streams.iter_mut().filter(|_| !self.keeps_strata) {
            merge_alike_hours(stream);
        }
        let seconds = self.times.map_or_else(Vec::new, |(from, to)| self.hours.seconds(from, to));
        let entities = self.returning();
        Ok(Calibration {
            version: VERSION,
            rows,
            clustered: self.clustered,
            season: self.season,
            seen: self.seen,
            seconds,
            streams: self.streams,
            joint: self.joint,
            memory: whole(memory),
            sampling: self.encoder.sampling().filter(|rate| *rate < 1.0),
            entities,
            unchecked,
            threshold_factor: 1.0,
            run_length: RunLength::NoRows,
            shortest: None,
            unlike: Vec::new(),
            output_rows: None,
            labels: None,
            fitted: Aside(self.which),
        })
    }

    /// By how much the news of each stream comes in clumps. Gives the longest memory found, in steps, and
    /// the streams that cannot be checked: they are taken for independent, and nothing is proven then.
    fn measure_clumping(&mut self) -> (usize, Vec<String>) {
        let (mut memory, mut unchecked) = (1, Vec::new());
        let has_strata = self.season.strata() > 1;
        let streams = self.streams.len();
        for (stream, kept) in self.streams.iter_mut().zip(&self.kept) {
            let told = kept.iter().zip(&self.kept_strata).filter(|(code, _)| **code != SKIP);
            let alike = stream.words_alike();
            let (codes, strata): (Vec<u8>, Vec<u8>) =
                told.map(|(code, stratum)| (alike(*code), *stratum)).unzip();
            let scores = super::scores::of(stream);
            let scores: Option<Vec<f64>> = scores.map(|z| z.into_iter().map(|z| z.unwrap_or(0.0)).collect());
            let sequence = Sequence {
                codes: &codes,
                bins: stream.bins.len(),
                strata: has_strata.then_some(&strata),
                scores: scores.as_deref(),
            };
            let mut found = dependence::clumping(&sequence, streams);
            if matches!(stream.source, Source::Joint { .. }) {
                found = found.and_then(|clumping| clumping.with_gaps(codes.len(), kept.len()));
            }
            if found.is_none() && !codes.is_empty() && !unchecked.contains(&stream.name) {
                unchecked.push(stream.name.clone());
            }
            stream.clumping = found.as_ref().map_or(1.0, |clumping| clumping.factor);
            memory = memory.max(found.map_or(1, |clumping| clumping.block));
        }
        self.pool_clumping();
        (memory, unchecked)
    }

    /// Rows that are unusual are too few to tell how they clump: by no less than the values that they are made
    /// of, lest sessions be taken for independent where only rare values count.
    fn pool_clumping(&mut self) {
        let mut of_column: BTreeMap<usize, f64> = BTreeMap::new();
        for stream in &self.streams {
            if let Source::Column { position, .. } | Source::Grid { position } = stream.source {
                let most = of_column.entry(position).or_insert(1.0);
                *most = if stream.clumping > *most { stream.clumping } else { *most };
            }
        }
        for stream in &mut self.streams {
            if matches!(stream.source, Source::Unusual { .. } | Source::Pair { .. }) {
                let members =
                    stream.source.positions().into_iter().filter_map(|p| of_column.get(&p).copied());
                stream.clumping = members.fold(stream.clumping, |most, c| if c > most { c } else { most });
            }
        }
    }

    pub(super) fn check_contracts(&self) -> Result<(), Error> {
        for stream in &self.streams {
            let broken = stream.bins.iter().position(|b| *b == Bin::Broken);
            let rows = broken.map_or(0.0, |bin| stream.pooled(bin).0);
            if rows > 0.0 {
                return Err(Error::ContractBroken { column: stream.name.clone(), rows: ceil(rows) });
            }
        }
        Ok(())
    }
}

/// The chance that a stream with the same shares at all hours keeps a table for each: its limits are then
/// only wider, while a table for all of unlike hours would be wrong.
const ALIKE_LEVEL: f64 = 0.05;

/// One table for all hours where they are alike.
fn merge_alike_hours(stream: &mut Stream) {
    if stream.counts.len() < 2 {
        return;
    }
    let scores: Vec<f64> = super::scores::of(stream)
        .map_or_else(Vec::new, |scores| scores.into_iter().map(|z| z.unwrap_or(0.0)).collect());
    let (hits, trials) = stream.by_stratum();
    if strata::is_homogeneous(&strata::Table { hits: &hits, trials: &trials }, &scores, ALIKE_LEVEL) {
        let mut pooled = Counts::new(stream.bins.len());
        stream.counts.iter().for_each(|c| pooled.add(c));
        stream.counts = vec![pooled];
    }
}
