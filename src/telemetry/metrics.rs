use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntGauge, Registry, TextEncoder};

use super::Error;
use super::family::{Family, Named, Series};
use super::labels::{AlertLevel, Outcome, Sent, Stage, Standing};
use super::names::*;
use crate::units::{Timestamp, count};

/// What the metrics need to know before the first row.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// Every reason for which the tap may lose a row; each is shown from the start, at 0.
    pub drop_reasons: &'a [&'a str],
    /// Upper edges of the latency buckets in seconds, rising; put them on the objectives.
    pub latency_edges: &'a [f64],
    /// The most series that one family may have; more are refused and counted.
    pub series_max: usize,
}

/// Edges of [`Metrics::detection_latency`] in seconds: from one row to the longest chaos step.
const DETECTION_EDGES: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0];

/// Every metric of silentry, in a registry of its own. Clones share the numbers.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    requests_observed: Family<IntCounter>,
    tap_dropped: Family<IntCounter>,
    rows_scored: Family<IntCounter>,
    evidence: Family<Gauge>,
    detector_state: Family<IntGauge>,
    detector_undecided: Family<IntGauge>,
    alert_state: Family<IntGauge>,
    alerts_fired: Family<IntCounter>,
    feature_drift: Family<Gauge>,
    latency: Family<Histogram>,
    notifications: Family<IntCounter>,
    baseline_created: Family<Gauge>,
    baseline_info: Family<IntGauge>,
    detection_latency: Family<Histogram>,
    clock: Family<Gauge>,
    answers_checked: Family<IntCounter>,
    answer_last: Family<Gauge>,
    labels: Family<IntCounter>,
    label_bodies_refused: Family<IntCounter>,
    labels_unscored: Family<IntCounter>,
    label_rows_waiting: Family<Gauge>,
    label_rows_unlabelled: Family<IntCounter>,
    baseline_risk: Family<Gauge>,
    risk: Family<Gauge>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Registers every family; counters that can be named already stand at 0.
    ///
    /// # Errors
    /// [`Error::Edges`] when the latency edges do not rise.
    pub fn new(setup: Setup<'_>) -> Result<Self, Error> {
        check_edges(setup.latency_edges)?;
        let made = Self::register(&Families::new(setup)?)?;
        for reason in setup.drop_reasons {
            made.tap_dropped(reason, 0);
        }
        Ok(made)
    }

    fn register(f: &Families<'_>) -> Result<Self, Error> {
        f.add::<IntGauge>(BUILD_INFO)?.get(&[env!("CARGO_PKG_VERSION")]).iter().for_each(|g| g.set(1));
        Ok(Self {
            registry: f.registry.clone(),
            requests_observed: f.add(REQUESTS_OBSERVED)?,
            tap_dropped: f.add(TAP_DROPPED)?,
            rows_scored: f.add(ROWS_SCORED)?,
            evidence: f.add(EVIDENCE)?,
            detector_state: f.add(DETECTOR_STATE)?,
            detector_undecided: f.add(DETECTOR_UNDECIDED)?,
            alert_state: f.add(ALERT_STATE)?,
            alerts_fired: f.add(ALERTS_FIRED)?,
            feature_drift: f.add(FEATURE_DRIFT)?,
            latency: f.add_histogram(LATENCY, f.setup.latency_edges)?,
            notifications: f.add(NOTIFICATIONS)?,
            baseline_created: f.add(BASELINE_CREATED)?,
            baseline_info: f.add(BASELINE_INFO)?,
            detection_latency: f.add_histogram(DETECTION_LATENCY, &DETECTION_EDGES)?,
            clock: f.add(CLOCK)?,
            answers_checked: f.add(ANSWERS_CHECKED)?,
            answer_last: f.add(ANSWER_LAST)?,
            labels: f.add(LABELS)?,
            label_bodies_refused: f.add(LABEL_BODIES_REFUSED)?,
            labels_unscored: f.add(LABELS_UNSCORED)?,
            label_rows_waiting: f.add(LABEL_ROWS_WAITING)?,
            label_rows_unlabelled: f.add(LABEL_ROWS_UNLABELLED)?,
            baseline_risk: f.add(BASELINE_RISK)?,
            risk: f.add(RISK)?,
        })
    }

    /// A model is watched from now on, against the baseline of this content hash and time.
    pub fn model_loaded(&self, model: &str, baseline: &str, created: Timestamp) {
        for outcome in Outcome::ALL {
            self.requests_observed(model, outcome, 0);
        }
        self.rows_scored(model, 0);
        add(self.alerts_fired.get(&[model]), 0);
        self.latency.get(&[model]);
        self.baseline_info.remove_under(&[model]);
        set_int(self.baseline_info.get(&[model, baseline]), 1);
        set(self.baseline_created.get(&[model]), seconds(created));
    }

    /// A sink may be sent to from now on.
    pub fn sink_loaded(&self, sink: &str) {
        for result in Sent::ALL {
            add(self.notifications.get(&[sink, result.label()]), 0);
        }
    }

    /// `n` requests of the model came through the tap.
    pub fn requests_observed(&self, model: &str, outcome: Outcome, n: u64) {
        add(self.requests_observed.get(&[model, outcome.label()]), n);
    }

    /// The tap lost `n` rows.
    pub fn tap_dropped(&self, reason: &str, n: u64) {
        add(self.tap_dropped.get(&[reason]), n);
    }

    /// The detectors judged `n` rows of the model.
    pub fn rows_scored(&self, model: &str, n: u64) {
        add(self.rows_scored.get(&[model]), n);
    }

    /// A detector's weighted evidence over the threshold; `None` or NaN takes the series away.
    pub fn evidence(&self, model: &str, detector: &str, of_threshold: Option<f64>) {
        measured(&self.evidence, &[model, detector], of_threshold);
    }

    /// How a detector stands.
    pub fn detector(&self, model: &str, detector: &str, standing: Standing<'_>) {
        self.detector_undecided.remove_under(&[model, detector]);
        let state = match standing {
            Standing::Quiet => 0,
            Standing::Drifted => 1,
            Standing::Undecided(reason) => {
                set_int(self.detector_undecided.get(&[model, detector, reason]), 1);
                2
            }
        };
        set_int(self.detector_state.get(&[model, detector]), state);
    }

    /// How far the alert of a model's group is.
    pub fn alert(&self, model: &str, group: &str, level: AlertLevel) {
        let level = match level {
            AlertLevel::Inactive => 0,
            AlertLevel::Pending => 1,
            AlertLevel::Firing => 2,
            AlertLevel::Stale => 3,
        };
        set_int(self.alert_state.get(&[model, group]), level);
    }

    /// An alert of the model began to fire.
    pub fn alert_fired(&self, model: &str) {
        add(self.alerts_fired.get(&[model]), 1);
    }

    /// An effect size of the last window; `None` or NaN takes the series away.
    pub fn feature_drift(&self, model: &str, feature: &str, statistic: &str, size: Option<f64>) {
        measured(&self.feature_drift, &[model, feature, statistic], size);
    }

    /// What became of `n` labels of a model, or of none in particular.
    pub fn labels(&self, model: &str, outcome: &str, n: u64) {
        add(self.labels.get(&[model, outcome]), n);
    }

    /// `n` bodies of labels were refused whole.
    pub fn label_body_refused(&self, n: u64) {
        add(self.label_bodies_refused.get(&[]), n);
    }

    /// `n` labels of a model cannot be held against their answers.
    pub fn labels_unscored(&self, model: &str, n: u64) {
        add(self.labels_unscored.get(&[model]), n);
    }

    /// So many rows of a model wait for their label, or had it and are still known.
    pub fn label_rows_waiting(&self, model: &str, n: u64) {
        set(self.label_rows_waiting.get(&[model]), count(n));
    }

    /// `n` rows of a model left without a label; `reason` is `waited` or `evicted`.
    pub fn label_rows_unlabelled(&self, model: &str, reason: &str, n: u64) {
        add(self.label_rows_unlabelled.get(&[model, reason]), n);
    }

    /// The risk of a model's version (empty: of its own baseline), as lower limit, mean and upper limit; `None` takes
    /// the series away.
    pub fn risk(&self, (model, version): (&str, &str), risk: Option<[f64; 3]>) {
        each(&self.risk, (model, version), ["lower", "mean", "upper"], risk);
    }

    /// What that is held against: the baseline's mean, its upper limit, and what is tolerated.
    pub fn baseline_risk(&self, (model, version): (&str, &str), risk: Option<[f64; 3]>) {
        each(&self.baseline_risk, (model, version), ["mean", "upper", "tolerated"], risk);
    }

    /// Takes away what is set anew with each export, so that nothing stays at its last value: effect
    /// sizes of a window without rows, alerts of groups that are watched no longer.
    pub fn begin_export(&self, model: &str) {
        self.feature_drift.remove_under(&[model]);
        self.alert_state.remove_under(&[model]);
    }

    /// One inference took this long.
    pub fn inference(&self, model: &str, took: Duration) {
        observe(self.latency.get(&[model]), took);
    }

    /// `n` answers of the model were held against known ones by a detector; `result` is `right`, `wrong` or the
    /// reason why there was none to hold.
    pub fn answers_checked(&self, model: &str, detector: &str, result: &str, n: u64) {
        add(self.answers_checked.get(&[model, detector, result]), n);
    }

    /// When the last answer came that a detector could hold against a known one.
    pub fn answer_last(&self, model: &str, detector: &str, at: Option<Timestamp>) {
        measured(&self.answer_last, &[model, detector], at.map(seconds));
    }

    /// One part of the time that an alert took.
    pub fn detection_latency(&self, detector: &str, stage: Stage, took: Duration) {
        observe(self.detection_latency.get(&[detector, stage.label()]), took);
    }

    /// What became of a notification.
    pub fn notification(&self, sink: &str, result: Sent) {
        add(self.notifications.get(&[sink, result.label()]), 1);
    }

    /// All metrics in the text format 0.0.4 of Prometheus, families and series in order.
    ///
    /// # Errors
    /// [`Error::Encode`] when a family cannot be written.
    pub fn encode(&self, now: Timestamp) -> Result<String, Error> {
        set(self.clock.get(&[]), seconds(now));
        TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(Error::Encode)
    }
}

