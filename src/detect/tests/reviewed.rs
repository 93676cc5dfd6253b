//! What reviews found: each failed before it was mended.

use arrow::array::StringArray;

use super::traps::{Traffic, alarms, only, untempered};
use super::*;
use crate::detect::Promise;
use crate::detect::stream::{Counts, Source};
use crate::record::Tag;

/// The rows again, with these request ids.
fn with_requests(traffic: &Traffic, rows: &[f64], ids: &[String]) -> Batch {
    let batch = traffic.batch(rows.len(), |_, row| rows[row]);
    let ids: StringArray = ids.iter().map(|id| Some(id.as_str())).collect();
    let times = batch.meta().ts().to_vec();
    let meta = Meta::of_times(times).with_request_ids(ids).unwrap();
    Batch::new(traffic.schema(), batch.columns().to_vec(), meta).unwrap()
}

/// Requests of one row, one in twenty delivered again at once.
fn retried(traffic: &Traffic, random: &mut StdRng, requests: usize) -> Batch {
    let (mut rows, mut ids) = (Vec::new(), Vec::new());
    for request in 0..requests {
        let value = random.random::<f64>();
        for _ in 0..if random.random_bool(0.05) { 2 } else { 1 } {
            rows.push(value);
            ids.push(format!("r{request}"));
        }
    }
    with_requests(traffic, &rows, &ids)
}

/// A row delivered again at once is one more row of its request, in the baseline as later: the same traffic
/// raises no alarm.
#[test]
fn retries_count_alike_in_the_baseline_and_later() {
    let traffic = Traffic { columns: 1, of: None };
    let mut random = StdRng::seed_from_u64(3);
    let calibration = traffic.calibrate(&retried(&traffic, &mut random, 20_000));
    assert!(calibration.clustered, "there are requests of two rows");
    let fresh: Vec<Batch> = (0..5).map(|_| retried(&traffic, &mut random, 8_000)).collect();
    assert_eq!(alarms(&calibration, &traffic.schema(), &only(&["duplicates"], 100_000), &fresh), 0);
}

/// Requests of two rows alike: whether the recording begins with the first row of one or the second changes
/// nothing, for repeats are told from request to request.
#[test]
fn repeats_go_from_step_to_step() {
    let traffic = Traffic { columns: 1, of: None };
    let mut random = StdRng::seed_from_u64(5);
    let mut pairs = |rows: usize, skipped: usize| {
        let values: Vec<f64> = (0..=rows / 2).map(|_| random.random()).collect();
        let numbers: Vec<f64> = (skipped..rows + skipped).map(|row| values[row / 2]).collect();
        let ids: Vec<String> = (skipped..rows + skipped).map(|row| (row / 2).to_string()).collect();
        with_requests(&traffic, &numbers, &ids)
    };
    let calibration = traffic.calibrate(&pairs(20_000, 1));
    let repeats = calibration.streams.iter().find(|s| matches!(s.source, Source::Repeat { .. })).unwrap();
    assert!(repeats.pooled(1).0 <= 0.0, "within a request nothing repeats: {:?}", repeats.counts);
    let fresh = [pairs(4_000, 0), pairs(4_000, 1)];
    assert_eq!(alarms(&calibration, &traffic.schema(), &only(&["stuck"], 100_000), &fresh), 0);
}

/// One group of so many numeric columns.
fn wide(columns: usize, rows: usize, random: &mut StdRng, is_zero: impl Fn(usize, usize) -> bool) -> Batch {
    let column = |i: usize| Column::plain(&format!("c{i}"), Role::Input, Kind::Numeric, "store");
    let schema = Arc::new(Schema::new("m".into(), None, (0..columns).map(column).collect()).unwrap());
    let mut cells = Vec::new();
    for c in 0..columns {
        let values: Float64Array = (0..rows)
            .map(|row| Some(if is_zero(row, c) { 0.0 } else { 1.0 + random.random::<f64>() }))
            .collect();
        cells.push(Cells::new("c", Values::Number(values), None).unwrap());
    }
    let times = (0..rows as i64).map(|i| Timestamp::from_millis(10 * i)).collect();
    Batch::new(schema, cells, Meta::of_times(times)).unwrap()
}

