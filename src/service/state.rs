//! What is kept over a restart: evidence, alerts, the timeline, rows that wait for labels.

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
/// And none of rows that wait is written that would be.
const WAITING_BYTES_MAX: usize = 256 << 20;
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
    if let Some(bytes) = read(dir, ALERTS)? {
        let saved = bytes.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string()));
        match saved.and_then(|saved| Manager::restore(alerts, saved).map_err(|e| e.to_string())) {
            Ok(manager) => engine.alerts = manager,
            Err(why) => return Ok(vec![format!("{ALERTS}: {why}; all evidence is left behind with it")]),
        }
    }
    let mut left: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
    for (name, model) in &mut engine.models {
        let file = file_of("evidence", name);
        let Some(bytes) = read(dir, &file)? else {
            left.entry(name.clone()).or_default().insert(None);
            continue;
        };
        let saved =
            bytes.and_then(|bytes| serde_json::from_slice::<Evidence>(&bytes).map_err(|e| e.to_string()));
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

/// A file's bytes; nothing when there is none. One that is too large is refused like one that does not parse: a
/// service that did not start because of it would watch nothing.
fn read(dir: &Dir, file: &str) -> Result<Option<Result<Vec<u8>, String>>, store::Error> {
    match dir.read(file, BYTES_MAX) {
        Ok(bytes) => Ok(bytes.map(Ok)),
        Err(error @ store::Error::TooLarge { .. }) => Ok(Some(Err(error.to_string()))),
        Err(error) => Err(error),
    }
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
        let (bytes, left) = within(model.labels.save_waiting(name), WAITING_BYTES_MAX)?;
        if left > 0 {
            tracing::warn!(
                model = name,
                rows = left,
                "too many rows wait for labels to be kept: the oldest are left behind"
            );
        }
        Ok((file_of(WAITING, name), bytes))
    };
    engine.models.iter().map(file).collect()
}

/// What waits as a file that can be read again, without the oldest rows where it would be larger; how many those are.
fn within(mut waiting: SavedWaiting, bytes_max: usize) -> Result<(Vec<u8>, u64), serde_json::Error> {
    let mut left = 0;
    loop {
        let bytes = serde_json::to_vec(&waiting)?;
        let more = if bytes.len() > bytes_max { waiting.leave_older_half() } else { 0 };
        if more == 0 {
            return Ok((bytes, left));
        }
        left += more;
    }
}

/// Takes over what waits for labels, and removes it: after a crash an older one would let labels be scored twice
/// that were scored since.
pub(super) fn restore_waiting(engine: &mut Engine, dir: &Dir) -> Result<Refusals, store::Error> {
    let mut refusals = Vec::new();
    for (name, model) in &mut engine.models {
        let file = file_of(WAITING, name);
        let Some(bytes) = read(dir, &file)? else { continue };
        dir.remove(&file)?;
        let saved = bytes.and_then(|bytes| {
            serde_json::from_slice::<SavedWaiting>(&bytes).map_err(|error| error.to_string())
        });
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// More rows than a file may hold leave the oldest behind and are counted: what is written can be read.
    #[test]
    fn what_is_written_can_be_read() {
        let row = |i| {
            let at = "2026-01-01T00:00:00Z";
            let answered =
                json!({"whose": "main", "answer": null, "answered_at": at, "at": at, "label": null});
            json!([format!("\u{1}{i}"), 0, answered])
        };
        let rows: Vec<_> = (0..100).map(row).collect();
        let saved = json!({"model": "a", "main": null, "versions": {}, "join": {"rows": rows, "early": []}});
        let waiting = || serde_json::from_value::<SavedWaiting>(saved.clone()).unwrap();
        let (all, left) = within(waiting(), 1 << 20).unwrap();
        assert!(left == 0 && all.len() > 10_000, "{left}, {}", all.len());
        let (some, left) = within(waiting(), 5_000).unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&some).unwrap();
        let kept = kept["join"]["rows"].as_array().unwrap();
        assert!(some.len() <= 5_000 && kept.len() > 10, "{} bytes of {} rows", some.len(), kept.len());
        assert_eq!(
            (kept.len() + usize::try_from(left).unwrap(), &kept[kept.len() - 1][0]),
            (100, &row(99)[0])
        );
    }
}
