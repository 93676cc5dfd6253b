use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::lane::{Lane, Post, Shared};
use super::{Retry, Sink};
use crate::alert::{Alert, Change, Error, Event, State};
use crate::telemetry::{Metrics, Sent};
use crate::units::{Clock, Timestamp};

/// The most notifications that wait for one sink; more are dropped and counted.
pub(super) const QUEUE_MAX: usize = 256;

/// A sink accepted a firing alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The alert's number.
    pub alert: u64,
    /// Which sink.
    pub sink: String,
    /// When its answer came.
    pub at: Timestamp,
}

/// What the notifier works with.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// The time of what is sent and reported.
    pub clock: Clock,
    /// Where results are counted.
    pub metrics: Metrics,
    /// Takes reports of delivery; when it is full the report is dropped and counted.
    pub delivered: mpsc::Sender<Delivered>,
    /// How failed attempts are tried again.
    pub retry: Retry,
    /// Seeds the jitter between attempts.
    pub seed: u64,
}

/// How a sink does.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct SinkStatus {
    /// Which sink.
    pub sink: String,
    /// Notifications that are queued or under way.
    pub waiting: usize,
    /// When it last accepted one; absent when it never did.
    pub accepted_at: Option<Timestamp>,
    /// What went wrong last; absent since the last success.
    pub last_error: Option<String>,
}

/// Tells sinks of alerts, each from a task and a bounded queue of its own.
#[derive(Debug)]
pub struct Notifier {
    lanes: Vec<Handle>,
    firing: Arc<Firing>,
    metrics: Metrics,
}

/// The alerts that fire now, as those sinks need them that are sent to again and again.
pub(super) type Firing = Mutex<BTreeMap<u64, Alert>>;

#[derive(Debug)]
struct Handle {
    queue: mpsc::Sender<Alert>,
    task: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl Notifier {
    /// Starts one task for each sink; to be called within a tokio runtime.
    ///
    /// # Errors
    /// When a secret cannot be read or no HTTP client can be made.
    pub fn start(sinks: &[Sink], wiring: &Wiring) -> Result<Self, Error> {
        let posts = sinks.iter().map(Post::new).collect::<Result<Vec<_>, _>>()?;
        let firing = Arc::new(Mutex::new(BTreeMap::new()));
        let lanes = posts.into_iter().zip(0..).map(|(post, n)| spawn(post, wiring, &firing, n)).collect();
        Ok(Self { lanes, firing, metrics: wiring.metrics.clone() })
    }

    /// Tells every sink of the rising edge or the recovery in a change; others concern nobody.
    /// Never waits.
    pub fn notify(&self, change: &Change) {
        match change.entry.event {
            Event::Firing => self.queue(&change.alert),
            Event::Resolved if change.alert.fired_at.is_some() => self.queue(&change.alert),
            // What is sent again says what is known by now.
            _ => self.refresh(&change.alert),
        }
    }

    /// Tells every sink again of alerts that fired before a restart.
    pub fn resume(&self, active: &[Alert]) {
        active.iter().filter(|alert| alert.state == State::Firing).for_each(|alert| self.queue(alert));
    }

    /// How the sinks do, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<SinkStatus> {
        self.lanes.iter().map(|lane| lane.shared.status()).collect()
    }

    /// Ends the tasks: what is queued is still sent, for at most `grace`; the rest is counted.
    pub async fn stop(self, grace: Duration) {
        let deadline = tokio::time::Instant::now() + grace;
        let (queues, tasks): (Vec<_>, Vec<_>) =
            self.lanes.into_iter().map(|lane| (lane.queue, (lane.task, lane.shared))).unzip();
        drop(queues);
        for (mut task, shared) in tasks {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
                for _ in 0..shared.status().waiting {
                    self.metrics.notification(shared.name(), Sent::Shutdown);
                }
            }
        }
    }

    /// What is seen of a sink, also after [`Notifier::stop`].
    #[cfg(test)]
    pub(super) fn shared(&self, n: usize) -> Arc<Shared> {
        Arc::clone(&self.lanes[n].shared)
    }

    fn queue(&self, alert: &Alert) {
        let mut firing = self.firing.lock().unwrap_or_else(PoisonError::into_inner);
        if alert.state == State::Firing {
            firing.insert(alert.id, alert.clone());
        } else {
            firing.remove(&alert.id);
        }
        drop(firing);
        for lane in &self.lanes {
            lane.shared.waiting_more();
            if lane.queue.try_send(alert.clone()).is_err() {
                lane.shared.waiting_less();
                lane.shared.failed(format!("queue of {QUEUE_MAX} notifications is full"));
                self.metrics.notification(lane.shared.name(), Sent::QueueFull);
            }
        }
    }

    fn refresh(&self, alert: &Alert) {
        let mut firing = self.firing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = firing.get_mut(&alert.id) {
            known.clone_from(alert);
        }
    }
}

fn spawn(post: Post, wiring: &Wiring, firing: &Arc<Firing>, n: u64) -> Handle {
    let (queue, notices) = mpsc::channel(QUEUE_MAX);
    let shared = Arc::new(Shared::new(post.name()));
    wiring.metrics.sink_loaded(post.name());
    let lane = Lane {
        post,
        shared: Arc::clone(&shared),
        firing: Arc::clone(firing),
        rng: StdRng::seed_from_u64(wiring.seed.wrapping_add(n)),
        wiring: wiring.clone(),
    };
    Handle { queue, task: tokio::spawn(lane.run(notices)), shared }
}
