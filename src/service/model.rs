use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::engine::ModelSetup;
use super::run::record_row;
use super::view::{ModelView, SloView, Standing};
use crate::baseline::Baseline;
use crate::detect::{self, Calibration, EffectSize, Finding, Monitor, Options};
use crate::profile::Profile;
use crate::record::{Batch, Record, Schema};
use crate::slo::{Meter, Span};
use crate::units::Timestamp;

/// Service levels on the API look back so far.
const SLO_SPAN: Duration = Duration::from_secs(600);

/// A model at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    view: ModelView,
    meters: Vec<Meter>,
}

impl Snapshot {
    pub(super) fn view(self, now: Timestamp) -> ModelView {
        let span = Span { from: now.minus(SLO_SPAN), to: now };
        let slos = self.meters.iter().map(|meter| SloView::of(meter, span)).collect();
        ModelView { slos, ..self.view }
    }
}

/// One model under watch.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) baseline: Baseline,
    pub(super) monitor: Monitor,
    pub(super) effects: Vec<EffectSize>,
    pub(super) last_arrival: Option<Timestamp>,
    without: Vec<String>,
    profile: Profile,
    profile_began: Option<Timestamp>,
    meters: Vec<Meter>,
    unexpected: BTreeMap<String, u64>,
    other_versions: BTreeMap<String, u64>,
}

/// Names kept of features and versions that the baseline does not know; further ones share an entry.
const NAMES_MAX: usize = 50;
/// The entry of the others.
const OTHERS: &str = "(others)";

/// Counts by name, for names that senders make up.
pub(super) fn add_bounded(counts: &mut BTreeMap<String, u64>, name: &str, rows: u64) {
    let is_known = counts.contains_key(name);
    let name = if is_known || counts.len() < NAMES_MAX { name } else { OTHERS };
    *counts.entry(name.to_owned()).or_insert(0) += rows;
}

impl Watched {
    pub(super) fn new(setup: ModelSetup) -> Result<Self, Error> {
        let baseline = setup.baseline;
        let model = baseline.model().to_owned();
        let wrong = |source: detect::Error| Error::Detect { model: model.clone(), source };
        let calibration = Calibration::read(baseline.calibration(), baseline.schema()).map_err(wrong)?;
        let options = Options {
            budget: baseline.budget(),
            rate: baseline.rate(),
            without: setup.without.iter().cloned().collect(),
        };
        let monitor = Monitor::new(Arc::clone(baseline.schema()), calibration, options).map_err(wrong)?;
        let meters = setup.slos.into_iter().map(|(objective, window)| Meter::new(objective, window));
        Ok(Self {
            monitor,
            effects: Vec::new(),
            last_arrival: None,
            without: setup.without,
            profile: Profile::new(Arc::clone(baseline.schema())),
            profile_began: None,
            meters: meters.collect::<Result<_, _>>()?,
            unexpected: BTreeMap::new(),
            other_versions: BTreeMap::new(),
            baseline,
        })
    }

    /// Detectors in groups that know something now: quiet or drifted.
    pub(super) fn decided(&self) -> u64 {
        let report = self.monitor.report();
        let decided = report.iter().filter(|r| !matches!(r.state, detect::StreamState::Undecided(_)));
        crate::units::whole(decided.count())
    }

    pub(super) fn schema(&self) -> &Arc<Schema> {
        self.baseline.schema()
    }

    /// Counts rows of another version than the baseline's. They are judged all the same: another
    /// version that is fed garbage is fed garbage. Whether its answers may differ is for people to say.
    pub(super) fn note_versions(&mut self, records: &[Record]) {
        let Some(expected) = self.baseline.schema().version.as_deref() else { return };
        for version in records.iter().filter_map(|r| r.version.as_deref()).filter(|v| *v != expected) {
            add_bounded(&mut self.other_versions, version, 1);
        }
    }

    pub(super) const fn other_versions(&self) -> &BTreeMap<String, u64> {
        &self.other_versions
    }

    /// Takes the next rows: detectors and the window's profile.
    pub(super) fn observe(
        &mut self,
        batch: &Batch,
        unexpected: &BTreeMap<String, u64>,
        now: Timestamp,
    ) -> Vec<Finding> {
        self.last_arrival = Some(now);
        for (name, rows) in unexpected {
            add_bounded(&mut self.unexpected, name, *rows);
        }
        // The batch was built on this very schema, so the profile takes it.
        let profiled = self.profile.observe(batch);
        debug_assert!(profiled.is_ok(), "{profiled:?}");
        self.monitor.observe_at(batch, now)
    }

    /// Measures service levels by what the rows themselves say.
    pub(super) fn measure(&mut self, batch: &Batch) -> Result<(), Error> {
        for row in 0..batch.len() {
            for meter in &mut self.meters {
                record_row(meter, batch.meta(), row)?;
            }
        }
        Ok(())
    }

    /// Closes the window of effect sizes when it is over; answers whether it was.
    pub(super) fn close_window(&mut self, now: Timestamp, length: Duration) -> bool {
        let began = *self.profile_began.get_or_insert(now);
        if now < began.plus(length) {
            return false;
        }
        self.effects = if self.profile.rows() > 0 {
            detect::effect_sizes(self.baseline.profile(), &self.profile)
        } else {
            Vec::new()
        };
        self.profile = Profile::new(Arc::clone(self.baseline.schema()));
        self.profile_began = Some(now);
        true
    }

    /// What the metrics show, without the service levels: those are much to sum up.
    pub(super) fn standing(&self) -> Standing {
        Standing {
            model: self.baseline.model().to_owned(),
            detectors: self.monitor.report(),
            effects: self.effects.clone(),
        }
    }

    /// How it stands, but for the service levels: their meters come along to be summed up by
    /// [`Snapshot::view`], when the engine is held no longer.
    pub(super) fn snapshot(&self) -> Snapshot {
        let view = ModelView {
            model: self.baseline.model().to_owned(),
            version: self.schema().version.clone(),
            baseline: self.baseline.content_hash().to_owned(),
            budget: self.baseline.budget().to_string(),
            rate: self.baseline.rate(),
            rows: self.monitor.rows(),
            last_arrival: self.last_arrival,
            without: self.without.clone(),
            detectors: self.monitor.report(),
            effects: self.effects.clone(),
            slos: Vec::new(),
            unexpected: self.unexpected.clone(),
            other_versions: self.schema().version.is_some().then(|| self.other_versions.clone()),
            recent: None,
        };
        Snapshot { view, meters: self.meters.clone() }
    }
}
