//! Exchanges of the Open Inference Protocol: a request body and its answer, one record a row.

use std::collections::BTreeMap;

use super::explain::explain;
use crate::oip::{Error, Feature, InferRequest, InferResponse, Tensor, table};
use crate::record::{Prediction, Record, RowStatus, Scalar, word};
use crate::units::Timestamp;

/// What is known about an exchange beside its bodies.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange<'a> {
    /// When the model answered.
    pub ts: Timestamp,
    /// The model that was asked, from the path.
    pub model: &'a str,
    /// Its version, from the path; the answer's own goes before it.
    pub version: Option<&'a str>,
    /// The request's name, from a header; else the request's or the answer's `id`.
    pub request_id: Option<&'a str>,
    /// How long the answer took.
    pub latency_ms: Option<f64>,
    /// The model's features in the order of an `[rows, columns]` tensor.
    pub features: &'a [Feature],
}

/// An exchange as one line of `POST /v1/oip`: both bodies as they went over the wire.
///
/// `response` is null or absent for a request that failed.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeLine<'a> {
    ts: Timestamp,
    model: String,
    #[serde(default, deserialize_with = "word")]
    version: Option<String>,
    #[serde(default, deserialize_with = "word")]
    request_id: Option<String>,
    latency_ms: Option<f64>,
    #[serde(borrow)]
    request: &'a serde_json::value::RawValue,
    #[serde(borrow, default)]
    response: Option<&'a serde_json::value::RawValue>,
}

impl<'a> ExchangeLine<'a> {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it, in words with the column and the field.
    pub fn parse(line: &'a [u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| explain::<Self>(line, &error))
    }

    /// The model that was asked.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// One record for each row; `features` in the order of an `[rows, columns]` tensor.
    ///
    /// # Errors
    /// As [`records`].
    pub fn records(&self, features: &[Feature]) -> Result<Vec<Record>, NotRows> {
        let exchange = Exchange {
            ts: self.ts,
            model: &self.model,
            version: self.version.as_deref(),
            request_id: self.request_id.as_deref(),
            latency_ms: self.latency_ms,
            features,
        };
        let answer = self.response.map(|r| r.get().as_bytes());
        records(&exchange, self.request.get().as_bytes(), answer)
    }
}

