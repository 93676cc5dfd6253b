//! Baselines that were put while the service ran: which counts after a restart.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::model::Watched;
use super::state::short_name;
use super::{Error, state};
use crate::baseline::Baseline;
use crate::store::{self, Dir};

/// No baseline that is put may be larger.
pub const BASELINE_BYTES_MAX: usize = 64 << 20;
/// Versions kept of each: the one in use, those before it, and what the configuration named.
const KEEP: NonZeroUsize = NonZeroUsize::new(5).unwrap();
/// The folder within that of the state.
const FOLDER: &str = "baselines";
/// No note is larger.
const NOTE_BYTES_MAX: u64 = 1 << 16;

/// The folder of baselines that were put.
#[derive(Debug, Clone)]
pub(super) struct Kept(Dir);

/// Says that another baseline stands where the configuration names one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    model: String,
    /// The version whose place it is; nothing for the model's own.
    place: Option<String>,
    /// The hash of what the configuration named at that time: when it names another, that one counts.
    configured: String,
    /// The hash of what was put.
    put: String,
    /// Its number among the kept files.
    number: u64,
}

/// Where a baseline stands, and in the place of which one.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) model: &'a str,
    pub(super) version: Option<&'a str>,
    /// The hash of what the configuration names there.
    pub(super) configured: &'a str,
}

impl Place<'_> {
    fn file(&self) -> String {
        // No name has the sign between the two.
        let version = self.version.map_or_else(String::new, |version| format!("\0{version}"));
        format!("baseline-{}", short_name(&format!("{}{version}", self.model)))
    }

    fn note(&self) -> String {
        format!("{}.json", self.file())
    }
}

