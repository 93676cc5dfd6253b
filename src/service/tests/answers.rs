//! Answers held against known ones, over HTTP on loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;
use tokio::net::TcpListener;

use super::operate::keeping;
use super::*;
use crate::alert::{Event, State};
use crate::detect::{Answered, Check, Outcome, Unanswered};
use crate::oip::InferRequest;
use crate::oracle::{Judged, KnownAnswers, Pinned};
use crate::record::Scalar;

/// How a copy of the model answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Right,
    Wrong,
    Failing,
    Hanging,
    /// Wrong, but for those of age 99, who wait for ever.
    WrongOrHanging,
}

/// What the model makes of its features: a number that looks like the scores of the baseline.
fn score([spend, visits, age]: [f64; 3]) -> f64 {
    (7.0 * spend.floor() + 13.0 * visits + 31.0 * age) % 100.0 / 100.0
}

/// A healthy row, but for what the store gave and what is added to the model's answer.
fn said(i: i64, store: Option<[i64; 2]>, off: f64) -> String {
    let [spend, visits] = store.unwrap_or([10 + mixed(i, 1) % 91, 1 + mixed(i, 2) % 23]);
    let age = 18 + mixed(i, 3) % 60;
    let float = |n: i64| f64::from(i32::try_from(n).unwrap());
    let spend = if store.is_some() { float(spend) } else { float(spend) + 0.5 };
    let score = score([spend, float(visits), float(age)]) + off;
    let ts = i * 1_000 / RATE;
    format!(
        r#"{{"ts":{ts},"model":"a","request_id":"q{i}","features":{{"spend":{spend},"visits":{visits},"age":{age}}},"prediction":{{"score":{score}}}}}"#
    ) + "\n"
}

/// A copy of the model on loopback.
async fn copy() -> (String, Arc<Mutex<Mood>>) {
    let mood = Arc::new(Mutex::new(Mood::Right));
    let shared = Arc::clone(&mood);
    let app = Router::new().route("/infer", post(async move |body: Bytes| answer(&shared, &body).await));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/infer", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, mood)
}

async fn answer(mood: &Mutex<Mood>, body: &[u8]) -> Response {
    let mood = *mood.lock().unwrap();
    match mood {
        Mood::Right | Mood::Wrong | Mood::WrongOrHanging => {}
        Mood::Failing => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::Hanging => std::future::pending().await,
    }
    let number = |cell: &Scalar| if let Scalar::Number(n) = cell { *n } else { panic!("{cell:?}") };
    let rows = InferRequest::parse(body).unwrap().rows(&[]).unwrap();
    let of =
        |row: &BTreeMap<String, Scalar>| score(["spend", "visits", "age"].map(|name| number(&row[name])));
    if mood == Mood::WrongOrHanging && rows.iter().any(|row| row["age"] == Scalar::Number(99.0)) {
        std::future::pending::<()>().await;
    }
    let off = if mood == Mood::Right { 0.0 } else { 0.3 };
    let scores: Vec<f64> = rows.iter().map(|row| of(row) + off).collect();
    axum::Json(json!({"model_name": "a", "model_version": "1", "outputs": [
        {"name": "score", "datatype": "FP64", "shape": [scores.len()], "data": scores}]}))
    .into_response()
}

fn pinned(url: &str) -> Pinned {
    // Every row, as fast as it goes.
    let pinned = json!({"url": url, "share": 1.0, "requests_per_second_max": 100_000, "timeout": "60s"});
    serde_json::from_value(pinned).unwrap()
}

fn known_request(name: &str, age: f64) -> serde_json::Value {
    let tensor =
        |name: &str, value: f64| json!({"name": name, "datatype": "FP64", "shape": [1], "data": [value]});
    json!({
        "name": name, "request": {"inputs": [tensor("spend", 20.0), tensor("visits", 3.0), tensor("age", age)]},
        "expected": {"outputs": [tensor("score", score([20.0, 3.0, age]))]}})
}

