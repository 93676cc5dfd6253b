//! Baselines of earlier versions keep loading, and keep detecting; those of today can be learnt live,
//! looked at, compared and added.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use silentry::baseline::Baseline;
use silentry::detect::{Alarm, Calibration, Finding, Monitor, Options};
use silentry::record::{Batch, BatchBuilder, Kind, Role};
use silentry::sketch::Sketch;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::serving::{GROUP, MODEL, baseline, ndjson, row, zeroed as zeroed_row};
use crate::support::{Ran, ended, folder, path, run, signal, silentry, until, within};

/// Today's version of the counts in a baseline.
const CALIBRATION: u32 = 2;
/// Rows of the fault: a group at zero in each of them has to alarm well before the last.
const ROWS: i64 = 50;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines");
    let entries = std::fs::read_dir(folder).expect("baselines can be listed");
    let paths = entries.map(|entry| entry.expect("baselines can be listed").path());
    paths.filter(|path| path.extension().is_some_and(|e| e == "json")).collect()
}

fn monitor(baseline: &Baseline) -> Monitor {
    let calibration = Calibration::read(baseline.calibration(), baseline.schema()).expect("a calibration");
    let options = Options {
        budget: baseline.budget(),
        rate: baseline.rate(),
        without: std::collections::BTreeSet::new(),
    };
    Monitor::new(Arc::clone(baseline.schema()), calibration, options).expect("a monitor")
}

/// Rows at the baseline's medians and commonest words, but for one group of features, which is 0.
fn zeroed(baseline: &Baseline, group: &str) -> Batch {
    let (mut features, mut prediction) = (Map::new(), Map::new());
    for (column, sketch) in baseline.profile().columns() {
        let usual = match sketch {
            Sketch::Numeric(numbers) => json!(numbers.quantile(0.5)),
            Sketch::Categories(words) => json!(words.top(1).first().map(|(word, _)| word)),
            _ => Value::Null,
        };
        match column.role {
            Role::Input if column.group == group => features.insert(column.name.clone(), json!(0.0)),
            Role::Input => features.insert(column.name.clone(), usual),
            // In records the answer itself is called `label`; `prediction` is its column.
            Role::Output if column.name == "prediction" => prediction.insert("label".to_owned(), usual),
            Role::Output => prediction.insert(column.name.clone(), usual),
            Role::Meta => None,
        };
    }
    let mut rows = BatchBuilder::new(Arc::clone(baseline.schema()));
    for i in 0..ROWS {
        let line = json!({
            "ts": i * 10, "model": baseline.model(), "features": features, "prediction": prediction,
        });
        rows.push(&serde_json::from_value(line).expect("a record"));
    }
    rows.finish().expect("a batch").0
}

/// A group of two numeric features or more.
fn group_of(baseline: &Baseline) -> String {
    let inputs = || baseline.schema().columns.iter().filter(|c| c.role == Role::Input);
    let numeric = |group: &str| inputs().filter(|c| c.group == group && c.kind == Kind::Numeric).count();
    let grouped = inputs().find(|c| c.group != "request" && numeric(&c.group) > 1);
    grouped.expect("an example has a group of features").group.clone()
}

/// Every file in `baselines/` is read, has the hash that it was sealed with, is written back to the same
/// content, and makes a monitor that still finds a zeroed group; unless its counts are of an earlier version,
/// which is told.
#[test]
fn every_example_loads_and_detects() {
    let files = files();
    let mut judged = 0;
    for path in files {
        let shown = path.display();
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{shown}: {e}"));
        let baseline = Baseline::read(&bytes).unwrap_or_else(|e| panic!("{shown}: {e}"));
        let file: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(file["content_hash"], baseline.content_hash(), "{shown}");
        let again = Baseline::read(&baseline.to_bytes().expect("bytes")).expect("the same baseline");
        assert_eq!(again, baseline, "{shown}");

        let version = &file["content"]["calibration"]["version"];
        if *version != CALIBRATION {
            // What it was counted for is gone: it is told so, and never judged by.
            let read = Calibration::read(baseline.calibration(), baseline.schema());
            let told = read.expect_err("its calibration is older").to_string();
            let expected = format!("version {version}, expected {CALIBRATION}: build the baseline again");
            assert!(told.contains(&expected), "{shown}: {told}");
            continue;
        }
        judged += 1;
        let group = group_of(&baseline);
        let findings = monitor(&baseline).observe(&zeroed(&baseline, &group));
        let raised = |f: &Finding| match f {
            Finding::Raised(alarm) => Some(Alarm::clone(alarm)),
            _ => None,
        };
        let alarm = findings.iter().find_map(raised).unwrap_or_else(|| panic!("{shown}: no alarm"));
        assert_eq!((alarm.group.as_str(), alarm.kind.as_str()), (group.as_str(), "zero"), "{shown}");
    }
    assert!(judged > 0, "baselines/ has an example for each version of the format, today's among them");
}

