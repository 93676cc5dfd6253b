use serde::de::{DeserializeOwned, Deserializer};
use serde::ser::{SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Error;
use super::data::{self, Elements};
use crate::record::Scalar;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Fp32,
    Fp64,
    Bytes,
}

impl Datatype {
    /// Whether elements are numbers.
    #[must_use]
    pub const fn is_numeric(self) -> bool {
        !matches!(self, Self::Bool | Self::Bytes)
    }

    /// Whether elements are floating-point numbers.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::Fp16 | Self::Fp32 | Self::Fp64)
    }
}

/// A named array: product(shape) elements in row-major order, as many as `data` holds.
///
/// In a tensor of numbers null, `NaN` and the infinities are numbers (null is NaN); any other
/// element that is no number stays what it is, for the caller to refuse or to count.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The name: a column's, or the model's own for a whole table.
    pub name: String,
    /// The length of each dimension.
    pub shape: Vec<u64>,
    /// The type of the elements.
    pub datatype: Datatype,
    /// What the server or client adds, such as `content_type`.
    pub parameters: Map<String, Value>,
    data: Vec<Scalar>,
}

impl Serialize for Tensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = 4 + usize::from(!self.parameters.is_empty());
        let mut tensor = serializer.serialize_struct("Tensor", fields)?;
        tensor.serialize_field("name", &self.name)?;
        tensor.serialize_field("shape", &self.shape)?;
        tensor.serialize_field("datatype", &self.datatype)?;
        if !self.parameters.is_empty() {
            tensor.serialize_field("parameters", &self.parameters)?;
        }
        if self.datatype.is_numeric() && !self.datatype.is_float() {
            let whole: Vec<Value> = self.data.iter().map(data::integer).collect();
            tensor.serialize_field("data", &whole)?;
        } else {
            tensor.serialize_field("data", &self.data)?;
        }
        tensor.end()
    }
}

#[derive(Deserialize)]
struct RawTensor {
    name: String,
    shape: Vec<u64>,
    datatype: Datatype,
    #[serde(default, deserialize_with = "or_empty")]
    parameters: Map<String, Value>,
    data: Elements,
}

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let RawTensor { name, shape, datatype, parameters, data } = RawTensor::deserialize(deserializer)?;
        let mut tensor = Self::new(name, shape, datatype, data.0).map_err(serde::de::Error::custom)?;
        tensor.parameters = parameters;
        Ok(tensor)
    }
}

impl Tensor {
    /// A tensor of these elements.
    ///
    /// # Errors
    /// [`Error::Elements`] when the shape means another number of them.
    pub fn new(
        name: impl Into<String>,
        shape: Vec<u64>,
        datatype: Datatype,
        data: Vec<Scalar>,
    ) -> Result<Self, Error> {
        let name = name.into();
        let product = shape.iter().try_fold(1_u64, |product, n| product.checked_mul(*n));
        if product != u64::try_from(data.len()).ok() {
            let expected = product.map_or_else(|| "more than 2^64".to_owned(), |n| n.to_string());
            return Err(Error::Elements { tensor: name, shape, expected, found: data.len() });
        }
        let data = if datatype.is_numeric() { data.into_iter().map(data::numeric).collect() } else { data };
        Ok(Self { name, shape, datatype, parameters: Map::new(), data })
    }

    /// A tensor of doubles.
    ///
    /// # Errors
    /// [`Error::Elements`].
    pub fn fp64(
        name: impl Into<String>,
        shape: Vec<u64>,
        data: impl IntoIterator<Item = f64>,
    ) -> Result<Self, Error> {
        Self::new(name, shape, Datatype::Fp64, data.into_iter().map(Scalar::Number).collect())
    }

    /// A tensor of integers.
    ///
    /// # Errors
    /// [`Error::Elements`].
    pub fn int64(
        name: impl Into<String>,
        shape: Vec<u64>,
        data: impl IntoIterator<Item = i32>,
    ) -> Result<Self, Error> {
        let data = data.into_iter().map(|n| Scalar::Number(f64::from(n))).collect();
        Self::new(name, shape, Datatype::Int64, data)
    }

    /// A tensor of strings.
    ///
    /// # Errors
    /// [`Error::Elements`].
    pub fn bytes(
        name: impl Into<String>,
        shape: Vec<u64>,
        data: impl IntoIterator<Item = String>,
    ) -> Result<Self, Error> {
        Self::new(name, shape, Datatype::Bytes, data.into_iter().map(Scalar::Text).collect())
    }

