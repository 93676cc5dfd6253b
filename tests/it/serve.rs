//! `silentry serve` over real sockets: traffic in, alerts out, refusals, and what a restart keeps.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::serving::{FEATURES, GROUP, MODEL, Serving, answer, baseline, config, ndjson, row, zeroed};
use crate::support::{experiment, folder, has, until, within};

/// Rows of healthy traffic before a fault.
pub(crate) const HEALTHY: u64 = 500;

pub(crate) fn healthy(from: u64, to: u64) -> Vec<Value> {
    (from..to).map(|n| row(2, n)).collect()
}

pub(crate) fn zeros(from: u64, to: u64) -> Vec<Value> {
    healthy(from, to).into_iter().map(zeroed).collect()
}

/// Rows that no other can belong to: each is judged at once, not when the next request begins.
fn alone(mut rows: Vec<Value>) -> Vec<Value> {
    for row in &mut rows {
        row.as_object_mut().expect("a record is an object").remove("request_id");
    }
    rows
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

/// A receiver of webhooks: its address and what it gets.
pub(crate) async fn receiver() -> (String, mpsc::UnboundedReceiver<Value>) {
    let (seen, bodies) = mpsc::unbounded_channel();
    let take = |State(seen): State<mpsc::UnboundedSender<Value>>, Json(body): Json<Value>| async move {
        seen.send(body).expect("the test reads");
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    let app = Router::new().route("/hook", post(take)).with_state(seen);
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, bodies)
}

/// Zeros that a sender serves are found, told and shown; when they are over, so is the alert.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_shown_told_and_resolved() {
    let dir = folder("serve-fault");
    let (hook, mut bodies) = receiver().await;
    let sinks = format!("alerts: {{sinks: [webhook: {{url: '{hook}'}}]}}\n");
    let serving = Serving::start(&config(&dir, &baseline(&dir, 1).await, &sinks), &[]).await;
    serving.send(healthy(0, HEALTHY)).await;
    serving.judged(HEALTHY).await;
    assert_eq!(serving.active().await, Vec::<Value>::new());

    let faulty = HEALTHY + 60;
    let one_in_three = |n| if n % 3 == 0 { zeroed(row(2, n)) } else { row(2, n) };
    serving.send((HEALTHY..faulty).map(one_in_three).collect()).await;
    serving.judged(faulty).await;
    let alerts = serving.active().await;
    assert_eq!(alerts.len(), 1, "one alarm for one fault: {alerts:?}");
    let alert = &alerts[0];
    assert_eq!((&alert["state"], &alert["group"]), (&json!("firing"), &json!(GROUP)));
    assert_eq!((&alert["model"], &alert["detector"]), (&json!(MODEL), &json!("zero_group")));
    let message = alert["message"].as_str().expect("words");
    assert!(message.contains("3 of 3 features became 0"), "{message}");
    let since = row(2, HEALTHY + 1)["ts"].as_i64().expect("a time");
    let began = silentry::units::Timestamp::parse(alert["since"].as_str().expect("a time")).unwrap();
    assert!((began.as_micros() / 1_000 - since).abs() <= 30, "since {began}, row at {since}");
    let told = within("the webhook", bodies.recv()).await.expect("a body");
    assert_eq!((&told["status"], &told["alert"]["id"]), (&json!("firing"), &alert["id"]));
    let firing = format!("silentry_alert_state{{group=\"{GROUP}\",model=\"{MODEL}\"}}");
    assert_eq!(serving.metric(&firing).await, Some(2.0));

    serving.send(healthy(faulty, faulty + 2_000)).await;
    serving.judged(faulty + 2_000).await;
    assert_eq!(serving.active().await, Vec::<Value>::new(), "it is over");
    let told = within("the webhook", bodies.recv()).await.expect("a body");
    assert_eq!((&told["status"], &told["alert"]["id"]), (&json!("resolved"), &alert["id"]));
    assert_eq!(serving.metric(&firing).await, Some(0.0));
    serving.stop().await;
}

