use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::units::Timestamp;

/// Senders whose numbers are followed; the one not heard from for longest makes room.
const SOURCES_MAX: usize = 1_024;
/// A sender of a longer name is not followed, so that names cannot fill the memory.
const NAME_BYTES_MAX: usize = 256;
/// Numbers behind the highest that are still told apart: late, again, or a new count.
const BEHIND: u64 = 4_096;
/// Words of the bit map that holds them.
const WORDS: usize = 64;
/// A larger step forward is another count, not a gap.
const GAP_MAX: u64 = 1_000_000;
/// A number that is missing has between once and twice this long to come late.
const PATIENCE: Duration = Duration::from_secs(2);
/// More new counts than this, none longer than [`RESTARTS_SPAN`] after the one before, are no restarts:
/// several processes send under one name, and nothing can be read from their numbers.
const RESTARTS_MAX: u32 = 3;
const RESTARTS_SPAN: Duration = Duration::from_secs(60);

/// Rows that senders numbered and that never came.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: BTreeMap<String, Source>,
    settled: Option<Timestamp>,
}

/// Rows missing from one sender.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// The watched models that it sends of: whose the missing rows were is not known.
    pub(super) models: BTreeSet<String>,
    pub(super) rows: u64,
}

/// One numbered record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered<'a> {
    pub(super) source: &'a str,
    pub(super) seq: u64,
    pub(super) ts: Timestamp,
    /// Its model, where that is watched.
    pub(super) model: Option<&'a str>,
}

#[derive(Debug)]
struct Source {
    /// Numbers below are of a time before this count was followed.
    first: u64,
    highest: u64,
    /// Whether a number came: one bit for each of the last [`BEHIND`], at its remainder.
    came: [u64; WORDS],
    /// The newest time that a record of it carried.
    newest: Timestamp,
    heard: Timestamp,
    /// Missing since the last settling, and since the one before.
    fresh: u64,
    aging: u64,
    restarts: u32,
    restarted: Timestamp,
    models: BTreeSet<String>,
}

/// What a number says.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Ahead, after so many that did not come.
    Ahead(u64),
    /// One of those that did not come before.
    Late,
    /// It came before: delivery is at least once.
    Again,
    /// The sender counts anew.
    Anew,
}

impl Sources {
    pub(super) fn see(&mut self, record: Numbered<'_>, now: Timestamp) {
        if record.source.len() > NAME_BYTES_MAX {
            return;
        }
        if let Some(source) = self.known.get_mut(record.source) {
            source.see(&record, now);
        } else {
            self.make_room();
            self.known.insert(record.source.to_owned(), Source::new(&record, now));
        }
    }

    fn make_room(&mut self) {
        if self.known.len() >= SOURCES_MAX
            && let Some(oldest) = self.known.iter().min_by_key(|(_, s)| s.heard).map(|(name, _)| name.clone())
        {
            self.known.remove(&oldest);
        }
    }

    /// The rows given up by now, by sender.
    pub(super) fn settle(&mut self, now: Timestamp) -> Vec<Missing> {
        if self.settled.is_some_and(|last| now < last.plus(PATIENCE)) {
            return Vec::new();
        }
        self.settled = Some(now);
        self.known.values_mut().filter_map(Source::settle).collect()
    }

    /// Names under which several processes send.
    pub(super) fn shared(&self, now: Timestamp) -> Vec<String> {
        let shared = self.known.iter().filter(|(_, source)| source.is_shared(now));
        shared.map(|(name, _)| name.clone()).collect()
    }
}

impl Source {
    fn new(record: &Numbered<'_>, now: Timestamp) -> Self {
        let mut source = Self {
            first: record.seq,
            highest: record.seq,
            came: [0; WORDS],
            newest: record.ts,
            heard: now,
            fresh: 0,
            aging: 0,
            restarts: 0,
            restarted: now,
            models: record.model.map(str::to_owned).into_iter().collect(),
        };
        source.mark(record.seq);
        source
    }

