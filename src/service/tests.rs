//! The service with its tasks, from bytes to alerts, metrics and verdicts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

mod answers;
mod labels;
mod operate;
mod relearn;

use super::*;
use crate::alert;
use crate::baseline::{Baseline, Budget, Seasonality};
use crate::chaos::{Act, Experiment, Headline};
use crate::detect::{StreamState, Undecided};
use crate::record::SchemaFile;
use crate::tap::{Limits, Reason, Source};
use crate::units::{Clock, PerSecond, Timestamp};

/// Rows a second of every model here.
const RATE: i64 = 100;
/// Rows that suffice for most detectors to say that they are quiet.
const ENOUGH: i64 = 6_000;

/// One healthy row: two features of the store, one of the request, an answer.
fn row(model: &str, i: i64, more: &str) -> String {
    line(model, i, [10 + mixed(i, 1) % 91, 1 + mixed(i, 2) % 23, 18 + mixed(i, 3) % 60], more)
}

/// One row to which the store gave zeros.
fn zeros(model: &str, i: i64) -> String {
    line(model, i, [0, 0, 18 + mixed(i, 3) % 60], "")
}

/// A number from 0 that looks random: a pattern in the rows would be one that detectors rightly see.
fn mixed(i: i64, salt: u64) -> i64 {
    let mut z = i.cast_unsigned().wrapping_mul(4).wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 1).cast_signed()
}

fn line(model: &str, i: i64, [spend, visits, age]: [i64; 3], more: &str) -> String {
    let score = f64::from(u8::try_from(mixed(i, 4) % 100).unwrap()) / 100.0;
    let ts = i * 1_000 / RATE;
    format!(
        r#"{{"ts":{ts},"model":"{model}","features":{{"spend":{spend}.5,"visits":{visits},"age":{age}}},"prediction":{{"score":{score}}}{more}}}"#
    )
}

fn body(lines: impl IntoIterator<Item = String>) -> Vec<u8> {
    lines
        .into_iter()
        .fold(String::new(), |mut body, line| {
            let _ = writeln!(body, "{line}");
            body
        })
        .into_bytes()
}

fn learned(model: &str, rows: i64) -> Baseline {
    learned_of(model, "1", rows)
}

fn learned_of(model: &str, version: &str, rows: i64) -> Baseline {
    learned_from(model, version, (0..rows).map(|i| row(model, i, "")))
}

fn learned_from(model: &str, version: &str, rows: impl Iterator<Item = String>) -> Baseline {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("healthy.ndjson");
    std::fs::write(&path, body(rows)).unwrap();
    let schema = format!("version: '{version}'\ngroups:\n  \"redis:user\": [spend, visits]\n");
    let options = LearnOptions {
        model: model.to_owned(),
        name: "test".to_owned(),
        schema: SchemaFile::parse(&schema).unwrap(),
        budget: Budget::DEFAULT,
        rate: Some(PerSecond::of(u32::try_from(RATE).unwrap())),
        seasonality: Seasonality::None,
        time_zone: "UTC".to_owned(),
        plan_of: None,
        accept_weak: true,
        now: Timestamp::from_millis(0),
    };
    learn(&Source::open(&path).unwrap(), &options, &|_, _| {}).unwrap()
}

/// The baseline of `a`, learned once.
pub(super) fn a() -> Baseline {
    static A: OnceLock<Baseline> = OnceLock::new();
    A.get_or_init(|| learned("a", 20_000)).clone()
}

fn setup(baselines: Vec<Baseline>) -> Setup {
    let clock = Clock::manual(Timestamp::from_millis(0));
    Setup::in_memory(baselines.into_iter().map(ModelSetup::new).collect(), clock)
}

/// A service whose clock stands at the last row that it was fed.
struct Fed {
    service: Service,
    handle: Handle,
    clock: Clock,
    seen: u64,
    next: i64,
}

impl Fed {
    fn new(setup: Setup) -> Self {
        let clock = setup.clock.clone();
        let service = Service::start(setup).unwrap();
        let handle = service.handle();
        Self { service, handle, clock, seen: 0, next: 0 }
    }