/// A file of so many rows, from one on, of which some are changed.
fn recording(dir: &Path, seed: u64, rows: u64, change: impl Fn(u64, Value) -> Value) -> String {
    let file = dir.join(format!("recording-{seed}.ndjson"));
    std::fs::write(&file, ndjson((0..rows).map(|n| change(n, row(seed, n)))))
        .expect("target/ can be written");
    path(&file)
}

async fn said(args: &[&str], code: i32) -> Ran {
    let ran = run(args).await;
    assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
    assert_eq!(ran.stderr.lines().count(), usize::from(code > 1), "{args:?}: {ran:?}");
    ran
}

async fn document(args: &[&str], code: i32) -> Value {
    serde_json::from_str(&said(args, code).await.stdout).expect("one document")
}

/// A baseline of healthy rows passes its check; one whose recording holds a failed store does not, and
/// both documents say what and where.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_the_baseline_is_found() {
    let dir = folder("baseline-check");
    let sound = path(&baseline(&dir, 1).await);
    assert!(
        said(&["baseline", "check", &sound], 0).await.stdout.contains("nothing in it looks like a fault")
    );
    assert_eq!(document(&["baseline", "check", &sound, "--json"], 0).await["findings"], json!([]));

    let faulty = |n: u64, row: Value| {
        let mut row = if n % 20 == 7 { zeroed_row(row) } else { row };
        if n.is_multiple_of(50) {
            row["features"]["age"] = json!(-999);
        }
        row
    };
    let (input, schema, file) =
        (recording(&dir, 2, 6_000, faulty), path(&dir.join("schema.yaml")), path(&dir.join("faulty.json")));
    let build = ["baseline", "build", "--model", MODEL, "--seasonality", "none", "--schema", &schema];
    said(&[&build[..], &["--input", &input, "--out", &file]].concat(), 0).await;
    let found = document(&["baseline", "check", &file, "--json"], 1).await;
    let told: Vec<(&str, &str)> = found["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|f| (f["what"].as_str().expect("a word"), f["where"].as_str().expect("a place")))
        .collect();
    assert!(told.contains(&("sentinel", "age")) && told.contains(&("dead_group", GROUP)), "{told:?}");
    assert_eq!(found["schema"], "silentry/baseline-check/v1");

    let diff = document(&["baseline", "diff", &sound, &file, "--json"], 0).await;
    let columns = diff["columns"].as_array().expect("a list");
    let sizes: Vec<f64> = columns.iter().map(|c| c["size"].as_f64().expect("a size")).collect();
    assert!(sizes.windows(2).all(|pair| pair[0] >= pair[1]) && sizes[0] > 0.04, "{sizes:?}");
    assert_eq!(diff["schema"], "silentry/baseline-diff/v1");
    let text = said(&["baseline", "diff", &sound, &file], 0).await.stdout;
    assert!(text.contains("zero 0.00 % -> 5.00 %"), "{text}");
    assert!(said(&["baseline", "diff", &sound, &sound], 0).await.stdout.contains("the two are the same"));
}