/// A malformed line is counted by its reason, named by its number, and never stops its neighbours,
/// plain or compressed.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_neighbours() {
    let dir = folder("serve-malformed");
    let more = "tap: {line_bytes_max: 2000, body_bytes_max: 100000}\n";
    let serving = Serving::start(&config(&dir, &baseline(&dir, 1).await, more), &[]).await;
    let wide = json!({"ts": 1, "model": MODEL, "features": {"balance": "x".repeat(3_000)}});
    let mut other = row(2, 2);
    other["model"] = json!("of-nobody");
    let lines = [
        row(2, 0).to_string(),
        "{\"ts\": 1, \"model\"".to_owned(),
        "\u{7}\u{0}garbage".to_owned(),
        json!({"ts": "yesterday", "model": MODEL}).to_string(),
        json!({"ts": 1, "model": MODEL, "feature": {}}).to_string(),
        "[]".to_owned(),
        wide.to_string(),
        other.to_string(),
        row(2, 1).to_string(),
    ]
    .join("\n");
    for encoded in [None, Some(gzip(&lines))] {
        let before = serving.get("/readyz").await.1["tap"]["rows_seen"].as_u64().expect("rows");
        let mut request = serving.http.post(format!("{}/v1/records", serving.url));
        request = match encoded {
            None => request.body(lines.clone()),
            Some(bytes) => request.header("content-encoding", "gzip").body(bytes),
        };
        let (status, said) = answer(request).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{said}");
        assert_eq!((&said["accepted"], &said["rejected"]), (&json!(2), &json!(7)), "{said}");
        let named: Vec<&str> =
            said["rejections"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
        for (rejection, number) in named.iter().zip(2..) {
            assert!(rejection.starts_with(&format!("line {number}")), "{named:?}");
        }
        serving.judged(before + 2).await;
    }
    for (reason, lost) in
        [("malformed", 10.0), ("too_large", 2.0), ("unknown_model", 2.0), ("queue_full", 0.0)]
    {
        let series = format!("silentry_tap_dropped_total{{reason=\"{reason}\"}}");
        until(&format!("{series} {lost}"), || async {
            (serving.metric(&series).await == Some(lost)).then_some(())
        })
        .await;
    }
    promtool(&serving.metrics().await).await;
    serving.stop().await;
}

async fn promtool(text: &str) {
    if !has("promtool", "SILENTRY_WITHOUT_PROMETHEUS").await {
        return;
    }
    let mut command = tokio::process::Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).await.expect("promtool reads");
    let output = within("promtool", child.wait_with_output()).await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}\n{text}");
}

