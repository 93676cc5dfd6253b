use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Error, Presence};

/// Counts of a column's words.
///
/// At most [`Categories::KEPT_MAX`] different words are kept, the rest is counted as others. Which
/// words are kept depends on the words alone (those with the smallest hashes), never on the order in
/// which they came: a kept word was never let go, so its count is exact, and merging is exact too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Categories {
    presence: Presence,
    /// By hash first, so the last entry is the one to let go.
    kept: BTreeMap<(u64, String), u64>,
    others: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    presence: Presence,
    words: BTreeMap<String, u64>,
    others: u64,
}

impl Categories {
    /// Different words kept.
    pub const KEPT_MAX: usize = 1_024;
    /// A longer word, in bytes, is counted among the others.
    pub const WORD_BYTES_MAX: usize = 256;

    /// Counts a cell that held nothing.
    pub const fn null(&mut self) {
        self.presence.null();
    }

    /// Counts a cell of another type.
    pub const fn wrong_type(&mut self) {
        self.presence.wrong_type();
    }

    /// Counts a word.
    pub fn word(&mut self, word: &str) {
        self.presence.value();
        self.insert(hash(word), word, 1);
    }

    fn insert(&mut self, hash: u64, word: &str, count: u64) {
        // An empty `String` is no allocation: the search for a known word makes none.
        let known = self.kept.range_mut((hash, String::new())..).take_while(|((h, _), _)| *h == hash);
        if let Some((_, held)) = known.into_iter().find(|((_, w), _)| w == word) {
            *held += count;
            return;
        }
        let full = self.kept.len() >= Self::KEPT_MAX;
        let beyond =
            full && self.kept.last_key_value().is_some_and(|((h, w), _)| (*h, w.as_str()) < (hash, word));
        if beyond || word.len() > Self::WORD_BYTES_MAX {
            self.others += count;
            return;
        }
        self.kept.insert((hash, word.to_owned()), count);
        if full && let Some((_, let_go)) = self.kept.pop_last() {
            self.others += let_go;
        }
    }

    /// Adds another sketch: exact, in any order.
    pub fn merge(&mut self, other: &Self) {
        self.presence.merge(&other.presence);
        self.others += other.others;
        for ((hash, word), count) in &other.kept {
            self.insert(*hash, word, *count);
        }
    }

    /// Rows, nulls, cells of another type.
    #[must_use]
    pub const fn presence(&self) -> &Presence {
        &self.presence
    }

    /// How often a word came; nothing when it is not kept and so may be among the others.
    #[must_use]
    pub fn count_of(&self, word: &str) -> Option<u64> {
        let hash = hash(word);
        let mut same = self.kept.range((hash, String::new())..).take_while(|((h, _), _)| *h == hash);
        match same.find(|((_, w), _)| w == word) {
            Some((_, count)) => Some(*count),
            None if self.is_complete() => Some(0),
            None => None,
        }
    }

    /// The same, where a word that is not kept would be kept, had it come: one with a smaller hash than another that is.
    #[must_use]
    pub fn known_count_of(&self, word: &str) -> Option<u64> {
        let is_beyond = || {
            let last = self.kept.last_key_value().filter(|_| self.kept.len() >= Self::KEPT_MAX);
            // Others are long words alone, as long as there is room.
            word.len() > Self::WORD_BYTES_MAX
                || last.is_some_and(|((h, w), _)| (*h, w.as_str()) < (hash(word), word))
        };
        self.count_of(word).or_else(|| (!is_beyond()).then_some(0))
    }

    /// Cells whose word is not kept.
    #[must_use]
    pub const fn others(&self) -> u64 {
        self.others
    }

    /// Whether every word that came is kept.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.others == 0
    }

    /// Different words that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether no word came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.others == 0
    }

    /// The words that are kept and their counts, in the order of the words.
    #[must_use]
    pub fn words(&self) -> BTreeMap<&str, u64> {
        self.kept.iter().map(|((_, word), count)| (word.as_str(), *count)).collect()
    }

    /// The most frequent kept words, at most `n`, ties in the order of the words.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<(&str, u64)> {
        let mut words: Vec<_> = self.words().into_iter().collect();
        words.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        words.truncate(n);
        words
    }
}

