use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::decide::{Ask, Features, Seen, answered, failed};
use super::fallback::Fallbacks;
use super::fetch::{FetchError, Fetcher};
use super::{Answer, Error, FEATURES, Fallback, FallbackLog, MODEL, Model, StoreAddress, VERSION};
use crate::chaos::{Scene, StoreFailure};
use crate::client::Tap;
use crate::oip::{ErrorBody, InferRequest, InferResponse, Tensor};
use crate::record::{Record, Status};
use crate::units::{Clock, Timestamp};

/// The largest request.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest wait for requests under way when the service stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How the model service is set up.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// Where features are fetched; in a run, the fault proxy in front of the store.
    pub store: StoreAddress,
    /// Wines whose features are fetched once, at start, and kept.
    pub popular: Vec<i64>,
    /// What it does when the store does not answer in time.
    pub on_store_failure: StoreFailure,
    /// The longest wait for the store.
    pub store_timeout: Duration,
    /// The longest a request may take; beyond it the answer is 504.
    pub deadline: Duration,
}

impl ServiceConfig {
    /// As an experiment's scene says.
    #[must_use]
    pub fn of(scene: &Scene, store: StoreAddress, popular: Vec<i64>) -> Self {
        Self {
            store,
            popular,
            on_store_failure: scene.on_store_failure,
            store_timeout: scene.store_timeout,
            deadline: scene.deadline,
        }
    }
}

/// The model service on loopback, speaking the Open Inference Protocol v2; it ends when dropped.
#[derive(Debug)]
pub struct Service {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
}

#[derive(Debug)]
struct Shared {
    model: Arc<Model>,
    features: Features,
    deadline: Duration,
    fallbacks: Fallbacks,
    tap: Arc<Tap>,
    clock: Clock,
}

