//! A model's answers held against known ones, and how that joins the ledger's alert of the same group.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::engine::{Engine, ModelSetup};
use super::labels::LabelSettings;
use crate::alert::{Alert, Change};
use crate::detect::{
    Alarm, Answered, Check, CheckReport, Checker, Finding, Held, Outcome, Share, StreamReport, Terms,
    Unanswered,
};
use crate::record::Schema;
use crate::units::Timestamp;

/// Stands in an alert between the words of who opened it and those of a check.
const BESIDE: &str = "; beside that, ";

/// The checks of one model that are configured and not switched off.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Checker>);

impl Checks {
    pub(super) fn new(setup: &ModelSetup) -> Self {
        let known = setup.known_answers.as_ref().map(|known| {
            let requests = known.requests.iter().map(|request| request.name.clone()).collect();
            Checker::new(Terms::Known { requests, patience: known.patience() }, known.fingerprint())
        });
        let pinned = setup.pinned.as_ref().map(|pinned| Checker::new(Terms::Sampled, pinned.fingerprint()));
        let is_on = |checker: &Checker| !setup.without.iter().any(|name| name == checker.check().name());
        Self(known.into_iter().chain(pinned).filter(is_on).collect())
    }

    /// Whether a check is configured, and not switched off.
    pub(super) fn has(&self, check: Check) -> bool {
        self.0.iter().any(|checker| checker.check() == check)
    }

    pub(super) fn take(&mut self, check: Check, answered: Answered, now: Timestamp) -> Option<Finding> {
        self.0.iter_mut().find(|checker| checker.check() == check)?.take(answered, now)
    }

    /// Whether the alarm of any is open.
    pub(super) fn hold(&self) -> bool {
        self.0.iter().any(Checker::holds)
    }

    /// Whether the pinned copy has an open alarm.
    pub(super) fn accuses(&self) -> bool {
        self.holds_but(Check::KnownAnswer)
    }

    /// Whether the alarm of another is open.
    pub(super) fn holds_but(&self, check: Check) -> bool {
        self.0.iter().any(|checker| checker.check() != check && checker.holds())
    }

    /// The ledger's findings, as long as an alert of the model's answers is open here: its detectors join that
    /// one, and do not end it.
    pub(super) fn join(&self, findings: Vec<Finding>) -> Vec<Finding> {
        if !self.hold() {
            return findings;
        }
        findings.into_iter().flat_map(joined).collect()
    }

    pub(super) fn accept(&mut self, group: &str) {
        if group == Schema::OUTPUT_GROUP {
            self.0.iter_mut().for_each(Checker::accept);
        }
    }

    /// Begins anew with another baseline.
    pub(super) fn forget(&mut self) {
        self.0.iter_mut().for_each(Checker::forget);
    }

    pub(super) fn stream_reports(&self, now: Timestamp) -> Vec<StreamReport> {
        self.0.iter().map(|checker| checker.stream_report(now)).collect()
    }

    pub(super) fn reports(&self) -> Vec<CheckReport> {
        self.0.iter().map(Checker::report).collect()
    }

    pub(super) fn save(&self) -> BTreeMap<Check, Held> {
        self.0.iter().map(|checker| (checker.check(), checker.save())).collect()
    }

    pub(super) fn restore(&mut self, mut held: BTreeMap<Check, Held>) {
        for checker in &mut self.0 {
            let Some(held) = held.remove(&checker.check()) else { continue };
            if !checker.restore(held) {
                let detector = checker.check().name();
                tracing::warn!(detector, "what it found is left behind: it was found by other settings");
            }
        }
    }
}

