use std::collections::{BTreeMap, BTreeSet};

use super::Pinned;
use crate::detect::{Answered, Outcome, Unanswered};
use crate::oip::{
    self, Compared, Datatype, InferRequest, InferResponse, PINNED_ID, Part, Tensor, Tolerance, are_other,
};
use crate::record::{Column, Kind, Prediction, Record, Role, RowStatus, Scalar, Schema, cut_name};
use crate::tap;
use crate::units::{Timestamp, whole};

/// The most rows of one question; a longer request is asked in parts.
pub const ROWS_MAX: usize = 64;

/// What a row takes up beside its words, and a class of it.
const ROW_BYTES: usize = 512;
const CLASS_BYTES: usize = 128;

/// Rows of one request as they are asked again, and what the live model answered.
#[derive(Debug, Clone)]
pub struct Question {
    /// The inference request.
    body: Vec<u8>,
    rows: Vec<Row>,
    /// The parts of an answer that the model gives in health.
    parts: BTreeSet<Part>,
}

#[derive(Debug, Clone)]
struct Row {
    at: Timestamp,
    name: String,
    version: Option<String>,
    answer: Prediction,
}

impl Question {
    /// The question that rows of one request make, once each of them has an answer of the model's; `schema` is
    /// that of its features, and says which version the copy is of unless its settings do.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub fn new(records: &[&Record], schema: &Schema, pinned: &Pinned) -> Result<Self, Unanswered> {
        let version = pinned.version.as_deref().or(schema.version.as_deref());
        let is_other = |record: &&Record| {
            are_other(version, record.version.as_deref())
                || are_other(pinned.model_hash.as_deref(), record.model_hash.as_deref())
        };
        if records.iter().any(is_other) {
            return Err(Unanswered::OtherVersion);
        }
        let parts = parts(schema);
        let rows = records.iter().map(|record| Row::of(record, &parts)).collect::<Result<Vec<_>, _>>()?;
        let of = records.first().and_then(|record| record.request_id.as_deref()).map_or("", cut_name);
        let request = InferRequest {
            id: Some(format!("{PINNED_ID}{of}")),
            inputs: inputs(records, schema, pinned)?,
            ..InferRequest::default()
        };
        let body = serde_json::to_vec(&request).map_err(|_| Unanswered::Unaskable)?;
        Ok(Self { body, rows, parts })
    }

    /// Whether a row has an answer that could be held against another: one of a request that failed is loud
    /// already, and has none.
    #[must_use]
    pub fn is_due(record: &Record) -> bool {
        record.status != Some(RowStatus::Error)
    }

    /// The inference request.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// About how many bytes it takes up while it waits.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.iter().fold(self.body.len(), |all, row| all.saturating_add(row.bytes()))
    }

    /// Rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The same outcome for every row.
    #[must_use]
    pub fn unanswered(&self, why: Unanswered) -> Vec<Answered> {
        self.unanswered_with(why, None)
    }

    /// The same with what is known beside the reason.
    #[must_use]
    pub fn unanswered_with(&self, why: Unanswered, detail: Option<&str>) -> Vec<Answered> {
        let none = |row: &Row| Answered { detail: detail.map(str::to_owned), ..Answered::none(row.at, why) };
        self.rows.iter().map(none).collect()
    }

    /// Holds the answers of the live model against those of its pinned copy, row by row; with every part of every row
    /// that was compared.
    #[must_use]
    pub fn compare(&self, copy: InferResponse, pinned: &Pinned) -> (Vec<Answered>, Vec<Part>) {
        let version = pinned.version.clone().or_else(|| copy.model_version.clone());
        let right = match tap::oip::predictions(copy, self.rows.len()) {
            Ok(right) => right,
            Err(error) => {
                let why = error.to_string();
                return (self.unanswered_with(Unanswered::Unreadable, Some(&why)), Vec::new());
            }
        };
        let mut parts = Vec::new();
        let mut compare = |(row, right): (&Row, Option<Prediction>)| {
            if are_other(version.as_deref(), row.version.as_deref()) {
                return Answered::none(row.at, Unanswered::OtherVersion);
            }
            let right = right.unwrap_or(NO_PREDICTION);
            let compared = oip::compare_predictions(&right, &row.answer, pinned.tolerance);
            parts.extend(&compared.parts);
            Answered::row(row.at, row.outcome(compared, &self.parts))
        };
        let answered = self.rows.iter().zip(right).map(&mut compare).collect();
        (answered, parts)
    }

    /// Whether the pinned copy said the same of every row twice.
    #[must_use]
    pub fn is_steady(&self, first: InferResponse, second: InferResponse, tolerance: Tolerance) -> bool {
        let rows = |answer| tap::oip::predictions(answer, self.rows.len()).ok();
        let (Some(first), Some(second)) = (rows(first), rows(second)) else { return false };
        let same = |(first, second): (&Option<Prediction>, &Option<Prediction>)| match (first, second) {
            (Some(first), Some(second)) => oip::compare_predictions(first, second, tolerance).wrong.is_none(),
            (first, second) => first.is_none() && second.is_none(),
        };
        first.iter().zip(&second).all(same)
    }
}

impl Row {
    fn of(record: &Record, parts: &BTreeSet<Part>) -> Result<Self, Unanswered> {
        let none = || if parts.is_empty() { Unanswered::Incomparable } else { Unanswered::PartMissing };
        let answer = record.prediction.clone().ok_or_else(none)?;
        if record.truncated == Some(true) {
            return Err(Unanswered::Unaskable);
        }
        let id = record.request_id.as_deref().map(cut_name);
        let name = id.map_or_else(|| format!("a row of {}", record.ts), |id| format!("request `{id}`"));
        let row = record.row.map_or_else(String::new, |row| format!(", row {row}"));
        Ok(Self { at: record.ts, name: format!("{name}{row}"), version: record.version.clone(), answer })
    }

