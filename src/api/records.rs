use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::error::Refusal;
use crate::service::{Ingested, LabelsTaken};
use crate::tap::Reason;

/// Records, one JSON object a line.
pub(super) async fn ndjson(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body = taken(&api, body)?;
    answer(decoded(move || api.service.ingest(&body)).await?)
}

/// Pairs of Open Inference Protocol bodies, one JSON object a line.
pub(super) async fn oip(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body = taken(&api, body)?;
    answer(decoded(move || api.service.ingest_oip(&body)).await?)
}

/// Labels that came later than their records, one JSON object a line. 200 with what became of each; 400 when no line
/// was a label of a watched model.
pub(super) async fn labels(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<LabelsTaken>, Refusal> {
    let body = body.map_err(|rejection| {
        api.service.lost_labels();
        Refusal::from(rejection)
    })?;
    let taken = decoded(move || api.service.take_labels(&body)).await?;
    if taken.taken() == 0 && taken.malformed + taken.unknown_model > 0 {
        let first = taken.rejections.first().map_or("", String::as_str);
        let message = format!("none of {} labels was taken: {first}", taken.malformed + taken.unknown_model);
        let code = if taken.malformed == 0 { "unknown_model" } else { "malformed_labels" };
        return Err(Refusal::bad_request(code, message));
    }
    Ok(Json(taken))
}

/// Decodes beside the threads that answer requests: a large body takes long.
async fn decoded<T: Send + 'static>(decode: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let decoded = tokio::task::spawn_blocking(decode).await;
    decoded.map_err(|error| Refusal::internal(&error, "a body could not be decoded"))
}

/// The body, or its refusal; a body that is refused whole is counted too.
fn taken(api: &Api, body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| {
        let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
        api.service.lost_body(if too_large { Reason::TooLarge } else { Reason::Malformed });
        Refusal::from(rejection)
    })
}

/// 202 when anything was taken or there was nothing to take; 400 when every line was refused; 503 when
/// no record fitted the queue.
fn answer(ingested: Ingested) -> Result<Response, Refusal> {
    if ingested.accepted == 0 && ingested.rejected > 0 {
        let first = ingested.rejections.first().map_or("", String::as_str);
        let message = format!("none of {} lines was taken: {first}", ingested.rejected);
        let all_unknown = ingested.of_unknown_model == ingested.rejected;
        let code = if all_unknown { "unknown_model" } else { "malformed_records" };
        return Err(Refusal::bad_request(code, message));
    }
    if ingested.accepted == 0 && ingested.dropped > 0 {
        let message = format!("the queue is full: {} records dropped and counted", ingested.dropped);
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "queue_full", message));
    }
    Ok((StatusCode::ACCEPTED, Json(ingested)).into_response())
}
