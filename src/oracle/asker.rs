use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::{Error, KnownAnswers, Pinned};
use crate::alert::{HttpUrl, SecretFrom};
use crate::detect::{Answered, Outcome, Unanswered};
use crate::oip::{InferRequest, InferResponse, KNOWN_ID, KnownAnswer, Tolerance, compare};
use crate::units::Clock;

/// After a request that failed the next waits for so long, and for twice as long each time, up to
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// so long, and never longer than the schedule's own step.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A longer answer is not read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub struct NoAnswer {
    /// The reason that is counted.
    pub why: Unanswered,
    /// What is known beside it, such as an HTTP status.
    pub detail: Option<String>,
    /// Whether whoever was asked is better spared.
    is_strained: bool,
}

impl NoAnswer {
    fn new(why: Unanswered, detail: impl ToString) -> Self {
        let is_strained = matches!(why, Unanswered::Timeout | Unanswered::Unreachable | Unanswered::Failed);
        Self { why, detail: Some(detail.to_string()), is_strained }
    }

    const fn plain(why: Unanswered) -> Self {
        Self { why, detail: None, is_strained: false }
    }
}

/// Asks one model, with a deadline for each answer and no more often than it may.
#[derive(Debug)]
pub struct Asker {
    client: reqwest::Client,
    url: reqwest::Url,
    authorization: Option<HeaderValue>,
    slots: Semaphore,
    pace: Mutex<Pace>,
    /// The least time between the beginnings of two requests.
    gap: Duration,
    /// The longest wait after requests that failed; zero where such are as any other.
    wait_max: Duration,
}

#[derive(Debug, Default)]
struct Pace {
    /// When the next request may begin.
    next: Option<Instant>,
    /// How long the next one waited because of those that failed before it.
    wait: Duration,
}

impl Asker {
    /// Asks the live model: one request at a time, so many a second, and fewer while it fails.
    ///
    /// # Errors
    /// A secret that cannot be read or sent.
    pub fn of_live(known: &KnownAnswers) -> Result<Self, Error> {
        let field = "known_answers.authorization";
        let secret = (field, known.authorization.as_ref());
        let gap = Duration::from_secs(1) / known.requests_per_second_max.get();
        let asker = Self::new(&known.url, secret, known.timeout, (1, gap))?;
        Ok(Self { wait_max: known.every.min(WAIT_MAX), ..asker })
    }

    /// Asks the pinned copy, within the bounds that it is given.
    ///
    /// # Errors
    /// A secret that cannot be read or sent.
    pub fn of_copy(pinned: &Pinned) -> Result<Self, Error> {
        let gap = Duration::from_secs(1) / pinned.requests_per_second_max.get();
        let secret = ("pinned.authorization", pinned.authorization.as_ref());
        let slots = pinned.in_flight_max.get().min(Semaphore::MAX_PERMITS);
        Self::new(&pinned.url, secret, pinned.timeout, (slots, gap))
    }