    fn bytes(&self) -> usize {
        let Prediction { label, score, probabilities, value } = &self.answer;
        let text = |scalar: &Scalar| if let Scalar::Text(text) = scalar { text.len() } else { 0 };
        let parts = [label, score, value].into_iter().flatten().map(text);
        let classes =
            probabilities.iter().map(|(class, p)| class.len().saturating_add(text(p)) + CLASS_BYTES);
        let version = self.version.as_ref().map_or(0, String::len);
        parts.chain(classes).fold(version + ROW_BYTES, usize::saturating_add)
    }

    fn outcome(&self, compared: Compared, parts: &BTreeSet<Part>) -> Outcome {
        if let Some(wrong) = compared.wrong {
            return Outcome::Wrong { what: format!("{}: {wrong}", self.name), output: wrong.output };
        }
        if compared.lacking.iter().any(|part| parts.contains(part)) {
            return Outcome::Unanswered(Unanswered::PartMissing);
        }
        if compared.parts.is_empty() { Outcome::Unanswered(Unanswered::Incomparable) } else { Outcome::Right }
    }
}

/// An answer without any part.
const NO_PREDICTION: Prediction =
    Prediction { label: None, score: None, probabilities: BTreeMap::new(), value: None };

/// The parts that answers have in health: the outputs of the baseline.
fn parts(schema: &Schema) -> BTreeSet<Part> {
    let outputs = schema.columns.iter().filter(|column| column.role == Role::Output);
    let part = |column: &Column| match column.name.as_str() {
        // Which of the two a column stands for is not known: the answer has one of them.
        "prediction" => vec![Part::Label, Part::Value],
        "score" => vec![Part::Score],
        name if name.starts_with("prob_") => vec![Part::Probabilities],
        _ => Vec::new(),
    };
    outputs.flat_map(part).collect()
}

/// The model's inputs: the features of the rows as the live model saw them.
fn inputs(records: &[&Record], schema: &Schema, pinned: &Pinned) -> Result<Vec<Tensor>, Unanswered> {
    let is_feature = |c: &&Column| c.role == Role::Input && !c.is_projection();
    let columns: Vec<&Column> = schema.columns.iter().filter(is_feature).collect();
    let cells = |column: &Column, record: &Record| {
        // What the model got for a feature that the record lacks is not known.
        let found = record.features.get(schema.file_name(&column.name)).ok_or(Unanswered::Unaskable)?;
        as_sent(column, found).ok_or(Unanswered::Unaskable)
    };
    let rows = whole(records.len());
    let made = |tensor: Result<Tensor, oip::Error>| tensor.map_err(|_| Unanswered::Unaskable);
    if let Some(name) = &pinned.tensor {
        let kinds: BTreeSet<Kind> = columns.iter().map(|column| column.kind).collect();
        if kinds.iter().any(|kind| !kind.is_numeric()) {
            return Err(Unanswered::Unaskable);
        }
        let each = records.iter().flat_map(|record| columns.iter().map(|column| cells(column, record)));
        let width = columns.iter().map(|column| column.dimension().unwrap_or(1)).sum();
        let shape = vec![rows, width];
        let data = each.collect::<Result<Vec<_>, _>>()?.concat();
        return Ok(vec![made(Tensor::new(name.clone(), shape, pinned.datatype, data))?]);
    }
    let tensor = |column: &&Column| {
        let datatype = match column.kind {
            Kind::Numeric | Kind::Embedding => pinned.datatype,
            Kind::Boolean => Datatype::Bool,
            Kind::Categorical | Kind::Text => Datatype::Bytes,
        };
        let data =
            records.iter().map(|record| cells(column, record)).collect::<Result<Vec<_>, _>>()?.concat();
        let shape = std::iter::once(rows).chain(column.dimension()).collect();
        made(Tensor::new(schema.file_name(&column.name), shape, datatype, data))
    };
    columns.iter().map(tensor).collect()
}

/// A feature as a tensor of its kind holds it, one element or those of a vector; nothing for one of another type
/// or dimension, for a word or a vector that is missing, or for an infinity: JSON has no word for it that every server
/// reads, and as null it would be another number.
fn as_sent(column: &Column, found: &Scalar) -> Option<Vec<Scalar>> {
    match (column.kind, found) {
        (Kind::Numeric, Scalar::Number(n)) => (!n.is_infinite()).then(|| vec![found.clone()]),
        (Kind::Numeric, Scalar::Null)
        | (Kind::Boolean, Scalar::Bool(_))
        | (Kind::Categorical | Kind::Text, Scalar::Text(_)) => Some(vec![found.clone()]),
        // JSON has no NaN, so senders write it as a word.
        (Kind::Numeric, Scalar::Text(word)) => {
            word.parse().ok().filter(|n: &f64| n.is_nan()).map(|n| vec![Scalar::Number(n)])
        }
        (Kind::Embedding, Scalar::Vector(coordinates)) => {
            let is_whole = column.dimension() == Some(whole(coordinates.len()));
            let is_sent = is_whole && !coordinates.iter().any(|c| c.is_infinite());
            is_sent.then(|| coordinates.iter().copied().map(Scalar::Number).collect())
        }
        _ => None,
    }
}
