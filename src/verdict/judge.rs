use std::collections::BTreeMap;
use std::time::Duration;

use super::control::false_alarms;
use super::detection::{FaultCase, judge_fault};
use super::effect::{self, visibility};
use super::episode::Episode;
use super::expectation::held;
use super::headline::{Facts, headline};
use super::marks::Marks;
use super::recovery::recovery;
use super::validity::validity;
use super::{
    Clock, Evidence, FaultVerdict, Hypothesis, Impact, Known, Provenance, Score, SloObjective, Slos, Tap,
    Trial, Verdict, score,
};
use crate::alert::Timeline;
use crate::chaos::{Effect, Experiment, Journal};
use crate::slo::Report;
use crate::units::Ratio;

/// Everything that a run left behind.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The run's id.
    pub run: &'a str,
    /// What was planned, with the verdict that it has to earn.
    pub experiment: &'a Experiment,
    /// What was done.
    pub journal: &'a Journal,
    /// What was told.
    pub timeline: &'a Timeline,
    /// What the service levels saw, over [`super::phases`].
    pub slos: &'a [Report],
    /// What a witness saw of each fault's group, by the fault's id.
    pub evidence: &'a BTreeMap<String, Evidence>,
    /// What passed the tap.
    pub tap: &'a Tap,
    /// What the detectors could have told at all.
    pub watch: Watch,
    /// What the times are worth.
    pub clock: Clock,
    /// Requests with a known answer, sent after the restore; absent when none were.
    pub known_answers: Option<KnownAnswers>,
    /// Hashes before the run.
    pub frozen_before: &'a Frozen,
    /// The same after it.
    pub frozen_after: &'a Frozen,
    /// silentry's version and whatever else had one.
    pub versions: &'a BTreeMap<String, String>,
    /// What fed every random choice.
    pub seed: u64,
    /// What a run may fall short of.
    pub limits: Limits,
}

/// What the detectors could have told at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// Detectors in groups that were quiet or drifted at the end: the others knew nothing.
    pub decided: u64,
    /// Whether the timeline still has everything since the run began.
    pub timeline_whole: bool,
}

/// What must not change during a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The hash of the experiment: expectations, budgets, severities.
    pub experiment: String,
    /// The hash of the detectors' configuration.
    pub detectors: String,
    /// The hash of the baseline.
    pub baseline: String,
}

/// Requests sent after the restore whose answers were known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownAnswers {
    /// Sent.
    pub asked: u64,
    /// Answered as before the fault.
    pub right: u64,
}

/// What a run may fall short of and still be judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The largest share of rows that the tap may lose.
    pub tap_loss_max: Ratio,
    /// The fewest rows that a run is judged by.
    pub rows_min: u64,
    /// The most false alarms of a pass.
    pub false_alarms_max: u64,
    /// How long after its restore a fault's last requests and alarms may come.
    pub in_flight: Duration,
    /// The most that the sender's clock may be off.
    pub clock_offset_max: Duration,
    /// Good rows after the last harmed one that show a fault to be gone.
    pub clean_rows_min: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tap_loss_max: TAP_LOSS_MAX,
            rows_min: 100,
            false_alarms_max: 0,
            in_flight: Duration::from_secs(3),
            clock_offset_max: Duration::from_secs(1),
            clean_rows_min: 20,
        }
    }
}

/// One row in a hundred.
const TAP_LOSS_MAX: Ratio = Ratio::one_in(100);

/// The rule of service levels, as the verdict states it.
const SLO_RULE: &str = "an objective is broken when it does not hold over the fault window, from the first \
    fault's activity to the last one's restore and the requests then in flight, or over the whole run from \
    the steady phase to its end; percentiles are of all requests of the span, timed from their intended \
    start; only ordinary objectives make a fault loud";

