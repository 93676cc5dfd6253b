//! What a monitor does with the rows of a version that its baseline is not of.

use super::stream::Role;
use super::{Alarm, Calibration, Finding, Monitor};
use crate::record::Batch;
use crate::units::Timestamp;

/// The group of an alarm about a version that no baseline is of, its kind, and what stands for its detector.
pub const VERSION: &str = "version";

/// Which rows a monitor judges, by the version of the model that they name. The others are traffic of the
/// model all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Whose {
    /// Every row.
    #[default]
    All,
    /// Those of one version, and those that name none.
    Version(String),
    /// Those of any other version.
    OthersThan(String),
}

impl Whose {
    pub(super) fn includes(&self, batch: &Batch, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::Version(own) => version_of(batch, row).is_none_or(|version| version == own),
            Self::OthersThan(own) => version_of(batch, row).is_some_and(|version| version != own),
        }
    }
}

/// The version of the model that a row names.
#[must_use]
pub fn version_of(batch: &Batch, row: usize) -> Option<&str> {
    use arrow::array::Array;
    let values = &batch.meta().tags().iter().find(|tag| tag.name == VERSION)?.values;
    (row < values.len() && values.is_valid(row)).then(|| values.value(row))
}

/// The alarm that rows of a version came that no baseline is of, first at a row, from 0.
#[must_use]
pub fn unknown_version(version: &str, expected: &str, row: u64, ts: Timestamp) -> Alarm {
    Alarm {
        row,
        ts,
        detector: VERSION.to_owned(),
        kind: VERSION.to_owned(),
        features: Vec::new(),
        group: VERSION.to_owned(),
        score: f64::NAN,
        threshold: f64::NAN,
        since_row: row,
        since: ts,
        shares: Vec::new(),
        message: format!(
            "no baseline for this version: rows of version `{version}` came, the baseline is of `{expected}`; \
             their features are judged by it, their answers are not"
        ),
        diagnosis: Box::default(),
    }
}

impl Calibration {
    /// The same without the model's answers: what features look like is carried over to another version,
    /// what a version answers is its own.
    #[must_use]
    pub fn inputs_only(mut self) -> Self {
        self.streams.retain(|stream| stream.role != Role::Output);
        self.labels = None;
        self
    }
}

impl Monitor {
    /// A group that is latched, and whether its change was accepted; the row rate aside.
    #[must_use]
    pub fn latched(&self) -> Option<(&str, bool)> {
        let mut groups = self.state.groups.iter().filter(|group| group.role != Role::Traffic);
        let latched = groups.find(|group| group.latch.is_some())?;
        Some((&latched.name, latched.is_accepted()))
    }

    /// A group that is latched and whose change nobody accepted; the row rate aside.
    #[must_use]
    pub fn drifted(&self) -> Option<&str> {
        let mut groups = self.state.groups.iter().filter(|group| group.role != Role::Traffic);
        let drifted = groups.find(|group| group.latch.is_some() && !group.is_accepted())?;
        Some(&drifted.name)
    }

    /// Whether a group's alarm is open: latched, and its change accepted by nobody.
    #[must_use]
    pub fn holds(&self, group: &str) -> bool {
        self.state.groups.iter().any(|g| g.name == group && g.latch.is_some() && !g.is_accepted())
    }

    /// Judges only some rows. Others count for the row rate and have their number.
    #[must_use]
    pub fn judging(mut self, whose: Whose) -> Self {
        self.whose = whose;
        self
    }

    /// Numbers the next rows as if at least so many had come already.
    pub const fn skip_to(&mut self, rows: u64) {
        if self.state.row < rows {
            self.state.row = rows;
        }
    }

    /// Counts rows that arrive now and that another monitor judges, for the row rate alone: they are
    /// traffic of the model all the same, and a rollout is no silence.
    pub fn count_at(&mut self, batch: &Batch, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (row, said) in batch.meta().ts().iter().enumerate() {
            if self.encoder.pass(batch, row) && !self.state.is_short {
                self.count_row((*said).min(now), &mut findings);
            }
        }
        findings
    }
}
