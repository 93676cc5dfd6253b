use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Url;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::tap::{Counts, Line};
use super::{Config, Error};

/// The most of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a batch beyond which no further record joins it.
const BATCH_BYTES: usize = 1024 * 1024;

/// Posts batches to the service.
#[derive(Debug)]
pub(super) struct Uploader {
    http: reqwest::Client,
    records: Url,
    token: Option<String>,
    batch_records: usize,
    flush_after: Duration,
}

/// The service's answer, where it counts.
#[derive(serde::Deserialize)]
struct Answer {
    accepted: u64,
}

/// What became of a batch.
enum Fate {
    /// The service took this many.
    Taken(u64),
    Refused,
    Failed,
}

impl Uploader {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            records: records_url(&config.url)?,
            token: config.token.clone(),
            batch_records: usize::try_from(config.batch_records).unwrap_or(usize::MAX).max(1),
            flush_after: config.flush_after,
        })
    }

    async fn post(&self, body: Vec<u8>, records: u64) -> Fate {
        let mut request =
            self.http.post(self.records.clone()).header("content-type", "application/x-ndjson").body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        match request.send().await {
            Ok(response) if response.status().is_success() => taken(response, records).await,
            Ok(response) => {
                tracing::debug!(status = %response.status(), records, "tap: batch refused");
                Fate::Refused
            }
            Err(error) => {
                tracing::debug!(%error, records, "tap: batch not sent");
                Fate::Failed
            }
        }
    }
}

fn records_url(text: &str) -> Result<Url, Error> {
    let wrong = |reason: String| Error::Url { url: text.to_owned(), reason };
    let mut url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if url.scheme() != "http" {
        return Err(wrong("not an http address".to_owned()));
    }
    let path = format!("{}/v1/records", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

/// How many of the batch the service says it took; all of them when it does not say.
async fn taken(mut response: reqwest::Response, records: u64) -> Fate {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => body.extend_from_slice(&chunk),
            Ok(None) => break,
            // It said yes: an answer that is too long or breaks off does not take that back.
            Ok(Some(_)) | Err(_) => return Fate::Taken(records),
        }
    }
    match serde_json::from_slice::<Answer>(&body) {
        Ok(answer) => Fate::Taken(answer.accepted.min(records)),
        Err(_) => Fate::Taken(records),
    }
}

/// Posts what is queued until the tap is dropped and the queue is empty.
pub(super) async fn run(
    uploader: Uploader,
    mut lines: mpsc::Receiver<Line>,
    counts: Arc<Counts>,
    progress: watch::Sender<u64>,
) {
    while let Some(first) = lines.recv().await {
        let batch = collect(first, &mut lines, &uploader).await;
        let records = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let mut body = Vec::with_capacity(batch.iter().map(|line| line.json.len()).sum());
        batch.iter().for_each(|line| body.extend_from_slice(&line.json));
        let fate = uploader.post(body, records).await;
        settle(&counts, &fate, records);
        drop(batch);
        progress.send_modify(|done| *done += records);
    }
}

/// The first record and those that come while it may wait.
async fn collect(first: Line, lines: &mut mpsc::Receiver<Line>, uploader: &Uploader) -> Vec<Line> {
    let deadline = Instant::now() + uploader.flush_after;
    let mut bytes = first.json.len();
    let mut batch = vec![first];
    while batch.len() < uploader.batch_records && bytes < BATCH_BYTES {
        let Ok(Some(line)) = timeout_at(deadline, lines.recv()).await else { break };
        bytes += line.json.len();
        batch.push(line);
    }
    batch
}

fn settle(counts: &Counts, fate: &Fate, records: u64) {
    let add = |count: &AtomicU64, n: u64| {
        count.fetch_add(n, Ordering::Release);
    };
    match fate {
        Fate::Taken(taken) => {
            add(&counts.sent, *taken);
            add(&counts.refused, records - taken);
        }
        Fate::Refused => add(&counts.refused, records),
        Fate::Failed => add(&counts.send_failed, records),
    }
}
