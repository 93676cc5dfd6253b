use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::{Error, KnownAnswers, Pinned};
use crate::alert::{HttpUrl, SecretFrom};
use crate::detect::{Answered, Outcome, Unanswered};
use crate::oip::{InferResponse, KnownAnswer, Tolerance, compare};
use crate::units::Clock;

/// A longer answer is not read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Asks one model, with a deadline for each answer and no more often than it may.
#[derive(Debug)]
pub struct Asker {
    client: reqwest::Client,
    url: reqwest::Url,
    authorization: Option<HeaderValue>,
    slots: Semaphore,
    /// When the next request may begin, and the time between two.
    next: Mutex<Option<Instant>>,
    gap: Duration,
}

impl Asker {
    /// Asks the live model: one request at a time, at once.
    ///
    /// # Errors
    /// A secret that cannot be read or sent.
    pub fn of_live(known: &KnownAnswers) -> Result<Self, Error> {
        let field = "known_answers.authorization";
        let secret = (field, known.authorization.as_ref());
        Self::new(&known.url, secret, known.timeout, (1, Duration::ZERO))
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
        let (slots, next) = (Semaphore::new(slots), Mutex::new(None));
        Ok(Self { client, url: url.get(), authorization, slots, next, gap })
    }

    /// Sends one inference request and reads the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ask(&self, body: &[u8]) -> Result<InferResponse, Unanswered> {
        let _slot = self.slots.acquire().await.map_err(|_| Unanswered::QueueFull)?;
        self.turn().await;
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.authorization {
            request = request.header(AUTHORIZATION, secret.clone());
        }
        let response = request.body(body.to_vec()).send().await.map_err(|error| reason(&error))?;
        match response.status() {
            status if status.is_success() => {}
            status if status.is_server_error() => return Err(failed(Unanswered::Failed, status)),
            status => return Err(failed(Unanswered::Refused, status)),
        }
        let body = read(response).await?;
        InferResponse::parse(&body).map_err(|error| {
            tracing::debug!(%error, "an answer that was asked for cannot be read");
            Unanswered::Unreadable
        })
    }

    /// Waits until a further request may begin.
    async fn turn(&self) {
        if self.gap.is_zero() {
            return;
        }
        let mut next = self.next.lock().await;
        if let Some(at) = *next {
            sleep_until(at).await;
        }
        *next = Some(Instant::now() + self.gap);
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
            let outcome = self.known_one(known, tolerance).await;
            each(Answered::known(clock.now(), &known.name, outcome));
        }
    }

    /// Asks for one known answer.
    pub async fn known_one(&self, known: &KnownAnswer, tolerance: Tolerance) -> Outcome {
        match serde_json::to_vec(&known.request) {
            Ok(body) => told(known, self.ask(&body).await, tolerance),
            Err(_) => Outcome::Unanswered(Unanswered::Unaskable),
        }
    }
}

/// What an answer to a known request is.
fn told(known: &KnownAnswer, answer: Result<InferResponse, Unanswered>, tolerance: Tolerance) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => return Outcome::Unanswered(why),
    };
    if known.is_of_another(&answer) {
        return Outcome::Unanswered(Unanswered::OtherVersion);
    }
    match compare(&known.expected, &answer, tolerance) {
        Ok(()) => Outcome::Right,
        Err(wrong) => {
            Outcome::Wrong { what: format!("request `{}`: {wrong}", known.name), output: wrong.output }
        }
    }
}

fn failed(why: Unanswered, status: StatusCode) -> Unanswered {
    tracing::debug!(status = status.as_u16(), "a request that was asked for its answer has none");
    why
}

fn reason(error: &reqwest::Error) -> Unanswered {
    if error.is_timeout() { Unanswered::Timeout } else { Unanswered::Unreachable }
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, Unanswered> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(Unanswered::Unreadable);
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
}
