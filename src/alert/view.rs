use serde::{Deserialize, Serialize};

use super::timeline::Entry;
use crate::detect::Share;
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
    /// The test of recovery held.
    Resolved,
}

impl State {
    /// As the API writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
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

/// One alert as it stands: one group of one model, from the condition to recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Alert {
    /// Its number, never used again; a group raised anew has a new one.
    pub id: u64,
    /// The model.
    pub model: String,
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
    /// When recovery became known here.
    pub resolved_at: Option<Timestamp>,
    /// Every detector with a part in it, largest first.
    pub shares: Vec<Share>,
}

/// What a finding or the time changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What happened, as the timeline has it.
    pub entry: Entry,
    /// The alert after it.
    pub alert: Alert,
}
