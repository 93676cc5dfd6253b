use std::sync::Mutex;

use super::*;
use crate::chaos::{FaultKind, Proxy};
use crate::client;
use crate::record::{RowStatus, Scalar};
use crate::scene::call::Caller;
use crate::scene::{Choice, Data, Failure, FillConfig, STORE_FEATURES, Store, Traffic, Wine, fill};
use crate::units::Ratio;

const LOOPBACK: &str = "127.0.0.1:0";
/// A store slower than the service's patience of 50 ms.
const SLOW: FaultKind =
    FaultKind::StoreLatency { latency: Duration::from_millis(3_600_000), jitter: Duration::ZERO };

/// Store, proxy, service and tap, all on loopback, and what the tap has sent.
struct Scene {
    store: Store,
    proxy: Proxy,
    service: Service,
    tap: Arc<Tap>,
    bodies: Arc<Mutex<Vec<String>>>,
    caller: Caller,
    data: Data,
}

async fn sink() -> (String, Arc<Mutex<Vec<String>>>) {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&bodies);
    let keep = move |body: String| async move { kept.lock().unwrap().push(body) };
    let app = Router::new().route("/v1/records", post(keep));
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, bodies)
}

async fn scene(on_store_failure: StoreFailure, store_timeout_ms: u64, deadline_ms: u64) -> Scene {
    scene_on(&Choice::Embedded, on_store_failure, store_timeout_ms, deadline_ms).await
}

async fn scene_on(
    choice: &Choice,
    on_store_failure: StoreFailure,
    store_timeout_ms: u64,
    deadline_ms: u64,
) -> Scene {
    let data = Data::load().unwrap();
    let clock = Clock::real();
    let store = Store::start(choice, &data).await.unwrap();
    let upstream = store.address().host_port();
    let proxy = Proxy::start(LOOPBACK.parse().unwrap(), upstream, None, clock.clone()).await.unwrap();
    let (url, bodies) = sink().await;
    let tap = Arc::new(Tap::start(client::Config::to(url, "wine-1")).unwrap());
    let config = ServiceConfig {
        store: store.address().through(proxy.addr()),
        popular: data.popular(),
        on_store_failure,
        store_timeout: Duration::from_millis(store_timeout_ms),
        deadline: Duration::from_millis(deadline_ms),
    };
    let model = Arc::new(Model::train(&data).unwrap());
    let service = Service::start(config, model, Arc::clone(&tap), clock).await.unwrap();
    let caller = Caller::new(&service.url(), "r-").unwrap();
    Scene { store, proxy, service, tap, bodies, caller, data }
}

impl Scene {
    fn wine(&self, id: usize) -> Wine {
        self.data.wines()[id]
    }

    async fn ask(&self, number: u64, wine: usize) -> Option<Failure> {
        self.caller.call(number, &self.wine(wine)).await
    }

    fn slow_store(&self) {
        self.proxy.inject(&SLOW, Ratio::new(1.0).unwrap(), 1).unwrap();
    }

