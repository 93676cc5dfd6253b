use serde::{Deserialize, Serialize};

use super::diagnosis::Diagnosis;
use crate::units::Timestamp;

/// Part of the evidence of one alarm, by detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Share {
    /// The detector's name.
    pub detector: String,
    /// Its weighted evidence over the threshold: from 0, 1 or more when it fired alone, told up to a million.
    pub of_threshold: f64,
    /// Whether its own evidence alone reached the threshold; else it contributed.
    pub fired: bool,
}

/// One group of one model gone wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Alarm {
    /// The 0-based row at which the threshold was reached, counted over all rows seen.
    pub row: u64,
    /// That row's own time.
    pub ts: Timestamp,
    /// The detector of the most evident bin; `shares` has all of them by their sums.
    pub detector: String,
    /// What changed, such as `zero` or `unseen`.
    pub kind: String,
    /// The features or answers concerned, most evident first.
    pub features: Vec<String>,
    /// The upstream they come from.
    pub group: String,
    /// The ledger's weighted evidence at that row, over all groups that are free to alarm.
    pub score: f64,
    /// What it had to reach.
    pub threshold: f64,
    /// The estimated first row of the fault.
    pub since_row: u64,
    /// That row's time.
    pub since: Timestamp,
    /// Every detector with a part in it, largest first.
    pub shares: Vec<Share>,
    /// The sentence for people.
    pub message: String,
    /// Why, since when at the earliest and latest, and with what harm.
    #[serde(default)]
    pub diagnosis: Box<Diagnosis>,
}

/// What a row, or time that passed without one, changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "finding")]
pub enum Finding {
    /// A group went wrong; it stays latched until resolved.
    Raised(Alarm),
    /// A further detector's own evidence reached the threshold within a latched group.
    Fired {
        /// The latched group.
        group: String,
        /// The detector.
        detector: String,
        /// Its features, most evident first.
        features: Vec<String>,
        /// The row.
        row: u64,
        /// That row's time.
        ts: Timestamp,
    },
    /// The sequential test of recovery held for a latched group.
    Resolved {
        /// The group.
        group: String,
        /// The row.
        row: u64,
        /// That row's time.
        ts: Timestamp,
    },
}

/// Why a stream cannot be judged.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Undecided {
    /// No row has come yet, or none for a while.
    NoRows,
    /// Too few rows to have seen a fault of the declared size.
    BelowPower,
    /// The baseline has nothing for it.
    NoBaseline,
    /// The tap lost more rows than the floor allows.
    RowsLost,
    /// An alarm of the same group or upstream of it explains it; its own evidence is held back.
    Explained,
    /// The evidence is not a number, or could not be computed of some row.
    NotANumber,
    /// Evidence is on its way to the threshold.
    Gathering,
    /// The baseline never saw this hour.
    UnseenHour,
    /// What it remembers of the rows before is not full yet.
    Filling,
    /// Somebody said that the change is meant: it is not judged until there is a new baseline.
    Accepted,
    /// Its alert is so old that nobody knows whether it still holds.
    Stale,
    /// Who knows the right answers was not asked, or did not answer, too often lately.
    Unanswered,
    /// The answers are of another version than those that they could be held against.
    OtherVersion,
    /// The pinned copy of the model is no judge: it answers wrongly itself.
    JudgeWrong,
    /// The pinned copy said otherwise than the model, and could not be tested.
    Unconfirmed,
    /// No label has come yet, or none for a while.
    NoLabels,
    /// Too many labels cannot be held against the answers that they are of.
    Unscored,
    /// Labels come for some kinds of answers more than for others: they do not stand for all rows.
    Skewed,
    /// Nobody knows yet whether labels come for all kinds of answers alike.
    SkewUnknown,
    /// It is switched off.
    SwitchedOff,
}

impl Undecided {
    /// The word in metrics and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRows => "no_rows",
            Self::BelowPower => "below_power",
            Self::NoBaseline => "no_baseline",
            Self::RowsLost => "rows_lost",
            Self::Explained => "explained",
            Self::NotANumber => "not_a_number",
            Self::Gathering => "gathering",
            Self::UnseenHour => "unseen_hour",
            Self::Filling => "filling",
            Self::Accepted => "accepted",
            Self::Stale => "stale",
            Self::Unanswered => "unanswered",
            Self::OtherVersion => "other_version",
            Self::JudgeWrong => "judge_wrong",
            Self::Unconfirmed => "unconfirmed",
            Self::NoLabels => "no_labels",
            Self::Unscored => "unscored",
            Self::Skewed => "skewed",
            Self::SkewUnknown => "skew_unknown",
            Self::SwitchedOff => "switched_off",
        }
    }
}

/// How one stream stands: never quiet without a reason to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub enum StreamState {
    /// Enough rows, no evidence.
    Quiet,
    /// Latched.
    Drifted,
    /// We do not know, and why.
    Undecided(Undecided),
}
