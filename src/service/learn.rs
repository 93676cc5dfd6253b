use std::sync::Arc;

use super::Error;
use super::judge::monitor;
use crate::baseline::{Baseline, Budget, Draft, Provenance, Seasonality, rate_of};
use crate::detect::{
    Bootstrap, Calibration, Counter, Planner, Promise, Recording, ReferenceLearner, Season, Weak,
};
use crate::profile::Profile;
use crate::record::{Batch, Schema, SchemaFile};
use crate::tap::Source;
use crate::units::{PerSecond, Timestamp, count, whole};

/// Drawn rows that are monitored at most, and their bins: a few seconds of work.
const CHECK_ROWS_MAX: u64 = 2_000_000;
const CHECK_BINS_MAX: u64 = 200_000_000;
/// Which rows are drawn: the same each time.
const CHECK_SEED: u64 = 1;

/// What a baseline is built with, beside its rows.
#[derive(Debug, Clone)]
pub struct LearnOptions {
    /// The model's name in records.
    pub model: String,
    /// What people call the baseline.
    pub name: String,
    /// What the user knows of the columns.
    pub schema: SchemaFile,
    /// The false alarms allowed.
    pub budget: Budget,
    /// Requests a second in health; read from the rows' times when absent.
    pub rate: Option<PerSecond>,
    /// Whether what is normal depends on the hour.
    pub seasonality: Seasonality,
    /// By whose clocks: the name of a time zone.
    pub time_zone: String,
    /// The baseline whose columns and bins are taken, so that the two can be merged.
    pub plan_of: Option<Baseline>,
    /// Whether a group whose complete loss would take more than a hundred rows to see is accepted.
    pub accept_weak: bool,
    /// The present, for the provenance.
    pub now: Timestamp,
}

impl LearnOptions {
    pub(super) fn season(&self) -> Season {
        Season { seasonality: self.seasonality, zone: self.time_zone.clone() }
    }

    pub(super) fn wrong(&self, source: crate::detect::Error) -> Error {
        Error::Detect { model: self.model.clone(), source }
    }

    /// The bins to count into, where those of another baseline were asked for.
    ///
    /// # Errors
    /// [`Error::PlanOf`] when it is of another model or season.
    pub(super) fn plan(&self) -> Result<Option<(Arc<Schema>, Calibration)>, Error> {
        let Some(plan) = &self.plan_of else { return Ok(None) };
        let differs = |what, found: &str, expected: &str| {
            Err(Error::PlanOf { what, found: found.to_owned(), expected: expected.to_owned() })
        };
        if plan.model() != self.model {
            return differs("model", &self.model, plan.model());
        }
        let calibration = Calibration::read(plan.calibration(), plan.schema()).map_err(|e| self.wrong(e))?;
        let theirs = calibration.season();
        if theirs.seasonality != self.seasonality {
            return differs("seasonality", &self.seasonality.to_string(), &theirs.seasonality.to_string());
        }
        if theirs.zone != self.time_zone && self.seasonality != Seasonality::None {
            return differs("time zone", &self.time_zone, &theirs.zone);
        }
        Ok(Some((Arc::clone(plan.schema()), calibration)))
    }
}

/// Builds a baseline from recorded rows: three passes that infer the schema, plan the bins while
/// summing up, and count. With the plan of another baseline one pass is enough. Where rows depend on each
/// other, one more draws rows to see whether the threshold gives the wanted run length: `told` hears how
/// many of how many.
///
/// # Errors
/// Rows that cannot be read or carry no baseline, a schema that does not fit them, a rate that is
/// neither given nor readable, lines that are no records, a group that would be lost in silence, rows that
/// depend on each other too much for the budget.
pub fn learn(source: &Source, options: &LearnOptions, told: &dyn Fn(u64, u64)) -> Result<Baseline, Error> {
    let sha256 = source.sha256()?;
    let (profile, calibration) = match options.plan()? {
        None => plan_and_count(source, options)?,
        Some((schema, plan)) => {
            check_other_recording(options, &sha256)?;
            count_only(source, options, (schema, &plan))?
        }
    };
    let rate = match options.rate {
        Some(rate) => rate,
        // Requests a second: rows of one request come together and count once.
        None => PerSecond::new(rate_of(&profile)?.get() * count(calibration.rows()) / count(profile.rows()))?,
    };
    let calibration = match calibration.promise() {
        Promise::Proven => calibration,
        Promise::Calibrated => checked(source, options, (&profile, calibration, rate), told)?,
    };
    let draft = Draft {
        name: options.name.clone(),
        provenance: provenance(source, sha256, &profile, options),
        seasonality: options.seasonality,
        budget: options.budget,
        rate,
        profile,
        calibration: serde_json::to_value(&calibration).map_err(Error::Hash)?,
        accepted_weak: Vec::new(),
    };
    let (baseline, weak) = seal(draft)?;
    refuse_weak(&weak, options.accept_weak)?;
    Ok(baseline)
}