/// Adds families that share a registry, a cap and the counter of what the cap refused.
struct Families<'a> {
    registry: Registry,
    setup: Setup<'a>,
    overflow: Family<IntCounter>,
}

impl<'a> Families<'a> {
    fn new(setup: Setup<'a>) -> Result<Self, Error> {
        let registry = Registry::new();
        // The overflow counter has one series a family and nothing to overflow into but itself.
        let own = Series::make(prometheus::Opts::new(OVERFLOW.name, OVERFLOW.help), &[])
            .map_err(|source| Error::Family { family: OVERFLOW.name, source })?;
        let overflow = Family::register(&registry, OVERFLOW, &[], usize::MAX, own)?;
        Ok(Self { registry, setup, overflow })
    }

    fn add<M: Series>(&self, named: Named) -> Result<Family<M>, Error> {
        self.add_histogram(named, &[])
    }

    fn add_histogram<M: Series>(&self, named: Named, edges: &[f64]) -> Result<Family<M>, Error> {
        let family = named.name;
        let overflow = self.overflow.get(&[family]).ok_or_else(|| Error::Family {
            family,
            source: prometheus::Error::Msg("no counter for what its cap refuses".to_owned()),
        })?;
        Family::register(&self.registry, named, edges, self.setup.series_max, overflow)
    }
}

