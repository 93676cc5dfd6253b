use super::Error;
use super::learn::{BUILT_BY, refuse_weak, seal};
use crate::baseline::{Baseline, Budget, Draft, Provenance};
use crate::detect::Calibration;
use crate::units::{PerSecond, Timestamp, count};

/// Two baselines of one plan as one: as if the rows of both had been counted.
///
/// The budget is the first's unless another is given; the rate is that of both together.
///
/// # Errors
/// Models, columns, seasons or bins that differ, a recording that is in both, budgets that differ, and a
/// group that would be lost in silence.
pub fn merge(one: &Baseline, two: &Baseline, options: &MergeOptions) -> Result<Baseline, Error> {
    check_mergeable(one, two, options)?;
    let wrong = |source| Error::Detect { model: one.model().to_owned(), source };
    let read = |b: &Baseline| Calibration::read(b.calibration(), b.schema()).map_err(wrong);
    let (mut calibration, other) = (read(one)?, read(two)?);
    let seconds = |c: &Calibration, b: &Baseline| count(c.rows()) / b.rate().get();
    let seconds = seconds(&calibration, one) + seconds(&other, two);
    calibration.merge(&other).map_err(wrong)?;
    let mut profile = one.profile().clone();
    profile.merge(two.profile())?;
    let parts: Vec<Provenance> =
        [one, two].iter().flat_map(|b| b.provenance().recordings()).cloned().collect();
    let draft = Draft {
        name: one.name().to_owned(),
        provenance: Provenance {
            source: parts.iter().map(|p| p.source.as_str()).collect::<Vec<_>>().join(" + "),
            sha256: None,
            rows: profile.rows(),
            from: one.provenance().from.min(two.provenance().from),
            to: one.provenance().to.max(two.provenance().to),
            built_at: options.now,
            built_by: BUILT_BY.to_owned(),
            parts,
        },
        seasonality: one.seasonality(),
        budget: options.budget.unwrap_or_else(|| one.budget()),
        rate: PerSecond::new(count(calibration.rows()) / seconds)?,
        profile,
        calibration: serde_json::to_value(&calibration).map_err(Error::Hash)?,
        accepted_weak: Vec::new(),
    };
    let (baseline, weak) = seal(draft)?;
    let accepted = !one.accepted_weak().is_empty() || !two.accepted_weak().is_empty();
    refuse_weak(&weak, options.accept_weak || accepted)?;
    Ok(baseline)
}

/// How two baselines are merged.
#[derive(Debug, Clone, Copy)]
pub struct MergeOptions {
    /// The false alarms allowed, where the two differ.
    pub budget: Option<Budget>,
    /// Whether a weak group is accepted; one that either accepts is.
    pub accept_weak: bool,
    /// The present, for the provenance.
    pub now: Timestamp,
}

fn check_mergeable(one: &Baseline, two: &Baseline, options: &MergeOptions) -> Result<(), Error> {
    let differ = |what: &'static str, a: &dyn ToString, b: &dyn ToString| {
        Err(Error::NotMergeable { what, one: a.to_string(), two: b.to_string() })
    };
    if one.model() != two.model() {
        return differ("models", &one.model(), &two.model());
    }
    if one.schema() != two.schema() {
        return Err(other_columns(one, two));
    }
    if one.seasonality() != two.seasonality() {
        return differ("seasonalities", &one.seasonality(), &two.seasonality());
    }
    if one.budget() != two.budget() && options.budget.is_none() {
        return differ("budgets", &one.budget(), &two.budget());
    }
    let known = one.provenance().recordings();
    let print = |p: &Provenance| (p.sha256.clone(), p.rows, p.from, p.to);
    let twice = |p: &&Provenance| known.iter().any(|k| print(k) == print(p));
    match two.provenance().recordings().into_iter().find(twice) {
        Some(recording) => Err(Error::SameRecording(recording.source.clone())),
        None => Ok(()),
    }
}

/// The first column in which two schemas differ.
fn other_columns(one: &Baseline, two: &Baseline) -> Error {
    let columns = |b: &Baseline| b.schema().columns.clone();
    let (one, two) = (columns(one), columns(two));
    let first = one.iter().find(|c| !two.contains(c)).or_else(|| two.iter().find(|c| !one.contains(c)));
    Error::ColumnsDiffer(
        first.map_or_else(|| "their order or file names".to_owned(), |c| format!("`{}`", c.name)),
    )
}
