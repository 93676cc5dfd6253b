//! The main story, told by the program and repeated in process: a feature store gets slow, zeros are
//! served in silence, and silentry notices; blind, it must not.

use std::collections::BTreeSet;

use serde_json::Value;
use silentry::chaos::{Headline, Outcome as Noticed, Recovery, RunStatus};
use silentry::scene::{Choice, StoreKind};
use silentry::units::Timestamp;
use silentry::verdict::{Verdict, exit_code};

use crate::support::{Redis, path, ran, rehearsed, room, run, silentry, story};

const MAIN: &str = "feature-store-latency";

fn fault(verdict: &Value) -> &Value {
    let faults = verdict["faults"].as_array().expect("faults");
    assert_eq!(faults.len(), 1, "{verdict}");
    &faults[0]
}

fn detections(verdict: &Value) -> &Vec<Value> {
    fault(verdict)["detections"].as_array().expect("detections")
}

/// What a run is called in a few words: the same in every repetition.
fn classification(verdict: &Value) -> Vec<(&'static str, Value)> {
    let mut words: Vec<(&str, Value)> = ["status", "effect", "visibility", "headline", "recovery"]
        .map(|field| (field, verdict[field].clone()))
        .to_vec();
    words.push(("outcome", fault(verdict)["outcome"].clone()));
    let expected: Vec<Value> = detections(verdict)
        .iter()
        .filter(|d| d["expected"] == true)
        .map(|d| serde_json::json!([d["detector"], d["outcome"]]))
        .collect();
    words.push(("expected", expected.into()));
    words.push(("false alarms", verdict["false_alarms"]["count"].clone()));
    words
}

fn told() -> Vec<(&'static str, Value)> {
    let detected = "detected_in_budget";
    vec![
        ("status", "valid".into()),
        ("effect", "effective".into()),
        ("visibility", "silent".into()),
        ("headline", "pass".into()),
        ("recovery", "recovered".into()),
        ("outcome", detected.into()),
        ("expected", serde_json::json!([["zero_group", detected], ["zero_rate", detected]])),
        ("false alarms", 0.into()),
    ]
}

/// `demo --json` ends in 0 with the verdict of the story; the levels that the team had stay green, the
/// store's own breaks and does not count as theirs.
#[tokio::test(flavor = "multi_thread")]
async fn the_story_passes() {
    let story = story().await;
    assert_eq!(story.ran.code, Some(0), "{:?}", story.ran);
    let verdict = story.verdict();
    assert_eq!(classification(&verdict), told());
    assert_eq!(verdict["experiment"], MAIN);
    assert_eq!(verdict["hypothesis"]["held"], true);
    assert!(fault(&verdict)["rows_changed"].as_u64().expect("a number") > 50, "{verdict}");
    let levels: BTreeSet<(&str, bool, bool)> = verdict["slo"]["objectives"]
        .as_array()
        .expect("service levels")
        .iter()
        .map(|o| (o["name"].as_str().unwrap(), o["ordinary"].as_bool().unwrap(), o["met"].as_bool().unwrap()))
        .collect();
    let expected = [("latency", true, true), ("success", true, true), ("store_latency", false, false)];
    assert_eq!(levels, BTreeSet::from(expected));
}

