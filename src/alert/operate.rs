//! What people do about an alert.

use std::time::Duration;

use super::Error;
use super::manager::{Key, Manager, Open};
use super::timeline::Event;
use super::view::{Change, Signed, Silence, State};
use crate::units::Timestamp;

/// The longest silence: what is silenced for longer is forgotten.
pub const SILENCE_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Bytes of a name.
const WHO_BYTES_MAX: usize = 128;
/// Bytes of a note.
const NOTE_BYTES_MAX: usize = 1_000;

/// Who does something about an alert, and what they say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    who: String,
    note: Option<String>,
}

impl Signature {
    /// A name of 1 to 128 bytes, and a note of up to 1,000.
    ///
    /// # Errors
    /// [`Error::Signature`] naming the one that is not.
    pub fn new(who: &str, note: Option<&str>) -> Result<Self, Error> {
        let wrong = |field, found: &str, expected| Error::Signature { field, found: found.len(), expected };
        let who = who.trim();
        if !(1..=WHO_BYTES_MAX).contains(&who.len()) {
            return Err(wrong("who", who, "1 to 128"));
        }
        let note = note.map(str::trim).filter(|note| !note.is_empty());
        if let Some(note) = note.filter(|note| note.len() > NOTE_BYTES_MAX) {
            return Err(wrong("note", note, "at most 1000"));
        }
        Ok(Self { who: who.to_owned(), note: note.map(str::to_owned) })
    }

    /// Who.
    #[must_use]
    pub fn who(&self) -> &str {
        &self.who
    }

    /// What they say.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    fn at(self, at: Timestamp) -> Signed {
        Signed { who: self.who, note: self.note, at }
    }
}

impl Manager {
    /// Notes that somebody looks at an alert; it stays open. The last one who does is shown.
    ///
    /// # Errors
    /// [`Error::Unknown`] or [`Error::Ended`].
    pub fn acknowledge(
        &mut self,
        model: &str,
        id: u64,
        by: Signature,
        now: Timestamp,
    ) -> Result<Change, Error> {
        let now = self.onward(now);
        let open = self.open_alert(model, id)?;
        let event = Event::Acknowledged { who: by.who.clone(), note: by.note.clone() };
        open.alert.ack = Some(by.at(now));
        let change = open.change(event, now, now);
        self.noted(vec![change.clone()]);
        Ok(change)
    }

    /// Lets nobody be told of an alert for a time; what happens to it is recorded all the same. A second
    /// silence takes the place of the first.
    ///
    /// # Errors
    /// [`Error::SilenceLength`], [`Error::Unknown`] or [`Error::Ended`].
    pub fn silence(
        &mut self,
        model: &str,
        id: u64,
        by: Signature,
        length: Duration,
        now: Timestamp,
    ) -> Result<Change, Error> {
        if length.is_zero() || length > SILENCE_MAX {
            return Err(Error::SilenceLength { found: length });
        }
        let now = self.onward(now);
        let until = now.plus(length);
        let open = self.open_alert(model, id)?;
        let event = Event::Silenced { who: by.who.clone(), note: by.note.clone(), until };
        let since = open.alert.silence.as_ref().map_or(now, |silence| silence.since);
        open.alert.silence = Some(Silence { by: by.at(now), since, until });
        let change = open.change(event, now, now);
        self.noted(vec![change.clone()]);
        Ok(change)
    }

    /// Ends an alert whose change is meant. The group's streams are the caller's to leave undecided.
    ///
    /// # Errors
    /// [`Error::Unknown`] or [`Error::Ended`].
    pub fn accept(&mut self, model: &str, id: u64, by: Signature, now: Timestamp) -> Result<Change, Error> {
        let now = self.onward(now);
        let open = self.open_alert(model, id)?;
        open.alert.accepted = Some(by.at(now));
        let alert = &open.alert;
        let key =
            Key { model: alert.model.clone(), version: alert.version.clone(), group: alert.group.clone() };
        let unknown = || Error::Unknown { model: model.to_owned(), id };
        self.end(&key, State::Accepted, now, now).pop().ok_or_else(unknown)
    }

    fn open_alert(&mut self, model: &str, id: u64) -> Result<&mut Open, Error> {
        let is_meant = |open: &&Open| open.alert.id == id && open.alert.model == model;
        if let Some(ended) = self.recent.iter().find(is_meant) {
            return Err(Error::Ended { id, state: ended.alert.state });
        }
        let open = self.open.values_mut().find(|open| is_meant(&&**open));
        open.ok_or_else(|| Error::Unknown { model: model.to_owned(), id })
    }
}
