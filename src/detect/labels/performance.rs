use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bets::{At, Bets, Money};
use super::interval::Interval;
use super::lately::Lately;
use super::loss::{Answer, Answers, Loss, Truth};
use super::reference::Reference;
use super::report::alarm;
use super::requests::{Ended, Requests};
use super::skew::{Settled, kind_of};
use crate::detect::Finding;
use crate::record::Schema;
use crate::units::{Ratio, Timestamp};

/// Labelled requests between two recoveries of a model that has not recovered, on average at the least.
const RECOVERY_REQUESTS: f64 = 100.0;

/// What the alarm of a risk that rose is allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HarmOptions {
    /// By which part the risk may be above the limit of the baseline's before it is harmful.
    pub tolerance: Ratio,
    /// Labelled requests between two false alarms, on average at the least: above 1.
    pub budget: f64,
    /// Only labels of rows that were answered within so long say how well the model does now.
    pub lately: Duration,
    /// Whether it may alarm: without, labels are scored all the same.
    pub is_on: bool,
}

/// One answer with its label.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// The request, where it has a name.
    pub request: Option<&'a str>,
    /// Whether another row of the request had its label before.
    pub is_later: bool,
    /// What the model answered.
    pub answer: Option<&'a Answer>,
    /// What was right.
    pub truth: &'a Truth,
    /// When the model answered.
    pub answered_at: Timestamp,
    /// When the label came to be known.
    pub known_at: Timestamp,
}

/// How well a model does against one baseline: its risk, whether it rose, and whether labels stand for all rows.
///
/// The null hypothesis of the alarm is that the expected loss of the next labelled request, given all before in
/// the order in which labels come, is at most the tolerated risk: the upper limit of the baseline's, raised by
/// the tolerance. As long as it holds, the mean number of labelled requests to an alarm is at least the budget,
/// for 95 % of baselines whose requests are independent; where they are not, the limit is raised until the baseline
/// itself keeps the budget ([`Reference::promise`] says which). Of a request whose labels do not come side by side
/// the first ones count. Labels that come sooner for wrong answers than for
/// right ones break it, and no skew by kind of answer shows that.
///
/// A false recovery ends no watch: the bets begin anew, and a risk that is still too high is told again.
///
/// # Source
/// Podkopaev and Ramdas (2022), arXiv 2110.06177, with the e-detectors of arXiv 2203.03532.
#[derive(Debug, Clone, PartialEq)]
pub struct Performance {
    pub(super) answers: Answers,
    pub(super) loss: Option<Loss>,
    pub(super) reference: Option<Reference>,
    /// The risk from which on a shift is harmful; nothing without a reference.
    pub(super) tolerated: Option<f64>,
    pub(super) options: HarmOptions,
    pub(super) above: Bets,
    below: Bets,
    pub(super) state: SavedPerformance,
}

/// All that labels showed so far, to be kept across a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPerformance {
    /// Of what it is: the tolerated risk and the loss.
    of: String,
    /// Labelled rows that were scored, and those of which nobody can say whether they are right.
    pub(super) scored: u64,
    pub(super) unscored: u64,
    /// Scored rows whose request was judged before they had their label.
    pub(super) apart: u64,
    /// Labelled requests that were judged.
    pub(super) requests: u64,
    pub(super) lately: Lately,
    open: Requests,
    pub(super) interval: Interval,
    /// When the last label came to be known, and when the newest row was answered whose label is known.
    pub(super) last_label: Option<Timestamp>,
    pub(super) newest_answer: Option<Timestamp>,
    /// The first label since the last reset.
    pub(super) since: Option<Timestamp>,
    pub(super) money: Vec<Money>,
    recovering: Vec<Money>,
    pub(super) is_latched: bool,
    pub(super) is_accepted: bool,
    pub(super) settled: Settled,
}

impl Performance {
    /// At rest, against what a baseline says of labels; without that, labels are scored where the schema says
    /// how, and nothing alarms.
    #[must_use]
    pub fn new(schema: &Arc<Schema>, reference: Option<Reference>, options: HarmOptions) -> Self {
        let answers = Answers::of(schema);
        let loss = reference.as_ref().map(|reference| reference.loss().clone()).or_else(|| answers.loss());
        let tolerated = reference.as_ref().map(|r| r.limit() * (1.0 + options.tolerance.get()));
        // Nothing is above a risk of 1, and no bet is made.
        let level = tolerated.unwrap_or(1.0);
        let mut performance = Self {
            state: SavedPerformance {
                of: format!("{level} {loss:?}"),
                scored: 0,
                unscored: 0,
                apart: 0,
                requests: 0,
                lately: Lately::default(),
                open: Requests::default(),
                interval: Interval::default(),
                last_label: None,
                newest_answer: None,
                since: None,
                money: Vec::new(),
                recovering: Vec::new(),
                is_latched: false,
                is_accepted: false,
                settled: Settled::default(),
            },
            answers,
            loss,
            reference,
            tolerated,
            options,
            above: Bets::above(level),
            below: Bets::below(level),
        };
        performance.reset(At { number: 0, ts: Timestamp::from_micros(0) });
        performance
    }

