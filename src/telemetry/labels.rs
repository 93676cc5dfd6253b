/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The service answered.
    Ok,
    /// The service said that it failed.
    Error,
    /// The record does not say.
    Unstated,
}

impl Outcome {
    pub(super) const ALL: [Self; 3] = [Self::Ok, Self::Error, Self::Unstated];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Unstated => "unstated",
        }
    }
}

/// How a detector stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Enough rows and no evidence.
    Quiet,
    /// Its evidence reached the threshold.
    Drifted,
    /// Not known, and why.
    Undecided(&'a str),
}

/// How far an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertLevel {
    /// None is open.
    Inactive,
    /// The condition holds, but not yet for long enough.
    Pending,
    /// It fires.
    Firing,
    /// It has fired for so long that nobody knows whether it still holds.
    Stale,
}

/// What became of one notification to one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The receiver accepted it.
    Delivered,
    /// An attempt failed; another follows.
    Retried,
    /// Every attempt failed.
    GaveUp,
    /// The receiver answered that it will never accept it.
    Refused,
    /// The sink's queue was full.
    QueueFull,
    /// It still waited when the process had to end.
    Shutdown,
    /// It was delivered, but nobody took the report of it in time.
    Unreported,
}

impl Sent {
    pub(super) const ALL: [Self; 7] = [
        Self::Delivered,
        Self::Retried,
        Self::GaveUp,
        Self::Refused,
        Self::QueueFull,
        Self::Shutdown,
        Self::Unreported,
    ];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::GaveUp => "gave_up",
            Self::Refused => "refused",
            Self::QueueFull => "queue_full",
            Self::Shutdown => "shutdown",
            Self::Unreported => "unreported",
        }
    }
}

/// One part of the time to detect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the fault asked for to its first effective row.
    EffectLag,
    /// From the first effective row to the condition.
    Detector,
    /// From the condition to the rising edge.
    For,
    /// From the rising edge to a receiver.
    Delivery,
}

impl Stage {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::EffectLag => "effect_lag",
            Self::Detector => "detector",
            Self::For => "for",
            Self::Delivery => "delivery",
        }
    }
}