fn calibrated(batch: &Batch) -> Calibration {
    let mut planner = Planner::new(batch.schema().clone());
    planner.observe(batch);
    let mut counter = planner.finish().unwrap();
    counter.observe(batch);
    counter.finish().unwrap()
}

/// More columns than a code can count: a group of 300 gone to zero is seen at once, and one zero in it is
/// neither that nor told of the others.
#[test]
fn groups_wider_than_a_code_are_counted() {
    let mut random = StdRng::seed_from_u64(11);
    let calibration = calibrated(&wide(300, 1_000, &mut random, |_, _| false));
    for (concerned, expected) in [(300, 300), (1, 1), (2, 2)] {
        let batch = wide(300, 60, &mut random, |row, column| row >= 10 && column < concerned);
        let options = Options { without: BTreeSet::new(), ..only(&[], 100_000) };
        let mut monitor = Monitor::new(batch.schema().clone(), calibration.clone(), options).unwrap();
        let findings = monitor.observe(&batch);
        let raised = findings.iter().find_map(|f| if let Finding::Raised(a) = f { Some(a) } else { None });
        let alarm = raised.unwrap_or_else(|| panic!("{concerned} columns: {findings:?}"));
        assert!(alarm.row < 20, "{concerned}: {alarm:?}");
        assert_eq!(alarm.features.len(), expected, "{concerned}: {}", alarm.message);
        let mentions = format!("{expected} of 300 features");
        assert!(expected == 1 || alarm.message.contains(&mentions), "{}", alarm.message);
    }
}

/// A stream is quiet by the steps that told it something, not by those of others: without request ids nobody
/// knows of retries; and what was told and is no more is not quiet for ever.
#[test]
fn quiet_is_earned_by_what_was_told() {
    let traffic = Traffic { columns: 1, of: None };
    let mut random = StdRng::seed_from_u64(13);
    let calibration = traffic.calibrate(&retried(&traffic, &mut random, 10_000));
    let options = only(&["duplicates"], 1_000_000);
    let mut monitor = Monitor::new(traffic.schema(), calibration, options).unwrap();
    let state = |m: &Monitor| m.report().into_iter().find(|r| r.detector == "duplicates").unwrap().state;
    let mut nameless = |rows: usize| traffic.batch(rows, |_, _| random.random());
    monitor.observe(&nameless(5_000));
    assert_eq!(state(&monitor), StreamState::Undecided(Undecided::BelowPower));
    let mut random = StdRng::seed_from_u64(14);
    monitor.observe(&retried(&traffic, &mut random, 5_000));
    assert_eq!(state(&monitor), StreamState::Quiet);
    let mut nameless = |rows: usize| traffic.batch(rows, |_, _| random.random());
    monitor.observe(&nameless(5_000));
    assert_eq!(state(&monitor), StreamState::Undecided(Undecided::NoRows));
}

/// Rounded shares of many requests never add up to more than there were requests.
#[test]
fn shares_of_many_requests_add_up() {
    let traffic = Traffic { columns: 1, of: Some(10) };
    let calibration = traffic.calibrate(&traffic.batch(200_000, |_, _| 7.0));
    let sound =
        |c: &Counts| c.hits_all.iter().all(|h| *h <= c.trials_all) && c.hits.iter().all(|h| *h <= c.trials);
    assert!(calibration.streams.iter().all(|s| s.counts.iter().all(sound)));
}

/// Where another part of requests is recorded, what looks back says nothing.
#[test]
fn another_sampling_rate_is_told() {
    let traffic = Traffic { columns: 1, of: None };
    let mut random = StdRng::seed_from_u64(17);
    let calibration = traffic.calibrate(&traffic.batch(6_000, |_, _| random.random()));
    let mut monitor = Monitor::new(traffic.schema(), calibration, only(&["stuck"], 1_000)).unwrap();
    let thinned = traffic.batch(6_000, |_, _| 1.0);
    let rate = Float64Array::from(vec![0.1; 6_000]);
    let meta = Meta::of_times(thinned.meta().ts().to_vec()).with_sampling(rate).unwrap();
    let thinned = Batch::new(traffic.schema(), thinned.columns().to_vec(), meta).unwrap();
    assert_eq!(monitor.observe(&thinned), []);
    let report = monitor.report().into_iter().find(|r| r.detector == "stuck").unwrap();
    assert_eq!(report.state, StreamState::Undecided(Undecided::BelowPower));
    assert!(!monitor.observe(&traffic.batch(200, |_, _| 1.0)).is_empty(), "recorded as the baseline is");
}