/// Rows that are lost on the way are told with the first of them, and where most are, nothing is known.
#[tokio::test(flavor = "multi_thread")]
async fn lost_rows_leave_nothing_known() {
    let dir = folder("replay-lost");
    let baseline = path(&baseline(&dir, 1).await);
    for (healthy, lost, is_known) in [(2_000, 20, true), (500, 1_500, false)] {
        let lines = (0..healthy).map(|n| row(4, n));
        let file = dir.join("lossy.ndjson");
        let text = format!("{}{}", "{\"ts\":\n".repeat(lost), ndjson(lines));
        std::fs::write(&file, text).expect("target/ can be written");
        let args = ["replay", "--baseline", &baseline, "--input", &path(&file)];
        let told = said(&args, 0).await.stdout;
        assert!(
            told.contains(&format!("{lost} lost")) && told.contains("the first lost: line 1: "),
            "{told}"
        );
        let replayed = document(&[&args[..], &["--json"]].concat(), 0).await;
        assert_eq!(replayed["rows_lost_by_reason"], json!({"malformed": lost}));
        let states: Vec<&Value> =
            replayed["detectors"].as_array().expect("a list").iter().map(|d| &d["reason"]).collect();
        assert_eq!(states.iter().all(|reason| **reason != "rows_lost"), is_known, "{states:?}");
        assert!(is_known || states.iter().all(|reason| **reason == "rows_lost"), "{states:?}");
    }
}

/// The document has the detectors that fire while an alarm is open, and the features that the baseline does
/// not know, which the text names as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_tells_all_that_it_found() {
    let dir = folder("replay-tells");
    let baseline = path(&baseline(&dir, 1).await);
    let two_faults = |n: u64, row: Value| {
        let mut row = if (300..350).contains(&n) { zeroed_row(row) } else { row };
        if n >= 350 {
            row["features"]["debt"] = Value::Null;
        }
        row["features"]["tenure"] = json!(n);
        row["label"] = json!(1);
        row
    };
    let input = recording(&dir, 4, 450, two_faults);
    let args = ["replay", "--baseline", &baseline, "--input", &input];
    let text = said(&args, 0).await.stdout;
    assert!(text.contains("\nthe baseline does not know, and nobody watched: tenure\n"), "{text}");
    let replayed = document(&[&args[..], &["--json"]].concat(), 0).await;
    assert_eq!(replayed["unexpected"], json!(["tenure"]));
    assert_eq!(replayed["alarms"].as_array().map(Vec::len), Some(1), "{replayed}");
    let fired = replayed["fired"].as_array().expect("a list");
    let null = fired.iter().find(|f| f["detector"] == "null_rate").expect("it fires in the open alarm");
    assert_eq!((&null["group"], &null["features"]), (&json!(GROUP), &json!(["debt"])));
    let row = null["row"].as_u64().expect("a row");
    assert!((350..370).contains(&row), "{row}");
    let ts = 1_750_000_000_000_i64 + 10 * i64::try_from(row).expect("small");
    let ts = silentry::units::Timestamp::from_millis(ts).to_string();
    assert_eq!(null["ts"], ts);
}

/// A second recording counted with the first one's plan is added to it; nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn recordings_of_one_plan_are_added() {
    let dir = folder("baseline-merge");
    let (one, other) = (path(&baseline(&dir, 1).await), path(&baseline(&dir, 2).await));
    let (input, two) = (recording(&dir, 3, 4_000, |_, row| row), path(&dir.join("two.json")));
    let build = ["baseline", "build", "--model", MODEL, "--seasonality", "none", "--plan-of", &one];
    let built = document(&[&build[..], &["--input", &input, "--out", &two, "--json"]].concat(), 0).await;
    assert_eq!((&built["schema"], &built["rows_lost"]), (&json!("silentry/baseline-build/v1"), &json!(0)));
    assert_eq!(built["provenance"]["rows"], 4_000);

    let (out, never) = (path(&dir.join("merged.json")), path(&dir.join("never.json")));
    let ran = said(&["baseline", "merge", &one, &two, "--out", &out], 0).await;
    assert!(ran.stdout.contains("10000 rows of model"), "{ran:?}");
    assert!(ran.stdout.contains("their times overlap"), "both begin at one time: {ran:?}");
    let shown = said(&["baseline", "show", &out], 0).await.stdout;
    assert!(shown.contains("healthy-1.ndjson + recording-3.ndjson"), "{shown}");
    let merged = document(&["baseline", "merge", &one, &two, "--out", &out, "--json"], 0).await;
    assert_eq!((&merged["times_overlap"], &merged["path"]), (&json!(true), &json!(out)));
    assert_eq!(merged["provenance"]["parts"].as_array().map(Vec::len), Some(2));
    shows_the_same_to_programs(&out).await;

    let healthy = path(&dir.join("healthy-1.ndjson"));
    let own = [&build[..], &["--input", &healthy, "--out", &never]].concat();
    for (args, words) in [
        (vec!["baseline", "merge", &one, &other, "--out", &never], "has other bins"),
        (vec!["baseline", "merge", &out, &two, "--out", &never], "recording-3.ndjson"),
        (vec!["baseline", "merge", &one, &one, "--out", &never], "healthy-1.ndjson"),
        (own, "healthy-1.ndjson"),
    ] {
        let ran = said(&args, 2).await;
        assert!(ran.stderr.contains(words), "{args:?}: {ran:?}");
    }
    assert!(!Path::new(&never).exists());
}

