use serde::Serialize;

use super::Error;
use super::judge::monitor;
use crate::baseline::{Baseline, Oddity, oddities};
use crate::detect::Calibration;

/// What a check of a baseline found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// What looks like a fault.
    pub findings: Vec<Oddity>,
    /// What the file cannot tell.
    pub unchecked: Vec<&'static str>,
}

/// What in a baseline looks like a fault already.
///
/// # Errors
/// A calibration that cannot be read.
pub fn check(baseline: &Baseline) -> Result<Checked, Error> {
    let wrong = |source| Error::Detect { model: baseline.model().to_owned(), source };
    let mut findings = oddities(baseline);
    findings.extend(monitor(baseline)?.oddities(baseline.profile()));
    let calibration = Calibration::read(baseline.calibration(), baseline.schema()).map_err(wrong)?;
    Ok(Checked { findings, unchecked: calibration.unchecked() })
}
