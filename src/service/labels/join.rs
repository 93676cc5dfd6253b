//! Which answer a label is of: answers wait for their labels, and labels for a moment for their answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::detect::{Answer, Truth};
use crate::units::{Timestamp, whole};

/// A label may overtake its record by this much: the record is sent in batches and waits in a queue.
const EARLY_WAIT: Duration = Duration::from_secs(300);
/// Labels that wait for their records, at the most.
const EARLY_MAX: usize = 10_000;
/// What a row takes in memory beside its texts, about: two entries of a tree and one of a queue.
const ROW_BYTES: usize = 256;

/// What may wait for a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) wait: Duration,
}

/// A row by its request and its index within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    request: Arc<str>,
    row: u64,
}

/// Whose baseline judges a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Whose {
    /// The model's.
    Main,
    /// That of a version.
    Version(String),
    /// None: it is of a version without one, or from before the present one.
    Nobody,
}

impl Whose {
    /// The place of that baseline.
    pub(super) fn place(&self) -> Option<Option<String>> {
        match self {
            Self::Main => Some(None),
            Self::Version(version) => Some(Some(version.clone())),
            Self::Nobody => None,
        }
    }
}

/// A row that was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered {
    pub(super) whose: Whose,
    pub(super) answer: Option<Answer>,
    pub(super) answered_at: Timestamp,
    /// When it came.
    pub(super) at: Timestamp,
    /// Its label, once there is one: what comes later is held against it.
    pub(super) label: Option<Truth>,
}

/// A label, and when it came to be known and here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Label {
    pub(super) truth: Truth,
    pub(super) known_at: Timestamp,
    pub(super) at: Timestamp,
}

/// What becomes of a label. All but one are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// It is the first for a row that was seen.
    Joined,
    /// Its row may still come: it ends as joined, conflict, duplicate or unknown.
    Waiting,
    /// The same came before: ignored.
    Duplicate,
    /// Another came before: the first is kept.
    Conflict,
    /// Its row was seen, too long or too many rows ago.
    Expired,
    /// No row of that name came in time.
    Unknown,
    /// What the record carries as one is none.
    Malformed,
}

/// Rows that wait for their labels, bounded in number, bytes and time; the oldest go first.
#[derive(Debug)]
pub(super) struct Join {
    bounds: Bounds,
    rows: BTreeMap<Key, Answered>,
    order: VecDeque<Key>,
    bytes: usize,
    /// Rows that left, by the hashes of their names: as many as may wait.
    gone: BTreeSet<u64>,
    gone_order: VecDeque<u64>,
    early: BTreeMap<Key, (u64, Label)>,
    /// The same by number, oldest first.
    early_order: BTreeMap<u64, Key>,
    early_next: u64,
}

/// What became of a row that came.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Came {
    /// A row of this name came before: the first answer is kept.
    pub(super) is_repeated: bool,
    /// A label was there before it.
    pub(super) label: Option<Label>,
    /// Rows that had to leave, oldest first.
    pub(super) left: Vec<Answered>,
}

/// All that waits, for a restart.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedJoin {
    rows: Vec<(String, u64, Answered)>,
    early: Vec<(String, u64, Label)>,
}

impl SavedJoin {
    /// Leaves the older half of the rows behind, one at the least; how many that are.
    pub(super) fn leave_older_half(&mut self) -> u64 {
        let left = self.rows.len().div_ceil(2);
        whole(self.rows.drain(..left).count())
    }
}