/// Exchanges of the Open Inference Protocol, in every way to write a table: nested or flat data in one
/// tensor of rows and columns, or a tensor for each column. A fault within them is the same fault: a
/// shape that was read wrongly would not alarm, or for another group.
#[tokio::test(flavor = "multi_thread")]
async fn exchanges_in_every_shape() {
    let dir = folder("serve-oip");
    let file = baseline(&dir, 1).await;
    for shape in ["nested", "flat", "columns"] {
        let dir = dir.join(shape);
        std::fs::create_dir(&dir).expect("target/ can be written");
        let serving = Serving::start(&config(&dir, &file, ""), &[]).await;
        let lines: Vec<String> = (0..20).map(|n| exchange(shape, n)).collect();
        let body = format!("{}\nnot an exchange\n{}\n", lines[..10].join("\n"), lines[10..].join("\n"));
        let (status, said) = serving.post("/v1/oip", body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{shape}: {said}");
        assert_eq!((&said["accepted"], &said["rejected"]), (&json!(40), &json!(1)), "{shape}: {said}");
        let model = serving.judged(40).await;
        assert_eq!(model["unexpected"], json!({}), "{shape}");
        let health = serving.get("/readyz").await.1;
        assert_eq!(health["tap"]["rows_lost"]["malformed"], json!(1), "{shape}");
        let alerts = serving.active().await;
        assert_eq!((alerts.len(), &alerts[0]["group"]), (1, &json!(GROUP)), "{shape}: {alerts:?}");
        assert_eq!(alerts[0]["features"].as_array().map(Vec::len), Some(3), "{shape}: {alerts:?}");
        let (status, said) = serving.post("/v1/oip", "{}\n").await;
        assert_eq!((status, &said["code"]), (StatusCode::BAD_REQUEST, &json!("malformed_records")));
        serving.stop().await;
    }
}

/// The `n`th exchange of two rows whose store has failed, with its table in this shape.
fn exchange(shape: &str, n: u64) -> String {
    // Without names, columns are in the order of the baseline's.
    let mut names = FEATURES;
    names.sort_unstable();
    let rows = [zeroed(row(3, 2 * n)), zeroed(row(3, 2 * n + 1))];
    let cells = |row: &Value| names.map(|name| row["features"][name].clone());
    let table = |data: Value| json!([{"name": "input", "shape": [2, 4], "datatype": "FP64", "data": data}]);
    let column = |name| {
        let data = rows.each_ref().map(|row| row["features"][name].clone());
        json!({"name": name, "shape": [2, 1], "datatype": "FP64", "data": data})
    };
    let inputs = match shape {
        "nested" => table(json!(rows.each_ref().map(cells))),
        "flat" => table(rows.iter().flat_map(cells).collect()),
        _ => json!(names.map(column)),
    };
    let outputs = json!([
        {"name": "label", "shape": [2], "datatype": "INT64", "data": [1, 0]},
        {"name": "score", "shape": [2], "datatype": "FP64", "data": [0.7, 0.4]},
    ]);
    json!({"ts": rows[0]["ts"], "model": MODEL, "request": {"inputs": inputs},
        "response": {"model_name": MODEL, "outputs": outputs}})
    .to_string()
}

/// Every refusal has its status, a stable code, words, and the request's id, the caller's if there is one.
#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    let dir = folder("serve-refusals");
    let more = "tap: {line_bytes_max: 2000, body_bytes_max: 20000}\n";
    let serving = Serving::start(&config(&dir, &baseline(&dir, 1).await, more), &[]).await;
    let url = |route: &str| format!("{}{route}", serving.url);
    let large = "x".repeat(20_001);
    let at = |route: &str| serving.http.post(url(route));
    let packed = |bytes: Vec<u8>| at("/v1/records").header("content-encoding", "gzip").body(bytes);
    let cut = gzip(&ndjson(healthy(0, 20)))[..60].to_vec();
    // On the scene, which no other tool can break; then on a model that lacks the fault's group.
    let story = std::fs::read_to_string(experiment("feature-store-latency")).expect("it is there");
    let scene = "  scene:\n    on_store_failure: zeros";
    let of_model = |model: &str| story.replacen(scene, &format!("  model: {model}"), 1);
    let cases = [
        (at("/v1/records").body("garbage\n"), 400, "malformed_records"),
        (at("/v1/records").body(vec![0xFF, 0xFE, b'\n']), 400, "malformed_records"),
        (at("/v1/oip").body("garbage\n"), 400, "malformed_records"),
        (at("/v1/records").body(r#"{"ts":1,"model":"of-nobody"}"#), 400, "unknown_model"),
        (packed(b"not gzip at all".to_vec()), 400, "unreadable_body"),
        (packed(cut), 400, "unreadable_body"),
        (packed(gzip(&large)), 413, "body_too_large"),
        (at("/v1/records").body(large), 413, "body_too_large"),
        (at("/v1/records").header("content-encoding", "br").body("x"), 415, "unsupported_encoding"),
        (at("/v1/runs").body("garbage"), 400, "bad_experiment"),
        (at("/v1/runs").body(story.clone()), 400, "bad_experiment"),
        (at("/v1/runs").body(of_model(MODEL)), 400, "bad_experiment"),
        (at("/v1/runs").body(of_model("none")), 404, "unknown_model"),
        (at("/v1/runs").body(vec![0xFF]), 400, "bad_experiment"),
        (at("/v1/runs/none/events").body("{}"), 400, "bad_event"),
        (at("/v1/runs/none/events").body(r#"{"act":"run_ended"}"#), 404, "unknown_run"),
        (serving.http.get(url("/v1/runs/none/verdict")), 404, "unknown_run"),
        (serving.http.get(url("/v1/gate/runs/none")), 404, "unknown_run"),
        (serving.http.get(url("/v1/models/none")), 404, "unknown_model"),
        (serving.http.get(url("/nowhere")), 404, "no_route"),
        (serving.http.get(url("/v1/records")), 405, "no_method"),
        (serving.http.delete(url("/v1/models")), 405, "no_method"),
    ];
    for (number, (request, status, code)) in cases.into_iter().enumerate() {
        let id = format!("mine-{number}");
        let response = request.header("x-request-id", &id).send().await.expect("it answers");
        let (got, header) = (response.status().as_u16(), response.headers()["x-request-id"].clone());
        let said: Value = response.json().await.unwrap_or_else(|e| panic!("{code}: no JSON: {e}"));
        assert_eq!((got, &said["code"]), (status, &json!(code)), "{said}");
        assert_eq!((header.to_str().unwrap(), &said["request_id"]), (id.as_str(), &json!(id)));
        assert!(said["message"].as_str().is_some_and(|m| !m.is_empty()), "{said}");
    }
    let (_, said) = serving.get("/nowhere").await;
    assert!(said["request_id"].as_str().is_some_and(|id| id.len() == 36), "an id of its own: {said}");
    serving.stop().await;
}

/// With a token, what changes state must show it; reading stays open, and the log never has it.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_guards_what_changes_state() {
    const SECRET: &str = "correct-horse-battery";
    let dir = folder("serve-token");
    let config = config(&dir, &baseline(&dir, 1).await, "token_env: THE_TOKEN\n");
    let serving = Serving::start(&config, &[("THE_TOKEN", SECRET)]).await;
    for route in ["/v1/records", "/v1/oip", "/v1/runs", "/v1/runs/none/events"] {
        for shown in [None, Some("wrong")] {
            let mut request = serving.http.post(format!("{}{route}", serving.url));
            if let Some(token) = shown {
                request = request.bearer_auth(token);
            }
            let (status, said) = answer(request.body(ndjson(healthy(0, 1)))).await;
            assert_eq!(
                (status, &said["code"]),
                (StatusCode::UNAUTHORIZED, &json!("unauthorized")),
                "{route}"
            );
        }
    }
    for route in ["alerts/1/ack", "alerts/1/silence", "alerts/1/accept"] {
        let (status, said) = serving.post(&format!("/v1/models/{MODEL}/{route}"), "{}").await;
        assert_eq!((status, &said["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthorized")), "{route}");
    }
    let put = serving.http.put(format!("{}/v1/models/{MODEL}/baseline", serving.url)).body("{}");
    assert_eq!(answer(put).await.0, StatusCode::UNAUTHORIZED);
    let right = serving.http.post(format!("{}/v1/records", serving.url)).bearer_auth(SECRET);
    let (status, said) = answer(right.body(ndjson(healthy(0, 1)))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    serving.judged(1).await;
    for route in ["/v1/models", "/v1/alerts", "/v1/runs", "/metrics", "/healthz", "/readyz"] {
        assert_eq!(serving.get(route).await.0, StatusCode::OK, "{route}");
    }
    let log = serving.stop().await;
    assert!(!Value::from(log).to_string().contains(SECRET));
}

/// Alive is not ready: without a model nothing is watched, and that is said.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_it_is_not_ready() {
    let dir = folder("serve-nothing");
    let file = dir.join("silentry.yaml");
    std::fs::write(&file, "listen: 127.0.0.1:0\nstate_dir: state\nlog: {format: json}\n").unwrap();
    let serving = Serving::start(&file, &[]).await;
    assert_eq!(serving.get("/healthz").await.0, StatusCode::OK);
    let (status, health) = serving.get("/readyz").await;
    assert_eq!((status, &health["ready"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(false)));
    assert!(health["reasons"][0].as_str().is_some_and(|r| r.contains("no model")), "{health}");
    serving.stop().await;
}

/// Asked to end, it judges what waits, keeps its state and ends in 0. What it then goes on from is the
/// same: the open alert under its number, and evidence that was not enough yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_nothing() {
    let dir = folder("serve-restart");
    let config = config(&dir, &baseline(&dir, 1).await, "persist_every: 1h\n");
    let needed = rows_until_alert(&config, &dir).await;
    assert!((2..20).contains(&needed), "{needed} rows of zeros");

    let serving = Serving::start(&config, &[]).await;
    serving.send(alone(healthy(0, HEALTHY))).await;
    serving.send(alone(zeros(HEALTHY, HEALTHY + needed - 1))).await;
    // Not waited for: rows that were taken are judged before the end.
    serving.stop().await;

    let serving = Serving::start(&config, &[]).await;
    serving.judged(HEALTHY + needed - 1).await;
    assert_eq!(serving.active().await, Vec::<Value>::new(), "not yet");
    serving.send(alone(zeros(HEALTHY + needed - 1, HEALTHY + needed))).await;
    serving.judged(HEALTHY + needed).await;
    let alerts = serving.active().await;
    assert_eq!((alerts.len(), &alerts[0]["state"]), (1, &json!("firing")), "{alerts:?}");
    let log = serving.stop().await;
    assert!(!refused(&log), "{log:?}");

    let serving = Serving::start(&config, &[]).await;
    assert_eq!(serving.active().await, alerts, "the same alert");
    serving.send(alone(healthy(HEALTHY + needed, HEALTHY + needed + 2_000))).await;
    serving.judged(HEALTHY + needed + 2_000).await;
    assert_eq!(serving.active().await, Vec::<Value>::new(), "it was latched, and recovers");
    let (_, all) = serving.get("/v1/alerts").await;
    assert_eq!(all["resolved"][0]["id"], alerts[0]["id"]);
    serving.stop().await;
}

/// That nobody looked for a while is no silence of the traffic: a restart raises no alarm of the row
/// rate, and a silence that is seen does.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_no_silence() {
    let dir = folder("serve-row-rate");
    let file = config(&dir, &baseline(&dir, 1).await, "");
    let text = std::fs::read_to_string(&file).expect("it was written");
    std::fs::write(&file, text.replace(", without: [row_rate]", "")).expect("target/ can be written");
    let serving = Serving::start(&file, &[]).await;
    // Ten seconds of traffic that ended half a minute before the service came back.
    let now = jiff::Timestamp::now().as_millisecond();
    let at = |n: u64, end_ms: i64| {
        let mut row = row(2, n);
        row["ts"] = json!(end_ms - 10_000 + 10 * i64::try_from(n).expect("small"));
        row
    };
    serving.send((0..1_000).map(|n| at(n, now - 30_000)).collect()).await;
    serving.stop().await;

    let serving = Serving::start(&file, &[]).await;
    let traffic = |alerts: Vec<Value>| alerts.into_iter().find(|a| a["group"] == "traffic");
    serving.judged(1_000).await;
    let ticked = "silentry_clock_unixtime_seconds";
    let began = serving.metric(ticked).await.expect("its clock");
    until("a second of ticks", || async { (serving.metric(ticked).await? > began + 1.0).then_some(()) })
        .await;
    assert_eq!(traffic(serving.active().await), None, "it was not there");
    let now = jiff::Timestamp::now().as_millisecond();
    serving.send((0..1_000).map(|n| at(n, now)).collect()).await;
    let alert = until("the silence after it", || async { traffic(serving.active().await) }).await;
    assert_eq!(alert["detector"], "row_rate");
    serving.stop().await;
}

/// How many rows of nothing but zeros, one at a time, it takes from a fresh start.
async fn rows_until_alert(config: &Path, dir: &Path) -> u64 {
    let serving = Serving::start(config, &[]).await;
    serving.send(alone(healthy(0, HEALTHY))).await;
    let mut sent = HEALTHY;
    while serving.active().await.is_empty() {
        assert!(sent < HEALTHY + 100, "zeros raise no alarm");
        serving.send(alone(zeros(sent, sent + 1))).await;
        sent += 1;
        serving.judged(sent).await;
    }
    serving.stop().await;
    std::fs::remove_dir_all(dir.join("state")).expect("the state was written");
    sent - HEALTHY
}

/// Whether saved state was refused, by the log.
fn refused(log: &[Value]) -> bool {
    log.iter()
        .any(|line| line["message"].as_str().is_some_and(|m| m.starts_with("saved state is left behind")))
}

/// Evidence against one baseline says nothing about another: it is refused with a line in the log, the
/// streams begin anew, and the alert that it held open is closed.
#[tokio::test(flavor = "multi_thread")]
async fn state_of_another_baseline_is_refused() {
    let dir = folder("serve-other-baseline");
    let serving = Serving::start(&config(&dir, &baseline(&dir, 1).await, ""), &[]).await;
    serving.send(zeros(0, 100)).await;
    serving.judged(100).await;
    assert_eq!(serving.active().await.len(), 1);
    serving.stop().await;

    let serving = Serving::start(&config(&dir, &baseline(&dir, 5).await, ""), &[]).await;
    assert!(refused(&serving.log()), "{:?}", serving.log());
    serving.judged(0).await;
    assert_eq!(serving.active().await, Vec::<Value>::new());
    serving.send(zeros(100, 200)).await;
    serving.judged(100).await;
    assert_eq!(serving.active().await.len(), 1, "it still sees");
    serving.send(healthy(200, 2_200)).await;
    serving.judged(2_100).await;
    assert_eq!(serving.active().await, Vec::<Value>::new());
    serving.stop().await;
}

/// Killed in the middle of traffic and of writing its state, it starts again from what is there.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_its_state_can_be_read() {
    let dir = folder("serve-killed");
    let config = config(&dir, &baseline(&dir, 1).await, "persist_every: 1ms\n");
    let mut before = 0;
    for _ in 0..3 {
        let serving = Serving::start(&config, &[]).await;
        assert!(!refused(&serving.log()), "{:?}", serving.log());
        let (_, model) = serving.get(&format!("/v1/models/{MODEL}")).await;
        let kept = model["rows"].as_u64().expect("rows");
        assert!(kept >= before, "{kept} rows are remembered, {before} were known to be on disk");
        serving.send(healthy(kept, kept + 500)).await;
        serving.judged(kept + 500).await;
        // One more body is on its way while the process dies.
        let body = ndjson(healthy(kept + 500, kept + 700));
        let request = serving.http.post(format!("{}/v1/records", serving.url)).body(body);
        let under_way = tokio::spawn(request.send());
        serving.signal("KILL").await;
        let (ran, _) = serving.ended().await;
        assert_eq!(ran.code, None, "killed");
        let _ = under_way.await.expect("no panic");
        before = kept;
    }
    let serving = Serving::start(&config, &[]).await;
    assert!(!refused(&serving.log()), "{:?}", serving.log());
    assert_eq!(serving.get("/readyz").await.0, StatusCode::OK);
    serving.stop().await;
}

/// A sender that opens a request and never ends it does not keep the service from ending.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_hangs_does_not_hold_the_end() {
    let dir = folder("serve-hanging");
    let serving = Serving::start(&config(&dir, &baseline(&dir, 1).await, ""), &[]).await;
    serving.send(healthy(0, 10)).await;
    let mut hanging =
        tokio::net::TcpStream::connect(serving.url.trim_start_matches("http://")).await.unwrap();
    let head = "POST /v1/records HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
    hanging.write_all(head.as_bytes()).await.unwrap();
    let started = tokio::time::Instant::now();
    serving.stop().await;
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(std::fs::read_dir(dir.join("state")).expect("the state was written").count() >= 2);
    drop(hanging);
}