    /// Everything that the tap has sent.
    async fn records(&self) -> Vec<Record> {
        self.tap.flush().await;
        assert_eq!(self.tap.stats().lost.total(), 0);
        let text = self.bodies.lock().unwrap().concat();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn store_cells(record: &Record) -> Vec<Option<&Scalar>> {
    STORE_FEATURES.iter().map(|name| record.features.get(*name)).collect()
}

fn check_status(record: &Record, expected: Status) {
    let statuses: Vec<_> = record.feature_status.iter().collect();
    assert_eq!(statuses.len(), STORE_FEATURES.len());
    assert!(statuses.iter().all(|(_, status)| **status == expected), "{statuses:?}");
}

/// The story: a store slower than the service's patience, zeros where six features belong, 200 with
/// a score, and the log's instant is the record's. Popular wines never notice.
#[tokio::test]
async fn zeros_are_served_in_silence() {
    check_zeros(&Choice::Embedded).await;
}

/// The same on a `redis-server` where there is one; the store's tests insist on it.
#[tokio::test]
async fn zeros_are_served_in_silence_on_redis() {
    check_zeros(&Choice::Auto).await;
}

async fn check_zeros(choice: &Choice) {
    let scene = scene_on(choice, StoreFailure::Zeros, 50, 2_000).await;
    assert_eq!(scene.ask(0, 1).await, None);
    assert_eq!(scene.ask(1, 3).await, None);
    assert_eq!(scene.service.fallback_log().total, 0);
    assert_eq!(scene.store.reads().await.unwrap(), 533 + 1, "the cache's warming, and one miss");
    scene.slow_store();
    assert_eq!(scene.ask(2, 1).await, None);
    assert_eq!(scene.ask(3, 3).await, None);
    scene.proxy.restore();
    assert_eq!(scene.ask(4, 1).await, None);

    let records = scene.records().await;
    let [healthy, popular, zeros, still_popular, again] = records.as_slice() else { panic!("{records:?}") };
    for (record, wine) in [(healthy, 1), (popular, 3), (still_popular, 3), (again, 1)] {
        let expected = scene.wine(wine).store.map(|v| Some(Scalar::Number(v)));
        assert_eq!(store_cells(record), expected.iter().map(Option::as_ref).collect::<Vec<_>>());
        check_status(record, Status::Present);
    }
    assert_eq!(store_cells(zeros), vec![Some(&Scalar::Number(0.0)); 6]);
    check_status(zeros, Status::Default);
    assert_eq!((zeros.status, zeros.row), (Some(RowStatus::Ok), Some(0)));
    assert!(zeros.latency_ms.unwrap() >= 50.0, "{:?}", zeros.latency_ms);
    assert_eq!(zeros.features["pH"], Scalar::Number(3.2));
    let answer = zeros.prediction.clone().unwrap();
    assert!(matches!(answer.score, Some(Scalar::Number(p)) if (0.0..=1.0).contains(&p)));
    assert!([0.0, 1.0].map(Scalar::Number).contains(&answer.label.unwrap()));
    let log = scene.service.fallback_log();
    let [entry] = log.entries.as_slice() else { panic!("{log:?}") };
    assert_eq!((log.total, entry.request_id.as_str(), entry.wine), (1, "r-2", 1));
    assert_eq!((entry.at, entry.reason.as_str()), (zeros.ts, "timed out"));
    assert_eq!(zeros.request_id.as_deref(), Some("r-2"));
    scene.service.stop().await;
    scene.store.stop().await.unwrap();
}

/// Repaired by failing: 503, no row of the model's, but the failure is on the tap.
#[tokio::test]
async fn fail_is_loud() {
    let scene = scene(StoreFailure::Fail, 50, 2_000).await;
    scene.slow_store();
    assert_eq!(scene.ask(0, 1).await, Some(Failure::Status(503)));
    assert_eq!(scene.ask(1, 3).await, None, "popular wines are served");
    let records = scene.records().await;
    let failed = records.iter().find(|r| r.request_id.as_deref() == Some("r-0")).unwrap();
    assert_eq!((failed.status, &failed.prediction), (Some(RowStatus::Error), &None));
    assert_eq!(store_cells(failed), vec![None; 6]);
    check_status(failed, Status::Error);
    assert_eq!(scene.service.fallback_log().total, 0);
}

/// Repaired by last known values: served, marked stale on the wire and on the tap; a wine that was
/// never read fails.
#[tokio::test]
async fn last_known_values_are_marked() {
    let scene = scene(StoreFailure::LastKnown, 50, 2_000).await;
    assert_eq!(scene.ask(0, 1).await, None);
    scene.slow_store();
    assert_eq!(scene.ask(1, 1).await, None);
    assert_eq!(scene.ask(2, 2).await, Some(Failure::Status(503)));
    let records = scene.records().await;
    let stale = &records[1];
    check_status(stale, Status::Stale);
    let expected = scene.wine(1).store.map(|v| Some(Scalar::Number(v)));
    assert_eq!(store_cells(stale), expected.iter().map(Option::as_ref).collect::<Vec<_>>());
    check_status(&records[2], Status::Error);
    assert_eq!(scene.service.fallback_log().total, 1);
}

/// The deadline is the service's own: 504 when the store's time-out is longer.
#[tokio::test]
async fn the_deadline_answers_504() {
    let scene = scene(StoreFailure::Zeros, 60_000, 50).await;
    scene.slow_store();
    assert_eq!(scene.ask(0, 1).await, Some(Failure::Status(504)));
    assert_eq!(scene.records().await[0].status, Some(RowStatus::Error));
}

/// A store that goes away and comes back at its address is found again without a restart.
#[tokio::test]
async fn it_reconnects_by_itself() {
    let Scene { store, proxy, service, tap, bodies, caller, data } =
        scene(StoreFailure::Fail, 2_000, 10_000).await;
    let wine = data.wines()[1];
    assert_eq!(caller.call(0, &wine).await, None);
    let addr = proxy.addr();
    drop(proxy);
    // The task that is aborted frees the address a moment later; until then the old line may serve.
    while caller.call(1, &wine).await.is_none() {}
    let upstream = store.address().host_port();
    let proxy = Proxy::start(addr, upstream, None, Clock::real()).await.unwrap();
    let mut failures = 0;
    while caller.call(2, &wine).await.is_some() {
        failures += 1;
        assert!(failures < 20, "it does not come back");
    }
    assert!(proxy.stats().connections >= 1);
    drop((service, tap, bodies));
}

/// A cache that cannot be warmed stops the service from starting, with the store's address.
#[tokio::test]
async fn it_does_not_start_without_its_store() {
    let gone = TcpListener::bind(LOOPBACK).await.unwrap().local_addr().unwrap();
    let data = Data::load().unwrap();
    let store = StoreAddress::parse(&format!("redis://{gone}")).unwrap();
    let config = ServiceConfig::of(&crate::chaos::Scene::default(), store, data.popular());
    let tap = Arc::new(Tap::start(client::Config::to("http://127.0.0.1:9", "s")).unwrap());
    let model = Arc::new(Model::train(&data).unwrap());
    let error = Service::start(config, model, tap, Clock::real()).await.unwrap_err();
    assert!(error.to_string().contains(&gone.to_string()), "{error}");
}

/// Requests that are wrong, and the endpoints beside inference.
#[tokio::test]
async fn the_protocol_is_kept() {
    let scene = scene(StoreFailure::Zeros, 500, 2_000).await;
    let http = reqwest::Client::new();
    let url = |path: &str| format!("{}{path}", scene.service.url());
    for path in ["/v2/health/live", "/v2/health/ready"] {
        assert_eq!(http.get(url(path)).send().await.unwrap().status(), 200);
    }
    let metadata: serde_json::Value =
        http.get(url("/v2/models/wine")).send().await.unwrap().json().await.unwrap();
    assert_eq!(metadata["name"], "wine");
    assert_eq!(metadata["inputs"].as_array().unwrap().len(), 6);
    assert_eq!(http.get(url("/v2/models/beer")).send().await.unwrap().status(), 404);
    for (path, body, status) in [
        ("/v2/models/beer/infer", "{}", 404),
        ("/v2/models/wine/infer", "{", 400),
        ("/v2/models/wine/infer", r#"{"inputs":[]}"#, 400),
    ] {
        let response = http.post(url(path)).body(body).send().await.unwrap();
        assert_eq!(response.status(), status, "{path} {body}");
        let error: ErrorBody = response.json().await.unwrap();
        assert!(!error.error.is_empty());
    }
    assert_eq!(scene.tap.stats().offered, 0, "no row was seen");
}

/// Filling pushes every request once through the service, as many popular and other wines as
/// asked for, and tells its progress.
#[tokio::test]
async fn filling_pushes_healthy_rows() {
    let scene = scene(StoreFailure::Zeros, 10_000, 20_000).await;
    let traffic = Traffic::new(&scene.data, Ratio::one_in(3), 5).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    let config =
        FillConfig { url: scene.service.url(), requests: 600, concurrency: 8, id_prefix: "fill-".to_owned() };
    let filled = fill(config, traffic, move |done| kept.lock().unwrap().push(done)).await.unwrap();
    assert_eq!((filled.ok, filled.failed), (600, 0));
    assert_eq!(told.lock().unwrap().iter().max(), Some(&600));
    let records = scene.records().await;
    let ids: std::collections::BTreeSet<_> = records.iter().map(|r| r.request_id.clone().unwrap()).collect();
    assert_eq!((records.len(), ids.len()), (600, 600));
    let misses = scene.store.reads().await.unwrap() - 533;
    assert!((140..260).contains(&misses), "{misses}");
    assert_eq!(scene.service.fallback_log().total, 0);
}
