use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 512;
/// The longest wait for the head of a request; an idle connection is closed after it as well.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head of a request.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long open requests are waited for at the end.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// The pause after a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How connections are served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) connections_max: usize,
    pub(super) head_timeout: Duration,
    pub(super) stop_grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections_max: CONNECTIONS_MAX, head_timeout: HEAD_TIMEOUT, stop_grace: STOP_GRACE }
    }
}

/// Serves until `shutdown` is done and open requests are answered, or cut off after ten seconds.
///
/// # Errors
/// None as yet: an accept that fails is logged and tried again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    serve_within(listener, router, shutdown, Bounds::default()).await;
    Ok(())
}

pub(super) async fn serve_within(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
    bounds: Bounds,
) {
    let (stop, stopping) = watch::channel(());
    let slots = Arc::new(Semaphore::new(bounds.connections_max));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let serving = connection(stream, router.clone(), stopping.clone(), bounds);
                connections.spawn(async move {
                    serving.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    drop(stop);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(bounds.stop_grace, ended).await.is_err() {
        tracing::warn!("requests that were still open are cut off");
    }
    connections.shutdown().await;
}

/// One connection, until it ends or the server does: then its open request is still answered.
async fn connection(stream: TcpStream, router: Router, mut stopping: watch::Receiver<()>, bounds: Bounds) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX);
    // Answers are small: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = &mut serving => served,
        // The sender is dropped, never used.
        _ = stopping.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(error, "connection ended");
    }
}
