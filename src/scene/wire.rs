//! The few types of the Open Inference Protocol v2 that the scene speaks.

use serde::{Deserialize, Serialize};

/// A request, or the part of one that matters here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct InferRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) inputs: Vec<Tensor>,
}

/// A tensor of one number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<u64>,
    pub(super) datatype: String,
    pub(super) data: Vec<serde_json::Number>,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub(super) parameters: serde_json::Map<String, serde_json::Value>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct InferResponse {
    pub(super) model_name: String,
    pub(super) model_version: String,
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub(super) parameters: serde_json::Map<String, serde_json::Value>,
    pub(super) outputs: Vec<Tensor>,
}

/// An answer that is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: String,
}

impl Tensor {
    /// One integer.
    pub(super) fn integer(name: &str, value: i64) -> Self {
        Self::one(name, "INT64", value.into())
    }

    /// One float; nothing when it is no finite number, which JSON cannot write.
    pub(super) fn float(name: &str, value: f64) -> Option<Self> {
        serde_json::Number::from_f64(value).map(|number| Self::one(name, "FP64", number))
    }

    fn one(name: &str, datatype: &str, value: serde_json::Number) -> Self {
        Self {
            name: name.to_owned(),
            shape: vec![1],
            datatype: datatype.to_owned(),
            data: vec![value],
            parameters: serde_json::Map::new(),
        }
    }
}
