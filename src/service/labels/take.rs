use std::collections::BTreeMap;

use serde::Serialize;

use super::Fate;
use crate::detect::Truth;
use crate::record::NAME_CHARS_MAX;
use crate::service::Handle;
use crate::tap::labels::{LabelLine, Named, decode};

/// The most lines that an answer names; the others are only counted.
const REJECTIONS_MAX: usize = 20;
/// Labels taken at once, at the most: the engine is held no longer than that.
const CHUNK: usize = 1_024;

/// What became of the labels of one body: each is in one of the counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LabelsTaken {
    /// The first of a row that was seen.
    pub joined: u64,
    /// Their rows have not come yet; after five minutes they count as of unknown requests.
    pub waiting: u64,
    /// The same came before: ignored.
    pub duplicate: u64,
    /// Another came before: the first was kept.
    pub conflict: u64,
    /// Their rows were seen, longer or more rows ago than is waited for.
    pub expired: u64,
    /// Too many wait for their rows already.
    pub unknown_request: u64,
    /// Lines that are no label.
    pub malformed: u64,
    /// Lines of a model that is not watched.
    pub unknown_model: u64,
    /// The first lines that are no label or of no watched model, each with its number and what is wrong with it.
    pub rejections: Vec<String>,
}

impl LabelsTaken {
    /// Lines that were labels of a watched model.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.joined + self.waiting + self.duplicate + self.conflict + self.expired + self.unknown_request
    }

    fn reject(&mut self, why: String) {
        if self.rejections.len() < REJECTIONS_MAX {
            self.rejections.push(why);
        }
    }

    fn add(&mut self, fates: &BTreeMap<Fate, u64>) {
        for (fate, n) in fates {
            *match fate {
                Fate::Joined => &mut self.joined,
                Fate::Waiting => &mut self.waiting,
                Fate::Duplicate => &mut self.duplicate,
                Fate::Conflict => &mut self.conflict,
                Fate::Expired => &mut self.expired,
                Fate::Unknown => &mut self.unknown_request,
                Fate::Malformed => &mut self.malformed,
            } += n;
        }
    }
}

/// What becomes of labels of no model in particular.
pub(in crate::service) const OF_NO_MODEL: [&str; 2] = ["malformed", "unknown_model"];

impl Handle {
    /// Counts a body of labels that could not even be cut into lines: nobody knows how many they were.
    pub fn lost_labels(&self) {
        self.0.metrics.label_body_refused(1);
    }

    /// Takes NDJSON labels in, each joined with the answer that it is of.
    #[must_use]
    pub fn take_labels(&self, body: &[u8]) -> LabelsTaken {
        let mut taken = LabelsTaken::default();
        let models: Vec<String> = self.0.engine().models.keys().cloned().collect();
        let mut by_model: BTreeMap<&str, Vec<(String, LabelLine, Truth)>> = BTreeMap::new();
        for found in decode(body, self.0.line_bytes_max) {
            let Named { number, request, line } = match found {
                Ok(named) => named,
                Err(why) => {
                    taken.malformed += 1;
                    taken.reject(why);
                    continue;
                }
            };
            let Some(truth) = Truth::of(&line.label) else {
                taken.malformed += 1;
                taken.reject(format!(
                    "line {number}: the label of request `{}` is none, expected a finite number, a boolean or a text of 1 to 256 bytes",
                    cut(&request)
                ));
                continue;
            };
            let known = match (line.model.as_deref(), models.as_slice()) {
                (None, [only]) => Some(only),
                (model, known) => known.iter().find(|name| model == Some(name.as_str())),
            };
            if let Some(model) = known {
                by_model.entry(model).or_default().push((request, line, truth));
                continue;
            }
            taken.unknown_model += 1;
            let model =
                line.model.map_or_else(|| "not named".to_owned(), |model| format!("`{}`", cut(&model)));
            taken.reject(format!(
                "line {number}: the model is {model}, expected one of: {}",
                models.join(", ")
            ));
        }
        self.0.metrics.labels("", "malformed", taken.malformed);
        self.0.metrics.labels("", "unknown_model", taken.unknown_model);
        for (model, lines) in by_model {
            for chunk in lines.chunks(CHUNK) {
                let now = self.now();
                let found = self.0.engine().take_labels(model, chunk, now);
                // Models do not change while the service runs.
                let Ok(found) = found else { continue };
                taken.add(&found.fates);
                self.0.tell(&found.changes);
            }
        }
        taken
    }
}

fn cut(text: &str) -> String {
    text.chars().take(NAME_CHARS_MAX).collect::<String>().escape_debug().to_string()
}
