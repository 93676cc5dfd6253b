//! Fits every relation to the sample, and makes its streams.

use super::coherence::Coherence;
use super::given::Given;
use super::inputs::{Column, INPUTS_MAX, Input, Inputs};
use super::odds::Odds;
use super::sample::{Sample, Sampled};
use super::surrogate::{Held, SURROGATES_MAX, Surrogate, Target, chosen};
use super::{Joint, ROWS_MIN, Scalar};
use crate::detect::bins::{Plan, Planning};
use crate::detect::cut::Cutter;
use crate::detect::plan::plain;
use crate::detect::stream::{Role, Source, Stream};
use crate::record::{Cell, Kind, Role as ColumnRole, Schema};

/// Of the sample's rows the last fifth is not fitted: it cuts the bins of what relations leave, and says whether a
/// relation holds at all. Not every fifth row, which may be like the one before.
const HELD_ONE_IN: usize = 5;

/// Rows in which a feature is missing from which trees learn what that means.
const MISSING_MIN: usize = 30;

/// Fits relations between the columns whose streams are given, and adds the streams of those found.
pub(in crate::detect) fn fit(
    sample: &Sample,
    schema: &Schema,
    streams: &mut Vec<Stream>,
    strata: usize,
) -> Joint {
    let mut fitting =
        Fitting { schema, strata, rows: sample.rows(), joint: Joint::default(), made: Vec::new() };
    if sample.rows() < ROWS_MIN {
        let (rows, room, least) = (sample.rows(), sample.room(), ROWS_MIN);
        let why = if room < least {
            format!(
                "the columns are so many that only {room} rows are kept to fit one to, expected {least} at least"
            )
        } else {
            format!("{rows} rows to fit one to, expected {least} at least (half of the baseline's)")
        };
        fitting.joint.lacks.push(format!("no relation between columns is watched: {why}"));
        return fitting.joint;
    }
    let columns = sampled(sample, streams);
    fitting.all(sample, &columns, streams);
    streams.extend(fitting.made);
    fitting.joint
}

/// Every column of the sample that has a stream of its values, with its bins.
fn sampled(sample: &Sample, streams: &[Stream]) -> Vec<Sampled> {
    let of = |stream: &Stream| match &stream.source {
        Source::Column { position, plan } => sample.column(*position, plan),
        _ => None,
    };
    streams.iter().filter_map(of).collect()
}

struct Fitting<'a> {
    schema: &'a Schema,
    strata: usize,
    /// Rows of the sample.
    rows: usize,
    joint: Joint,
    made: Vec<Stream>,
}

/// Whether a row of so many is fitted.
const fn is_fitted(row: usize, rows: usize) -> bool {
    row * HELD_ONE_IN < rows * (HELD_ONE_IN - 1)
}

