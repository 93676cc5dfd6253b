//! Labels that come late: joined with their answers, scored, and told.

mod join;
mod take;
mod view;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use join::{Answered, Bounds, Fate, Join, Label, SavedJoin, Whose};
pub use take::LabelsTaken;
pub(super) use take::OF_NO_MODEL;
pub use view::LabelsView;

use super::Error;
use super::engine::Engine;
use super::model::{Route, Told, Watched};
use crate::alert::{Alert, Change};
use crate::baseline::{Baseline, Budget};
use crate::detect::{
    Calibration, Finding, HARMFUL_SHIFT, HarmOptions, Performance, PerformanceReport, Reference,
    RiskInterval, SavedPerformance, Scored, SourceRisk, StreamReport, Truth,
};
use crate::record::{Batch, cut_name};
use crate::tap::labels::{LabelLine, REQUEST_BYTES_MAX};
use crate::telemetry::Metrics;
use crate::units::{Ratio, Timestamp, whole};

/// How labels of one model are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelSettings {
    /// False alarms of the risk; beside the budget of the baseline, which is the ledger's. Of time: as if every row
    /// had a label, which is the most there can be.
    pub budget: Budget,
    /// By which part the risk may be above the limit of the baseline's.
    pub tolerance: Ratio,
    /// How long a row waits for its label.
    pub wait: Duration,
    /// Only labels of rows that were answered within so long say what the risk is now.
    pub silent_after: Duration,
    /// Rows that wait, at the most.
    pub rows_max: usize,
    /// And their bytes.
    pub bytes_max: usize,
}

impl LabelSettings {
    /// Unless something else is said.
    pub const DEFAULT: Self = Self {
        budget: Budget::DEFAULT,
        tolerance: Ratio::one_in(10),
        wait: Duration::from_secs(7 * 86_400),
        silent_after: Duration::from_secs(7 * 86_400),
        rows_max: 100_000,
        bytes_max: 64 << 20,
    };

    /// Labelled requests between two false alarms of what is held against a baseline.
    ///
    /// # Errors
    /// [`Error::Detect`] for labels of the baseline that are none; [`Error::LabelBudget`] when every request may
    /// raise an alarm: no threshold stands for that.
    fn budget_of(&self, baseline: &Baseline, is_on: bool) -> Result<(Option<Reference>, f64), Error> {
        let model = || baseline.model().to_owned();
        let reference = Calibration::labels_of(baseline.calibration());
        let reference = reference.map_err(|source| Error::Detect { model: model(), source })?;
        let rows = self.budget.rows(baseline.rate());
        match rows.filter(|rows| *rows > 1.0) {
            Some(rows) => Ok((reference, rows)),
            // Nothing is held against it.
            None if reference.is_none() || !is_on => Ok((reference, f64::INFINITY)),
            None => Err(Error::LabelBudget {
                model: model(),
                budget: self.budget.to_string(),
                rate: baseline.rate().get(),
            }),
        }
    }

    /// Whether labels can be held against a baseline, where the alarm is on or off.
    ///
    /// # Errors
    /// [`Error::Detect`], [`Error::LabelBudget`].
    pub(super) fn check(&self, baseline: &Baseline, is_on: bool) -> Result<(), Error> {
        self.budget_of(baseline, is_on).map(drop)
    }
}

/// Whether the alarm of a risk that rose is on.
pub(super) fn is_on(without: &[String]) -> bool {
    !without.iter().any(|name| name == HARMFUL_SHIFT)
}

/// What became of labels that are joined with a row that no baseline judges.
const NOT_JUDGED: &str = "not_judged";

/// Labels of one model, and all that they are held against.
#[derive(Debug)]
pub(super) struct Labels {
    settings: LabelSettings,
    /// Whether a risk that rose is an alarm.
    is_on: bool,
    join: Join,
    /// By version; that of the model's baseline under nothing.
    performances: BTreeMap<Option<String>, Performance>,
    /// The hashes of the baselines that these are of.
    baselines: BTreeMap<Option<String>, String>,
    counts: BTreeMap<Fate, u64>,
    counted: Counted,
    /// What the metrics have of all that.
    told: Shown,
    /// Whether rows are remembered: a baseline had labels, or one came. Of models that nobody labels nothing is kept.
    is_used: bool,
}