/// Judges a run: pure, and the same for runs that are live, replayed, imported or made up.
#[must_use]
pub fn judge(input: &Input<'_>) -> Verdict {
    let marks = Marks::read(input.journal);
    let episodes = Episode::all(input.timeline);
    let visibility = visibility(input);
    let (status, mut because) = validity(input, &marks);
    let case = FaultCase { input, marks: &marks, episodes: &episodes, visibility };
    let judged: Vec<_> = input.experiment.faults.iter().map(|fault| judge_fault(&case, fault)).collect();
    let (shams, trials): (Vec<_>, Vec<_>) =
        judged.iter().filter_map(|j| j.trial.map(|t| (j.verdict.sham, t))).partition(|(sham, _)| *sham);
    let faults: Vec<FaultVerdict> = judged.into_iter().map(|j| j.verdict).collect();
    let effect = effect::overall(&faults);
    let false_alarms = false_alarms(input, &marks, &episodes);
    let ended = recovery(input, &marks, &episodes);
    let facts = Facts {
        status,
        sham: input.experiment.is_sham(),
        decided: input.watch.decided,
        effect,
        visibility,
        faults: &faults,
        false_alarms: &false_alarms,
        recovery: ended.recovery,
    };
    let (headline, reasons) = headline(&facts);
    because.extend(reasons);
    because.extend(ended.because);
    because.extend(unmeasured(input));
    let mut verdict = Verdict {
        schema: Verdict::SCHEMA.to_owned(),
        run: input.run.to_owned(),
        experiment: input.experiment.name.clone(),
        status,
        effect,
        visibility,
        headline,
        impact: impact(&faults, effect),
        score: run_score(&trials, &shams, input),
        faults,
        slo: Slos {
            rule: SLO_RULE.to_owned(),
            objectives: input.slos.iter().map(SloObjective::from).collect(),
        },
        false_alarms,
        recovery: ended.recovery,
        recovered_ms: ended.recovered_ms,
        hypothesis: Hypothesis { text: input.experiment.hypothesis.clone(), held: None, because },
        provenance: provenance(input, &marks),
    };
    verdict.hypothesis.held = held(&verdict, &input.experiment.expect);
    verdict
}

/// Objectives of the experiment that nobody measured: not even an unordinary one goes missing unsaid.
fn unmeasured(input: &Input<'_>) -> Vec<String> {
    let measured = |name: &str| input.slos.iter().any(|report| report.name == name);
    let missing = input.experiment.slos.iter().filter(|slo| !measured(&slo.name));
    missing.map(|slo| format!("service level `{}` was not measured", slo.name)).collect()
}

/// What the run would add to a score over many.
fn run_score(faults: &[(bool, Trial)], shams: &[(bool, Trial)], input: &Input<'_>) -> Score {
    let faults: Vec<Trial> = faults.iter().map(|(_, trial)| *trial).collect();
    let shams: Vec<Ratio> = shams.iter().map(|(_, trial)| trial.credit).collect();
    let declared = input.experiment.faults.iter().filter(|f| !f.is_sham()).count();
    score(&faults, &shams, u64::try_from(declared).unwrap_or(u64::MAX))
}

fn impact(faults: &[FaultVerdict], effect: Effect) -> Impact {
    Impact {
        rows_served_wrong: rows_by_group(faults, effect, |e| e.during.changed),
        rows_failed: rows_by_group(faults, effect, |e| e.during.failed),
        flipped_decisions: Known::unknown("the model was not asked again with the true features"),
        control_against_treatment: Known::unknown("the run had no control arm"),
    }
}

/// Rows of all groups, each group once however many faults it had.
fn rows_by_group(faults: &[FaultVerdict], effect: Effect, rows: fn(&Evidence) -> u64) -> Known {
    if effect == Effect::Unverified {
        return Known::unknown("the service did not say what it knew about its features");
    }
    let mut groups: BTreeMap<&str, u64> = BTreeMap::new();
    for fault in faults {
        match &fault.evidence {
            Some(evidence) => groups.insert(&fault.group, rows(evidence)),
            None => return Known::unknown("no witness watched the rows"),
        };
    }
    Known::is(groups.values().sum())
}

fn provenance(input: &Input<'_>, marks: &Marks) -> Provenance {
    Provenance {
        seed: input.seed,
        versions: input.versions.clone(),
        experiment_hash: input.frozen_before.experiment.clone(),
        detectors_hash: input.frozen_before.detectors.clone(),
        baseline_hash: input.frozen_before.baseline.clone(),
        started: marks.started,
        ended: marks.ended,
        tap: input.tap.clone(),
        clock: input.clock,
    }
}