impl Kept {
    /// Opens the folder within that of the state.
    pub(super) fn open(state: &Dir) -> Result<Self, store::Error> {
        state.dir(FOLDER).map(Self)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Keeps a baseline that was put in the place of `old`, which stays there as the version before it, or in a
    /// place that is new.
    pub(super) fn put(&self, place: &Place<'_>, old: Option<&Baseline>, new: &Baseline) -> Result<(), Error> {
        let file = place.file();
        if let Some(old) = old
            && self.0.versions(&file)?.is_empty()
        {
            self.0.write_version(&file, &old.to_bytes()?, KEEP)?;
        }
        let number = self.0.write_version(&file, &new.to_bytes()?, KEEP)?;
        let note = Note {
            model: place.model.to_owned(),
            place: place.version.map(str::to_owned),
            configured: place.configured.to_owned(),
            put: new.content_hash().to_owned(),
            number,
        };
        // From here on it counts.
        self.0.write(&place.note(), &serde_json::to_vec(&note).map_err(Error::Hash)?)?;
        Ok(())
    }

    /// The baseline that was put in a place; why not, when there is one that does not count any more.
    fn get(&self, place: &Place<'_>) -> Result<Option<Baseline>, String> {
        let said = |e: store::Error| e.to_string();
        let Some(note) = self.note(&place.note())? else { return Ok(None) };
        if (note.model.as_str(), note.place.as_deref()) != (place.model, place.version) {
            return Err(format!("its note is of model `{}`", note.model));
        }
        if note.configured != place.configured {
            return Err("the configuration names another baseline than when it was put".to_owned());
        }
        let bytes_max = u64::try_from(BASELINE_BYTES_MAX).unwrap_or(u64::MAX);
        let bytes = self.0.read_version(&place.file(), note.number, bytes_max).map_err(said)?;
        let bytes = bytes.ok_or_else(|| format!("version {} of it is not there", note.number))?;
        let baseline = Baseline::read(&bytes).and_then(|b| b.for_model(place.model));
        let baseline = baseline.map_err(|e| e.to_string())?;
        if baseline.content_hash() != note.put {
            return Err(format!("version {} of it is not the one that was put", note.number));
        }
        Ok(Some(baseline))
    }

    /// Puts back what was put before the restart; gives what does not count any more, in words.
    pub(super) fn restore(&self, model: &mut Watched) -> state::Refusals {
        let mut refusals = Vec::new();
        for version in model.places() {
            let Some(judge) = model.judge(version.as_deref()) else { continue };
            let configured = judge.configured.clone();
            let name = model.model().to_owned();
            let place = Place { model: &name, version: version.as_deref(), configured: &configured };
            let put = match self.get(&place) {
                Ok(None) => continue,
                Ok(Some(baseline)) => model.put_in(version.as_deref(), baseline).map_err(|e| e.to_string()),
                Err(why) => Err(why),
            };
            if let Err(why) = put {
                refusals.push(format!("model `{name}`: the baseline that was put does not count: {why}"));
            }
        }
        refusals.extend(self.restore_adopted(model));
        refusals
    }

    /// Puts back the baselines of versions that the configuration does not name.
    fn restore_adopted(&self, model: &mut Watched) -> state::Refusals {
        let (name, configured) = (model.model().to_owned(), model.main.configured.clone());
        let places = model.places();
        let mut refusals = Vec::new();
        let mut refuse = |version: &str, why: String| {
            refusals.push(format!(
                "model `{name}`: the baseline that version `{version}` was given does not count: {why}"
            ));
        };
        let (versions, unreadable) = self.versions_of(&name, &places);
        for version in versions {
            let place = Place { model: &name, version: Some(&version), configured: &configured };
            let judge = self.get(&place).and_then(|found| {
                found
                    .map(|baseline| model.judge_beside(&version, baseline))
                    .transpose()
                    .map_err(|e| e.to_string())
            });
            match judge {
                Ok(judge) => judge.into_iter().for_each(|judge| model.adopt(&version, judge)),
                Err(why) => refuse(&version, why),
            }
        }
        let of_none =
            |why| format!("model `{name}`: a baseline that a version was given may not count: {why}");
        refusals.extend(unreadable.into_iter().map(of_none));
        refusals
    }

    /// The versions of a model of which something is kept, beside those of known places; and which notes cannot be
    /// read, in words: they say nothing of the others.
    fn versions_of(&self, model: &str, places: &[Option<String>]) -> (Vec<String>, state::Refusals) {
        let note_of =
            |version: &Option<String>| Place { model, version: version.as_deref(), configured: "" }.note();
        let known: BTreeSet<String> = places.iter().map(note_of).collect();
        let files = match self.0.list() {
            Ok(files) => files,
            Err(error) => return (Vec::new(), vec![error.to_string()]),
        };
        let (mut versions, mut unreadable) = (Vec::new(), Vec::new());
        for file in files.into_iter().filter(|file| file.ends_with(".json") && !known.contains(file)) {
            match self.note(&file) {
                Ok(Some(note)) if note.model == model => {
                    let Some(version) = note.place else { continue };
                    let expected = note_of(&Some(version.clone()));
                    if file == expected {
                        versions.push(version);
                    } else {
                        unreadable.push(format!(
                            "`{file}` is the note of version `{version}`, expected `{expected}`"
                        ));
                    }
                }
                Ok(_) => {}
                Err(why) => unreadable.push(format!("`{file}`: {why}")),
            }
        }
        (versions, unreadable)
    }

    /// What a note says; nothing when it is not there.
    fn note(&self, file: &str) -> Result<Option<Note>, String> {
        let bytes = self.0.read(file, NOTE_BYTES_MAX).map_err(|e| e.to_string())?;
        bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string())).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept of one place is not what is kept of another, whatever model and version are called.
    #[test]
    fn places_have_files_of_their_own() {
        let file = |model, version| Place { model, version, configured: "" }.file();
        assert_ne!(file("a b", None), file("a", Some("b")));
        assert_ne!(file("a b", Some("c")), file("a", Some("b c")));
    }
}
