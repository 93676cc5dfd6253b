//! What is kept over a restart: evidence, alerts, the timeline.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::engine::Engine;
use super::labels::SavedWaiting;
use super::model::{Evidence, Watched};
use crate::alert::{self, Alert, Manager};
use crate::store::{self, Dir};
use crate::units::Timestamp;

/// No state file is larger.
const BYTES_MAX: u64 = 256 << 20;
/// The file of alerts.
const ALERTS: &str = "alerts.json";
/// The files of rows that wait for labels.
const WAITING: &str = "waiting";

/// What could not be taken over, in words for the log.
pub(super) type Refusals = Vec<String>;

/// The files of a moment, to be written without holding the engine.
pub(super) fn files(engine: &Engine) -> Result<Vec<(String, Vec<u8>)>, serde_json::Error> {
    let mut files = vec![(ALERTS.to_owned(), serde_json::to_vec(&engine.alerts.save())?)];
    for (name, model) in &engine.models {
        files.push((file_of("evidence", name), serde_json::to_vec(&model.save())?));
    }
    Ok(files)
}

/// Takes over what was saved. State that does not fit is refused, said, and left behind: the streams
/// then begin anew, undecided until they have seen enough. Evidence and alerts go together: without
/// its evidence an alert would never resolve, and without its alerts a latched group would never be
/// told of again.
pub(super) fn restore(
    engine: &mut Engine,
    dir: &Dir,
    alerts: &alert::Config,
    now: Timestamp,
) -> Result<Refusals, store::Error> {
    let mut refusals = Vec::new();
    if let Some(bytes) = dir.read(ALERTS, BYTES_MAX)? {
        let saved = serde_json::from_slice(&bytes).map_err(|e| e.to_string());
        match saved.and_then(|saved| Manager::restore(alerts, saved).map_err(|e| e.to_string())) {
            Ok(manager) => engine.alerts = manager,
            Err(why) => return Ok(vec![format!("{ALERTS}: {why}; all evidence is left behind with it")]),
        }
    }
    let mut left: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
    for (name, model) in &mut engine.models {
        let file = file_of("evidence", name);
        let Some(bytes) = dir.read(&file, BYTES_MAX)? else {
            left.entry(name.clone()).or_default().insert(None);
            continue;
        };
        let saved = serde_json::from_slice::<Evidence>(&bytes).map_err(|e| e.to_string());
        let own = saved.and_then(|e| match e.model == *name {
            true => Ok(e),
            false => Err(format!("it is of model `{}`", e.model)),
        });
        let refused = own.map_or_else(|why| vec![(None, why)], |evidence| model.restore(evidence));
        for (version, why) in refused {
            let of = version.as_ref().map_or_else(String::new, |version| format!(", version `{version}`"));
            refusals.push(format!("{file} (model `{name}`{of}): {why}"));
            left.entry(name.clone()).or_default().insert(version);
        }
    }
    refusals.extend(close_what_nobody_holds(engine, &left, now));
    Ok(refusals)
}

/// Nobody would ever say that an alert is over whose evidence is gone.
fn close_what_nobody_holds(
    engine: &mut Engine,
    left: &BTreeMap<String, BTreeSet<Option<String>>>,
    now: Timestamp,
) -> Refusals {
    let nothing = BTreeSet::new();
    let models = &engine.models;
    let is_over = |alert: &Alert| {
        let left = left.get(&alert.model).map_or(&nothing, |left| left);
        !models.get(&alert.model).is_some_and(|model| model.holds(alert, left))
    };
    let closed = engine.alerts.supersede(now, is_over);
    let groups: BTreeSet<(&str, &str)> =
        closed.iter().map(|c| (c.alert.model.as_str(), c.alert.group.as_str())).collect();
    let told = groups.into_iter().map(|(model, group)| {
        format!(
            "{ALERTS}: the open alert of model `{model}`, group `{group}` is closed: its evidence is gone"
        )
    });
    told.collect()
}

/// The files of what waits for labels. They are many rows: written at an orderly end alone, not every few seconds.
pub(super) fn waiting_files(engine: &Engine) -> Result<Vec<(String, Vec<u8>)>, serde_json::Error> {
    let file = |(name, model): (&String, &Watched)| {
        Ok((file_of(WAITING, name), serde_json::to_vec(&model.labels.save_waiting(name))?))
    };
    engine.models.iter().map(file).collect()
}

/// Takes over what waits for labels, and removes it: after a crash an older one would let labels be scored twice
/// that were scored since.
pub(super) fn restore_waiting(engine: &mut Engine, dir: &Dir) -> Result<Refusals, store::Error> {
    let mut refusals = Vec::new();
    for (name, model) in &mut engine.models {
        let file = file_of(WAITING, name);
        let Some(bytes) = dir.read(&file, BYTES_MAX)? else { continue };
        dir.remove(&file)?;
        let saved = serde_json::from_slice::<SavedWaiting>(&bytes).map_err(|error| error.to_string());
        if let Err(why) = saved.and_then(|saved| model.labels.restore_waiting(name, saved)) {
            refusals.push(format!("{file} (model `{name}`): {why}"));
        }
    }
    Ok(refusals)
}

/// A name that any file system takes, whatever the model is called.
fn file_of(what: &str, model: &str) -> String {
    format!("{what}-{}.json", short_name(model))
}

/// Some letters and digits that stand for a text of any characters.
pub(super) fn short_name(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect()
}
