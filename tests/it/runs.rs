//! `/v1/runs` as another chaos tool uses it: it says what it does, and asks whether anybody noticed.

use reqwest::StatusCode;
use serde_json::{Value, json};
use silentry::units::Timestamp;

use crate::serving::{GROUP, MODEL, Serving, baseline, config, row, zeroed};
use crate::support::{experiment, folder};

/// The story's experiment about a model of somebody's, its fault on that model's upstream.
fn planned() -> String {
    let text = std::fs::read_to_string(experiment("feature-store-latency")).expect("it is there");
    let text = text.replacen("  scene:\n    on_store_failure: zeros", &format!("  model: {MODEL}"), 1);
    let text = text.replace("group: redis:wine", &format!("group: {GROUP}"));
    assert!(text.contains(MODEL) && text.contains(GROUP), "{text}");
    // Only the model's own records are there: nobody measures the store.
    let (before, after) = text.split_once("  - name: store_latency").expect("the store's own level");
    let (_, expect) = after.split_once("\nexpect:").expect("what it expects");
    format!("{before}expect:{expect}")
}

/// Rows at a hundred a second that end now, as the service would have sent them meanwhile.
fn traffic(from: u64, rows: u64, is_faulty: bool) -> Vec<Value> {
    let now = jiff::Timestamp::now().as_millisecond();
    let at = |n: u64| now - 10 * i64::try_from(rows - 1 - n).expect("small");
    let one = |n: u64| {
        let zeros = is_faulty && n.is_multiple_of(3);
        let mut row = if zeros { zeroed(row(4, from + n)) } else { row(4, from + n) };
        let status = if zeros { "default" } else { "present" };
        row["feature_status"] = json!({"balance": status, "debt": status, "income": status});
        row["ts"] = json!(at(n));
        row
    };
    (0..rows).map(one).collect()
}

async fn told(serving: &Serving, run: &str, act: Value) {
    let (status, view) = serving.post(&format!("/v1/runs/{run}/events"), act.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{act}: {view}");
}

/// Started, told of each step, refused a verdict before its end, judged after it; the gate says in a
/// status code what the verdict says in a document.
#[tokio::test(flavor = "multi_thread")]
async fn another_tool_drives_a_run() {
    let dir = folder("runs");
    let serving = Serving::start(&config(&dir, &baseline(&dir, 1).await, ""), &[]).await;
    let (status, view) = serving.post("/v1/runs", planned()).await;
    assert_eq!(status, StatusCode::CREATED, "{view}");
    let run = view["run"].as_str().expect("an id").to_owned();
    let (verdict, gate) = (format!("/v1/runs/{run}/verdict"), format!("/v1/gate/runs/{run}"));
    for route in [&verdict, &gate] {
        let (status, said) = serving.get(route).await;
        assert_eq!((status, &said["code"]), (StatusCode::CONFLICT, &json!("run_goes_on")), "{said}");
    }
    let fault = |act: &str| json!({"act": act, "fault": "store-slow"});

    told(&serving, &run, json!({"act": "steady_started", "at": ago(6_000)})).await;
    serving.send(shifted(traffic(0, 400, false), 2_000)).await;
    serving.judged(400).await;
    told(&serving, &run, json!({"act": "fault_active", "fault": "store-slow", "at": ago(1_990)})).await;
    let (status, said) = serving
        .post(&format!("/v1/runs/{run}/events"), json!({"act": "fault_active", "fault": "other"}).to_string())
        .await;
    assert_eq!((status, &said["code"]), (StatusCode::BAD_REQUEST, &json!("unknown_fault")), "{said}");
    serving.send(traffic(400, 190, true)).await;
    serving.judged(590).await;
    told(&serving, &run, fault("fault_restored")).await;
    told(&serving, &run, fault("fault_verified")).await;
    serving.send(shifted(traffic(590, 2_000, false), -20_010)).await;
    serving.judged(2_590).await;
    told(&serving, &run, json!({"act": "run_ended"})).await;

    let (status, document) = serving.get(&verdict).await;
    assert_eq!(status, StatusCode::OK, "{document}");
    assert_eq!(document["schema"], "silentry/verdict/v1");
    assert_eq!((&document["run"], &document["experiment"]), (&json!(run), &json!("feature-store-latency")));
    assert_eq!(
        (&document["effect"], &document["visibility"]),
        (&json!("effective"), &json!("silent")),
        "{document}"
    );
    assert_eq!(document["faults"][0]["rows_changed"], 64, "{document}");
    assert_eq!(document["faults"][0]["outcome"], "detected_in_budget", "{document}");
    let (status, gated) = serving.get(&gate).await;
    let expected = if document["headline"] == "pass" { StatusCode::OK } else { StatusCode::CONFLICT };
    assert_eq!((status, &gated["headline"]), (expected, &document["headline"]));
    assert_eq!((&document["status"], &document["headline"]), (&json!("valid"), &json!("pass")), "{document}");
    let (_, runs) = serving.get("/v1/runs").await;
    assert_eq!((&runs[0]["run"], &runs[0]["ended"]), (&json!(run), &json!(true)));
    serving.stop().await;
}

/// A run whose fault nobody could notice does not pass the gate.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_effect_does_not_pass() {
    let dir = folder("runs-without-effect");
    let serving = Serving::start(&config(&dir, &baseline(&dir, 1).await, ""), &[]).await;
    let (_, view) = serving.post("/v1/runs", planned()).await;
    let run = view["run"].as_str().expect("an id").to_owned();
    told(&serving, &run, json!({"act": "steady_started"})).await;
    serving.send(traffic(0, 200, false)).await;
    serving.judged(200).await;
    for act in ["fault_active", "fault_restored", "fault_verified"] {
        told(&serving, &run, json!({"act": act, "fault": "store-slow"})).await;
    }
    told(&serving, &run, json!({"act": "run_ended"})).await;
    let (status, verdict) = serving.get(&format!("/v1/gate/runs/{run}")).await;
    assert_eq!(status, StatusCode::CONFLICT, "{verdict}");
    assert_ne!(verdict["headline"], "pass");
    serving.stop().await;
}

fn ago(millis: i64) -> String {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond() - millis).to_string()
}

/// The same rows, so much earlier.
fn shifted(rows: Vec<Value>, earlier_ms: i64) -> Vec<Value> {
    let shift = |mut row: Value| {
        row["ts"] = json!(row["ts"].as_i64().expect("a time") - earlier_ms);
        row
    };
    rows.into_iter().map(shift).collect()
}
