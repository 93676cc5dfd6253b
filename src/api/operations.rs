use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::error::Refusal;

/// The text format that Prometheus asks for.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Refusal> {
    let text = api.service.metrics()?;
    Ok(([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}

/// The process answers and no task of it has failed; 503 when only a new process helps.
pub(super) async fn healthz(State(api): State<Api>) -> (StatusCode, String) {
    match api.service.failed() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(failed) => (StatusCode::SERVICE_UNAVAILABLE, format!("{failed}\n")),
    }
}

/// Whether rows are taken and judged.
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    let health = api.service.health();
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}