impl Join {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            rows: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            gone: BTreeSet::new(),
            gone_order: VecDeque::new(),
            early: BTreeMap::new(),
            early_order: BTreeMap::new(),
            early_next: 0,
        }
    }

    /// Rows that wait, or that have their label and are still known.
    pub(super) fn len(&self) -> u64 {
        whole(self.rows.len())
    }

    /// Labels that wait for their rows.
    pub(super) fn waiting(&self) -> u64 {
        whole(self.early.len())
    }

    /// Rows that are still known.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Answered> {
        self.rows.values()
    }

    /// Whether another row of a request that is still known has its label.
    pub(super) fn has_label_beside(&self, request: &str, row: u64) -> bool {
        let first = Key { request: request.into(), row: 0 };
        let mut of_request = self.rows.range(first..).take_while(|(key, _)| &*key.request == request);
        of_request.any(|(key, answered)| key.row != row && answered.label.is_some())
    }

    /// When the oldest row that is still known came.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.order.front().and_then(|key| self.rows.get(key)).map(|row| row.at)
    }

    /// Takes a row; of one that comes again the first answer is kept.
    pub(super) fn answered(&mut self, request: &str, row: u64, mut answered: Answered) -> Came {
        let key = Key { request: request.into(), row };
        if self.rows.contains_key(&key) {
            return Came { is_repeated: true, ..Came::default() };
        }
        let label = self.early.remove(&key).map(|(number, label)| {
            self.early_order.remove(&number);
            label
        });
        answered.label = label.as_ref().map(|label| label.truth.clone());
        self.insert(key, answered);
        let mut left = Vec::new();
        while self.rows.len() > self.bounds.rows || self.bytes > self.bounds.bytes {
            let Some(row) = self.pop() else { break };
            left.push(row);
        }
        Came { is_repeated: false, label, left }
    }

    fn insert(&mut self, key: Key, answered: Answered) {
        self.bytes += bytes_of(&key, &answered);
        self.order.push_back(key.clone());
        self.rows.insert(key, answered);
    }

    fn pop(&mut self) -> Option<Answered> {
        let key = self.order.pop_front()?;
        let row = self.rows.remove(&key)?;
        self.bytes = self.bytes.saturating_sub(bytes_of(&key, &row));
        let hash = hash_of(&key);
        if self.gone.insert(hash) {
            self.gone_order.push_back(hash);
        }
        if self.gone_order.len() > self.bounds.rows
            && let Some(first) = self.gone_order.pop_front()
        {
            self.gone.remove(&first);
        }
        Some(row)
    }

    /// Takes a label; with the row that it is of where that is one to be scored now.
    pub(super) fn label(&mut self, request: &str, row: u64, label: Label) -> (Fate, Option<Answered>) {
        let key = Key { request: request.into(), row };
        if let Some(answered) = self.rows.get_mut(&key) {
            if let Some(first) = &answered.label {
                return (if *first == label.truth { Fate::Duplicate } else { Fate::Conflict }, None);
            }
            if label.at > answered.at.plus(self.bounds.wait) {
                return (Fate::Expired, None);
            }
            self.bytes += label.truth.bytes();
            answered.label = Some(label.truth);
            return (Fate::Joined, Some(answered.clone()));
        }
        if let Some((_, first)) = self.early.get(&key) {
            return (if first.truth == label.truth { Fate::Duplicate } else { Fate::Conflict }, None);
        }
        if self.gone.contains(&hash_of(&key)) {
            return (Fate::Expired, None);
        }
        if self.early.len() >= EARLY_MAX {
            return (Fate::Unknown, None);
        }
        self.wait(key, label);
        (Fate::Waiting, None)
    }

    fn wait(&mut self, key: Key, label: Label) {
        self.early_order.insert(self.early_next, key.clone());
        self.early.insert(key, (self.early_next, label));
        self.early_next += 1;
    }

    /// Lets time pass: the rows that have waited long enough, oldest first, and how many labels have waited for a
    /// row that never came.
    pub(super) fn advance(&mut self, now: Timestamp) -> (Vec<Answered>, u64) {
        let mut left = Vec::new();
        while self.oldest().is_some_and(|at| now > at.plus(self.bounds.wait)) {
            left.extend(self.pop());
        }
        let mut unknown = 0;
        while let Some(first) = self.early_order.first_entry() {
            if self.early.get(first.get()).is_some_and(|(_, label)| now <= label.at.plus(EARLY_WAIT)) {
                break;
            }
            self.early.remove(&first.remove());
            unknown += 1;
        }
        (left, unknown)
    }

    /// Leaves rows to nobody that a baseline judged which does no more: their answers were read by its columns.
    pub(super) fn disown(&mut self, whose: &Whose) {
        for row in self.rows.values_mut().filter(|row| row.whose == *whose) {
            row.whose = Whose::Nobody;
        }
    }

    pub(super) fn save(&self) -> SavedJoin {
        let rows = self.order.iter().filter_map(|key| Some((key, self.rows.get(key)?)));
        let early = self.early_order.values().filter_map(|key| Some((key, &self.early.get(key)?.1)));
        SavedJoin {
            rows: rows.map(|(key, row)| (key.request.to_string(), key.row, row.clone())).collect(),
            early: early.map(|(key, label)| (key.request.to_string(), key.row, label.clone())).collect(),
        }
    }

    /// Goes on from what was saved; rows that had to leave.
    pub(super) fn restore(&mut self, saved: SavedJoin) -> Vec<Answered> {
        for (request, row, answered) in saved.rows {
            let key = Key { request: request.into(), row };
            if !self.rows.contains_key(&key) {
                self.insert(key, answered);
            }
        }
        let mut left = Vec::new();
        while self.rows.len() > self.bounds.rows || self.bytes > self.bounds.bytes {
            let Some(row) = self.pop() else { break };
            left.push(row);
        }
        for (request, row, label) in saved.early.into_iter().take(EARLY_MAX) {
            let key = Key { request: request.into(), row };
            if !self.early.contains_key(&key) {
                self.wait(key, label);
            }
        }
        left
    }
}

