//! Which group, which detector, which features: who an alarm is about.

use std::collections::BTreeMap;

use super::bet::Subject;
use super::bins::Bin;
use super::evidence::{Evidence, Suspicion};
use super::message::{self, Change};
use super::monitor::{Monitor, reaches};
use super::state::{Group, Step};
use super::stream::{Role, Source, Stream, Topic};
use super::table::{Bet, Family, Table};
use super::tails::Side;
use super::{Alarm, KINDS, Share};
use crate::record::{Column, Role as ColumnRole};

/// A bet takes part in an alarm when this many nats speak for it,
const SUSPECT_NATS: f64 = 9.0;
/// and its weighted evidence has come this near to the threshold: among thousands of bets some reach
/// nine nats by chance within minutes, and a chance suspect would hold an alarm open.
const SUSPECT_SHARE: f64 = 1e-3;

/// A column takes part in what several do at once when this many nats of its own speak for it.
const MEMBER_NATS: f64 = 5.0;
/// A column with this part of the evidence of its group's unusual rows is their cause.
const POOLED_SHARE: f64 = 1e-3;

/// A stream with less than this part of the threshold adds nothing worth telling.
const TOLD_SHARE: f64 = 1e-6;
/// Evidence is told up to this multiple of the threshold; the sum of a long fault means no more.
const TOLD_MAX: f64 = 1e6;

/// Evidence over the threshold, from 0 to a million.
pub(super) fn of_threshold(evidence: f64, threshold: f64) -> f64 {
    let share = evidence / threshold;
    if share > TOLD_MAX { TOLD_MAX } else { share }
}

impl Monitor {
    /// The weighted evidence of one bet; of one on less as of the last block.
    fn share(&self, stream: usize, bet: Bet) -> f64 {
        let found = self.state.evidence.get(stream).zip(self.wiring.table(stream));
        found.map_or(0.0, |(evidence, table)| evidence.settled_share(table, bet))
    }

    /// What speaks for one bet.
    pub(super) fn suspicion(&self, stream: usize, bet: Bet) -> Option<Suspicion> {
        self.state.evidence.get(stream)?.suspicion(self.wiring.table(stream)?, bet)
    }

    /// The evidence of each detector over some streams, largest first.
    pub(super) fn shares(&self, streams: &[usize]) -> Vec<Share> {
        self.shares_by(streams, |evidence, table, bet| evidence.share(table, bet))
    }

    /// The same, with bets on less as of the last block, and without streams that have next to nothing: much
    /// less work.
    pub(super) fn settled_shares(&self, streams: &[usize]) -> Vec<Share> {
        let told = |stream: &usize| self.settled_in(&[*stream]) >= TOLD_SHARE * self.threshold;
        let told: Vec<usize> = streams.iter().copied().filter(told).collect();
        self.shares_by(&told, |evidence, table, bet| evidence.settled_share(table, bet))
    }

    fn shares_by(&self, streams: &[usize], share: impl Fn(&Evidence, &Table, Bet) -> f64) -> Vec<Share> {
        let mut by_kind: BTreeMap<usize, f64> = BTreeMap::new();
        for &stream in streams {
            let of_stream = self.state.evidence.get(stream).zip(self.wiring.table(stream));
            let Some((evidence, table)) = of_stream else { continue };
            for bet in self.wiring.bets(stream) {
                if let Some(kind) = self.wiring.owner_index(stream, bet) {
                    *by_kind.entry(kind).or_insert(0.0) += share(evidence, table, bet);
                }
            }
        }
        let mut shares: Vec<Share> = by_kind
            .into_iter()
            .filter(|(_, evidence)| *evidence > 0.0)
            .filter_map(|(kind, evidence)| {
                KINDS.get(kind).map(|k| Share {
                    detector: k.name().to_owned(),
                    of_threshold: of_threshold(evidence, self.threshold),
                    fired: reaches(evidence, self.threshold) == Some(true),
                })
            })
            .collect();
        shares.sort_by(|a, b| b.of_threshold.total_cmp(&a.of_threshold));
        shares
    }

    /// Bets on some streams that enough speaks for, most evident first.
    pub(super) fn suspects(&self, streams: &[usize]) -> Vec<(usize, Bet, Suspicion)> {
        let mut suspects = Vec::new();
        for &stream in streams {
            // No bet of a stream has more than all of them together.
            if self.settled_in(&[stream]) < SUSPECT_SHARE * self.threshold {
                continue;
            }
            for bet in self.wiring.bets(stream) {
                let Some(suspicion) = self.suspicion(stream, bet) else { continue };
                if suspicion.nats >= SUSPECT_NATS && self.share(stream, bet) >= SUSPECT_SHARE * self.threshold
                {
                    suspects.push((stream, bet, suspicion));
                }
            }
        }
        suspects.sort_by(|a, b| b.2.nats.total_cmp(&a.2.nats));
        suspects
    }

