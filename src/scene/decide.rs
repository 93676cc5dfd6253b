use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::fetch::{FetchError, Fetcher};
use super::{Answer, MODEL, REQUEST_FEATURES, STORE_FEATURES, VERSION};
use crate::chaos::StoreFailure;
use crate::oip::{Feature, InferRequest};
use crate::record::{Prediction, Record, RowStatus, Scalar, Status};
use crate::units::Timestamp;

/// The key of the entities' hashes. Wines need no secrecy; a service of people's data would keep
/// its key to itself.
const ENTITY_KEY: &[u8] = b"silentry scene";
/// Hexadecimal digits of an entity's hash.
const ENTITY_DIGITS: usize = 16;
/// The input that says which wine it is.
const WINE_ID: &str = "wine_id";
/// Wines whose last features are remembered.
const LAST_KNOWN_MAX: usize = 100_000;

/// What a request asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    pub(super) id: String,
    pub(super) wine: i64,
    pub(super) request: [f64; 5],
}

impl Ask {
    /// Reads a request: one row of the request's features and `wine_id`, a tensor each or all in one.
    pub(super) fn read(request: InferRequest) -> Result<Self, String> {
        let id = request.id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let features: Vec<Feature> =
            REQUEST_FEATURES.into_iter().chain([WINE_ID]).map(Feature::from).collect();
        let mut rows = request.rows(&features).map_err(|e| e.to_string())?;
        let (Some(mut cells), true) = (rows.pop(), rows.is_empty()) else {
            return Err("inputs: expected one row".to_owned());
        };
        let mut features = [0.0; REQUEST_FEATURES.len()];
        for (feature, name) in features.iter_mut().zip(REQUEST_FEATURES) {
            *feature = number(&mut cells, name)?;
        }
        let wine = whole_number(number(&mut cells, WINE_ID)?)
            .ok_or_else(|| format!("input `{WINE_ID}`: expected an integer"))?;
        if let Some(name) = cells.keys().next() {
            return Err(format!("input `{name}` is not one of the model's"));
        }
        Ok(Self { id, wine, request: features })
    }
}

/// Takes one finite number out of a row.
fn number(cells: &mut BTreeMap<String, Scalar>, name: &str) -> Result<f64, String> {
    match cells.remove(name) {
        Some(Scalar::Number(n)) if n.is_finite() => Ok(n),
        Some(_) => Err(format!("input `{name}`: expected a finite number")),
        None => Err(format!("input `{name}` is missing")),
    }
}

/// The integer that a number is, where it is one.
fn whole_number(n: f64) -> Option<i64> {
    // Every integer of i32 is a double, so nothing is lost on the way through its digits.
    format!("{n}").parse::<i32>().ok().map(i64::from)
}

/// What the service knows of a wine when the model is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) store: [f64; 6],
    pub(super) status: Status,
    /// Why something else stands in, where it does.
    pub(super) substituted: Option<FetchError>,
}

/// Where the store's features come from: the cache, the store, or what stands in for it.
#[derive(Debug)]
pub(super) struct Features {
    cache: BTreeMap<i64, [f64; 6]>,
    fetcher: Fetcher,
    on_failure: StoreFailure,
    last_known: Mutex<BTreeMap<i64, [f64; 6]>>,
}

impl Features {
    pub(super) fn new(cache: BTreeMap<i64, [f64; 6]>, fetcher: Fetcher, on_failure: StoreFailure) -> Self {
        Self { cache, fetcher, on_failure, last_known: Mutex::default() }
    }

    /// The features of one wine, or why there are none.
    pub(super) async fn of(&self, wine: i64) -> Result<Seen, FetchError> {
        let present = |store| Ok(Seen { store, status: Status::Present, substituted: None });
        if let Some(cached) = self.cache.get(&wine) {
            return present(*cached);
        }
        match self.fetcher.fetch(wine).await {
            Ok(store) => {
                self.remember(wine, store);
                present(store)
            }
            Err(error) => self.stand_in(wine, error),
        }
    }

    fn stand_in(&self, wine: i64, error: FetchError) -> Result<Seen, FetchError> {
        match self.on_failure {
            StoreFailure::Zeros => {
                Ok(Seen { store: [0.0; 6], status: Status::Default, substituted: Some(error) })
            }
            StoreFailure::Fail => Err(error),
            StoreFailure::LastKnown => {
                let known =
                    self.last_known.lock().unwrap_or_else(PoisonError::into_inner).get(&wine).copied();
                match known {
                    Some(store) => Ok(Seen { store, status: Status::Stale, substituted: Some(error) }),
                    None => Err(error),
                }
            }
        }
    }

    fn remember(&self, wine: i64, store: [f64; 6]) {
        if self.on_failure == StoreFailure::LastKnown {
            let mut known = self.last_known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() < LAST_KNOWN_MAX || known.contains_key(&wine) {
                known.insert(wine, store);
            }
        }
    }
}