/// What else is counted.
#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    /// Labels of rows that nobody judges.
    nobodys: u64,
    /// Rows whose name came before.
    repeated: u64,
    /// Rows that no label can be of, for they name no request, or by too long a name.
    nameless: u64,
    /// Rows that left without a label: their time was over.
    waited: u64,
    /// And those that made room.
    evicted: u64,
    /// Labels that cannot be held against their answer.
    unscored: u64,
    /// When the first row came that waits here, or that was taken over.
    since: Option<Timestamp>,
}

/// What the metrics have of what is counted.
#[derive(Debug, Default)]
struct Shown {
    fates: BTreeMap<Fate, u64>,
    counted: Counted,
}

/// What labels of a version cost, and its baseline's.
#[derive(Debug)]
pub(super) struct Risk {
    /// Nothing for the model's own baseline.
    pub(super) version: Option<String>,
    pub(super) of_labels: Option<RiskInterval>,
    pub(super) of_baseline: Option<SourceRisk>,
}

/// What waits for labels, and the baselines by which its answers were read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedWaiting {
    model: String,
    main: Option<String>,
    versions: BTreeMap<String, String>,
    join: SavedJoin,
}

impl SavedWaiting {
    /// Leaves the older half of the rows behind, one at the least; how many that are.
    pub(super) fn leave_older_half(&mut self) -> u64 {
        self.join.leave_older_half()
    }
}

fn whose_of(place: Option<&str>) -> Whose {
    place.map_or(Whose::Main, |version| Whose::Version(version.to_owned()))
}

/// What is kept of performance over a restart.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedLabels {
    main: Option<SavedPerformance>,
    versions: BTreeMap<String, SavedPerformance>,
}

impl Labels {
    pub(super) fn new(settings: LabelSettings, is_on: bool) -> Self {
        let LabelSettings { rows_max: rows, bytes_max: bytes, wait, .. } = settings;
        Self {
            settings,
            is_on,
            join: Join::new(Bounds { rows, bytes, wait }),
            performances: BTreeMap::new(),
            baselines: BTreeMap::new(),
            counts: BTreeMap::new(),
            counted: Counted::default(),
            told: Shown::default(),
            is_used: false,
        }
    }

    /// Whether rows can be held against a baseline.
    ///
    /// # Errors
    /// Those of [`Self::hold_against`].
    pub(super) fn check(&self, baseline: &Baseline) -> Result<(), Error> {
        self.settings.check(baseline, self.is_on)
    }

    /// Holds the rows of a place against a baseline from now on; those before were answered to another.
    ///
    /// # Errors
    /// [`Error::Detect`] for labels of the baseline that are none, [`Error::LabelBudget`] for a budget that no
    /// threshold stands for.
    pub(super) fn hold_against(&mut self, place: Option<&str>, baseline: &Baseline) -> Result<(), Error> {
        let (reference, budget) = self.settings.budget_of(baseline, self.is_on)?;
        let LabelSettings { tolerance, silent_after: lately, .. } = self.settings;
        let options = HarmOptions { tolerance, budget, lately, is_on: self.is_on };
        let performance = Performance::new(baseline.schema(), reference, options);
        self.is_used |= performance.is_used();
        self.baselines.insert(place.map(str::to_owned), baseline.content_hash().to_owned());
        if self.performances.insert(place.map(str::to_owned), performance).is_some() {
            self.join.disown(&whose_of(place));
        }
        Ok(())
    }

    fn of(&mut self, whose: &Whose) -> Option<(Option<String>, &mut Performance)> {
        let place = whose.place()?;
        self.performances.get_mut(&place).map(|performance| (place, performance))
    }

    fn count(&mut self, fate: Fate, n: u64) {
        *self.counts.entry(fate).or_insert(0) += n;
    }