impl Fitting<'_> {
    fn all(&mut self, sample: &Sample, columns: &[Sampled], streams: &[Stream]) {
        let role = |position: usize| self.schema.columns.get(position).map(|c| c.role);
        let is = |wanted: ColumnRole| move |s: &&Sampled| role(s.position) == Some(wanted);
        let answers: Vec<Target> =
            columns.iter().filter(is(ColumnRole::Output)).filter_map(Target::new).collect();
        let (answers, left) = chosen(answers);
        if left > 0 {
            self.joint.lacks.push(format!(
                "{left} further answers against features are not watched: the first {SURROGATES_MAX} that differ are"
            ));
        }
        let order = answers.first().map(|target| target.values.as_slice());
        let bins = |position: usize| {
            let stream = streams
                .iter()
                .find(|s| matches!(&s.source, Source::Column { position: p, .. } if *p == position));
            stream.map_or(&[][..], |s| s.bins.as_slice())
        };
        let features: Vec<&Sampled> = columns.iter().filter(is(ColumnRole::Input)).collect();
        let fits = |row: usize| is_fitted(row, self.rows);
        let mut inputs: Vec<(Input, &Sampled)> = features
            .iter()
            .filter_map(|s| Some((Input::new(s, bins(s.position), order, fits)?, *s)))
            .collect();
        if inputs.len() > INPUTS_MAX {
            let left = inputs.len() - INPUTS_MAX;
            self.joint.lacks.push(format!(
                "{left} features take part in no relation: the first {INPUTS_MAX} that vary do"
            ));
            inputs.truncate(INPUTS_MAX);
        }
        if inputs.is_empty() {
            self.joint.lacks.push("no relation between columns is watched: no feature varies".to_owned());
            return;
        }
        let width = inputs.len();
        let mut matrix = vec![f32::NAN; sample.rows() * width];
        let mut scores = Vec::with_capacity(width);
        for (place, (input, sampled)) in inputs.iter_mut().enumerate() {
            let column = Column::of_sample(sampled);
            input.fill(&column, matrix.get_mut(place..).unwrap_or(&mut []), width);
            let values = matrix.get(place..).unwrap_or(&[]).iter().step_by(width);
            let fitted = values.enumerate().filter(|(row, _)| is_fitted(*row, self.rows));
            input.knows_missing = fitted.filter(|(_, v)| v.is_nan()).count() >= MISSING_MIN;
            let mut of_input = Vec::new();
            input.scores(&column, &mut of_input);
            scores.push(of_input);
        }
        self.joint.inputs = Inputs { columns: inputs.iter().map(|(input, _)| input.clone()).collect() };
        self.surrogates(&answers, (&matrix, width));
        self.coherence((&matrix, width));
        self.given(&scores);
        self.pairs(&features);
        self.clocks(&features, sample.hours());
    }

    fn surrogates(&mut self, answers: &[Target], (matrix, width): (&[f32], usize)) {
        if answers.is_empty() {
            self.joint.lacks.push("answers against features are not watched: no answer varies".to_owned());
        }
        for target in answers {
            let name = self.name(target.position);
            match Surrogate::fit(target, (matrix, width), |row| is_fitted(row, self.rows)) {
                Ok((surrogate, Held { whole, broken })) => {
                    let which = self.joint.surrogates.len();
                    let sizes = |of: &[f64]| -> Vec<f64> { of.iter().map(|v| v.abs()).collect() };
                    let size = Held { whole: sizes(&whole), broken: sizes(&broken) };
                    self.joint.surrogates.push(surrogate);
                    let columns = vec![target.position];
                    self.stream(Scalar::Residual(which), &columns, &name, Role::Output, &only(whole));
                    self.stream(Scalar::ResidualSize(which), &columns, &name, Role::Output, &size);
                }
                Err(why) => {
                    self.joint
                        .lacks
                        .push(format!("answers `{name}` against features are not watched: {why}"));
                }
            }
        }
    }

    fn coherence(&mut self, (matrix, width): (&[f32], usize)) {
        let groups: Vec<Vec<usize>> = self
            .schema
            .input_groups()
            .into_iter()
            .map(|(_, members)| {
                let place = |p: &usize| self.joint.inputs.columns.iter().position(|i| i.position == *p);
                members.iter().filter_map(place).collect::<Vec<usize>>()
            })
            .filter(|members| !members.is_empty())
            .collect();
        match Coherence::fit((matrix, width), &groups, |row| is_fitted(row, self.rows)) {
            Ok((coherence, held)) => {
                self.joint.coherence = Some(coherence);
                let columns: Vec<usize> = self.joint.inputs.columns.iter().map(|i| i.position).collect();
                self.stream(Scalar::Coherence, &columns, "features", Role::Relations, &held);
            }
            Err(why) => {
                self.joint.lacks.push(format!("whether features belong to one entity is not watched: {why}"));
            }
        }
    }

    fn given(&mut self, scores: &[Vec<f32>]) {
        let is_number = |input: usize| self.joint.inputs.columns.get(input).is_some_and(|i| !i.is_of_words());
        let found = Given::fit(scores, is_number, |row| is_fitted(row, self.rows));
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                self.joint
                    .lacks
                    .push(format!("features against what others foretell are not watched: {why}"));
                return;
            }
        };
        if found.is_empty() {
            self.joint.lacks.push(
                "no feature is watched given the others: they tell less than a tenth of any number among them"
                    .to_owned(),
            );
        }
        for (given, left) in found {
            let Some(position) = self.joint.inputs.columns.get(given.input).map(|i| i.position) else {
                continue;
            };
            let which = self.joint.given.len();
            self.joint.given.push(given);
            let name = self.name(position);
            self.stream(Scalar::Given(which), &[position], &name, Role::Relations, &only(left));
        }
    }

    fn pairs(&mut self, features: &[&Sampled]) {
        let words: Vec<(usize, &[u8])> = features
            .iter()
            .filter(|s| s.numbers.is_none())
            .map(|s| (s.position, s.codes.as_slice()))
            .collect();
        for odds in Odds::pairs(&words, self.fitted()) {
            let Some(second) = odds.second else { continue };
            let columns = [odds.first, second];
            let codes = |position: usize| features.iter().find(|s| s.position == position).map(|s| &s.codes);
            let (Some(a), Some(b)) = (codes(odds.first), codes(second)) else { continue };
            let nats: Vec<f64> =
                held(a.iter().zip(b)).map(|(a, b)| odds.of(*a, *b).map_or(f64::NAN, f64::from)).collect();
            let name = format!("{} × {}", self.name(odds.first), self.name(second));
            let which = self.joint.odds.len();
            self.joint.odds.push(odds);
            self.stream(Scalar::Odds(which), &columns, &name, Role::Relations, &only(nats));
        }
    }

    fn clocks(&mut self, features: &[&Sampled], hours: &[u8]) {
        for sampled in features {
            let Some(odds) = Odds::clock(sampled.position, &sampled.codes, hours, self.fitted()) else {
                continue;
            };
            let nats: Vec<f64> = held(sampled.codes.iter().zip(hours))
                .map(|(code, hour)| odds.of(*code, *hour).map_or(f64::NAN, f64::from))
                .collect();
            let which = self.joint.odds.len();
            self.joint.odds.push(odds);
            let name = self.name(sampled.position);
            self.stream(Scalar::Odds(which), &[sampled.position], &name, Role::Relations, &only(nats));
        }
    }

    /// A stream of a scalar, in bins cut from what the rows that were not fitted have.
    fn stream(&mut self, scalar: Scalar, columns: &[usize], name: &str, role: Role, held: &Held) {
        let mut planning = Planning::new(&plain(Kind::Numeric));
        held.whole.iter().filter(|v| v.is_finite()).for_each(|v| planning.observe(Cell::Number(*v)));
        let plan: Plan = planning.plan();
        let group = match role {
            Role::Output => {
                let column = columns.first().and_then(|p| self.schema.columns.get(*p));
                column.map_or_else(|| Schema::OUTPUT_GROUP.to_owned(), |c| c.group.clone())
            }
            _ => Schema::RELATIONS_GROUP.to_owned(),
        };
        let broken = counted(&held.broken, &plan);
        let source = Source::Joint { scalar, columns: columns.to_vec(), plan, broken };
        self.made.push(Stream::new(source, name, &group, role, self.strata));
    }

    /// How many of the first rows of the sample are fitted.
    fn fitted(&self) -> usize {
        (0..self.rows).take_while(|row| is_fitted(*row, self.rows)).count()
    }

    fn name(&self, position: usize) -> String {
        self.schema.columns.get(position).map_or_else(String::new, |c| c.name.clone())
    }
}

/// Of rows that nobody broke.
const fn only(whole: Vec<f64>) -> Held {
    Held { whole, broken: Vec::new() }
}

/// By bin: how many numbers fall into it; empty for none.
fn counted(values: &[f64], plan: &Plan) -> Vec<u32> {
    let cutter = Cutter::new(plan);
    let mut by_bin = vec![0; if values.is_empty() { 0 } else { plan.bins().len() }];
    for value in values.iter().filter(|v| v.is_finite()) {
        if let Some(n) = by_bin.get_mut(usize::from(cutter.code(Cell::Number(*value)))) {
            *n += 1;
        }
    }
    by_bin
}

/// Those of rows that were not fitted.
fn held<T>(rows: impl ExactSizeIterator<Item = T>) -> impl Iterator<Item = T> {
    let all = rows.len();
    rows.enumerate().filter(move |(row, _)| !is_fitted(*row, all)).map(|(_, row)| row)
}