/// In a pipe nothing but the document is written: one JSON value on standard output, nothing on
/// standard error; it keeps the published schema, and is the one that `--out` leaves.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_all_that_is_said() {
    let story = story().await;
    assert_eq!(story.ran.stderr, "", "no progress in a pipe");
    let mut documents = serde_json::Deserializer::from_str(&story.ran.stdout).into_iter::<Value>();
    let verdict = documents.next().expect("a document").expect("JSON");
    assert!(documents.next().is_none(), "something follows: {}", story.ran.stdout);
    let schema: Value = serde_json::from_str(include_str!("../../src/verdict/verdict.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let wrong: Vec<String> =
        validator.iter_errors(&verdict).map(|e| format!("{}: {e}", e.instance_path)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let left = std::fs::read_to_string(story.out.join("verdict.json")).expect("--out leaves the verdict");
    assert_eq!(serde_json::from_str::<Value>(&left).unwrap(), verdict);
}

/// Without the detectors that caught it, named by the run that did, the same fault is missed: in the
/// document, in words, and in the exit code.
#[tokio::test(flavor = "multi_thread")]
async fn without_those_who_caught_it_it_is_missed() {
    let story = story().await;
    let verdict = story.verdict();
    let caught: BTreeSet<&str> = detections(&verdict)
        .iter()
        .filter(|d| d["ttd_ms"].is_number())
        .map(|d| d["detector"].as_str().unwrap())
        .collect();
    assert!(caught.is_superset(&BTreeSet::from(["zero_group", "zero_rate"])), "{caught:?}");
    let out = crate::support::folder("blind");
    let (baseline, folder) = (path(&story.baseline()), path(&out));
    let mut args = vec!["demo", "--short", "--baseline", &baseline, "--out", &folder];
    for detector in &caught {
        args.extend(["--without", detector]);
    }
    let _room = room().await;
    let blind = run(args).await;
    assert_eq!(blind.code, Some(1), "{blind:?}");
    assert!(blind.stdout.contains("We would not have noticed"), "{}", blind.stdout);
    assert!(blind.stdout.contains("missed: zero_group, zero_rate"), "{}", blind.stdout);
    let verdict: Value =
        serde_json::from_slice(&std::fs::read(out.join("verdict.json")).expect("the verdict")).unwrap();
    assert_eq!(verdict["headline"], "fail");
    assert_eq!((&verdict["effect"], &verdict["visibility"]), (&"effective".into(), &"silent".into()));
    assert_eq!(fault(&verdict)["outcome"], "missed");
    for detection in detections(&verdict) {
        assert_eq!(detection["outcome"], "missed", "{detection}");
        assert!(detection["ttd_ms"].is_null(), "{detection}");
    }
}

/// One of those who had to notice switched off is a fail, although the other still fires.
#[tokio::test(flavor = "multi_thread")]
async fn without_one_of_those_expected_it_fails() {
    let outcome = rehearsed(MAIN, Choice::Auto, &["zero_group"]).await;
    let verdict = &outcome.verdict;
    assert_eq!((exit_code(verdict), verdict.headline), (1, Headline::Fail), "{:?}", verdict.hypothesis);
    let by_name = |name: &str| {
        let mut all = verdict.faults[0].detections.iter();
        all.find(|d| d.detector == name).and_then(|d| d.outcome)
    };
    assert_eq!(by_name("zero_group"), Some(Noticed::Missed));
    assert_eq!(by_name("zero_rate"), Some(Noticed::DetectedInBudget));
    assert_eq!(verdict.faults[0].outcome, Some(Noticed::Missed));
}

/// Switching off who has nothing to do with it changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_irrelevant_one_it_passes() {
    let outcome = rehearsed(MAIN, Choice::Auto, &["unseen"]).await;
    assert_eq!(classification(&as_json(&outcome.verdict)), told());
    assert_eq!(exit_code(&outcome.verdict), 0);
}

fn as_json(verdict: &Verdict) -> Value {
    serde_json::to_value(verdict).expect("a verdict is JSON")
}

/// Five tellings, whatever the store: one classification. The embedded store counts its reads like
/// any other.
#[tokio::test(flavor = "multi_thread")]
async fn five_repetitions_agree() {
    let first = classification(&story().await.verdict());
    let again = [Choice::Auto, Choice::Embedded, Choice::Auto, Choice::Embedded]
        .map(|store| tokio::spawn(rehearsed(MAIN, store, &[])));
    for task in again {
        let outcome = task.await.expect("it does not panic");
        assert_eq!(classification(&as_json(&outcome.verdict)), first, "{:?}", outcome.verdict);
        assert_eq!((outcome.verdict.status, exit_code(&outcome.verdict)), (RunStatus::Valid, 0));
        assert_eq!(outcome.verdict.recovery, Some(Recovery::Recovered));
        let reads = outcome.store_reads.expect("the store counts");
        // One request in three of some 1,500, beside the 533 that fill the cache.
        assert!((533 + 300..533 + 800).contains(&reads), "{:?}: {reads} reads", outcome.store);
        assert_ne!(outcome.store, StoreKind::User);
    }
}

/// The times of a run agree with the model service's own log of its first row of zeros.
#[tokio::test(flavor = "multi_thread")]
async fn the_effect_begins_with_the_first_zero() {
    let story = story().await;
    let text = std::fs::read_to_string(story.out.join("service-log.ndjson")).expect("--out leaves the log");
    let log = crate::support::lines(&text);
    let verdict = story.verdict();
    assert_eq!(fault(&verdict)["effective_from"], log.first().expect("zeros were served")["at"]);
    assert_eq!(fault(&verdict)["effective_to"], log.last().expect("zeros were served")["at"]);
    assert_eq!(fault(&verdict)["rows_changed"], log.len());
    assert_eq!(verdict["impact"]["rows_served_wrong"]["value"], log.len());
}

/// A Redis that the user started: the same verdict, its own statistics show the reads, our keys are
/// gone afterwards and theirs are untouched. With the log on, the time to detect can be checked
/// against two clocks of others: the service's log of its first zeros, and the log's line of the alert.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_of_the_users_serves_and_the_times_agree() {
    let Some(redis) = Redis::start().await else { return };
    let _: () = redis.ask(&["SET", "theirs", "kept"]).await;
    let _: () = redis.ask(&["HSET", "theirs:too", "field", "1"]).await;
    let out = crate::support::folder("user-store");
    let (baseline, folder) = (path(&story().await.baseline()), path(&out));
    let args =
        ["demo", "--short", "--json", "--baseline", &baseline, "--out", &folder, "--store", &redis.url];
    let mut command = silentry(args);
    command.env("SILENTRY_LOG", "silentry=info");
    let ran = {
        let _room = room().await;
        ran(command).await
    };
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let verdict: Value = serde_json::from_str(&ran.stdout).expect("one document");
    assert_eq!(classification(&verdict), told());

    let reads = redis.calls("hmget").await;
    let rows = verdict["provenance"]["tap"]["rows_seen"].as_u64().expect("rows");
    assert!(reads > 533 + rows / 5 && reads < 533 + rows / 2, "{reads} reads, {rows} rows");
    assert_eq!(redis.ask::<u64>(&["DBSIZE"]).await, 2, "our keys are gone");
    assert_eq!(redis.ask::<String>(&["GET", "theirs"]).await, "kept");
    assert_eq!(redis.ask::<String>(&["HGET", "theirs:too", "field"]).await, "1");
    redis.stop().await;

    let text = std::fs::read_to_string(out.join("service-log.ndjson")).expect("--out leaves the log");
    let first_zero = Timestamp::parse(crate::support::lines(&text)[0]["at"].as_str().unwrap()).unwrap();
    check_times(&verdict, first_zero, alert_line(&ran.stderr));
}

