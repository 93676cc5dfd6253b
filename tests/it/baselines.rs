//! Baselines of earlier versions keep loading, and keep detecting.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use silentry::baseline::Baseline;
use silentry::detect::{Alarm, Calibration, Finding, Monitor, Options};
use silentry::record::{Batch, BatchBuilder, Kind, Role};
use silentry::sketch::Sketch;

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
/// content, and makes a monitor that still finds a zeroed group.
#[test]
fn every_example_loads_and_detects() {
    let files = files();
    assert!(!files.is_empty(), "baselines/ has an example for each version of the format");
    for path in files {
        let shown = path.display();
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{shown}: {e}"));
        let baseline = Baseline::read(&bytes).unwrap_or_else(|e| panic!("{shown}: {e}"));
        let file: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(file["content_hash"], baseline.content_hash(), "{shown}");
        let again = Baseline::read(&baseline.to_bytes().expect("bytes")).expect("the same baseline");
        assert_eq!(again, baseline, "{shown}");

        let group = group_of(&baseline);
        let findings = monitor(&baseline).observe(&zeroed(&baseline, &group));
        let raised = |f: &Finding| match f {
            Finding::Raised(alarm) => Some(Alarm::clone(alarm)),
            _ => None,
        };
        let alarm = findings.iter().find_map(raised).unwrap_or_else(|| panic!("{shown}: no alarm"));
        assert_eq!((alarm.group.as_str(), alarm.kind.as_str()), (group.as_str(), "zero"), "{shown}");
    }
}
