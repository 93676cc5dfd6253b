use serde::Serialize;

use super::HARMFUL_SHIFT;
use super::bets::{Bets, Rise};
use super::loss::Loss;
use super::performance::Performance;
use super::skew::{Skew, SkewReport};
use crate::detect::diagnosis::{Diagnosis, Harm};
use crate::detect::{Alarm, Promise, Share, StreamReport, StreamState, Undecided};
use crate::record::Schema;
use crate::units::{Ratio, Timestamp, count};

/// The chance that a risk is ever outside of its limits.
const ALPHA: f64 = 0.05;
/// A risk so many times the tolerated one must have had the time to alarm before the detector is quiet.
const RISE: f64 = 2.0;
/// Evidence of this part of the threshold is no quiet any more.
const GATHERING_SHARE: f64 = 0.1;
/// Where more of the last labels than this part cannot be scored, the others do not stand for them.
const UNSCORED_MAX: Ratio = Ratio::one_in(20);

/// How well a model does, as far as labels tell.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct PerformanceReport {
    /// Whether its risk rose: quiet, drifted, or undecided and why.
    #[serde(flatten)]
    pub state: StreamState,
    /// What an answer costs: `wrong` (another class than the true one), `brier` or `absolute_error`, each from 0 to
    /// 1; null where nobody can say.
    pub loss: Option<&'static str>,
    /// Labelled rows that were scored.
    pub labels: u64,
    /// Labelled rows of which nobody can say whether they are right: no answer, or a label of no known class.
    pub unscored: u64,
    /// Scored rows that do not count in the risk: another row of their request was labelled, and judged, before.
    pub apart: u64,
    /// The risk since the last reset; null before the first request is complete.
    pub risk: Option<RiskInterval>,
    /// The risk of the baseline; null where it had no labels, or too few.
    pub baseline: Option<SourceRisk>,
    /// Evidence that the risk rose over its threshold; null where nothing can be compared, and while the alarm stands.
    pub of_threshold: Option<f64>,
    /// Labelled requests between two false alarms, on average at the least; null where nothing can alarm.
    pub budget_requests: Option<f64>,
    /// When the last label came to be known.
    pub last_label: Option<Timestamp>,
    /// When the newest row was answered whose label is known: of later ones nobody knows.
    pub newest_labelled: Option<Timestamp>,
    /// Whether labels come for all kinds of answers alike.
    pub skew: SkewReport,
}

/// A mean loss with its limits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct RiskInterval {
    /// The mean loss, from 0 to 1.
    pub mean: f64,
    /// Lower limit of the mean risk; both hold at all times at once.
    pub lower: f64,
    /// Upper limit.
    pub upper: f64,
    /// The chance that the limits hold always: from `since` to the next alarm or its end, where they begin anew.
    pub confidence: f64,
    /// Labelled requests that it is of.
    pub requests: u64,
    /// When the first of them came to be known: the start, an alarm or its end.
    pub since: Option<Timestamp>,
}

/// The risk that production is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SourceRisk {
    /// The mean loss in the baseline.
    pub mean: f64,
    /// What it is at most in health: the upper confidence limit of the mean, which 95 % of baselines keep, or more
    /// where the baseline's risk is higher at times.
    pub limit: f64,
    /// Whether the budget of the alarm is proven for this model, or calibrated on its baseline.
    pub promise: Promise,
    /// The risk from which on a shift is harmful.
    pub tolerated: f64,
    /// Labelled requests of the baseline.
    pub requests: u64,
}

impl Performance {
    /// How it stands; `fresh` is the time since which rows must have been answered for their labels to be of now.
    #[must_use]
    pub fn report(&self, fresh: Timestamp) -> PerformanceReport {
        let skew = self.state.settled.report();
        PerformanceReport {
            state: self.state_now(fresh, skew.state),
            loss: self.loss.as_ref().map(Loss::name),
            labels: self.state.scored,
            unscored: self.state.unscored,
            apart: self.state.apart,
            risk: self.risk(),
            baseline: self.source(),
            of_threshold: self.of_threshold(),
            budget_requests: (self.options.is_on && self.above.can_win()).then_some(self.options.budget),
            last_label: self.state.last_label,
            newest_labelled: self.state.newest_answer,
            skew,
        }
    }

    /// The same as one line among the detectors'.
    #[must_use]
    pub fn stream_report(&self, fresh: Timestamp) -> StreamReport {
        let state = self.state_now(fresh, self.state.settled.report().state);
        let of_threshold = self.of_threshold();
        StreamReport {
            group: Schema::PERFORMANCE_GROUP.to_owned(),
            detector: HARMFUL_SHIFT,
            of_threshold,
            state,
        }
    }