/// The document of `show` has what the text has, and as numbers.
async fn shows_the_same_to_programs(file: &str) {
    let text = said(&["baseline", "show", file], 0).await.stdout;
    let shown = document(&["baseline", "show", file, "--json"], 0).await;
    assert_eq!((&shown["schema"], &shown["model"]), (&json!("silentry/baseline-show/v1"), &json!(MODEL)));
    for words in [&shown["baseline"], &shown["provenance"]["source"], &shown["promise"]["told"]] {
        assert!(text.contains(words.as_str().expect("words")), "{words}: {text}");
    }
    assert_eq!((&shown["promise"]["state"], &shown["budget"]), (&json!("proven"), &json!("1/month")));
    let number = |name: &str| shown[name].as_f64().expect("a number");
    let of_budget = number("rate_per_second") * 2_592_000.0;
    assert!((number("rows_between_false_alarms") / of_budget - 1.0).abs() < 1e-9, "{shown}");
    let power = shown["power"].as_array().expect("a list");
    let of_group: Vec<String> = power
        .iter()
        .filter(|p| p["group"] == GROUP)
        .map(|p| match p["rows"].as_f64() {
            Some(rows) => format!("{} %: {rows}", p["share"].as_f64().expect("a share") * 100.0),
            None => format!("{} %: cannot be seen", p["share"].as_f64().expect("a share") * 100.0),
        })
        .collect();
    assert!(of_group.len() == 4 && text.contains(&of_group.join("   ")), "{of_group:?}: {text}");
    for column in shown["columns"].as_array().expect("a list") {
        assert!(text.contains(column["name"].as_str().expect("a name")), "{column}");
    }
}