    /// The bet with the largest weighted evidence.
    pub(super) fn top_bet(&self, streams: &[usize]) -> Option<(usize, Bet)> {
        let each = streams.iter().flat_map(|s| self.wiring.bets(*s).map(|bet| (*s, bet)));
        let weighed: Vec<(usize, Bet, f64)> = each
            .filter(|(stream, bet)| self.suspicion(*stream, *bet).is_some())
            .map(|(stream, bet)| (stream, bet, self.share(stream, bet)))
            .collect();
        let most = |of: &dyn Fn(&&(usize, Bet, f64)) -> bool| {
            weighed.iter().filter(of).copied().reduce(|a, b| if b.2 > a.2 { b } else { a })
        };
        let top = most(&|_| true)?;
        if !self.is_pooled(top.0) {
            return Some((top.0, top.1));
        }
        // Pooled evidence is told by the column that it comes from, where that is evident too.
        let own = most(&|(stream, _, share)| !self.is_pooled(*stream) && *share >= POOLED_SHARE * top.2);
        own.or(Some(top)).map(|(stream, bet, _)| (stream, bet))
    }

    fn is_pooled(&self, stream: usize) -> bool {
        self.calibration.streams.get(stream).is_some_and(|s| matches!(s.source, Source::Unusual { .. }))
    }

    /// The alarm of one group, told by its most evident bet.
    pub(super) fn alarm(
        &self,
        group: &Group,
        top: (usize, Bet),
        step: Step,
        score: f64,
        shares: Vec<Share>,
    ) -> Option<Alarm> {
        let change = self.change(group, top, step)?;
        let diagnosis = self.diagnose(group, top, (change.start, step), &change.features);
        let message = message::sentence(&group.name, &change, step.judged) + &diagnosis.words();
        Some(Alarm {
            row: step.row.saturating_sub(1),
            ts: step.ts,
            detector: change.detector.to_owned(),
            kind: change.kind.to_owned(),
            features: change.features.clone(),
            group: group.name.clone(),
            score,
            threshold: self.threshold,
            since_row: change.start.row.saturating_sub(1),
            since: change.start.ts,
            shares,
            message,
            diagnosis: Box::new(diagnosis),
        })
    }

    fn change(&self, group: &Group, top: (usize, Bet), step: Step) -> Option<Change> {
        let (stream, bet) = top;
        let kind = self.wiring.owner(stream, bet)?;
        let calibrated = self.calibration.streams.get(stream)?;
        let suspicion = self.suspicion(stream, bet);
        let bin = calibrated.bins.get(if bet.family == Family::Tilt { 0 } else { bet.index })?;
        let cover = (bet.family == Family::Less).then(|| self.wiring.cover(stream, bet.index)).flatten();
        let side = cover.map_or(Side::Alone, |c| c.side);
        let subject = Subject { topic: calibrated.source.topic(), family: bet.family, bin, side };
        let start = suspicion.map_or(step.start(), |s| self.state.start_of(s.since));
        let features = match calibrated.source.topic() {
            Topic::Coherence => self.incoherent(self.since(group, top, start, step)),
            _ => self.features(group, top),
        };
        let features = if subject.is_of_whole_vectors() { self.vectors_whole(features) } else { features };
        let tells_projections = features.iter().any(|name| self.is_projection(name));
        // Relations are a group without columns of its own: they are of all features.
        let is_of = |c: &&Column| match group.role {
            Role::Relations => c.role == ColumnRole::Input,
            _ => c.group == group.name,
        };
        let columns = self.schema.columns.iter().filter(is_of);
        let are_vectors = features.iter().all(|name| self.is_vector(name)) && !features.is_empty();
        Some(Change {
            detector: kind.name(),
            kind: kind.kind(),
            became: match bin {
                Bin::WrongType if are_vectors && subject.is_of_whole_vectors() => {
                    "changed type or dimension".to_owned()
                }
                _ => kind.became(&subject),
            },
            is_length: are_vectors && subject.topic == Topic::Value && !subject.is_of_whole_vectors(),
            subject: match (features.as_slice(), calibrated.source.counts_columns()) {
                ([], true) => Some("some features".to_owned()),
                ([], false) => Some(calibrated.name.clone()),
                _ => None,
            },
            told: self.calibration.told_share(calibrated),
            features,
            of_features: columns.filter(|c| tells_projections || !c.is_projection()).count(),
            hits: match (bet.family, suspicion) {
                (Family::More, Some(suspicion)) => suspicion.hits.map(u64::from),
                (Family::More, None) => Some(1),
                _ => None,
            },
            start,
            baseline: match (bet.family, cover) {
                (Family::Tilt, _) => None,
                (_, Some(cover)) => Some(calibrated.pooled_cover(&cover.bins)),
                (_, None) => Some(calibrated.pooled(bet.index)),
            },
        })
    }

