use super::family::Named;

const fn named(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Named {
    Named { name, help, labels }
}

pub(super) const OVERFLOW: Named = named(
    "silentry_series_overflow_total",
    &["family"],
    "Updates refused because the family already had its most series.",
);
pub(super) const BUILD_INFO: Named =
    named("silentry_build_info", &["version"], "Always 1; the version that runs.");
pub(super) const REQUESTS_OBSERVED: Named = named(
    "silentry_requests_observed_total",
    &["model", "outcome"],
    "Requests that came through the tap, by how they ended.",
);
pub(super) const TAP_DROPPED: Named =
    named("silentry_tap_dropped_total", &["reason"], "Rows that the tap lost, by reason.");
pub(super) const ROWS_SCORED: Named =
    named("silentry_rows_scored_total", &["model"], "Rows that the detectors judged.");
pub(super) const EVIDENCE: Named = named(
    "silentry_detector_evidence_ratio",
    &["model", "detector"],
    "Weighted evidence of the detector over the threshold of the model; 1 or more fires. Absent while unknown.",
);
pub(super) const DETECTOR_STATE: Named = named(
    "silentry_detector_state",
    &["model", "detector"],
    "0 quiet, 1 drifted, 2 undecided; silentry_detector_undecided says why.",
);
pub(super) const DETECTOR_UNDECIDED: Named = named(
    "silentry_detector_undecided",
    &["model", "detector", "reason"],
    "1 while the detector cannot be judged, with the reason; absent otherwise.",
);
pub(super) const ALERT_STATE: Named =
    named("silentry_alert_state", &["model", "group"], "0 inactive, 1 pending, 2 firing, 3 stale.");
pub(super) const ALERTS_FIRED: Named =
    named("silentry_alerts_fired_total", &["model"], "Alerts that began to fire.");
pub(super) const FEATURE_DRIFT: Named = named(
    "silentry_feature_drift_score",
    &["model", "feature", "statistic"],
    "Effect size of the last window against the baseline; to read, never an alarm. Absent while not measured.",
);
pub(super) const LATENCY: Named = named(
    "silentry_inference_duration_seconds",
    &["model"],
    "Latency of inferences as their records state it.",
);
pub(super) const NOTIFICATIONS: Named = named(
    "silentry_notifications_total",
    &["sink", "result"],
    "Notifications of alerts by sink and what became of them.",
);
pub(super) const BASELINE_CREATED: Named =
    named("silentry_baseline_created_timestamp_seconds", &["model"], "When the baseline in use was built.");
pub(super) const BASELINE_INFO: Named = named(
    "silentry_baseline_info",
    &["model", "baseline"],
    "Always 1; the baseline in use by its content hash.",
);
pub(super) const DETECTION_LATENCY: Named = named(
    "silentry_detection_latency_seconds",
    &["detector", "stage"],
    "Parts of the time to detect in chaos runs.",
);
pub(super) const CLOCK: Named =
    named("silentry_clock_unixtime_seconds", &[], "This process's clock when it was asked.");
pub(super) const ANSWERS_CHECKED: Named = named(
    "silentry_answers_checked_total",
    &["model", "detector", "result"],
    "Answers held against known ones: right, wrong, or why there was none to hold against.",
);
pub(super) const ANSWER_LAST: Named = named(
    "silentry_answer_last_timestamp_seconds",
    &["model", "detector"],
    "When the last answer came that could be held against a known one. Absent before the first.",
);
pub(super) const LABELS: Named = named(
    "silentry_labels_total",
    &["model", "outcome"],
    "Labels by what became of them; those of no model in particular are malformed or of none that is watched.",
);
pub(super) const LABEL_BODIES_REFUSED: Named = named(
    "silentry_label_bodies_refused_total",
    &[],
    "Bodies of labels that were refused whole; how many labels they held nobody knows.",
);
pub(super) const LABELS_UNSCORED: Named = named(
    "silentry_labels_unscored_total",
    &["model"],
    "Labels that were joined and cannot be held against their answer: none was given, or the class is not known.",
);
pub(super) const LABEL_ROWS_WAITING: Named = named(
    "silentry_label_rows_waiting",
    &["model"],
    "Rows that wait for a label, or had theirs and are still known.",
);
pub(super) const LABEL_ROWS_UNLABELLED: Named = named(
    "silentry_label_rows_unlabelled_total",
    &["model", "reason"],
    "Rows that left without a label: their time was over (waited), or others needed the room (evicted).",
);
pub(super) const BASELINE_RISK: Named = named(
    "silentry_baseline_risk_ratio",
    &["model", "version", "limit"],
    "What the risk is held against: the mean loss in the baseline (mean), its upper limit (upper), and the risk from \
     which on a shift is harmful (tolerated). Absent where the baseline had no labels, or too few.",
);
pub(super) const RISK: Named = named(
    "silentry_model_risk_ratio",
    &["model", "version", "limit"],
    "Mean loss of labelled requests since the last reset (mean), with limits that hold at all times (lower, upper). \
     By the version that has a baseline of its own; without one, of the model's. Absent while unknown.",
);
