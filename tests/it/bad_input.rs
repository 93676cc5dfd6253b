//! Wrong input on the command line: one line on standard error with what, where and what was expected,
//! exit code 2, and no panic, whatever the bytes.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::serving::{MODEL, baseline, ndjson, row};
use crate::support::{Ran, experiment, folder, path, run};

/// Healthy rows of the same model, of a table that shares no feature with its baseline.
const OTHER_TABLE: &str =
    "{\"ts\":\"2026-11-21T09:00:00Z\",\"model\":\"credit\",\"features\":{\"height\":1.5}}\n";

struct Files {
    dir: PathBuf,
    healthy: String,
    baseline: String,
    /// Where no baseline may ever be written.
    out: String,
}

impl Files {
    async fn new(name: &str) -> Self {
        let dir = folder(name);
        let baseline = path(&baseline(&dir, 1).await);
        let healthy = dir.join("healthy.ndjson");
        std::fs::write(&healthy, ndjson((0..200).map(|n| row(1, n)))).expect("target/ can be written");
        let out = path(&dir.join("never.json"));
        Self { healthy: path(&healthy), dir, baseline, out }
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let file = self.dir.join(name);
        std::fs::write(&file, bytes).expect("target/ can be written");
        path(&file)
    }

    fn build<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let out = ["--out", self.out.as_str()];
        let season: &[&str] = if more.contains(&"--seasonality") { &[] } else { &["--seasonality", "none"] };
        ["baseline", "build", "--model", MODEL]
            .iter()
            .chain(&out)
            .chain(season)
            .chain(more)
            .copied()
            .collect()
    }
}

/// One line, one code, every word of it.
async fn check(args: &[&str], words: &[&str]) {
    let ran = run(args).await;
    one_line(args, &ran);
    for word in words {
        assert!(ran.stderr.contains(word), "{args:?}\n  said {}  not  {word}", ran.stderr);
    }
}

fn one_line(args: &[&str], ran: &Ran) {
    assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{args:?}: {ran:?}");
    assert!(!ran.stderr.contains("panicked"), "{args:?}: {ran:?}");
}

/// Configurations: the field, what it holds, what it should.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_configurations() {
    let files = Files::new("bad-config").await;
    let other = files.write("other.json", std::fs::read(&files.baseline).expect("built"));
    let answers = files.write("answers.yaml", "- {nme: a}\n");
    let model = |name: &str, file: &str| format!("models:\n  - {{name: {name}, baseline: {file}}}\n");
    let asking = |more: &str| {
        format!("listen: 127.0.0.1:0\nmodels:\n  - {{name: credit, baseline: {other}, {more}}}\n")
    };
    let cases = [
        ("lisen: 127.0.0.1:1\n".to_owned(), vec!["line 1", "unknown field `lisen`", "expected"]),
        ("listen: nowhere\n".to_owned(), vec!["line 1", "`nowhere` is no address", "expected IP:PORT"]),
        ("listen: 0.0.0.0:0\n".to_owned(), vec!["`listen`", "beyond loopback", "expected `token_env`"]),
        ("tap:\n  queue_records: 0\n".to_owned(), vec!["line 2", "tap.queue_records", "above 0"]),
        ("token_env: SILENTRY_TEST_NO_SUCH_VARIABLE\n".to_owned(), vec!["token_env", "is not set"]),
        (
            "alerts: {sinks: [{webhook: {url: 'http://127.0.0.1:1', authorization: {file: none.token}}}]}\n"
                .to_owned(),
            vec!["none.token"],
        ),
        (model("credit", "none.json"), vec!["model `credit`", "cannot read its baseline", "none.json"]),
        (model("fraud", &other), vec!["other.json", "is of model `credit`", "expected model `fraud`"]),
        (
            format!("models:\n  - {{name: credit, baseline: {other}, without: [zero_rat]}}\n"),
            vec!["models[0].without", "`zero_rat`", "expected one of", "zero_rate"],
        ),
        (
            asking("known_answers: {url: 'http://h', requests_file: none.yaml}"),
            vec!["model `credit`", "`known_answers.requests_file`", "none.yaml", "cannot be read"],
        ),
        (
            asking(&format!("pinned: {{url: 'http://h', requests_file: {answers}}}")),
            vec!["`pinned.requests_file`", "answers.yaml", "unknown field `nme`", "expected"],
        ),
        (
            asking("pinned: {url: 'http://h', authorization: {file: none.token}}"),
            vec!["model `credit`", "pinned.authorization", "none.token"],
        ),
        ("models: [\n".to_owned(), vec!["line"]),
        ("- just a list\n".to_owned(), vec!["line 1", "expected"]),
    ];
    for (text, words) in cases {
        let file = files.write("silentry.yaml", text);
        for args in [["config", "check", &file], ["serve", "-c", &file]] {
            check(&args, &words).await;
        }
    }
}