    /// Takes rows: each waits for its label, and one that has it is scored.
    pub(super) fn observe(&mut self, route: Route<'_>, batch: &Batch, now: Timestamp) -> Vec<Told> {
        let whose = match route {
            Route::Main => Whose::Main,
            Route::Version(version) => Whose::Version(version.to_owned()),
            Route::Stranger => Whose::Nobody,
        };
        let has_label = |row| batch.meta().label(row).is_some();
        self.is_used = self.is_used || (0..batch.len()).any(has_label);
        if !self.is_used {
            return Vec::new();
        }
        self.counted.since.get_or_insert(now);
        let answers = self.of(&whose).map(|(_, performance)| performance.answers().clone());
        let mut told = Vec::new();
        for (row, ts) in batch.meta().ts().iter().enumerate() {
            let answer = answers.as_ref().and_then(|answers| answers.answer(batch, row));
            let answered_at = (*ts).min(now);
            let answered = Answered { whose: whose.clone(), answer, answered_at, at: now, label: None };
            let written = batch.meta().label(row);
            let own = written.and_then(Truth::of);
            if written.is_some() && own.is_none() {
                self.count(Fate::Malformed, 1);
            }
            let own = own.map(|truth| Label { truth, known_at: answered_at, at: now });
            let request = batch.meta().request_id(row);
            if let Some(request) = request.filter(|request| request.len() <= REQUEST_BYTES_MAX) {
                let sub_row = batch.meta().sub_row(row).unwrap_or(0);
                told.extend(self.wait(request, sub_row, answered));
                told.extend(own.and_then(|label| self.label(request, sub_row, label).1));
            } else {
                told.extend(self.score_at_once(request, &answered, own));
            }
        }
        told
    }

    fn wait(&mut self, request: &str, row: u64, answered: Answered) -> Option<Told> {
        let came = self.join.answered(request, row, answered.clone());
        self.counted.repeated += u64::from(came.is_repeated);
        if !came.is_repeated
            && let Some((_, performance)) = self.of(&answered.whose)
        {
            performance.wait(answered.answer.as_ref(), came.label.is_some());
        }
        for row in &came.left {
            self.counted.evicted += u64::from(row.label.is_none());
            self.leave(row);
        }
        let label = came.label?;
        self.count(Fate::Joined, 1);
        let is_later = self.join.has_label_beside(request, row);
        self.score(Some((request, is_later)), &answered, &label)
    }

    /// Takes a row that no later label can be of: it names no request, or one by a name that no label may have and
    /// that would fill the memory of others.
    fn score_at_once(
        &mut self,
        request: Option<&str>,
        answered: &Answered,
        own: Option<Label>,
    ) -> Option<Told> {
        self.counted.nameless += u64::from(own.is_none() || request.is_some());
        if let Some((_, performance)) = self.of(&answered.whose) {
            performance.settle(answered.answer.as_ref(), own.is_some());
        }
        let label = own?;
        self.count(Fate::Joined, 1);
        // Rows of such a request still are one, side by side.
        let request = request.map(|request| (cut_name(request), false));
        self.score(request, answered, &label)
    }

    /// Takes a label; what became of it, and what it showed.
    fn label(&mut self, request: &str, row: u64, label: Label) -> (Fate, Option<Told>) {
        self.is_used = true;
        let (fate, answered) = self.join.label(request, row, label.clone());
        // One that waits is counted when its end is known.
        if fate != Fate::Waiting {
            self.count(fate, 1);
        }
        let Some(answered) = answered else { return (fate, None) };
        if let Some((_, performance)) = self.of(&answered.whose) {
            performance.labelled(answered.answer.as_ref());
        }
        let is_later = self.join.has_label_beside(request, row);
        (fate, self.score(Some((request, is_later)), &answered, &label))
    }

    /// Scores a row by its label; of its request is known whether another row had one before.
    fn score(&mut self, request: Option<(&str, bool)>, answered: &Answered, label: &Label) -> Option<Told> {
        let Some((place, performance)) = self.of(&answered.whose) else {
            self.counted.nobodys += 1;
            return None;
        };
        let before = performance.unscored();
        let finding = performance.observe(&Scored {
            request: request.map(|(request, _)| request),
            is_later: request.is_some_and(|(_, is_later)| is_later),
            answer: answered.answer.as_ref(),
            truth: &label.truth,
            answered_at: answered.answered_at,
            known_at: label.known_at,
        });
        let unscored = performance.unscored() - before;
        self.counted.unscored += unscored;
        Some((place, finding?))
    }

