use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::call::{Caller, Failure};
use super::{Error, Traffic};

/// The longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What became of a filling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    /// Requests answered with 200.
    pub ok: u64,
    /// Requests that were not.
    pub failed: u64,
}

/// Which healthy traffic to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillConfig {
    /// The service, `http://host:port`.
    pub url: String,
    /// Requests.
    pub requests: u64,
    /// Requests under way at once, at least 1.
    pub concurrency: u32,
    /// The start of each request's id; the running number follows, from 0.
    pub id_prefix: String,
}

/// Pushes healthy traffic through the service as fast as it answers, on kept connections: rows for
/// a baseline. `progress` is told after each answer how many there were.
///
/// The tap sheds what its sink cannot take at that pace; whoever builds a baseline of it fills in
/// parts (each with its own seed and prefix), flushes the tap in between, and checks its losses.
///
/// # Errors
/// When the address is none. Failed requests are no error: they are counted.
pub async fn fill(
    config: FillConfig,
    traffic: Traffic,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> Result<Filled, Error> {
    let work = Arc::new(Work {
        caller: Caller::new(&config.url, &config.id_prefix)?,
        traffic: Mutex::new((0, traffic)),
        requests: config.requests,
        progress: Box::new(progress),
        ok: AtomicU64::new(0),
        failed: AtomicU64::new(0),
    });
    let mut workers = JoinSet::new();
    for _ in 0..config.concurrency.max(1) {
        let work = Arc::clone(&work);
        workers.spawn(async move { work.run().await });
    }
    while workers.join_next().await.is_some() {}
    Ok(Filled { ok: work.ok.load(Ordering::Relaxed), failed: work.failed.load(Ordering::Relaxed) })
}

struct Work {
    caller: Caller,
    /// The next request's number, and the wines to ask for.
    traffic: Mutex<(u64, Traffic)>,
    requests: u64,
    progress: Box<dyn Fn(u64) + Send + Sync>,
    ok: AtomicU64,
    failed: AtomicU64,
}

impl Work {
    async fn run(&self) {
        while let Some((number, wine)) = self.next() {
            let call = tokio::time::timeout(TIMEOUT, self.caller.call(number, &wine)).await;
            let count =
                if call.unwrap_or(Some(Failure::TimedOut)).is_none() { &self.ok } else { &self.failed };
            count.fetch_add(1, Ordering::Relaxed);
            (self.progress)(self.ok.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed));
        }
    }

    fn next(&self) -> Option<(u64, super::Wine)> {
        let mut held = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, traffic) = &mut *held;
        if *number >= self.requests {
            return None;
        }
        let wine = traffic.draw()?;
        *number += 1;
        Some((*number - 1, wine))
    }
}