    /// Feeds rows in bodies that the queue takes, and waits until they are judged.
    async fn feed(&mut self, rows: i64, row: impl Fn(i64) -> String) {
        let end = self.next + rows;
        while self.next < end {
            let to = end.min(self.next + 500);
            let ingested = self.handle.ingest(&body((self.next..to).map(&row)));
            assert_eq!((ingested.rejected, ingested.dropped), (0, 0), "{ingested:?}");
            self.clock.set(Timestamp::from_millis(to * 1_000 / RATE));
            self.next = to;
            self.seen += ingested.accepted;
            self.judged().await;
        }
    }

    async fn judged(&self) {
        let judged = async {
            while self.handle.health().tap.rows_seen < self.seen {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), judged).await.unwrap();
    }

    fn states(&self, model: &str) -> Vec<StreamState> {
        self.handle.model(model).unwrap().detectors.into_iter().map(|d| d.state).collect()
    }

    fn has_quiet(&self) -> bool {
        self.states("a").contains(&StreamState::Quiet)
    }

    fn metric(&self, line: &str) {
        let text = self.handle.metrics().unwrap();
        assert!(text.lines().any(|l| l == line), "no line `{line}` in\n{text}");
    }

    /// Lets the ticking task run, on paused time.
    async fn ticks(&self) {
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    }
}

/// Effect sizes of a window are all on the API; among the metrics only those that say so.
#[tokio::test(start_paused = true)]
async fn few_effect_sizes_are_metrics() {
    let mut fed = Fed::new(setup(vec![a()]));
    fed.ticks().await;
    fed.feed(61 * RATE, |i| row("a", i, "")).await;
    fed.ticks().await;
    let sizes = fed.handle.model("a").unwrap().effects;
    for effect in crate::detect::EFFECTS {
        let name = effect.name();
        assert!(sizes.iter().any(|size| size.statistic == name && size.value.is_some()), "{name}");
        let series = format!("statistic=\"{name}\"");
        assert_eq!(fed.handle.metrics().unwrap().contains(&series), effect.on_metrics(), "{name}");
    }
}

