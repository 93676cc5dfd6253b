use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::{Effect, Headline, Outcome, Recovery, RunStatus, Visibility};
use super::spec::DurationText;
use crate::units::{PerSecond, Ratio, duration_text};

/// One chaos experiment: what is believed, what is broken, who must notice, and the verdict it must earn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// `silentry/experiment/v1`.
    pub schema: String,
    /// The experiment's name, also its file's.
    pub name: String,
    /// What is believed to hold while the fault is on, in words.
    pub hypothesis: String,
    /// What runs.
    pub target: Target,
    /// What the run may never exceed.
    pub safety: Safety,
    /// Feeds whatever is drawn at random during the run.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// How long each phase lasts.
    pub phases: Phases,
    /// The same for a run with `--short`; absent: the same phases.
    #[serde(default)]
    pub short: Option<Phases>,
    /// What is broken.
    pub faults: Vec<Fault>,
    /// Service levels watched meanwhile.
    pub slos: Vec<Objective>,
    /// The verdict that the run must earn.
    pub expect: Expect,
}

impl Experiment {
    /// Whether it breaks nothing: every fault is armed at fraction 0, and whatever fires is false.
    #[must_use]
    pub fn is_sham(&self) -> bool {
        self.faults.iter().all(Fault::is_sham)
    }
}

/// The seed of an experiment that states none.
const fn default_seed() -> u64 {
    1
}

/// What the run may never exceed, whatever else goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Safety {
    /// The longest that a fault may stay on; then it is taken back whoever still holds it.
    #[serde(with = "duration_text")]
    #[schemars(with = "DurationText")]
    pub max_duration: Duration,
}

/// What the experiment runs against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The embedded scene, with these settings.
    Scene(Scene),
    /// A model that `silentry serve` watches, by name; its faults are another tool's.
    Model(String),
}

impl Target {
    /// The settings of the scene, when that is the target.
    #[must_use]
    pub const fn scene(&self) -> Option<&Scene> {
        match self {
            Self::Scene(scene) => Some(scene),
            Self::Model(_) => None,
        }
    }
}

/// Settings of the embedded scene: a wine-quality model service with a feature store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scene {
    /// Requests a second, open loop.
    pub rate: PerSecond,
    /// Healthy rows that the baseline is built from.
    pub baseline_rows: u64,
    /// What the service does when the store does not answer in time.
    pub on_store_failure: StoreFailure,
    /// The service's own time-out on the store.
    #[serde(with = "duration_text")]
    #[schemars(with = "DurationText")]
    pub store_timeout: Duration,
    /// The service's deadline for a request.
    #[serde(with = "duration_text")]
    #[schemars(with = "DurationText")]
    pub deadline: Duration,
    /// The share of requests that go to the store; the others find the features in the cache.
    pub store_share: Ratio,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            rate: DEFAULT_RATE,
            baseline_rows: 30_000,
            on_store_failure: StoreFailure::Zeros,
            store_timeout: Duration::from_millis(500),
            deadline: Duration::from_secs(2),
            store_share: DEFAULT_STORE_SHARE,
        }
    }
}

/// A hundred requests a second.
const DEFAULT_RATE: PerSecond = PerSecond::of(100);
/// One request in three goes to the store: p50 stays where it was.
const DEFAULT_STORE_SHARE: Ratio = Ratio::one_in(3);

/// What the service does when the store does not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreFailure {
    /// Puts zeros, says nothing: the failure this program exists for.
    Zeros,
    /// Answers 503.
    Fail,
    /// Puts the last known values and marks them stale.
    LastKnown,
}

/// Lengths of the phases of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// Healthy traffic before the fault; an alarm here is false.
    #[serde(with = "duration_text")]
    #[schemars(with = "DurationText")]
    pub steady: Duration,
    /// The fault.
    #[serde(with = "duration_text")]
    #[schemars(with = "DurationText")]
    pub fault: Duration,
    /// The longest wait for recovery; the run ends as soon as it is seen.
    #[serde(with = "duration_text")]
    #[schemars(with = "DurationText")]
    pub recovery: Duration,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// A name unique within the experiment.
    pub id: String,
    /// What is done to which hop.
    pub inject: FaultKind,
    /// The share of connections' replies that are touched; 0 arms the fault without effect: a sham.
    pub fraction: Ratio,
    /// The group of features that comes through that hop.
    pub group: String,
    /// How bad it is when nobody notices.
    pub severity: Severity,
    /// Who must notice, each within its time from the first effective row.
    pub detections: Vec<ExpectedDetection>,
}

impl Fault {
    /// Whether it is armed without effect.
    #[must_use]
    pub fn is_sham(&self) -> bool {
        self.fraction.get() <= 0.0
    }
}

/// What is done to which hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// Every reply of the feature store comes later, in order, by a delay line.
    StoreLatency {
        /// Added to each reply.
        #[serde(with = "duration_text")]
        #[schemars(with = "DurationText")]
        latency: Duration,
        /// Up to this much more or less, uniform.
        #[serde(with = "duration_text")]
        #[schemars(with = "DurationText")]
        jitter: Duration,
    },
}

/// How bad it is when nobody notices.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a ticket.
    Warning,
    /// Worth waking somebody: missed in silence, it caps the headline at fail.
    Critical,
}

/// A detector that must fire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedDetection {
    /// The detector's name.
    pub detector: String,
    /// From the first effective row to the alert's rising edge.
    #[serde(with = "duration_text")]
    #[schemars(with = "DurationText")]
    pub within: Duration,
}

/// One service level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// A name unique within the experiment.
    pub name: String,
    /// Whether the team had it before silentry: only these make a fault loud.
    pub ordinary: bool,
    /// What must hold.
    pub objective: ObjectiveKind,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ObjectiveKind {
    /// The quantile of the requests' latency from their intended start, in every judged phase.
    Latency {
        /// 0.99 for p99.
        quantile: Ratio,
        /// The objective.
        #[serde(with = "duration_text")]
        #[schemars(with = "DurationText")]
        at_most: Duration,
    },
    /// The share of requests answered without error within the client's deadline.
    Success {
        /// 0.999 for 99.9 %.
        at_least: Ratio,
    },
    /// The quantile of the store's reply latency, measured at the proxy in front of it.
    StoreLatency {
        /// 0.99 for p99.
        quantile: Ratio,
        /// The objective.
        #[serde(with = "duration_text")]
        #[schemars(with = "DurationText")]
        at_most: Duration,
    },
}

impl FaultKind {
    /// The name that it has in the file.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::StoreLatency { .. } => "store_latency",
        }
    }
}

/// The verdict that the run must earn; a field left out may be anything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Whether the run can be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
    /// The whole run in one word; an experiment file has to state it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headline: Option<Headline>,
    /// Whether the faults reached the model's rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Whether an ordinary service level saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// What became of every fault that somebody had to notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Exactly these detectors fired from the steady phase to the end, in any group; `[]` for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detected: Option<Vec<String>>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}