fn plan_and_count(source: &Source, options: &LearnOptions) -> Result<(Profile, Calibration), Error> {
    let wrong = |e| options.wrong(e);
    let schema = source.infer_schema(&options.model, &options.schema)?;
    let mut profile = Profile::new(Arc::clone(&schema));
    let mut planner = Planner::seasonal(Arc::clone(&schema), options.season());
    let mut labels = ReferenceLearner::new(&schema);
    for batch in source.batches(&schema)? {
        let batch = batch?;
        check_version(&batch)?;
        profile.observe(&batch)?;
        planner.observe(&batch);
        labels.observe(&batch);
    }
    let mut counter = planner.finish().map_err(wrong)?;
    for batch in source.batches(&schema)? {
        counter.observe(&batch?);
    }
    Ok((profile, counter.finish().map_err(wrong)?.with_labels(labels.finish())))
}

fn count_only(
    source: &Source,
    options: &LearnOptions,
    (schema, plan): (Arc<Schema>, &Calibration),
) -> Result<(Profile, Calibration), Error> {
    let wrong = |e| options.wrong(e);
    let mut profile = Profile::new(Arc::clone(&schema));
    let mut counter = Counter::with_plan_of(&schema, plan).map_err(wrong)?;
    let mut labels = ReferenceLearner::new(&schema);
    for batch in source.batches(&schema)? {
        let batch = batch?;
        check_version(&batch)?;
        profile.observe(&batch)?;
        counter.observe(&batch);
        labels.observe(&batch);
    }
    Ok((profile, counter.finish().map_err(wrong)?.with_labels(labels.finish())))
}

/// Draws rows to see whether evidence of dependent rows keeps the budget, and raises the threshold if not.
fn checked(
    source: &Source,
    options: &LearnOptions,
    (profile, calibration, rate): (&Profile, Calibration, PerSecond),
    told: &dyn Fn(u64, u64),
) -> Result<Calibration, Error> {
    // No rate, no rows: the seal says so.
    let Some(wanted) = options.budget.rows(rate) else { return Ok(calibration) };
    let schema = profile.schema();
    let mut recording = Recording::new(Arc::clone(schema), calibration, profile.rows());
    for batch in source.batches(schema)? {
        recording.observe(&batch?);
    }
    let how =
        Bootstrap { wanted, rate, rows_max: CHECK_ROWS_MAX, bins_max: CHECK_BINS_MAX, seed: CHECK_SEED };
    recording.check(&how, told).map_err(|e| options.wrong(e))
}

/// A baseline of one version has no rows of another; rows that do not say are taken as its own.
fn check_version(batch: &Batch) -> Result<(), Error> {
    let Some(expected) = batch.schema().version.as_deref() else { return Ok(()) };
    let tags = batch.meta().tags();
    let versions = tags.iter().filter(|t| t.name == "version");
    let mut others =
        versions.flat_map(|tag| (0..batch.len()).filter_map(|row| tag.value(row))).filter(|v| *v != expected);
    let Some(found) = others.next().map(str::to_owned) else { return Ok(()) };
    let rows = 1 + whole(others.count());
    Err(Error::OtherVersion { rows, found, expected: expected.to_owned() })
}

