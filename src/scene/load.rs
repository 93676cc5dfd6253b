use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::call::{Caller, Failure};
use super::{Data, Error, Wine};
use crate::units::{Clock, PerSecond, Ratio, Timestamp, count};

/// Which wines are asked for: a seeded choice with the share of those that only the store knows.
#[derive(Debug)]
pub struct Traffic {
    popular: Vec<Wine>,
    others: Vec<Wine>,
    store_share: Ratio,
    rng: StdRng,
}

impl Traffic {
    /// Each request is an independent draw: with chance `store_share` one of the unpopular wines,
    /// else one of the popular, each wine of its kind as likely as the next. Independent, because
    /// a fixed pattern would make traffic more regular than any real one.
    ///
    /// # Errors
    /// When the data lacks a kind of wine.
    pub fn new(data: &Data, store_share: Ratio, seed: u64) -> Result<Self, Error> {
        let (popular, others): (Vec<Wine>, Vec<Wine>) =
            data.wines().iter().copied().partition(Wine::is_popular);
        if popular.is_empty() {
            return Err(Error::NoWines("popular"));
        }
        if others.is_empty() {
            return Err(Error::NoWines("unpopular"));
        }
        Ok(Self { popular, others, store_share, rng: StdRng::seed_from_u64(seed) })
    }

    /// The wine of the next request; the sequence never ends.
    pub fn draw(&mut self) -> Option<Wine> {
        let unpopular = self.rng.random_bool(self.store_share.get());
        let wines = if unpopular { &self.others } else { &self.popular };
        wines.get(self.rng.random_range(0..wines.len())).copied()
    }
}

/// How the traffic is made.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadConfig {
    /// The service, `http://host:port`.
    pub url: String,
    /// Requests a second.
    pub rate: PerSecond,
    /// The client's time-out, from the intended start.
    pub deadline: Duration,
    /// Requests under way at once; one more counts as an error.
    pub in_flight_max: u32,
    /// The start of each request's id; the running number follows.
    pub id_prefix: String,
}

/// How one request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// When it was to start.
    pub intended: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// From the intended start, however late it was sent.
    pub latency: Duration,
    /// Why it failed; nothing when it was answered with 200.
    pub failure: Option<Failure>,
}

impl Outcome {
    /// Whether it was answered with 200 within the deadline.
    #[must_use]
    pub const fn ok(&self) -> bool {
        self.failure.is_none()
    }
}

/// Totals of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadStats {
    /// Requests that were due.
    pub intended: u64,
    /// Of these, answered.
    pub ok: u64,
    /// Of these, failed.
    pub failed: u64,
}

/// Open-loop traffic: requests start when they are due, whatever became of those before.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    intended: AtomicU64,
    ok: AtomicU64,
    failed: AtomicU64,
}

/// What is told of each outcome.
type Listener = Arc<dyn Fn(Outcome) + Send + Sync>;

impl Load {
    /// Starts at once. `on_outcome` is called for every request that was due, in the order in which
    /// they end; it must not block.
    ///
    /// # Errors
    /// When the address or the rate is none.
    pub fn start(
        config: LoadConfig,
        traffic: Traffic,
        clock: Clock,
        on_outcome: impl Fn(Outcome) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        if config.rate.get() <= 0.0 {
            return Err(Error::NoRate);
        }
        let caller = Caller::new(&config.url, &config.id_prefix)?;
        let (stop, stopped) = watch::channel(false);
        let counts = Arc::new(Counts::default());
        let sender = Sender {
            caller: Arc::new(caller),
            clock,
            deadline: config.deadline,
            listener: Arc::new(on_outcome),
            counts: Arc::clone(&counts),
        };
        let task = tokio::spawn(run(config, traffic, sender, stopped));
        Ok(Self { stop, task, counts })
    }

    /// Starts no further request, waits for those under way (at most the deadline), and sums up.
    pub async fn stop(mut self) -> LoadStats {
        self.stop.send_replace(true);
        if let Err(error) = (&mut self.task).await {
            tracing::warn!(%error, "load generator ended early");
        }
        self.stats()
    }

