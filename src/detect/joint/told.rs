//! What is watched of relations, in words.

use crate::detect::Calibration;
use crate::detect::stream::Topic;

impl Calibration {
    /// What is watched of what columns tell of each other: a line each.
    #[must_use]
    pub fn related(&self) -> Vec<String> {
        let named = |topic: Topic| -> Vec<&str> {
            let mut names: Vec<&str> = Vec::new();
            for stream in self.streams.iter().filter(|s| s.source.topic() == topic) {
                if !names.contains(&stream.name.as_str()) {
                    names.push(&stream.name);
                }
            }
            names
        };
        let of = |topic: Topic, one: &str| {
            let names = named(topic);
            let told = names.join("`, `");
            (!names.is_empty()).then(|| format!("{one} `{told}`"))
        };
        let whole = (!named(Topic::Coherence).is_empty())
            .then(|| "whether the features of a row belong together".to_owned());
        [
            of(Topic::Residual, "answers against what the features foretell:"),
            whole,
            of(Topic::Given, "features against what others foretell:"),
            of(Topic::Odds, "what comes together:"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What is not watched of it, and why: a sentence each.
    #[must_use]
    pub fn unrelated(&self) -> &[String] {
        &self.joint.lacks
    }
}
