use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Error;
use crate::units::{PerSecond, count, duration_text, parse_duration};

/// How often a model that is fine may raise an alarm: the mean between two false ones.
///
/// Written `1/month`, `2/week`, `1/12h` (a month is 30 days) or `1/100000rows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// At least this much time.
    Time(Duration),
    /// At least this many rows.
    Rows(u64),
}

const DAY: Duration = Duration::from_secs(86_400);
/// Longest first: the spelling with the smallest count is written.
const UNITS: [(&str, u32); 4] = [("year", 365), ("month", 30), ("week", 7), ("day", 1)];

impl Budget {
    /// One false alarm a month.
    pub const DEFAULT: Self = Self::Time(Duration::from_secs(30 * 86_400));

    /// The mean rows between two false alarms at this rate; none when no row ever comes.
    #[must_use]
    pub fn rows(self, rate: PerSecond) -> Option<f64> {
        match self {
            Self::Rows(rows) => Some(count(rows)),
            Self::Time(time) => Some(time.as_secs_f64() * rate.get()).filter(|rows| *rows > 0.0),
        }
    }
}

impl FromStr for Budget {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::NotABudget(text.chars().take(64).collect());
        let (alarms, per) = text.trim().split_once('/').ok_or_else(wrong)?;
        let alarms: u32 = alarms.trim().parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
        let per = per.trim();
        if let Some(rows) = per.strip_suffix("rows") {
            let rows: u64 = rows.trim().parse().map_err(|_| wrong())?;
            // Rounded up: never more alarms than were asked for.
            let rows = rows.div_ceil(u64::from(alarms));
            return if rows > 0 { Ok(Self::Rows(rows)) } else { Err(wrong()) };
        }
        let unit = UNITS.iter().find(|(name, _)| *name == per).map(|(_, days)| DAY * *days);
        let time = unit.or_else(|| parse_duration(per).ok()).map(|unit| unit / alarms);
        time.filter(|time| !time.is_zero()).map(Self::Time).ok_or_else(wrong)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = match self {
            Self::Rows(rows) => return write!(f, "1/{rows}rows"),
            Self::Time(time) => *time,
        };
        let times = |(name, days): &(&'static str, u32)| {
            let alarms = u32::try_from((DAY * *days).as_nanos() / time.as_nanos().max(1)).ok()?;
            (alarms > 0 && DAY * *days / alarms == time).then_some((alarms, *name))
        };
        match UNITS.iter().filter_map(times).min_by_key(|(alarms, _)| *alarms) {
            Some((alarms, unit)) => write!(f, "{alarms}/{unit}"),
            None => write!(f, "1/{}", duration_text::text(time)),
        }
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each spelling means its number, and what is written is read back as the same budget.
    #[test]
    fn spellings() {
        let days = |n| Budget::Time(DAY * n);
        for (text, expected, written) in [
            ("1/month", days(30), "1/month"),
            ("2/month", days(15), "2/month"),
            ("7/month", Budget::Time(DAY * 30 / 7), "7/month"),
            ("1/week", days(7), "1/week"),
            ("30/month", days(1), "1/day"),
            (" 1 / year ", days(365), "1/year"),
            ("1/12h", Budget::Time(DAY / 2), "2/day"),
            ("1/90s", Budget::Time(Duration::from_secs(90)), "960/day"),
            ("1/100000rows", Budget::Rows(100_000), "1/100000rows"),
            ("2/100001 rows", Budget::Rows(50_001), "1/50001rows"),
        ] {
            let budget: Budget = text.parse().unwrap();
            assert_eq!((budget, budget.to_string().as_str()), (expected, written), "{text}");
            assert_eq!(budget.to_string().parse::<Budget>().unwrap(), budget, "{text}");
        }
    }

    /// What is no budget is refused in one line with an example.
    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "1", "0/month", "1/0rows", "1/fortnight", "-1/day", "1.5/day", "1/0s", "1/rows", "month"]
        {
            let error = text.parse::<Budget>().unwrap_err().to_string();
            assert!(error.contains("1/month"), "{text}: {error}");
        }
    }

    /// A month at a hundred rows a second; no rows ever is no number.
    #[test]
    fn rows_between_alarms() {
        assert_eq!(Budget::DEFAULT.rows(PerSecond::of(100)), Some(2.592e8));
        assert_eq!(Budget::DEFAULT.rows(PerSecond::of(0)), None);
        assert_eq!(Budget::Rows(5).rows(PerSecond::of(0)), Some(5.0));
    }
}
