//! What people do to a service that runs: alerts and baselines.

use std::time::Duration;

use serde::Serialize;

use super::engine::{Engine, loaded};
use super::kept::Place;
use super::{Adopted, Error, Handle};
use crate::alert::{Alert, Change, Signature};
use crate::baseline::Baseline;
use crate::units::Timestamp;

/// An alert whose change was accepted, and what that leaves.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Accepted {
    /// The alert, which has ended.
    pub alert: Alert,
    /// The baseline that its version has of its own from now on, where the alert was about a version whose
    /// answers were relearnt.
    pub adopted: Option<Adopted>,
    /// What is not judged any more, and until when.
    pub message: String,
}

/// A baseline that was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct BaselinePut {
    /// The model.
    pub model: String,
    /// The version that it is of, where it says so.
    pub version: Option<String>,
    /// Its hash.
    pub baseline: String,
    /// The hash of the one in whose place it stands.
    pub replaced: String,
    /// Open alerts that ended as superseded.
    pub superseded: u64,
    /// Whether it still counts after a restart.
    pub kept: bool,
    /// Where it is kept, or why it is not.
    pub message: String,
}

impl Engine {
    pub(super) fn accept(
        &mut self,
        model: &str,
        id: u64,
        by: Signature,
        now: Timestamp,
    ) -> Result<Change, Error> {
        self.model(model)?;
        // What is latched is part of what judges a run.
        self.under_way(model)?;
        let change = self.alerts.accept(model, id, by, now)?;
        if let Some(watched) = self.models.get_mut(model) {
            watched.accept(&change.alert);
        }
        Ok(change)
    }

    /// Puts a baseline in its place; gives the hash of the one before and the alerts that end with it.
    fn put(&mut self, baseline: Baseline, now: Timestamp) -> Result<Vec<Change>, Error> {
        let name = baseline.model().to_owned();
        self.under_way(&name)?;
        let Some(model) = self.models.get_mut(&name) else { return Ok(Vec::new()) };
        let place = model.place_of(&baseline);
        model.put_in(place.as_deref(), baseline)?;
        loaded(&self.metrics, model);
        let model = &*model;
        let is_over = |alert: &Alert| alert.model == name && model.is_of(place.as_deref(), alert);
        Ok(self.alerts.supersede(now, is_over))
    }
}

impl Handle {
    /// Notes that somebody looks at an alert.
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::Alert`] for an alert that is unknown or has ended.
    pub fn acknowledge(&self, model: &str, id: u64, by: Signature) -> Result<Alert, Error> {
        let now = self.now();
        let change = {
            let mut engine = self.0.engine();
            engine.model(model)?;
            engine.alerts.acknowledge(model, id, by, now)?
        };
        Ok(self.done(change))
    }

    /// Lets nobody be told of an alert for a time.
    ///
    /// # Errors
    /// As [`Handle::acknowledge`], and for a length that no silence has.
    pub fn silence(&self, model: &str, id: u64, by: Signature, length: Duration) -> Result<Alert, Error> {
        let now = self.now();
        let change = {
            let mut engine = self.0.engine();
            engine.model(model)?;
            engine.alerts.silence(model, id, by, length, now)?
        };
        Ok(self.done(change))
    }

    /// Ends an alert whose change is meant; its group stays undecided until there is another baseline.
    ///
    /// # Errors
    /// As [`Handle::acknowledge`], and [`Error::RunUnderWay`].
    pub fn accept(&self, model: &str, id: u64, by: Signature) -> Result<Accepted, Error> {
        let unknown = self.0.engine().unknown_version(model, id);
        if let Some(version) = unknown {
            return self.accept_unknown(model, &version, (id, by));
        }
        let change = self.0.engine().accept(model, id, by, self.now())?;
        let alert = self.done(change);
        let of =
            alert.version.as_ref().map_or_else(String::new, |version| format!(" of version `{version}`"));
        let message = format!(
            "group `{}`{of} is undecided until a new baseline is put at /v1/models/{model}/baseline: the one in \
             use is of the past, and does not adapt",
            alert.group
        );
        Ok(Accepted { alert, adopted: None, message })
    }

    /// Tells a change and sees to it that it is kept soon.
    pub(super) fn done(&self, change: Change) -> Alert {
        self.0.tell(std::slice::from_ref(&change));
        self.0.changed.notify_one();
        change.alert
    }

    /// Puts a baseline in the place of the one of the same version, where the configuration has several, or
    /// else of the model's. It judges from the next rows on, and begins anew; alerts that the other one
    /// raised are superseded. Takes as long as reading it does: not for a thread that answers others.
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::Baseline`] or [`Error::Detect`] for bytes that are none, or one of
    /// another model; [`Error::RunUnderWay`].
    pub fn put_baseline(&self, model: &str, bytes: &[u8]) -> Result<BaselinePut, Error> {
        self.0.engine().model(model)?;
        let new = Baseline::read(bytes)?.for_model(model)?;
        // One at a time: what is kept last is what judges.
        let _putting = self.0.putting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (old, place, configured) = {
            let engine = self.0.engine();
            engine.under_way(model)?;
            let watched = engine.model(model)?;
            let place = watched.place_of(&new);
            let judge = watched.judge(place.as_deref()).unwrap_or(&watched.main);
            (judge.baseline.clone(), place, judge.configured.clone())
        };
        let changes = {
            let mut engine = self.0.engine();
            let changes = engine.put(new.clone(), self.now())?;
            self.0.set_features(engine.features());
            changes
        };
        self.0.tell(&changes);
        let place = Place { model, version: place.as_deref(), configured: &configured };
        let (kept, message) = self.keep(&place, Some(&old), &new);
        self.0.changed.notify_one();
        let put = BaselinePut {
            model: model.to_owned(),
            version: new.schema().version.clone(),
            baseline: new.content_hash().to_owned(),
            replaced: old.content_hash().to_owned(),
            superseded: crate::units::whole(changes.len()),
            kept,
            message,
        };
        tracing::info!(model, baseline = put.baseline, replaced = put.replaced, kept, "a baseline was put");
        Ok(put)
    }

    pub(super) fn keep(&self, place: &Place<'_>, old: Option<&Baseline>, new: &Baseline) -> (bool, String) {
        let Some(kept) = &self.0.kept else {
            return (false, "after a restart the configured baseline counts: no state is kept".to_owned());
        };
        match kept.put(place, old, new) {
            Ok(()) => {
                let path = kept.path().display();
                (true, format!("kept in {path}; counts until the configuration names another baseline"))
            }
            Err(error) => {
                tracing::error!(%error, "a baseline that was put could not be kept");
                let why = "it could not be written, see the log";
                (false, format!("after a restart the configured baseline counts: {why}"))
            }
        }
    }
}
