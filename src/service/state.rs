//! What is kept over a restart: evidence, alerts, the timeline.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::engine::Engine;
use crate::alert::{self, Manager};
use crate::detect;
use crate::store::{self, Dir};
use crate::units::Timestamp;

/// No state file is larger.
const BYTES_MAX: u64 = 256 << 20;
/// The file of alerts.
const ALERTS: &str = "alerts.json";

/// One model's evidence with its name: the file's own name is a hash of it.
#[derive(Serialize, Deserialize)]
struct Evidence {
    model: String,
    saved: detect::Saved,
}

/// What could not be taken over, in words for the log.
pub(super) type Refusals = Vec<String>;

/// The files of a moment, to be written without holding the engine.
pub(super) fn files(engine: &Engine) -> Result<Vec<(String, Vec<u8>)>, serde_json::Error> {
    let mut files = vec![(ALERTS.to_owned(), serde_json::to_vec(&engine.alerts.save())?)];
    for (name, model) in &engine.models {
        let evidence = Evidence { model: name.clone(), saved: model.monitor.save() };
        files.push((file_of(name), serde_json::to_vec(&evidence)?));
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
    let mut kept = BTreeSet::new();
    for (name, model) in &mut engine.models {
        let file = file_of(name);
        let Some(bytes) = dir.read(&file, BYTES_MAX)? else { continue };
        let saved = serde_json::from_slice::<Evidence>(&bytes).map_err(|e| e.to_string());
        let own = saved.and_then(|e| match e.model == *name {
            true => Ok(e.saved),
            false => Err(format!("it is of model `{}`", e.model)),
        });
        match own.and_then(|saved| model.monitor.restore(saved).map_err(|e| e.to_string())) {
            Ok(()) => drop(kept.insert(name.clone())),
            Err(why) => refusals.push(format!("{file} (model `{name}`): {why}")),
        }
    }
    let open: BTreeSet<String> = engine.alerts.active().into_iter().map(|alert| alert.model).collect();
    for model in open.difference(&kept) {
        // Nobody would ever say that it is over.
        engine.alerts.supersede(model, now);
        refusals.push(format!("{ALERTS}: open alerts of model `{model}` are closed: their evidence is gone"));
    }
    Ok(refusals)
}

/// A name that any file system takes, whatever the model is called.
fn file_of(model: &str) -> String {
    let hash = Sha256::digest(model.as_bytes());
    let short: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("evidence-{short}.json")
}
