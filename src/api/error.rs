use axum::Json;
use axum::extract::Request;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::alert;
use crate::service::Error;

/// The header that carries a request's id, in and out.
const REQUEST_ID: &str = "x-request-id";
/// A longer id of a caller's is replaced by ours.
const REQUEST_ID_MAX: usize = 128;

tokio::task_local! {
    static ID: String;
}

/// Why a request was not served.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Refusal {
    /// The same word for the same mistake, for programs.
    pub code: &'static str,
    /// What is wrong, where, and what was expected, for people.
    pub message: String,
    /// The request's id, also in the header `x-request-id` and in the log.
    pub request_id: String,
    #[serde(skip)]
    status: StatusCode,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let request_id = ID.try_with(Clone::clone).unwrap_or_else(|_| "unknown".to_owned());
        Self { code, message: message.into(), request_id, status }
    }

    pub(super) fn unauthorized() -> Self {
        let message = "expected the header `Authorization: Bearer <token>` with the configured token";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// Our fault: the cause goes to the log.
    pub(super) fn internal(error: &dyn std::fmt::Display, what: &'static str) -> Self {
        let refusal =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "silentry failed: see its log");
        tracing::error!(request_id = refusal.request_id, %error, "{what}");
        refusal
    }

    pub(super) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (status, code) = match &error {
            Error::UnknownModel { .. } => (StatusCode::NOT_FOUND, "unknown_model"),
            Error::UnknownVersion { .. } => (StatusCode::NOT_FOUND, "unknown_version"),
            Error::NotRelearnt { .. } => (StatusCode::CONFLICT, "not_relearnt"),
            Error::UnknownRun(_) => (StatusCode::NOT_FOUND, "unknown_run"),
            Error::UnknownFault { .. } => (StatusCode::BAD_REQUEST, "unknown_fault"),
            Error::Experiment(_) | Error::SceneOverTheApi => (StatusCode::BAD_REQUEST, "bad_experiment"),
            Error::RunGoesOn(_) => (StatusCode::CONFLICT, "run_goes_on"),
            Error::RunUnderWay { .. } => (StatusCode::CONFLICT, "run_under_way"),
            Error::Alert(alert::Error::Unknown { .. }) => (StatusCode::NOT_FOUND, "unknown_alert"),
            Error::Alert(alert::Error::Ended { .. }) => (StatusCode::CONFLICT, "alert_ended"),
            Error::Alert(alert::Error::Signature { .. } | alert::Error::SilenceLength { .. }) => {
                (StatusCode::BAD_REQUEST, "bad_action")
            }
            Error::Baseline(_) | Error::Detect { .. } => (StatusCode::BAD_REQUEST, "bad_baseline"),
            Error::TooManyEvents { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_events"),
            Error::TooManyRuns(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_runs"),
            _ => return Self::internal(&error, "request failed"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<BytesRejection> for Refusal {
    fn from(rejection: BytesRejection) -> Self {
        let status = rejection.status();
        let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "body_too_large" } else { "unreadable_body" };
        Self::new(status, code, rejection.body_text())
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request("bad_path", rejection.body_text())
    }
}

pub(super) async fn no_route(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no_route", format!("nothing is served at `{}`", uri.path()))
}

pub(super) async fn no_method(method: Method, uri: Uri) -> Refusal {
    let message = format!("`{}` does not take {method}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "no_method", message)
}

/// Gives every request an id and puts it on the answer.
pub(super) async fn stamp(request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|v| v.to_str().ok());
    let id = match given {
        Some(id) if !id.is_empty() && id.len() <= REQUEST_ID_MAX => id.to_owned(),
        _ => uuid::Uuid::now_v7().to_string(),
    };
    let header = HeaderValue::from_str(&id);
    let mut response = ID.scope(id, next.run(request)).await;
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}