    fn leave(&mut self, row: &Answered) {
        if let Some((_, performance)) = self.of(&row.whose) {
            performance.leave(row.answer.as_ref(), row.label.is_some());
        }
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let (left, unknown) = self.join.advance(now);
        for row in &left {
            self.counted.waited += u64::from(row.label.is_none());
            self.leave(row);
        }
        if unknown > 0 {
            self.count(Fate::Unknown, unknown);
        }
    }

    /// Brings the metrics up to date.
    pub(super) fn tell(&mut self, model: &str, metrics: &Metrics) {
        let Shown { fates, counted: before } = &mut self.told;
        let now = self.counted;
        let nobodys = now.nobodys - before.nobodys;
        for fate in Fate::FINAL {
            let n = self.counts.get(&fate).copied().unwrap_or(0);
            let new = n.saturating_sub(fates.insert(fate, n).unwrap_or(0));
            // Those that nobody judges are told apart.
            let new = if fate == Fate::Joined { new.saturating_sub(nobodys) } else { new };
            metrics.labels(model, fate.name(), new);
        }
        metrics.labels(model, NOT_JUDGED, nobodys);
        metrics.labels_unscored(model, now.unscored - before.unscored);
        metrics.label_rows_waiting(model, self.join.len());
        metrics.label_rows_unlabelled(model, "waited", now.waited - before.waited);
        metrics.label_rows_unlabelled(model, "evicted", now.evicted - before.evicted);
        *before = now;
    }

    /// Takes the change that an alert is about for meant; whether it is about the risk.
    pub(super) fn accept(&mut self, alert: &Alert) -> bool {
        if alert.detector != HARMFUL_SHIFT {
            return false;
        }
        if let Some(performance) = self.performances.get_mut(&alert.version) {
            performance.accept();
        }
        true
    }

    /// Whether an alert about the risk still has what could end it; nothing when it is about something else.
    pub(super) fn holds(&self, alert: &Alert) -> Option<bool> {
        let is_latched = || self.performances.get(&alert.version).is_some_and(Performance::is_latched);
        (alert.detector == HARMFUL_SHIFT).then(is_latched)
    }

    /// How well a version does.
    pub(super) fn report(&self, version: Option<&str>, now: Timestamp) -> Option<PerformanceReport> {
        let performance = self.performances.get(&version.map(str::to_owned))?;
        Some(performance.report(now.minus(self.settings.silent_after)))
    }

    /// What the risk of each version is, and what it is held against.
    pub(super) fn risks(&self, now: Timestamp) -> Vec<Risk> {
        let fresh = now.minus(self.settings.silent_after);
        let risk = |(version, performance): (&Option<String>, &Performance)| {
            let report = performance.report(fresh);
            Risk { version: version.clone(), of_labels: report.risk, of_baseline: report.baseline }
        };
        self.performances.iter().map(risk).collect()
    }

    /// The same among the detectors', of all versions of which labels are of use.
    pub(super) fn stream_reports(&self, now: Timestamp) -> Vec<(Option<&str>, StreamReport)> {
        let fresh = now.minus(self.settings.silent_after);
        let is_shown = |performance: &Performance| performance.is_on() && performance.is_used();
        let used = self.performances.iter().filter(|(_, performance)| is_shown(performance));
        used.map(|(version, performance)| (version.as_deref(), performance.stream_report(fresh))).collect()
    }

    pub(super) fn save(&self) -> SavedLabels {
        let versions = self.performances.iter();
        let versions =
            versions.filter_map(|(version, performance)| Some((version.clone()?, performance.save())));
        SavedLabels {
            main: self.performances.get(&None).map(Performance::save),
            versions: versions.collect(),
        }
    }

