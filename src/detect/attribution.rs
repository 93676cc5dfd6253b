//! Which group, which detector, which features: who an alarm is about.

use std::collections::BTreeMap;

use super::calibrate::Source;
use super::ledger::{Step, Suspicion};
use super::message::{self, Change};
use super::monitor::{Monitor, reaches};
use super::state::Group;
use super::{Alarm, KINDS, Share};

/// A bin takes part in an alarm when its own likelihood ratio speaks against it by this many nats,
const SUSPECT_NATS: f64 = 9.0;
/// and its weighted evidence has come this near to the threshold: among thousands of bets some reach
/// nine nats by chance within minutes, and a chance suspect would hold an alarm open.
const SUSPECT_SHARE: f64 = 1e-3;

/// Evidence is told up to this multiple of the threshold; the sum of a long fault means no more.
const TOLD_MAX: f64 = 1e6;

/// Evidence over the threshold, from 0 to a million.
pub(super) fn of_threshold(evidence: f64, threshold: f64) -> f64 {
    let share = evidence / threshold;
    if share > TOLD_MAX { TOLD_MAX } else { share }
}

impl Monitor {
    /// The evidence of each detector over some streams, largest first.
    pub(super) fn shares(&self, streams: &[usize]) -> Vec<Share> {
        let mut by_kind: BTreeMap<usize, f64> = BTreeMap::new();
        for &stream in streams {
            let Some(evidence) = self.state.evidence.get(stream) else { continue };
            for bin in 0..self.bins_of(stream) {
                if let Some(kind) = self.wiring.owner_index(stream, bin) {
                    *by_kind.entry(kind).or_insert(0.0) += evidence.share(bin, self.state.judged);
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

    fn bins_of(&self, stream: usize) -> usize {
        self.calibration.streams.get(stream).map_or(0, |s| s.bins.len())
    }

    fn is_on(&self, stream: usize, bin: usize) -> bool {
        self.wiring.owner(stream, bin).is_some_and(|k| !self.options.without.contains(k.name()))
    }

    /// Bins of some streams that enough speaks against, most evident first.
    pub(super) fn suspects(&self, streams: &[usize]) -> Vec<(usize, usize, Suspicion)> {
        let mut suspects = Vec::new();
        for &stream in streams {
            let Some(evidence) = self.state.evidence.get(stream) else { continue };
            for bin in (0..self.bins_of(stream)).filter(|bin| self.is_on(stream, *bin)) {
                let Some(suspicion) = evidence.suspicion(bin) else { continue };
                if suspicion.nats < SUSPECT_NATS {
                    continue;
                }
                if evidence.share(bin, self.state.judged) >= SUSPECT_SHARE * self.threshold {
                    suspects.push((stream, bin, suspicion));
                }
            }
        }
        suspects.sort_by(|a, b| b.2.nats.total_cmp(&a.2.nats));
        suspects
    }

    /// The bin with the largest weighted evidence, of those that were hit at all.
    pub(super) fn top_bin(&self, streams: &[usize]) -> Option<(usize, usize)> {
        let mut top: Option<(usize, usize, f64)> = None;
        for &stream in streams {
            let Some(evidence) = self.state.evidence.get(stream) else { continue };
            let hit = |bin: &usize| self.is_on(stream, *bin) && evidence.suspicion(*bin).is_some();
            for bin in (0..self.bins_of(stream)).filter(hit) {
                let share = evidence.share(bin, self.state.judged);
                if top.is_none_or(|(_, _, most)| share > most) {
                    top = Some((stream, bin, share));
                }
            }
        }
        top.map(|(stream, bin, _)| (stream, bin))
    }

    /// The alarm of one group, told by its most evident bin.
    pub(super) fn alarm(
        &self,
        group: &Group,
        top: (usize, usize),
        step: Step,
        score: f64,
        shares: Vec<Share>,
    ) -> Option<Alarm> {
        let change = self.change(group, top, step)?;
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
            message: message::sentence(&group.name, &change, step.judged),
        })
    }

    fn change(&self, group: &Group, top: (usize, usize), step: Step) -> Option<Change> {
        let (stream, bin) = top;
        let kind = self.wiring.owner(stream, bin)?;
        let calibrated = self.calibration.streams.get(stream)?;
        let suspicion = self.state.evidence.get(stream)?.suspicion(bin);
        let columns = self.schema.columns.iter().filter(|c| c.group == group.name);
        Some(Change {
            detector: kind.name(),
            kind: kind.kind(),
            became: kind.became(calibrated.bins.get(bin)?),
            features: self.features(group, top),
            of_features: columns.count(),
            hits: suspicion.map_or(1, |s| s.hits),
            start: suspicion.map_or(step.start(), |s| s.start),
            baseline_hits: calibrated.hits.get(bin).copied()?,
            baseline_rows: calibrated.trials.get(bin).copied()?,
        })
    }

    /// The columns to which the same happened as to the most evident bin; every member of the group
    /// when its own stream shows it best, for then it happened to all of them at once.
    fn features(&self, group: &Group, top: (usize, usize)) -> Vec<String> {
        let stream = self.calibration.streams.get(top.0);
        if let Some(Source::Group { members }) = stream.map(|s| &s.source) {
            let columns = members.iter().filter_map(|position| self.schema.columns.get(*position));
            return columns.map(|c| c.name.clone()).collect();
        }
        let word = |stream, bin| self.wiring.owner(stream, bin).map(|k| k.kind());
        let mut bins: Vec<(usize, usize)> =
            self.suspects(&group.streams).into_iter().map(|(stream, bin, _)| (stream, bin)).collect();
        bins.push(top);
        bins.retain(|(stream, bin)| word(*stream, *bin) == word(top.0, top.1));
        self.column_names(bins.into_iter().map(|(stream, _)| stream))
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
