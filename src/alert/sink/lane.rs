use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::Sink;
use super::notifier::{Delivered, Firing, SinkStatus, Wiring};
use crate::alert::{Alert, Error, State};
use crate::telemetry::Sent;
use crate::units::{Timestamp, duration_text};

/// How failed attempts are tried again: after `first`, then twice as long each time up to `longest`,
/// each shortened by up to a half so that many senders do not come back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// The longest wait after the first attempt.
    #[serde(with = "duration_text")]
    pub first: Duration,
    /// The longest wait after any.
    #[serde(with = "duration_text")]
    pub longest: Duration,
    /// The most attempts in all.
    pub attempts: NonZeroU32,
}

/// About a minute of trying.
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(8).unwrap();

impl Default for Retry {
    fn default() -> Self {
        Self { first: Duration::from_millis(250), longest: Duration::from_secs(20), attempts: ATTEMPTS }
    }
}

impl Retry {
    /// The wait after the attempt of this number, counted from 0, for `jitter` from 0 to 1.
    fn wait(self, attempt: u32, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(attempt));
        let wait = doubled.min(self.longest);
        Duration::try_from_secs_f64(wait.as_secs_f64() * (0.5 + 0.5 * jitter)).unwrap_or(wait)
    }
}

/// The most bytes of a refusal that are shown.
const ANSWER_SHOWN_MAX: usize = 200;

/// What of a lane others see.
#[derive(Debug)]
pub(super) struct Shared {
    name: String,
    waiting: AtomicUsize,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    accepted_at: Option<Timestamp>,
    error: Option<String>,
}

