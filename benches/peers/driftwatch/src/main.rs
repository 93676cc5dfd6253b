//! Values a second that driftwatch's `StreamingMonitor` takes, on one core and from memory:
//! `driftwatch-bench REFERENCE.f64 CURRENT.f64 COLUMNS [TURNS]`.
//!
//! The files hold little-endian doubles, one column after the other. Each turn feeds a fresh monitor row
//! by row; the reference is fitted and the files are read outside the timed part. Prints one JSON object.

use std::hint::black_box;
use std::time::Instant;

use driftwatch::streaming::StreamingMonitor;
use driftwatch::{EqualFrequencyBinning, ReferenceDistribution};

/// What its documentation calls a significant shift.
const PSI_THRESHOLD: f64 = 0.25;

fn columns(path: &str, columns: usize) -> Vec<Vec<f64>> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let values: Vec<f64> =
        bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("eight bytes"))).collect();
    values.chunks_exact(values.len() / columns).map(<[f64]>::to_vec).collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, reference, current, width, rest @ ..] = arguments.as_slice() else {
        panic!("expected REFERENCE CURRENT COLUMNS [TURNS]")
    };
    let width: usize = width.parse().expect("COLUMNS is a number");
    let turns: usize = rest.first().map_or(5, |turns| turns.parse().expect("TURNS is a number"));
    let names: Vec<String> = (0..width).map(|n| format!("f{n}")).collect();
    let fitted: Vec<ReferenceDistribution> = columns(reference, width)
        .iter()
        .zip(&names)
        .map(|(values, name)| {
            ReferenceDistribution::fit_continuous(name.as_str(), values, EqualFrequencyBinning::default())
                .expect("continuous values")
        })
        .collect();
    let current = columns(current, width);
    let rows = current[0].len();
    let (mut seconds, mut drifted) = (Vec::new(), 0);
    for _ in 0..turns {
        let mut monitor = StreamingMonitor::new();
        fitted.iter().for_each(|one| monitor.add_feature(one, PSI_THRESHOLD).expect("continuous"));
        let began = Instant::now();
        for row in 0..rows {
            for (name, column) in names.iter().zip(&current) {
                monitor.update(name, black_box(column[row])).expect("a known feature");
            }
        }
        seconds.push(began.elapsed().as_secs_f64());
        drifted = monitor.report().expect("values were seen").features.iter().filter(|f| f.drifted).count();
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    println!(
        "{{\"version\": \"0.1.0\", \"rows\": {rows}, \"columns\": {width}, \"seconds\": {seconds:?}, \
         \"values_per_second\": {:.0}, \"drifted_columns\": {drifted}}}",
        (rows * width) as f64 / median
    );
}
