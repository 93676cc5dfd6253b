//! Labels, from their lines to alerts, metrics and what is said of a model.

use std::ops::Range;

use super::*;
use crate::detect::{HARMFUL_SHIFT, PerformanceReport, Skew};
use crate::record::Schema;

/// Whether the answer to a row is above a half; in health that is what turns out to be right.
fn is_high(i: i64) -> bool {
    mixed(i, 4) % 100 > 50
}

fn named(i: i64) -> String {
    row("a", i, &format!(r#","request_id":"r{i}""#))
}

fn labelled(i: i64) -> String {
    row("a", i, &format!(r#","request_id":"r{i}","label":{}"#, is_high(i)))
}

/// The baseline of `a` with labels, learned once.
fn a_labelled() -> Baseline {
    static A: OnceLock<Baseline> = OnceLock::new();
    A.get_or_init(|| learned_from("a", "1", (0..4_000).map(labelled))).clone()
}

/// Lines of labels, right or wrong.
fn labels(rows: Range<i64>, is_right: bool) -> Vec<u8> {
    body(rows.map(|i| format!(r#"{{"request_id":"r{i}","label":{}}}"#, is_high(i) == is_right)))
}

impl Fed {
    fn performance(&self) -> PerformanceReport {
        self.handle.model("a").unwrap().performance.unwrap()
    }

    fn labels(&self) -> LabelsView {
        self.handle.model("a").unwrap().labels
    }

    /// Feeds rows, and then their labels.
    async fn feed_labelled(&mut self, rows: i64, is_right: bool) -> LabelsTaken {
        let from = self.next;
        self.feed(rows, named).await;
        self.handle.take_labels(&labels(from..self.next, is_right))
    }
}

/// Labels that come after their rows say that the model does well; when answers begin to be wrong, which no feature
/// and no score shows, one alert says so, apart from the ledger's; it ends when the model does well again.
#[tokio::test]
async fn a_harmful_shift_is_told() {
    let mut fed = Fed::new(setup(vec![a_labelled()]));
    fed.feed(100, named).await;
    let before = fed.performance();
    assert_eq!(before.state, StreamState::Undecided(Undecided::NoLabels));
    assert!(before.risk.is_none() && before.baseline.unwrap().requests == 4_000);
    assert_eq!(fed.feed_labelled(2_500, true).await.joined, 2_500);
    let good = fed.performance();
    assert_eq!((good.state, good.loss, good.labels), (StreamState::Quiet, Some("brier"), 2_500));
    let (risk, source) = (good.risk.unwrap(), good.baseline.unwrap());
    assert!(
        risk.lower < source.mean && source.mean < risk.upper && risk.upper < source.tolerated,
        "{good:?}"
    );
    assert_eq!(good.skew.state, Skew::Even, "every row that waits has its label");
    fed.metric(r#"silentry_labels_total{model="a",outcome="joined"} 2500"#);
    fed.metric(r#"silentry_labels_total{model="a",outcome="conflict"} 0"#);
    fed.metric(r#"silentry_detector_state{detector="harmful_shift",model="a"} 0"#);
    assert!(
        fed.handle
            .metrics()
            .unwrap()
            .contains(r#"silentry_model_risk_ratio{limit="upper",model="a",version=""}"#)
    );

    fed.feed_labelled(300, false).await;
    let active = fed.handle.alerts().active;
    let [alert] = active.as_slice() else { panic!("{active:?}") };
    assert_eq!((alert.group.as_str(), alert.detector.as_str()), (Schema::PERFORMANCE_GROUP, HARMFUL_SHIFT));
    assert!(alert.fired_at.is_some() && alert.message.contains("Brier score"), "{}", alert.message);
    assert!((25_000..26_500).contains(&alert.since.as_millis()), "{}", alert.since);
    assert_eq!(fed.performance().state, StreamState::Drifted);
    fed.metric(r#"silentry_alert_state{group="performance",model="a"} 2"#);

    fed.feed_labelled(3_000, true).await;
    assert!(fed.handle.alerts().active.is_empty());
    assert_eq!(fed.handle.alerts().resolved.len(), 1);
    assert_eq!(fed.performance().state, StreamState::Quiet, "{:?}", fed.performance());
}

/// A baseline without labels says nothing of the risk, and an accepted alert nothing more.
#[tokio::test]
async fn without_a_reference_nothing_is_quiet() {
    let mut fed = Fed::new(setup(vec![a()]));
    // Rows are remembered once there is a label: a model that nobody labels costs no memory.
    assert_eq!(fed.feed_labelled(10, false).await.waiting, 10);
    assert_eq!((fed.labels().rows, fed.labels().since), (0, None));
    assert_eq!(fed.feed_labelled(1_000, false).await.joined, 1_000);
    let report = fed.performance();
    assert_eq!((report.state, report.baseline), (StreamState::Undecided(Undecided::NoBaseline), None));
    assert!(report.risk.unwrap().lower > 0.4 && fed.handle.alerts().active.is_empty());

    let mut fed = Fed::new(setup(vec![a_labelled()]));
    fed.feed_labelled(500, false).await;
    let alert = fed.handle.alerts().active.pop().unwrap();
    let by = crate::alert::Signature::new("me", None).unwrap();
    fed.handle.accept("a", alert.id, by).unwrap();
    fed.feed_labelled(1_000, false).await;
    assert_eq!(fed.performance().state, StreamState::Undecided(Undecided::Accepted));
    assert!(fed.handle.alerts().active.is_empty());
    // The next baseline begins anew, and is not asked about rows that were answered before it.
    fed.handle.put_baseline("a", &a_labelled().to_bytes().unwrap()).unwrap();
    assert_eq!(fed.performance().state, StreamState::Undecided(Undecided::NoLabels));
    fed.feed(10, named).await;
    fed.handle.put_baseline("a", &a_labelled().to_bytes().unwrap()).unwrap();
    let taken = fed.handle.take_labels(&labels(1_500..1_510, true));
    assert_eq!((taken.joined, fed.labels().not_judged, fed.performance().labels), (10, 10, 0));
    fed.metric(r#"silentry_labels_total{model="a",outcome="joined"} 1500"#);
    fed.metric(r#"silentry_labels_total{model="a",outcome="not_judged"} 10"#);
}

/// Every line is in exactly one count, in the answer and in the metrics: the first label of a row, the same again,
/// another, one of an unknown request, of an unknown model, and what is no label.
#[tokio::test(start_paused = true)]
async fn every_label_is_counted() {
    let mut fed = Fed::new(setup(vec![a_labelled(), learned("b", 3_000)]));
    fed.feed(10, named).await;
    let lines = [
        r#"{"model":"a","request_id":"r1","label":1,"ts":1}"#,
        r#"{"model":"a","request_id":"r1","row":0,"label":"1.0"}"#,
        r#"{"model":"a","request_id":"r1","label":0}"#,
        r#"{"model":"a","request_id":"r1","row":1,"label":0}"#,
        r#"{"model":"b","request_id":"r1","label":0}"#,
        r#"{"model":"a","request_id":"nobody","label":0}"#,
        r#"{"model":"c","request_id":"r2","label":0}"#,
        r#"{"request_id":"r2","label":0}"#,
        r#"{"model":"a","request_id":"r2","label":null}"#,
        r#"{"model":"a","label":1}"#,
        "nope",
    ];
    let taken = fed.handle.take_labels(&body(lines.map(str::to_owned)));
    let counts =
        [taken.joined, taken.duplicate, taken.conflict, taken.waiting, taken.malformed, taken.unknown_model];
    assert_eq!(counts, [1, 1, 1, 3, 3, 2], "{taken:?}");
    assert_eq!((taken.taken(), taken.rejections.len()), (6, 5));
    assert!(taken.rejections[0].starts_with("line 7: the model is `c`, expected one of: a, b"), "{taken:?}");
    assert!(taken.rejections[1].starts_with("line 8: the model is not named"), "{taken:?}");
    assert!(taken.rejections[2].contains("line 9") && taken.rejections[2].contains("finite"), "{taken:?}");
    fed.metric(r#"silentry_labels_total{model="",outcome="malformed"} 3"#);
    fed.metric(r#"silentry_labels_total{model="",outcome="unknown_model"} 2"#);
    fed.clock.set(Timestamp::from_millis(1_000_000));
    fed.ticks().await;
    let view = fed.labels();
    assert_eq!((view.joined, view.duplicate, view.conflict), (1, 1, 1));
    assert_eq!((view.unknown_request, view.waiting, view.rows), (2, 0, 10));
    fed.metric(r#"silentry_labels_total{model="a",outcome="unknown_request"} 2"#);
    fed.metric(r#"silentry_labels_total{model="b",outcome="unknown_request"} 1"#);
    // A week later the rows have gone: their labels come too late, and those rows count as unlabelled.
    fed.clock.set(Timestamp::from_millis(700_000_000));
    fed.ticks().await;
    let taken = fed.handle.take_labels(&body([r#"{"model":"a","request_id":"r2","label":0}"#.to_owned()]));
    assert_eq!((taken.expired, fed.labels().rows_unlabelled, fed.labels().rows), (1, 9, 0));
    fed.metric(r#"silentry_labels_total{model="a",outcome="expired"} 1"#);
}

/// A label may come before its row, and with it; of either the first counts. A row without a request can only be
/// scored by the label that it carries.
#[tokio::test(start_paused = true)]
async fn labels_come_in_any_order() {
    let mut fed = Fed::new(setup(vec![a_labelled()]));
    assert_eq!(fed.handle.take_labels(&labels(0..50, true)).waiting, 50);
    fed.feed(100, labelled).await;
    let view = fed.labels();
    // The first fifty came twice: before the row, and with it.
    assert_eq!((view.joined, view.duplicate, view.waiting), (100, 50, 0));
    assert_eq!(fed.handle.take_labels(&labels(0..100, false)).conflict, 100);
    assert_eq!((fed.labels().conflict, fed.performance().labels), (100, 100));
    fed.feed(20, |i| row("a", i, r#","label":1"#)).await;
    fed.feed(5, |i| row("a", i, "")).await;
    fed.feed(3, |i| row("a", i, &format!(r#","request_id":"odd{i}","label":[{i}]"#))).await;
    fed.ticks().await;
    fed.metric(r#"silentry_labels_total{model="a",outcome="malformed"} 3"#);
    let view = fed.labels();
    assert_eq!((view.joined, view.rows_without_request, fed.performance().labels), (120, 5, 120));
    fed.next = 0;
    fed.feed(10, named).await;
    assert_eq!((fed.labels().rows_repeated, fed.labels().rows, fed.labels().malformed), (10, 103, 3));
}

/// The ledger's detectors never read labels: with and without them everything that they say is the same.
#[tokio::test]
async fn the_ledger_reads_no_label() {
    let mut found = Vec::new();
    for row in [named, labelled] {
        let mut fed = Fed::new(setup(vec![a_labelled()]));
        fed.feed(1_500, row).await;
        fed.feed(300, |i| zeros("a", i)).await;
        let model = fed.handle.model("a").unwrap();
        assert!(model.detectors.iter().any(|report| report.state == StreamState::Drifted));
        found.push((model.detectors, model.effects));
    }
    assert_eq!(found[0], found[1]);
}

/// Labels for one kind of answers alone say nothing of the others: that is said as soon as rows have waited long
/// enough, and nothing is quiet.
#[tokio::test(start_paused = true)]
async fn feedback_skew_is_told() {
    let mut model = ModelSetup::new(a_labelled());
    model.labels.rows_max = 500;
    let mut fed = Fed::new(Setup { models: vec![model], ..setup(Vec::new()) });
    while fed.next < 5_000 {
        let from = fed.next;
        fed.feed(250, named).await;
        let positive = (from..fed.next).filter(|i| is_high(*i));
        let lines = positive.map(|i| format!(r#"{{"request_id":"r{i}","label":true}}"#));
        assert_eq!(fed.handle.take_labels(&body(lines)).waiting, 0);
    }
    let report = fed.performance();
    assert_eq!((report.skew.state, report.state), (Skew::Skewed, StreamState::Undecided(Undecided::Skewed)));
    let share = |kind: &str| report.skew.answers.iter().find(|s| s.answers == kind).unwrap().labelled;
    assert!(share(">= 0.75") > 0.99 && share("< 0.25") < 0.01, "{report:?}");
    let view = fed.labels();
    assert_eq!(view.rows, 500);
    assert!(view.rows_unlabelled > 2_000, "{view:?}");
}

/// After an orderly restart everything goes on: what was scored is not scored again, what waited still waits, and
/// the alert ends by labels that come later. After a crash what waited is gone, and that can be seen.
#[tokio::test]
async fn labels_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let keeping = || Setup {
        state: Some((dir.path().to_owned(), std::time::Duration::from_secs(3_600))),
        ..setup(vec![a_labelled()])
    };
    let mut fed = Fed::new(keeping());
    fed.feed_labelled(500, false).await;
    fed.feed(100, named).await;
    let (report, alerts) = (fed.performance(), fed.handle.alerts().active);
    assert_eq!((report.state, alerts.len()), (StreamState::Drifted, 1));
    fed.service.stop().await.unwrap();

    let mut again = Fed::new(keeping());
    again.clock.set(Timestamp::from_millis(6_000));
    assert_eq!((again.performance(), again.handle.alerts().active), (report, alerts));
    assert_eq!((again.labels().rows, again.labels().since), (600, again.labels().oldest_row));
    assert_eq!(again.handle.take_labels(&labels(0..500, false)).duplicate, 500);
    assert_eq!(again.handle.take_labels(&labels(500..600, true)).joined, 100);
    again.next = 600;
    again.feed_labelled(3_000, true).await;
    assert!(again.handle.alerts().active.is_empty());
    again.feed(5, named).await;
    again.service.stop().await.unwrap();

    // With another baseline those rows find their labels all the same, and these are scored by nobody.
    let other = Fed::new(Setup { models: vec![ModelSetup::new(learned("a", 3_000))], ..keeping() });
    other.clock.set(Timestamp::from_millis(36_050));
    assert_eq!(other.handle.take_labels(&labels(3_600..3_605, true)).joined, 5);
    assert_eq!((other.labels().not_judged, other.performance().labels), (5, 0));
    // No orderly end: the file of what waits was removed when it was read.
    drop(other);

    let crashed = Fed::new(keeping());
    assert_eq!((crashed.labels().rows, crashed.labels().since), (0, None));
    assert_eq!(crashed.handle.take_labels(&labels(0..10, true)).waiting, 10, "nobody knows these rows");
}

/// What waits, what had to leave, what cannot be scored and what it is all held against is in the metrics.
#[tokio::test(start_paused = true)]
async fn labels_show_in_the_metrics() {
    let mut model = ModelSetup::new(a_labelled());
    model.labels.rows_max = 15;
    let mut fed = Fed::new(Setup { models: vec![model], ..setup(Vec::new()) });
    fed.feed(20, named).await;
    let no_class = r#"{"request_id":"r10","label":7}"#.to_owned();
    assert_eq!(fed.handle.take_labels(&body([no_class])).joined, 1);
    fed.metric(r#"silentry_label_rows_waiting{model="a"} 15"#);
    fed.metric(r#"silentry_label_rows_unlabelled_total{model="a",reason="evicted"} 5"#);
    fed.metric(r#"silentry_label_rows_unlabelled_total{model="a",reason="waited"} 0"#);
    fed.metric(r#"silentry_labels_unscored_total{model="a"} 1"#);
    assert_eq!((fed.labels().rows_evicted, fed.labels().rows_unlabelled), (5, 5));
    let metrics = fed.handle.metrics().unwrap();
    for limit in ["mean", "upper", "tolerated"] {
        let line = format!(r#"silentry_baseline_risk_ratio{{limit="{limit}",model="a",version=""}} 0."#);
        assert!(metrics.contains(&line), "no `{line}` in\n{metrics}");
    }
    assert!(!metrics.contains("silentry_model_risk_ratio{"), "no request was scored");
}

/// `without: [harmful_shift]` is taken, and an experiment may expect it: it is a detector like others. Labels are
/// scored all the same, and nothing alarms.
#[tokio::test]
async fn a_harmful_shift_can_be_switched_off() {
    crate::detect::check_names([HARMFUL_SHIFT].into_iter()).unwrap();
    let mut model = ModelSetup::new(a_labelled());
    model.without = vec![HARMFUL_SHIFT.to_owned()];
    let mut fed = Fed::new(Setup { models: vec![model], ..setup(Vec::new()) });
    fed.feed_labelled(1_000, false).await;
    assert!(fed.handle.alerts().active.is_empty());
    let report = fed.performance();
    assert_eq!(report.state, StreamState::Undecided(Undecided::SwitchedOff));
    assert!(report.risk.unwrap().lower > report.baseline.unwrap().tolerated);
    assert!(!fed.handle.metrics().unwrap().contains(HARMFUL_SHIFT), "what is off has no state");
}

/// A budget of labels that every request may spend is refused at the start, with what is expected; not where nothing
/// is held against it.
#[test]
fn a_budget_of_a_request_is_refused() {
    let check = |baseline, without: &[&str]| {
        let mut model = ModelSetup::new(baseline);
        model.labels.budget = "1/1ms".parse().unwrap();
        model.without = without.iter().map(|name| (*name).to_owned()).collect();
        model.check().map_err(|error| error.to_string())
    };
    let error = check(a_labelled(), &[]).unwrap_err();
    assert!(
        error.starts_with("model `a`: its `labels.budget`, `86400000/day`, is no more than one row"),
        "{error}"
    );
    assert!(error.contains("1/1000rows") && error.contains(HARMFUL_SHIFT), "{error}");
    assert_eq!((check(a_labelled(), &[HARMFUL_SHIFT]), check(a(), &[])), (Ok(()), Ok(())));
}

/// Rows of a request whose name no label may have do not wait, so that a few of them cannot push out all others; the
/// label that such a row carries itself is scored.
#[tokio::test]
async fn rows_of_endless_names_do_not_wait() {
    let mut model = ModelSetup::new(a_labelled());
    model.labels.bytes_max = 50_000;
    let mut fed = Fed::new(Setup { models: vec![model], ..setup(Vec::new()) });
    fed.feed(20, named).await;
    let long = "x".repeat(1_025);
    fed.feed(100, |i| row("a", i, &format!(r#","request_id":"{long}{i}""#))).await;
    fed.feed(10, |i| row("a", i, &format!(r#","request_id":"{long}{i}","label":1"#))).await;
    let view = fed.labels();
    assert_eq!((view.rows, view.rows_without_request, view.rows_evicted, view.joined), (20, 110, 0, 10));
    assert_eq!(fed.handle.take_labels(&labels(0..20, true)).joined, 20);
}

/// State that is larger than anything that is written is left behind and does not keep the service from starting; what
/// is written is for its owner's eyes alone.
#[tokio::test]
async fn endless_state_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let keeping = || Setup {
        state: Some((dir.path().to_owned(), std::time::Duration::from_secs(3_600))),
        ..setup(vec![a_labelled()])
    };
    let path =
        |what: &str| dir.path().join(format!("{what}-{}.json", crate::service::state::short_name("a")));
    for what in ["waiting", "evidence"] {
        std::fs::File::create(path(what)).unwrap().set_len((256 << 20) + 1).unwrap();
    }
    let mut fed = Fed::new(keeping());
    assert!(!path("waiting").exists(), "it is read once");
    fed.feed(10, named).await;
    fed.service.stop().await.unwrap();
    #[cfg(unix)]
    for what in ["waiting", "evidence"] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(path(what)).unwrap().permissions().mode() & 0o777, 0o600, "{what}");
    }
    let again = Fed::new(keeping());
    assert_eq!((again.labels().rows, again.performance().labels), (10, 0));
}
