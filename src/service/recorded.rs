//! Recorded traffic, judged as that which arrives is.

use std::collections::BTreeMap;

use super::Error;
use super::judge::{Scope, monitor_of};
use super::strangers::Strangers;
use crate::baseline::Baseline;
use crate::detect::{Finding, Monitor, StreamReport, Whose, version_of};
use crate::record::Batch;

/// The monitor of a baseline over a recording, and one over the features of versions that it is not of.
#[derive(Debug)]
pub struct Recorded {
    version: Option<String>,
    monitor: Monitor,
    strangers: Strangers,
}

impl Recorded {
    /// Ready for the first row; `without`: detectors that are switched off.
    ///
    /// # Errors
    /// [`Error::Detect`] for a baseline without a calibration of today, or a name that no detector has.
    pub fn new(baseline: &Baseline, without: &[String]) -> Result<Self, Error> {
        let version = baseline.schema().version.clone();
        let whose = |of: fn(String) -> Whose| version.clone().map_or(Whose::All, of);
        let monitor = monitor_of(baseline, without, Scope::Whole)?.judging(whose(Whose::Version));
        let mut strangers = Strangers::new(baseline, without)?;
        strangers.monitor = strangers.monitor.judging(whose(Whose::OthersThan));
        Ok(Self { version, monitor, strangers })
    }

    /// Takes the next rows, in the order in which they arrived.
    pub fn observe(&mut self, batch: &Batch) -> Vec<Finding> {
        let before = self.monitor.rows();
        let mut findings = self.note_strangers(batch, before);
        findings.extend(self.monitor.observe(batch));
        if self.strangers.are_there_at_all() {
            // Nobody read the rows before the first of them.
            self.strangers.monitor.skip_to(before);
            findings.extend(self.strangers.monitor.observe(batch));
        }
        findings
    }

    /// The end: judges the last request, which has no more rows.
    pub fn finish(&mut self) -> Vec<Finding> {
        let mut findings = self.monitor.finish();
        findings.extend(self.strangers.monitor.finish());
        findings
    }

    /// Says whether enough of the recording's rows could be read.
    pub fn set_coverage(&mut self, enough: bool) {
        self.monitor.set_coverage(enough);
    }

    /// Rows so far, those of other versions included.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.monitor.rows()
    }

    /// How every detector stands.
    #[must_use]
    pub fn report(&self) -> Vec<StreamReport> {
        self.monitor.report()
    }

    /// Rows of versions that the baseline is not of, by version; further versions share an entry.
    #[must_use]
    pub fn other_versions(&self) -> BTreeMap<String, u64> {
        self.strangers.seen().iter().map(|(version, stranger)| (version.clone(), stranger.rows)).collect()
    }

    /// Counts rows of other versions; the alarm of each version that is new.
    fn note_strangers(&mut self, batch: &Batch, before: u64) -> Vec<Finding> {
        let Some(expected) = self.version.as_deref() else { return Vec::new() };
        let rows = batch.meta().ts().iter().enumerate().zip(before..);
        let noted = rows.filter_map(|((row, ts), number)| {
            let version = version_of(batch, row).filter(|version| *version != expected)?;
            self.strangers.note(version, expected, (number, *ts), *ts).map(|(_, finding)| finding)
        });
        noted.collect()
    }
}
