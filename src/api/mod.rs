//! HTTP in front of the service: routes, shapes, codes. Nothing is computed here.
//!
//! Every refusal is one JSON object: a stable `code`, a `message` for the caller and the request's id;
//! the cause goes to the log under the same id.

mod auth;
mod error;
mod guard;
mod operate;
mod operations;
mod records;
mod runs;
mod server;
mod state;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post, put};
use tokio::sync::Semaphore;
use tower_http::decompression::RequestDecompressionLayer;

pub use auth::Token;
pub use error::Refusal;
pub use server::serve;

use crate::service::{BASELINE_BYTES_MAX, Handle};

/// The largest experiment, event or word on an alert, after decompression.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// How the API is served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Must be shown by whatever changes state; nothing where only loopback can call.
    pub token: Option<Token>,
    /// The largest body of records, after decompression.
    pub body_bytes_max: usize,
}

/// What every route works with.
#[derive(Debug, Clone)]
struct Api {
    service: Handle,
    token: Option<Token>,
    /// Places for requests with a body.
    bodies: Arc<Semaphore>,
    request_timeout: Duration,
}

/// The routes.
pub fn router(service: Handle, settings: &Settings) -> Router {
    let api = Api {
        service,
        token: settings.token.clone(),
        bodies: Arc::new(Semaphore::new(guard::BODIES_MAX)),
        request_timeout: guard::REQUEST_TIMEOUT,
    };
    routes(api, settings.body_bytes_max)
}

fn routes(api: Api, body_bytes_max: usize) -> Router {
    let records = Router::new()
        .route("/v1/records", post(records::ndjson))
        .route("/v1/oip", post(records::oip))
        .route("/v1/labels", post(records::labels))
        .layer(DefaultBodyLimit::max(body_bytes_max));
    let runs = Router::new()
        .route("/v1/runs", post(runs::start))
        .route("/v1/runs/{id}/events", post(runs::event))
        .layer(DefaultBodyLimit::max(DOCUMENT_BYTES_MAX));
    let alerts = Router::new()
        .route("/v1/models/{model}/alerts/{id}/ack", post(operate::acknowledge))
        .route("/v1/models/{model}/alerts/{id}/silence", post(operate::silence))
        .route("/v1/models/{model}/alerts/{id}/accept", post(operate::accept))
        .route("/v1/models/{model}/versions/{version}/accept", post(operate::accept_version))
        .layer(DefaultBodyLimit::max(DOCUMENT_BYTES_MAX));
    let baselines = Router::new()
        .route("/v1/models/{model}/baseline", put(operate::baseline))
        // Beside what changes something: a baseline tells more of the traffic than whoever may look should know.
        .route("/v1/models/{model}/versions/{version}/baseline", get(operate::version_baseline))
        .layer(DefaultBodyLimit::max(BASELINE_BYTES_MAX));
    // The last layer is the first to see a request: who may, how many at once, in which encoding.
    let changing = records
        .merge(runs)
        .merge(alerts)
        .merge(baselines)
        .layer(RequestDecompressionLayer::new())
        .layer(from_fn(guard::known_encoding))
        .layer(from_fn_with_state(api.clone(), guard::a_few_bodies))
        .layer(from_fn_with_state(api.clone(), auth::require));
    let reading = Router::new()
        .route("/v1/models", get(state::models))
        .route("/v1/models/{model}", get(state::model))
        .route("/v1/alerts", get(state::alerts))
        .route("/v1/runs", get(runs::list))
        .route("/v1/runs/{id}/verdict", get(runs::verdict))
        .route("/v1/gate/runs/{id}", get(runs::gate))
        .route("/metrics", get(operations::metrics))
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz));
    changing
        .merge(reading)
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(from_fn_with_state(api.clone(), guard::in_time))
        .layer(from_fn(error::stamp))
        .with_state(api)
}

#[cfg(test)]
mod tests;