    /// Where answers are found in rows of its schema.
    #[must_use]
    pub const fn answers(&self) -> &Answers {
        &self.answers
    }

    /// What it is held against, as text: the same for the same baseline and tolerance.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.state.of
    }

    /// Everything about the risk begins anew; what is known of the skew stays.
    fn reset(&mut self, at: At) {
        let state = &mut self.state;
        state.interval = Interval::default();
        state.since = None;
        state.lately.forget_requests();
        state.money = self.above.rest(at);
        state.recovering = self.below.rest(at);
    }

    /// Takes one answer with its label, in the order in which labels come.
    pub fn observe(&mut self, scored: &Scored<'_>) -> Option<Finding> {
        let answer = self.loss.as_ref().zip(scored.answer);
        let loss = answer.and_then(|(loss, answer)| loss.of(&self.answers, answer, scored.truth));
        let state = &mut self.state;
        state.last_label = state.last_label.max(Some(scored.known_at));
        state.since.get_or_insert(scored.known_at);
        state.lately.label(loss.is_some());
        let Some(loss) = loss else {
            state.unscored += 1;
            return None;
        };
        state.newest_answer = state.newest_answer.max(Some(scored.answered_at));
        state.scored += 1;
        if scored.is_later && !state.open.is_open(scored.request) {
            // Its request is judged: a second time would count what is one as two.
            state.apart += 1;
            return None;
        }
        let ended = state.open.push(scored.request, loss, scored.answered_at)?;
        self.judge(ended, scored.known_at)
    }

    /// Takes a request that is complete.
    fn judge(&mut self, Ended { loss, answered_at }: Ended, known_at: Timestamp) -> Option<Finding> {
        let state = &mut self.state;
        state.interval.push(loss);
        state.lately.request(answered_at, self.options.lately);
        let at = At { number: state.requests, ts: answered_at };
        state.requests += 1;
        if state.is_accepted || !self.options.is_on || !self.above.can_win() {
            return None;
        }
        if state.is_latched {
            let evidence = self.below.push(&mut state.recovering, loss, at);
            if !(self.below.can_win() && evidence >= RECOVERY_REQUESTS) {
                return None;
            }
            state.is_latched = false;
            self.reset(at);
            return Some(Finding::Resolved {
                group: Schema::PERFORMANCE_GROUP.to_owned(),
                row: at.number,
                ts: known_at,
            });
        }
        let evidence = self.above.push(&mut state.money, loss, at);
        if evidence.is_nan() || evidence < self.options.budget {
            return None;
        }
        let alarm = alarm(self, evidence, at.number, known_at);
        self.state.is_latched = true;
        self.reset(at);
        Some(Finding::Raised(alarm))
    }

    /// Takes a row that waits for its label from now on, or has one already.
    pub fn wait(&mut self, answer: Option<&Answer>, is_labelled: bool) {
        if let Some(kind) = self.kind(answer) {
            self.state.settled.wait(&kind, is_labelled);
        }
    }

    /// Takes note that a row that waits has its label now.
    pub fn labelled(&mut self, answer: Option<&Answer>) {
        if let Some(kind) = self.kind(answer) {
            self.state.settled.label(&kind);
        }
    }

    /// Takes a row that waited and does so no longer, with a label or without one.
    pub fn leave(&mut self, answer: Option<&Answer>, is_labelled: bool) {
        if let Some(kind) = self.kind(answer) {
            self.state.settled.leave(&kind, is_labelled);
        }
    }

    /// Takes a row that never waits: it came with its label, or never gets one.
    pub fn settle(&mut self, answer: Option<&Answer>, is_labelled: bool) {
        if let Some(kind) = self.kind(answer) {
            self.state.settled.push(&kind, is_labelled);
        }
    }

    fn kind(&self, answer: Option<&Answer>) -> Option<String> {
        let (loss, answer) = self.loss.as_ref().zip(answer)?;
        let edges = self.reference.as_ref().map_or(&[][..], Reference::edges);
        Some(kind_of(loss, &self.answers, edges, answer))
    }

    /// Takes the change for meant: nothing is judged until there is another baseline.
    pub const fn accept(&mut self) {
        self.state.is_accepted = true;
        self.state.is_latched = false;
    }

    /// Labelled rows of which nobody can say whether they are right.
    #[must_use]
    pub const fn unscored(&self) -> u64 {
        self.state.unscored
    }

    /// Whether its alarm stands.
    #[must_use]
    pub const fn is_latched(&self) -> bool {
        self.state.is_latched
    }

    /// All that labels showed so far.
    #[must_use]
    pub fn save(&self) -> SavedPerformance {
        self.state.clone()
    }

    /// Goes on from what was saved.
    ///
    /// # Errors
    /// [`crate::detect::Error::StateOfAnother`] when that was held against something else.
    pub fn restore(&mut self, saved: SavedPerformance) -> Result<(), crate::detect::Error> {
        let fits =
            saved.of == self.state.of && self.above.fits(&saved.money) && self.below.fits(&saved.recovering);
        if !fits {
            return Err(crate::detect::Error::StateOfAnother);
        }
        self.state = saved;
        // Nothing could end it any more.
        self.state.is_latched &= self.options.is_on;
        Ok(())
    }
}
