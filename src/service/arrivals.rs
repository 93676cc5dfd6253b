use std::collections::BTreeMap;

use super::recent::{Recent, RecentRows};
use super::sources::{Numbered, Sources};
use crate::record::Record;
use crate::units::Timestamp;

/// What became of the rows of each watched model, before any of them is judged.
#[derive(Debug)]
pub(super) struct Arrivals {
    models: BTreeMap<String, Recent>,
    sources: Sources,
}

/// What one body held.
#[derive(Debug, Default)]
pub(super) struct Tally {
    models: BTreeMap<String, (u64, u64)>,
    /// Records without a number: nothing else would tell that some of theirs are missing.
    unnumbered: bool,
    /// Lines that cannot be read; whose they are is not known.
    pub(super) unreadable: u64,
}

impl Tally {
    pub(super) fn add(&mut self, model: String, taken: bool) {
        let (took, shed) = self.models.entry(model).or_insert((0, 0));
        *(if taken { took } else { shed }) += 1;
    }
}

impl Arrivals {
    pub(super) fn new(models: impl IntoIterator<Item = String>) -> Self {
        let models = models.into_iter().map(|name| (name, Recent::default())).collect();
        Self { models, sources: Sources::default() }
    }

    /// Follows the number of a record, whether or not there is room for it.
    pub(super) fn see(&mut self, record: &Record, tally: &mut Tally, now: Timestamp) {
        let (Some(source), Some(seq)) = (&record.source, record.seq) else {
            tally.unnumbered = true;
            return;
        };
        let model = self.models.contains_key(&record.model).then_some(record.model.as_str());
        self.sources.see(Numbered { source, seq, ts: record.ts, model }, now);
    }

    /// Takes what became of one body. Lines that could not be read are held against the models of the
    /// others, or against all when there are no others; where the others are numbered, the missing
    /// numbers will tell.
    pub(super) fn add(&mut self, tally: &Tally, now: Timestamp) {
        for (model, (taken, shed)) in &tally.models {
            if let Some(recent) = self.models.get_mut(model) {
                recent.taken(now, *taken);
                recent.lost(now, *shed);
                if tally.unnumbered {
                    recent.lost(now, tally.unreadable);
                }
            }
        }
        if tally.models.is_empty() && tally.unreadable > 0 {
            self.models.values_mut().for_each(|recent| recent.lost(now, tally.unreadable));
        }
    }

    /// Rows of a model that were taken and then not judged.
    pub(super) fn not_judged(&mut self, model: &str, rows: u64, now: Timestamp) {
        if let Some(recent) = self.models.get_mut(model) {
            recent.not_judged(now, rows);
        }
    }

    fn lost(&mut self, model: &str, rows: u64, now: Timestamp) {
        if let Some(recent) = self.models.get_mut(model) {
            recent.lost(now, rows);
        }
    }

    /// A whole body was lost; whose rows it held, and how many, is not known.
    pub(super) fn lost_body(&mut self, now: Timestamp) {
        self.models.values_mut().for_each(|recent| recent.lost_uncounted(now));
    }

    /// Gives up the numbers that are missing for long; answers how many.
    pub(super) fn settle(&mut self, now: Timestamp) -> u64 {
        let mut rows = 0;
        for missing in self.sources.settle(now) {
            rows += missing.rows;
            for model in &missing.models {
                self.lost(model, missing.rows, now);
            }
        }
        rows
    }

    /// Names under which several processes send: their numbers say nothing.
    pub(super) fn shared_names(&self, now: Timestamp) -> Vec<String> {
        self.sources.shared(now)
    }

    pub(super) fn view(&self, model: &str, now: Timestamp) -> Option<RecentRows> {
        self.models.get(model).map(|recent| recent.view(now))
    }

    pub(super) fn views(&self, now: Timestamp) -> impl Iterator<Item = (&str, RecentRows)> {
        self.models.iter().map(move |(name, recent)| (name.as_str(), recent.view(now)))
    }
}
