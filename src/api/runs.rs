use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Api;
use super::error::Refusal;
use crate::chaos::{Act, Experiment, Headline};
use crate::service::RunView;
use crate::units::Timestamp;
use crate::verdict::Verdict;

/// Begins a run of the experiment in the body, YAML or JSON, that another tool drives.
pub(super) async fn start(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<RunView>), Refusal> {
    let body = body?;
    let text = std::str::from_utf8(&body)
        .map_err(|e| Refusal::bad_request("bad_experiment", format!("the body is not UTF-8: {e}")))?;
    let experiment =
        Experiment::read(text).map_err(|e| Refusal::bad_request("bad_experiment", e.to_string()))?;
    Ok((StatusCode::CREATED, Json(api.service.start_run(experiment)?)))
}

pub(super) async fn list(State(api): State<Api>) -> Json<Vec<RunView>> {
    Json(api.service.runs())
}

/// Something that was done: `{"act":"fault_active","fault":"store-slow","at":"…"}`; `at` is now when
/// it is left out.
#[derive(Deserialize)]
struct Done {
    #[serde(default)]
    at: Option<Timestamp>,
    #[serde(flatten)]
    act: Act,
}

pub(super) async fn event(
    State(api): State<Api>,
    run: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<RunView>, Refusal> {
    let done: Done = serde_json::from_slice(&body?)
        .map_err(|e| Refusal::bad_request("bad_event", format!("not an event of a run: {e}")))?;
    let at = done.at.unwrap_or_else(|| api.service.now());
    Ok(Json(api.service.note(&run?, at, done.act)?))
}

pub(super) async fn verdict(
    State(api): State<Api>,
    run: Result<Path<String>, PathRejection>,
) -> Result<Json<Verdict>, Refusal> {
    Ok(Json(api.service.verdict(&run?)?))
}

/// 200 when the run has passed, 409 when it has not or not yet: what every chaos tool can read.
pub(super) async fn gate(
    State(api): State<Api>,
    run: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let verdict = api.service.verdict(&run?)?;
    let status = match verdict.headline {
        Headline::Pass => StatusCode::OK,
        Headline::Fail | Headline::Inconclusive => StatusCode::CONFLICT,
    };
    Ok((status, Json(verdict)).into_response())
}