fn known(url: &str) -> KnownAnswers {
    let known = json!({"url": url, "timeout": "60s", "requests_per_second_max": 1_000,
        "requests": [known_request("one", 40.0)]});
    let mut known: KnownAnswers = serde_json::from_value(known).unwrap();
    known.check().unwrap();
    // More often than anybody may have it.
    known.every = Duration::from_millis(20);
    known
}

fn model(known_answers: Option<KnownAnswers>, pinned: Option<Pinned>) -> ModelSetup {
    ModelSetup { known_answers, pinned, ..ModelSetup::new(a()) }
}

fn fed(model: ModelSetup) -> Fed {
    Fed::new(Setup::in_memory(vec![model], Clock::manual(Timestamp::from_millis(0))))
}

impl Fed {
    fn check(&self, check: Check) -> CheckView {
        let checks = self.handle.model("a").unwrap().answer_checks;
        checks.into_iter().find(|view| view.report.detector == check.name()).unwrap()
    }

    fn state_of(&self, check: Check) -> StreamState {
        let all = self.handle.model("a").unwrap().detectors;
        all.into_iter().find(|report| report.detector == check.name()).unwrap().state
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                // From before the look, so that no change is missed between the two.
                let noted = self.handle.0.noted.notified();
                if holds(self) {
                    return;
                }
                noted.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
        assert!(waited.is_ok(), "never: {what}; {:?}", self.handle.model("a").unwrap().answer_checks);
    }

    /// Feeds rows, no more at a time than may wait, and waits until each was asked again.
    async fn ask(&mut self, rows: i64, row: impl Fn(i64) -> String) {
        let end = self.next + rows;
        while self.next < end {
            let part = (end - self.next).min(200);
            let before = self.check(Check::PinnedCopy).report.asked;
            self.feed(part, &row).await;
            let all = before + part.cast_unsigned();
            self.until("all asked", |fed| fed.check(Check::PinnedCopy).report.asked == all).await;
        }
    }

    /// The open alerts: group and detector.
    fn alarms(&self) -> Vec<(String, String)> {
        self.handle.alerts().active.into_iter().map(|alert| (alert.group, alert.detector)).collect()
    }

    fn detectors_noted(&self) -> Vec<String> {
        let timeline = self.handle.0.engine().alerts.timeline();
        let noted = timeline.0.into_iter().filter_map(|entry| match entry.event {
            Event::Detector { detector, .. } if entry.group == "output" => Some(detector),
            _ => None,
        });
        noted.collect()
    }

    async fn feed_until_the_ledger_recovers(&mut self) {
        for _ in 0..20 {
            if !self.handle.0.engine().model("a").unwrap().main.monitor.holds("output") {
                return;
            }
            self.feed(1_000, |i| row("a", i, "")).await;
        }
        panic!("it does not recover");
    }

    /// An outcome, as if somebody had been asked.
    fn note(&self, check: Check, outcome: &Outcome, times: usize) {
        let now = self.handle.now();
        let answers = (0..times).map(|_| match check {
            Check::KnownAnswer => Answered::known(now, "one", outcome.clone()),
            Check::PinnedCopy => Answered::row(now, outcome.clone()),
        });
        let answers = answers.collect();
        let changes = self.handle.0.engine().checked("a", check, answers, now);
        self.handle.0.tell(&changes);
    }
}

fn wrong() -> Outcome {
    Outcome::Wrong { output: "score".to_owned(), what: "request `x`: wrong".to_owned() }
}

fn of(group: &str, detector: &str) -> (String, String) {
    (group.to_owned(), detector.to_owned())
}