fn check_edges(edges: &[f64]) -> Result<(), Error> {
    let rising = edges.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if edges.is_empty() || !rising || !edges.iter().all(|e| e.is_finite()) {
        return Err(Error::Edges(edges.to_vec()));
    }
    Ok(())
}

fn add(series: Option<IntCounter>, n: u64) {
    if let Some(series) = series {
        series.inc_by(n);
    }
}

fn set(series: Option<Gauge>, value: f64) {
    if let Some(series) = series {
        series.set(value);
    }
}

fn set_int(series: Option<IntGauge>, value: i64) {
    if let Some(series) = series {
        series.set(value);
    }
}

fn observe(series: Option<Histogram>, took: Duration) {
    if let Some(series) = series {
        series.observe(took.as_secs_f64());
    }
}

fn measured(family: &Family<Gauge>, values: &[&str], value: Option<f64>) {
    match value.filter(|v| !v.is_nan()) {
        Some(value) => set(family.get(values), value),
        None => family.remove(values),
    }
}

fn each(family: &Family<Gauge>, of: (&str, &str), limits: [&str; 3], values: Option<[f64; 3]>) {
    for (place, limit) in limits.into_iter().enumerate() {
        let value = values.and_then(|values| values.get(place).copied());
        measured(family, &[of.0, of.1, limit], value);
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.seconds_since(Timestamp::from_micros(0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    const SETUP: Setup<'_> =
        Setup { drop_reasons: &["full", "decode"], latency_edges: &[0.1, 1.0], series_max: 50 };

    fn metrics() -> Metrics {
        Metrics::new(SETUP).unwrap()
    }

    fn text(metrics: &Metrics) -> String {
        metrics.encode(Timestamp::from_millis(1_500)).unwrap()
    }

    fn check(metrics: &Metrics, line: &str) {
        let text = text(metrics);
        assert!(text.lines().any(|l| l == line), "no line `{line}` in\n{text}");
    }

    /// Counters that can be named stand at 0 before anything happened.
    #[test]
    fn counters_start_at_zero() {
        let m = metrics();
        m.model_loaded("wine", "sha256:ab", Timestamp::from_millis(0));
        m.sink_loaded("webhook");
        for line in [
            r#"silentry_tap_dropped_total{reason="full"} 0"#,
            r#"silentry_tap_dropped_total{reason="decode"} 0"#,
            r#"silentry_requests_observed_total{model="wine",outcome="error"} 0"#,
            r#"silentry_alerts_fired_total{model="wine"} 0"#,
            r#"silentry_inference_duration_seconds_count{model="wine"} 0"#,
            r#"silentry_notifications_total{result="gave_up",sink="webhook"} 0"#,
            r#"silentry_series_overflow_total{family="silentry_feature_drift_score"} 0"#,
            r#"silentry_baseline_info{baseline="sha256:ab",model="wine"} 1"#,
            "silentry_clock_unixtime_seconds 1.5",
        ] {
            check(&m, line);
        }
    }

    /// A size that was not measured is absent: a dashboard must not read it as 0.
    #[test]
    fn what_is_not_measured_is_absent() {
        let m = metrics();
        for unknown in [None, Some(f64::NAN)] {
            m.feature_drift("wine", "ph", "psi", Some(0.25));
            check(&m, r#"silentry_feature_drift_score{feature="ph",model="wine",statistic="psi"} 0.25"#);
            m.feature_drift("wine", "ph", "psi", unknown);
            assert!(!text(&m).contains("silentry_feature_drift_score{"));
        }
    }

    /// An undecided detector says why, and only as long as that is the reason.
    #[test]
    fn undecided_has_a_reason() {
        let m = metrics();
        m.detector("wine", "zero_rate", Standing::Undecided("no_rows"));
        m.detector("wine", "zero_rate", Standing::Undecided("below_power"));
        check(&m, r#"silentry_detector_state{detector="zero_rate",model="wine"} 2"#);
        check(&m, r#"silentry_detector_undecided{detector="zero_rate",model="wine",reason="below_power"} 1"#);
        assert!(!text(&m).contains("no_rows"));
        m.detector("wine", "zero_rate", Standing::Drifted);
        check(&m, r#"silentry_detector_state{detector="zero_rate",model="wine"} 1"#);
        assert!(!text(&m).contains("silentry_detector_undecided{"));
    }

    /// What an export does not set anew is gone, not at its last value; other models keep theirs.
    #[test]
    fn an_export_leaves_nothing_old() {
        let m = metrics();
        everything(&m, "wine");
        everything(&m, "beer");
        m.begin_export("wine");
        for family in ["silentry_feature_drift_score", "silentry_alert_state"] {
            let of = |model| text(&m).lines().any(|l| l.starts_with(family) && l.contains(model));
            assert!(!of("wine") && of("beer"), "{family}");
        }
    }

    /// The cap is per family, and the refused are counted under its name.
    #[test]
    fn overflow_is_counted_by_family() {
        let m = Metrics::new(Setup { series_max: 3, ..SETUP }).unwrap();
        for i in 0..5 {
            m.feature_drift("wine", &format!("f{i}"), "psi", Some(0.0));
        }
        assert_eq!(text(&m).matches("silentry_feature_drift_score{").count(), 3);
        check(&m, r#"silentry_series_overflow_total{family="silentry_feature_drift_score"} 2"#);
        check(&m, r#"silentry_series_overflow_total{family="silentry_alert_state"} 0"#);
    }

    /// Edges that a histogram cannot have are refused at the start.
    #[test]
    fn edges_must_rise() {
        for edges in [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[f64::NAN], &[1.0, f64::INFINITY]] {
            assert!(Metrics::new(Setup { latency_edges: edges, ..SETUP }).is_err(), "{edges:?}");
        }
    }

    fn everything(m: &Metrics, model: &str) {
        m.model_loaded(model, "sha256:ab", Timestamp::from_millis(1_700_000_000_000));
        m.requests_observed(model, Outcome::Ok, 3);
        m.rows_scored(model, 3);
        m.evidence(model, "zero_rate", Some(0.5));
        m.detector(model, "zero_rate", Standing::Undecided("no_rows"));
        m.alert(model, "redis:user", AlertLevel::Firing);
        m.alert_fired(model);
        m.feature_drift(model, "age\n\"years\"", "psi", Some(0.1));
        m.inference(model, Duration::from_millis(20));
        m.answers_checked(model, "pinned_copy", "timeout", 1);
        m.answer_last(model, "pinned_copy", Some(Timestamp::from_millis(1_700_000_000_000)));
        m.labels(model, "joined", 3);
        m.labels_unscored(model, 1);
        m.label_body_refused(1);
        m.label_rows_waiting(model, 7);
        m.label_rows_unlabelled(model, "evicted", 2);
        m.risk((model, "2"), Some([0.05, 0.1, 0.15]));
        m.baseline_risk((model, ""), Some([0.08, 0.09, 0.1]));
    }

    /// The judge of names, help and escapes is Prometheus itself.
    #[test]
    fn promtool_accepts_every_family() {
        let m = metrics();
        everything(&m, "wine");
        m.sink_loaded("webhook");
        m.notification("webhook", Sent::Delivered);
        m.detection_latency("zero_rate", Stage::Detector, Duration::from_secs(1));
        let text = text(&m);
        let checked: BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let declared: BTreeSet<&str> = include_str!("names.rs")
            .split('"')
            .filter(|text| text.starts_with("silentry_") && !text.contains(' '))
            .collect();
        assert_eq!(checked, declared, "a family without a series is not checked:\n{text}");
        promtool(&text);
    }

    fn promtool(text: &str) {
        let spawned = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                let allowed = std::env::var("SILENTRY_WITHOUT_PROMETHEUS").is_ok_and(|v| v == "1");
                assert!(
                    allowed,
                    "promtool: {error}; install Prometheus or set SILENTRY_WITHOUT_PROMETHEUS=1"
                );
                println!("not checked: promtool is missing, and that was allowed");
                return;
            }
        };
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert_eq!(output.status.code(), Some(0), "{}\n{text}", String::from_utf8_lossy(&said));
    }
}
