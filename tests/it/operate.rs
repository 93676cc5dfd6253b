//! What people do to a running `silentry serve`, over HTTP: a word on an alert, another baseline.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::serve::{HEALTHY, healthy, receiver, zeros};
use crate::serving::{GROUP, MODEL, Serving, answer, baseline, config, row};
use crate::support::{folder, until, within};

impl Serving {
    async fn put(&self, model: &str, body: Vec<u8>) -> (StatusCode, Value) {
        answer(self.http.put(format!("{}/v1/models/{model}/baseline", self.url)).body(body)).await
    }

    async fn act(&self, id: &Value, act: &str, said: &Value) -> (StatusCode, Value) {
        self.post(&format!("/v1/models/{MODEL}/alerts/{id}/{act}"), said.to_string()).await
    }

    /// The reasons of a group's detectors.
    async fn reasons(&self, group: &str) -> Vec<Value> {
        let (_, model) = self.get(&format!("/v1/models/{MODEL}")).await;
        let all = model["detectors"].as_array().expect("a list");
        all.iter().filter(|d| d["group"] == group).map(|d| d["reason"].clone()).collect()
    }

    async fn resolved(&self) -> Value {
        self.get("/v1/alerts").await.1["resolved"][0].clone()
    }
}

/// One alert's life in people's hands: looked at, silenced so that its end is told to nobody, and another
/// accepted, which leaves its group undecided until a new baseline is put. Written down as it happens: the
/// process is killed and knows all of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_in_peoples_hands() {
    let dir = folder("operate-alert");
    let (hook, mut told) = receiver().await;
    let more = format!("persist_every: 1h\nalerts: {{sinks: [webhook: {{url: '{hook}'}}]}}\n");
    let first = baseline(&dir, 1).await;
    let config = config(&dir, &first, &more);
    let serving = Serving::start(&config, &[]).await;
    serving.send(healthy(0, HEALTHY)).await;
    serving.send(zeros(HEALTHY, HEALTHY + 60)).await;
    serving.judged(HEALTHY + 60).await;
    let id = serving.active().await[0]["id"].clone();
    assert_eq!(within("the webhook", told.recv()).await.expect("a body")["status"], "firing");

    let (status, said) = serving.act(&id, "ack", &json!({"who": "ann", "note": "looking"})).await;
    assert_eq!(
        (status, &said["state"], &said["ack"]["who"]),
        (StatusCode::OK, &json!("firing"), &json!("ann"))
    );
    let (status, said) = serving.act(&id, "silence", &json!({"who": "ann", "for": "2h"})).await;
    assert_eq!((status, said["silence"]["who"].as_str()), (StatusCode::OK, Some("ann")));
    until("both are on disk", || async {
        let kept = std::fs::read_to_string(dir.join("state/alerts.json")).unwrap_or_else(|_| String::new());
        (kept.contains("acknowledged") && kept.contains("silenced")).then_some(())
    })
    .await;
    serving.signal("KILL").await;
    serving.ended().await;

    let serving = Serving::start(&config, &[]).await;
    let alert = serving.active().await.remove(0);
    assert_eq!((&alert["id"], &alert["ack"]["note"]), (&id, &json!("looking")));
    let rows = serving.get(&format!("/v1/models/{MODEL}")).await.1["rows"].as_u64().expect("rows");
    serving.send(healthy(rows, rows + 2_000)).await;
    serving.judged(rows + 2_000).await;
    assert_eq!(serving.resolved().await["state"], "resolved");

    serving.send(zeros(rows + 2_000, rows + 2_060)).await;
    serving.judged(rows + 2_060).await;
    let second = serving.active().await[0]["id"].clone();
    assert_ne!(second, id);
    let next = within("the webhook", told.recv()).await.expect("a body");
    assert_eq!(next["alert"]["id"], second, "of the end of the first one nobody was told");
    let (status, said) = serving.act(&second, "accept", &json!({"who": "bob"})).await;
    assert_eq!((status, &said["alert"]["state"]), (StatusCode::OK, &json!("accepted")));
    assert!(said["message"].as_str().is_some_and(|m| m.contains("/baseline")), "{said}");
    let next = within("the webhook", told.recv()).await.expect("a body");
    assert_eq!((&next["status"], &next["alert"]["state"]), (&json!("resolved"), &json!("accepted")));
    let (status, said) = serving.act(&second, "ack", &json!({"who": "bob"})).await;
    assert_eq!((status, &said["code"]), (StatusCode::CONFLICT, &json!("alert_ended")));
    serving.send(healthy(rows + 2_060, rows + 4_060)).await;
    serving.judged(rows + 4_060).await;
    let reasons = serving.reasons(GROUP).await;
    assert!(!reasons.is_empty() && reasons.iter().all(|r| r == "accepted"), "{reasons:?}");

    let (status, said) = serving.put(MODEL, std::fs::read(&first).unwrap()).await;
    assert_eq!((status, &said["kept"]), (StatusCode::OK, &json!(true)), "{said}");
    assert!(serving.reasons(GROUP).await.iter().all(|r| r != "accepted"));
    serving.stop().await;
}