/// The same model is quiet, row for row; one wrong answer is an alert that says what and where; right ones end
/// it. View and metrics count each of them.
#[tokio::test]
async fn a_wrong_answer_is_an_alert() {
    let (url, _mood) = copy().await;
    let mut fed = fed(model(Some(known(&url)), Some(pinned(&url))));
    fed.metric(r#"silentry_answers_checked_total{detector="pinned_copy",model="a",result="timeout"} 0"#);
    fed.ask(400, |i| said(i, None, 0.0)).await;
    assert_eq!((fed.alarms(), fed.state_of(Check::PinnedCopy)), (vec![], StreamState::Quiet));
    assert!(matches!(fed.check(Check::PinnedCopy).judged, Some(Judged::Right { .. })));
    fed.ask(1, |i| said(i, None, 0.25)).await;
    let active = fed.handle.alerts().active;
    let [alert] = &active[..] else { panic!("{active:?}") };
    assert_eq!(
        (alert.group.as_str(), alert.detector.as_str(), alert.kind.as_str()),
        ("output", "pinned_copy", "wrong_answer")
    );
    assert!(
        alert.message.contains("1 of 1 rows asked again")
            && alert.message.contains("request `q400`: output `score` is "),
        "{}",
        alert.message
    );
    assert_eq!(
        (alert.since, &alert.features[..]),
        (Timestamp::from_millis(4_000), &["score".to_owned()][..])
    );
    fed.ask(30, |i| said(i, None, if i % 3 == 0 { 0.25 } else { 0.0 })).await;
    let again = fed.handle.alerts().active;
    assert!(again[0].id == alert.id && again[0].message.contains("11 of "), "{}", again[0].message);
    fed.metric(r#"silentry_detector_state{detector="pinned_copy",model="a"} 1"#);
    fed.metric(r#"silentry_answers_checked_total{detector="pinned_copy",model="a",result="wrong"} 11"#);
    fed.ask(100, |i| said(i, None, 0.0)).await;
    assert_eq!(fed.alarms(), []);
    let last = fed.check(Check::PinnedCopy).report;
    assert_eq!((last.asked, last.right, last.wrong), (531, 520, 11));
    assert!(last.last_wrong.unwrap().starts_with("request `q4"));
    fed.metric("silentry_answer_last_timestamp_seconds{detector=\"pinned_copy\",model=\"a\"} 5.31");
    fed.service.stop().await.unwrap();
}

/// Zeros from the store are the store's fault: the copy answers zeros as the model does, and only the features
/// alarm. A wrong answer beside them is the model's own, and an alert of its own.
#[tokio::test]
async fn a_fault_of_features_is_not_the_models() {
    let (url, _mood) = copy().await;
    let mut fed = fed(model(None, Some(pinned(&url))));
    fed.ask(400, |i| said(i, None, 0.0)).await;
    fed.ask(200, |i| said(i, Some([0, 0]), 0.0)).await;
    assert_eq!(fed.alarms(), [of("redis:user", "zero_group")]);
    fed.ask(1, |i| said(i, Some([0, 0]), 0.25)).await;
    assert_eq!(fed.alarms(), [of("output", "pinned_copy"), of("redis:user", "zero_group")]);
    assert_eq!(fed.check(Check::PinnedCopy).judged, Some(Judged::Unchecked));
    fed.service.stop().await.unwrap();
}

/// A copy that never answers slows nothing: every row is judged, what does not fit is counted, the detector is
/// undecided and nobody is accused. The service ends while questions are under way.
#[tokio::test]
async fn a_hanging_copy_slows_nothing() {
    let (url, mood) = copy().await;
    *mood.lock().unwrap() = Mood::Hanging;
    let patient = Pinned { timeout: Duration::from_secs(3_600), ..pinned(&url) };
    let mut fed = fed(model(None, Some(patient)));
    fed.feed(3_000, |i| said(i, None, 0.0)).await;
    assert_eq!(fed.handle.model("a").unwrap().rows, 3_000);
    assert!(fed.handle.health().tap.rows_lost.values().all(|n| *n == 0));
    let report = fed.check(Check::PinnedCopy).report;
    // Four are under way, and 256 wait.
    assert_eq!(report.unanswered, BTreeMap::from([("queue_full", 3_000 - 260)]), "{report:?}");
    assert_eq!((report.right, report.wrong, fed.alarms()), (0, 0, vec![]));
    assert_eq!(fed.state_of(Check::PinnedCopy), StreamState::Undecided(Undecided::Unanswered));
    fed.metric(r#"silentry_detector_undecided{detector="pinned_copy",model="a",reason="unanswered"} 1"#);
    let stopped = tokio::time::timeout(Duration::from_secs(4), fed.service.stop()).await;
    stopped.expect("it does not wait for the copy").unwrap();
    let ended = fed.handle.model("a").unwrap().answer_checks[0].report.unanswered.clone();
    assert_eq!(ended, BTreeMap::from([("queue_full", 3_000 - 260), ("shutting_down", 260)]));
}

/// A copy that fails, or breaks, leaves the detector undecided with the reason, and never alarms; when it is well
/// again, so is the detector.
#[tokio::test]
async fn a_broken_copy_accuses_nobody() {
    let (url, mood) = copy().await;
    let mut fed = fed(model(Some(known(&url)), Some(pinned(&url))));
    let undecided = StreamState::Undecided;
    fed.ask(100, |i| said(i, None, 0.0)).await;
    *mood.lock().unwrap() = Mood::Failing;
    fed.ask(10, |i| said(i, None, 0.0)).await;
    assert_eq!(fed.state_of(Check::PinnedCopy), undecided(Undecided::Unanswered));
    *mood.lock().unwrap() = Mood::Wrong;
    fed.until("the copy is found out", |fed| {
        matches!(fed.check(Check::PinnedCopy).judged, Some(Judged::Wrong { .. }))
    })
    .await;
    fed.ask(30, |i| said(i, None, 0.0)).await;
    let report = fed.check(Check::PinnedCopy).report;
    assert_eq!(
        (report.wrong, fed.state_of(Check::PinnedCopy)),
        (0, undecided(Undecided::JudgeWrong)),
        "{report:?}"
    );
    // The live model is the same server here, and is wrong indeed.
    fed.until("known answers alarm", |fed| fed.alarms() == [of("output", "known_answer")]).await;
    *mood.lock().unwrap() = Mood::Right;
    fed.until("the copy is believed", |fed| {
        matches!(fed.check(Check::PinnedCopy).judged, Some(Judged::Right { .. }))
    })
    .await;
    fed.ask(100, |i| said(i, None, 0.0)).await;
    fed.until("the alert ends", |fed| fed.alarms().is_empty()).await;
    assert_eq!(fed.state_of(Check::PinnedCopy), StreamState::Quiet);
    fed.service.stop().await.unwrap();
}

/// A wrong answer is told at once, and not when the others of its round were given up.
#[tokio::test]
async fn a_wrong_answer_waits_for_no_other() {
    let (url, mood) = copy().await;
    *mood.lock().unwrap() = Mood::WrongOrHanging;
    let mut known = known(&url);
    known.timeout = Duration::from_secs(3_600);
    known.requests.push(serde_json::from_value(known_request("two", 99.0)).unwrap());
    let fed = fed(model(Some(known), None));
    fed.until("the first is told", |fed| fed.alarms() == [of("output", "known_answer")]).await;
    assert_eq!(fed.check(Check::KnownAnswer).report.asked, 1);
    fed.service.stop().await.unwrap();
}

/// Nobody at the address: known answers are undecided with the reason, whatever the rows do.
#[tokio::test]
async fn nobody_there_is_not_quiet() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fed = fed(model(Some(known(&format!("http://{gone}/infer"))), None));
    assert_eq!(fed.state_of(Check::KnownAnswer), StreamState::Undecided(Undecided::NoRows));
    fed.until("three rounds", |fed| fed.check(Check::KnownAnswer).report.asked >= 3).await;
    let report = fed.check(Check::KnownAnswer).report;
    assert_eq!(report.unanswered, BTreeMap::from([("unreachable", report.asked)]));
    assert_eq!(fed.state_of(Check::KnownAnswer), StreamState::Undecided(Undecided::Unanswered));
    assert_eq!(fed.alarms(), []);
    fed.service.stop().await.unwrap();
}

/// Known answers that nobody asks in this test: outcomes are noted by hand.
fn by_hand() -> ModelSetup {
    let mut known = known("http://127.0.0.1:9/infer");
    known.every = Duration::from_secs(36_000);
    model(Some(known), None)
}

/// A known answer that is wrong and the ledger's evidence of the same answers are one alert, whoever comes first;
/// it ends when both are over.
#[tokio::test]
async fn one_alert_for_one_group() {
    let healthy = |i: i64| row("a", i, "");
    let small = |i: i64| healthy(i).replace("\"score\":0.", "\"score\":0.00");
    for ledger_first in [true, false] {
        let mut fed = fed(by_hand());
        fed.feed(500, healthy).await;
        if !ledger_first {
            fed.note(Check::KnownAnswer, &wrong(), 1);
        }
        fed.feed(200, small).await;
        if ledger_first {
            fed.note(Check::KnownAnswer, &wrong(), 2);
        }
        let alarms = fed.alarms();
        let [(group, detector)] = &alarms[..] else { panic!("{alarms:?}") };
        assert_eq!((group.as_str(), detector == "known_answer"), ("output", !ledger_first), "{alarms:?}");
        let message = fed.handle.alerts().active[0].message.clone();
        if ledger_first {
            let (first, beside) = message.split_once("; beside that, ").unwrap();
            assert!(
                first.contains("`score`") && beside.contains("2 of 2 answers") && !first.contains("answers"),
                "{message}"
            );
        } else {
            assert!(message.contains("1 of 1 answers") && !message.contains("beside"), "{message}");
        }
        let noted = fed.detectors_noted();
        assert!(noted.len() > 1 && noted.contains(&"known_answer".to_owned()), "{noted:?}");
        if ledger_first {
            fed.feed_until_the_ledger_recovers().await;
            assert_eq!(fed.alarms(), alarms, "the known answer is wrong still");
            fed.note(Check::KnownAnswer, &Outcome::Right, 3);
        } else {
            fed.note(Check::KnownAnswer, &Outcome::Right, 3);
            assert_eq!(fed.alarms(), alarms, "the ledger's evidence stands");
            fed.feed_until_the_ledger_recovers().await;
        }
        assert_eq!(fed.alarms(), []);
        assert_eq!(fed.handle.alerts().resolved.len(), 1);
        fed.service.stop().await.unwrap();
    }
}

/// An alert survives a restart under its number and ends by right answers; without the check in the configuration
/// nobody could end it, so it is closed.
#[tokio::test]
async fn restart() {
    for is_kept in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let fed = Fed::new(keeping(&dir, vec![by_hand()]));
        fed.note(Check::KnownAnswer, &wrong(), 1);
        let id = fed.handle.alerts().active[0].id;
        fed.service.stop().await.unwrap();
        let next = if is_kept { by_hand() } else { model(None, None) };
        let fed = Fed::new(keeping(&dir, vec![next]));
        if !is_kept {
            assert_eq!(fed.alarms(), []);
            assert_eq!(fed.handle.alerts().resolved[0].state, State::Superseded);
            continue;
        }
        assert_eq!(fed.handle.alerts().active[0].id, id);
        assert_eq!(fed.state_of(Check::KnownAnswer), StreamState::Drifted);
        fed.note(Check::KnownAnswer, &Outcome::Unanswered(Unanswered::Timeout), 10);
        fed.note(Check::KnownAnswer, &Outcome::Right, 2);
        assert_eq!(fed.alarms().len(), 1);
        fed.note(Check::KnownAnswer, &Outcome::Right, 1);
        assert_eq!(fed.alarms(), []);
        fed.service.stop().await.unwrap();
    }
}

/// An accepted change is not told again until there is another baseline; a check that is switched off asks
/// nobody and says nothing.
#[tokio::test]
async fn accepted_or_switched_off() {
    let fed = fed(by_hand());
    fed.note(Check::KnownAnswer, &wrong(), 1);
    let signature = alert::Signature::new("ann", None).unwrap();
    fed.handle.accept("a", fed.handle.alerts().active[0].id, signature).unwrap();
    fed.note(Check::KnownAnswer, &wrong(), 5);
    assert_eq!(
        (fed.alarms(), fed.state_of(Check::KnownAnswer)),
        (vec![], StreamState::Undecided(Undecided::Accepted))
    );
    fed.handle.put_baseline("a", &learned("a", 5_000).to_bytes().unwrap()).unwrap();
    fed.note(Check::KnownAnswer, &wrong(), 1);
    assert_eq!(fed.alarms(), [of("output", "known_answer")]);
    fed.service.stop().await.unwrap();
    let off = ModelSetup { without: vec!["known_answer".to_owned()], ..by_hand() };
    let fed = Fed::new(Setup::in_memory(vec![off], Clock::manual(Timestamp::from_millis(0))));
    fed.note(Check::KnownAnswer, &wrong(), 1);
    assert_eq!((fed.alarms(), fed.handle.model("a").unwrap().answer_checks), (vec![], vec![]));
    fed.service.stop().await.unwrap();
}

/// What was found by other settings is left behind: an acceptance does not outlive the answer that it was about, and
/// an alarm that nobody can end is closed.
#[tokio::test]
async fn other_settings() {
    for is_accepted in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let fed = Fed::new(keeping(&dir, vec![by_hand()]));
        fed.note(Check::KnownAnswer, &wrong(), 1);
        if is_accepted {
            let signature = alert::Signature::new("ann", None).unwrap();
            fed.handle.accept("a", fed.handle.alerts().active[0].id, signature).unwrap();
        }
        fed.service.stop().await.unwrap();
        let mut corrected = by_hand();
        corrected.known_answers.as_mut().unwrap().requests[0] =
            serde_json::from_value(known_request("one", 41.0)).unwrap();
        let fed = Fed::new(keeping(&dir, vec![corrected]));
        assert_eq!(fed.alarms(), []);
        fed.note(Check::KnownAnswer, &wrong(), 1);
        assert_eq!(fed.alarms(), [of("output", "known_answer")], "accepted: {is_accepted}");
        fed.service.stop().await.unwrap();
    }
}

/// What judges answers and labels is part of what judges a run, and what they know is known.
#[tokio::test]
async fn settings_are_hashed_and_reports_counted() {
    let hash = |setup: ModelSetup| {
        let watched = crate::service::model::Watched::new(setup).unwrap();
        watched.hashes().0.join(" ")
    };
    let one = hash(by_hand());
    assert_eq!(one, hash(by_hand()));
    let mut lax = by_hand();
    lax.known_answers.as_mut().unwrap().tolerance.absolute = 0.5;
    let mut labels = by_hand();
    labels.labels.tolerance = crate::units::Ratio::one_in(2);
    let with_copy = model(by_hand().known_answers, Some(pinned("http://127.0.0.1:9/infer")));
    for other in [lax, labels, with_copy, model(None, None)] {
        assert_ne!(one, hash(other));
    }
    let fed = fed(by_hand());
    fed.until("the first round", |fed| fed.check(Check::KnownAnswer).report.asked > 0).await;
    let decided = || fed.handle.0.engine().model("a").unwrap().decided(fed.handle.now());
    let before = decided();
    fed.note(Check::KnownAnswer, &Outcome::Right, 1);
    assert_eq!(decided(), before + 1);
    fed.service.stop().await.unwrap();
}

/// Through queue, bounds and confirmation: with one request in five asked again, a fault in a fifth of the rows is found
/// within as many rows as leave chance one in 10^9 (0.96^508), and no row before the fault is wrong.
#[tokio::test]
async fn a_fault_is_found_by_a_share_of_rows() {
    let (url, _mood) = copy().await;
    let sampled = Pinned { share: crate::units::Ratio::one_in(5), ..pinned(&url) };
    let mut fed = fed(model(Some(known(&url)), Some(sampled)));
    fed.feed(500, |i| said(i, None, 0.0)).await;
    let wrong = |fed: &Fed| fed.check(Check::PinnedCopy).report.wrong;
    assert_eq!((wrong(&fed), fed.alarms()), (0, vec![]));
    fed.feed(508, |i| said(i, None, if i % 5 == 0 { 0.25 } else { 0.0 })).await;
    fed.until("the fault is found", |fed| wrong(fed) > 0).await;
    // Scores beyond 1 have an alert of the same group: whoever comes first opens it.
    let (alarms, noted) = (fed.alarms(), fed.detectors_noted());
    let is_told = alarms == [of("output", "pinned_copy")] || noted.contains(&"pinned_copy".to_owned());
    assert!(is_told, "{alarms:?} {noted:?}");
    fed.service.stop().await.unwrap();
}

/// Rows of a version with a baseline of its own are not held against the copy of the model's, and accuse nobody.
#[tokio::test]
async fn the_copy_is_of_one_version() {
    let (url, _mood) = copy().await;
    let versions = vec![learned_of("a", "2", 5_000)];
    let mut fed = fed(ModelSetup { versions, ..model(None, Some(pinned(&url))) });
    let rollout = |i: i64| {
        if i % 2 == 0 {
            said(i, None, 0.25).replace(r#""model":"a""#, r#""model":"a","version":"2""#)
        } else {
            said(i, None, 0.0)
        }
    };
    fed.ask(100, rollout).await;
    let report = fed.check(Check::PinnedCopy).report;
    assert_eq!((report.right, report.wrong), (50, 0));
    assert!(fed.alarms().iter().all(|(_, detector)| detector != "pinned_copy"), "{:?}", fed.alarms());
    assert_eq!(report.unanswered, BTreeMap::from([("other_version", 50)]));
    assert_eq!(fed.state_of(Check::PinnedCopy), StreamState::Undecided(Undecided::OtherVersion));
    fed.service.stop().await.unwrap();
}

/// Rows of silentry's own requests come in like any, and are nobody's traffic: no row, no loss, and counted.
#[tokio::test]
async fn own_requests_are_no_traffic() {
    let mut fed = fed(by_hand());
    fed.feed(100, |i| said(i, None, 0.0)).await;
    let own = |i: i64| {
        said(i, None, 0.0)
            .replace("\"q", &format!("\"silentry-{}-q", ["known", "pinned"][usize::from(i % 2 == 0)]))
    };
    let ingested = fed.handle.ingest(&body((100..150).map(own)));
    assert_eq!((ingested.own, ingested.accepted, ingested.dropped, ingested.rejected), (50, 0, 0, 0));
    fed.feed(100, |i| said(i, None, 0.0)).await;
    let view = fed.handle.model("a").unwrap();
    assert_eq!((view.rows, view.recent.unwrap().lost), (200, 0));
    assert_eq!(fed.handle.health().tap.rows_lost.get("own_request"), Some(&50));
    fed.service.stop().await.unwrap();
}

/// Lost rows leave nothing quiet that rows are judged by; known answers come from no row.
#[tokio::test]
async fn lost_rows_and_known_answers() {
    let nobody = "http://127.0.0.1:9/infer";
    let both = ModelSetup { pinned: Some(pinned(nobody)), ..by_hand() };
    let fed = fed(both);
    fed.until("the first round", |fed| fed.check(Check::KnownAnswer).report.asked > 0).await;
    fed.note(Check::KnownAnswer, &Outcome::Right, 1);
    fed.note(Check::PinnedCopy, &Outcome::Right, 45);
    let states = |fed: &Fed| Check::ALL.map(|check| fed.state_of(check));
    assert_eq!(states(&fed), [StreamState::Quiet; 2]);
    fed.handle.lost_body(Reason::TooLarge);
    assert_eq!(states(&fed), [StreamState::Quiet, StreamState::Undecided(Undecided::RowsLost)]);
    fed.service.stop().await.unwrap();
}
