//! How often the program raises a false alarm on healthy traffic whose rows are not independent:
//! `cargo bench --bench nulls -- --help`. Not a criterion program: it counts alarms, not nanoseconds.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement, not a library"
)]

#[path = "../tests/it/synthetic.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod synthetic;

#[path = "../tests/it/nulls/traffic.rs"]
mod traffic;

#[path = "../tests/it/nulls/measure.rs"]
mod measure;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Parser;
use measure::{Measured, Plan};
use serde_json::Value;

/// Counts false alarms of `silentry replay` on healthy traffic that is not independent.
#[derive(Parser)]
struct Options {
    /// Fresh rows of each kind of traffic, over all its baselines
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// Baselines of each kind, each of 20,000 rows
    #[arg(long, default_value_t = 20)]
    baselines: u64,
    /// Where the draws begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only kinds of traffic whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
    /// Write the raw figures here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        seed: options.seed,
        baselines: options.baselines,
        rows: options.rows / usize::try_from(options.baselines).unwrap(),
        folder: folder.path().to_owned(),
    };
    println!(
        "Baselines of 20,000 rows, {} of each kind, budget 1/100000rows; {} fresh rows for each; seed {}.\n",
        plan.baselines, plan.rows, plan.seed
    );
    println!(
        "| traffic | fresh rows | of them in alarm | false alarms | per 100,000 free rows | 95 % upper limit \
         | 30 % zeros found after | notes |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut all = Vec::new();
    for null in traffic::all().iter().filter(|null| null.name.contains(&options.only)) {
        let measured = measure::measure(null, &plan);
        println!("{}", row(&measured));
        all.push(measured);
    }
    if let Some(path) = options.json {
        let all: Vec<Value> = all.iter().map(document).collect();
        std::fs::write(path, serde_json::to_vec_pretty(&all).unwrap()).unwrap();
    }
}

fn document(measured: &Measured) -> Value {
    let mut document = serde_json::to_value(measured).unwrap();
    document["per_100k"] = measured.per_100k().into();
    document["upper_per_100k"] = measured.upper_per_100k().into();
    document
}

fn row(measured: &Measured) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    let found = measured.found_after.iter().flatten().count();
    let median = measured.median_found().map_or_else(|| "–".to_owned(), |rows| format!("{rows} rows"));
    format!(
        "| {} | {} | {} | {} | {} | {} | {median} ({found} of {}) | {} |",
        measured.name,
        measured.rows,
        measured.rows_in_alarm,
        measured.alarms,
        number(measured.per_100k()),
        number(measured.upper_per_100k()),
        measured.found_after.len(),
        notes(measured),
    )
}

fn notes(measured: &Measured) -> String {
    let mut notes = Vec::new();
    let counted = |by: &BTreeMap<String, u64>| {
        by.iter().map(|(name, n)| format!("{name} × {n}")).collect::<Vec<_>>().join(", ")
    };
    if !measured.promised {
        notes.push("no promise is made".to_owned());
    }
    if let Some(why) = measured.refused.first() {
        let n = measured.refused.len();
        notes.push(format!("{n} of {} baselines refused: {why}", measured.baselines));
    }
    if !measured.claims.is_empty() {
        notes.push(counted(&measured.claims));
    }
    if !measured.alarms_by_detector.is_empty() {
        notes.push(format!("alarms: {}", counted(&measured.alarms_by_detector)));
    }
    if !measured.undecided.is_empty() {
        notes.push(format!("of {} streams undecided: {}", measured.streams, counted(&measured.undecided)));
    }
    notes.join("; ").replace('|', "/").replace('\n', " ")
}