/// A baseline that is put judges at once and after a restart, and ends the alerts of the one before; during
/// a run it is refused, and so is what is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_is_put() {
    let dir = folder("operate-baseline");
    let (first, second) = (baseline(&dir, 1).await, baseline(&dir, 5).await);
    let config = config(&dir, &first, "");
    let serving = Serving::start(&config, &[]).await;
    serving.send(zeros(0, 60)).await;
    let before = serving.judged(60).await["baseline"].clone();
    assert_eq!(serving.active().await.len(), 1);
    let new = std::fs::read(&second).unwrap();
    let (status, said) = serving.put("none", new.clone()).await;
    assert_eq!((status, &said["code"]), (StatusCode::NOT_FOUND, &json!("unknown_model")));
    let mut changed = new.clone();
    let place = changed.len() / 2;
    changed[place] ^= 1;
    for wrong in [Vec::new(), b"{}".to_vec(), changed] {
        let (status, said) = serving.put(MODEL, wrong).await;
        assert_eq!((status, &said["code"]), (StatusCode::BAD_REQUEST, &json!("bad_baseline")), "{said}");
    }
    let run = format!(
        "schema: silentry/experiment/v1\nname: n\nhypothesis: h\ntarget: {{model: {MODEL}}}\n\
         safety: {{max_duration: 60s}}\nphases: {{steady: 10s, fault: 5s, recovery: 30s}}\n\
         faults:\n  - id: f\n    inject: {{store_latency: {{latency: 800ms, jitter: 0ms}}}}\n    fraction: 1\n    \
         group: {GROUP}\n    severity: critical\n    detections: [{{detector: zero_group, within: 6s}}]\n\
         slos:\n  - {{name: s, ordinary: true, objective: {{success: {{at_least: 0.9}}}}}}\n\
         expect: {{status: valid, headline: pass}}\n"
    );
    let (status, run) = serving.post("/v1/runs", run).await;
    assert_eq!(status, StatusCode::CREATED, "{run}");
    let alert = serving.active().await[0]["id"].clone();
    for (status, said) in
        [serving.put(MODEL, new.clone()).await, serving.act(&alert, "accept", &json!({"who": "ann"})).await]
    {
        assert_eq!((status, &said["code"]), (StatusCode::CONFLICT, &json!("run_under_way")), "{said}");
    }
    let events = format!("/v1/runs/{}/events", run["run"].as_str().expect("an id"));
    assert_eq!(serving.post(&events, r#"{"act":"run_ended"}"#).await.0, StatusCode::OK);

    let (status, said) = serving.put(MODEL, new).await;
    assert_eq!(
        (status, &said["replaced"], &said["superseded"]),
        (StatusCode::OK, &before, &json!(1)),
        "{said}"
    );
    assert_eq!((serving.active().await.len(), &serving.resolved().await["state"]), (0, &json!("superseded")));
    serving.send(zeros(60, 120)).await;
    let model = serving.judged(60).await;
    assert_eq!((&model["baseline"], serving.active().await.len()), (&said["baseline"], 1));
    serving.stop().await;

    let serving = Serving::start(&config, &[]).await;
    let model = serving.judged(60).await;
    assert_eq!((&model["baseline"], serving.active().await.len()), (&said["baseline"], 1));
    serving.stop().await;
}

/// Words on alerts that nobody can make sense of have their status and code.
#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    let dir = folder("operate-refusals");
    let serving = Serving::start(&config(&dir, &baseline(&dir, 1).await, ""), &[]).await;
    serving.send(zeros(0, 60)).await;
    serving.judged(60).await;
    let id = serving.active().await[0]["id"].clone();
    let ann = json!({"who": "ann"});
    let silence = |length: &str| json!({"who": "ann", "for": length});
    let cases = [
        (MODEL, id.clone(), "ack", json!({}), 400, "bad_action"),
        (MODEL, id.clone(), "ack", json!({"who": " "}), 400, "bad_action"),
        (MODEL, id.clone(), "ack", json!({"who": "ann", "why": "x"}), 400, "bad_action"),
        (MODEL, id.clone(), "accept", json!([]), 400, "bad_action"),
        (MODEL, id.clone(), "accept", json!({"who": "ann", "note": "x".repeat(1_001)}), 400, "bad_action"),
        (MODEL, id.clone(), "silence", ann.clone(), 400, "bad_action"),
        (MODEL, id.clone(), "silence", silence("0s"), 400, "bad_action"),
        (MODEL, id.clone(), "silence", silence("8d"), 400, "bad_action"),
        (MODEL, id.clone(), "silence", silence("long"), 400, "bad_action"),
        (MODEL, json!(99), "ack", ann.clone(), 404, "unknown_alert"),
        (MODEL, json!(-1), "ack", ann.clone(), 400, "bad_path"),
        ("none", id.clone(), "ack", ann.clone(), 404, "unknown_model"),
        ("none", id.clone(), "accept", ann.clone(), 404, "unknown_model"),
        ("none", id.clone(), "silence", silence("1h"), 404, "unknown_model"),
        (MODEL, id.clone(), "close", ann, 404, "no_route"),
    ];
    for (model, id, act, said, status, code) in cases {
        let route = format!("/v1/models/{model}/alerts/{id}/{act}");
        let (got, refusal) = serving.post(&route, said.to_string()).await;
        assert_eq!((got.as_u16(), &refusal["code"]), (status, &json!(code)), "{route} {said}: {refusal}");
    }
    let alert = serving.active().await.remove(0);
    assert_eq!([&alert["ack"], &alert["silence"], &alert["accepted"]], [&Value::Null; 3], "nothing was done");
    serving.stop().await;
}

