//! What people do: a word on an alert, another baseline.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Api;
use super::error::Refusal;
use crate::alert::{self, Alert, Signature};
use crate::service::{Accepted, Adopted, BaselinePut, Error};
use crate::units::duration_text;

/// `{"who":"ann","note":"looking"}`; the note may be left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    who: String,
    #[serde(default)]
    note: Option<String>,
}

/// The same with the length: `"for":"2h"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Silenced {
    who: String,
    #[serde(default)]
    note: Option<String>,
    #[serde(rename = "for", with = "duration_text")]
    length: Duration,
}

/// An alert of a model, as the path names it.
type AlertPath = Result<Path<(String, u64)>, PathRejection>;

/// A version of a model, as the path names it.
type VersionPath = Result<Path<(String, String)>, PathRejection>;

fn signature(who: &str, note: Option<&str>) -> Result<Signature, Refusal> {
    let wrong = |error: alert::Error| Refusal::from(Error::from(error));
    Signature::new(who, note).map_err(wrong)
}

fn document<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, expected: &str) -> Result<T, Refusal> {
    serde_json::from_slice(&body?)
        .map_err(|e| Refusal::bad_request("bad_action", format!("{e}, expected JSON such as {expected}")))
}

/// What somebody who acts on an alert says.
fn signed(body: Result<Bytes, BytesRejection>) -> Result<Signature, Refusal> {
    let signed: Signed = document(body, r#"{"who":"ann","note":"looking"}"#)?;
    signature(&signed.who, signed.note.as_deref())
}

/// Somebody looks at an alert: it stays open.
pub(super) async fn acknowledge(
    State(api): State<Api>,
    path: AlertPath,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Alert>, Refusal> {
    let Path((model, id)) = path?;
    Ok(Json(api.service.acknowledge(&model, id, signed(body)?)?))
}

/// Nobody is told of an alert for a time.
pub(super) async fn silence(
    State(api): State<Api>,
    path: AlertPath,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Alert>, Refusal> {
    let Path((model, id)) = path?;
    let said: Silenced = document(body, r#"{"who":"ann","for":"2h"}"#)?;
    let by = signature(&said.who, said.note.as_deref())?;
    Ok(Json(api.service.silence(&model, id, by, said.length)?))
}

/// The change is meant: the alert ends, and its group is undecided until there is another baseline.
pub(super) async fn accept(
    State(api): State<Api>,
    path: AlertPath,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Accepted>, Refusal> {
    let (Path((model, id)), by) = (path?, signed(body)?);
    // Beside the threads that answer requests: the change may be a version that gets a baseline.
    let accepted = tokio::task::spawn_blocking(move || api.service.accept(&model, id, by)).await;
    Ok(Json(accepted.map_err(|error| Refusal::internal(&error, "an alert could not be accepted"))??))
}

/// A version is meant: it gets the baseline that can be made of its rows.
pub(super) async fn accept_version(
    State(api): State<Api>,
    path: VersionPath,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Adopted>, Refusal> {
    let (Path((model, version)), by) = (path?, signed(body)?);
    let adopted =
        tokio::task::spawn_blocking(move || api.service.accept_version(&model, &version, &by)).await;
    Ok(Json(adopted.map_err(|error| Refusal::internal(&error, "a version could not be accepted"))??))
}

/// The baseline of a version, the bytes of its file.
pub(super) async fn version_baseline(State(api): State<Api>, path: VersionPath) -> Result<Response, Refusal> {
    let Path((model, version)) = path?;
    let bytes = tokio::task::spawn_blocking(move || api.service.version_baseline(&model, &version)).await;
    let bytes = bytes.map_err(|error| Refusal::internal(&error, "a baseline could not be made"))??;
    Ok(([(CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// Another baseline, the bytes of its file.
pub(super) async fn baseline(
    State(api): State<Api>,
    model: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<BaselinePut>, Refusal> {
    let (Path(model), body) = (model?, body?);
    // Beside the threads that answer requests: to read a large one takes long.
    let put = tokio::task::spawn_blocking(move || api.service.put_baseline(&model, &body)).await;
    Ok(Json(put.map_err(|error| Refusal::internal(&error, "a baseline could not be put"))??))
}
