use serde::{Deserialize, Serialize};

use crate::detect::Undecided;
use crate::units::Timestamp;

/// A detector that holds answers against those that are known to be right.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Requests whose answers were recorded, sent to the live model.
    KnownAnswer,
    /// Rows of live traffic, sent to a pinned copy of the model.
    PinnedCopy,
}

impl Check {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 2] = [Self::KnownAnswer, Self::PinnedCopy];

    /// The name in configuration, alarms, metrics and verdicts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KnownAnswer => "known_answer",
            Self::PinnedCopy => "pinned_copy",
        }
    }

    /// What it sees and when it is of use, for the manual.
    #[must_use]
    pub const fn manual(self) -> &'static str {
        match self {
            Self::KnownAnswer => {
                "The live model answered a request whose right answer was recorded (`known_answers` of the model) \
                 otherwise than then. One wrong answer is enough, and costs nothing of the budget. Off unless \
                 configured: it sends requests to your model, on a schedule."
            }
            Self::PinnedCopy => {
                "The model answered a row otherwise than a pinned copy of it (`pinned` of the model) does, the \
                 features being the same: an older or broken model, labels that were swapped, answers of another \
                 request. With 1 % of rows asked again, a fault in a share q of rows is found after about 100 / q \
                 rows. One wrong answer is enough, and costs nothing of the budget. Off unless configured."
            }
        }
    }
}

/// Why an answer says nothing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Unanswered {
    /// As many rows as may wait did.
    QueueFull,
    /// The row lacks a feature, has one of another type, or is too large: it cannot be asked again.
    Unaskable,
    /// Nobody took the request, or the line broke.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The request was refused.
    Refused,
    /// Whoever was asked failed.
    Failed,
    /// The answer is no inference response, or a too large one.
    Unreadable,
    /// The two answers have no part in common.
    Incomparable,
    /// The answers are of different versions of the model.
    OtherVersion,
    /// The pinned copy is no judge: it answers its own known requests wrongly, or one row in two ways.
    JudgeWrong,
    /// The pinned copy said otherwise, and nobody knows whether it is a judge.
    Unconfirmed,
    /// The model's answer lacks a part that it has in health, and that the pinned copy gave.
    PartMissing,
    /// The service ended first.
    ShuttingDown,
}

impl Unanswered {
    /// All of them, in the order of every list.
    pub const ALL: [Self; 13] = [
        Self::QueueFull,
        Self::Unaskable,
        Self::Unreachable,
        Self::Timeout,
        Self::Refused,
        Self::Failed,
        Self::Unreadable,
        Self::Incomparable,
        Self::OtherVersion,
        Self::JudgeWrong,
        Self::Unconfirmed,
        Self::PartMissing,
        Self::ShuttingDown,
    ];

    /// The word in metrics and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Unaskable => "unaskable",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unreadable => "unreadable",
            Self::Incomparable => "incomparable",
            Self::OtherVersion => "other_version",
            Self::JudgeWrong => "judge_wrong",
            Self::Unconfirmed => "unconfirmed",
            Self::PartMissing => "part_missing",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// Whether a handful among many rows is no matter. One that may well be wrong is.
    pub(super) const fn is_borne(self) -> bool {
        !matches!(self, Self::Unconfirmed | Self::PartMissing)
    }

    pub(super) const fn undecided(self) -> Undecided {
        match self {
            Self::Unconfirmed => Undecided::Unconfirmed,
            Self::OtherVersion => Undecided::OtherVersion,
            Self::JudgeWrong => Undecided::JudgeWrong,
            _ => Undecided::Unanswered,
        }
    }
}

/// What became of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The right answer.
    Right,
    /// A wrong one.
    Wrong {
        /// The output that is wrong.
        output: String,
        /// Request, output, element, what it is and what was expected.
        what: String,
    },
    /// None that says anything.
    Unanswered(Unanswered),
}

/// One question and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// When the live model answered: the row's own time, where it is about one.
    pub at: Timestamp,
    /// The name of the known request that was asked; none of a row.
    pub of: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// What is known of a missing answer beside its reason, such as an HTTP status.
    pub detail: Option<String>,
}

impl Answered {
    /// What became of a row.
    #[must_use]
    pub const fn row(at: Timestamp, outcome: Outcome) -> Self {
        Self { at, of: None, outcome, detail: None }
    }

    /// What became of a known request.
    #[must_use]
    pub fn known(at: Timestamp, name: &str, outcome: Outcome) -> Self {
        Self { at, of: Some(name.to_owned()), outcome, detail: None }
    }

    /// A row without an answer that says anything.
    #[must_use]
    pub const fn none(at: Timestamp, why: Unanswered) -> Self {
        Self::row(at, Outcome::Unanswered(why))
    }
}
