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

/// Who is told of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// Every sink.
    All,
    /// Those that keep alerts and are sent to again and again.
    Keepers,
}

#[derive(Debug)]
struct Handle {
    is_keeper: bool,
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

    /// Tells every sink of the rising edge in a change, of age and of the end; others concern nobody.
    /// Never waits.
    ///
    /// Under a silence nobody is told. But a receiver that takes an alert for over when it is not sent again
    /// is asked to hold it until the silence ends, and is told when the alert itself ends before: else it
    /// would tell people of a recovery that is none, or keep what is over.
    pub fn notify(&self, change: &Change) {
        let alert = &change.alert;
        let told_since = |silenced: Timestamp| alert.fired_at.is_some_and(|fired| fired <= silenced);
        let whom = match (&change.entry.event, &alert.silence) {
            (Event::Firing | Event::Stale, None) => Some(Whom::All),
            (Event::Silenced { .. }, _) if alert.state == State::Firing => Some(Whom::Keepers),
            (Event::SilenceEnded { since }, _) => {
                let is_news = alert.state == State::Firing || told_since(*since);
                is_news.then_some(Whom::All)
            }
            (event, Some(silence)) if event.ends() => told_since(silence.since).then_some(Whom::Keepers),
            (event, None) if event.ends() => alert.fired_at.map(|_| Whom::All),
            _ => None,
        };
        match whom {
            Some(whom) => self.queue(alert, whom),
            // What is sent again says what is known by now.
            None => self.refresh(alert),
        }
    }

    /// Tells sinks again of alerts that fired before a restart; of those that somebody looks at, only the
    /// ones that would take them for over.
    pub fn resume(&self, active: &[Alert]) {
        let firing = active.iter().filter(|a| a.state == State::Firing && a.silence.is_none());
        for alert in firing {
            self.queue(alert, if alert.ack.is_some() { Whom::Keepers } else { Whom::All });
        }
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

    fn queue(&self, alert: &Alert, whom: Whom) {
        let mut firing = self.firing.lock().unwrap_or_else(PoisonError::into_inner);
        if alert.state == State::Firing && alert.silence.is_none() {
            firing.insert(alert.id, alert.clone());
        } else {
            firing.remove(&alert.id);
        }
        drop(firing);
        for lane in self.lanes.iter().filter(|lane| whom == Whom::All || lane.is_keeper) {
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
    let (shared, is_keeper) = (Arc::new(Shared::new(post.name())), post.is_keeper());
    wiring.metrics.sink_loaded(post.name());
    let lane = Lane {
        post,
        shared: Arc::clone(&shared),
        firing: Arc::clone(firing),
        rng: StdRng::seed_from_u64(wiring.seed.wrapping_add(n)),
        wiring: wiring.clone(),
    };
    Handle { is_keeper, queue, task: tokio::spawn(lane.run(notices)), shared }
}
