use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::baseline::Budget;
use crate::oracle::{KnownAnswers, Pinned};
use crate::units::{Ratio, duration_text};

/// What the tap may hold; rows beyond it are dropped and counted, never waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tap {
    /// The most records that wait for the detectors.
    pub queue_records: NonZeroUsize,
    /// The most bytes of such records.
    pub queue_bytes: NonZeroUsize,
    /// The largest request body, after decompression.
    pub body_bytes_max: NonZeroUsize,
    /// The longest line of it.
    pub line_bytes_max: NonZeroUsize,
}

const QUEUE_RECORDS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
const QUEUE_BYTES: NonZeroUsize = NonZeroUsize::new(64 << 20).unwrap();
const BODY_BYTES_MAX: NonZeroUsize = NonZeroUsize::new(16 << 20).unwrap();
const LINE_BYTES_MAX: NonZeroUsize = NonZeroUsize::new(1 << 20).unwrap();

impl Default for Tap {
    fn default() -> Self {
        Self {
            queue_records: QUEUE_RECORDS,
            queue_bytes: QUEUE_BYTES,
            body_bytes_max: BODY_BYTES_MAX,
            line_bytes_max: LINE_BYTES_MAX,
        }
    }
}

/// The program's own metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// The most series of one family; updates beyond it are refused and counted.
    pub series_max: NonZeroUsize,
    /// Upper edges of the latency buckets in seconds, rising.
    pub latency_edges: Vec<f64>,
}

const SERIES_MAX: NonZeroUsize = NonZeroUsize::new(2_000).unwrap();

impl Default for Metrics {
    fn default() -> Self {
        let latency_edges = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        Self { series_max: SERIES_MAX, latency_edges }
    }
}

/// One model that is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name, as records carry it.
    pub name: String,
    /// The file that `silentry baseline build` made.
    pub baseline: PathBuf,
    /// Those of further versions of it; each says which one it is of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<PathBuf>,
    /// Detectors that are switched off.
    #[serde(default)]
    pub without: Vec<String>,
    /// Where a smaller share of its rows on offer is judged in a minute, nothing about it is known.
    #[serde(default = "coverage_min")]
    pub coverage_min: Ratio,
    /// How its labels are taken.
    #[serde(default)]
    pub labels: Labels,
    /// Requests whose answers are known, sent to the live model on a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_answers: Option<KnownAnswers>,
    /// A pinned copy of it, asked again for a share of its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pinned>,
}

/// Labels that come later than the answers that they are of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Labels {
    /// False alarms of the risk, beside those of the baseline's budget: per time, as if every row had a label, or per
    /// labelled request (`1/100000rows`).
    pub budget: Budget,
    /// By which part the risk may be above the limit of the baseline's before it is harmful.
    pub tolerance: Ratio,
    /// How long a row waits for its label.
    #[serde(with = "duration_text")]
    pub wait: Duration,
    /// Only labels of rows that were answered within so long say what the risk is now: longer than labels take.
    #[serde(with = "duration_text")]
    pub silent_after: Duration,
    /// The most rows that wait.
    pub rows_max: NonZeroUsize,
    /// The most bytes of such rows: 256 MiB at the most.
    pub bytes_max: NonZeroUsize,
}

const LABEL_WAIT: Duration = Duration::from_secs(7 * 86_400);
const LABEL_ROWS_MAX: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
const LABEL_BYTES_MAX: NonZeroUsize = NonZeroUsize::new(64 << 20).unwrap();

impl Default for Labels {
    fn default() -> Self {
        Self {
            budget: Budget::DEFAULT,
            tolerance: Ratio::one_in(10),
            wait: LABEL_WAIT,
            silent_after: LABEL_WAIT,
            rows_max: LABEL_ROWS_MAX,
            bytes_max: LABEL_BYTES_MAX,
        }
    }
}

/// The share of a model's rows that must be judged where nobody says otherwise.
pub const COVERAGE_MIN: Ratio = Ratio::one_in(2);

const fn coverage_min() -> Ratio {
    COVERAGE_MIN
}

/// Effect sizes, for people to read; never an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Effects {
    /// The window that is compared with the baseline.
    #[serde(with = "duration_text")]
    pub window: Duration,
}

impl Default for Effects {
    fn default() -> Self {
        Self { window: Duration::from_secs(60) }
    }
}

/// One service level of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SloText", into = "SloText")]
pub struct Slo {
    /// Its name, unique.
    pub name: String,
    /// Whose.
    pub model: String,
    /// Whether the team had it before silentry.
    pub ordinary: bool,
    /// What must hold.
    pub objective: Objective,
    /// In each window of this length.
    pub window: Duration,
}

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// The quantile of latency stays at most at this.
    Latency {
        /// 0.99 for p99.
        quantile: Ratio,
        /// The longest it may be.
        at_most: Duration,
    },
    /// The share of requests without error stays at least at this.
    Success {
        /// 0.999 for 99.9 %.
        at_least: Ratio,
    },
}

/// The spelling of [`Slo`]: the kind of objective is a key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SloText {
    name: String,
    model: String,
    #[serde(default = "yes")]
    ordinary: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency: Option<LatencyText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    success: Option<SuccessText>,
    #[serde(default = "slo_window", with = "duration_text")]
    window: Duration,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LatencyText {
    quantile: Ratio,
    #[serde(with = "duration_text")]
    at_most: Duration,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SuccessText {
    at_least: Ratio,
}

const fn yes() -> bool {
    true
}

const fn slo_window() -> Duration {
    Duration::from_secs(10)
}

impl TryFrom<SloText> for Slo {
    type Error = String;

    fn try_from(text: SloText) -> Result<Self, String> {
        let objective = match (text.latency, text.success) {
            (Some(l), None) => Objective::Latency { quantile: l.quantile, at_most: l.at_most },
            (None, Some(s)) => Objective::Success { at_least: s.at_least },
            _ => return Err(format!("slo `{}`: expected one of `latency` and `success`", text.name)),
        };
        let SloText { name, model, ordinary, window, .. } = text;
        Ok(Self { name, model, ordinary, objective, window })
    }
}

impl From<Slo> for SloText {
    fn from(slo: Slo) -> Self {
        let Slo { name, model, ordinary, objective, window } = slo;
        let (latency, success) = match objective {
            Objective::Latency { quantile, at_most } => (Some(LatencyText { quantile, at_most }), None),
            Objective::Success { at_least } => (None, Some(SuccessText { at_least })),
        };
        Self { name, model, ordinary, latency, success, window }
    }
}

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        let text: String = text.chars().take(64).collect();
        serde::de::Error::custom(format!("`{text}` is no address, expected IP:PORT such as `127.0.0.1:8900`"))
    })
}
