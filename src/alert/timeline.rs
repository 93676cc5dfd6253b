use serde::{Deserialize, Serialize};

use crate::units::Timestamp;

/// One step in the life of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The condition became true.
    Pending,
    /// It stayed true for as long as the rule asks: the rising edge.
    Firing,
    /// One detector's own evidence reached the threshold, at the rising edge or later.
    Detector {
        /// The detector.
        detector: String,
        /// Its features, most evident first.
        features: Vec<String>,
    },
    /// A receiver accepted it.
    Delivered {
        /// Which receiver.
        sink: String,
    },
    /// The test of recovery held.
    Resolved,
}

/// An event of one alert, with the two times it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Entry {
    /// When this process knew it.
    pub at: Timestamp,
    /// The time of the row that caused it.
    pub stream_at: Timestamp,
    /// The model.
    pub model: String,
    /// The alert's number, unique within the timeline.
    pub alert: u64,
    /// The group it is about.
    pub group: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Everything that alerts did, in order of [`Entry::at`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Timeline(pub Vec<Entry>);