/// Rows that chose the bins must not be counted into them.
fn check_other_recording(options: &LearnOptions, sha256: &str) -> Result<(), Error> {
    let plan = options.plan_of.as_ref().map(Baseline::provenance);
    let same = plan.and_then(|p| p.recordings().into_iter().find(|r| r.sha256.as_deref() == Some(sha256)));
    same.map_or(Ok(()), |recording| Err(Error::SameRecording(recording.source.clone())))
}

/// Seals a draft, and tells which groups would be lost in silence: those are noted in it.
///
/// # Errors
/// What the draft lacks.
pub(super) fn seal(mut draft: Draft) -> Result<(Baseline, Vec<Weak>), Error> {
    draft.accepted_weak = Vec::new();
    let baseline = Baseline::seal(draft)?;
    let weak = monitor(&baseline)?.weak_groups();
    if weak.is_empty() {
        return Ok((baseline, weak));
    }
    let mut draft = baseline.into_draft();
    draft.accepted_weak = weak.iter().map(|w| w.group.clone()).collect();
    Ok((Baseline::seal(draft)?, weak))
}

pub(super) fn refuse_weak(weak: &[Weak], accepted: bool) -> Result<(), Error> {
    match weak.first() {
        Some(first) if !accepted => Err(Error::Weak(first.to_string())),
        _ => Ok(()),
    }
}

fn provenance(source: &Source, sha256: String, profile: &Profile, options: &LearnOptions) -> Provenance {
    let (from, to) = profile.seen().unwrap_or((options.now, options.now));
    let path = source.path();
    let name =
        path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    Provenance {
        source: name,
        sha256: Some(sha256),
        rows: profile.rows(),
        from,
        to,
        built_at: options.now,
        built_by: BUILT_BY.to_owned(),
        parts: Vec::new(),
    }
}

/// This program, with its version.
pub(super) const BUILT_BY: &str = concat!("silentry ", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::detect::RunLength;

    /// The calibration of so many rows of which each is the last one's mean with something new, in this part.
    fn calibrated(rows: u32, new: f64) -> Calibration {
        let mut random = StdRng::seed_from_u64(4);
        let mut value = 0.5;
        let lines = (0..rows).map(|i| {
            value = (1.0 - new) * value + new * random.random::<f64>();
            let score = random.random::<f64>();
            let row = serde_json::json!({"ts": 10 * i, "model": "m", "features": {"a": value}, "prediction": {"score": score}});
            format!("{row}\n")
        });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.ndjson");
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        let options = LearnOptions {
            model: "m".to_owned(),
            name: "m".to_owned(),
            schema: SchemaFile::parse("{}").unwrap(),
            budget: Budget::Rows(1_000),
            rate: None,
            seasonality: Seasonality::None,
            time_zone: "UTC".to_owned(),
            plan_of: None,
            accept_weak: true,
            now: Timestamp::from_millis(0),
        };
        let baseline = learn(&Source::open(&path).unwrap(), &options, &|_, _| {}).unwrap();
        Calibration::read(baseline.calibration(), baseline.schema()).unwrap()
    }

    /// The run length is looked at where rows depend on each other, and nowhere else.
    #[test]
    fn dependent_rows_are_drawn_from() {
        let independent = calibrated(1_200, 1.0);
        assert_eq!((independent.promise(), independent.run_length()), (Promise::Proven, RunLength::NoRows));
        let slow = calibrated(700, 0.05);
        assert_eq!(slow.promise(), Promise::Calibrated);
        let RunLength::TooFewRows { found: 700, .. } = slow.run_length() else {
            panic!("700 rows are fewer than two blocks: {:?}", slow.run_length());
        };
        let told = slow.told_promise();
        assert!(told.contains("not bootstrapped") && told.contains("700"), "{told}");
    }

    /// Of few rows nobody knows whether they depend on each other: nothing is proven then.
    #[test]
    fn few_rows_prove_nothing() {
        let few = calibrated(700, 1.0);
        assert_eq!(few.promise(), Promise::Calibrated);
        let told = few.told_promise();
        assert!(told.starts_with("calibrated") && told.contains("700 steps are too few"), "{told}");
    }
}