fn bytes_of(key: &Key, row: &Answered) -> usize {
    let texts = row.answer.as_ref().map_or(0, Answer::bytes) + row.label.as_ref().map_or(0, Truth::bytes);
    ROW_BYTES + key.request.len() + texts
}

fn hash_of(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&key.request, key.row).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(0).plus(Duration::from_secs(secs))
    }

    fn answered(secs: u64) -> Answered {
        let answer = Some(Answer::Value(Truth::Number(1.0)));
        Answered { whose: Whose::Main, answer, answered_at: at(secs), at: at(secs), label: None }
    }

    fn label(truth: &str, secs: u64) -> Label {
        let truth = Truth::of(&crate::record::Scalar::Text(truth.into())).unwrap();
        Label { truth, known_at: at(secs), at: at(secs) }
    }

    fn join(rows: usize) -> Join {
        Join::new(Bounds { rows, bytes: 1 << 20, wait: Duration::from_secs(3_600) })
    }

    /// Each label ends as one thing: the first joins; the same again, another, one of an unknown row, of another
    /// row of the request, and one that is too late do not, and the first stays.
    #[test]
    fn every_label_has_one_fate() {
        let mut join = join(10);
        assert_eq!(join.answered("r", 0, answered(0)), Came::default());
        let (fate, row) = join.label("r", 0, label("1", 1));
        assert_eq!((fate, row.unwrap().answered_at), (Fate::Joined, at(0)));
        for (truth, expected) in [("1.0", Fate::Duplicate), ("0", Fate::Conflict), ("true", Fate::Duplicate)]
        {
            assert_eq!(join.label("r", 0, label(truth, 2)), (expected, None), "{truth}");
        }
        assert_eq!(join.label("r", 1, label("1", 2)).0, Fate::Waiting, "another row");
        assert_eq!(join.label("r", 1, label("1", 3)).0, Fate::Duplicate, "while it waits");
        assert_eq!(join.label("r", 1, label("0", 3)).0, Fate::Conflict);
        join.answered("late", 0, answered(4));
        assert_eq!(
            join.label("late", 0, label("1", 3_605)).0,
            Fate::Expired,
            "it was not yet time to let it go"
        );
        let (left, unknown) = join.advance(at(3_605));
        assert_eq!((left.len(), unknown, join.len(), join.waiting()), (2, 1, 0, 0));
        assert_eq!((left[0].label.is_some(), left[1].label.is_some()), (true, false));
        assert_eq!(join.label("late", 0, label("1", 3_606)).0, Fate::Expired, "it has gone");
        assert_eq!(join.label("r", 0, label("1", 3_606)).0, Fate::Expired);
    }

    /// A label that is there before its row waits for it, five minutes and no more; the first of several counts.
    #[test]
    fn labels_may_come_first() {
        let mut join = join(10);
        assert_eq!(join.label("a", 0, label("1", 0)).0, Fate::Waiting);
        assert_eq!(join.label("b", 3, label("0", 10)).0, Fate::Waiting);
        assert_eq!(join.advance(at(300)), (Vec::new(), 0));
        let came = join.answered("b", 3, answered(290));
        assert_eq!(came, Came { is_repeated: false, label: Some(label("0", 10)), left: Vec::new() });
        assert_eq!(join.label("b", 3, label("0", 300)).0, Fate::Duplicate);
        assert_eq!(join.advance(at(301)), (Vec::new(), 1), "nobody answered `a`");
        assert_eq!(join.answered("a", 0, answered(302)).label, None);
        let fates: BTreeSet<Fate> =
            (0..=EARLY_MAX).map(|i| join.label("x", whole(i), label("1", 303)).0).collect();
        assert_eq!(fates.into_iter().collect::<Vec<_>>(), [Fate::Waiting, Fate::Unknown], "one too many");
    }

    /// Rows are bounded in number and in bytes, whatever they are called; the oldest go first, and what is known of
    /// those that went is bounded as well. Of a row that comes twice the first answer stays.
    #[test]
    fn memory_is_bounded() {
        let mut join = join(100);
        for i in 0..1_000 {
            let came = join.answered(&format!("r{i}"), 0, answered(i));
            assert_eq!(came.left.first().map(|row| row.at), i.checked_sub(100).map(at));
        }
        assert_eq!((join.len(), join.gone.len(), join.gone_order.len()), (100, 100, 100));
        assert_eq!(join.label("r899", 0, label("1", 1_000)).0, Fate::Expired);
        assert_eq!(join.label("r1", 0, label("1", 1_000)).0, Fate::Waiting, "nobody remembers it");
        let other = Answered { answer: None, ..answered(5) };
        assert!(join.answered("r999", 0, other).is_repeated);
        assert!(join.label("r999", 0, label("1", 1_000)).1.unwrap().answer.is_some());
        let mut long = Join::new(Bounds { rows: 1_000, bytes: 10_000, wait: Duration::from_secs(60) });
        (0..100).for_each(|i| drop(long.answered(&format!("{i}{}", "x".repeat(1_000)), 0, answered(i))));
        assert!((5..10).contains(&long.len()) && long.bytes <= 10_000, "{} rows", long.len());
        long.advance(at(1_000));
        assert_eq!((long.len(), long.bytes), (0, 0));
    }

    /// What waits goes on waiting after a restart, and what had a label is not scored twice.
    #[test]
    fn a_restart_keeps_what_waits() {
        let mut first = join(10);
        first.answered("a", 0, answered(0));
        first.answered("b", 1, answered(1));
        first.label("b", 1, label("1", 2));
        first.label("c", 0, label("1", 3));
        let bytes = serde_json::to_vec(&first.save()).unwrap();
        let mut second = join(10);
        second.restore(serde_json::from_slice(&bytes).unwrap());
        assert_eq!(
            (second.rows.clone(), second.bytes, second.order.clone()),
            (first.rows, first.bytes, first.order)
        );
        assert_eq!(second.label("a", 0, label("1", 4)).0, Fate::Joined);
        assert_eq!(second.label("b", 1, label("1", 4)).0, Fate::Duplicate);
        assert!(second.answered("c", 0, answered(5)).label.is_some());
    }

    /// Rows of a baseline that judges no more are nobody's; their labels still find them.
    #[test]
    fn rows_of_another_baseline_are_nobodys() {
        let mut join = join(10);
        let of_two = Answered { whose: Whose::Version("2".into()), ..answered(0) };
        join.answered("a", 0, answered(0));
        join.answered("b", 0, of_two.clone());
        join.disown(&Whose::Main);
        assert_eq!(join.label("a", 0, label("1", 1)).1.unwrap().whose, Whose::Nobody);
        assert_eq!(join.label("b", 0, label("1", 1)).1.unwrap().whose, of_two.whose);
    }
}
