//! Known answers against the scene's own service: the story's silent zeros, found without a row of traffic.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::chaos::{FaultKind, Proxy, StoreFailure};
use crate::client::{self, Tap};
use crate::detect::{Checker, Finding, Outcome, StreamState, Terms};
use crate::oracle::{Asker, KnownAnswers};
use crate::scene::{Choice, Data, MODEL, Model, REQUEST_FEATURES, Service, ServiceConfig, Store, Wine};
use crate::units::{Clock, Ratio, Timestamp};

/// Requests with the answers that the model itself gives on the true features.
fn known(data: &Data, model: &Model, url: &str) -> KnownAnswers {
    let tensor = |name: &str, datatype: &str, value: serde_json::Value| json!({"name": name, "datatype": datatype, "shape": [1], "data": [value]});
    // Those whose features are fetched, and not the popular ones that the service has in its cache.
    let apart = data.wines().iter().filter(|wine| !wine.is_popular()).step_by(200);
    let request = |wine: &Wine| {
        let id = wine.id;
        let features = REQUEST_FEATURES.iter().zip(wine.request);
        let mut inputs: Vec<_> = features.map(|(name, value)| tensor(name, "FP64", json!(value))).collect();
        inputs.push(tensor("wine_id", "INT64", json!(id)));
        let answer = model.predict(&wine.features());
        json!({"name": format!("wine {id}"), "request": {"inputs": inputs}, "expected": {"outputs": [
            tensor("label", "INT64", json!(answer.label)), tensor("score", "FP64", json!(answer.score))]}})
    };
    let requests: Vec<_> = apart.map(request).collect();
    let url = format!("{url}/v2/models/{MODEL}/infer");
    serde_json::from_value(json!({"url": url, "requests": requests, "requests_per_second_max": 1_000}))
        .unwrap()
}

/// A store too slow for the service's patience makes known answers wrong, while the service says 200; with the
/// store well again three rounds end the alarm. No healthy round is ever wrong.
#[tokio::test]
async fn silent_zeros_are_wrong_answers() {
    let (data, clock) = (Data::load().unwrap(), Clock::real());
    let store = Store::start(&Choice::Embedded, &data).await.unwrap();
    let upstream = store.address().host_port();
    let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), upstream, None, clock.clone()).await.unwrap();
    let config = ServiceConfig {
        store: store.address().through(proxy.addr()),
        popular: data.popular(),
        on_store_failure: StoreFailure::Zeros,
        store_timeout: Duration::from_millis(500),
        deadline: Duration::from_secs(5),
    };
    let model = Arc::new(Model::train(&data).unwrap());
    // What the service saw goes nowhere here.
    let tap = Arc::new(Tap::start(client::Config::to("http://127.0.0.1:9", "wine-1")).unwrap());
    let service = Service::start(config, Arc::clone(&model), tap, clock.clone()).await.unwrap();
    let known = known(&data, &model, &service.url());
    known.check().unwrap();
    let asker = Asker::of_live(&known).unwrap();
    let requests = known.requests.iter().map(|request| request.name.clone()).collect();
    let terms = Terms::Known { requests, patience: known.patience() };
    let mut checker = Checker::new(terms, known.fingerprint());
    let mut round = async || -> (Vec<Outcome>, Vec<Finding>, StreamState) {
        let mut answers = Vec::new();
        asker.known(&known.requests, known.tolerance, &clock, |answered| answers.push(answered)).await;
        let outcomes = answers.iter().map(|answered| answered.outcome.clone()).collect();
        let at = Timestamp::from_millis(0);
        let findings = answers.into_iter().filter_map(|answered| checker.take(answered, at)).collect();
        (outcomes, findings, checker.state(at))
    };
    let all = known.requests.len();
    for _ in 0..3 {
        let (outcomes, findings, state) = round().await;
        assert_eq!((outcomes, findings, state), (vec![Outcome::Right; all], vec![], StreamState::Quiet));
    }
    let slow = FaultKind::StoreLatency { latency: Duration::from_secs(3_600), jitter: Duration::ZERO };
    proxy.inject(&slow, Ratio::new(1.0).unwrap(), 1).unwrap();
    let (outcomes, findings, state) = round().await;
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Outcome::Wrong { .. })), "{outcomes:?}");
    let Some(Finding::Raised(alarm)) = findings.first() else { panic!("{findings:?}") };
    assert!(
        alarm.message.contains("request `wine ") && alarm.message.contains("expected "),
        "{}",
        alarm.message
    );
    assert_eq!(state, StreamState::Drifted);
    proxy.restore();
    let mut rounds = 0;
    while round().await.2 == StreamState::Drifted {
        rounds += 1;
        assert!(rounds < 10, "it does not end");
    }
    assert!(rounds >= 2, "{rounds}");
    service.stop().await;
    store.stop().await.unwrap();
}
