//! HTTP in front of the service: routes, shapes, codes. Nothing is computed here.
//!
//! Every refusal is one JSON object: a stable `code`, a `message` for the caller and the request's id;
//! the cause goes to the log under the same id.

mod auth;
mod error;
mod operations;
mod records;
mod runs;
mod state;

use std::future::{Future, IntoFuture};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tower_http::decompression::RequestDecompressionLayer;

pub use auth::Token;
pub use error::Refusal;

use crate::service::Handle;

/// How the API is served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Must be shown by whatever changes state; nothing where only loopback can call.
    pub token: Option<Token>,
    /// The largest body, after decompression.
    pub body_bytes_max: usize,
}

/// What every route works with.
#[derive(Debug, Clone)]
struct Api {
    service: Handle,
    token: Option<Token>,
}

/// The routes.
pub fn router(service: Handle, settings: &Settings) -> Router {
    let api = Api { service, token: settings.token.clone() };
    let changing = Router::new()
        .route("/v1/records", post(records::ndjson))
        .route("/v1/oip", post(records::oip))
        .route("/v1/runs", post(runs::start))
        .route("/v1/runs/{id}/events", post(runs::event))
        .layer(RequestDecompressionLayer::new())
        .layer(middleware::from_fn(error::encoding))
        .layer(DefaultBodyLimit::max(settings.body_bytes_max))
        .layer(middleware::from_fn_with_state(api.clone(), auth::require));
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
        .layer(middleware::from_fn(error::stamp))
        .with_state(api)
}

/// Open requests are waited for so long: whoever never ends one must not keep state from being written.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until `shutdown` is done and open requests are answered, for at most ten seconds longer.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (asked, stopping) = oneshot::channel();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        let _ = asked.send(());
    });
    let overdue = async {
        match stopping.await {
            Ok(()) => tokio::time::sleep(GRACE).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = server.into_future() => served,
        () = overdue => {
            tracing::warn!("requests that do not end are given up");
            Ok(())
        }
    }
}
