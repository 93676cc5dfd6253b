use std::collections::BTreeSet;

use super::Pinned;
use crate::detect::{Answered, Outcome, Unanswered};
use crate::oip::{self, Datatype, InferRequest, InferResponse, Tensor, Tolerance, are_other};
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
    /// that of its features.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub fn new(records: &[&Record], schema: &Schema, pinned: &Pinned) -> Result<Self, Unanswered> {
        let is_other = |record: &&Record| {
            are_other(pinned.version.as_deref(), record.version.as_deref())
                || are_other(pinned.model_hash.as_deref(), record.model_hash.as_deref())
        };
        if records.iter().any(is_other) {
            return Err(Unanswered::OtherVersion);
        }
        let rows = records.iter().map(|record| Row::of(record)).collect::<Result<Vec<_>, _>>()?;
        let request = InferRequest { inputs: inputs(records, schema, pinned)?, ..InferRequest::default() };
        let body = serde_json::to_vec(&request).map_err(|_| Unanswered::Unaskable)?;
        Ok(Self { body, rows })
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
        self.rows.iter().map(|row| Answered::none(row.at, why)).collect()
    }

    /// Holds the answers of the live model against those of its pinned copy, row by row.
    #[must_use]
    pub fn compare(&self, copy: InferResponse, pinned: &Pinned) -> Vec<Answered> {
        let version = pinned.version.clone().or_else(|| copy.model_version.clone());
        let Ok(right) = tap::oip::predictions(copy, self.rows.len()) else {
            return self.unanswered(Unanswered::Unreadable);
        };
        let compare = |(row, right): (&Row, Option<Prediction>)| {
            let outcome = if are_other(version.as_deref(), row.version.as_deref()) {
                Outcome::Unanswered(Unanswered::OtherVersion)
            } else {
                row.compare(right.as_ref(), pinned.tolerance)
            };
            Answered::row(row.at, outcome)
        };
        self.rows.iter().zip(right).map(compare).collect()
    }

    /// Whether the pinned copy said the same of every row twice.
    #[must_use]
    pub fn is_steady(&self, first: InferResponse, second: InferResponse, tolerance: Tolerance) -> bool {
        let rows = |answer| tap::oip::predictions(answer, self.rows.len()).ok();
        let (Some(first), Some(second)) = (rows(first), rows(second)) else { return false };
        let same = |(first, second): (&Option<Prediction>, &Option<Prediction>)| match (first, second) {
            (Some(first), Some(second)) => {
                oip::compare_predictions(first, second, tolerance).is_none_or(|compared| compared.is_ok())
            }
            (first, second) => first.is_none() && second.is_none(),
        };
        first.iter().zip(&second).all(same)
    }
}

impl Row {
    fn of(record: &Record) -> Result<Self, Unanswered> {
        let answer = record.prediction.clone().ok_or(Unanswered::Incomparable)?;
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

    fn compare(&self, right: Option<&Prediction>, tolerance: Tolerance) -> Outcome {
        let compared = right.and_then(|right| oip::compare_predictions(right, &self.answer, tolerance));
        match compared {
            None => Outcome::Unanswered(Unanswered::Incomparable),
            Some(Ok(())) => Outcome::Right,
            Some(Err(wrong)) => {
                Outcome::Wrong { what: format!("{}: {wrong}", self.name), output: wrong.output }
            }
        }
    }
}

/// The model's inputs: the features of the rows as the live model saw them.
fn inputs(records: &[&Record], schema: &Schema, pinned: &Pinned) -> Result<Vec<Tensor>, Unanswered> {
    let columns: Vec<&Column> = schema.columns.iter().filter(|c| c.role == Role::Input).collect();
    let cell = |column: &Column, record: &Record| {
        // What the model got for a feature that the record lacks is not known.
        let found = record.features.get(schema.file_name(&column.name)).ok_or(Unanswered::Unaskable)?;
        as_sent(column.kind, found).ok_or(Unanswered::Unaskable)
    };
    let rows = whole(records.len());
    let made = |tensor: Result<Tensor, oip::Error>| tensor.map_err(|_| Unanswered::Unaskable);
    if let Some(name) = &pinned.tensor {
        let kinds: BTreeSet<Kind> = columns.iter().map(|column| column.kind).collect();
        if kinds.iter().any(|kind| !kind.is_numeric()) {
            return Err(Unanswered::Unaskable);
        }
        let cells = records.iter().flat_map(|record| columns.iter().map(|column| cell(column, record)));
        let shape = vec![rows, whole(columns.len())];
        let data = cells.collect::<Result<Vec<_>, _>>()?;
        return Ok(vec![made(Tensor::new(name.clone(), shape, pinned.datatype, data))?]);
    }
    let tensor = |column: &&Column| {
        let datatype = match column.kind {
            Kind::Numeric => pinned.datatype,
            Kind::Boolean => Datatype::Bool,
            Kind::Categorical | Kind::Text => Datatype::Bytes,
        };
        let data = records.iter().map(|record| cell(column, record)).collect::<Result<Vec<_>, _>>()?;
        made(Tensor::new(schema.file_name(&column.name), vec![rows], datatype, data))
    };
    columns.iter().map(tensor).collect()
}

/// A feature as a tensor of its kind holds it; nothing for one of another type, or for a word that is missing.
fn as_sent(kind: Kind, found: &Scalar) -> Option<Scalar> {
    match (kind, found) {
        (Kind::Numeric, Scalar::Number(_) | Scalar::Null)
        | (Kind::Boolean, Scalar::Bool(_))
        | (Kind::Categorical | Kind::Text, Scalar::Text(_)) => Some(found.clone()),
        // JSON has no NaN, so senders write it as a word.
        (Kind::Numeric, Scalar::Text(word)) => {
            word.parse().ok().filter(|n: &f64| !n.is_finite()).map(Scalar::Number)
        }
        _ => None,
    }
}
