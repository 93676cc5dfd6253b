use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::engine::ModelSetup;
use super::view::{ModelView, SloView};
use crate::baseline::Baseline;
use crate::detect::{self, Calibration, EffectSize, Finding, Monitor, Options};
use crate::profile::Profile;
use crate::record::{Batch, Schema};
use crate::slo::{Meter, Span};
use crate::units::Timestamp;

/// Service levels on the API look back so far.
const SLO_SPAN: Duration = Duration::from_secs(600);

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
            baseline,
        })
    }

    pub(super) fn schema(&self) -> &Arc<Schema> {
        self.baseline.schema()
    }

    /// Takes the next rows: detectors, the window's profile, service levels.
    pub(super) fn observe(
        &mut self,
        batch: &Batch,
        unexpected: BTreeMap<String, u64>,
        now: Timestamp,
    ) -> Result<Vec<Finding>, Error> {
        self.last_arrival = Some(now);
        for (name, rows) in unexpected {
            *self.unexpected.entry(name).or_insert(0) += rows;
        }
        // The batch was built on this very schema, so the profile takes it.
        let profiled = self.profile.observe(batch);
        debug_assert!(profiled.is_ok(), "{profiled:?}");
        for row in batch.rows() {
            let (Some(millis), ok) = (row.latency_ms, row.status != Some(crate::record::RowStatus::Error))
            else {
                continue;
            };
            let Ok(latency) = Duration::try_from_secs_f64(millis / 1e3) else { continue };
            for meter in &mut self.meters {
                meter.record(row.ts.minus(latency), latency, ok)?;
            }
        }
        Ok(self.monitor.observe_at(batch, now))
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

    pub(super) fn view(&self, now: Timestamp) -> ModelView {
        let span = Span { from: now.minus(SLO_SPAN), to: now };
        ModelView {
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
            slos: self.meters.iter().map(|m| SloView::of(m, span)).collect(),
            unexpected: self.unexpected.clone(),
        }
    }
}