    /// The columns to which the same happened as to the most evident bet; every member of the group
    /// when that is a bet on all of them at once.
    fn features(&self, group: &Group, top: (usize, Bet)) -> Vec<String> {
        let Some(stream) = self.calibration.streams.get(top.0) else { return Vec::new() };
        if stream.bins.get(top.1.index).is_some_and(|bin| stream.source.is_of_all_members(bin)) {
            return self.names_of(&stream.source);
        }
        if stream.source.counts_columns() {
            return self.members_concerned(group, stream);
        }
        let word = |stream, bet| self.wiring.owner(stream, bet).map(|k| k.kind());
        let mut bets: Vec<(usize, Bet)> =
            self.suspects(&group.streams).into_iter().map(|(stream, bet, _)| (stream, bet)).collect();
        bets.push(top);
        bets.retain(|(stream, bet)| word(*stream, *bet) == word(top.0, top.1));
        self.column_names(bets.into_iter().map(|(stream, _)| stream))
    }

    /// Which columns a stream that counts columns counted, as their own streams tell; none where none does yet.
    fn members_concerned(&self, group: &Group, counting: &Stream) -> Vec<String> {
        let members = counting.source.positions();
        let tells = |source: &Source, bin: Option<&Bin>| match (&counting.source, source) {
            (Source::Group { .. } | Source::Slice { .. }, Source::Column { .. }) => {
                bin.is_some_and(|b| matches!(b, Bin::Zero | Bin::Default | Bin::Category(_)))
            }
            (Source::SameCount { .. }, Source::Repeat { .. }) => bin == Some(&Bin::Repeats(1)),
            (Source::Unusual { .. }, Source::Column { .. } | Source::Grid { .. }) => true,
            _ => false,
        };
        let is_concerned = |stream: &&usize| {
            let Some(own) = self.calibration.streams.get(**stream) else { return false };
            let [position] = own.source.positions()[..] else { return false };
            let more = self.wiring.bets(**stream).filter(|bet| bet.family == Family::More);
            let evident = |bet: Bet| {
                tells(&own.source, own.bins.get(bet.index))
                    && self.suspicion(**stream, bet).is_some_and(|s| s.nats >= MEMBER_NATS)
            };
            members.contains(&position) && more.into_iter().any(evident)
        };
        self.column_names(group.streams.iter().filter(is_concerned).copied())
    }

    fn is_vector(&self, name: &str) -> bool {
        self.schema.columns.iter().any(|c| c.name == name && c.dimension().is_some())
    }

    fn is_projection(&self, name: &str) -> bool {
        self.schema.columns.iter().any(|c| c.name == name && c.is_projection())
    }

    /// The same without the projections of vectors that are named themselves.
    fn vectors_whole(&self, names: Vec<String>) -> Vec<String> {
        let is_told = |name: &String| {
            let column = self.schema.columns.iter().find(|c| c.name == *name && c.is_projection());
            column.and_then(|c| c.vector.as_ref()).is_some_and(|part| names.contains(&part.of))
        };
        names.iter().filter(|name| !is_told(name)).cloned().collect()
    }

    fn names_of(&self, source: &Source) -> Vec<String> {
        let columns = source.positions().into_iter().filter_map(|p| self.schema.columns.get(p));
        columns.map(|c| c.name.clone()).collect()
    }

    /// The columns on which one detector has evidence, most evident first.
    pub(super) fn features_of(&self, streams: &[usize], kind: usize) -> Vec<String> {
        let suspects = self.suspects(streams);
        let mine = suspects.into_iter().filter(|(s, b, _)| self.wiring.owner_index(*s, *b) == Some(kind));
        self.column_names(mine.map(|(stream, _, _)| stream))
    }

    fn column_names(&self, streams: impl Iterator<Item = usize>) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for stream in streams.filter_map(|s| self.calibration.streams.get(s)) {
            if self.schema.position(&stream.name).is_some() && !names.contains(&stream.name) {
                names.push(stream.name.clone());
            }
        }
        names
    }
}
