//! What reviews found: each failed before it was mended.

use arrow::array::StringArray;

use super::traps::{Traffic, alarms, only, untempered};
use super::*;
use crate::detect::Promise;
use crate::detect::stream::{Counts, Source, Stream};
use crate::record::Tag;

/// The rows again, with these request ids.
fn with_requests(traffic: &Traffic, batch: &Batch, ids: &[String]) -> Batch {
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
    with_requests(traffic, &traffic.batch(rows.len(), |_, row| rows[row]), &ids)
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
    let options = only(&["duplicates"], 100_000);
    assert_eq!(alarms(&calibration, &traffic.schema(), &options, &fresh), 0);
    // Be it the very first request: its second row is waited for.
    let mut monitor = Monitor::new(traffic.schema(), calibration, options).unwrap();
    let ids = ["r0", "r0", "r1", "r2"].map(ToOwned::to_owned);
    monitor.observe(&with_requests(&traffic, &traffic.batch(4, |_, _| 0.5), &ids));
    monitor.finish();
    assert_eq!((monitor.rows(), monitor.state.judged), (4, 3));
}

/// Requests of two rows with one value in common: whether the recording begins with the first row of one or the
/// second changes nothing, for repeats are told from request to request, of every other one.
#[test]
fn repeats_go_from_step_to_step() {
    const REQUESTS: usize = 10_000;
    // What is not in common tells the second row from one delivered again.
    let traffic = Traffic { columns: 2, of: None };
    let mut random = StdRng::seed_from_u64(5);
    let mut pairs = |requests: usize, skipped: usize| {
        let values: Vec<f64> = (0..=requests).map(|_| random.random()).collect();
        let rows = traffic.batch(requests * 2, |column, row| match column {
            0 => values[(row + skipped) / 2],
            _ => random.random(),
        });
        let ids: Vec<String> = (0..requests * 2).map(|row| ((row + skipped) / 2).to_string()).collect();
        with_requests(&traffic, &rows, &ids)
    };
    for skipped in [0, 1] {
        let calibration = traffic.calibrate(&pairs(REQUESTS, skipped));
        let is_repeat = |s: &&Stream| s.source == Source::Repeat { position: 0 };
        let repeats = calibration.streams.iter().find(is_repeat).unwrap();
        let (hits, steps) = (repeats.pooled(1).0, repeats.counts[0].trials_all);
        assert!(hits <= 0.0, "{skipped}: within a request nothing repeats: {:?}", repeats.counts);
        assert!((steps - (REQUESTS / 2) as f64).abs() <= 1.0, "{skipped}: {steps} of {REQUESTS} requests");
        let fresh = [pairs(2_000, 0), pairs(2_000, 1)];
        assert_eq!(alarms(&calibration, &traffic.schema(), &only(&["stuck"], 100_000), &fresh), 0);
    }
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
    Calibration::fit(batch, Season::none()).unwrap()
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

/// In a group of 300 of which 280 are zero in health, all that are is more than a code can count, and is not
/// taken for fewer than usual.
#[test]
fn all_of_a_wide_group_is_more_than_most() {
    let mut random = StdRng::seed_from_u64(31);
    let calibration = calibrated(&wide(300, 1_000, &mut random, |_, column| column < 280));
    let batch = wide(300, 60, &mut random, |row, column| row >= 10 || column < 280);
    let mut monitor =
        Monitor::new(batch.schema().clone(), calibration, only(&["zero_group"], 100_000)).unwrap();
    let findings = monitor.observe(&batch);
    let Some(Finding::Raised(alarm)) = findings.first() else { panic!("{findings:?}") };
    assert!((10..20).contains(&alarm.row) && alarm.features.len() == 300, "{alarm:?}");
    assert!(alarm.message.contains("became 0 in"), "{}", alarm.message);
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
    const REQUESTS: usize = 1_000;
    // Thirds, three at a time, are rounded up to more than 1,000; a column tells rows from those delivered again.
    let mut sum = 0.0;
    (0..REQUESTS * 3).for_each(|_| sum += 1.0 / 3.0);
    assert!(sum > REQUESTS as f64, "{sum}");
    let traffic = Traffic { columns: 2, of: Some(3) };
    let rows = traffic.batch(REQUESTS * 3, |column, row| if column == 0 { 7.0 } else { row as f64 });
    let calibration = traffic.calibrate(&rows);
    let sound =
        |c: &Counts| c.hits_all.iter().all(|h| *h <= c.trials_all) && c.hits.iter().all(|h| *h <= c.trials);
    for stream in &calibration.streams {
        assert!(stream.counts.iter().all(sound), "`{}`: {:?}", stream.name, stream.counts);
    }
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
    let evidence_after = |rows: usize, gap: i64| {
        let options = Options { budget: month(), ..only(&["zero_rate"], 1) };
        let mut monitor = Monitor::new(traffic.schema(), calibration.clone(), options).unwrap();
        let times = (0..100)
            .map(|i| Timestamp::from_millis(10 * i + if i >= 50 { gap } else { 0 }))
            .take(rows)
            .collect();
        let batch = traffic.batch(rows, |_, row| if row >= 50 { 0.0 } else { 0.5 });
        let batch = Batch::new(traffic.schema(), batch.columns().to_vec(), Meta::of_times(times)).unwrap();
        monitor.observe(&batch);
        let report = monitor.report().into_iter().find(|r| r.detector == "zero_rate").unwrap();
        report.of_threshold.unwrap()
    };
    // A gap of nine seconds before the first zero is no evidence for it, and is evidence for the second.
    let (at_once, after_gap) = (evidence_after(51, 0), evidence_after(51, 9_000));
    assert!(at_once > 0.0 && (after_gap / at_once - 1.0).abs() < 1e-9, "{at_once} {after_gap}");
    let (at_once, after_gap) = (evidence_after(52, 0), evidence_after(52, 9_000));
    assert!(after_gap > at_once * 1.01, "{at_once} {after_gap}");
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

/// Adjacent rows of one entity are one step, whatever their requests are; so are those of one request, whatever
/// their entities are, and a row of neither is a step by itself.
#[test]
fn adjacent_rows_of_one_entity_bet_once() {
    let traffic = Traffic { columns: 1, of: None };
    let mut random = StdRng::seed_from_u64(37);
    let mut named = |rows: &[(Option<&str>, Option<&str>)]| {
        let batch = traffic.batch(rows.len(), |_, _| random.random());
        let (requests, entities): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
        let meta = Meta::of_times(batch.meta().ts().to_vec()).with_request_ids(requests.into()).unwrap();
        let meta = meta.with_entities(entities.into()).unwrap();
        Batch::new(traffic.schema(), batch.columns().to_vec(), meta).unwrap()
    };
    let visit = [(Some("a"), Some("x")), (Some("b"), Some("x")), (Some("b"), Some("y")), (None, Some("y"))];
    let others = [(None, None), (None, None), (Some("a"), Some("x")), (Some("c"), Some("z"))];
    let story: Vec<_> = visit.into_iter().chain(others).collect();
    let calibration = traffic.calibrate(&named(&story.repeat(100)));
    assert_eq!(calibration.rows(), 500);
    let mut monitor = Monitor::new(traffic.schema(), calibration, only(&["drift"], 100_000)).unwrap();
    monitor.observe(&named(&story));
    monitor.finish();
    assert_eq!((monitor.rows(), monitor.state.judged), (8, 5));
}
