//! Whether hours are alike: which bins of a stream need a limit of their own for each stratum.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::units::{count, whole};

/// The chance that hours which are alike are told apart, bin by bin: it costs power, never a false alarm.
const LEVEL: f64 = 1e-3;

/// Whether a bin has the same share in every stratum, as far as its counts can tell.
///
/// `counts`: hits and trials by stratum; strata without trials say nothing. Pearson's statistic of the
/// two-by-strata table against chi-square. What it cannot tell apart is too little to raise an alarm: to
/// be missed half of the time at this level, hours may differ by about 15 nats over the whole recording,
/// so by less than a nat within any hour of a recording of a week, and by two of two days.
pub(super) fn are_alike(counts: &[(f64, f64)]) -> bool {
    let known: Vec<(f64, f64)> = counts.iter().copied().filter(|(_, trials)| *trials > 0.0).collect();
    let (hits, trials) = known.iter().fold((0.0, 0.0), |(h, t), (hits, trials)| (h + hits, t + trials));
    let share = hits / trials;
    let spread = share * (1.0 - share);
    // Nothing, or everything, is alike everywhere.
    if known.len() < 2 || spread <= 0.0 || spread.is_nan() {
        return true;
    }
    let distance = |(hits, trials): &(f64, f64)| (hits - trials * share).powi(2) / (trials * spread);
    let statistic: f64 = known.iter().map(distance).sum();
    let Ok(null) = ChiSquared::new(count(whole(known.len() - 1))) else { return false };
    null.sf(statistic) >= LEVEL
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hours of one share are alike, rare bins and empty hours too; a rush hour is not.
    #[test]
    fn rush_hours_are_told_apart() {
        let hours = |of: fn(u32) -> (f64, f64)| (0..24).map(of).collect::<Vec<_>>();
        for alike in [
            hours(|h| (80.0 + f64::from(h % 5), 800.0)),
            hours(|h| (f64::from(h % 7 / 6), 800.0)),
            hours(|h| if h < 8 { (0.0, 0.0) } else { (40.0, 400.0) }),
            hours(|_| (0.0, 800.0)),
            hours(|_| (800.0, 800.0)),
            vec![(3.0, 9.0)],
            vec![],
        ] {
            assert!(are_alike(&alike), "{alike:?}");
        }
        assert!(!are_alike(&hours(|h| (if h == 8 { 160.0 } else { 80.0 }, 800.0))));
        assert!(!are_alike(&hours(|h| (if h == 3 { 12.0 } else { 0.0 }, 800.0))));
    }
}
