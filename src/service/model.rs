use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Error;
use super::checks::{Checks, settings_hash};
use super::engine::ModelSetup;
use super::judge::{Judge, OTHERS, Scope, decided};
use super::labels::{Labels, SavedLabels, is_on};
use super::recent::RecentRows;
use super::relearn::{Counted, Paused};
use super::run::record_row;
use super::strangers::{GONE_AFTER, Judged, Stranger, Strangers, VERSION_KIND};
use super::view::{CheckView, ModelView, SloView, Standing, VersionView};
use crate::alert::{Alert, State};
use crate::baseline::Baseline;
use crate::detect::{
    self, Answered, Check, Finding, Held, PerformanceReport, StreamReport, StreamState, Undecided,
};
use crate::record::{Batch, Record, Schema};
use crate::slo::{Meter, Span};
use crate::units::{Ratio, Timestamp};

/// Service levels on the API look back so far.
const SLO_SPAN: Duration = Duration::from_secs(600);

/// A model at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    view: ModelView,
    meters: Vec<Meter>,
}

impl Snapshot {
    pub(super) fn view(self, now: Timestamp) -> ModelView {
        let span = Span { from: now.minus(SLO_SPAN), to: now };
        let slos = self.meters.iter().map(|meter| SloView::of(meter, span)).collect();
        ModelView { slos, ..self.view }
    }
}

/// Who judges a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// The model's baseline.
    Main,
    /// The baseline of another version.
    Version(&'a str),
    /// Only its features, by the model's baseline: it is of a version that none is of.
    Stranger,
}

/// A finding, and the version that it is about where that is not the one of the model's baseline.
pub(super) type Told = (Option<String>, Finding);

/// One model under watch.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) main: Judge,
    /// By version.
    versions: BTreeMap<String, Judge>,
    strangers: Strangers,
    /// The run that is under way.
    run: Option<String>,
    pub(super) last_arrival: Option<Timestamp>,
    coverage_min: Ratio,
    without: Vec<String>,
    meters: Vec<Meter>,
    pub(super) checks: Checks,
    pub(super) labels: Labels,
    /// The hash of the settings of both.
    settings: String,
}

/// All evidence of one model, kept over a restart.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evidence {
    pub(super) model: String,
    saved: detect::Saved,
    #[serde(default)]
    versions: BTreeMap<String, detect::Saved>,
    #[serde(default)]
    others: Option<detect::Saved>,
    #[serde(default)]
    seen: BTreeMap<String, Stranger>,
    #[serde(default)]
    checks: BTreeMap<Check, Held>,
    labels: Option<SavedLabels>,
}

/// The version that a record is of, where it says so.
pub(super) fn version_of(record: &Record) -> Option<&str> {
    record.version.as_deref()
}

impl Watched {
    pub(super) fn new(setup: ModelSetup) -> Result<Self, Error> {
        setup.check()?;
        let (checks, settings) = (Checks::new(&setup), settings_hash(&setup));
        let ModelSetup { baseline, versions, without, slos, coverage_min, labels, .. } = setup;
        let mut labels = Labels::new(labels, is_on(&without));
        labels.hold_against(None, &baseline)?;
        for baseline in &versions {
            labels.hold_against(baseline.schema().version.as_deref(), baseline)?;
        }
        let strangers = Strangers::new(&baseline, &without)?;
        let main = Judge::new(baseline, &without, Scope::Whole)?;
        let judges = versions.into_iter().filter_map(|baseline| {
            let version = baseline.schema().version.clone()?;
            Some(Judge::new(baseline, &without, Scope::OneVersion).map(|judge| (version, judge)))
        });
        let versions = judges.collect::<Result<_, _>>()?;
        let meters = slos.into_iter().map(|(objective, window)| Meter::new(objective, window));
        let meters = meters.collect::<Result<_, _>>()?;
        Ok(Self {
            main,
            versions,
            strangers,
            run: None,
            last_arrival: None,
            coverage_min,
            without,
            meters,
            checks,
            labels,
            settings,
        })
    }

    pub(super) fn model(&self) -> &str {
        self.main.baseline.model()
    }

