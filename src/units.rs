//! Numbers with a meaning, and the only place that reads a clock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is wrong with a number or a time.
#[derive(Debug, thiserror::Error, Clone, PartialEq)]
pub enum Error {
    /// Not a finite number inside the unit's range.
    #[error("{unit} is {value}, expected {expected}")]
    OutOfRange {
        /// The unit's name.
        unit: &'static str,
        /// The value that was given.
        value: f64,
        /// The range that was expected.
        expected: &'static str,
    },
    /// Not a point in time.
    #[error("`{0}` is not a time, expected RFC 3339 or integer milliseconds since 1970")]
    NotATime(String),
    /// Not a length of time.
    #[error("`{0}` is not a duration, expected a number with ms, s, m, h or d, such as `2s`")]
    NotADuration(String),
}

macro_rules! checked_unit {
    ($(#[$doc:meta])* $name:ident, $label:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(f64);

        impl $name {
            #[doc = concat!("Checks that the value is ", $expected, ".")]
            ///
            /// # Errors
            /// [`Error::OutOfRange`] otherwise, NaN included.
            pub fn new(value: f64) -> Result<Self, Error> {
                let check: fn(f64) -> bool = $check;
                if check(value) {
                    Ok(Self(value))
                } else {
                    Err(Error::OutOfRange { unit: $label, value, expected: $expected })
                }
            }

            /// The bare number.
            #[must_use]
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "number", "description": $expected})
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

checked_unit!(
    /// The chance of an event, 0 to 1.
    Probability, "probability", "a number from 0 to 1", |v| (0.0..=1.0).contains(&v)
);
checked_unit!(
    /// A share of a whole, 0 to 1; never a percentage.
    Ratio, "ratio", "a number from 0 to 1", |v| (0.0..=1.0).contains(&v)
);
checked_unit!(
    /// Events a second, finite and not negative.
    PerSecond, "rate", "a finite number of at least 0 a second", |v| v.is_finite() && v >= 0.0
);

impl PerSecond {
    /// A whole number a second.
    #[must_use]
    pub const fn of(events: u32) -> Self {
        Self(events as f64)
    }
}

impl Ratio {
    /// One in `n`; one in none is none.
    #[must_use]
    pub const fn one_in(n: u32) -> Self {
        if n == 0 { Self(0.0) } else { Self(1.0 / n as f64) }
    }

    /// `part / whole`, or nothing when the whole is empty: an empty window has no share.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Option<Self> {
        (whole > 0 && part <= whole).then(|| Self(count(part) / count(whole)))
    }
}

/// A count as a float; exact up to 2^53, which no window reaches.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub const fn count(n: u64) -> f64 {
    n as f64
}

/// A length as a count.
#[must_use]
pub const fn whole(length: usize) -> u64 {
    length as u64
}

/// The largest whole number that is no more than a number that is one: 0 below 0, the largest there is beyond it.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub const fn floor(number: f64) -> u64 {
    debug_assert!(!number.is_nan(), "what is no number has no place among whole ones");
    number.floor() as u64
}

/// The same, no less than the number.
#[must_use]
pub const fn ceil(number: f64) -> u64 {
    floor(number.ceil())
}

/// The same, nearest to the number; of two that are as near the one farther from 0.
#[must_use]
pub const fn round(number: f64) -> u64 {
    floor(number.round())
}

/// The nearest number of 32 bits: infinite beyond what they hold, NaN for NaN.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "rounded, or infinite")]
pub const fn single(number: f64) -> f32 {
    number as f32
}