/// A bet on the time that a slow request itself takes would be no bet: what it brings counts for the next.
#[test]
fn a_step_does_not_lengthen_its_own_run() {
    let traffic = Traffic { columns: 1, of: None };
    let mut random = StdRng::seed_from_u64(19);
    let calibration = untempered(&traffic.calibrate(&traffic.batch(6_000, |_, _| random.random())));
    let budget = Budget::Time(std::time::Duration::from_secs(1_000));
    let options = Options { budget, ..only(&["zero_rate"], 1) };
    let alarm_after = |gap: i64| {
        let mut monitor = Monitor::new(traffic.schema(), calibration.clone(), options.clone()).unwrap();
        let times =
            (0..100).map(|i| Timestamp::from_millis(10 * i + if i >= 50 { gap } else { 0 })).collect();
        let rows = traffic.batch(100, |_, row| if row >= 50 { 0.0 } else { 0.5 });
        let rows = Batch::new(traffic.schema(), rows.columns().to_vec(), Meta::of_times(times)).unwrap();
        let findings = monitor.observe(&rows);
        findings.iter().find_map(|f| if let Finding::Raised(a) = f { Some(a.row) } else { None })
    };
    // A gap of nine seconds before the first zero is no evidence for it.
    assert!(alarm_after(9_000) > Some(50), "{:?}", alarm_after(9_000));
    assert!(alarm_after(0).is_some());
}

/// Rows with tags of one name.
fn tagged(
    traffic: &Traffic,
    name: &str,
    rows: usize,
    random: &mut StdRng,
    tag: impl Fn(usize) -> String,
) -> Batch {
    let batch = traffic.batch(rows, |_, _| random.random());
    let values: StringArray = (0..rows).map(|row| Some(tag(row))).collect();
    let tag = Tag { name: name.to_owned(), values };
    let meta = Meta::of_times(batch.meta().ts().to_vec()).with_tag(tag).unwrap();
    Batch::new(traffic.schema(), batch.columns().to_vec(), meta).unwrap()
}

/// Another model behind the same name and version is told by its hash, at once.
#[test]
fn another_model_hash_is_an_alarm() {
    let traffic = Traffic { columns: 1, of: None };
    let mut random = StdRng::seed_from_u64(23);
    let mut of =
        |rows: usize, hash: &str| tagged(&traffic, "model_hash", rows, &mut random, |_| hash.to_owned());
    let calibration = traffic.calibrate(&of(6_000, "abc"));
    let mut monitor = Monitor::new(traffic.schema(), calibration, only(&["mix"], 100_000)).unwrap();
    assert_eq!(monitor.observe(&of(3_000, "abc")), []);
    let findings = monitor.observe(&of(100, "def"));
    let Some(Finding::Raised(alarm)) = findings.first() else { panic!("{findings:?}") };
    assert!(
        alarm.row < 3_020 && alarm.message.contains("model_hash is none that the baseline has"),
        "{alarm:?}"
    );
}

/// Rows of entities that come back are a sample of those entities: nothing is proven of others.
#[test]
fn entities_that_come_back_prove_nothing() {
    let traffic = Traffic { columns: 1, of: None };
    let mut random = StdRng::seed_from_u64(29);
    for (entities, expected) in [(100, Promise::Calibrated), (6_000, Promise::Proven)] {
        let batch = traffic.batch(6_000, |_, _| random.random());
        let names: StringArray = (0..6_000).map(|row| Some(format!("e{}", row % entities))).collect();
        let meta = Meta::of_times(batch.meta().ts().to_vec()).with_entities(names).unwrap();
        let batch = Batch::new(traffic.schema(), batch.columns().to_vec(), meta).unwrap();
        let calibration = traffic.calibrate(&batch);
        assert_eq!(calibration.promise(), expected, "{entities}: {}", calibration.told_promise());
        let told = calibration.told_promise().contains("100 entities that come back");
        assert_eq!(told, entities == 100, "{}", calibration.told_promise());
    }
}
