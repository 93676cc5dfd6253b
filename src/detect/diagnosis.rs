//! What an alarm says beyond that something changed: since when at the earliest and latest, why, and with what harm.

use serde::{Deserialize, Serialize};

use super::cause::{Cause, Class, Shown, causes};
use super::joint::{Flips, Recent, Rows, Scalar};
use super::monitor::Monitor;
use super::state::{Group, Start, Step};
use super::stream::Role;
use super::table::Bet;
use super::trail::{Began, Watched};

/// Why, since when and with what harm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Diagnosis {
    /// The first row of the fault, at the earliest and at the latest (0-based); none where nothing tells. Holds it in
    /// about nine of ten faults that begin at once (benches/README.md has the count).
    pub since_rows: Option<(u64, u64)>,
    /// Whether it may have begun before the first of these: earlier than the 1,024 rows in memory, or than the alarm
    /// or the recovery after which evidence began anew.
    #[serde(default)]
    pub or_earlier: bool,
    /// Everything that is otherwise than in health at this row, most evident first.
    pub symptoms: Vec<Shown>,
    /// The classes that this speaks for, most likely first.
    pub causes: Vec<Cause>,
    /// What it does to decisions.
    pub harm: Harm,
}

impl Default for Diagnosis {
    fn default() -> Self {
        let harm = Harm::unknown("nothing tells what it does to answers");
        Self { since_rows: None, or_earlier: true, symptoms: Vec::new(), causes: Vec::new(), harm }
    }
}

/// Decisions that come out otherwise because of the fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Harm {
    /// As the surrogate of the model and the rows in memory tell.
    Estimated {
        /// Of a thousand rows since the start, from 0 to 1,000. A decision is the side that a probability or number
        /// is on of the cut that a recorded label has, or a probability of one half; a class; and without a label a
        /// number is another one when it moves by more than half of all healthy answers spread.
        flipped_per_1000: f64,
        /// No fewer than so many at 95 %, though the alarm chose its moment and the rows tell where it began: by chance
        /// in the rows that it is made from, and not by what the surrogate has wrong.
        #[serde(default)]
        lower_per_1000: f64,
        /// No more than so many at 95 %; 1,000 where it is a lower bound.
        #[serde(default = "all")]
        upper_per_1000: f64,
        /// Whether it is a lower bound: the share of decisions moved by so much at 95 %, and more may have been
        /// flipped.
        at_least: bool,
        /// Rows of the fault that it is made from.
        rows: u64,
    },
    /// As labels tell: answers that are wrong, whether by a fault or because the world changed.
    Labelled {
        /// Of a thousand labelled requests since the start, so many more than of a thousand of the baseline's: up to
        /// 1,000.
        more_wrong_per_1000: f64,
        /// Labelled requests that it is made from.
        requests: u64,
    },
    /// Nobody knows.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Every decision of a thousand.
const fn all() -> f64 {
    1_000.0
}

impl Harm {
    pub(super) fn unknown(reason: &str) -> Self {
        Self::Unknown { reason: reason.to_owned() }
    }

    fn words(&self) -> String {
        match self {
            Self::Estimated { flipped_per_1000, at_least: true, .. } => {
                format!("at least {:.0} of 1,000 decisions flipped", flipped_per_1000.floor())
            }
            Self::Estimated { flipped_per_1000, lower_per_1000, upper_per_1000, .. } => format!(
                "about {flipped_per_1000:.0} ({lower_per_1000:.0} to {upper_per_1000:.0}) of 1,000 decisions flipped"
            ),
            Self::Labelled { more_wrong_per_1000, .. } => {
                format!("{more_wrong_per_1000:.0} more of 1,000 labelled answers wrong")
            }
            Self::Unknown { reason } => format!("harm unknown: {reason}"),
        }
    }
}

impl Diagnosis {
    /// What follows the sentence on what changed.
    pub(super) fn words(&self) -> String {
        let mut told = String::new();
        if let Some(first) = self.causes.first() {
            told.push_str(&format!("; likely {}", first.class));
            if let Some(next) = self.causes.get(1) {
                told.push_str(&format!(" rather than {}", next.class));
            }
        }
        told.push_str(&format!("; {}", self.harm.words()));
        told
    }
}

/// The row that parts health from a fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    row: u64,
    judged: u64,
    /// Rows at which it may have begun.
    starts: u64,
}

impl Since {
    /// The median of where it may have begun: one odd row of health just before makes a bet's own start early, and
    /// its harm small. That start where the median is not known, or later though the fault may be older than what is
    /// remembered.
    fn new(began: Option<Began>, start: Start, step: Step) -> Self {
        let median = began.and_then(|began| Some((began.median?, began.or_earlier)));
        let row = match median {
            Some((median, true)) => median.min(start.row),
            Some((median, false)) => median,
            None => start.row,
        };
        let first = began.map_or(row, |began| began.first.min(row));
        Self { row, judged: step.row, starts: (step.row + 1).saturating_sub(first) }
    }

    fn rows(self, recent: &Recent) -> Rows<'_> {
        Rows::of(recent, self.row, self.judged, self.starts)
    }
}