    fn new(
        url: &HttpUrl,
        (field, secret): (&'static str, Option<&SecretFrom>),
        timeout: Duration,
        (slots, gap): (usize, Duration),
    ) -> Result<Self, Error> {
        // No redirects, for they would carry the secret elsewhere; no proxy from the environment: who is asked
        // is who is named.
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("silentry/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::Client)?;
        let authorization = match secret {
            None => None,
            Some(from) => {
                let secret = from.read().map_err(|source| Error::Secret { field, source })?;
                let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| Error::Header(field))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let (slots, pace) = (Semaphore::new(slots), Mutex::new(Pace::default()));
        Ok(Self { client, url: url.get(), authorization, slots, pace, gap, wait_max: Duration::ZERO })
    }

    /// Sends one inference request and reads the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ask(&self, body: &[u8]) -> Result<InferResponse, NoAnswer> {
        let slot = self.slots.acquire().await;
        let _slot = slot.map_err(|_| NoAnswer::plain(Unanswered::QueueFull))?;
        self.turn().await;
        let answer = self.send(body).await;
        self.spare(answer.as_ref().is_err_and(|none| none.is_strained)).await;
        InferResponse::parse(&answer?).map_err(|error| NoAnswer::new(Unanswered::Unreadable, error))
    }

    /// The body of an answer.
    async fn send(&self, body: &[u8]) -> Result<Vec<u8>, NoAnswer> {
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.authorization {
            request = request.header(AUTHORIZATION, secret.clone());
        }
        let response = request.body(body.to_vec()).send().await.map_err(none)?;
        match response.status() {
            status if status.is_success() => read(response).await,
            status if status.is_server_error() => Err(NoAnswer::new(Unanswered::Failed, status)),
            status => {
                let is_strained = status == StatusCode::TOO_MANY_REQUESTS;
                Err(NoAnswer { is_strained, ..NoAnswer::new(Unanswered::Refused, status) })
            }
        }
    }

    /// Waits until a further request may begin.
    async fn turn(&self) {
        let mut pace = self.pace.lock().await;
        if let Some(at) = pace.next {
            sleep_until(at).await;
        }
        pace.next = Some(Instant::now() + self.gap);
    }

    /// Lets the next request wait after one that failed, for twice as long each time.
    async fn spare(&self, is_strained: bool) {
        if self.wait_max.is_zero() {
            return;
        }
        let mut pace = self.pace.lock().await;
        pace.wait = match is_strained {
            true => pace.wait.saturating_mul(2).max(WAIT_FIRST).min(self.wait_max),
            false => Duration::ZERO,
        };
        let at = Instant::now() + pace.wait;
        pace.next = pace.next.max(Some(at));
    }

    /// Asks for known answers, one after another, and hands over what became of each as soon as that is known: a
    /// fault waits for no other answer.
    pub async fn known(
        &self,
        requests: &[KnownAnswer],
        tolerance: Tolerance,
        clock: &Clock,
        mut each: impl FnMut(Answered),
    ) {
        for known in requests {
            let (outcome, detail) = self.known_one(known, tolerance).await;
            each(Answered { detail, ..Answered::known(clock.now(), &known.name, outcome) });
        }
    }

    /// Asks for one known answer; with what is known of one that is missing, beside the reason.
    pub async fn known_one(&self, known: &KnownAnswer, tolerance: Tolerance) -> (Outcome, Option<String>) {
        let none = |why| Outcome::Unanswered(why);
        let request = InferRequest { id: Some(format!("{KNOWN_ID}{}", known.name)), ..known.request.clone() };
        let Ok(body) = serde_json::to_vec(&request) else { return (none(Unanswered::Unaskable), None) };
        match self.ask(&body).await {
            Err(NoAnswer { why, detail, .. }) => (none(why), detail),
            Ok(answer) if known.is_of_another(&answer) => {
                (none(Unanswered::OtherVersion), answer.model_version)
            }
            Ok(answer) => (told(known, &answer, tolerance), None),
        }
    }
}

/// What an answer to a known request is.
fn told(known: &KnownAnswer, answer: &InferResponse, tolerance: Tolerance) -> Outcome {
    match compare(&known.expected, answer, tolerance) {
        Ok(()) => Outcome::Right,
        Err(wrong) => {
            Outcome::Wrong { what: format!("request `{}`: {wrong}", known.name), output: wrong.output }
        }
    }
}

/// Why the line gave no answer, in the words of its innermost cause: without the address, which may be secret.
fn none(error: reqwest::Error) -> NoAnswer {
    let why = if error.is_timeout() { Unanswered::Timeout } else { Unanswered::Unreachable };
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    NoAnswer::new(why, cause)
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, NoAnswer> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(none)? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            let why = format!("more than {ANSWER_BYTES_MAX} bytes");
            return Err(NoAnswer::new(Unanswered::Unreadable, why));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many wait, no more begin in a second than may.
    #[tokio::test(start_paused = true)]
    async fn the_load_is_bounded() {
        let pinned: Pinned = serde_json::from_value(
            serde_json::json!({"url": "http://127.0.0.1:9", "requests_per_second_max": 20}),
        )
        .unwrap();
        let (asker, began) = (Asker::of_copy(&pinned).unwrap(), Instant::now());
        futures::future::join_all((0..101).map(|_| asker.turn())).await;
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(6), "{took:?}");
    }

    /// The live model is spared while it fails: each wait is twice the one before, up to the schedule's step, and the
    /// first answer ends it.
    #[tokio::test(start_paused = true)]
    async fn a_model_that_fails_is_spared() {
        let known: KnownAnswers = serde_json::from_value(
            serde_json::json!({"url": "http://127.0.0.1:9", "every": "10s", "requests_per_second_max": 5}),
        )
        .unwrap();
        let asker = Asker::of_live(&known).unwrap();
        let mut waits = Vec::new();
        asker.turn().await;
        for is_strained in [false, true, true, true, true, true, true, false, true] {
            asker.spare(is_strained).await;
            let began = Instant::now();
            asker.turn().await;
            waits.push(began.elapsed().as_millis());
        }
        assert_eq!(waits, [200, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 200, 1_000]);
    }
}