/// Why an exchange gives no records.
#[derive(Debug, thiserror::Error)]
pub enum NotRows {
    /// A body that is no message, or inputs that are no table.
    #[error(transparent)]
    Message(#[from] Error),
    /// An answer for another number of rows.
    #[error("output `{output}` has shape {shape:?}, expected one answer for each of {rows} rows")]
    Output {
        /// The output.
        output: String,
        /// Its shape.
        shape: Vec<u64>,
        /// The rows of the request.
        rows: usize,
    },
}

/// One record for each row of a request, with the model's answer where there is one.
///
/// `answer` is the body of a success; nothing for a request that failed, whose rows have status
/// `error` and no prediction. Outputs are known by name:
///
/// | output | shape | becomes |
/// |---|---|---|
/// | `predict`, `predictions`, `prediction`, `label` | `[rows]`, `[rows, 1]` | `value` when its datatype is floating-point, else `label` |
/// | `score` | `[rows]`, `[rows, 1]` | `score` |
/// | `predict_proba`, `probabilities` | `[rows, classes]` | `probabilities` of the classes `0`, `1`, … |
/// | the same | `[rows]`, `[rows, 1]` | the probability of class `1` |
///
/// Other outputs are not read. `row` is set when there are several rows.
///
/// # Errors
/// [`NotRows`], with the field that is wrong and what was expected; a wrong answer takes its
/// request's rows with it, because a record with half an exchange would look like a model that did not answer.
pub fn records(
    exchange: &Exchange<'_>,
    request: &[u8],
    answer: Option<&[u8]>,
) -> Result<Vec<Record>, NotRows> {
    let request = InferRequest::parse(request)?;
    let answer = answer.map(InferResponse::parse).transpose()?;
    let answer_id = answer.as_ref().and_then(|a| a.id.clone());
    let version = answer.as_ref().and_then(|a| a.model_version.clone());
    let base = Record {
        version: version.filter(|v| !v.is_empty()).or_else(|| exchange.version.map(str::to_owned)),
        request_id: exchange.request_id.map(str::to_owned).or(request.id).or(answer_id),
        status: Some(if answer.is_some() { RowStatus::Ok } else { RowStatus::Error }),
        latency_ms: exchange.latency_ms,
        ..empty(exchange)
    };
    let rows = table(request.inputs, exchange.features)?;
    let several = rows.len() > 1;
    let answered =
        answer.map_or_else(|| Ok(vec![None; rows.len()]), |answer| predictions(answer, rows.len()));
    let mut predictions = answered?.into_iter();
    let record = |(i, features): (u64, BTreeMap<String, Scalar>)| Record {
        features,
        prediction: predictions.next().flatten(),
        row: several.then_some(i),
        ..base.clone()
    };
    Ok((0..).zip(rows).map(record).collect())
}

fn empty(exchange: &Exchange<'_>) -> Record {
    Record {
        ts: exchange.ts,
        model: exchange.model.to_owned(),
        version: None,
        request_id: None,
        features: BTreeMap::new(),
        prediction: None,
        feature_status: BTreeMap::new(),
        feature_ts: BTreeMap::new(),
        status: None,
        latency_ms: None,
        arm: None,
        hop: None,
        source: None,
        seq: None,
        label: None,
        row: None,
        entity: None,
        dims: BTreeMap::new(),
        model_hash: None,
        truncated: None,
        sampling: None,
    }
}

/// The prediction of each of so many rows, outputs being known by name as for [`records`]; none where no output
/// has a known name.
///
/// # Errors
/// [`NotRows::Output`] for an answer for another number of rows.
pub fn predictions(answer: InferResponse, rows: usize) -> Result<Vec<Option<Prediction>>, NotRows> {
    let mut predictions = vec![None; rows];
    for output in answer.outputs {
        match output.name.as_str() {
            "predict" | "predictions" | "prediction" | "label" => {
                let float = output.datatype.is_float();
                each(&output, &mut predictions, |prediction, cell| {
                    let part = if float { &mut prediction.value } else { &mut prediction.label };
                    *part = Some(cell.clone());
                })?;
            }
            "score" => each(&output, &mut predictions, |p, cell| p.score = Some(cell.clone()))?,
            "predict_proba" | "probabilities" => probabilities(&output, &mut predictions)?,
            _ => {}
        }
    }
    Ok(predictions)
}

/// Hands each row its one element.
fn each(
    output: &Tensor,
    predictions: &mut [Option<Prediction>],
    mut set: impl FnMut(&mut Prediction, &Scalar),
) -> Result<(), NotRows> {
    let one_column = matches!(output.shape.as_slice(), [_] | [_, 1]);
    if !one_column || output.data().len() != predictions.len() {
        return Err(not_rows(output, predictions.len()));
    }
    for (prediction, cell) in predictions.iter_mut().zip(output.data()) {
        set(prediction.get_or_insert_with(Prediction::default), cell);
    }
    Ok(())
}

fn probabilities(output: &Tensor, predictions: &mut [Option<Prediction>]) -> Result<(), NotRows> {
    let classes = match output.shape.as_slice() {
        [_, classes] if *classes > 1 => usize::try_from(*classes).ok(),
        _ => None,
    };
    let Some(classes) = classes else {
        return each(output, predictions, |p, cell| {
            p.probabilities.insert("1".to_owned(), cell.clone());
        });
    };
    if output.data().len() != predictions.len().saturating_mul(classes) {
        return Err(not_rows(output, predictions.len()));
    }
    for (prediction, cells) in predictions.iter_mut().zip(output.data().chunks(classes)) {
        let named = cells.iter().enumerate().map(|(class, cell)| (class.to_string(), cell.clone()));
        prediction.get_or_insert_with(Prediction::default).probabilities.extend(named);
    }
    Ok(())
}

fn not_rows(output: &Tensor, rows: usize) -> NotRows {
    NotRows::Output { output: output.name.clone(), shape: output.shape.clone(), rows }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn features() -> Vec<Feature> {
        ["a", "b"].map(Feature::from).to_vec()
    }

    fn decode(request: &str, answer: Option<&str>) -> Result<Vec<Record>, NotRows> {
        let features = features();
        let exchange = Exchange {
            ts: Timestamp::from_millis(7),
            model: "score",
            version: Some("path"),
            request_id: None,
            latency_ms: Some(2.5),
            features: &features,
        };
        records(&exchange, request.as_bytes(), answer.map(str::as_bytes))
    }

    const REQUEST: &str = r#"{"id":"r","inputs":[{"name":"predict","shape":[2,2],"datatype":"FP32","data":[[0.5,null],[0,0]]}]}"#;

    fn answer(outputs: &str) -> String {
        format!(r#"{{"model_name":"score","model_version":"v1","id":"r","outputs":[{outputs}]}}"#)
    }

    /// A row for each line of the table, with what the model saw and what it said.
    #[test]
    fn an_exchange_of_two_rows() {
        let body = answer(
            r#"{"name":"predict","shape":[2,1],"datatype":"INT64","data":[1,0]},
               {"name":"predict_proba","shape":[2,2],"datatype":"FP64","data":[0.1,0.9,0.6,0.4]},
               {"name":"score","shape":[2],"datatype":"FP64","data":[0.9,0.6]},
               {"name":"embedding","shape":[1,3],"datatype":"FP64","data":[1,2,3]}"#,
        );
        let rows = decode(REQUEST, Some(&body)).unwrap();
        let [first, second] = rows.as_slice() else { panic!("two rows") };
        assert_eq!((first.row, second.row, first.latency_ms), (Some(0), Some(1), Some(2.5)));
        assert_eq!((first.version.as_deref(), first.request_id.as_deref()), (Some("v1"), Some("r")));
        assert!(matches!(first.features.get("b"), Some(Scalar::Number(n)) if n.is_nan()));
        assert_eq!(second.features.get("a"), Some(&Scalar::Number(0.0)));
        let said = second.prediction.as_ref().unwrap();
        assert_eq!((&said.label, &said.score), (&Some(Scalar::Number(0.0)), &Some(Scalar::Number(0.6))));
        assert_eq!(said.probabilities.get("1"), Some(&Scalar::Number(0.4)));
        assert_eq!(first.status, Some(RowStatus::Ok));
    }

    /// A tensor of several columns beside others is a vector; in a table of all features it has its coordinates.
    #[test]
    fn vectors() {
        let one = |name: &str, shape: &str, data: &str| {
            format!(r#"{{"name":"{name}","shape":{shape},"datatype":"FP32","data":{data}}}"#)
        };
        let features = [Feature::from("a"), Feature { name: "v".to_owned(), dimension: Some(2) }];
        for inputs in [
            [one("v", "[1,2]", "[[3,4]]"), one("a", "[1]", "[1]")].join(","),
            one("input", "[1,3]", "[1,3,4]"),
        ] {
            let line = format!(r#"{{"ts":0,"model":"score","request":{{"inputs":[{inputs}]}}}}"#);
            let rows = ExchangeLine::parse(line.as_bytes()).unwrap().records(&features).unwrap();
            let found = &rows.first().unwrap().features;
            assert_eq!(found.get("v"), Some(&Scalar::Vector(vec![3.0, 4.0].into())), "{inputs}");
            assert_eq!((found.get("a"), found.len()), (Some(&Scalar::Number(1.0)), 2));
        }
    }

    /// A line has integers where words are due, as records have; what is wrong with one names its field.
    #[test]
    fn lines_of_exchanges() {
        let line = |more: &str| format!(r#"{{"ts":0,"model":"score",{more},"request":{REQUEST}}}"#);
        let good = line(r#""request_id":17,"version":2"#);
        let rows = ExchangeLine::parse(good.as_bytes()).unwrap().records(&features()).unwrap();
        let first = rows.first().unwrap();
        assert_eq!((first.request_id.as_deref(), first.version.as_deref()), (Some("17"), Some("2")));
        let bad = line(r#""request_id":[1]"#);
        let told = ExchangeLine::parse(bad.as_bytes()).unwrap_err();
        assert!(told.contains("`request_id`: invalid type: sequence, expected a string or an"), "{told}");
    }

    /// A regression answers a value; one probability a row is that of class 1.
    #[test]
    fn other_answers() {
        let body = answer(
            r#"{"name":"predictions","shape":[2],"datatype":"FP64","data":[1.5,2.5]},
               {"name":"probabilities","shape":[2,1],"datatype":"FP64","data":[0.2,0.3]}"#,
        );
        let rows = decode(REQUEST, Some(&body)).unwrap();
        let said = rows.first().and_then(|r| r.prediction.clone()).unwrap();
        assert_eq!((said.value, said.label), (Some(Scalar::Number(1.5)), None));
        assert_eq!(said.probabilities, BTreeMap::from([("1".to_owned(), Scalar::Number(0.2))]));
    }

    /// A request that failed is a row with status error; an answer with no known output predicts nothing.
    #[test]
    fn no_answer_is_a_state() {
        let failed = decode(REQUEST, None).unwrap();
        assert!(failed.iter().all(|r| r.status == Some(RowStatus::Error) && r.prediction.is_none()));
        assert_eq!(failed.first().and_then(|r| r.version.as_deref()), Some("path"));
        let unknown = decode(REQUEST, Some(&answer(""))).unwrap();
        assert!(unknown.iter().all(|r| r.status == Some(RowStatus::Ok) && r.prediction.is_none()));
    }

    /// Answers for another number of rows, and bodies that are no messages, are told by field.
    #[test]
    fn wrong_exchanges() {
        let three = answer(r#"{"name":"score","shape":[3],"datatype":"FP64","data":[1,2,3]}"#);
        let wide = answer(r#"{"name":"predict_proba","shape":[1,3],"datatype":"FP64","data":[1,2,3]}"#);
        for (request, body, expected) in [
            (REQUEST, three.as_str(), "output `score` has shape [3], expected one answer for each of 2 rows"),
            (REQUEST, &wide, "output `predict_proba` has shape [1, 3]"),
            (REQUEST, r#"{"error":"boom"}"#, "inference response: "),
            (r#"{"instances":[[1,2]]}"#, &three, "missing field `inputs`"),
        ] {
            let error = decode(request, Some(body)).unwrap_err().to_string();
            assert!(error.contains(expected), "`{error}` does not say `{expected}`");
        }
    }

    proptest! {
        /// Arbitrary bodies give records or an error, and records only as many as the table has rows.
        #[test]
        fn arbitrary_bodies(shape in prop::collection::vec(0_u64..4, 0..3), data in prop::collection::vec(0_u8..9, 0..9),
                            name in "(predict|score|probabilities|x)", answer_bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            let tensor = serde_json::json!({"name": name, "shape": shape, "datatype": "FP64", "data": data});
            let request = serde_json::json!({"inputs": [tensor]}).to_string();
            let body = serde_json::json!({"model_name": "m", "outputs": [tensor]}).to_string();
            if let Ok(rows) = decode(&request, Some(&body)) {
                prop_assert!(rows.len() <= data.len());
            }
            let features = features();
            let exchange = Exchange {
                ts: Timestamp::from_millis(0), model: "m", version: None, request_id: None, latency_ms: None, features: &features,
            };
            prop_assert!(records(&exchange, &answer_bytes, Some(&answer_bytes)).is_err());
        }
    }
}
