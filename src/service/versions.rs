//! Versions that no baseline is of, in the hands of people: what was relearnt of them is looked at and taken.

use std::sync::PoisonError;

use serde::Serialize;

use super::engine::Engine;
use super::kept::Place;
use super::relearn::{Counted, Mark};
use super::strangers::VERSION_KIND;
use super::{Accepted, Error, Handle};
use crate::alert::{Change, Signature};
use crate::baseline::Baseline;
use crate::detect::Calibration;
use crate::units::{Timestamp, whole};

/// A version that was given a baseline of its own: features as before, answers as they were counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Adopted {
    /// The model.
    pub model: String,
    /// The version.
    pub version: String,
    /// The hash of its baseline.
    pub baseline: String,
    /// Rows of the version that it was counted of.
    pub rows: u64,
    /// When the first of them came.
    pub from: Timestamp,
    /// When the last of them came.
    pub to: Timestamp,
    /// What the promise of few false alarms rests on.
    pub promise: String,
    /// Open alerts that ended as superseded.
    pub superseded: u64,
    /// Whether it still counts after a restart.
    pub kept: bool,
    /// Where it is kept, or why it is not.
    pub message: String,
}

/// A baseline that was made of what was counted of a version, and how much that was.
#[derive(Debug)]
pub(super) struct Sealed {
    baseline: Baseline,
    of: Mark,
}

impl Engine {
    /// The version that an open alert is about, when it says that no baseline is of it.
    pub(super) fn unknown_version(&self, model: &str, id: u64) -> Option<String> {
        let mut open = self.alerts.open();
        let alert = open.find(|a| a.id == id && a.model == model && a.kind == VERSION_KIND)?;
        alert.version.clone()
    }

    /// Gives a version a baseline; ends its alert, as accepted where somebody accepted it. Making it took long:
    /// what stood in the way then is asked again.
    fn adopt(
        &mut self,
        Sealed { baseline, of }: Sealed,
        version: &str,
        accepted: Option<(u64, Signature)>,
        now: Timestamp,
    ) -> Result<Vec<Change>, Error> {
        let model = baseline.model().to_owned();
        self.under_way(&model)?;
        let Some(watched) = self.models.get_mut(&model) else { return Ok(Vec::new()) };
        if !watched.counted(version, now)?.has_all_of(of) {
            let missing = "some of what it was made of was taken back meanwhile".to_owned();
            return Err(Error::NotRelearnt { model, version: version.to_owned(), missing });
        }
        let judge = watched.judge_beside(version, baseline)?;
        let accept = |(id, by)| self.alerts.accept(&model, id, by, now);
        let accepted = accepted.map(accept).transpose()?;
        watched.adopt(version, judge);
        let is_its = |alert: &crate::alert::Alert| {
            alert.model == model && alert.version.as_deref() == Some(version) && alert.kind == VERSION_KIND
        };
        Ok(accepted.into_iter().chain(self.alerts.supersede(now, is_its)).collect())
    }
}

impl Handle {
    /// The baseline of a version, the bytes of its file: its own, or the one that can be made of what was counted
    /// of its rows. Nothing is judged by the latter. Takes long: not for a thread that answers others.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] or [`Error::UnknownVersion`]; [`Error::NotRelearnt`] with what is missing.
    pub fn version_baseline(&self, model: &str, version: &str) -> Result<Vec<u8>, Error> {
        let own = self.0.engine().model(model)?.baseline_of(version).cloned();
        let baseline = match own {
            Some(own) => own,
            None => self.relearnt(model, version)?.baseline,
        };
        Ok(baseline.to_bytes()?)
    }

    /// Gives a version the baseline that can be made of what was counted of its rows; it judges them from the next
    /// on. Takes long: not for a thread that answers others.
    ///
    /// # Errors
    /// As [`Handle::version_baseline`], and [`Error::RunUnderWay`].
    pub fn accept_version(&self, model: &str, version: &str, by: &Signature) -> Result<Adopted, Error> {
        let _putting = self.0.putting.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.engine().under_way(model)?;
        let sealed = self.relearnt(model, version)?;
        let (adopted, _) = self.adopt((sealed, version), None)?;
        tracing::info!(model, version, who = by.who(), note = by.note(), "a version was accepted");
        Ok(adopted)
    }