    /// The elements in row-major order.
    #[must_use]
    pub fn data(&self) -> &[Scalar] {
        &self.data
    }

    /// The elements as numbers, NaN and the infinite included.
    ///
    /// # Errors
    /// [`Error::NotANumber`] for the first element that is none.
    pub fn numbers(&self) -> Result<Vec<f64>, Error> {
        let number = |(element, scalar): (usize, &Scalar)| {
            let found = match scalar {
                Scalar::Number(n) => return Ok(*n),
                Scalar::Null => "null",
                Scalar::Bool(_) => "a boolean",
                Scalar::Text(_) => "a string",
                Scalar::Vector(_) | Scalar::Nested => "a list or an object",
            };
            Err(Error::NotANumber { tensor: self.name.clone(), element, found })
        };
        self.data.iter().enumerate().map(number).collect()
    }

    pub(super) fn into_data(self) -> Vec<Scalar> {
        self.data
    }
}

/// An output that a request asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestedOutput {
    /// Its name.
    pub name: String,
    /// What the client adds.
    #[serde(default, deserialize_with = "or_empty", skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
}

/// The body of `POST /v2/models/<model>/infer`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InferRequest {
    /// The client's name for the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the client adds.
    #[serde(default, deserialize_with = "or_empty", skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// The model's inputs.
    pub inputs: Vec<Tensor>,
    /// The outputs asked for; all of them when empty.
    #[serde(default, deserialize_with = "or_empty", skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<RequestedOutput>,
}

/// The answer to an [`InferRequest`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InferResponse {
    /// The model that answered.
    pub model_name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// The client's name for the request, or one that the server gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the server adds.
    #[serde(default, deserialize_with = "or_empty", skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// The model's answers.
    pub outputs: Vec<Tensor>,
}

/// The answer of a server that has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: String,
}

/// A field that some servers write as null when they have nothing for it.
fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_else(T::default))
}

impl InferRequest {
    /// Reads a body; bare `NaN` and infinities are understood.
    ///
    /// # Errors
    /// [`Error::Json`] with line and column.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        parse("inference request", body)
    }
}

impl InferResponse {
    /// Reads a body; bare `NaN` and infinities are understood.
    ///
    /// # Errors
    /// [`Error::Json`] with line and column.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        parse("inference response", body)
    }
}

