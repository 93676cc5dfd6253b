//! Recorded traffic held against recorded healthy traffic: how far columns and whole rows differ, and what the model's
//! answers are worth, estimated without labels. To read: nothing here is an alarm.
//!
//! Rows of the reference are parted by chance: estimates learn from one part, and speak of the other as they do of the
//! input, so that what is of the reference says what to expect of healthy traffic.

mod harm;
mod sample;
mod whole;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

pub use harm::{Beside, ClassShare, ClassShares, Classifier, EstimatedHarm, MeanLoss};
pub use whole::{Domain, ReconstructionError, WholeRows};

use super::compare::{ColumnDiff, compare_columns};
use super::{Error, FeaturesSeen};
use crate::baseline::Baseline;
use crate::detect::{NoEstimate, version_of};
use crate::profile::Profile;
use crate::record::Batch;
use crate::tap::Source;
use crate::units::whole as length;
use sample::{Layout, Row, Sample};

/// Which rows are drawn, and how the trees' parts are dealt: the same each time.
pub(super) const SEED: u64 = 1;

/// What differs between recorded traffic and a recorded reference, for people to read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrafficCompared {
    /// The seed of all that is drawn.
    pub seed: u64,
    /// What was read of the reference.
    pub reference: SideRead,
    /// And of the input.
    pub input: SideRead,
    /// Rows of the reference that estimates learnt from; the other rows of its sample are held against the input's.
    pub fitted: u64,
    /// Every column, over all rows that could be read, the most changed first.
    pub columns: Vec<ColumnDiff>,
    /// Whole rows, of the samples.
    pub rows: WholeRows,
    /// What answers are worth, of the samples.
    pub harm: EstimatedHarm,
}

/// What was read of one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SideRead {
    /// The file.
    pub path: PathBuf,
    /// Rows that could be read.
    pub rows: u64,
    /// Those of the sample: 20,000 at most, and 64 MiB of numbers.
    pub used: u64,
    /// Rows that could not be read.
    pub lost: u64,
    /// Those by reason.
    pub lost_by_reason: BTreeMap<&'static str, u64>,
    /// The first of them, and what was wrong with it.
    pub first_lost: Option<String>,
    /// Rows with a label.
    pub labelled: u64,
    /// Rows with a label that says nothing.
    pub labels_unreadable: u64,
    /// Rows of other versions of the model than the baseline is of; they are compared like any other.
    pub other_versions: u64,
    /// Features of the baseline of which no row has a value.
    pub absent: Vec<String>,
    /// Columns that the baseline does not know, which are compared with nothing.
    pub unexpected: Vec<String>,
}

/// Something of the reference, and the same of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sides<T> {
    /// Of recorded healthy traffic.
    pub reference: T,
    /// Of the traffic that is held against it.
    pub input: T,
}

impl<T> Sides<T> {
    fn map<U>(&self, of: impl Fn(&T) -> U) -> Sides<U> {
        Sides { reference: of(&self.reference), input: of(&self.input) }
    }
}

/// A number, or in words why there is none: written as `{"value": …, "unknown": …}`, one of the two null.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure(Result<f64, String>);

impl Figure {
    /// A number that is known; of one that is not finite nothing is.
    #[must_use]
    pub fn known(value: f64) -> Self {
        Self(if value.is_finite() { Ok(value) } else { Err(format!("it came out as {value}")) })
    }

    /// None, and why.
    #[must_use]
    pub fn unknown(why: impl ToString) -> Self {
        Self(Err(why.to_string()))
    }

    /// The number.
    ///
    /// # Errors
    /// Why there is none.
    pub fn get(&self) -> Result<f64, &str> {
        self.0.as_ref().map(|value| *value).map_err(String::as_str)
    }
}

impl<E: ToString> From<Result<f64, E>> for Figure {
    fn from(of: Result<f64, E>) -> Self {
        of.map_or_else(Self::unknown, Self::known)
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            value: Option<f64>,
            unknown: Option<&'a str>,
        }
        Written { value: self.get().ok(), unknown: self.get().err() }.serialize(serializer)
    }
}

/// Why there is no estimate; rows that it names are of a sample, and not of the file.
fn told(why: &NoEstimate) -> String {
    match why {
        NoEstimate::NotANumber { .. } | NoEstimate::NotALoss { .. } | NoEstimate::NotAProbability { .. } => {
            format!("in the sample, {why}")
        }
        _ => why.to_string(),
    }
}

/// The rows that estimates see.
#[derive(Debug, Clone, Copy)]
struct Parts<'a> {
    /// Of the reference, to learn from.
    fitted: &'a [Row],
    /// Of the reference, to hold against the input.
    held: &'a [Row],
    input: &'a [Row],
}

/// Compares two recordings of a model's traffic by the columns of its baseline; `stage` hears what is being done.
///
/// # Errors
/// A file that cannot be read or has no row of the model, and [`Error::NoFeatures`] for one in which no row has a value
/// of any feature.
pub fn compare_traffic(
    baseline: &Baseline,
    (reference, input): (&Source, &Source),
    stage: &dyn Fn(&str),
) -> Result<TrafficCompared, Error> {
    let layout = Layout::of(baseline);
    let [healthy, now] = [reference, input].map(|source| {
        stage(&format!("reading {}", source.path().display()));
        Side::read(baseline, &layout, source)
    });
    let (healthy, now) = (healthy?, now?);
    let columns = compare_columns(&healthy.profile, &now.profile);
    let (fitted, held) = healthy.rows.split_at(healthy.rows.len() / 2);
    let parts = Parts { fitted, held, input: &now.rows };
    stage("comparing whole rows");
    let rows = WholeRows::of(&layout, &parts);
    stage("estimating harm");
    let harm = EstimatedHarm::of(&layout, &parts);
    let fitted = length(fitted.len());
    Ok(TrafficCompared { seed: SEED, reference: healthy.read, input: now.read, fitted, columns, rows, harm })
}

/// One file, read.
struct Side {
    read: SideRead,
    profile: Profile,
    rows: Vec<Row>,
}

impl Side {
    fn read(baseline: &Baseline, layout: &Layout, source: &Source) -> Result<Self, Error> {
        let schema = baseline.schema();
        let mut profile = Profile::new(std::sync::Arc::clone(schema));
        let mut sample = Sample::new(layout);
        let mut other_versions = 0;
        let mut seen = FeaturesSeen::new(schema);
        for batch in source.batches(schema)? {
            let batch = batch?;
            profile.observe(&batch)?;
            sample.observe(layout, &batch);
            seen.observe(&batch);
            other_versions += of_others(&batch, schema.version.as_deref());
        }
        let absent = seen.absent(source.path())?;
        let read = SideRead {
            path: source.path().to_owned(),
            rows: sample.seen,
            used: sample.used(),
            lost: source.losses().total(),
            lost_by_reason: source.losses().by_reason().map(|(reason, rows)| (reason.name(), rows)).collect(),
            first_lost: source.first_rejection().map(|rejection| rejection.to_string()),
            labelled: sample.labelled,
            labels_unreadable: sample.unreadable,
            other_versions,
            absent,
            unexpected: source.unexpected(),
        };
        Ok(Self { read, profile, rows: sample.finish() })
    }
}

fn of_others(batch: &Batch, version: Option<&str>) -> u64 {
    let Some(expected) = version else { return 0 };
    let is_other = |row: &usize| version_of(batch, *row).is_some_and(|version| version != expected);
    length((0..batch.len()).filter(is_other).count())
}