    fn see(&mut self, record: &Numbered<'_>, now: Timestamp) {
        match self.place(record) {
            Place::Ahead(gap) => {
                self.fresh += if self.is_shared(now) { 0 } else { gap };
                self.advance(record.seq);
            }
            Place::Late => {
                self.mark(record.seq);
                if record.seq >= self.first {
                    // One that was given up already stays counted: it came too late to be waited for.
                    let waiting = if self.fresh > 0 { &mut self.fresh } else { &mut self.aging };
                    *waiting = waiting.saturating_sub(1);
                }
            }
            Place::Again => {}
            Place::Anew => self.restart(record, now),
        }
        self.heard = now;
        self.newest = self.newest.max(record.ts);
        if let Some(model) = record.model
            && !self.models.contains(model)
        {
            self.models.insert(model.to_owned());
        }
    }

    fn place(&self, record: &Numbered<'_>) -> Place {
        let seq = record.seq;
        if seq > self.highest {
            let gap = seq - self.highest - 1;
            return if gap > GAP_MAX { Place::Anew } else { Place::Ahead(gap) };
        }
        let is_followed = self.highest - seq < BEHIND;
        if is_followed && !self.came(seq) {
            return Place::Late;
        }
        // The same record would carry the same time; a newer one under an old number is of a new count.
        if record.ts > self.newest { Place::Anew } else { Place::Again }
    }

    /// A new count is followed from its first number on: what was before that nobody can tell.
    fn restart(&mut self, record: &Numbered<'_>, now: Timestamp) {
        if now >= self.restarted.plus(RESTARTS_SPAN) {
            self.restarts = 0;
        }
        self.restarts = self.restarts.saturating_add(1);
        self.restarted = now;
        if self.is_shared(now) {
            (self.fresh, self.aging) = (0, 0);
        }
        self.first = record.seq;
        self.highest = record.seq;
        self.came = [0; WORDS];
        self.mark(record.seq);
    }

    fn is_shared(&self, now: Timestamp) -> bool {
        self.restarts > RESTARTS_MAX && now < self.restarted.plus(RESTARTS_SPAN)
    }

    fn settle(&mut self) -> Option<Missing> {
        let rows = std::mem::replace(&mut self.aging, std::mem::take(&mut self.fresh));
        (rows > 0).then(|| Missing { models: self.models.clone(), rows })
    }

    fn advance(&mut self, to: u64) {
        if to - self.highest >= BEHIND {
            self.came = [0; WORDS];
        } else {
            (self.highest + 1..to).for_each(|skipped| self.set(skipped, false));
        }
        self.highest = to;
        self.mark(to);
    }

    fn mark(&mut self, seq: u64) {
        self.set(seq, true);
    }

    fn set(&mut self, seq: u64, came: bool) {
        let (word, bit) = place_of(seq);
        if let Some(word) = self.came.get_mut(word) {
            *word = if came { *word | bit } else { *word & !bit };
        }
    }

