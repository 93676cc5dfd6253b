use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::error::Refusal;

/// The longest that a request may take, its body's arrival included.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests with a body at once: each may hold one of the largest size in memory.
pub(super) const BODIES_MAX: usize = 8;
/// The encodings that a body may have.
const ENCODINGS: [&str; 3] = ["gzip", "zstd", "identity"];

/// Ends a request that takes too long: a sender that dribbles its body holds its place no longer.
pub(super) async fn in_time(State(api): State<Api>, request: Request, next: Next) -> Response {
    let limit = api.request_timeout;
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let message =
            format!("the request did not arrive and get its answer within {} s", limit.as_secs_f64());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message).into_response()
    })
}

/// Takes only as many bodies at once as memory is meant for.
pub(super) async fn a_few_bodies(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let Ok(_place) = api.bodies.try_acquire() else {
        let message = "as many requests with a body are under way as may be: send it again later";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message));
    };
    Ok(next.run(request).await)
}

/// Refuses encodings that nobody here reads, in words; case does not matter.
pub(super) async fn known_encoding(mut request: Request, next: Next) -> Response {
    let named: Vec<HeaderValue> = request.headers().get_all(CONTENT_ENCODING).iter().cloned().collect();
    let known = |value: &HeaderValue| {
        ENCODINGS.into_iter().find(|name| value.as_bytes().eq_ignore_ascii_case(name.as_bytes()))
    };
    match named.as_slice() {
        [] => return next.run(request).await,
        [one] => {
            if let Some(name) = known(one) {
                request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(name));
                return next.run(request).await;
            }
        }
        _ => {}
    }
    let shown: Vec<_> = named.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    let message =
        format!("content-encoding `{}`, expected one of {}", shown.join(", "), ENCODINGS.join(", "));
    let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", message);
    ([(ACCEPT_ENCODING, "gzip, zstd")], refusal).into_response()
}
