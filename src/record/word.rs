use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// A word as records carry it: a text, or an integer in its digits, as columnar files have it.
///
/// A number with a fraction or an exponent is none: its digits are not known to be those that were sent.
#[derive(Serialize)]
pub(super) struct Word(String);

/// Reads a word or null, for `deserialize_with`: an integer is taken as its digits.
///
/// # Errors
/// The deserializer's, for anything else.
pub fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Word>::deserialize(deserializer)?.map(|word| word.0))
}

impl Word {
    /// Reads words by name.
    pub(super) fn by_name<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, String>, D::Error> {
        let words = BTreeMap::<String, Self>::deserialize(deserializer)?;
        Ok(words.into_iter().map(|(name, word)| (name, word.0)).collect())
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor)
    }
}

impl JsonSchema for Word {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"]})
    }
}

struct WordVisitor;

impl Visitor<'_> for WordVisitor {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an integer")
    }

    fn visit_str<E>(self, v: &str) -> Result<Word, E> {
        Ok(Word(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Word, E> {
        Ok(Word(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Word, E> {
        Ok(Word(v.to_string()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Word, E> {
        Ok(Word(v.to_string()))
    }
}