    /// The schema of the model's baseline.
    pub(super) fn schema(&self) -> &Arc<Schema> {
        self.main.schema()
    }

    /// Who judges a record. One that names no version is taken for one of the model's baseline, and where
    /// that one names none, it is of every version that has no baseline of its own.
    pub(super) fn route<'a>(&self, record: &'a Record) -> Route<'a> {
        match (version_of(record), self.main.version()) {
            (Some(version), _) if self.versions.contains_key(version) => Route::Version(version),
            (Some(version), Some(expected)) if version != expected => Route::Stranger,
            _ => Route::Main,
        }
    }

    /// The schema by which the rows of a route are read.
    pub(super) fn schema_of(&self, route: Route<'_>) -> &Arc<Schema> {
        match route {
            Route::Version(version) => self.versions.get(version).map_or(self.schema(), Judge::schema),
            Route::Main | Route::Stranger => self.schema(),
        }
    }

    /// Takes the next rows of one route.
    pub(super) fn observe(
        &mut self,
        route: Route<'_>,
        batch: &Batch,
        unexpected: &BTreeMap<String, u64>,
        now: Timestamp,
    ) -> Vec<Told> {
        self.last_arrival = Some(now);
        let (version, findings) = match route {
            Route::Main => {
                let findings = self.main.observe(batch, unexpected, now);
                self.strangers.take_back_since(&findings);
                let findings = self.checks.join(findings);
                return findings.into_iter().map(|finding| (None, finding)).collect();
            }
            Route::Version(version) => match self.versions.get_mut(version) {
                Some(judge) => {
                    let findings = judge.observe(batch, unexpected, now);
                    self.strangers.take_back_since(&findings);
                    (version, findings)
                }
                None => (version, Vec::new()),
            },
            Route::Stranger => (OTHERS, self.strangers.observe(batch, now)),
        };
        // The row rate is the model's: a rollout is no silence.
        let traffic = self.main.monitor.count_at(batch, now);
        let told = findings.into_iter().map(|finding| (Some(version.to_owned()), finding));
        told.chain(traffic.into_iter().map(|finding| (None, finding))).collect()
    }

    /// Notes the versions of rows that no baseline is of; each is told once.
    pub(super) fn note_strangers(&mut self, records: &[&Record], now: Timestamp) -> Vec<Told> {
        let Some(expected) = self.main.schema().version.clone() else { return Vec::new() };
        let noted = records.iter().filter_map(|record| {
            let version = version_of(record)?;
            let (name, finding) = self.strangers.note(version, &expected, (0, record.ts.min(now)), now)?;
            Some((Some(name), finding))
        });
        noted.collect()
    }

    /// Counts the answers of rows that no baseline is of, once they were observed.
    pub(super) fn relearn(&mut self, judged: Judged<'_>, now: Timestamp) -> Result<(), Error> {
        if self.paused(now) != Paused::No {
            return Ok(());
        }
        self.strangers.relearn(&self.main.baseline, judged, now)
    }

    /// Takes what became of a question to who knows the right answer.
    pub(super) fn checked(&mut self, check: Check, answered: Answered, now: Timestamp) -> Option<Finding> {
        let others = self.main.monitor.holds(Schema::OUTPUT_GROUP) || self.checks.holds_but(check);
        let was_held = self.checks.hold();
        let finding = self.checks.take(check, answered, now)?;
        if !was_held {
            self.strangers.take_back_since(std::slice::from_ref(&finding));
        }
        // Its part is over, and the alert is not.
        (!others || !matches!(finding, Finding::Resolved { .. })).then_some(finding)
    }

    /// Takes the run that is under way, or that there is none.
    pub(super) fn set_run(&mut self, run: Option<String>) {
        self.run = run;
    }

    /// Why rows of versions without a baseline are not counted.
    fn paused(&self, now: Timestamp) -> Paused {
        if let Some(run) = &self.run {
            return Paused::Run(run.clone());
        }
        if let Some((group, accepted)) = self.strangers.monitor.latched() {
            return Paused::Latched { group: group.to_owned(), accepted };
        }
        if self.checks.hold() {
            return Paused::Latched { group: Schema::OUTPUT_GROUP.to_owned(), accepted: false };
        }
        // What one version is given may be wrong for all. A version that is gone does not recover any more.
        let is_there = |judge: &&Judge| judge.last.is_none_or(|last| now < last.plus(GONE_AFTER));
        let judges = std::iter::once(&self.main).chain(self.versions.values()).filter(is_there);
        let mut drifted = judges.filter_map(|judge| Some((judge.monitor.drifted()?, judge.version()?)));
        match drifted.next() {
            Some((group, version)) => {
                Paused::Elsewhere { group: group.to_owned(), version: version.to_owned() }
            }
            None if self.strangers.is_lossy() => Paused::RowsLost,
            None => Paused::No,
        }
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, now: Timestamp, effects_window: Duration) -> Vec<Told> {
        let mut told: Vec<Told> = Vec::new();
        let findings = self.main.monitor.advance(now);
        self.strangers.take_back_since(&findings);
        let findings = self.checks.join(findings);
        told.extend(findings.into_iter().map(|finding| (None, finding)));
        self.main.last.get_or_insert(now);
        self.main.close_window(now, effects_window);
        for (version, judge) in &mut self.versions {
            let findings = judge.monitor.advance(now);
            self.strangers.take_back_since(&findings);
            told.extend(findings.into_iter().map(|finding| (Some(version.clone()), finding)));
            judge.last.get_or_insert(now);
            judge.close_window(now, effects_window);
        }
        let findings = self.strangers.advance(now).into_iter();
        told.extend(findings.map(|finding| (Some(OTHERS.to_owned()), finding)));
        let gone = self.strangers.forget(now).into_iter();
        told.extend(gone.map(|(version, finding)| (Some(version), finding)));
        told
    }

    /// Takes what became of the rows on offer lately; nothing on offer is no loss.
    pub(super) fn set_recent(&mut self, recent: RecentRows) {
        let enough = recent.coverage.is_none_or(|share| share >= self.coverage_min.get());
        self.strangers.set_lossy(!enough || recent.too_many_lost());
        for judge in std::iter::once(&mut self.main).chain(self.versions.values_mut()) {
            judge.monitor.set_coverage(enough);
        }
        self.strangers.monitor.set_coverage(enough);
    }

    /// Lets relations look at one row in so many.
    pub(super) fn thin_relations(&mut self, one_in: u64) {
        let judges = std::iter::once(&mut self.main).chain(self.versions.values_mut());
        judges.for_each(|judge| judge.monitor.thin_relations(one_in));
        self.strangers.monitor.thin_relations(one_in);
    }

    /// Takes the change that an alert is about for meant.
    pub(super) fn accept(&mut self, alert: &Alert) {
        if self.labels.accept(alert) {
            return;
        }
        match alert.version.as_deref() {
            Some(version) if alert.kind == VERSION_KIND => self.strangers.accept(version),
            None => {
                self.main.monitor.accept(&alert.group);
                self.checks.accept(&alert.group);
            }
            Some(version) => {
                let judge = self.versions.get_mut(version).map(|judge| &mut judge.monitor);
                let monitor = judge.unwrap_or(&mut self.strangers.monitor);
                monitor.accept(&alert.group);
            }
        }
    }

    /// The place of a baseline: that of its version where the configuration has one, else the model's.
    pub(super) fn place_of(&self, baseline: &Baseline) -> Option<String> {
        baseline.schema().version.clone().filter(|version| self.versions.contains_key(version))
    }

    /// The baseline of a place.
    pub(super) fn judge(&self, place: Option<&str>) -> Option<&Judge> {
        place.map_or(Some(&self.main), |version| self.versions.get(version))
    }

    /// Every place of a baseline: the model's, and those of versions.
    pub(super) fn places(&self) -> Vec<Option<String>> {
        std::iter::once(None).chain(self.versions.keys().cloned().map(Some)).collect()
    }

    /// Puts a baseline in a place and begins anew there; rows of versions without a baseline do so too
    /// when it is the model's.
    pub(super) fn put_in(&mut self, place: Option<&str>, baseline: Baseline) -> Result<(), Error> {
        let scope = if place.is_some() { Scope::OneVersion } else { Scope::Whole };
        let strangers = Strangers::new(&baseline, &self.without)?;
        let new = Judge::new(baseline, &self.without, scope)?;
        self.labels.hold_against(place, &new.baseline)?;
        let judge = match place {
            Some(version) => self.versions.get_mut(version),
            None => {
                self.strangers = strangers;
                self.checks.forget();
                Some(&mut self.main)
            }
        };
        if let Some(judge) = judge {
            let configured = std::mem::take(&mut judge.configured);
            *judge = new;
            judge.configured = configured;
        }
        Ok(())
    }

    /// The baseline that a version has of its own, the model's among them.
    pub(super) fn baseline_of(&self, version: &str) -> Option<&Baseline> {
        let main = Some(&self.main).filter(|main| main.version() == Some(version));
        main.or_else(|| self.versions.get(version)).map(|judge| &judge.baseline)
    }

    /// What was counted of a version that no baseline is of.
    ///
    /// # Errors
    /// [`Error::UnknownVersion`]; [`Error::NotRelearnt`] with what is missing.
    pub(super) fn counted(&self, version: &str, now: Timestamp) -> Result<&Counted, Error> {
        if !self.strangers.seen().contains_key(version) {
            let own = self.main.version().map(str::to_owned);
            let known = own.into_iter().chain(self.versions.keys().cloned());
            let known: Vec<String> = known.chain(self.strangers.seen().keys().cloned()).collect();
            let (model, version) = (self.model().to_owned(), version.to_owned());
            return Err(Error::UnknownVersion { model, version, known: known.join(", ") });
        }
        let counted = self.strangers.counted(version, &self.main.baseline, &self.paused(now));
        counted.map_err(|missing| Error::NotRelearnt {
            model: self.model().to_owned(),
            version: version.to_owned(),
            missing,
        })
    }

    /// What would judge a version by a baseline of its own, beside those that the configuration names: it counts
    /// as long as the model's configured baseline does.
    ///
    /// # Errors
    /// [`Error::Versions`] when that version has one; [`Error::Detect`], [`Error::LabelBudget`].
    pub(super) fn judge_beside(&self, version: &str, baseline: Baseline) -> Result<Judge, Error> {
        if self.baseline_of(version).is_some() || baseline.schema().version.as_deref() != Some(version) {
            let why = format!("version `{version}` has a baseline already");
            return Err(Error::Versions { model: self.model().to_owned(), why });
        }
        // Whatever could be wrong with it is found out here.
        self.labels.check(&baseline)?;
        let mut judge = Judge::new(baseline, &self.without, Scope::OneVersion)?;
        judge.configured.clone_from(&self.main.configured);
        Ok(judge)
    }

    /// Lets a version be judged by a baseline of its own from now on.
    pub(super) fn adopt(&mut self, version: &str, judge: Judge) {
        let held = self.labels.hold_against(Some(version), &judge.baseline);
        debug_assert!(held.is_ok(), "its labels were read before: {held:?}");
        self.versions.insert(version.to_owned(), judge);
        self.strangers.remove(version);
    }

    /// Whether an open alert is held against the baseline of a place, or against its absence.
    pub(super) fn is_of(&self, place: Option<&str>, alert: &Alert) -> bool {
        match (place, alert.version.as_deref()) {
            (None, Some(version)) => !self.versions.contains_key(version),
            (place, version) => place == version,
        }
    }

    /// What judges, and what by.
    pub(super) fn hashes(&self) -> (Vec<&str>, Vec<&str>) {
        let judges = || std::iter::once(&self.main).chain(self.versions.values());
        let detectors =
            judges().map(|judge| judge.monitor.fingerprint()).chain([self.settings.as_str()]).collect();
        (detectors, judges().map(|judge| judge.baseline.content_hash()).collect())
    }

    /// Detectors in groups that know something now: quiet or drifted.
    pub(super) fn decided(&self, now: Timestamp) -> u64 {
        let of_versions = self.versions.values().map(|judge| decided(&judge.monitor.report()));
        let others = self.strangers.are_there(now).then(|| decided(&self.strangers.monitor.report()));
        let labels: Vec<StreamReport> =
            self.labels.stream_reports(now).into_iter().map(|(_, report)| report).collect();
        let beside = decided(&self.checks.stream_reports(now)) + decided(&labels);
        decided(&self.main.monitor.report()) + beside + of_versions.chain(others).sum::<u64>()
    }

    /// Rows of versions that no baseline is of.
    pub(super) fn strangers(&self) -> u64 {
        self.strangers.seen().values().map(|stranger| stranger.rows).sum()
    }

    /// Measures service levels by what the rows themselves say.
    pub(super) fn measure(&mut self, batch: &Batch) -> Result<(), Error> {
        for row in 0..batch.len() {
            for meter in &mut self.meters {
                record_row(meter, batch.meta(), row)?;
            }
        }
        Ok(())
    }

    /// What the metrics show, without the service levels: those are much to sum up.
    pub(super) fn standing(&self, stale: &[&Alert], now: Timestamp) -> Standing {
        let mut detectors = self.main.monitor.report();
        detectors.extend(self.checks.stream_reports(now));
        unless_stale(&mut detectors, None, stale);
        detectors.extend(self.version_views(stale, now).into_iter().flat_map(|view| view.detectors));
        for (version, report) in self.labels.stream_reports(now) {
            let mut report = [report];
            unless_stale(&mut report, version, stale);
            detectors.extend(report);
        }
        Standing {
            model: self.model().to_owned(),
            detectors,
            effects: self.main.effects.clone(),
            checks: self.checks.reports(),
            risks: self.labels.risks(now),
        }
    }

    fn version_views(&self, stale: &[&Alert], now: Timestamp) -> Vec<VersionView> {
        let mut views: Vec<VersionView> =
            self.versions.iter().map(|(v, judge)| VersionView::of(v, judge)).collect();
        for view in &mut views {
            view.performance = self.labels.report(Some(&view.version), now);
        }
        if self.strangers.are_there(now) {
            views.push(VersionView {
                version: OTHERS.to_owned(),
                baseline: None,
                rows: self.strangers.monitor.rows(),
                detectors: self.strangers.report(&self.main.baseline, &self.main.monitor.report()),
                effects: Vec::new(),
                unexpected: BTreeMap::new(),
                performance: None,
            });
        }
        for view in &mut views {
            unless_stale(&mut view.detectors, Some(&view.version), stale);
            let version = view.version.clone();
            view.performance
                .iter_mut()
                .for_each(|report| performance_unless_stale(report, Some(&version), stale));
        }
        views
    }

    /// How it stands, but for the service levels: their meters come along to be summed up by
    /// [`Snapshot::view`], when the engine is held no longer.
    pub(super) fn snapshot(&self, stale: &[&Alert], now: Timestamp) -> Snapshot {
        let judges = self.versions.values().map(|judge| &judge.monitor);
        let rows =
            judges.chain([&self.main.monitor, &self.strangers.monitor]).map(detect::Monitor::rows).sum();
        let baseline = &self.main.baseline;
        let mut detectors = self.main.monitor.report();
        detectors.extend(self.checks.stream_reports(now));
        unless_stale(&mut detectors, None, stale);
        let mut performance = self.labels.report(None, now);
        performance.iter_mut().for_each(|report| performance_unless_stale(report, None, stale));
        let seen = self.strangers.seen().iter().map(|(name, stranger)| (name.clone(), stranger.rows));
        let view = ModelView {
            model: self.model().to_owned(),
            version: self.schema().version.clone(),
            baseline: baseline.content_hash().to_owned(),
            budget: baseline.budget().to_string(),
            rate: baseline.rate(),
            rows,
            last_arrival: self.last_arrival,
            without: self.without.clone(),
            detectors,
            effects: self.main.effects.clone(),
            slos: Vec::new(),
            unexpected: self.main.unexpected.clone(),
            other_versions: self.schema().version.is_some().then(|| seen.collect()),
            versions: self.version_views(stale, now),
            relearnt: self.strangers.relearnt(baseline, &self.paused(now)),
            coverage_min: self.coverage_min,
            recent: None,
            answer_checks: self.checks.reports().into_iter().map(CheckView::of).collect(),
            performance,
            labels: self.labels.view(),
        };
        Snapshot { view, meters: self.meters.clone() }
    }

    /// All evidence, to be kept across a restart.
    pub(super) fn save(&self) -> Evidence {
        let saved = |(version, judge): (&String, &Judge)| (version.clone(), judge.monitor.save());
        Evidence {
            model: self.model().to_owned(),
            saved: self.main.monitor.save(),
            versions: self.versions.iter().map(saved).collect(),
            others: self.strangers.are_there_at_all().then(|| self.strangers.monitor.save()),
            seen: self.strangers.seen().clone(),
            checks: self.checks.save(),
            labels: Some(self.labels.save()),
        }
    }

    /// Goes on from evidence; answers why some was left behind, by the version that it is of.
    pub(super) fn restore(&mut self, evidence: Evidence) -> Vec<(Option<String>, String)> {
        let mut refused = Vec::new();
        let mut refuse = |version: Option<&str>, error: detect::Error| {
            refused.push((version.map(str::to_owned), error.to_string()));
        };
        let main = self.main.monitor.restore(evidence.saved);
        let is_main_known = main.is_ok();
        main.unwrap_or_else(|error| refuse(None, error));
        for (version, saved) in evidence.versions {
            match self.versions.get_mut(&version).map(|judge| judge.monitor.restore(saved)) {
                Some(Ok(())) => {}
                Some(Err(error)) => refuse(Some(&version), error),
                None => refuse(Some(&version), detect::Error::StateOfAnother),
            }
        }
        // Which versions are strangers depends on the model's baseline alone; and the alerts of checks end with it.
        if is_main_known {
            self.checks.restore(evidence.checks);
            let others = evidence.others.map_or(Ok(()), |saved| self.strangers.monitor.restore(saved));
            others.unwrap_or_else(|error| refuse(Some(OTHERS), error));
            let mut seen = evidence.seen;
            // One that was given a baseline just before the end.
            seen.retain(|version, _| self.baseline_of(version).is_none());
            self.strangers.resume(seen);
        }
        // Apart from the others: a risk that begins anew leaves their alerts open.
        for version in evidence.labels.map_or_else(Vec::new, |saved| self.labels.restore(saved)) {
            let model = self.model();
            tracing::warn!(
                model,
                version,
                "what labels showed is left behind: it is of another baseline or tolerance"
            );
        }
        refused
    }

    /// Whether an open alert still has the evidence that could end it, once `refused` was left behind.
    pub(super) fn holds(&self, alert: &Alert, refused: &BTreeSet<Option<String>>) -> bool {
        if let Some(holds) = self.labels.holds(alert) {
            return holds;
        }
        match &alert.version {
            Some(version) if alert.kind == VERSION_KIND => self.strangers.seen().contains_key(version),
            Some(version) if version == OTHERS => {
                self.strangers.are_there_at_all() && !refused.contains(&alert.version)
            }
            Some(version) => self.versions.contains_key(version) && !refused.contains(&alert.version),
            None if alert.group == Schema::OUTPUT_GROUP => {
                let is_held = self.main.monitor.holds(&alert.group) || self.checks.hold();
                is_held && !refused.contains(&None)
            }
            None => !refused.contains(&None),
        }
    }
}

/// What is latched under an alert too old to be believed is undecided.
fn unless_stale(reports: &mut [StreamReport], version: Option<&str>, stale: &[&Alert]) {
    for report in reports.iter_mut().filter(|report| report.state == StreamState::Drifted) {
        let is_its = |alert: &&&Alert| alert.version.as_deref() == version && alert.group == report.group;
        if stale.iter().find(is_its).is_some_and(|alert| alert.state == State::Stale) {
            report.state = StreamState::Undecided(Undecided::Stale);
        }
    }
}

/// The same of a risk whose alert is too old to be believed.
fn performance_unless_stale(report: &mut PerformanceReport, version: Option<&str>, stale: &[&Alert]) {
    let is_its =
        |alert: &&&Alert| alert.version.as_deref() == version && alert.group == Schema::PERFORMANCE_GROUP;
    if report.state == StreamState::Drifted && stale.iter().any(|alert| is_its(&alert)) {
        report.state = StreamState::Undecided(Undecided::Stale);
    }
}