    /// Accepts the alert of a version. Where enough was counted of it, it gets a baseline of its own; else it is
    /// known from now on, and nothing more.
    pub(super) fn accept_unknown(
        &self,
        model: &str,
        version: &str,
        (id, by): (u64, Signature),
    ) -> Result<Accepted, Error> {
        // Until it has a baseline: no other one is put meanwhile.
        let _putting = self.0.putting.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.engine().under_way(model)?;
        match self.counted(model, version) {
            Ok(counted) => {
                // What was said to be ready and is refused after all is no alert that somebody ended.
                let sealed = self.seal(counted, version)?;
                let (adopted, alert) = self.adopt((sealed, version), Some((id, by)))?;
                let alert =
                    alert.ok_or_else(|| crate::alert::Error::Unknown { model: model.to_owned(), id })?;
                let Adopted { rows, from, to, message, .. } = &adopted;
                let message = format!(
                    "version `{version}` is judged by a baseline of its own from now on: features as before, \
                     answers as {rows} of its rows had them from {from} to {to}; {message}"
                );
                Ok(Accepted { alert, adopted: Some(adopted), message })
            }
            Err(error @ (Error::NotRelearnt { .. } | Error::UnknownVersion { .. })) => {
                let missing = match error {
                    Error::NotRelearnt { missing, .. } => missing,
                    error => error.to_string(),
                };
                let change = self.0.engine().accept(model, id, by, self.now())?;
                let alert = self.done(change);
                let message = format!(
                    "the answers of version `{version}` are undecided: {missing}; when they are relearnt, nothing is \
                     judged by that until it is accepted at /v1/models/{model}/versions/{version}/accept, or until a \
                     new baseline is put at /v1/models/{model}/baseline"
                );
                Ok(Accepted { alert, adopted: None, message })
            }
            Err(error) => Err(error),
        }
    }

    /// The baseline that can be made of what was counted of a version.
    pub(super) fn relearnt(&self, model: &str, version: &str) -> Result<Sealed, Error> {
        self.seal(self.counted(model, version)?, version)
    }

    /// The present baseline and what was counted of a version, when it is enough.
    fn counted(&self, model: &str, version: &str) -> Result<(Baseline, Counted), Error> {
        let engine = self.0.engine();
        let watched = engine.model(model)?;
        let counted = watched.counted(version, self.now())?.clone();
        Ok((watched.main.baseline.clone(), counted))
    }

    fn seal(&self, (present, counted): (Baseline, Counted), version: &str) -> Result<Sealed, Error> {
        let of = counted.mark();
        let baseline = counted.seal(&present, version, self.now()).map_err(|error| Error::NotRelearnt {
            model: present.model().to_owned(),
            version: version.to_owned(),
            missing: error.to_string(),
        })?;
        Ok(Sealed { baseline, of })
    }

    /// Lets a baseline judge its version from now on, and keeps it; gives the alert that was accepted with it.
    pub(super) fn adopt(
        &self,
        (sealed, version): (Sealed, &str),
        accepted: Option<(u64, Signature)>,
    ) -> Result<(Adopted, Option<crate::alert::Alert>), Error> {
        let baseline = sealed.baseline.clone();
        let model = baseline.model().to_owned();
        let wrong = |source| Error::Detect { model: model.clone(), source };
        let calibration = Calibration::read(baseline.calibration(), baseline.schema()).map_err(wrong)?;
        let id = accepted.as_ref().map(|(id, _)| *id);
        let (changes, configured) = {
            let mut engine = self.0.engine();
            let changes = engine.adopt(sealed, version, accepted, self.now())?;
            (changes, engine.model(&model)?.main.configured.clone())
        };
        self.0.tell(&changes);
        let place = Place { model: &model, version: Some(version), configured: &configured };
        let (kept, message) = self.keep(&place, None, &baseline);
        self.0.changed.notify_one();
        let alert = changes.iter().map(|change| &change.alert).find(|alert| Some(alert.id) == id).cloned();
        let adopted = Adopted {
            version: version.to_owned(),
            baseline: baseline.content_hash().to_owned(),
            rows: baseline.profile().rows(),
            from: baseline.provenance().from,
            to: baseline.provenance().to,
            promise: calibration.told_promise(),
            superseded: whole(changes.len()) - u64::from(alert.is_some()),
            kept,
            message,
            model,
        };
        let (model, baseline) = (&adopted.model, &adopted.baseline);
        tracing::info!(model, version, baseline, kept, "a version was given a baseline of its own");
        Ok((adopted, alert))
    }
}