    /// Goes on from what was saved; answers the versions whose labels begin anew.
    pub(super) fn restore(&mut self, saved: SavedLabels) -> Vec<Option<String>> {
        let versions = saved.versions.into_iter().map(|(version, saved)| (Some(version), saved));
        let all = saved.main.map(|saved| (None, saved)).into_iter().chain(versions);
        let performances = &mut self.performances;
        let refused = all.filter_map(|(version, saved)| {
            let restored = performances.get_mut(&version).map(|performance| performance.restore(saved));
            (!matches!(restored, Some(Ok(())))).then_some(version)
        });
        let refused = refused.collect();
        self.is_used |= self.performances.values().any(Performance::is_used);
        refused
    }

    pub(super) fn save_waiting(&self, model: &str) -> SavedWaiting {
        let versions =
            self.baselines.iter().filter_map(|(version, hash)| Some((version.clone()?, hash.clone())));
        SavedWaiting {
            model: model.to_owned(),
            main: self.baselines.get(&None).cloned(),
            versions: versions.collect(),
            join: self.join.save(),
        }
    }

    /// Goes on from what waited; rows that were answered to another baseline are nobody's.
    ///
    /// # Errors
    /// When it is of another model, in words.
    pub(super) fn restore_waiting(&mut self, model: &str, saved: SavedWaiting) -> Result<(), String> {
        if saved.model != model {
            return Err(format!("it is of model `{}`", saved.model));
        }
        let evicted = self.join.restore(saved.join);
        let versions = saved.versions.into_iter().map(|(version, hash)| (Some(version), hash));
        for (place, hash) in saved.main.map(|hash| (None, hash)).into_iter().chain(versions) {
            if self.baselines.get(&place) != Some(&hash) {
                self.join.disown(&whose_of(place.as_deref()));
            }
        }
        self.counted.evicted += whole(evicted.iter().filter(|row| row.label.is_none()).count());
        let performances = &mut self.performances;
        for row in self.join.rows() {
            let performance = row.whose.place().and_then(|place| performances.get_mut(&place));
            if let Some(performance) = performance {
                performance.wait(row.answer.as_ref(), row.label.is_some());
            }
        }
        self.counted.since = self.join.oldest();
        self.is_used |= self.join.len() > 0 || self.join.waiting() > 0;
        Ok(())
    }
}

impl Fate {
    /// Those in one of which each label ends.
    const FINAL: [Self; 6] =
        [Self::Joined, Self::Duplicate, Self::Conflict, Self::Expired, Self::Unknown, Self::Malformed];

    /// The word in metrics and answers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Waiting => "waiting",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Expired => "expired",
            Self::Unknown => "unknown_request",
            Self::Malformed => "malformed",
        }
    }
}

impl Watched {
    /// Takes a label of a request's row, and tells what it showed.
    fn take_label(
        &mut self,
        request: &str,
        line: &LabelLine,
        truth: Truth,
        now: Timestamp,
    ) -> (Fate, Option<Told>) {
        let known_at = line.ts.map_or(now, |ts| ts.min(now));
        self.labels.label(request, line.row, Label { truth, known_at, at: now })
    }
}

/// What became of labels of one model.
#[derive(Debug, Default)]
struct Taken {
    fates: BTreeMap<Fate, u64>,
    changes: Vec<Change>,
}

impl Engine {
    /// Takes labels of one model, each with its request.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    fn take_labels(
        &mut self,
        model: &str,
        lines: &[(String, LabelLine, Truth)],
        now: Timestamp,
    ) -> Result<Taken, Error> {
        self.model(model)?;
        let mut taken = Taken::default();
        let Some(watched) = self.models.get_mut(model) else { return Ok(taken) };
        let mut findings: Vec<(Option<String>, Finding)> = Vec::new();
        for (request, line, truth) in lines {
            let (fate, told) = watched.take_label(request, line, truth.clone(), now);
            *taken.fates.entry(fate).or_insert(0) += 1;
            findings.extend(told);
        }
        watched.labels.tell(model, &self.metrics);
        for (version, finding) in findings {
            taken.changes.extend(self.alerts.observe_version(model, version.as_deref(), &finding, now));
        }
        Ok(taken)
    }
}
