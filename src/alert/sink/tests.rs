use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use tokio::sync::mpsc;

use super::notifier::QUEUE_MAX;
use super::*;
use crate::alert::{Change, Entry, Event, Severity, State};
use crate::telemetry::{Metrics, Setup};
use crate::units::Clock;

/// Longer than any answer on loopback takes; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn alert(id: u64, state: State) -> Alert {
    let at = Timestamp::from_millis(1_000);
    Alert {
        id,
        model: "wine".to_owned(),
        group: "redis:wine".to_owned(),
        state,
        severity: Severity::Critical,
        detector: "zero_rate".to_owned(),
        kind: "zero".to_owned(),
        features: vec!["ph".to_owned(), "density".to_owned()],
        message: "`redis:wine`: 2 of 2 features became 0".to_owned(),
        since: at,
        pending_at: at,
        fired_at: Some(at),
        resolved_at: (!state.is_open()).then(|| Timestamp::from_millis(9_000)),
        version: None,
        ack: None,
        silence: None,
        accepted: None,
        shares: Vec::new(),
        diagnosis: crate::detect::Diagnosis::default(),
    }
}

pub(super) fn change(alert: Alert) -> Change {
    let event = match alert.state {
        State::Resolved => Event::Resolved,
        State::Accepted => Event::Accepted { who: "ann".to_owned(), note: None },
        State::Superseded => Event::Superseded,
        State::Stale => Event::Stale,
        State::Pending | State::Firing => Event::Firing,
    };
    with(alert, event)
}

pub(super) fn with(alert: Alert, event: Event) -> Change {
    let at = alert.resolved_at.map_or(alert.pending_at, |at| at);
    let (model, group) = (alert.model.clone(), alert.group.clone());
    Change { entry: Entry { at, stream_at: at, model, alert: alert.id, group, event }, alert }
}

/// A notifier's surroundings: quick retries, a clock that stands still, reports to be read.
pub(super) fn wiring(clock: Clock) -> (Wiring, Metrics, mpsc::Receiver<Delivered>) {
    let setup = Setup { drop_reasons: &[], latency_edges: &[1.0], series_max: 100 };
    let metrics = Metrics::new(setup).unwrap();
    let (delivered, reports) = mpsc::channel(16);
    let millis = Duration::from_millis;
    let retry = Retry { first: millis(1), longest: millis(2), attempts: 3.try_into().unwrap() };
    (Wiring { clock, metrics: metrics.clone(), delivered, retry, seed: 1 }, metrics, reports)
}

fn still() -> Clock {
    Clock::manual(Timestamp::from_millis(5_000))
}

pub(super) fn sink(yaml: &str) -> Sink {
    serde_saphyr::from_str(yaml).unwrap()
}

