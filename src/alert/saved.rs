use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Error;
use super::manager::{Config, Key, Manager, Open, RECENT_MAX};
use super::timeline::{Bounded, Lost, Timeline};
use super::view::{Alert, State};

/// The alerts of a process, to go on with in the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    schema: Schema,
    next: u64,
    open: Vec<Open>,
    recent: Vec<Open>,
    timeline: Timeline,
    lost: Lost,
}

/// The format's name and version; another is refused by its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Schema {
    #[serde(rename = "silentry/alerts/v1")]
    V1,
}

impl Manager {
    /// Everything that a restart must not lose.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            schema: Schema::V1,
            next: self.next,
            open: self.open.values().cloned().collect(),
            recent: self.recent.iter().cloned().collect(),
            timeline: self.timeline.timeline(),
            lost: self.timeline.lost(),
        }
    }

    /// Goes on where another process stopped: what fired goes on firing under its number.
    ///
    /// # Errors
    /// [`Error::Saved`] when the state contradicts itself.
    pub fn restore(config: &Config, saved: Saved) -> Result<Self, Error> {
        check(&saved)?;
        let key = |open: Open| {
            let Alert { model, version, group, .. } = &open.alert;
            let key = Key { model: model.clone(), version: version.clone(), group: group.clone() };
            (key, open)
        };
        Ok(Self {
            next: saved.next,
            open: saved.open.into_iter().map(key).collect::<BTreeMap<_, _>>(),
            recent: saved.recent.into_iter().take(RECENT_MAX).collect(),
            timeline: Bounded::new(config.timeline_max.get(), saved.timeline, saved.lost),
            ..Self::new(config)
        })
    }
}

fn check(saved: &Saved) -> Result<(), Error> {
    let wrong = |what: String| Err(Error::Saved(what));
    let mut groups = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for open in saved.open.iter().chain(&saved.recent) {
        let alert = &open.alert;
        if alert.id >= saved.next || !ids.insert(alert.id) {
            return wrong(format!("alert {} is there twice or after the last, {}", alert.id, saved.next));
        }
    }
    for alert in saved.open.iter().map(|open| &open.alert) {
        if !groups.insert((&alert.model, &alert.version, &alert.group)) {
            return wrong(format!("two open alerts for model `{}`, group `{}`", alert.model, alert.group));
        }
        let has_fired = alert.state != State::Pending;
        if !alert.state.is_open() || has_fired != alert.fired_at.is_some() {
            return wrong(format!(
                "open alert {} is {:?}, fired at {:?}",
                alert.id, alert.state, alert.fired_at
            ));
        }
    }
    let times: Vec<_> = saved.timeline.0.iter().map(|entry| entry.at).collect();
    if !times.is_sorted() {
        return wrong("the timeline is not in order".to_owned());
    }
    Ok(())
}
