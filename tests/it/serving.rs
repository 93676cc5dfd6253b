//! `silentry serve` as a child process: its files, its port, its log, its end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::support::{Ran, ended, path, run, signal, silentry, until, within};

/// What the tests' model is called.
pub(crate) const MODEL: &str = "credit";
/// Its features from the store, in the order of the baseline's columns; the last comes with requests.
pub(crate) const FEATURES: [&str; 4] = ["balance", "debt", "income", "age"];
/// The upstream of the first three.
pub(crate) const GROUP: &str = "redis:user";
/// Healthy rows of its baseline.
const ROWS: u64 = 6_000;

/// Traffic of the tests' model: row `n` of stream `seed`, a hundred a second.
///
/// Numbers from a linear congruential generator: the same everywhere.
pub(crate) fn row(seed: u64, n: u64) -> Value {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ n.wrapping_mul(0xD1B5_4A32_D192_ED03);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut mixed = state ^ (state >> 33);
        mixed = mixed.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        (mixed ^ (mixed >> 33)) % 1_000
    };
    let (balance, debt, income, age) = (1 + next(), 1 + next() / 2, 500 + next(), 18 + next() % 60);
    let score = (income as f64) / (1_500.0 + debt as f64);
    json!({
        "ts": 1_750_000_000_000_u64 + 10 * n, "model": MODEL, "request_id": format!("r{seed}-{n}"),
        "features": {"balance": balance, "debt": debt, "income": income, "age": age},
        "prediction": {"label": u8::from(score > 0.5), "score": score}, "status": "ok", "latency_ms": 2.5,
    })
}

/// The same row after its store has failed in silence.
pub(crate) fn zeroed(mut row: Value) -> Value {
    for name in &FEATURES[..3] {
        row["features"][name] = json!(0);
    }
    row
}

/// Rows as NDJSON.
pub(crate) fn ndjson(rows: impl IntoIterator<Item = Value>) -> String {
    rows.into_iter().map(|row| format!("{row}\n")).collect()
}

/// Builds a baseline of the model in `folder` with the program, from NDJSON; answers its path.
pub(crate) async fn baseline(folder: &Path, seed: u64) -> PathBuf {
    let input = folder.join(format!("healthy-{seed}.ndjson"));
    std::fs::write(&input, ndjson((0..ROWS).map(|n| row(seed, n)))).expect("target/ can be written");
    let schema = folder.join("schema.yaml");
    let group = format!("groups:\n  \"{GROUP}\": [{}]\n", FEATURES[..3].join(", "));
    std::fs::write(&schema, group).expect("target/ can be written");
    let out = folder.join(format!("baseline-{seed}.json"));
    let (input, schema, file) = (path(&input), path(&schema), path(&out));
    let args =
        ["baseline", "build", "--input", &input, "--model", MODEL, "--schema", &schema, "--out", &file];
    let built = run(args.iter().chain(&["--seasonality", "none"])).await;
    assert_eq!(built.code, Some(0), "{built:?}");
    out
}

/// A running `silentry serve`.
pub(crate) struct Serving {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    /// `http://127.0.0.1:port`.
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

/// What the tests set; everything else stays at its default. Their rows come in bursts with times of
/// their own, so the detector of the row rate is switched off.
pub(crate) fn config(folder: &Path, baseline: &Path, more: &str) -> PathBuf {
    let text = format!(
        "listen: 127.0.0.1:0\nstate_dir: state\nlog: {{format: json}}\n\
         models:\n  - {{name: {MODEL}, baseline: {}, without: [row_rate]}}\n{more}",
        baseline.display()
    );
    let file = folder.join("silentry.yaml");
    std::fs::write(&file, text).expect("target/ can be written");
    file
}

impl Serving {
    pub(crate) async fn start(config: &Path, env: &[(&str, &str)]) -> Self {
        let mut command = silentry(["serve", "-c", &path(config)]);
        command.envs(env.iter().copied());
        let mut child = command.spawn().expect("the program starts");
        let log: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&log);
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().expect("no panic holds it").push(value);
            }
        });
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        let mut serving = Self { child, log, url: String::new(), http };
        let listen = serving.logged("silentry serves").await;
        serving.url = format!("http://{}", listen["listen"].as_str().expect("an address"));
        serving
    }

    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().expect("no panic holds it").clone()
    }

    /// The first line of the log with this message, as soon as it is there.
    pub(crate) async fn logged(&mut self, message: &str) -> Value {
        within(message, async {
            loop {
                if let Some(line) = self.log().into_iter().find(|line| line["message"] == message) {
                    return line;
                }
                let exited = self.child.try_wait().expect("a child");
                assert!(exited.is_none(), "it ended with {exited:?}, no `{message}` in {:?}", self.log());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    pub(crate) async fn get(&self, route: &str) -> (StatusCode, Value) {
        answer(self.http.get(format!("{}{route}", self.url))).await
    }

    pub(crate) async fn post(&self, route: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        answer(self.http.post(format!("{}{route}", self.url)).body(body)).await
    }

    /// Sends records that must all be taken.
    pub(crate) async fn send(&self, rows: Vec<Value>) {
        let n = rows.len();
        let (status, said) = self.post("/v1/records", ndjson(rows)).await;
        assert_eq!((status, &said["accepted"]), (StatusCode::ACCEPTED, &json!(n)), "{said}");
    }

    /// The model's state once it has judged so many rows.
    pub(crate) async fn judged(&self, rows: u64) -> Value {
        until(&format!("{rows} rows are judged"), || async {
            let (_, model) = self.get(&format!("/v1/models/{MODEL}")).await;
            let judged = model["rows"].as_u64().expect("rows");
            assert!(judged <= rows, "{judged} rows are judged, {rows} were sent");
            (judged == rows).then_some(model)
        })
        .await
    }

    /// The open alerts.
    pub(crate) async fn active(&self) -> Vec<Value> {
        let (status, alerts) = self.get("/v1/alerts").await;
        assert_eq!(status, StatusCode::OK);
        alerts["active"].as_array().expect("a list").clone()
    }

    pub(crate) async fn metrics(&self) -> String {
        let asked = self.http.get(format!("{}/metrics", self.url)).send();
        asked.await.expect("it answers").text().await.expect("text")
    }

    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().expect("a number"))
    }

    pub(crate) async fn signal(&self, name: &str) {
        signal(name, self.child.id().expect("it runs")).await;
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) -> (Ran, Vec<Value>) {
        let ran = ended(self.child).await;
        let log = self.log.lock().expect("no panic holds it").clone();
        (ran, log)
    }

    /// Asks it to end, and expects that it does so well.
    pub(crate) async fn stop(self) -> Vec<Value> {
        self.signal("TERM").await;
        let (ran, log) = self.ended().await;
        assert_eq!(ran.code, Some(0), "{log:?}");
        log
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("it answers");
    let status = response.status();
    let text = response.text().await.expect("text");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
