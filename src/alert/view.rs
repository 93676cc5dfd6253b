use serde::{Deserialize, Serialize};

use super::timeline::Entry;
use crate::detect::{Diagnosis, Share};
use crate::units::Timestamp;

/// How far an alert is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The condition holds, but not yet for as long as the rule asks.
    Pending,
    /// It fires: somebody is told.
    Firing,
    /// It has stood for longer than the configured age: whether it still holds is not known.
    Stale,
    /// The test of recovery held.
    Resolved,
    /// Somebody said that the change is meant.
    Accepted,
    /// What it was held against is watched no longer: the model, its version or its baseline.
    Superseded,
}

impl State {
    /// As the API writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Stale => "stale",
            Self::Resolved => "resolved",
            Self::Accepted => "accepted",
            Self::Superseded => "superseded",
        }
    }

    /// Whether something may still change about it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Firing | Self::Stale)
    }
}

/// How bad it is.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a ticket.
    Warning,
    /// Worth waking somebody.
    #[default]
    Critical,
}

impl Severity {
    /// Its name in labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What somebody said of an alert, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Signed {
    /// Who.
    pub who: String,
    /// What they said, when they said anything.
    pub note: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Nobody is told of an alert for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Silence {
    /// Who asked for it last.
    #[serde(flatten)]
    pub by: Signed,
    /// Since when nobody is told.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
}

/// One alert as it stands: one group of one model, from the condition to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Alert {
    /// Its number, never used again; a group raised anew has a new one.
    pub id: u64,
    /// The model.
    pub model: String,
    /// The version whose rows it is about, where that is not the one of the model's baseline.
    pub version: Option<String>,
    /// The upstream that the features come from.
    pub group: String,
    /// How far it is.
    pub state: State,
    /// How bad it is.
    pub severity: Severity,
    /// The detector with the largest share when it was raised; stays, for it is a label.
    pub detector: String,
    /// What changed, such as `zero`; empty when the raising was not seen.
    pub kind: String,
    /// The features concerned, most evident first.
    pub features: Vec<String>,
    /// The sentence for people.
    pub message: String,
    /// The estimated time of the first wrong row.
    pub since: Timestamp,
    /// When the condition became known here.
    pub pending_at: Timestamp,
    /// The rising edge, when there was one.
    pub fired_at: Option<Timestamp>,
    /// When it ended: recovery became known here, or it was accepted or superseded.
    pub resolved_at: Option<Timestamp>,
    /// Who looks at it.
    pub ack: Option<Signed>,
    /// Under which nobody is told of it now.
    pub silence: Option<Silence>,
    /// Who said that the change is meant.
    pub accepted: Option<Signed>,
    /// Every detector with a part in it, largest first.
    pub shares: Vec<Share>,
    /// Why, since when at the earliest and latest, and with what harm.
    #[serde(default)]
    pub diagnosis: Diagnosis,
}

/// What a finding or the time changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What happened, as the timeline has it.
    pub entry: Entry,
    /// The alert after it.
    pub alert: Alert,
}