/// The hash of what judges beside the baselines' detectors: known answers, the pinned copy, and labels; without
/// secrets.
pub(super) fn settings_hash(setup: &ModelSetup) -> String {
    let known = setup.known_answers.as_ref().map(|known| (known.fingerprint(), known.every, known.timeout));
    let pinned = setup.pinned.as_ref().map(|pinned| (pinned.fingerprint(), pinned.share, pinned.timeout));
    let LabelSettings { budget, tolerance, wait, silent_after, .. } = setup.labels;
    let labels = (budget, tolerance, wait, silent_after);
    let all = format!("{known:?} {pinned:?} {labels:?} {:?}", setup.without);
    Sha256::digest(all.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A finding of the ledger beside the open alert of a check.
fn joined(finding: Finding) -> Vec<Finding> {
    match finding {
        Finding::Raised(alarm) if alarm.group == Schema::OUTPUT_GROUP => {
            let fired = alarm.shares.into_iter().filter(|share| share.fired);
            let further = |detector: String| Finding::Fired {
                group: alarm.group.clone(),
                detector,
                features: alarm.features.clone(),
                row: alarm.row,
                ts: alarm.ts,
            };
            fired.map(|share| further(share.detector)).collect()
        }
        Finding::Resolved { group, .. } if group == Schema::OUTPUT_GROUP => Vec::new(),
        other => vec![other],
    }
}

/// The word of an outcome in metrics.
const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Right => "right",
        Outcome::Wrong { .. } => "wrong",
        Outcome::Unanswered(why) => why.name(),
    }
}

impl Engine {
    /// Takes what became of questions about a model.
    pub(super) fn checked(
        &mut self,
        model: &str,
        check: Check,
        answers: Vec<Answered>,
        now: Timestamp,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for answered in answers {
            let watched = self.models.get_mut(model).filter(|watched| watched.checks.has(check));
            let Some(watched) = watched else { continue };
            self.metrics.answers_checked(model, check.name(), word(&answered.outcome), 1);
            let Some(finding) = watched.checked(check, answered, now) else { continue };
            let told = match finding {
                Finding::Raised(alarm) => self.beside(model, alarm),
                ended => vec![ended],
            };
            changes.extend(told.iter().flat_map(|finding| self.alerts.observe(model, finding, now)));
        }
        changes
    }

    /// An alarm as the group's alert takes it: where another detector opened that one, its words come first, and
    /// those of this one behind them.
    fn beside(&self, model: &str, alarm: Alarm) -> Vec<Finding> {
        let is_its =
            |alert: &&Alert| alert.model == model && alert.version.is_none() && alert.group == alarm.group;
        let anothers = self.alerts.open().find(is_its).filter(|alert| alert.detector != alarm.detector);
        let Some(alert) = anothers else { return vec![Finding::Raised(alarm)] };
        let first = alert.message.split(BESIDE).next().unwrap_or("");
        let message = format!("{first}{BESIDE}{}", alarm.message);
        let is_new = |share: &&Share| alert.shares.iter().all(|known| known.detector != share.detector);
        let shares = alert.shares.iter().chain(alarm.shares.iter().filter(is_new)).cloned().collect();
        let joint = Alarm { message, shares, features: alert.features.clone(), ..alarm.clone() };
        let mut told = joined(Finding::Raised(alarm));
        told.push(Finding::Raised(joint));
        told
    }

    /// Questions of all models that had no answer, by model, check and reason.
    pub(super) fn unanswered(&self) -> BTreeMap<(String, &'static str, &'static str), u64> {
        let of = |(name, model): (&String, &super::model::Watched)| {
            let name = name.clone();
            let reports = model.checks.reports().into_iter();
            reports.flat_map(move |report| {
                let name = name.clone();
                let detector = report.detector;
                report.unanswered.into_iter().map(move |(why, n)| ((name.clone(), detector, why), n))
            })
        };
        self.models.iter().flat_map(of).collect()
    }

    /// Every result of every check stands at 0 from the beginning.
    pub(super) fn show_checks(&self) {
        let reasons = Unanswered::ALL.map(Unanswered::name);
        for (name, model) in &self.models {
            for check in Check::ALL.into_iter().filter(|check| model.checks.has(*check)) {
                for result in ["right", "wrong"].into_iter().chain(reasons) {
                    self.metrics.answers_checked(name, check.name(), result, 0);
                }
            }
        }
    }
}
