//! The repository's own small suite: silent faults in a made-up table, replayed in this process; how many
//! rows each takes to be found, and that nothing is found where nothing is.

mod faults;
mod loans;

use std::sync::{Arc, OnceLock};

use faults::{FAULTS, Fault};
use loans::Row;
use rand::SeedableRng;
use rand::rngs::StdRng;
use silentry::baseline::{Baseline, Budget, Seasonality};
use silentry::detect::{Calibration, Finding, Monitor, Options};
use silentry::record::{Batch, SchemaFile};
use silentry::service::{LearnOptions, learn};
use silentry::tap::Source;
use silentry::units::Timestamp;

use crate::support::folder;
use crate::synthetic::START_MS;

/// Faults that are not found in time yet: to be emptied.
const NOT_YET: &[&str] = &["half of the wealthy rows lost"];

const BASELINE_ROWS: usize = 20_000;
const CLEAN_ROWS: usize = 50_000;
/// Enough to fill the memory of those who look for repeats.
const HEALTHY_ROWS: usize = 2_500;
/// Rows that a fault may damage; some of the faults lose most of them.
const FAULTY_ROWS: usize = 8_000;
/// Rows that are handed over at a time: what comes out does not depend on it.
const BATCH_ROWS: usize = 100;

fn baseline() -> &'static Baseline {
    static BASELINE: OnceLock<Baseline> = OnceLock::new();
    BASELINE.get_or_init(|| {
        let file = folder("suite").join("reference.parquet");
        loans::table(&loans::rows(1, BASELINE_ROWS)).write(&file);
        let options = LearnOptions {
            model: "loans".to_owned(),
            name: "loans".to_owned(),
            schema: SchemaFile::parse(loans::SCHEMA).expect("a schema file"),
            budget: Budget::Rows(100_000),
            rate: None,
            seasonality: Seasonality::None,
            time_zone: "UTC".to_owned(),
            plan_of: None,
            accept_weak: false,
            now: Timestamp::from_millis(START_MS),
        };
        learn(&Source::open(file).expect("just written"), &options, &|_, _| {})
            .expect("healthy rows carry a baseline")
    })
}

/// The rows at which an alarm was raised.
fn alarms(rows: &[Row]) -> Vec<u64> {
    let baseline = baseline();
    let options = Options {
        budget: baseline.budget(),
        rate: baseline.rate(),
        without: std::collections::BTreeSet::new(),
    };
    let calibration = Calibration::read(baseline.calibration(), baseline.schema()).expect("just made");
    let mut monitor = Monitor::new(Arc::clone(baseline.schema()), calibration, options).expect("sound");
    let mut findings = Vec::new();
    for part in rows.chunks(BATCH_ROWS) {
        let batch =
            Batch::from_arrow(baseline.schema(), &loans::table(part).arrow()).expect("rows of the schema");
        findings.extend(monitor.observe(&batch));
    }
    findings.extend(monitor.finish());
    let raised = |finding: Finding| if let Finding::Raised(alarm) = finding { Some(alarm) } else { None };
    let alarms: Vec<_> = findings.into_iter().filter_map(raised).collect();
    alarms.iter().for_each(|alarm| println!("    row {}: {} [{}]", alarm.row, alarm.message, alarm.detector));
    alarms.into_iter().map(|alarm| alarm.row).collect()
}

/// Rows from the first faulty one to the alarm, both counted; an alarm before it is false.
fn delay(fault: &Fault, seed: u64) -> Option<u64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rows = loans::rows(seed, HEALTHY_ROWS + FAULTY_ROWS);
    let faulty = rows.split_off(HEALTHY_ROWS);
    let mut faulty = (fault.damage)(faulty, &rows, &mut random);
    if fault.answers_follow {
        faulty.iter_mut().for_each(loans::answer);
    }
    faulty.truncate(usize::try_from(fault.within).expect("small"));
    rows.append(&mut faulty);
    let alarms = alarms(&rows);
    let start = u64::try_from(HEALTHY_ROWS).expect("small");
    assert!(alarms.iter().all(|row| *row >= start), "false alarm before `{}`: {alarms:?}", fault.name);
    alarms.first().map(|row| row - start + 1)
}

/// Each fault is found within its rows, after healthy ones without an alarm.
#[test]
fn faults_are_found() {
    let mut wrong = Vec::new();
    for (fault, seed) in FAULTS.iter().zip(100..) {
        let found = delay(fault, seed);
        let told = found.map_or_else(|| "not found".to_owned(), |rows| format!("{rows} rows"));
        println!("{:<48} {told:>12}, allowed {}", fault.name, fault.within);
        match (found, NOT_YET.contains(&fault.name)) {
            (None, false) => wrong.push(format!("`{}`: not found within {} rows", fault.name, fault.within)),
            (Some(_), true) => wrong.push(format!("`{}` is found: take it out of NOT_YET", fault.name)),
            _ => {}
        }
    }
    let unknown = NOT_YET.iter().filter(|name| FAULTS.iter().all(|fault| fault.name != **name));
    wrong.extend(unknown.map(|name| format!("NOT_YET names `{name}`, which is no fault of the suite")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Fresh rows of the same kind raise nothing.
#[test]
fn clean_rows_are_quiet() {
    assert_eq!(alarms(&loans::rows(2, CLEAN_ROWS)), Vec::<u64>::new());
}