/// Baselines: damaged, of another format, of another model.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_baselines() {
    let files = Files::new("bad-baseline").await;
    let text = std::fs::read_to_string(&files.baseline).expect("built");
    let changed = text.replacen(MODEL, "fraud", 1);
    let cases = [
        (changed, "baseline was changed after it was sealed"),
        (text[..text.len() / 2].to_owned(), "not a baseline file"),
        (text.replacen("silentry/baseline/v", "silentry/baseline/v9", 1), "expected `silentry/baseline/v1`"),
        ("{}".to_owned(), "is of format `(none)`, expected"),
        (String::new(), "not a baseline file"),
    ];
    for (bytes, words) in cases {
        let file = files.write("damaged.json", bytes);
        check(&["baseline", "show", &file], &["damaged.json", words]).await;
        check(&["replay", "--baseline", &file, "--input", &files.healthy], &["damaged.json", words]).await;
        check(&["demo", "--baseline", &file], &["damaged.json", words]).await;
    }
    let other = ["is of model `credit`", "expected model `wine`"];
    check(&["demo", "--short", "--baseline", &files.baseline], &other).await;
}

/// Recorded traffic and what is said about it.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_traffic_and_schemas() {
    let files = Files::new("bad-traffic").await;
    let input = ["--input", files.healthy.as_str()];
    let with = |more: &[&'static str]| -> Vec<&str> { files.build(&[&input[..], more].concat()) };
    check(&with(&["--budget", "often"]), &["budget is `often`", "expected"]).await;
    check(&with(&["--budget", "0/month"]), &["0/month", "expected"]).await;
    check(&with(&["--rate", "-1"]), &["rate", "-1", "expected"]).await;
    check(&with(&["--rate", "many"]), &["--rate", "many"]).await;
    check(&with(&["--seasonality", "lunar"]), &["lunar", "expected `none`, `hour-of-day`"]).await;
    check(&with(&["--seasonality", "hour-of-day"]), &["hour-of-day", "two cycles"]).await;
    check(&with(&["--schema", "/nonexistent.yaml"]), &["schema file `/nonexistent.yaml`"]).await;
    for (text, words) in [
        ("groups: [", "line 1"),
        ("groupz: {}", "unknown field `groupz`"),
        ("groups:\n  \"redis:user\": [balanc]\n", "the data has no column `balanc`"),
        ("columns:\n  balance: {kind: colour}\n", "colour"),
        ("columns:\n  balance: {kind: text}\n", "balance"),
    ] {
        let file = files.write("schema.yaml", text);
        check(&files.build(&["--input", &files.healthy, "--schema", &file]), &[words]).await;
    }
    let xlsx = files.write("traffic.xlsx", "words");
    check(&files.build(&["--input", &xlsx]), &["traffic.xlsx", ".parquet", ".csv", ".ndjson"]).await;
    let none = path(&files.dir.join("none.ndjson"));
    check(&files.build(&["--input", &none]), &["none.ndjson"]).await;
    check(&["replay", "--baseline", &files.baseline, "--input", &xlsx], &["traffic.xlsx", ".parquet"]).await;
    check(&["replay", "--baseline", &none, "--input", &files.healthy], &["none.ndjson"]).await;
    let strange = ["replay", "--baseline", &files.baseline, "--input", &files.healthy, "--without", "psy"];
    check(&strange, &["psy"]).await;
}