/// FNV-1a with the finalizer of splitmix64: the same on every machine and in every version, because
/// stored sketches depend on it.
fn hash(word: &str) -> u64 {
    let fnv = word
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl TryFrom<Stored> for Categories {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self, Error> {
        let words: u64 = stored.words.values().fold(stored.others, |sum, n| sum.saturating_add(*n));
        if words != stored.presence.present() || stored.words.len() > Self::KEPT_MAX {
            return Err(Error::NotCounts { words, present: stored.presence.present() });
        }
        let kept = stored.words.into_iter().map(|(word, count)| ((hash(&word), word), count)).collect();
        Ok(Self { presence: stored.presence, kept, others: stored.others })
    }
}

impl From<Categories> for Stored {
    fn from(categories: Categories) -> Self {
        let words = categories.kept.into_iter().map(|((_, word), count)| (word, count)).collect();
        Self { presence: categories.presence, words, others: categories.others }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(words: impl IntoIterator<Item = String>) -> Categories {
        let mut categories = Categories::default();
        for word in words {
            categories.word(&word);
        }
        categories
    }

    /// More words than are kept: kept counts stay exact, the rest is counted, an unkept word is unknown.
    #[test]
    fn bounded_and_counted() {
        let s = sketch((0..5_000).map(|i| format!("w{}", i % 2_500)));
        assert_eq!(s.len(), Categories::KEPT_MAX);
        assert_eq!(s.others(), 5_000 - 2 * 1_024);
        assert!(s.words().values().all(|count| *count == 2));
        assert_eq!(s.count_of("never seen"), None);
        assert_eq!(sketch(["a".to_owned()]).count_of("b"), Some(0));
        // Of the words that never came, those that would have been kept are known not to have come.
        let absent = (0..1_000).filter(|i| s.known_count_of(&format!("n{i}")) == Some(0)).count();
        assert!(
            (300..500).contains(&absent),
            "{absent}: about 1,024 of 2,500 hashes are below the last one kept"
        );
    }

    /// A huge word never takes memory, and is still counted.
    #[test]
    fn long_words_are_others() {
        let s = sketch(["x".repeat(Categories::WORD_BYTES_MAX + 1)]);
        assert_eq!((s.len(), s.others(), s.presence().present()), (0, 1, 1));
    }

    /// The most frequent first, ties by name.
    #[test]
    fn top_words() {
        let s = sketch("b a c a b d".split(' ').map(str::to_owned));
        assert_eq!(s.top(3), [("a", 2), ("b", 2), ("c", 1)]);
    }

    /// Counts that do not add up to the cells are refused.
    #[test]
    fn damaged_counts_are_refused() {
        let text = r#"{"presence":{"rows":3,"nulls":0,"wrong_type":0},"words":{"a":1},"others":1}"#;
        assert!(serde_json::from_str::<Categories>(text).is_err());
    }

    proptest! {
        /// Beyond the bound as well: any grouping and order of merges is the sketch of the whole.
        #[test]
        fn merging_is_exact(a in prop::collection::vec(0_u32..3_000, 0..2_000),
                            b in prop::collection::vec(0_u32..3_000, 0..2_000),
                            c in prop::collection::vec(0_u32..3_000, 0..2_000)) {
            let of = |ids: &[u32]| sketch(ids.iter().map(|i| format!("w{i}")));
            let (sa, sb, sc) = (of(&a), of(&b), of(&c));
            let mut left = sa.clone();
            left.merge(&sb);
            left.merge(&sc);
            let mut right = sc.clone();
            right.merge(&Categories::default());
            right.merge(&sb);
            right.merge(&sa);
            prop_assert_eq!(&left, &right);
            prop_assert_eq!(&left, &of(&[a, b, c].concat()));
            let back: Categories = serde_json::from_str(&serde_json::to_string(&left).unwrap()).unwrap();
            prop_assert_eq!(back, left);
        }
    }
}
