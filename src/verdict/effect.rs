use super::{EffectBy, FaultVerdict, Input};
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
///
/// A sham cannot have failed a request: there only changed rows count, and they mean that something
/// else is wrong.
pub(super) fn proof(input: &Input<'_>, fault: &Fault) -> Proof {
    let evidence = input.evidence.get(&fault.id);
    let effective = |by, from, to| Proof { effect: Effect::Effective, by: Some(by), from, to };
    if let Some(seen) = evidence.filter(|e| e.changed()) {
        return effective(EffectBy::FeatureStatus, seen.first_changed, seen.last_changed);
    }
    if let Some(seen) = evidence.filter(|e| e.failed() && !fault.is_sham()) {
        return effective(EffectBy::RowStatus, seen.first_failed, seen.last_failed);
    }
    if let Some(from) = broke(input).filter(|_| !fault.is_sham()) {
        return effective(EffectBy::Slo, Some(from), None);
    }
    let said = evidence.is_some_and(|e| e.during.spoken > 0);
    let effect = if said { Effect::NoEffect } else { Effect::Unverified };
    Proof { effect, by: None, from: None, to: None }
}

/// When the first ordinary objective broke that had held before the fault.
fn broke(input: &Input<'_>) -> Option<Timestamp> {
    let broke = |r: &&Report| r.ordinary && r.steady.met == Some(true) && r.fault.met == Some(false);
    input.slos.iter().filter(broke).filter_map(|r| r.fault.first_breach).min()
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