/// Experiments and the flags of whatever runs them.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_experiments() {
    let files = Files::new("bad-experiment").await;
    let good = std::fs::read_to_string(experiment("sham")).expect("the experiment is there");
    for (from, to, words) in [
        ("fraction: 0", "fraction: 2", vec!["fraction", "2", "expected"]),
        ("latency: 800ms", "latency: soon", vec!["latency", "soon", "expected"]),
        (
            "store_latency:\n        latency",
            "store_lag:\n        latency",
            vec!["store_lag", "store_latency"],
        ),
        ("detector: zero_rate", "detector: zero_rat", vec!["zero_rat", "expected"]),
        ("silentry/experiment/v1", "silentry/experiment/v7", vec!["v7", "silentry/experiment/v1"]),
        ("hypothesis: ", "hypotesis: ", vec!["hypotesis"]),
        ("max_duration: 60s", "max_duration: 1s", vec!["max_duration"]),
        ("redis:wine", "redis:beer", vec!["`faults[0].group` is `redis:beer`", "redis:wine, request"]),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let file = files.write("experiment.yaml", text);
        check(&["experiment", "check", &file], &[&["experiment.yaml"], &words[..]].concat()).await;
        check(&["experiment", "run", &file, "--short"], &words).await;
    }
    let other = files
        .write("other.yaml", good.replacen("  scene:\n    on_store_failure: zeros", "  model: credit", 1));
    check(&["experiment", "run", &other], &["expected `target.scene`"]).await;
    let taken = files.write("taken", "no folder");
    let beneath = format!("{taken}/alarms.ndjson");
    check(&["demo", "--short", "--out", &taken], &["--out", &taken]).await;
    let replay = ["replay", "--baseline", &files.baseline, "--input", &files.healthy, "--alarms-out"];
    check(&[&replay[..], &[&beneath]].concat(), &["--alarms-out", &taken]).await;
    check(&["experiment", "run", "/nonexistent.yaml"], &["/nonexistent.yaml"]).await;
    check(&["demo", "--scenario", "eclipse"], &["eclipse", "expected", "feature-store-latency"]).await;
    check(&["demo", "--without", "zero_rat"], &["zero_rat", "expected one of", "zero_rate"]).await;
    check(&["demo", "--store", "http://127.0.0.1:1"], &["http://127.0.0.1:1", "redis://"]).await;
    check(&["demo", "--store", "redis://127.0.0.1:1"], &["127.0.0.1:1"]).await;
}

/// Flags that nobody knows, values that none takes, and what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage() {
    check(&["demo", "--sceanrio", "all"], &["unexpected argument", "--sceanrio", "--scenario"]).await;
    check(&["dmeo"], &["unrecognized subcommand", "dmeo", "demo"]).await;
    check(&["serve"], &["required", "--config"]).await;
    check(&["serve", "-c", "/nonexistent.yaml"], &["/nonexistent.yaml"]).await;
}

/// Garbage in the place of every kind of file.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_for_every_file() {
    let files = Files::new("garbage").await;
    let noise: Vec<u8> = (0..4_096_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let cut_parquet = [b"PAR1".as_slice(), &noise, b"PAR1"].concat();
    let cut_arrow = [b"ARROW1\0\0".as_slice(), &noise].concat();
    let deep = "[".repeat(100_000);
    for (name, bytes) in
        [("noise", noise.as_slice()), ("empty", b""), ("zeros", &[0; 64]), ("deep", deep.as_bytes())]
    {
        let yaml = files.write(&format!("{name}.yaml"), bytes);
        if name != "empty" {
            check(&["config", "check", &yaml], &[name]).await;
            check(&files.build(&["--input", &files.healthy, "--schema", &yaml]), &[name]).await;
        }
        check(&["experiment", "check", &yaml], &[name]).await;
        let json = files.write(&format!("{name}.json"), bytes);
        check(&["baseline", "show", &json], &[name]).await;
        for ending in ["parquet", "csv", "arrow", "ndjson"] {
            let file = files.write(&format!("{name}.{ending}"), bytes);
            check(&files.build(&["--input", &file]), &[]).await;
        }
    }
    for (name, bytes) in [("cut.parquet", &cut_parquet), ("cut.arrow", &cut_arrow)] {
        let file = files.write(name, bytes);
        check(&files.build(&["--input", &file]), &[name]).await;
        check(&["replay", "--baseline", &files.baseline, "--input", &file], &[name]).await;
    }
    let strange = files.write("strange.ndjson", OTHER_TABLE.repeat(300).as_bytes());
    let words = ["none of the", "features of the baseline", "strange.ndjson"];
    check(&["replay", "--baseline", &files.baseline, "--input", &strange], &words).await;
    assert!(!Path::new(&files.out).exists());
}

/// Files in which nothing is wrong are told to scripts as one document; of wrong ones there is none.
#[tokio::test(flavor = "multi_thread")]
async fn sound_files_as_json() {
    let files = Files::new("sound").await;
    let models = format!("models:\n  - {{name: {MODEL}, baseline: {}}}\n", files.baseline);
    let config = files.write("silentry.yaml", models);
    let sham = files.write("sham.yaml", std::fs::read_to_string(experiment("sham")).expect("read"));
    for (args, expected) in [
        (["config", "check", &config, "--json"], json!({"file": config, "models": [MODEL]})),
        (["experiment", "check", &sham, "--json"], json!({"experiments": [{"file": sham, "name": "sham"}]})),
    ] {
        let ran = run(args).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let document: Value = serde_json::from_str(&ran.stdout).expect("one document");
        assert_eq!(document, expected);
    }
    let wrong = files.write("wrong.yaml", "lisen: 127.0.0.1:1\n");
    check(&["config", "check", &wrong, "--json"], &["unknown field `lisen`"]).await;
    assert_eq!(run(["config", "check", &wrong, "--json"]).await.stdout, "");
}
