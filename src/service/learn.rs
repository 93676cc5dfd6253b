use std::sync::Arc;

use super::Error;
use crate::baseline::{Baseline, Budget, Draft, Provenance, Seasonality, rate_of};
use crate::detect::{Planner, Season};
use crate::profile::Profile;
use crate::record::SchemaFile;
use crate::tap::Source;
use crate::units::{PerSecond, Timestamp, count};

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
    /// The present, for the provenance.
    pub now: Timestamp,
}

/// Builds a baseline from recorded rows: three passes that infer the schema, plan the bins while
/// summing up, and count.
///
/// # Errors
/// Rows that cannot be read or carry no baseline, a schema that does not fit them, a rate that is
/// neither given nor readable, lines that are no records.
pub fn learn(source: &Source, options: &LearnOptions) -> Result<Baseline, Error> {
    let schema = source.infer_schema(&options.model, &options.schema)?;
    let wrong = |source: crate::detect::Error| Error::Detect { model: options.model.clone(), source };
    let mut profile = Profile::new(Arc::clone(&schema));
    let season = Season { seasonality: options.seasonality, zone: options.time_zone.clone() };
    let mut planner = Planner::seasonal(Arc::clone(&schema), season);
    for batch in source.batches(&schema)? {
        let batch = batch?;
        profile.observe(&batch)?;
        planner.observe(&batch);
    }
    let mut counter = planner.finish().map_err(wrong)?;
    for batch in source.batches(&schema)? {
        counter.observe(&batch?);
    }
    let calibration = counter.finish().map_err(wrong)?;
    let rate = match options.rate {
        Some(rate) => rate,
        // Requests a second: rows of one request come together and count once.
        None => PerSecond::new(rate_of(&profile)?.get() * count(calibration.rows()) / count(profile.rows()))?,
    };
    let draft = Draft {
        name: options.name.clone(),
        provenance: provenance(source, &profile, options)?,
        seasonality: options.seasonality,
        budget: options.budget,
        rate,
        profile,
        calibration: serde_json::to_value(&calibration).map_err(Error::Hash)?,
    };
    Ok(Baseline::seal(draft)?)
}

fn provenance(source: &Source, profile: &Profile, options: &LearnOptions) -> Result<Provenance, Error> {
    let (from, to) = profile.seen().unwrap_or((options.now, options.now));
    let path = source.path();
    let name =
        path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    Ok(Provenance {
        source: name,
        sha256: Some(source.sha256()?),
        rows: profile.rows(),
        from,
        to,
        built_at: options.now,
        built_by: concat!("silentry ", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}