/// A rollout to a version without a baseline is one alert and no storm, over HTTP too.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_version_is_one_alert() {
    let dir = folder("operate-version");
    let file = baseline(&dir, 1).await;
    // The same rows, told to be of version 1.
    let (input, schema) = (dir.join("healthy-1.ndjson"), dir.join("schema.yaml"));
    let text = std::fs::read_to_string(&schema).expect("it was written");
    std::fs::write(&schema, format!("version: '1'\n{text}")).expect("target/ can be written");
    let path = crate::support::path;
    let (input, schema, out) = (path(&input), path(&schema), path(&file));
    let args = [
        "baseline",
        "build",
        "--input",
        &input,
        "--model",
        MODEL,
        "--schema",
        &schema,
        "--seasonality",
        "none",
        "--out",
        &out,
    ];
    let built = crate::support::run(args).await;
    assert_eq!(built.code, Some(0), "{built:?}");
    let serving = Serving::start(&config(&dir, &file, ""), &[]).await;
    let of = |n: u64, version: &str| {
        let mut row = row(2, n);
        row["version"] = json!(version);
        row["prediction"] = json!({"label": 7, "score": -1});
        row
    };
    serving.send((0..HEALTHY).map(|n| row(2, n)).collect()).await;
    serving.send((HEALTHY..2 * HEALTHY).map(|n| of(n, "2")).collect()).await;
    let model = serving.judged(2 * HEALTHY).await;
    let alerts = serving.active().await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!((&alerts[0]["kind"], &alerts[0]["version"]), (&json!("version"), &json!("2")));
    assert_eq!(model["other_versions"], json!({"2": HEALTHY}));
    // Its answers are counted, and are not enough for a baseline yet.
    let relearnt = &model["relearnt"][0];
    assert_eq!((&relearnt["version"], &relearnt["ready"]), (&json!("2"), &json!(false)), "{relearnt}");
    let path_of = |version: &str, what: &str| format!("/v1/models/{MODEL}/versions/{version}/{what}");
    let (status, said) = serving.get(&path_of("2", "baseline")).await;
    assert_eq!((status, &said["code"]), (StatusCode::CONFLICT, &json!("not_relearnt")), "{said}");
    let by = json!({"who": "ann"}).to_string();
    let (status, said) = serving.post(&path_of("2", "accept"), by.clone()).await;
    assert_eq!((status, &said["code"]), (StatusCode::CONFLICT, &json!("not_relearnt")), "{said}");
    let (status, said) = serving.post(&path_of("9", "accept"), by).await;
    assert_eq!((status, &said["code"]), (StatusCode::NOT_FOUND, &json!("unknown_version")), "{said}");
    serving.stop().await;

    // The same rows as a recording: judged alike.
    let recorded = dir.join("recorded.ndjson");
    let rows = (0..HEALTHY).map(|n| row(2, n)).chain((HEALTHY..2 * HEALTHY).map(|n| of(n, "2")));
    std::fs::write(&recorded, crate::serving::ndjson(rows)).expect("target/ can be written");
    let ran =
        crate::support::run(["replay", "--baseline", &out, "--input", &path(&recorded), "--json"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let replayed: Value = serde_json::from_str(&ran.stdout).expect("one document");
    let alarms = replayed["alarms"].as_array().expect("a list");
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!((&alarms[0]["kind"], &alarms[0]["row"]), (&json!("version"), &json!(HEALTHY)));
    assert_eq!(replayed["rows_of_other_versions"], json!({"2": HEALTHY}));
}