/// A point in time: microseconds since 1970-01-01 UTC. Written as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The time from `earlier` to this one in seconds, negative when `earlier` is later.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "differences of times stay far below 2^53 us")]
    pub const fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e6
    }

    /// The time from `earlier` to this one in milliseconds, negative when `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> f64 {
        self.seconds_since(earlier) * 1e3
    }

    /// This time moved later by `by`, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This time moved earlier by `by`, saturating.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Reads RFC 3339, or integer milliseconds since 1970.
    ///
    /// # Errors
    /// [`Error::NotATime`] with the text that was given.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Ok(millis) = text.parse::<i64>() {
            return Ok(Self::from_millis(millis));
        }
        text.parse::<jiff::Timestamp>()
            .map(|t| Self(t.as_microsecond()))
            .map_err(|_| Error::NotATime(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => write!(f, "{t:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected RFC 3339 or integer milliseconds since 1970")]
        enum Spelling {
            Millis(i64),
            Text(String),
        }
        match Spelling::deserialize(deserializer)? {
            Spelling::Millis(ms) => Ok(Self::from_millis(ms)),
            Spelling::Text(text) => Self::parse(&text).map_err(serde::de::Error::custom),
        }
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        if generator.contract().is_deserialize() {
            let description = "RFC 3339, or integer milliseconds since 1970";
            return schemars::json_schema!({"type": ["string", "integer"], "description": description});
        }
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

/// Reads `250ms`, `2s`, `1.5m`, `2h`, `1d`.
///
/// # Errors
/// [`Error::NotADuration`] for anything else, negative and infinite lengths included.
pub fn parse_duration(text: &str) -> Result<Duration, Error> {
    let wrong = || Error::NotADuration(text.chars().take(64).collect());
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim() {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

/// Serde for a [`Duration`] spelled `250ms`, `2s`, `5m`, for `#[serde(with = "…")]`.
pub mod duration_text {
    use super::{Duration, parse_duration};
    use serde::{Deserialize, Deserializer, Serializer};

    /// The shortest spelling in milliseconds or seconds.
    pub fn text(duration: Duration) -> String {
        let millis = duration.as_millis();
        if millis.is_multiple_of(1_000) { format!("{}s", millis / 1_000) } else { format!("{millis}ms") }
    }

    /// Writes the shortest spelling.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(*duration))
    }

    /// Reads a spelling with a unit.
    ///
    /// # Errors
    /// When it is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map_err(serde::de::Error::custom)
    }
}

/// Where the present time comes from: the machine, or a test.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    Real { started: std::time::Instant, at: Timestamp },
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock, read once and carried on by its monotonic counter, so that a
    /// stepped wall clock never makes time run backwards within one process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clocks are read")]
    pub fn real() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A machine whose clock stands before 1970 starts at 0: visible at once in every stamp.
        let micros = since_epoch.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
        Self(Source::Real { started: std::time::Instant::now(), at: Timestamp(micros) })
    }

    /// A clock that stands still until [`Clock::set`].
    #[must_use]
    pub fn manual(at: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(at.0))))
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::Real { started, at } => at.plus(started.elapsed()),
            Source::Manual(micros) => Timestamp(micros.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock; a real one stays as it is.
    pub fn set(&self, at: Timestamp) {
        if let Source::Manual(micros) = &self.0 {
            micros.store(at.0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both spellings of a time mean the same instant, and what is written is read back.
    #[test]
    fn timestamps_round_trip() {
        let a = Timestamp::parse("2026-01-02T03:04:05.006Z").unwrap();
        assert_eq!(a, Timestamp::parse("1767323045006").unwrap());
        assert_eq!(Timestamp::parse(&a.to_string()).unwrap(), a);
        assert!(Timestamp::parse("yesterday").is_err());
    }

    /// Ranges refuse NaN and the infinite, so no comparison can meet them later.
    #[test]
    fn units_refuse_what_is_not_a_number() {
        assert!(Probability::new(f64::NAN).is_err());
        assert!(PerSecond::new(f64::INFINITY).is_err());
        assert!(Ratio::new(1.01).is_err());
        assert_eq!(Ratio::of(0, 0), None);
    }

    /// Whole numbers of numbers: on the side that is asked for, and at the ends where there is none.
    #[test]
    fn whole_numbers() {
        for (number, [below, above, nearest]) in [
            (2.5, [2, 3, 3]),
            (2.4, [2, 3, 2]),
            (7.0, [7, 7, 7]),
            (-0.4, [0, 0, 0]),
            (-3.6, [0, 0, 0]),
            (1e300, [u64::MAX; 3]),
            (f64::INFINITY, [u64::MAX; 3]),
            (f64::NEG_INFINITY, [0; 3]),
        ] {
            assert_eq!([floor(number), ceil(number), round(number)], [below, above, nearest], "{number}");
        }
    }

    /// 32 bits hold a number nearly, or nothing finite of it.
    #[test]
    fn singles() {
        assert!((f64::from(single(0.1)) - 0.1).abs() < 1e-8);
        assert!(single(1e39).is_infinite() && single(-1e39) < 0.0 && single(f64::NAN).is_nan());
    }

    /// Every unit of the spelling is understood and nothing without a unit is.
    #[test]
    fn durations() {
        for (text, millis) in [("250ms", 250), ("2s", 2_000), ("1.5m", 90_000), ("1d", 86_400_000)] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["2", "s", "-1s", "1e400s", ""] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
