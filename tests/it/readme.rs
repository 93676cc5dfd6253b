//! What the README shows is what the program takes.

use silentry::chaos::Experiment;
use silentry::config::Config;
use silentry::oracle::read_requests;
use silentry::record::{Record, SchemaFile};

/// The block of the README whose first line begins so, without its fences.
fn block(start: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(path).expect("README.md");
    let inside = text.split("```").skip(1).step_by(2);
    let mut blocks =
        inside.filter_map(|fenced| fenced.split_once('\n').map(|(_, content)| content.to_owned()));
    blocks.find(|content| content.starts_with(start)).unwrap_or_else(|| panic!("README.md lacks: {start}"))
}

/// Files and rows that a reader copies are read without complaint: schema, configuration, experiment,
/// record. That a game day names a group which the schema file has is checked too.
#[test]
fn its_files_are_taken() {
    let schema = SchemaFile::parse(&block("# schema.yaml")).expect("the schema file");
    let config = Config::read(&block("# silentry.yaml")).expect("the configuration");
    assert_eq!(config.models.len(), 1);
    assert_eq!(config.alerts.sinks.len(), 2);
    let asking = Config::read(&block("models:")).expect("the models that are asked");
    assert!(asking.models[0].known_answers.is_some() && asking.models[0].pinned.is_some());
    assert_eq!(read_requests(&block("# churn-answers.yaml")).expect("the known answers").len(), 1);
    let experiment = Experiment::read(&block("# game-day.yaml")).expect("the experiment");
    experiment.check_detectors(&silentry::detect::names()).expect("its detectors");
    for fault in &experiment.faults {
        assert!(
            schema.groups.contains_key(&fault.group),
            "{} is in no group of the schema file",
            fault.group
        );
    }
    let labels = block("{\"request_id\"");
    let labels: Vec<_> = silentry::tap::labels::decode(labels.as_bytes(), 1_024).collect();
    assert!(matches!(labels.as_slice(), [Ok(label)] if label.request == "r-17"), "{labels:?}");
    let row: Record = serde_json::from_str(&block("{\"ts\"")).expect("the record");
    assert!(schema.groups.values().flatten().all(|name| row.features.contains_key(name)));
}