    fn came(&self, seq: u64) -> bool {
        let (word, bit) = place_of(seq);
        self.came.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// The word and the bit of a number.
fn place_of(seq: u64) -> (usize, u64) {
    let place = seq % BEHIND;
    (usize::try_from(place / 64).unwrap_or(WORDS), 1 << (place % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Numbers with the times of their records, then enough time to give up what is missing.
    fn missing(records: impl IntoIterator<Item = (u64, i64)>) -> u64 {
        let mut sources = Sources::default();
        for (seq, millis) in records {
            let record = Numbered { source: "a", seq, ts: at(millis), model: Some("m") };
            sources.see(record, at(millis));
        }
        given_up(&mut sources, 1_000_000)
    }

    fn given_up(sources: &mut Sources, from: i64) -> u64 {
        let settled = (0..3).flat_map(|i| sources.settle(at(from + i * 2_000)));
        settled.map(|missing| missing.rows).sum()
    }

    fn timed(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, i64)> {
        numbers.into_iter().zip(0..).collect()
    }

    /// Gaps count; swaps, repeats and a first number above 0 do not.
    #[test]
    fn gaps_count_once() {
        assert_eq!(missing(timed(0..1_000)), 0);
        assert_eq!(missing(timed(700..1_000)), 0, "silentry may have started later");
        assert_eq!(missing(timed([0, 1, 2, 5, 6, 9])), 4);
        assert_eq!(missing(timed([0, 2, 1, 4, 3, 6, 5])), 0, "swapped");
        assert_eq!(missing(vec![(0, 1), (1, 2), (2, 3), (1, 2), (2, 3), (3, 4)]), 0, "delivered again");
        assert_eq!(missing(vec![(5, 9), (9, 10), (6, 9), (6, 9), (4, 8)]), 2, "7 and 8");
    }

    /// A sender that starts again counts from 0: no gap backwards, and its own gaps count.
    #[test]
    fn a_restart_is_no_gap() {
        assert_eq!(missing(timed((0..50).chain(0..80))), 0);
        assert_eq!(missing(timed((0..50).chain(0..20).chain(25..60))), 5);
        assert_eq!(missing(timed((0..10_000).chain(0..10))), 0);
        assert_eq!(missing(timed((0..10).chain([5_000_000_000, 5_000_000_001]))), 0, "another count");
    }

    /// Two processes under one name say nothing, instead of a loss that never was; and it is named.
    #[test]
    fn a_shared_name_is_named() {
        let both = (0..200).flat_map(|i| [i, 9_000 + i]);
        assert_eq!(missing(timed(both.clone())), 0);
        let mut sources = Sources::default();
        for (seq, millis) in timed(both) {
            sources.see(Numbered { source: "a", seq, ts: at(millis), model: None }, at(millis));
        }
        assert_eq!(sources.shared(at(400)), ["a"]);
        assert!(sources.shared(at(70_000)).is_empty(), "forgiven after a minute");
    }

    /// Late numbers have their time; a later one stays counted.
    #[test]
    fn patience_ends() {
        let mut sources = Sources::default();
        let see = |sources: &mut Sources, seq, ts| {
            sources.see(Numbered { source: "a", seq, ts: at(ts), model: Some("m") }, at(ts));
        };
        see(&mut sources, 0, 0);
        see(&mut sources, 3, 1);
        assert_eq!(sources.settle(at(2)), []);
        see(&mut sources, 1, 1);
        let missing = sources.settle(at(2_002));
        assert_eq!(missing, [Missing { models: BTreeSet::from(["m".to_owned()]), rows: 1 }]);
        see(&mut sources, 2, 1);
        assert_eq!(given_up(&mut sources, 9_000), 0);
    }

    /// However many names and however long: the memory stays what it is.
    #[test]
    fn names_are_bounded() {
        let mut sources = Sources::default();
        for i in 0..3_000_u64 {
            let name = format!("s{i}");
            sources.see(
                Numbered { source: &name, seq: 0, ts: at(0), model: None },
                at(i64::try_from(i).unwrap()),
            );
        }
        sources.see(Numbered { source: &"x".repeat(300), seq: 0, ts: at(0), model: None }, at(0));
        assert_eq!(sources.known.len(), SOURCES_MAX);
        assert!(sources.known.contains_key("s2999") && !sources.known.contains_key("s0"));
    }

    proptest! {
        /// Any numbers, swapped and repeated nearby with some left out: the loss is what is left out.
        #[test]
        fn the_loss_is_exact(keep in proptest::collection::vec(any::<bool>(), 1..300), swap in any::<u64>()) {
            let sent = (0_u64..).zip(&keep).filter(|(_, keep)| **keep).map(|(seq, _)| seq);
            let mut numbers: Vec<(u64, i64)> = sent.map(|seq| (seq, i64::try_from(seq).unwrap())).collect();
            let expected = match (numbers.first(), numbers.last()) {
                (Some((first, _)), Some((last, _))) => last - first + 1 - u64::try_from(numbers.len()).unwrap(),
                _ => 0,
            };
            for i in 2..numbers.len() {
                if swap.rotate_left(u32::try_from(i).unwrap()) & 1 == 1 {
                    numbers.swap(i - 1, i);
                }
            }
            let repeated: Vec<_> = numbers.iter().flat_map(|n| [*n, *n]).collect();
            prop_assert_eq!(missing(repeated), expected);
        }
    }
}