    /// Totals so far; what is intended and neither answered nor failed is under way.
    #[must_use]
    pub fn stats(&self) -> LoadStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LoadStats {
            intended: read(&self.counts.intended),
            ok: read(&self.counts.ok),
            failed: read(&self.counts.failed),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends requests and tells how they ended.
#[derive(Clone)]
struct Sender {
    caller: Arc<Caller>,
    clock: Clock,
    deadline: Duration,
    listener: Listener,
    counts: Arc<Counts>,
}

/// A request's number, and when it was to start, on both clocks.
#[derive(Clone, Copy)]
struct Due {
    number: u64,
    at: Instant,
    intended: Timestamp,
}

async fn run(config: LoadConfig, mut traffic: Traffic, sender: Sender, mut stopped: watch::Receiver<bool>) {
    let (origin, began) = (Instant::now(), sender.clock.now());
    let slots = Arc::new(Semaphore::new(usize::try_from(config.in_flight_max).unwrap_or(usize::MAX)));
    let mut under_way = JoinSet::new();
    for number in 0.. {
        let after = Duration::from_secs_f64(count(number) / config.rate.get());
        let due = Due { number, at: origin + after, intended: began.plus(after) };
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            () = sleep_until(due.at) => {}
        }
        let Some(wine) = traffic.draw() else { break };
        sender.counts.intended.fetch_add(1, Ordering::Relaxed);
        match Arc::clone(&slots).try_acquire_owned() {
            Err(_) => sender.tell(due, Some(Failure::Saturated)),
            Ok(slot) => {
                let sender = sender.clone();
                under_way.spawn(async move {
                    sender.send(due, wine).await;
                    drop(slot);
                });
            }
        }
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

impl Sender {
    async fn send(&self, due: Due, wine: Wine) {
        let answer = timeout_at(due.at + self.deadline, self.caller.call(due.number, &wine)).await;
        self.tell(due, answer.unwrap_or(Some(Failure::TimedOut)));
    }

    fn tell(&self, due: Due, failure: Option<Failure>) {
        let finished = self.clock.now();
        let micros = finished.as_micros().saturating_sub(due.intended.as_micros());
        // A manual clock that was set back has no latency to tell: the shortest there is.
        let latency = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        let counts = &self.counts;
        let count = if failure.is_none() { &counts.ok } else { &counts.failed };
        count.fetch_add(1, Ordering::Relaxed);
        (self.listener)(Outcome { intended: due.intended, finished, latency, failure });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    fn traffic(share: Ratio) -> Traffic {
        Traffic::new(&Data::load().unwrap(), share, 11).unwrap()
    }

    fn config(url: String) -> LoadConfig {
        LoadConfig {
            url,
            rate: PerSecond::of(200),
            deadline: Duration::from_millis(300),
            in_flight_max: 1_000,
            id_prefix: "t-".to_owned(),
        }
    }

    /// One request in three asks for a wine that only the store knows; the draw repeats with its seed.
    #[test]
    fn one_in_three_goes_to_the_store() {
        let draw = |mut traffic: Traffic| (0..30_000).map(|_| traffic.draw().unwrap().id).collect::<Vec<_>>();
        let ids = draw(traffic(Ratio::one_in(3)));
        let to_store = ids.iter().filter(|id| *id % 3 != 0).count();
        assert!((9_600..10_400).contains(&to_store), "{to_store}");
        assert_eq!(ids, draw(traffic(Ratio::one_in(3))));
        assert!(draw(traffic(Ratio::one_in(0))).iter().all(|id| id % 3 == 0));
    }

    /// A service that never answers: every request still starts on time and fails at its deadline,
    /// measured from the intended start, in the order of fixed instants.
    #[tokio::test]
    async fn latency_counts_from_the_intended_start() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, mut told) = mpsc::unbounded_channel();
        let load = Load::start(config(url), traffic(Ratio::one_in(3)), Clock::real(), move |outcome| {
            tell.send(outcome).unwrap();
        })
        .unwrap();
        let mut outcomes = Vec::new();
        while outcomes.len() < 50 {
            outcomes.push(told.recv().await.unwrap());
        }
        let stats = load.stop().await;
        while let Ok(outcome) = told.try_recv() {
            outcomes.push(outcome);
        }
        assert_eq!((stats.ok, stats.failed), (0, stats.intended), "drained");
        assert_eq!(u64::try_from(outcomes.len()).unwrap(), stats.intended);
        let mut intended: Vec<i64> = outcomes.iter().map(|o| o.intended.as_micros()).collect();
        intended.sort_unstable();
        assert!(intended.windows(2).all(|pair| pair[1] - pair[0] == 5_000), "5 ms apart");
        for outcome in outcomes {
            assert_eq!(outcome.failure, Some(Failure::TimedOut));
            assert!(outcome.latency >= Duration::from_millis(299), "{outcome:?}");
            let span = outcome.finished.millis_since(outcome.intended);
            assert!((span - outcome.latency.as_secs_f64() * 1e3).abs() < 0.01);
        }
    }

    /// A stall of the sender itself counts as latency: the request was due, nobody sent it. The
    /// single thread is held by the listener of the first outcome.
    #[tokio::test]
    async fn a_late_send_is_not_forgiven() {
        let app = axum::Router::new().fallback(|| async { "ok" });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        let (kept, clock) = (Arc::clone(&outcomes), Clock::real());
        let (enough, mut done) = watch::channel(0);
        let config = LoadConfig { deadline: Duration::from_secs(30), ..config(url) };
        let load = Load::start(config, traffic(Ratio::one_in(3)), clock.clone(), move |outcome| {
            if kept.lock().unwrap().is_empty() {
                let until = clock.now().plus(Duration::from_millis(200));
                while clock.now() < until {}
            }
            kept.lock().unwrap().push(outcome);
            enough.send_modify(|n| *n += 1);
        })
        .unwrap();
        done.wait_for(|n| *n >= 30).await.unwrap();
        let stats = load.stop().await;
        assert_eq!(stats.failed, 0);
        let late =
            outcomes.lock().unwrap().iter().filter(|o| o.latency >= Duration::from_millis(100)).count();
        assert!(late >= 15, "{late} of {}", stats.intended);
    }

    /// What cannot start for want of room is an error, told at once.
    #[tokio::test]
    async fn saturation_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config =
            LoadConfig { in_flight_max: 2, ..config(format!("http://{}", listener.local_addr().unwrap())) };
        let (tell, mut told) = mpsc::unbounded_channel();
        let load = Load::start(config, traffic(Ratio::one_in(3)), Clock::real(), move |outcome| {
            tell.send(outcome).unwrap();
        })
        .unwrap();
        assert_eq!(told.recv().await.unwrap().failure, Some(Failure::Saturated));
        let stats = load.stop().await;
        assert_eq!(stats.failed, stats.intended);
    }
}
