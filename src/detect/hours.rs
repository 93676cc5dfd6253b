//! The time of day as strata: one reference for each hour, in the time zone of the traffic.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::baseline::Seasonality;
use crate::units::Timestamp;

/// Whether what is normal depends on the hour, and by whose clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Season {
    /// One reference for all hours, for each of the day, or for each of the week.
    pub seasonality: Seasonality,
    /// The name of the time zone in the IANA database, such as `Europe/Berlin`.
    pub zone: String,
}

impl Season {
    /// One reference for all hours.
    #[must_use]
    pub fn none() -> Self {
        Self { seasonality: Seasonality::None, zone: "UTC".to_owned() }
    }

    /// Strata that it cuts time into.
    pub(super) const fn strata(&self) -> usize {
        match self.seasonality {
            Seasonality::None => 1,
            Seasonality::HourOfDay => 24,
            Seasonality::HourOfWeek => 168,
        }
    }
}

/// Tells the stratum of a time; remembers the hour that it lies in, for rows come in hours.
#[derive(Debug, Clone)]
pub(super) struct Hours {
    season: Season,
    zone: TimeZone,
    from: i64,
    to: i64,
    stratum: usize,
}

/// Quarters of an hour: no zone is shifted by less, and no hour begins between two.
const QUARTER_MICROS: i64 = 900_000_000;
/// Longer than this, five years, is a wrong clock: of such a time nobody knows how long each hour was seen.
const QUARTERS_MAX: i64 = 5 * 366 * 96;

impl Hours {
    /// # Errors
    /// [`Error::NoZone`] when nobody knows the time zone.
    pub(super) fn new(season: &Season) -> Result<Self, Error> {
        let zone = match season.seasonality {
            Seasonality::None => TimeZone::UTC,
            _ => TimeZone::get(&season.zone).map_err(|_| Error::NoZone(season.zone.clone()))?,
        };
        Ok(Self { season: season.clone(), zone, from: 0, to: 0, stratum: 0 })
    }

    pub(super) fn stratum(&mut self, ts: Timestamp) -> usize {
        if self.season.seasonality == Seasonality::None {
            return 0;
        }
        let micros = ts.as_micros();
        if micros < self.from || micros >= self.to {
            self.from = micros.div_euclid(QUARTER_MICROS).saturating_mul(QUARTER_MICROS);
            self.to = self.from.saturating_add(QUARTER_MICROS);
            self.stratum = self.look_up(micros);
        }
        self.stratum
    }

    /// By stratum: the seconds from one time to another; nothing without a season, or beyond five years.
    pub(super) fn seconds(&mut self, from: Timestamp, to: Timestamp) -> Vec<f64> {
        let (first, last) = (from.as_micros(), to.as_micros());
        let strata = self.season.strata();
        if strata < 2 || last.saturating_sub(first) / QUARTER_MICROS > QUARTERS_MAX {
            return Vec::new();
        }
        let mut seconds = vec![0.0; strata];
        let mut at = first;
        while at < last {
            let stratum = self.stratum(Timestamp::from_micros(at));
            let end = self.to.min(last);
            if let Some(seconds) = seconds.get_mut(stratum) {
                *seconds += Timestamp::from_micros(end).seconds_since(Timestamp::from_micros(at));
            }
            at = end;
        }
        seconds
    }

    /// Times beyond the calendar fall into the first hour: they are no times of day at all.
    fn look_up(&self, micros: i64) -> usize {
        let Ok(at) = jiff::Timestamp::from_microsecond(micros) else { return 0 };
        let local = self.zone.to_datetime(at);
        let hour = usize::try_from(local.hour()).unwrap_or(0);
        let day = usize::try_from(local.date().weekday().to_monday_zero_offset()).unwrap_or(0);
        match self.season.seasonality {
            Seasonality::HourOfWeek => day * 24 + hour,
            Seasonality::HourOfDay | Seasonality::None => hour,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stratum(seasonality: Seasonality, zone: &str, time: &str) -> usize {
        let season = Season { seasonality, zone: zone.to_owned() };
        let mut hours = Hours::new(&season).unwrap();
        hours.stratum(Timestamp::from_millis(0));
        hours.stratum(Timestamp::parse(time).unwrap())
    }

    /// Hours are those of the people: zone, summer time and half-hour zones included.
    #[test]
    fn hours_are_local() {
        use Seasonality::{HourOfDay, HourOfWeek, None};
        let summer = "2026-07-01T22:30:00Z";
        assert_eq!(stratum(None, "nowhere", summer), 0);
        assert_eq!(stratum(HourOfDay, "UTC", summer), 22);
        assert_eq!(stratum(HourOfDay, "Europe/Berlin", summer), 0);
        assert_eq!(stratum(HourOfDay, "Asia/Kolkata", summer), 4);
        // A Wednesday in UTC, and Thursday by then in Berlin.
        assert_eq!(stratum(HourOfWeek, "UTC", summer), 2 * 24 + 22);
        assert_eq!(stratum(HourOfWeek, "Europe/Berlin", summer), 3 * 24);
    }

    /// Seconds fall into the hour of the people, whatever the recording's ends; five years and more are a wrong clock.
    #[test]
    fn seconds_by_hour() {
        let season = Season { seasonality: Seasonality::HourOfDay, zone: "Asia/Kolkata".to_owned() };
        let time = |text: &str| Timestamp::parse(text).unwrap();
        let mut hours = Hours::new(&season).unwrap();
        let seconds = hours.seconds(time("2026-07-01T22:40:10Z"), time("2026-07-02T23:40:00Z"));
        let sum: f64 = seconds.iter().sum();
        assert!((sum - 89_990.0).abs() < 1e-6 && (seconds[4] - 6_590.0).abs() < 1e-6, "{seconds:?}");
        assert!((seconds[3] - 3_600.0).abs() < 1e-6 && (seconds[5] - 4_200.0).abs() < 1e-6, "{seconds:?}");
        assert!(hours.seconds(time("1970-01-01T00:00:00Z"), time("2026-07-02T23:40:00Z")).is_empty());
        assert!(
            Hours::new(&Season::none())
                .unwrap()
                .seconds(time("2026-07-01T00:00:00Z"), time("2026-07-02T00:00:00Z"))
                .is_empty()
        );
    }

    /// A zone that nobody knows is refused.
    #[test]
    fn unknown_zones_are_refused() {
        let season = Season { seasonality: Seasonality::HourOfDay, zone: "Mars/Olympus".to_owned() };
        assert!(matches!(Hours::new(&season), Err(Error::NoZone(_))));
    }
}
