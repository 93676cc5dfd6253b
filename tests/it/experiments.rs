//! Experiment files run by the program: each ends by whether it earned the verdict that it states.

use serde_json::Value;

use crate::support::{Ran, experiment, folder, path, room, run, story};

async fn run_file(file: &str) -> Ran {
    let baseline = path(&story().await.baseline());
    let _room = room().await;
    run(["experiment", "run", file, "--short", "--json", "--baseline", &baseline]).await
}

fn verdict(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

/// The injector armed at fraction 0: nothing is detected, and that is what it has to earn.
#[tokio::test(flavor = "multi_thread")]
async fn the_sham_detects_nothing() {
    let ran = run_file(&path(&experiment("sham"))).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let verdict = verdict(&ran);
    assert_eq!((&verdict["effect"], &verdict["headline"]), (&"no_effect".into(), &"pass".into()));
    assert_eq!(verdict["false_alarms"]["count"], 0);
    for fault in verdict["faults"].as_array().expect("faults") {
        assert_eq!((&fault["sham"], &fault["rows_changed"]), (&true.into(), &0.into()));
        for detection in fault["detections"].as_array().expect("detections") {
            assert!(detection["ttd_ms"].is_null(), "{detection}");
        }
    }
}

/// The repaired service fails loudly: as bad for its users, and no secret.
#[tokio::test(flavor = "multi_thread")]
async fn the_repaired_service_is_loud() {
    let ran = run_file(&path(&experiment("feature-store-latency-fail-loudly"))).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let verdict = verdict(&ran);
    assert_eq!((&verdict["visibility"], &verdict["headline"]), (&"loud".into(), &"pass".into()));
    assert_eq!(verdict["effect"], "effective");
    let levels = verdict["slo"]["objectives"].as_array().expect("service levels");
    let success = levels.iter().find(|o| o["name"] == "success").expect("success");
    assert_eq!(success["met"], false, "{success}");
}

/// An experiment that does not earn what it states ends in 1 and says in which way.
#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_other_than_stated_ends_in_1() {
    let text = std::fs::read_to_string(experiment("sham")).expect("the experiment is there");
    let (before, expect) = text.split_once("\nexpect:\n").expect("it states what it expects");
    let flipped = expect.replace("headline: pass", "headline: fail");
    assert_ne!(flipped, expect);
    let file = folder("flipped").join("sham.yaml");
    std::fs::write(&file, format!("{before}\nexpect:\n{flipped}")).expect("target/ can be written");
    let baseline = path(&story().await.baseline());
    let _room = room().await;
    let ran = run(["experiment", "run", &path(&file), "--short", "--baseline", &baseline]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("not as expected: headline is pass, expected fail"), "{}", ran.stdout);
}