/// A group that is at zero in health cannot be watched for zeros: refused with the reason, unless somebody
/// says that it is known, which the file then tells. Rows of another version are refused as well.
#[tokio::test(flavor = "multi_thread")]
async fn weak_baselines_are_refused() {
    let dir = folder("baseline-weak");
    let dead = |n: u64, row: Value| if n.is_multiple_of(20) { row } else { zeroed_row(row) };
    let input = recording(&dir, 1, 3_000, dead);
    let (schema, file) = (dir.join("schema.yaml"), path(&dir.join("weak.json")));
    std::fs::write(&schema, format!("groups: {{\"{GROUP}\": [balance, debt, income]}}")).expect("written");
    let schema = path(&schema);
    let build = [
        "baseline",
        "build",
        "--model",
        MODEL,
        "--seasonality",
        "none",
        "--schema",
        &schema,
        "--input",
        &input,
        "--out",
        &file,
    ];
    let ran = said(&build, 2).await;
    for words in [GROUP, "95.0 % of healthy rows, nothing helps", "--accept-weak"] {
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
    assert!(!Path::new(&file).exists());
    said(&[&build[..], &["--accept-weak"]].concat(), 0).await;
    let shown = said(&["baseline", "show", &file], 0).await.stdout;
    assert!(shown.contains("accepted although") && shown.contains(GROUP), "{shown}");

    let versions = |n: u64, mut row: Value| {
        row["version"] = json!(if n < 90 { "1" } else { "2" });
        row
    };
    let mixed = recording(&dir, 2, 3_000, versions);
    let build = ["baseline", "build", "--model", MODEL, "--seasonality", "none", "--input", &mixed];
    let of = |version| [&build[..], &["--out", &file, "--version", version]].concat();
    let ran = said(&of("2"), 2).await;
    assert!(ran.stderr.contains("90 rows are of version `1`"), "{ran:?}");
    let pure = recording(&dir, 3, 3_000, |_, row| row);
    let build = ["baseline", "build", "--model", MODEL, "--seasonality", "none", "--input", &pure];
    said(&[&build[..], &["--out", &file, "--version", "7"]].concat(), 0).await;
    assert!(said(&["baseline", "show", &file], 0).await.stdout.contains("version 7"));
}

/// A program that learns from live rows.
struct Live {
    child: Child,
    url: String,
}

impl Live {
    async fn start(args: &[&str]) -> Self {
        let mut child = silentry(args).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = within("its address", lines.next_line()).await.expect("its output is read");
        let line = line.expect("a first line");
        let url = line.rsplit(' ').next().expect("an address").to_owned();
        child.stdout = Some(lines.into_inner().into_inner());
        Self { child, url }
    }

    /// Sends rows and waits until they have been learnt of.
    async fn send(&self, rows: std::ops::Range<u64>) {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let seen = || async {
            let url = self.url.replace("/v1/records", "/readyz");
            let health = http.get(url).send().await.expect("it answers").text().await.expect("text");
            let health: Value = serde_json::from_str(&health).expect("JSON");
            assert_eq!(health["ready"], true, "{health}");
            health["tap"]["rows_seen"].as_u64().expect("a number")
        };
        let all = seen().await + rows.end - rows.start;
        for from in rows.clone().step_by(2_000) {
            self.post(from..rows.end.min(from + 2_000)).await;
        }
        until("the rows are learnt", || async { (seen().await >= all).then_some(()) }).await;
    }

    async fn post(&self, rows: std::ops::Range<u64>) {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let body = ndjson(rows.map(|n| row(5, n)));
        let sent = http.post(&self.url).body(body).send().await.expect("it answers");
        assert_eq!(sent.status(), reqwest::StatusCode::ACCEPTED);
    }

    async fn signal(&self, name: &str) {
        signal(name, self.child.id().expect("it runs")).await;
    }
}

/// What a capture is asked for: a port of its own, and a rate because rows come in bursts.
fn capture<'a>(out: &'a str, schema: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = [
        "baseline",
        "capture",
        "--model",
        MODEL,
        "--out",
        out,
        "--schema",
        schema,
        "--listen",
        "127.0.0.1:0",
        "--seasonality",
        "none",
        "--rate",
        "100",
    ];
    args.iter().chain(more).copied().collect()
}

/// Live rows become a baseline when the time is over, or when somebody wants what there is, by either
/// command; it keeps no row and detects.
#[tokio::test(flavor = "multi_thread")]
async fn learnt_from_live_rows() {
    let dir = folder("baseline-live");
    let (schema, config) = (dir.join("schema.yaml"), dir.join("silentry.yaml"));
    std::fs::write(&schema, format!("groups: {{\"{GROUP}\": [balance, debt, income]}}")).expect("written");
    std::fs::write(&config, "listen: 127.0.0.1:0\nlog: {level: warn}\n").expect("written");
    let (schema, config) = (path(&schema), path(&config));
    let captured = path(&dir.join("captured.json"));
    let live = Live::start(&capture(&captured, &schema, &["--for", "1h", "--partial"])).await;
    live.send(0..14_000).await;
    live.signal("INT").await;
    let ran = ended(live.child).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("14000 rows of model `credit`"), "{ran:?}");
    assert!(!std::fs::read_to_string(&captured).expect("it is there").contains("r5-"), "no row is kept");

    let served = path(&dir.join("served.json"));
    let args = [
        "serve",
        "-c",
        &config,
        "--learn",
        "2s",
        "--model",
        MODEL,
        "--out",
        &served,
        "--seasonality",
        "none",
        "--rate",
        "100",
        "--plan-of",
        &captured,
    ];
    let live = Live::start(&args).await;
    live.post(14_000..15_000).await;
    let ran = ended(live.child).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("1000 rows of model `credit`"), "{ran:?}");
    let merged = path(&dir.join("merged.json"));
    said(&["baseline", "merge", &captured, &served, "--out", &merged], 0).await;
    said(&["baseline", "check", &merged], 0).await;
    let fault = |n: u64, row: Value| if n >= 2_000 { zeroed_row(row) } else { row };
    let input = recording(&dir, 6, 2_100, fault);
    let replayed = document(&["replay", "--baseline", &merged, "--input", &input, "--json"], 0).await;
    let alarms = replayed["alarms"].as_array().expect("a list");
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!(alarms[0]["group"], GROUP);
    let row = alarms[0]["row"].as_u64().expect("a row");
    assert!((2_000..2_020).contains(&row), "{row}");
}