impl Monitor {
    /// Why a group alarms by a bet, since when, and with what harm.
    pub(super) fn diagnose(
        &self,
        group: &Group,
        top: (usize, Bet),
        (start, step): (Start, Step),
        features: &[String],
    ) -> Diagnosis {
        let symptoms = self.symptoms();
        let causes = causes(&symptoms);
        let began = self.began(group, top);
        let since = Since::new(began, start, step);
        let harm = self.harm(group, since, features, causes.first().map(|c| c.class));
        let index = |row: u64| row.saturating_sub(1);
        // What the sentence says lies within.
        let since_rows = began.map(|b| (index(b.first.min(start.row)), index(b.last.max(start.row))));
        let or_earlier = began.is_none_or(|b| b.or_earlier);
        Diagnosis { since_rows, or_earlier, symptoms, causes, harm }
    }

    /// Between which rows a fault began that a group's bets tell of.
    fn began(&self, group: &Group, top: (usize, Bet)) -> Option<Began> {
        let suspects = self.suspects(&group.streams);
        let mut bets: Vec<(usize, Bet)> =
            suspects.into_iter().map(|(stream, bet, _)| (stream, bet)).collect();
        bets.retain(|bet| *bet != top);
        bets.push(top);
        let watched: Vec<Watched<'_>> = bets
            .into_iter()
            .filter_map(|(stream, bet)| {
                let (table, evidence) = (self.wiring.table(stream)?, self.state.evidence.get(stream)?);
                let looks_back = self.calibration.streams.get(stream).is_some_and(|s| s.source.looks_back());
                Some(Watched { stream, bet, table, worth: evidence.share(table, bet), looks_back })
            })
            .collect();
        self.trail.began(&watched, self.state.began)
    }

    fn harm(&self, group: &Group, since: Since, features: &[String], class: Option<Class>) -> Harm {
        let joint = &self.calibration.joint;
        if group.role == Role::Traffic {
            return Harm::unknown("rows that are not there have no decision");
        }
        if !joint.has_surrogate() {
            return Harm::unknown("there is no surrogate of the model");
        }
        let Some(recent) = self.recent.as_ref().filter(|_| self.encoder.asks(Scalar::reads_features)) else {
            return Harm::unknown(
                "no row is kept to tell from: the detectors `surrogate_residual` and `coherence` are off",
            );
        };
        let rows = since.rows(recent);
        let mut columns: Vec<usize> = features.iter().filter_map(|f| self.schema.position(f)).collect();
        if columns.is_empty() {
            // Several at once, and none is evident by itself yet.
            let members = self.schema.columns.iter().enumerate().filter(|(_, c)| c.group == group.name);
            columns = members.map(|(position, _)| position).collect();
        }
        let found = match (group.role, class) {
            (Role::Output, _) if !self.encoder.asks(|s| matches!(s, Scalar::Residual(_))) => {
                Err("the detector `surrogate_residual` is off, and no answer is compared")
            }
            (Role::Output, _) => joint.answers_flipped(&rows, &columns),
            (_, Some(Class::WrongEntity)) => joint.entities_flipped(&rows, &columns),
            (_, Some(Class::Fallback | Class::Missing | Class::Stale)) => {
                joint.features_flipped(&rows, &columns)
            }
            _ => joint.decisions_shifted(&rows),
        };
        match found {
            Ok(Flips { share, low, high, at_least, rows }) => Harm::Estimated {
                flipped_per_1000: 1_000.0 * share,
                lower_per_1000: 1_000.0 * low,
                upper_per_1000: 1_000.0 * high,
                at_least,
                rows,
            },
            Err(reason) => Harm::unknown(reason),
        }
    }

    /// Where a fault began that a group's bets tell of.
    pub(super) fn since(&self, group: &Group, top: (usize, Bet), start: Start, step: Step) -> Since {
        Since::new(self.began(group, top), start, step)
    }

    /// The features that do not belong together since a row, as the relation between them tells.
    pub(super) fn incoherent(&self, since: Since) -> Vec<String> {
        let Some(recent) = &self.recent else { return Vec::new() };
        let columns = self.calibration.joint.incoherent(&since.rows(recent));
        columns.into_iter().filter_map(|p| self.schema.columns.get(p)).map(|c| c.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Timestamp;

    /// Harm is counted from the median of the start; from the bet's own where nobody knows that, or where the median
    /// is only later for want of memory.
    #[test]
    fn harm_begins_where_the_fault_did() {
        let ts = Timestamp::from_millis(0);
        let of = |own: u64, began: Option<(u64, Option<u64>, bool)>| {
            let began =
                began.map(|(first, median, or_earlier)| Began { first, median, last: 2_000, or_earlier });
            let start = Start { row: own, judged: own, ts };
            let Since { row, starts, .. } = Since::new(began, start, Step { row: 2_009, judged: 2_009, ts });
            (row, starts)
        };
        assert_eq!(of(1_990, Some((1_990, Some(2_000), false))), (2_000, 20));
        assert_eq!(of(1_500, Some((1_000, Some(1_800), true))), (1_500, 1_010));
        assert_eq!(of(500, Some((1_000, None, true))), (500, 1_510));
        assert_eq!(of(1_990, None), (1_990, 20));
    }
}