/// What the model saw, and what it answered.
pub(super) fn answered(ask: &Ask, seen: &Seen, answer: Answer, at: Timestamp) -> Record {
    let mut record = row(ask, at, seen.status, RowStatus::Ok);
    let cells = STORE_FEATURES.into_iter().zip(seen.store);
    record.features.extend(cells.map(|(name, value)| (name.to_owned(), Scalar::Number(value))));
    record.prediction = Some(Prediction {
        label: Some(Scalar::Number(if answer.label == 1 { 1.0 } else { 0.0 })),
        score: Some(Scalar::Number(answer.score)),
        ..Prediction::default()
    });
    record
}

/// A request that the model was never asked: the store's features are not there.
pub(super) fn failed(ask: &Ask, at: Timestamp) -> Record {
    row(ask, at, Status::Error, RowStatus::Error)
}

fn row(ask: &Ask, at: Timestamp, store_status: Status, status: RowStatus) -> Record {
    let known = REQUEST_FEATURES.into_iter().zip(ask.request);
    Record {
        ts: at,
        model: MODEL.to_owned(),
        version: Some(VERSION.to_owned()),
        request_id: Some(ask.id.clone()),
        features: known.map(|(name, value)| (name.to_owned(), Scalar::Number(value))).collect(),
        prediction: None,
        feature_status: STORE_FEATURES.into_iter().map(|name| (name.to_owned(), store_status)).collect(),
        feature_ts: BTreeMap::new(),
        status: Some(status),
        latency_ms: None,
        arm: None,
        hop: None,
        source: None,
        seq: None,
        label: None,
        row: Some(0),
        entity: Some(entity(ask.wine)),
        dims: BTreeMap::new(),
        model_hash: None,
        truncated: None,
        sampling: None,
    }
}

fn entity(wine: i64) -> String {
    let digest = Sha256::new().chain_update(ENTITY_KEY).chain_update(wine.to_be_bytes()).finalize();
    digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(ENTITY_DIGITS).map(hex_digit).collect()
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oip::Tensor;

    const TABLE: &str = r#"{"id":"r","inputs":[{"name":"wine","shape":[1,6],"datatype":"FP64","data":[[1.5,2.5,3.5,4.5,5.5,42]]}]}"#;

    fn request(inputs: &[(&str, f64)]) -> InferRequest {
        let inputs = inputs
            .iter()
            .map(|(name, value)| serde_json::json!({"name": name, "shape": [1], "datatype": "FP64", "data": [value]}));
        serde_json::from_value(serde_json::json!({"inputs": inputs.collect::<Vec<_>>()})).unwrap()
    }

    /// Every wrong request says which input is wrong.
    #[test]
    fn wrong_requests_name_the_input() {
        let mut inputs: Vec<(&str, f64)> = REQUEST_FEATURES.into_iter().map(|name| (name, 1.0)).collect();
        assert!(Ask::read(request(&inputs)).unwrap_err().contains("`wine_id` is missing"));
        inputs.push(("wine_id", 1.5));
        assert!(Ask::read(request(&inputs)).unwrap_err().contains("expected an integer"));
        inputs.pop();
        assert!(Ask::read(request(&inputs[1..])).unwrap_err().contains("`fixed_acidity` is missing"));
        inputs.push(("wine_id", 7.0));
        assert_eq!(Ask::read(request(&inputs)).unwrap().wine, 7);
        let mut wrong = request(&inputs);
        wrong.inputs.push(Tensor::fp64("colour", vec![1], [1.0]).unwrap());
        assert!(Ask::read(wrong).unwrap_err().contains("`colour`"));
        let two = inputs.iter().map(|(name, n)| Tensor::fp64(*name, vec![2], [*n, *n]).unwrap());
        let two = InferRequest { inputs: two.collect(), ..InferRequest::default() };
        assert!(Ask::read(two).unwrap_err().contains("expected one row"));
        let nan = InferRequest::parse(TABLE.replace("1.5", "null").as_bytes()).unwrap();
        assert!(Ask::read(nan).unwrap_err().contains("finite"));
    }

    /// One table, or a tensor a column, flat or nested, of shape [1] or [1, 1]: the same request.
    #[test]
    fn every_spelling_of_a_row_is_read() {
        let table = Ask::read(InferRequest::parse(TABLE.as_bytes()).unwrap()).unwrap();
        assert_eq!((table.wine, table.request), (42, [1.5, 2.5, 3.5, 4.5, 5.5]));
        let names = REQUEST_FEATURES.into_iter().chain([WINE_ID]);
        let column = |(name, n): (&str, f64)| serde_json::json!({"name": name, "shape": [1, 1], "datatype": "FP64", "data": [[n]]});
        let columns: Vec<_> = names.zip([1.5, 2.5, 3.5, 4.5, 5.5, 42.0]).map(column).collect();
        let body = serde_json::json!({"id": "r", "inputs": columns}).to_string();
        assert_eq!(Ask::read(InferRequest::parse(body.as_bytes()).unwrap()).unwrap(), table);
    }

    /// An entity's hash is stable, and another wine has another.
    #[test]
    fn entities_are_hashed() {
        assert_eq!(entity(7), entity(7));
        assert_ne!(entity(7), entity(8));
        assert_eq!(entity(7).len(), ENTITY_DIGITS);
    }
}