impl Service {
    /// Warms the cache from the store and starts to serve. What the model sees goes to the tap.
    ///
    /// # Errors
    /// When the store does not answer, or lacks a popular wine.
    pub async fn start(
        config: ServiceConfig,
        model: Arc<Model>,
        tap: Arc<Tap>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let fetcher = Fetcher::new(config.store, config.store_timeout);
        let cache = fetcher.warm(&config.popular).await?.into_iter().collect();
        let features = Features::new(cache, fetcher, config.on_store_failure);
        let fallbacks = Fallbacks::default();
        let shared = Arc::new(Shared { model, features, deadline: config.deadline, fallbacks, tap, clock });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Listen)?;
        let addr = listener.local_addr().map_err(Error::Listen)?;
        let (stop, mut stopped) = watch::channel(false);
        let server = axum::serve(listener, router(Arc::clone(&shared)))
            .with_graceful_shutdown(async move { drop(stopped.wait_for(|stop| *stop).await) });
        let task = tokio::spawn(async move { server.await });
        Ok(Self { addr, shared, stop, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every row for which something else stood in for the store's features, by its own account.
    #[must_use]
    pub fn fallback_log(&self) -> FallbackLog {
        self.shared.fallbacks.log()
    }

    /// Takes no further requests and waits, within bounds, for those under way.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_TIMEOUT, &mut self.task).await.is_err() {
            tracing::warn!("model service: requests under way were cut off");
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v2/health/live", get(|| async { StatusCode::OK }))
        .route("/v2/health/ready", get(|| async { StatusCode::OK }))
        .route("/v2/models/{model}", get(metadata))
        .route("/v2/models/{model}/infer", post(infer))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
}

async fn metadata(Path(model): Path<String>) -> Response {
    if model != MODEL {
        return unknown(&model);
    }
    let tensor =
        |name: &str, datatype: &str| serde_json::json!({"name": name, "datatype": datatype, "shape": [1]});
    let request = FEATURES.iter().filter(|fact| fact.group == crate::record::Schema::REQUEST_GROUP);
    let mut inputs: Vec<_> = request.map(|fact| tensor(fact.name, "FP64")).collect();
    inputs.push(tensor("wine_id", "INT64"));
    let outputs = [tensor("label", "INT64"), tensor("score", "FP64")];
    Json(serde_json::json!({
        "name": MODEL, "versions": [VERSION], "platform": "silentry_scene", "inputs": inputs, "outputs": outputs,
    }))
    .into_response()
}

async fn infer(State(shared): State<Arc<Shared>>, Path(model): Path<String>, body: Bytes) -> Response {
    let started = shared.clock.now();
    if model != MODEL {
        return unknown(&model);
    }
    let request = InferRequest::parse(&body).map_err(|error| error.to_string());
    let ask = match request.and_then(Ask::read) {
        Ok(ask) => ask,
        Err(wrong) => return refuse(StatusCode::BAD_REQUEST, wrong),
    };
    match tokio::time::timeout(shared.deadline, shared.features.of(ask.wine)).await {
        Ok(Ok(seen)) => shared.answer(&ask, &seen, started),
        Ok(Err(error)) => {
            shared.lose(&ask, started);
            refuse(StatusCode::SERVICE_UNAVAILABLE, format!("features of wine {}: {error}", ask.wine))
        }
        Err(_) => {
            shared.lose(&ask, started);
            refuse(
                StatusCode::GATEWAY_TIMEOUT,
                format!("no answer within {} ms", shared.deadline.as_millis()),
            )
        }
    }
}

impl Shared {
    fn answer(&self, ask: &Ask, seen: &Seen, started: Timestamp) -> Response {
        let answer = self.model.predict(&super::data::joined(&ask.request, &seen.store));
        // One instant for the log and for the record: the log is what detection is judged by.
        let at = self.clock.now();
        if let Some(reason) = &seen.substituted {
            self.note(ask, reason, at);
        }
        self.tap(answered(ask, seen, answer, at), started);
        match response(ask, seen, answer) {
            Some(response) => Json(response).into_response(),
            None => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the score is not a number".to_owned()),
        }
    }

    fn note(&self, ask: &Ask, reason: &FetchError, at: Timestamp) {
        tracing::debug!(request_id = %ask.id, wine = ask.wine, %reason, "substituted the store's features");
        let reason = reason.to_string();
        self.fallbacks.note(Fallback { at, request_id: ask.id.clone(), wine: ask.wine, reason });
    }

    fn lose(&self, ask: &Ask, started: Timestamp) {
        self.tap(failed(ask, self.clock.now()), started);
    }

    fn tap(&self, mut record: Record, started: Timestamp) {
        record.latency_ms = Some(record.ts.millis_since(started));
        self.tap.send(record);
    }
}

/// The answer on the wire. Zeros are not told: that silence is the failure under study. Last known
/// values are, as the repaired service would. Nothing for a score that is no number.
fn response(ask: &Ask, seen: &Seen, answer: Answer) -> Option<InferResponse> {
    let mut parameters = serde_json::Map::new();
    if seen.status == Status::Stale {
        parameters.insert("stale_features".to_owned(), true.into());
    }
    let label = Tensor::int64("label", vec![1], [i32::from(answer.label == 1)]).ok()?;
    let score = Tensor::fp64("score", vec![1], [answer.score]).ok()?;
    answer.score.is_finite().then(|| InferResponse {
        model_name: MODEL.to_owned(),
        model_version: Some(VERSION.to_owned()),
        id: Some(ask.id.clone()),
        parameters,
        outputs: vec![label, score],
    })
}

fn unknown(model: &str) -> Response {
    let shown: String = model.chars().take(64).collect();
    refuse(StatusCode::NOT_FOUND, format!("model `{shown}` is not here, expected `{MODEL}`"))
}

fn refuse(status: StatusCode, error: String) -> Response {
    (status, Json(ErrorBody { error })).into_response()
}

#[cfg(test)]
mod tests;