impl Shared {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), waiting: AtomicUsize::new(0), last: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn waiting_more(&self) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn waiting_less(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn failed(&self, error: String) {
        self.last().error = Some(error);
    }

    fn accepted(&self, at: Timestamp) {
        *self.last() = Last { accepted_at: Some(at), error: None };
    }

    pub(super) fn status(&self) -> SinkStatus {
        let last = self.last();
        SinkStatus {
            sink: self.name.clone(),
            waiting: self.waiting.load(Ordering::Acquire),
            accepted_at: last.accepted_at,
            last_error: last.error.clone(),
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sink ready to be posted to: secret read, client made.
pub(super) struct Post {
    sink: Sink,
    client: reqwest::Client,
    authorization: Option<HeaderValue>,
}

/// Why an attempt failed.
enum Failed {
    /// The next one may not.
    ForNow(String),
    /// The receiver will never accept it.
    ForGood(String),
}

impl Post {
    pub(super) fn new(sink: &Sink) -> Result<Self, Error> {
        let receiver = sink.receiver();
        // No redirects, for they would carry the secret elsewhere; no proxy from the environment,
        // for receivers are near and the way there is part of the alert path.
        let client = reqwest::Client::builder()
            .timeout(receiver.timeout())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("silentry/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::Client)?;
        let authorization = match receiver.authorization() {
            None => None,
            Some(from) => {
                let secret = from.read()?;
                let mut value = HeaderValue::from_str(secret.expose())
                    .map_err(|_| Error::SecretHeader(receiver.name().to_owned()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { sink: sink.clone(), client, authorization })
    }

    pub(super) fn name(&self) -> &str {
        self.sink.name()
    }

    /// Whether the receiver keeps alerts, and takes one for over that is not sent again.
    pub(super) fn is_keeper(&self) -> bool {
        self.sink.resend_every().is_some()
    }

    async fn attempt(&self, alert: &Alert, now: Timestamp) -> Result<(), Failed> {
        let receiver = self.sink.receiver();
        let mut request = self.client.post(receiver.url()).json(&receiver.body(alert, now));
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let answer = request.send().await.map_err(|e| Failed::ForNow(chain(&e.without_url())))?;
        judge(answer).await
    }
}

async fn judge(mut answer: reqwest::Response) -> Result<(), Failed> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    // The first piece says what is wrong; a body that does not come is no further error.
    let body = answer.chunk().await.ok().flatten().into_iter().next();
    let said = body.map(|b| String::from_utf8_lossy(b.get(..ANSWER_SHOWN_MAX).unwrap_or(&b)).into_owned());
    let error =
        said.into_iter().fold(format!("answered {status}"), |e, said| format!("{e}: {}", said.trim()));
    let passing = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    Err(if passing { Failed::ForNow(error) } else { Failed::ForGood(error) })
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// One sink's task.
pub(super) struct Lane {
    pub(super) post: Post,
    pub(super) shared: Arc<Shared>,
    pub(super) firing: Arc<Firing>,
    pub(super) rng: StdRng,
    pub(super) wiring: Wiring,
}

impl Lane {
    /// Sends what is queued, in order, and what fires again and again; ends with the queue.
    pub(super) async fn run(mut self, mut notices: mpsc::Receiver<Alert>) {
        let mut resend = self.post.sink.resend_every().map(|every| {
            let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        loop {
            let tick = async {
                match &mut resend {
                    Some(ticks) => ticks.tick().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                notice = notices.recv() => match notice {
                    Some(alert) => {
                        self.deliver(&alert).await;
                        self.shared.waiting_less();
                    }
                    None => return,
                },
                _ = tick => self.resend().await,
            }
        }
    }

    /// Tries until it is accepted, refused, or tried often enough.
    async fn deliver(&mut self, alert: &Alert) {
        let attempts = self.wiring.retry.attempts.get();
        for attempt in 0..attempts {
            match self.post.attempt(alert, self.wiring.clock.now()).await {
                Ok(()) => return self.accepted(alert),
                Err(Failed::ForGood(error)) => return self.failed(Sent::Refused, error),
                Err(Failed::ForNow(error)) if attempt + 1 == attempts => {
                    return self.failed(Sent::GaveUp, error);
                }
                Err(Failed::ForNow(error)) => self.failed(Sent::Retried, error),
            }
            let jitter = self.rng.random_range(0.0..1.0);
            tokio::time::sleep(self.wiring.retry.wait(attempt, jitter)).await;
        }
    }

    /// One attempt for each alert that fires; the next round is the retry. A receiver that does not
    /// answer ends the round, so that what is queued waits for one attempt and not for all.
    async fn resend(&self) {
        let firing: Vec<Alert> =
            self.firing.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for alert in &firing {
            match self.post.attempt(alert, self.wiring.clock.now()).await {
                Ok(()) => self.accepted(alert),
                Err(Failed::ForGood(error)) => self.failed(Sent::Refused, error),
                Err(Failed::ForNow(error)) => return self.failed(Sent::Retried, error),
            }
        }
    }

    fn accepted(&self, alert: &Alert) {
        let at = self.wiring.clock.now();
        self.shared.accepted(at);
        self.count(Sent::Delivered);
        if alert.state != State::Firing {
            return;
        }
        let report = Delivered { alert: alert.id, sink: self.shared.name().to_owned(), at };
        if self.wiring.delivered.try_send(report).is_err() {
            self.count(Sent::Unreported);
        }
    }

    fn failed(&self, result: Sent, error: String) {
        let sink = self.shared.name();
        if matches!(result, Sent::Retried) {
            tracing::warn!(sink, error, "an alert is not delivered yet; it is tried again");
        } else {
            tracing::warn!(sink, error, ?result, "an alert was not delivered");
        }
        self.shared.failed(error);
        self.count(result);
    }

    fn count(&self, result: Sent) {
        self.wiring.metrics.notification(self.shared.name(), result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits double up to the longest and are shortened by at most a half; no number overflows.
    #[test]
    fn waits_are_bounded() {
        let retry = Retry::default();
        assert_eq!(retry.wait(0, 1.0), Duration::from_millis(250));
        assert_eq!(retry.wait(2, 1.0), Duration::from_secs(1));
        assert_eq!(retry.wait(2, 0.0), Duration::from_millis(500));
        assert_eq!(retry.wait(u32::MAX, 1.0), Duration::from_secs(20));
        let endless = Retry { longest: Duration::MAX, ..retry };
        assert_eq!(endless.wait(u32::MAX, 1.0), Duration::from_millis(250).saturating_mul(u32::MAX));
    }
}
