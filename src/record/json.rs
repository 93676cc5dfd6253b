use std::collections::BTreeMap;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::vector::COORDINATES_MAX;
use super::word::{Word, word};
use crate::units::{Ratio, Timestamp};

/// One cell as it was written: what it is has not been judged yet.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Present but empty.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number; JSON has no NaN, files do.
    Number(f64),
    /// Words.
    Text(String),
    /// An array of at most [`COORDINATES_MAX`] numbers; NaN where one is null.
    Vector(Box<[f64]>),
    /// Any other array, or an object.
    Nested,
}

impl Scalar {
    /// The numbers of a vector, and one for anything else: what it takes up in memory.
    #[must_use]
    pub const fn width(&self) -> usize {
        match self {
            Self::Vector(coordinates) if !coordinates.is_empty() => coordinates.len(),
            _ => 1,
        }
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Number(n) => serializer.serialize_f64(*n),
            Self::Text(t) => serializer.serialize_str(t),
            Self::Vector(coordinates) => serializer.collect_seq(coordinates),
            Self::Null | Self::Nested => serializer.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl schemars::JsonSchema for Scalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["number", "string", "boolean", "null", "array"],
            "items": {"type": ["number", "null"]},
            "maxItems": COORDINATES_MAX
        })
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number, a string, a boolean, null or an array of numbers")
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_none<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(v))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(v))
    }

    #[expect(clippy::cast_precision_loss, reason = "features are f64 to the models that read them")]
    fn visit_i64<E>(self, v: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(v as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "features are f64 to the models that read them")]
    fn visit_u64<E>(self, v: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(v as f64))
    }

    fn visit_str<E>(self, v: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Scalar, E> {
        Ok(Scalar::Text(v))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        let mut coordinates = Vec::new();
        while coordinates.len() <= COORDINATES_MAX
            && let Some(element) = seq.next_element::<Scalar>()?
        {
            match element {
                Scalar::Number(coordinate) => coordinates.push(coordinate),
                Scalar::Null => coordinates.push(f64::NAN),
                _ => return rest(seq),
            }
        }
        if coordinates.len() > COORDINATES_MAX { rest(seq) } else { Ok(Scalar::Vector(coordinates.into())) }
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested)
    }
}

/// Passes over the other members of what is no vector.
fn rest<'de, A: serde::de::SeqAccess<'de>>(mut seq: A) -> Result<Scalar, A::Error> {
    while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
    Ok(Scalar::Nested)
}

/// What the service knew about a feature when it read it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Read as asked.
    Present,
    /// The upstream answered null.
    Null,
    /// The upstream does not know the entity.
    NotFound,
    /// An older value stands in.
    Stale,
    /// A default stands in.
    Default,
    /// The upstream failed.
    Error,
}

impl Status {
    /// Every status, in the order in which they are told.
    pub const ALL: [Self; 6] =
        [Self::Present, Self::Null, Self::NotFound, Self::Stale, Self::Default, Self::Error];

    /// The word in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Null => "null",
            Self::NotFound => "not_found",
            Self::Stale => "stale",
            Self::Default => "default",
            Self::Error => "error",
        }
    }
}

/// How the request itself ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowStatus {
    /// Answered.
    Ok,
    /// Refused or failed.
    Error,
}

/// The model's answer for one row; every part is optional.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prediction {
    /// The chosen class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Scalar>,
    /// The confidence in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<Scalar>,
    /// One probability a class.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub probabilities: BTreeMap<String, Scalar>,
    /// A regression's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Scalar>,
}

/// One inference as it comes over the wire: one line of NDJSON.
///
/// Where a word is expected, such as a `request_id`, an integer is taken as its digits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When the model answered.
    pub ts: Timestamp,
    /// Which model.
    pub model: String,
    /// Which version of it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "word")]
    #[schemars(with = "Option<Word>")]
    pub version: Option<String>,
    /// The request; repeats only when a client retries.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "word")]
    #[schemars(with = "Option<Word>")]
    pub request_id: Option<String>,
    /// What the model saw.
    #[serde(default)]
    pub features: BTreeMap<String, Scalar>,
    /// What it answered; absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// What the service knew about each feature.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_status: BTreeMap<String, Status>,
    /// When each feature was true upstream.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_ts: BTreeMap<String, Timestamp>,
    /// How the request ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RowStatus>,
    /// How long the service took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// `control` or `treatment`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "word")]
    #[schemars(with = "Option<Word>")]
    pub arm: Option<String>,
    /// Where in the chain of services it was tapped.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "word")]
    #[schemars(with = "Option<Word>")]
    pub hop: Option<String>,
    /// Which process sent it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "word")]
    #[schemars(with = "Option<Word>")]
    pub source: Option<String>,
    /// The sender's running number; gaps are lost records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The truth; never read by a detector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Scalar>,
    /// The index within a request of several rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// A keyed hash of whom the features belong to.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "word")]
    #[schemars(with = "Option<Word>")]
    pub entity: Option<String>,
    /// Replica, region, client and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "Word::by_name")]
    #[schemars(with = "BTreeMap<String, Word>")]
    pub dims: BTreeMap<String, String>,
    /// The hash of the model's file.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "word")]
    #[schemars(with = "Option<Word>")]
    pub model_hash: Option<String>,
    /// The sender cut the record short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
    /// The rate at which this row was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Ratio>,
}
