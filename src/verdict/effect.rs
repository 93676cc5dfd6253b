use super::{EffectBy, Evidence, FaultVerdict, Input};
use crate::chaos::{Effect, Fault, Visibility};
use crate::slo::Report;
use crate::units::Timestamp;

/// What a fault did, as far as can be proven without any detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Proof {
    pub(super) effect: Effect,
    pub(super) by: Option<EffectBy>,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

/// The proof of one fault's effect: rows first, then failed requests, then ordinary levels.
pub(super) fn proof(input: &Input<'_>, fault: &Fault) -> Proof {
    let evidence = input.evidence.get(&fault.id);
    evidence.and_then(by_rows).or_else(|| by_slo(input, fault)).unwrap_or(Proof {
        effect: evidence.map_or(Effect::Unverified, Evidence::effect),
        by: None,
        from: None,
        to: None,
    })
}

fn by_rows(evidence: &Evidence) -> Option<Proof> {
    let effective = |by, from, to| Some(Proof { effect: Effect::Effective, by: Some(by), from, to });
    if evidence.changed() {
        return effective(EffectBy::FeatureStatus, evidence.first_changed, evidence.last_changed);
    }
    if evidence.failed() {
        return effective(EffectBy::RowStatus, evidence.first_failed, evidence.last_failed);
    }
    None
}

/// An ordinary objective that held before and broke during the fault; a sham cannot have done that.
fn by_slo(input: &Input<'_>, fault: &Fault) -> Option<Proof> {
    if fault.is_sham() {
        return None;
    }
    let broke = |r: &&Report| r.ordinary && r.steady.met == Some(true) && r.fault.met == Some(false);
    let from = input.slos.iter().filter(broke).filter_map(|r| r.fault.first_breach).min()?;
    Some(Proof { effect: Effect::Effective, by: Some(EffectBy::Slo), from: Some(from), to: None })
}

/// The effect of the run: the least certain of the faults that were meant to have one.
pub(super) fn overall(faults: &[FaultVerdict]) -> Effect {
    let sham = faults.iter().all(|f| f.sham);
    let mut effects = faults.iter().filter(|f| sham || !f.sham).map(|f| f.effect);
    let worst = if sham {
        [Effect::Effective, Effect::Unverified, Effect::NoEffect]
    } else {
        [Effect::Unverified, Effect::NoEffect, Effect::Effective]
    };
    let seen: Vec<Effect> = effects.by_ref().collect();
    worst.into_iter().find(|effect| seen.contains(effect)).unwrap_or(Effect::Unverified)
}

/// Loud when an ordinary objective is broken, silent when all are known to hold, else unknown.
pub(super) fn visibility(input: &Input<'_>) -> Option<Visibility> {
    let ordinary = input.experiment.slos.iter().filter(|slo| slo.ordinary);
    let met: Vec<Option<bool>> = ordinary
        .map(|slo| input.slos.iter().find(|report| report.name == slo.name).and_then(|report| report.met))
        .collect();
    if met.contains(&Some(false)) {
        Some(Visibility::Loud)
    } else if met.contains(&None) {
        None
    } else {
        Some(Visibility::Silent)
    }
}