    /// Whether it may alarm.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.options.is_on
    }

    /// Whether labels are of use here: the baseline has a risk, or some came.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.reference.is_some() || self.state.last_label.is_some()
    }

    fn of_threshold(&self) -> Option<f64> {
        let is_on = self.options.is_on && self.above.can_win();
        let is_judged = is_on && self.state.interval.n() > 0 && !self.state.is_latched;
        is_judged.then(|| self.above.evidence(&self.state.money) / self.options.budget)
    }

    fn state_now(&self, fresh: Timestamp, skew: Skew) -> StreamState {
        let state = &self.state;
        let undecided = |why| StreamState::Undecided(why);
        if !self.options.is_on {
            return undecided(Undecided::SwitchedOff);
        }
        if state.is_accepted {
            return undecided(Undecided::Accepted);
        }
        if state.is_latched {
            return StreamState::Drifted;
        }
        if state.last_label.is_none_or(|last| last < fresh) {
            return undecided(Undecided::NoLabels);
        }
        let Some(tolerated) = self.tolerated else { return undecided(Undecided::NoBaseline) };
        if state.lately.unscored().is_some_and(|share| share > UNSCORED_MAX) {
            return undecided(Undecided::Unscored);
        }
        if skew == Skew::Skewed {
            return undecided(Undecided::Skewed);
        }
        // Labels may come, and of rows of long ago alone.
        if state.newest_answer.is_none_or(|newest| newest < fresh) {
            return undecided(Undecided::NoLabels);
        }
        let risen = if RISE * tolerated < 1.0 { RISE * tolerated } else { f64::midpoint(1.0, tolerated) };
        let needed = self.above.losses_needed(risen, self.options.budget);
        if needed.is_none_or(|needed| count(state.lately.requests_since(fresh)) < needed) {
            return undecided(Undecided::BelowPower);
        }
        let is_calm = self.of_threshold().is_some_and(|evidence| evidence < GATHERING_SHARE);
        match skew {
            _ if !is_calm => undecided(Undecided::Gathering),
            Skew::Even => StreamState::Quiet,
            Skew::TooFewRows | Skew::Skewed => undecided(Undecided::SkewUnknown),
        }
    }

    fn risk(&self) -> Option<RiskInterval> {
        let interval = &self.state.interval;
        let (mean, (lower, upper)) = (interval.mean()?, interval.limits(ALPHA)?);
        let since = self.state.since;
        Some(RiskInterval { mean, lower, upper, confidence: 1.0 - ALPHA, requests: interval.n(), since })
    }

    fn source(&self) -> Option<SourceRisk> {
        let (reference, tolerated) = self.reference.as_ref().zip(self.tolerated)?;
        let (mean, limit) = (reference.risk(), reference.limit());
        let promise = reference.promise();
        Some(SourceRisk { mean, limit, promise, tolerated, requests: reference.requests() })
    }
}

/// The alarm that the risk rose, at a labelled request, before anything is reset.
pub(super) fn alarm(performance: &Performance, evidence: f64, request: u64, known_at: Timestamp) -> Alarm {
    let rise = Bets::rise(&performance.state.money);
    let (since_row, since) = rise.map_or((request, known_at), |rise| (rise.since, rise.since_at));
    let threshold = performance.options.budget;
    Alarm {
        row: request,
        ts: known_at,
        detector: HARMFUL_SHIFT.to_owned(),
        kind: "risk".to_owned(),
        features: vec![performance.answers.name().to_owned()],
        group: Schema::PERFORMANCE_GROUP.to_owned(),
        score: evidence,
        threshold,
        since_row,
        since,
        shares: vec![Share {
            detector: HARMFUL_SHIFT.to_owned(),
            of_threshold: evidence / threshold,
            fired: true,
        }],
        message: message(performance, rise),
        diagnosis: Box::new(Diagnosis { harm: harm(performance, rise), ..Diagnosis::default() }),
    }
}

/// What it does to decisions, where labels are of classes. Why, they do not tell.
fn harm(performance: &Performance, rise: Option<Rise>) -> Harm {
    match (&performance.loss, performance.source(), rise) {
        (Some(Loss::Wrong { .. }), Some(source), Some(Rise { mean, n, .. })) => {
            let more_wrong_per_1000 = 1_000.0 * (mean - source.mean);
            Harm::Labelled { more_wrong_per_1000, requests: n }
        }
        _ => Harm::unknown("labels tell what answers cost, and not how many decisions are wrong"),
    }
}

fn message(performance: &Performance, rise: Option<Rise>) -> String {
    // Not that of the answers, whose own alarms begin and end by other evidence.
    let group = Schema::PERFORMANCE_GROUP;
    let (Some(source), Some(Rise { since_at, mean, n, .. })) = (performance.source(), rise) else {
        return format!("`{group}`: the risk rose");
    };
    let what = match performance.loss {
        Some(Loss::Wrong { .. }) => "share of wrong answers",
        Some(Loss::Brier) => "Brier score",
        Some(Loss::Absolute { .. }) | None => "scaled absolute error",
    };
    format!(
        "`{group}`: {what} {mean:.3} in {n} labelled requests since {since_at}; baseline {:.3} (at most {:.3}), \
         tolerated {:.3}",
        source.mean, source.limit, source.tolerated
    )
}