fn parse<T: DeserializeOwned>(message: &'static str, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).or_else(|source| {
        // Strict JSON is the rule; only a body that fails is looked at again.
        let quoted = if source.is_syntax() { data::quote_bare(body) } else { None };
        let parsed = quoted.and_then(|quoted| serde_json::from_slice(&quoted).ok());
        parsed.ok_or(Error::Json { message, source })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Captured from mlserver 1.7.1 with scikit-learn 1.9.1.
    const REQUEST: &[u8] = br#"{"id":"req-1","parameters":{"session":"s9"},"inputs":[{"name":"predict","shape":[2,4],"datatype":"FP32","data":[[0.1,-1.2,0.3,0.0],[0,0,0,0]]}],"outputs":[{"name":"predict"},{"name":"predict_proba"}]}"#;
    const RESPONSE: &[u8] = br#"{"model_name":"score","model_version":"v1","id":"req-1","parameters":{},"outputs":[{"name":"predict","shape":[2,1],"datatype":"INT64","parameters":{"content_type":"np"},"data":[1,0]},{"name":"predict_proba","shape":[2,2],"datatype":"FP64","parameters":{"content_type":"np"},"data":[0.00002603361056818798,0.9999739663894318,0.506584122604959,0.493415877395041]}]}"#;

    /// A real exchange is read, and what is written is read back.
    #[test]
    fn a_captured_exchange() {
        let request = InferRequest::parse(REQUEST).unwrap();
        let [input] = request.inputs.as_slice() else { panic!("one input") };
        assert_eq!(input.numbers().unwrap(), [0.1, -1.2, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(request.outputs.len(), 2);
        let response = InferResponse::parse(RESPONSE).unwrap();
        let back = InferResponse::parse(&serde_json::to_vec(&response).unwrap()).unwrap();
        assert_eq!(back, response);
        let again = InferRequest::parse(&serde_json::to_vec(&request).unwrap()).unwrap();
        assert_eq!(again, request);
        // Strict servers refuse `7.0` where integers belong.
        let integers = Tensor::int64("n", vec![2], [7, -3]).unwrap();
        assert!(serde_json::to_string(&integers).unwrap().contains("[7,-3]"));
    }

    fn tensor(datatype: &str, shape: &str, data: &str) -> Result<InferRequest, Error> {
        let body =
            format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#);
        InferRequest::parse(body.as_bytes())
    }

    fn first(request: &InferRequest) -> &Tensor {
        request.inputs.first().unwrap()
    }

    /// Null and bare non-numbers are numbers in a tensor of numbers, and a NaN is written as null.
    #[test]
    fn non_numbers() {
        let request = tensor("FP32", "[4]", r#"[null, NaN, -Infinity, Infinity]"#).unwrap();
        let numbers = first(&request).numbers().unwrap();
        assert!(numbers[0].is_nan() && numbers[1].is_nan());
        assert_eq!((numbers[2], numbers[3]), (f64::NEG_INFINITY, f64::INFINITY));
        let written = serde_json::to_value(Tensor::fp64("x", vec![2], [f64::NAN, 1.0]).unwrap()).unwrap();
        assert_eq!(written["data"], json!([null, 1.0]));
    }

    /// Words in a string stay words, even when a bare one elsewhere has to be quoted.
    #[test]
    fn strings_are_left_alone() {
        let request = tensor("BYTES", "[3]", r#"["NaN", "a \" NaN \\", NaN]"#).unwrap();
        let words: Vec<_> = first(&request).data().to_vec();
        let text = |t: &str| Scalar::Text(t.to_owned());
        assert_eq!(words, [text("NaN"), text("a \" NaN \\"), text("NaN")]);
        assert_eq!(first(&tensor("BYTES", "[1]", "[null]").unwrap()).data(), [Scalar::Null]);
    }

    /// Another type among numbers is kept for the reader to see, and refused as a number by place.
    #[test]
    fn other_types_stay_visible() {
        let request = tensor("FP64", "[2]", r#"[1, "39"]"#).unwrap();
        assert_eq!(first(&request).data()[1], Scalar::Text("39".into()));
        let error = first(&request).numbers().unwrap_err().to_string();
        assert_eq!(error, "tensor `x`: element 1 is a string, expected a number");
    }

    /// A wrong body is told by field and place.
    #[test]
    fn wrong_bodies() {
        for (datatype, shape, data, expected) in [
            ("FP32", "[2,2]", "[1,2,3]", "means 4 elements, found 3"),
            ("FP32", "[-1]", "[]", "-1"),
            ("FP32", "[18446744073709551615,3]", "[]", "more than 2^64"),
            ("FP31", "[1]", "[1]", "FP31"),
            ("FP32", "[1]", "[{}]", "a number, a string"),
            ("FP32", "[1]", "1", "flat or nested"),
        ] {
            let error = tensor(datatype, shape, data).unwrap_err().to_string();
            assert!(error.starts_with("inference request: ") && error.contains(expected), "{error}");
        }
        let error = InferRequest::parse(b"{}").unwrap_err().to_string();
        assert!(error.contains("missing field `inputs`"), "{error}");
        assert!(InferResponse::parse(br#"{"error":"no"}"#).is_err());
    }

    /// Nothing that nests too deeply overflows the stack.
    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(tensor("FP32", "[0]", &deep).is_err());
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-zN]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            let key = prop_oneof![
                Just("name".to_owned()),
                Just("shape".to_owned()),
                Just("datatype".to_owned()),
                Just("data".to_owned()),
                Just("inputs".to_owned()),
                Just("outputs".to_owned()),
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((key, inner), 0..5)
                    .prop_map(|pairs| Value::from(Map::from_iter(pairs))),
            ]
        })
    }

    proptest! {
        /// Arbitrary bytes are read or refused, never more.
        #[test]
        fn arbitrary_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (InferRequest::parse(&body), InferResponse::parse(&body));
        }

        /// Arbitrary JSON likewise, whole or where a part of a good message belongs.
        #[test]
        fn arbitrary_json(value in json_value()) {
            let _ = InferRequest::parse(value.to_string().as_bytes());
            for part in ["name", "shape", "datatype", "data", "parameters"] {
                let mut tensor = json!({"name": "x", "shape": [1], "datatype": "FP32", "data": [1]});
                tensor[part] = value.clone();
                let body = json!({"inputs": [tensor]}).to_string();
                if let Ok(request) = InferRequest::parse(body.as_bytes()) {
                    let _ = crate::oip::table(request.inputs, &["a".into()]);
                }
            }
        }

        /// Bare words anywhere in the body never make it panic, nor read past its end.
        #[test]
        fn bare_words(body in r#"([\[\]{},:"\\ ]|NaN|-?Infinity|a|1){0,40}"#) {
            let _ = InferRequest::parse(body.as_bytes());
        }
    }
}