/// How often a sink's notifications ended so.
pub(super) fn counted(metrics: &Metrics, sink: &str, result: &str) -> u64 {
    let text = metrics.encode(Timestamp::from_millis(0)).unwrap();
    let start = format!(r#"silentry_notifications_total{{result="{result}",sink="{sink}"}} "#);
    text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// A receiver that answers as it is told, one status after the other, the last for ever.
struct Receiver {
    url: String,
    requests: mpsc::UnboundedReceiver<(HeaderMap, Value)>,
}

type Answers = (Arc<AtomicUsize>, Vec<StatusCode>, mpsc::UnboundedSender<(HeaderMap, Value)>);

async fn receiver(answers: &[u16]) -> Receiver {
    let (seen, requests) = mpsc::unbounded_channel();
    let answers: Vec<_> = answers.iter().map(|s| StatusCode::from_u16(*s).unwrap()).collect();
    let state: Answers = (Arc::default(), answers, seen);
    let app = Router::new()
        .route("/hook", post(answer))
        .route("/hook/api/v2/alerts", post(answer))
        .with_state(state);
    Receiver { url: format!("http://{}/hook", serve(app).await), requests }
}

async fn answer(
    Extract((n, answers, seen)): Extract<Answers>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, &'static str) {
    seen.send((headers, body)).unwrap();
    let n = n.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
    (answers[n], "what the receiver said")
}

async fn serve(app: Router) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A firing and a resolved alert arrive in order with the documented body and the secret header;
/// delivery is reported for the rising edge alone.
#[tokio::test]
async fn a_webhook_is_delivered() {
    let mut receiver = receiver(&[200]).await;
    let (wiring, metrics, mut reports) = wiring(still());
    let hook = sink(&format!("webhook: {{url: '{}', authorization: {{env: CARGO_PKG_NAME}}}}", receiver.url));
    let notifier = Notifier::start(&[hook], &wiring).unwrap();
    notifier.notify(&change(alert(7, State::Firing)));
    let report = soon(reports.recv()).await.unwrap();
    assert_eq!(report, Delivered { alert: 7, sink: "webhook".into(), at: Timestamp::from_millis(5_000) });
    notifier.notify(&change(alert(7, State::Resolved)));
    let status = notifier.status().remove(0);
    assert_eq!((status.last_error, status.accepted_at), (None, Some(Timestamp::from_millis(5_000))));
    soon(notifier.stop(PATIENCE)).await;
    let (headers, firing) = soon(receiver.requests.recv()).await.unwrap();
    let (_, resolved) = soon(receiver.requests.recv()).await.unwrap();
    assert_eq!(headers["authorization"], "silentry");
    assert_eq!((&resolved["status"], &resolved["alert"]["id"]), (&"resolved".into(), &7.into()));
    assert!(reports.try_recv().is_err());
    assert_eq!(counted(&metrics, "webhook", "delivered"), 2);
    insta::assert_json_snapshot!(firing);
}

/// What fails for now is tried again and arrives; each failure is counted.
#[tokio::test]
async fn a_busy_receiver_is_tried_again() {
    let mut receiver = receiver(&[503, 429, 200]).await;
    let (wiring, metrics, mut reports) = wiring(still());
    let notifier =
        Notifier::start(&[sink(&format!("webhook: {{url: '{}'}}", receiver.url))], &wiring).unwrap();
    notifier.notify(&change(alert(1, State::Firing)));
    assert_eq!(soon(reports.recv()).await.unwrap().alert, 1);
    soon(notifier.stop(PATIENCE)).await;
    assert_eq!([counted(&metrics, "webhook", "retried"), counted(&metrics, "webhook", "delivered")], [2, 1]);
    receiver.requests.close();
    assert_eq!(receiver.requests.len(), 3);
}

/// A receiver that never accepts is given up after the attempts allowed; a refusal is not tried
/// again; both are counted, shown, and no report says that they arrived. Nobody listening is the same.
#[tokio::test]
async fn giving_up_is_counted_and_shown() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (answers, result, attempts, error) in [
        (&[503_u16][..], "gave_up", 3, "answered 503 Service Unavailable: what the receiver said"),
        (&[400], "refused", 1, "answered 400 Bad Request: what the receiver said"),
        (&[302], "refused", 1, "answered 302 Found"),
        (&[], "gave_up", 0, "Connection refused"),
    ] {
        let mut receiver = receiver(if answers.is_empty() { &[200] } else { answers }).await;
        let url = if answers.is_empty() { format!("http://{unused}/hush") } else { receiver.url.clone() };
        let (wiring, metrics, mut reports) = wiring(still());
        let notifier = Notifier::start(&[sink(&format!("webhook: {{url: '{url}'}}"))], &wiring).unwrap();
        let shared = notifier.shared(0);
        notifier.notify(&change(alert(1, State::Firing)));
        soon(notifier.stop(PATIENCE)).await;
        assert_eq!(counted(&metrics, "webhook", result), 1, "{answers:?}");
        assert_eq!(counted(&metrics, "webhook", "delivered"), 0);
        let shown = shared.status().last_error.unwrap();
        assert!(shown.contains(error) && !shown.contains("hush"), "{shown}");
        receiver.requests.close();
        assert_eq!((receiver.requests.len(), reports.try_recv().is_err()), (attempts, true));
    }
}

/// A receiver that never answers holds up neither its caller nor another sink; what finds no room
/// in the queue is counted, and so is what still waits when the process ends.
#[tokio::test]
async fn a_slow_sink_blocks_nobody() {
    let app = Router::new().route("/hook", post(std::future::pending::<StatusCode>));
    let slow = format!("webhook: {{name: slow, url: 'http://{}/hook', timeout: 1h}}", serve(app).await);
    let quick = receiver(&[200]).await;
    let quick = format!("webhook: {{name: quick, url: '{}'}}", quick.url);
    let (wiring, metrics, mut reports) = wiring(still());
    let notifier = Notifier::start(&[sink(&slow), sink(&quick)], &wiring).unwrap();
    let more = 50;
    for id in 1..=u64::try_from(QUEUE_MAX).unwrap() + more {
        notifier.notify(&change(alert(id, State::Firing)));
    }
    // The other sink's queue was as full at that moment, for no task could run in between.
    assert_eq!(counted(&metrics, "slow", "queue_full"), more);
    assert_eq!(notifier.status()[0].waiting, QUEUE_MAX);
    assert!(notifier.status()[0].last_error.as_deref().unwrap().contains("256 notifications is full"));
    assert_eq!(soon(reports.recv()).await.unwrap().sink, "quick");
    soon(notifier.stop(Duration::from_millis(20))).await;
    assert_eq!(counted(&metrics, "slow", "shutdown"), u64::try_from(QUEUE_MAX).unwrap());
    assert_eq!(counted(&metrics, "slow", "delivered"), 0);
}

/// Nobody takes the reports of delivery: that is counted, and the alerts are sent all the same.
#[tokio::test]
async fn unread_reports_are_counted() {
    let receiver = receiver(&[200]).await;
    let (wiring, metrics, reports) = wiring(still());
    let notifier =
        Notifier::start(&[sink(&format!("webhook: {{url: '{}'}}", receiver.url))], &wiring).unwrap();
    for id in 1..=20 {
        notifier.notify(&change(alert(id, State::Firing)));
    }
    soon(notifier.stop(PATIENCE)).await;
    assert_eq!(counted(&metrics, "webhook", "delivered"), 20);
    assert_eq!(counted(&metrics, "webhook", "unreported"), 20 - u64::try_from(reports.len()).unwrap());
}

/// An alert that never fired concerns nobody, nor does a detector's event; after a restart only
/// what fires is told again.
#[tokio::test]
async fn only_edges_are_told() {
    let mut receiver = receiver(&[200]).await;
    let (wiring, _metrics, _reports) = wiring(still());
    let notifier =
        Notifier::start(&[sink(&format!("webhook: {{url: '{}'}}", receiver.url))], &wiring).unwrap();
    let unfired = Alert { fired_at: None, ..alert(1, State::Resolved) };
    notifier.notify(&change(unfired));
    let mut detector = change(alert(2, State::Firing));
    detector.entry.event = Event::Detector { detector: "stuck".into(), features: Vec::new() };
    notifier.notify(&detector);
    notifier.resume(&[alert(3, State::Pending), alert(4, State::Firing)]);
    soon(notifier.stop(PATIENCE)).await;
    receiver.requests.close();
    assert_eq!(soon(receiver.requests.recv()).await.unwrap().1["alert"]["id"], 4);
    assert!(receiver.requests.recv().await.is_none());
}

fn silenced(alert: Alert, since_ms: i64) -> Alert {
    let (since, until) = (Timestamp::from_millis(since_ms), Timestamp::from_millis(60_000));
    let by = crate::alert::Signed { who: "ann".to_owned(), note: None, at: since };
    Alert { silence: Some(crate::alert::Silence { by, since, until }), ..alert }
}

/// What a webhook and a receiver that keeps alerts are told of each step, in order: (status, number).
async fn told(changes: &[Change]) -> [Vec<(String, u64)>; 2] {
    let (hook, keeper) = (receiver(&[200]).await, receiver(&[200]).await);
    let (wiring, ..) = wiring(still());
    let kept = format!("alertmanager: {{url: '{}', resend_every: 1h}}", keeper.url);
    let hooked = format!("webhook: {{url: '{}'}}", hook.url);
    let notifier = Notifier::start(&[sink(&hooked), sink(&kept)], &wiring).unwrap();
    changes.iter().for_each(|change| notifier.notify(change));
    soon(notifier.stop(PATIENCE)).await;
    let mut hook = hook.requests;
    let mut keeper = keeper.requests;
    hook.close();
    keeper.close();
    let mut all = [Vec::new(), Vec::new()];
    while let Some((_, body)) = hook.recv().await {
        let id = body["alert"]["id"].as_u64().unwrap();
        all[0].push((body["status"].as_str().unwrap().to_owned(), id));
    }
    while let Some((_, body)) = keeper.recv().await {
        let names = body.as_array().unwrap().iter().map(|a| a["labels"]["alertname"].as_str().unwrap());
        let names = names.collect::<Vec<_>>().join("+");
        all[1].push((format!("{names} until {}", body[0]["endsAt"].as_str().unwrap()), 0));
    }
    all
}

/// Under a silence a webhook hears nothing, neither of the edge nor of the end; after it, it hears how
/// what it knew of stands. A receiver that keeps alerts is asked to hold what it has.
#[tokio::test]
async fn a_silence_is_silent() {
    let firing = alert(1, State::Firing);
    let quiet = silenced(firing.clone(), 2_000);
    let until = Timestamp::from_millis(60_000);
    let silence = Event::Silenced { who: "ann".to_owned(), note: None, until };
    let ended = Event::SilenceEnded { since: Timestamp::from_millis(2_000) };
    let over = alert(1, State::Resolved);
    let never_told = Alert { fired_at: Some(Timestamp::from_millis(3_000)), ..alert(2, State::Resolved) };
    let [hook, keeper] = told(&[
        change(firing.clone()),
        with(quiet.clone(), silence),
        change(silenced(alert(3, State::Firing), 500)),
        change(silenced(never_told.clone(), 2_000)),
        with(never_told, ended.clone()),
        change(silenced(over.clone(), 2_000)),
        with(over, ended),
    ])
    .await;
    assert_eq!(hook, [("firing".to_owned(), 1), ("resolved".to_owned(), 1)]);
    let keeper: Vec<&str> = keeper.iter().map(|(said, _)| said.as_str()).collect();
    let [first, held, end, again] = &keeper[..] else { panic!("{keeper:?}") };
    assert!(first.ends_with("T04:00:05.000000Z"), "four times an hour from now: {first}");
    assert!(held.ends_with("T04:01:00.000000Z"), "and from the end of the silence: {held}");
    assert!(end.ends_with("T00:00:09.000000Z") && again == end, "{end} {again}");
}

/// An end by a person is an end, and age is told once, in a word of its own.
#[tokio::test]
async fn other_ends_and_age_are_told() {
    let ends = [State::Accepted, State::Superseded, State::Stale].map(|state| change(alert(1, state)));
    let [hook, keeper] = told(&ends).await;
    assert_eq!(hook.iter().map(|(s, _)| s.as_str()).collect::<Vec<_>>(), ["resolved", "resolved", "stale"]);
    assert_eq!(keeper[2].0, "SilentrySilentFailure+SilentryStaleAlert until 1970-01-01T00:00:05.000000Z");
}

/// After a restart, what somebody looks at is not told again, and what is silenced is not told at all.
#[tokio::test]
async fn a_restart_wakes_nobody_twice() {
    let mut hook = receiver(&[200]).await;
    let (wiring, ..) = wiring(still());
    let hooked = format!("webhook: {{url: '{}'}}", hook.url);
    let notifier = Notifier::start(&[sink(&hooked)], &wiring).unwrap();
    let by = crate::alert::Signed { who: "ann".to_owned(), note: None, at: Timestamp::from_millis(0) };
    let looked_at = Alert { ack: Some(by), ..alert(1, State::Firing) };
    let all =
        [looked_at, silenced(alert(2, State::Firing), 0), alert(3, State::Stale), alert(4, State::Firing)];
    notifier.resume(&all);
    soon(notifier.stop(PATIENCE)).await;
    hook.requests.close();
    assert_eq!(soon(hook.requests.recv()).await.unwrap().1["alert"]["id"], 4);
    assert!(hook.requests.recv().await.is_none());
}

/// A sink whose secret is not there does not start: an unauthorised alert would be refused later.
#[tokio::test]
async fn a_missing_secret_stops_the_start() {
    let (wiring, ..) = wiring(still());
    let hook = sink("webhook: {url: 'http://h', authorization: {env: SILENTRY_TEST_UNSET}}");
    let error = Notifier::start(&[hook], &wiring).unwrap_err().to_string();
    assert!(error.contains("SILENTRY_TEST_UNSET"), "{error}");
}
