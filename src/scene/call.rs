use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{Answer, Error, MODEL, REQUEST_FEATURES, Wine};
use crate::oip::{InferRequest, InferResponse, Tensor};

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why a request was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Not within the deadline.
    TimedOut,
    /// With this status instead of 200.
    Status(u16),
    /// The connection failed.
    Connection,
    /// It never started: too many were under way.
    Saturated,
}

/// Asks the service, on connections that are kept.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    http: Client<HttpConnector, Body>,
    uri: Uri,
    id_prefix: Arc<str>,
}

impl Caller {
    /// For a service at `http://host:port`.
    pub(super) fn new(url: &str, id_prefix: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::ServiceUrl { url: url.to_owned(), reason: reason.to_owned() };
        let text = format!("{}/v2/models/{MODEL}/infer", url.trim_end_matches('/'));
        let uri: Uri = text.parse().map_err(|_| wrong("not an address"))?;
        if uri.scheme_str() != Some("http") || uri.host().is_none() {
            return Err(wrong("expected such as `http://127.0.0.1:8000`"));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, uri, id_prefix: id_prefix.into() })
    }

    /// Asks for one wine; why it failed, or nothing.
    pub(super) async fn call(&self, number: u64, wine: &Wine) -> Option<Failure> {
        let Some(request) = self.request(number, wine) else { return Some(Failure::Connection) };
        let Ok(response) = self.http.request(request).await else { return Some(Failure::Connection) };
        let status = response.status();
        // Read to its end, so that the connection is kept.
        if to_bytes(Body::new(response.into_body()), ANSWER_BYTES_MAX).await.is_err() {
            return Some(Failure::Connection);
        }
        (status != StatusCode::OK).then_some(Failure::Status(status.as_u16()))
    }

    fn request(&self, number: u64, wine: &Wine) -> Option<Request<Body>> {
        let body = body(format!("{}{number}", self.id_prefix), wine)?;
        Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.into())
            .ok()
    }
}

/// Asks a service at `http://host:port` for one wine and reads its answer.
///
/// # Errors
/// [`Error::ServiceUrl`] when the address is none; [`Error::Answer`] when there is no answer to read.
pub async fn ask(url: &str, id: &str, wine: &Wine) -> Result<Answer, Error> {
    let caller = Caller::new(url, id)?;
    let wrong = |reason: String| Error::Answer { id: id.to_owned(), reason };
    let request = caller.request(0, wine).ok_or_else(|| wrong("no request can be made".to_owned()))?;
    let response = caller.http.request(request).await.map_err(|e| wrong(e.to_string()))?;
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), ANSWER_BYTES_MAX).await;
    let body = body.map_err(|e| wrong(e.to_string()))?;
    if status != StatusCode::OK {
        return Err(wrong(format!("status {status}")));
    }
    let answer = InferResponse::parse(&body).map_err(|e| wrong(e.to_string()))?;
    let output = |name: &str| {
        let tensor = answer.outputs.iter().find(|t| t.name == name);
        let numbers = tensor.and_then(|t| t.numbers().ok());
        numbers.and_then(|n| n.first().copied()).ok_or_else(|| wrong(format!("no output `{name}`")))
    };
    Ok(Answer { label: i64::from(output("label")? > 0.5), score: output("score")? })
}

fn body(id: String, wine: &Wine) -> Option<Vec<u8>> {
    let mut inputs = Vec::with_capacity(REQUEST_FEATURES.len() + 1);
    for (name, value) in REQUEST_FEATURES.into_iter().zip(wine.request) {
        inputs.push(Tensor::fp64(name, vec![1], [value]).ok()?);
    }
    inputs.push(Tensor::int64("wine_id", vec![1], [i32::try_from(wine.id).ok()?]).ok()?);
    serde_json::to_vec(&InferRequest { id: Some(id), inputs, ..InferRequest::default() }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address that is none is refused before any request is due.
    #[test]
    fn wrong_addresses_are_refused() {
        for url in ["", "127.0.0.1:1", "https://x", "http://"] {
            assert!(matches!(Caller::new(url, "t-"), Err(Error::ServiceUrl { .. })), "{url}");
        }
    }
}
