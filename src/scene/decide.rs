use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::fetch::{FetchError, Fetcher};
use super::wire::InferRequest;
use super::{Answer, MODEL, REQUEST_FEATURES, STORE_FEATURES, VERSION};
use crate::chaos::StoreFailure;
use crate::record::{Prediction, Record, RowStatus, Scalar, Status};
use crate::units::Timestamp;

/// The key of the entities' hashes. Wines need no secrecy; a service of people's data would keep
/// its key to itself.
const ENTITY_KEY: &[u8] = b"silentry scene";
/// Hexadecimal digits of an entity's hash.
const ENTITY_DIGITS: usize = 16;
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
    /// Reads a request: one number for each feature of the request, and `wine_id`.
    pub(super) fn read(request: InferRequest) -> Result<Self, String> {
        let mut cells: BTreeMap<&str, &serde_json::Number> = BTreeMap::new();
        for input in &request.inputs {
            let ([1], [value]) = (input.shape.as_slice(), input.data.as_slice()) else {
                return Err(format!("input `{}`: expected shape [1] and one number", input.name));
            };
            if cells.insert(&input.name, value).is_some() {
                return Err(format!("input `{}` appears twice", input.name));
            }
        }
        let mut features = [0.0; 5];
        for (feature, name) in features.iter_mut().zip(REQUEST_FEATURES) {
            let value = cells.remove(name).ok_or_else(|| format!("input `{name}` is missing"))?;
            *feature = value.as_f64().ok_or_else(|| format!("input `{name}` is not a number"))?;
        }
        let wine = cells.remove("wine_id").ok_or("input `wine_id` is missing")?;
        let wine = wine.as_i64().ok_or("input `wine_id`: expected an integer")?;
        if let Some(name) = cells.keys().next() {
            return Err(format!("input `{name}` is not one of the model's"));
        }
        let id = request.id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        Ok(Self { id, wine, request: features })
    }
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
        inputs.push(("colour", 1.0));
        let mut wrong = request(&inputs);
        wrong.inputs.push(
            serde_json::from_str(r#"{"name":"wine_id","shape":[1],"datatype":"INT64","data":[7]}"#).unwrap(),
        );
        assert!(Ask::read(wrong.clone()).unwrap_err().contains("`colour`"));
        wrong.inputs[0].shape = vec![2];
        assert!(Ask::read(wrong).unwrap_err().contains("`fixed_acidity`: expected shape [1]"));
    }

    /// An entity's hash is stable, and another wine has another.
    #[test]
    fn entities_are_hashed() {
        assert_eq!(entity(7), entity(7));
        assert_ne!(entity(7), entity(8));
        assert_eq!(entity(7).len(), ENTITY_DIGITS);
    }
}