/// Records of two models in turns, some of an unknown one: each is judged by its own baseline, the
/// unknown are refused by line and counted, and nothing else is lost.
#[tokio::test]
async fn interleaved_models_are_told_apart() {
    let mut fed = Fed::new(setup(vec![a(), learned("b", 5_000)]));
    let lines = (0..3_000).map(|i| row(["a", "b", "c"][usize::try_from(i).unwrap() % 3], i / 3, ""));
    let ingested = fed.handle.ingest(&body(lines));
    assert_eq!((ingested.accepted, ingested.rejected, ingested.dropped), (2_000, 1_000, 0));
    let first = ingested.rejections.first().unwrap();
    assert_eq!(first, "line 3: model `c` is not watched, expected one of: a, b");
    fed.seen = 2_000;
    fed.judged().await;
    let rows: Vec<(String, u64)> = fed.handle.models().into_iter().map(|m| (m.model, m.rows)).collect();
    assert_eq!(rows, [("a".to_owned(), 1_000), ("b".to_owned(), 1_000)]);
    let lost = fed.handle.health().tap.rows_lost;
    assert_eq!(lost.values().sum::<u64>(), 1_000);
    assert_eq!(lost.get("unknown_model"), Some(&1_000));
    fed.metric(r#"silentry_rows_scored_total{model="b"} 1000"#);
    assert!(fed.handle.alerts().active.is_empty(), "{:?}", fed.handle.alerts().active);
    fed.service.stop().await.unwrap();
}

/// Zeros from the store become one alert with its group, the metrics show it, and after recovery its
/// series is at 0 again.
#[tokio::test]
async fn findings_become_alerts_and_metrics() {
    let mut fed = Fed::new(setup(vec![a()]));
    fed.feed(1_000, |i| row("a", i, "")).await;
    fed.metric(r#"silentry_alert_state{group="redis:user",model="a"} 0"#);
    fed.feed(500, |i| zeros("a", i)).await;
    let active = fed.handle.alerts().active;
    assert_eq!(active.iter().map(|x| x.group.as_str()).collect::<Vec<_>>(), ["redis:user"]);
    fed.metric(r#"silentry_alert_state{group="redis:user",model="a"} 2"#);
    fed.metric(r#"silentry_alerts_fired_total{model="a"} 1"#);
    assert!(fed.states("a").contains(&StreamState::Drifted));
    fed.feed(ENOUGH, |i| row("a", i, "")).await;
    assert!(fed.handle.alerts().active.is_empty(), "{:?}", fed.handle.alerts().active);
    fed.metric(r#"silentry_alert_state{group="redis:user",model="a"} 0"#);
    fed.service.stop().await.unwrap();
}

/// A body beyond the queue is shed and counted; while it counts, nothing is quiet, in views and
/// metrics; a minute later detectors are quiet again.
#[tokio::test]
async fn shed_rows_leave_nothing_quiet() {
    let limits = Limits { records: 1_000, ..Limits::default() };
    let mut fed = Fed::new(Setup { limits, ..setup(vec![a()]) });
    fed.feed(ENOUGH, |i| row("a", i, "")).await;
    assert!(fed.has_quiet(), "{:?}", fed.states("a"));
    let from = fed.next;
    let ingested = fed.handle.ingest(&body((from..from + 3_000).map(|i| row("a", i, ""))));
    assert_eq!((ingested.accepted, ingested.dropped), (1_000, 2_000));
    assert!(!fed.has_quiet());
    assert!(fed.states("a").contains(&StreamState::Undecided(Undecided::RowsLost)));
    fed.metric(r#"silentry_detector_state{detector="null_rate",model="a"} 2"#);
    let text = fed.handle.metrics().unwrap();
    assert!(text.contains(r#"model="a",reason="rows_lost"} 1"#), "{text}");
    let health = fed.handle.health();
    assert!(health.ready && health.warnings.iter().any(|w| w.contains("2000 rows lost")), "{health:?}");
    assert_eq!(health.tap.rows_lost.get("queue_full"), Some(&2_000));
    fed.seen += 1_000;
    fed.next += 1_000;
    fed.judged().await;
    fed.feed(7_000, |i| row("a", i, "")).await;
    assert!(fed.has_quiet(), "{:?}", fed.handle.model("a").unwrap().recent);
    assert!(fed.handle.health().warnings.is_empty());
    fed.service.stop().await.unwrap();
}

/// Numbers that never come are lost rows too; delivered again they are none.
#[tokio::test(start_paused = true)]
async fn missing_numbers_are_lost_rows() {
    let mut fed = Fed::new(setup(vec![a()]));
    let numbered = |i: i64| row("a", i, &format!(r#","source":"svc-1","seq":{i}"#));
    fed.feed(ENOUGH, numbered).await;
    fed.ticks().await;
    assert!(fed.has_quiet());
    let _ = fed.handle.ingest(&body((fed.next - 500..fed.next).map(numbered)));
    fed.seen += 500;
    fed.ticks().await;
    assert_eq!(fed.handle.health().tap.rows_lost.get("missing_seq"), Some(&0));
    fed.next += 200;
    fed.feed(1_000, numbered).await;
    fed.ticks().await;
    fed.clock.set(Timestamp::from_millis(fed.next * 10 + 2_500));
    fed.ticks().await;
    assert_eq!(fed.handle.health().tap.rows_lost.get("missing_seq"), Some(&200));
    fed.metric(r#"silentry_tap_dropped_total{reason="missing_seq"} 200"#);
    assert!(!fed.has_quiet());
    fed.service.stop().await.unwrap();
}

/// Unreadable lines count against the models beside them, or against all; a lost body leaves nothing
/// known; a body of a model that nobody watches says nothing of the others.
#[tokio::test]
async fn whose_the_lost_rows_were() {
    let fed = Fed::new(setup(vec![a(), learned("b", 2_000)]));
    let lost = |model: &str| fed.handle.model(model).unwrap().recent.unwrap().lost;
    let garbage = || "{".to_owned();
    let _ = fed.handle.ingest(&body([row("a", 0, ""), garbage()]));
    assert_eq!((lost("a"), lost("b")), (1, 0));
    let _ = fed.handle.ingest(&body([garbage()]));
    assert_eq!((lost("a"), lost("b")), (2, 1));
    let _ = fed.handle.ingest(&body([row("c", 0, ""), garbage()]));
    assert_eq!((lost("a"), lost("b")), (2, 1));
    let _ = fed.handle.ingest(&body([row("a", 1, r#","source":"s","seq":1"#), garbage()]));
    assert_eq!((lost("a"), lost("b")), (2, 1), "its number will be missing");
    fed.handle.lost_body(Reason::TooLarge);
    let recent = fed.handle.model("b").unwrap().recent.unwrap();
    assert!(recent.lost_uncounted && recent.too_many_lost());
    fed.service.stop().await.unwrap();
}

/// Rows of another version are counted apart; names that senders make up stay a handful.
#[tokio::test]
async fn other_versions_are_shown() {
    let mut fed = Fed::new(setup(vec![a()]));
    fed.feed(100, |i| row("a", i, r#","version":"1""#)).await;
    fed.feed(10, |i| row("a", i, "")).await;
    assert_eq!(fed.handle.model("a").unwrap().other_versions, Some(BTreeMap::new()));
    fed.feed(7, |i| row("a", i, r#","version":"2""#)).await;
    let view = fed.handle.model("a").unwrap();
    assert_eq!((view.rows, view.other_versions.unwrap().get("2")), (117, Some(&7)));
    fed.feed(200, |i| row("a", i, &format!(r#","version":"v{i}""#))).await;
    let versions = fed.handle.model("a").unwrap().other_versions.unwrap();
    assert!(versions.len() <= 51, "{}", versions.len());
    assert_eq!(versions.values().sum::<u64>(), 207);
    fed.service.stop().await.unwrap();
}

/// However many long names senders make up, in however many versions, a little of each is kept.
#[tokio::test]
async fn names_that_senders_make_up_are_bounded() {
    let mut fed = Fed::new(setup(vec![a()]));
    let long = "x".repeat(200);
    let many: String = (0..1_000).map(|i| format!(r#""{i:04}{long}":1,"#)).collect();
    let of = |version: i64| {
        let row = row("a", version, &format!(r#","version":"{version}""#));
        row.replacen(r#""features":{"#, &format!(r#""features":{{{many}"#), 1)
    };
    fed.feed(10, of).await;
    let view = fed.handle.model("a").unwrap();
    let kept: Vec<_> = view.relearnt.iter().map(|relearnt| &relearnt.unexpected).collect();
    assert_eq!(kept.len(), 8, "a version each, those beyond a handful aside");
    for names in kept.into_iter().chain([&view.unexpected]) {
        assert!(names.len() <= 51 && names.keys().all(|name| name.len() <= 64), "{names:?}");
        assert_eq!(names.values().sum::<u64>(), 1_000);
    }
    fed.service.stop().await.unwrap();
}

/// What waits in the queue when the service stops is judged, and what comes later is counted.
#[tokio::test]
async fn stopping_judges_what_waits() {
    let fed = Fed::new(setup(vec![a()]));
    let ingested = fed.handle.ingest(&body((0..5_000).map(|i| row("a", i, ""))));
    assert_eq!(ingested.accepted, 5_000);
    let handle = fed.handle.clone();
    fed.service.stop().await.unwrap();
    assert_eq!(handle.health().tap.rows_seen, 5_000);
    assert!(!handle.health().ready);
    assert_eq!(handle.ingest(&body([row("a", 0, "")])).dropped, 1);
    assert_eq!(handle.health().tap.rows_lost.get("shutting_down"), Some(&1));
}

/// A service that is dropped leaves no task behind that holds it.
#[tokio::test(start_paused = true)]
async fn a_dropped_service_ends() {
    let fed = Fed::new(setup(vec![a()]));
    let weak = std::sync::Arc::downgrade(&fed.handle.0);
    drop(fed);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(weak.upgrade().is_none(), "{} holders", weak.strong_count());
}

/// A task that panics is no quiet death: health names it.
#[tokio::test]
async fn a_panic_is_visible() {
    let fed = Fed::new(setup(vec![a()]));
    assert!(fed.handle.health().ready && fed.handle.failed().is_none());
    fed.handle.0.engine().explodes = true;
    let _ = fed.handle.ingest(&body([row("a", 0, "")]));
    while fed.handle.failed().is_none() {
        tokio::task::yield_now().await;
    }
    let health = fed.handle.health();
    assert!(!health.ready && health.reasons.iter().any(|r| r.contains("judges rows")), "{health:?}");
    fed.service.stop().await.unwrap();
}

fn experiment() -> Experiment {
    Experiment::read(
        "schema: silentry/experiment/v1
name: store
hypothesis: Zeros from the store are noticed.
target:
  model: a
safety: {max_duration: 60s}
phases: {steady: 10s, fault: 5s, recovery: 30s}
faults:
  - id: store-slow
    inject: {store_latency: {latency: 800ms, jitter: 0ms}}
    fraction: 1
    group: redis:user
    severity: critical
    detections: [{detector: zero_rate, within: 6s}]
slos:
  - name: success
    ordinary: true
    objective: {success: {at_least: 0.999}}
expect: {status: valid, headline: pass}
",
    )
    .unwrap()
}

/// A run from start to verdict, as another tool drives it: refusals on the way, one verdict however
/// often it is asked for, and its times in the metrics once.
#[tokio::test]
async fn the_life_of_a_run() {
    let mut fed = Fed::new(setup(vec![a()]));
    let run = fed.handle.start_run(experiment()).unwrap().run;
    let note = |fed: &Fed, act| fed.handle.note(&run, fed.handle.now(), act).unwrap();
    let fault = || "store-slow".to_owned();
    let healthy = |i| row("a", i, r#","status":"ok","latency_ms":5"#);
    note(&fed, Act::RunStarted);
    note(&fed, Act::SteadyStarted);
    fed.feed(1_000, healthy).await;
    let wrong = fed.handle.note(&run, fed.handle.now(), Act::FaultActive { fault: "other".to_owned() });
    assert!(matches!(wrong, Err(Error::UnknownFault { .. })), "{wrong:?}");
    assert!(matches!(fed.handle.note("none", fed.handle.now(), Act::RunEnded), Err(Error::UnknownRun(_))));
    note(&fed, Act::FaultArmed { fault: fault() });
    note(&fed, Act::FaultActive { fault: fault() });
    fed.feed(500, |i| {
        let status =
            r#","status":"ok","latency_ms":5,"feature_status":{"spend":"default","visits":"default"}}"#;
        format!("{}{status}", zeros("a", i).strip_suffix('}').unwrap())
    })
    .await;
    note(&fed, Act::FaultRestored { fault: fault() });
    note(&fed, Act::FaultVerified { fault: fault() });
    fed.feed(ENOUGH, healthy).await;
    assert!(matches!(fed.handle.verdict(&run), Err(Error::RunGoesOn(_))));
    note(&fed, Act::RunEnded);
    let verdict = fed.handle.verdict(&run).unwrap();
    assert_eq!(verdict.headline, Headline::Pass, "{verdict:#?}");
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["faults"][0]["outcome"], "detected_in_budget");
    let counted = |fed: &Fed| {
        let text = fed.handle.metrics().unwrap();
        text.lines()
            .filter(|l| l.starts_with("silentry_detection_latency_seconds_count"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let once = counted(&fed);
    assert!(
        once.iter().any(|l| l.contains("zero_rate") && l.contains("detector\"") && l.ends_with(" 1")),
        "{once:?}"
    );
    assert_eq!(fed.handle.verdict(&run).unwrap(), verdict);
    assert_eq!(counted(&fed), once);
    assert_eq!(fed.handle.runs().len(), 1);
    fed.service.stop().await.unwrap();
}

/// The hashes of a run are those of its start; a detector switched off changes them.
#[tokio::test]
async fn what_judges_is_frozen() {
    let provenance = async |without: &[&str]| {
        let mut with = setup(vec![a()]);
        with.models[0].without = without.iter().map(|n| (*n).to_owned()).collect();
        let fed = Fed::new(with);
        let run = fed.handle.start_run(experiment()).unwrap().run;
        fed.handle.note(&run, fed.handle.now(), Act::RunStarted).unwrap();
        fed.handle.note(&run, fed.handle.now(), Act::RunEnded).unwrap();
        let verdict = serde_json::to_value(fed.handle.verdict(&run).unwrap()).unwrap();
        fed.service.stop().await.unwrap();
        verdict["provenance"].clone()
    };
    let (one, two) = (provenance(&[]).await, provenance(&["zero_group"]).await);
    assert_eq!(one["baseline_hash"], two["baseline_hash"]);
    assert_ne!(one["detectors_hash"], two["detectors_hash"], "{one:#}");
}

/// Runs and their events are bounded, and an ended run makes room.
#[tokio::test]
async fn runs_are_bounded() {
    let fed = Fed::new(setup(vec![a()]));
    let ids: Vec<String> = (0..100).map(|_| fed.handle.start_run(experiment()).unwrap().run).collect();
    assert!(matches!(fed.handle.start_run(experiment()), Err(Error::TooManyRuns(100))));
    let full = (0..2_000).find_map(|_| fed.handle.note(&ids[0], fed.handle.now(), Act::SteadyStarted).err());
    assert!(matches!(full, Some(Error::TooManyEvents { .. })), "{full:?}");
    fed.handle.note(&ids[1], fed.handle.now(), Act::RunEnded).unwrap();
    fed.handle.start_run(experiment()).unwrap();
    assert!(matches!(fed.handle.verdict(&ids[1]), Err(Error::UnknownRun(_))));
    fed.service.stop().await.unwrap();
}

/// Evidence and alerts survive a restart; under another baseline both begin anew, and the alert whose
/// evidence is gone does not stay open for ever; a broken file is left behind.
#[tokio::test]
async fn state_survives_or_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let keeping = |baseline| Setup {
        state: Some((dir.path().to_owned(), std::time::Duration::from_secs(3_600))),
        ..setup(vec![baseline])
    };
    let mut fed = Fed::new(keeping(a()));
    fed.feed(1_000, |i| row("a", i, "")).await;
    fed.feed(500, |i| zeros("a", i)).await;
    let alert = fed.handle.alerts().active;
    assert_eq!(alert.len(), 1);
    fed.service.stop().await.unwrap();

    let again = Fed::new(keeping(a()));
    assert_eq!(again.handle.alerts().active, alert);
    assert_eq!(again.handle.model("a").unwrap().rows, 1_500);
    again.service.stop().await.unwrap();

    let other = Fed::new(keeping(learned("a", 3_000)));
    assert_eq!(other.handle.model("a").unwrap().rows, 0);
    assert!(other.handle.alerts().active.is_empty());
    other.service.stop().await.unwrap();

    std::fs::write(dir.path().join("alerts.json"), "{").unwrap();
    let broken = Fed::new(keeping(learned("a", 3_000)));
    assert!(broken.handle.alerts().active.is_empty() && broken.handle.health().ready);
    broken.service.stop().await.unwrap();
}

/// No model: nothing is watched, and readiness says so.
#[tokio::test]
async fn nothing_watched_is_not_ready() {
    let fed = Fed::new(Setup { alerts: alert::Config::default(), ..setup(Vec::new()) });
    assert!(!fed.handle.health().ready);
    fed.service.stop().await.unwrap();
}
