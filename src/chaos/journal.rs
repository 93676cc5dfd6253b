use serde::{Deserialize, Serialize};

use crate::units::Timestamp;

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "act")]
pub enum Act {
    /// The run began; traffic flows, nothing is broken.
    RunStarted,
    /// The steady phase began: from here on an alarm before the fault is false.
    SteadyStarted,
    /// A fault is about to be switched on.
    FaultArmed {
        /// Which.
        fault: String,
    },
    /// It is on.
    FaultActive {
        /// Which.
        fault: String,
    },
    /// It was taken back.
    FaultRestored {
        /// Which.
        fault: String,
    },
    /// A probe through the hop showed that it is gone.
    FaultVerified {
        /// Which.
        fault: String,
    },
    /// The probe through the hop still saw it.
    FaultStillLive {
        /// Which.
        fault: String,
        /// What the probe saw.
        seen: String,
    },
    /// The run was cut short.
    Aborted {
        /// Why.
        reason: String,
    },
    /// Nothing was broken at all.
    NotRun {
        /// Why.
        reason: String,
    },
    /// The run ended.
    RunEnded,
}

/// An act and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Entry {
    /// When it was done.
    pub at: Timestamp,
    /// What was done.
    #[serde(flatten)]
    pub act: Act,
}

/// What was done to the system and when, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Journal(pub Vec<Entry>);

impl Journal {
    /// Notes an act.
    pub fn note(&mut self, at: Timestamp, act: Act) {
        self.0.push(Entry { at, act });
    }
}