/// Of the alert's rising edge in the log: the time of the row at which it fired, and when the line was written,
/// which is later by as long as the machine took.
struct AlertLine {
    row: Timestamp,
    written: Timestamp,
}

fn alert_line(log: &str) -> AlertLine {
    let line = log.lines().find(|l| l.contains("firing: `redis:wine`"));
    let line = line.unwrap_or_else(|| panic!("no alert in the log: {log}"));
    let time = |word: Option<&str>| {
        let word = word.unwrap_or_else(|| panic!("no time: {line}"));
        Timestamp::parse(word).unwrap_or_else(|e| panic!("{e}: {line}"))
    };
    AlertLine {
        row: time(line.split_whitespace().find_map(|word| word.strip_prefix("stream_at="))),
        written: time(line.split_whitespace().next()),
    }
}

fn check_times(verdict: &Value, first_zero: Timestamp, line: AlertLine) {
    // The log's clock counts in microseconds, the rows' in milliseconds.
    const ROUNDING_MS: f64 = 1.0;
    let row_ms = line.row.seconds_since(first_zero) * 1e3;
    let written_ms = line.written.seconds_since(first_zero) * 1e3;
    assert!(row_ms <= written_ms + ROUNDING_MS, "written {written_ms} ms, of a row of {row_ms} ms");
    let expected: Vec<&Value> = detections(verdict).iter().filter(|d| d["expected"] == true).collect();
    // The detectors that were there at the alert's rising edge; the other may follow a little later.
    let at_edge = expected.iter().filter(|detection| {
        let ttd = detection["ttd_ms"].as_f64().expect("a time to detect");
        let (low, high) = (
            detection["ttd_interval_ms"][0].as_f64().expect("an interval"),
            detection["ttd_interval_ms"][1].as_f64().expect("an interval"),
        );
        assert!(low <= ttd && ttd <= high && ttd > 0.0, "{detection}");
        assert!(ttd >= row_ms - ROUNDING_MS, "before the row of {row_ms} ms at which it fired: {detection}");
        row_ms >= low - ROUNDING_MS && row_ms <= high + ROUNDING_MS && ttd <= written_ms + ROUNDING_MS
    });
    assert!(at_edge.count() > 0, "of a row {row_ms} ms after the first zero, {written_ms}: {expected:?}");
}