/// Who interrupts a capture is told how far it was. Nothing is written unless that was asked for and there
/// is enough; killed, it leaves nothing at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_capture_ends_early() {
    let dir = folder("baseline-interrupted");
    let schema = dir.join("schema.yaml");
    std::fs::write(&schema, format!("groups: {{\"{GROUP}\": [balance, debt, income]}}")).expect("written");
    let (schema, out) = (path(&schema), path(&dir.join("out.json")));
    let listed = || std::fs::read_dir(&dir).expect("listed").count();
    for (rows, name, more, code, words) in [
        (500, "INT", &["--for", "1h"][..], Some(3), "nothing is written; `--partial`"),
        (
            500,
            "TERM",
            &["--for", "1h", "--partial"],
            Some(3),
            "not enough for a baseline, nothing is written",
        ),
        (0, "INT", &["--for", "1h", "--partial"], Some(3), "no row came"),
        (12_000, "KILL", &["--for", "1h", "--partial"], None, ""),
    ] {
        let live = Live::start(&capture(&out, &schema, more)).await;
        live.send(0..rows).await;
        live.signal(name).await;
        let ran = ended(live.child).await;
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stderr.contains(words), "{ran:?}");
        if code.is_some() {
            assert!(ran.stderr.contains(&format!("after {rows} rows")), "{ran:?}");
        }
        assert_eq!(listed(), 1, "only the schema is there");
    }
}

/// Wrong captures end before the first row; a model that cannot be learnt ends with its first thousand.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_captures_end_at_once() {
    let dir = folder("baseline-wrong-capture");
    let (schema, out) = (dir.join("schema.yaml"), path(&dir.join("out.json")));
    std::fs::write(&schema, "groups: {g: [balance, blance]}").expect("written");
    let (schema, config) = (path(&schema), dir.join("silentry.yaml"));
    std::fs::write(&config, "listen: 127.0.0.1:0\n").expect("written");
    let config = path(&config);
    let live = Live::start(&capture(&out, &schema, &["--for", "1h"])).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let _ =
        http.post(&live.url).body(ndjson((0..1_000).map(|n| row(5, n)))).send().await.expect("it answers");
    let ran = ended(live.child).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("first 1000 rows") && ran.stderr.contains("`blance`"), "{ran:?}");

    let daily = ["--for", "24h", "--seasonality", "hour-of-day"];
    let never = ["baseline", "capture", "--model", MODEL, "--out", &out];
    let with =
        |more: &[&'static str]| -> Vec<&str> { never.iter().copied().chain(more.iter().copied()).collect() };
    for (args, words) in [
        (with(&daily), "two cycles, at least 48h"),
        (with(&["--for", "0s", "--seasonality", "none"]), "expected more"),
        (with(&["--for", "soon", "--seasonality", "none"]), "soon"),
        (with(&["--for", "1h", "--seasonality", "none", "--listen", "0.0.0.0:0"]), "beyond loopback"),
        (vec!["serve", "-c", &config, "--learn", "1h"], "--model"),
        (vec!["serve", "-c", &config, "--partial"], "--learn"),
        (vec!["serve", "-c", &config, "--model", MODEL], "--learn"),
        (vec!["serve", "-c", &config, "--budget", "1/day"], "--learn"),
        (vec!["baseline", "check", &config], "not a baseline file"),
        (vec!["baseline", "diff", &config, &config], "not a baseline file"),
        (vec!["baseline", "merge", &config, &config, "--out", &out], "not a baseline file"),
    ] {
        let ran = said(&args, 2).await;
        assert!(ran.stderr.contains(words), "{args:?}: {ran:?}");
    }
    assert!(!Path::new(&out).exists());
}
