use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Budget, Error};
use crate::profile::Profile;
use crate::record::Schema;
use crate::units::{PerSecond, Timestamp, count};

/// The format that this program writes and reads; another one is refused.
const FORMAT: &str = "silentry/baseline/v1";

/// Two recorded days are as good as two days, though their last row comes a little before midnight.
const SPAN_NEARLY: f64 = 0.99;

/// Where the rows of a baseline came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The file, or what else the rows were read from.
    pub source: String,
    /// The SHA-256 of the file, in hex, where there was one.
    pub sha256: Option<String>,
    /// Rows read.
    pub rows: u64,
    /// The time of the earliest row.
    pub from: Timestamp,
    /// The time of the latest row.
    pub to: Timestamp,
    /// When the baseline was built.
    pub built_at: Timestamp,
    /// The program that built it, with its version.
    pub built_by: String,
    /// The recordings of a baseline that was merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
}

impl Provenance {
    /// The recordings: itself, or those that it was merged of.
    #[must_use]
    pub fn recordings(&self) -> Vec<&Self> {
        if self.parts.is_empty() {
            return vec![self];
        }
        self.parts.iter().flat_map(Self::recordings).collect()
    }
}

/// Whether what is normal depends on the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seasonality {
    /// One reference for all hours.
    None,
    /// One for each hour of the day.
    HourOfDay,
    /// One for each hour of the week.
    HourOfWeek,
}

impl Seasonality {
    /// The time after which it begins anew; nothing where all hours are alike.
    #[must_use]
    pub const fn cycle(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::HourOfDay => Some(Duration::from_secs(86_400)),
            Self::HourOfWeek => Some(Duration::from_secs(7 * 86_400)),
        }
    }
}

impl fmt::Display for Seasonality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::HourOfDay => "hour-of-day",
            Self::HourOfWeek => "hour-of-week",
        })
    }
}

impl FromStr for Seasonality {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let all = [Self::None, Self::HourOfDay, Self::HourOfWeek];
        all.into_iter().find(|s| s.to_string() == text).ok_or_else(|| Error::NoSeasonality(text.to_owned()))
    }
}

/// What a baseline is made of, before it is sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// What people call it.
    pub name: String,
    /// Where its rows came from.
    pub provenance: Provenance,
    /// Whether what is normal depends on the hour.
    pub seasonality: Seasonality,
    /// How often a healthy model may raise an alarm.
    pub budget: Budget,
    /// The rows a second to expect.
    pub rate: PerSecond,
    /// The schema, and the sketches of all rows.
    pub profile: Profile,
    /// What room `detect` fitted to the rows; only it can read this.
    pub calibration: Value,
    /// Groups whose complete loss would take more than a hundred rows to see, which somebody accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted_weak: Vec<String>,
}

/// A profile chosen as reference, sealed by the hash of all it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    content: Draft,
    content_hash: String,
}

/// The file: the hash is over the canonical JSON of the content (keys sorted, no spaces), so that it
/// survives a change of layout and of the order of fields, and nothing else.
#[derive(Serialize, Deserialize)]
struct Envelope<C> {
    schema: String,
    content_hash: String,
    content: C,
}

#[derive(Deserialize)]
struct Version {
    schema: Option<String>,
}

impl Baseline {
    /// Checks a draft and seals it.
    ///
    /// # Errors
    /// [`Error::Field`] for an empty name, a profile without rows or a rate of 0,
    /// [`Error::Cycles`] for a seasonality that it cannot carry.
    pub fn seal(draft: Draft) -> Result<Self, Error> {
        check(&draft)?;
        let content = serde_json::to_value(&draft).map_err(Error::NotABaseline)?;
        Ok(Self { content_hash: hash(content)?, content: draft })
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`Error::NotABaseline`], [`Error::Format`] for another version, [`Error::Hash`] when the content
    /// was changed, and those of [`Baseline::seal`].
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let version: Version = serde_json::from_slice(bytes).map_err(Error::NotABaseline)?;
        if version.schema.as_deref() != Some(FORMAT) {
            let found = version.schema.unwrap_or_else(|| "(none)".to_owned());
            return Err(Error::Format { found, expected: FORMAT });
        }
        let envelope: Envelope<Value> = serde_json::from_slice(bytes).map_err(Error::NotABaseline)?;
        let found = hash(envelope.content.clone())?;
        if found != envelope.content_hash {
            return Err(Error::Hash { found, expected: envelope.content_hash });
        }
        let content: Draft = serde_json::from_value(envelope.content).map_err(Error::NotABaseline)?;
        check(&content)?;
        Ok(Self { content, content_hash: found })
    }

    /// The file's bytes: JSON on one line.
    ///
    /// # Errors
    /// [`Error::NotABaseline`] when the content is not expressible as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let envelope = Envelope {
            schema: FORMAT.to_owned(),
            content_hash: self.content_hash.clone(),
            content: &self.content,
        };
        let mut bytes = serde_json::to_vec(&envelope).map_err(Error::NotABaseline)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The same baseline, when it is of this model.
    ///
    /// # Errors
    /// [`Error::OtherModel`].
    pub fn for_model(self, model: &str) -> Result<Self, Error> {
        if self.model() == model {
            return Ok(self);
        }
        Err(Error::OtherModel {
            found: self.model().to_owned(),
            name: self.content.name,
            expected: model.to_owned(),
        })
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.content.name
    }

    /// The model it is of.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.schema().model
    }

    /// The columns of the model's traffic.
    #[must_use]
    pub const fn schema(&self) -> &Arc<Schema> {
        self.content.profile.schema()
    }

    /// Where its rows came from.
    #[must_use]
    pub const fn provenance(&self) -> &Provenance {
        &self.content.provenance
    }

    /// Whether what is normal depends on the hour.
    #[must_use]
    pub const fn seasonality(&self) -> Seasonality {
        self.content.seasonality
    }

    /// How often a healthy model may raise an alarm.
    #[must_use]
    pub const fn budget(&self) -> Budget {
        self.content.budget
    }

    /// The rows a second to expect.
    #[must_use]
    pub const fn rate(&self) -> PerSecond {
        self.content.rate
    }

    /// The sketches of all rows.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.content.profile
    }

    /// What room `detect` fitted.
    #[must_use]
    pub const fn calibration(&self) -> &Value {
        &self.content.calibration
    }

    /// Groups whose complete loss would take more than a hundred rows to see, which somebody accepted.
    #[must_use]
    pub fn accepted_weak(&self) -> &[String] {
        &self.content.accepted_weak
    }

    /// What it was sealed of.
    #[must_use]
    pub fn into_draft(self) -> Draft {
        self.content
    }

    /// `sha256:` and the hex digest of all of the above.
    #[must_use]
    pub fn content_hash(&self) -> &str {
        &self.content_hash
    }
}

fn check(draft: &Draft) -> Result<(), Error> {
    let wrong = |field, found: &str, expected| Err(Error::Field { field, found: found.to_owned(), expected });
    if draft.name.trim().is_empty() {
        return wrong("name", "empty", "a name");
    }
    if draft.profile.rows() == 0 {
        return wrong("profile", "of no rows", "at least one row");
    }
    if draft.rate.get() <= 0.0 {
        return wrong("rate", "0 rows a second", "more than 0");
    }
    let Some(cycle) = draft.seasonality.cycle() else { return Ok(()) };
    let span = draft.provenance.to.seconds_since(draft.provenance.from);
    let wanted = 2.0 * cycle.as_secs_f64();
    if span < SPAN_NEARLY * wanted {
        return Err(Error::Cycles {
            seasonality: draft.seasonality,
            days: span / 86_400.0,
            wanted: wanted / 86_400.0,
        });
    }
    Ok(())
}

fn hash(mut content: Value) -> Result<String, Error> {
    content.sort_all_objects();
    let canonical = serde_json::to_vec(&content).map_err(Error::NotABaseline)?;
    Ok(format!("sha256:{:x}", Sha256::digest(canonical)))
}

/// The rows a second of a profile: its rows but the first, over the time from the earliest to the latest.
///
/// # Errors
/// [`Error::RateUnknown`] for fewer than two rows, or when all have the same time.
pub fn rate_of(profile: &Profile) -> Result<PerSecond, Error> {
    let unknown = |why: &str| Error::RateUnknown(why.to_owned());
    let (Some((first, last)), true) = (profile.seen(), profile.rows() >= 2) else {
        return Err(unknown("it takes two rows"));
    };
    if first == last {
        return Err(unknown("all rows have the same time"));
    }
    PerSecond::new(count(profile.rows() - 1) / last.seconds_since(first))
        .map_err(|error| unknown(&error.to_string()))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::{BatchBuilder, Column, Kind, Record, Role};

    fn profile(rows: i64, millis_apart: i64) -> Profile {
        let column = Column::plain;
        let columns = vec![
            column("density", Role::Input, Kind::Numeric, "redis:wine"),
            column("colour", Role::Input, Kind::Categorical, "request"),
            column("score", Role::Output, Kind::Numeric, "output"),
        ];
        let schema = Arc::new(Schema::new("wine".into(), None, columns).unwrap());
        let mut builder = BatchBuilder::new(Arc::clone(&schema));
        for i in 0..rows {
            let (ts, density) = (i * millis_apart, 0.1 + 0.2 * f64::from(u8::try_from(i % 200).unwrap()));
            let colour = if i % 4 == 0 { "white" } else { "red" };
            let line = json!({"ts": ts, "model": "wine", "features": {"density": density, "colour": colour}});
            builder.push(&serde_json::from_value::<Record>(line).unwrap());
        }
        let mut profile = Profile::new(schema);
        profile.observe(&builder.finish().unwrap().0).unwrap();
        profile
    }

    pub(in super::super) fn draft(rows: i64) -> Draft {
        let profile = profile(rows, 10);
        let provenance = Provenance {
            source: "wine.parquet".into(),
            sha256: Some("ab".repeat(32)),
            rows: profile.rows(),
            from: Timestamp::from_millis(0),
            to: Timestamp::from_millis(10 * rows),
            built_at: Timestamp::from_millis(1_767_323_045_006),
            built_by: "silentry 0.1.0".into(),
            parts: Vec::new(),
        };
        Draft {
            name: "wine-healthy".into(),
            provenance,
            seasonality: Seasonality::None,
            budget: Budget::DEFAULT,
            rate: PerSecond::of(100),
            profile,
            calibration: json!({"z": 0.30000000000000004, "a": [1, null]}),
            accepted_weak: Vec::new(),
        }
    }

    /// A sealed baseline is read back to the last bit, whatever the layout of the file.
    #[test]
    fn round_trip() {
        let sealed = Baseline::seal(draft(500)).unwrap();
        let bytes = sealed.to_bytes().unwrap();
        assert_eq!(Baseline::read(&bytes).unwrap(), sealed);
        let pretty = serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(&bytes).unwrap()).unwrap();
        assert_eq!(Baseline::read(&pretty).unwrap(), sealed);
        assert_eq!(Baseline::seal(draft(500)).unwrap().content_hash(), sealed.content_hash());
        assert_ne!(Baseline::seal(draft(501)).unwrap().content_hash(), sealed.content_hash());
    }

    fn refused(bytes: &[u8], expected: &str) {
        let error = Baseline::read(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "`{error}` does not say `{expected}`");
        assert!(!error.contains('\n'), "one line: {error}");
    }

    /// Another format, a changed digit, a cut file and another kind of file: each has its own line.
    #[test]
    fn what_is_not_this_baseline_is_refused() {
        let text = String::from_utf8(Baseline::seal(draft(50)).unwrap().to_bytes().unwrap()).unwrap();
        refused(text.replace("baseline/v1", "baseline/v9").as_bytes(), "`silentry/baseline/v9`");
        refused(text.replace("\"rate\":100.0", "\"rate\":101.0").as_bytes(), "changed after it was sealed");
        refused(text.get(..text.len() / 2).unwrap().as_bytes(), "not a baseline file");
        refused(b"{}", "`(none)`");
        refused(b"PAR1", "not a baseline file");
        let error = Baseline::read(text.as_bytes()).unwrap().for_model("beer").unwrap_err().to_string();
        assert!(error.contains("`wine`") && error.contains("`beer`"), "{error}");
    }

    /// A baseline that could not hold its promise is never sealed.
    #[test]
    fn unfit_drafts_are_refused() {
        let check = |change: fn(&mut Draft), expected: &str| {
            let mut draft = draft(5);
            change(&mut draft);
            let error = Baseline::seal(draft).unwrap_err().to_string();
            assert!(error.contains(expected), "`{error}` does not say `{expected}`");
        };
        check(|d| d.name.clear(), "name");
        check(|d| d.profile = Profile::new(Arc::clone(d.profile.schema())), "no rows");
        check(|d| d.rate = PerSecond::of(0), "rate");
        check(
            |d| d.seasonality = Seasonality::HourOfDay,
            "`hour-of-day` needs a recording of at least 2 days",
        );
    }

    /// A rate is read from the times, or refused with the reason when they do not hold one.
    #[test]
    fn rates() {
        assert_eq!(rate_of(&profile(101, 10)).unwrap(), PerSecond::of(100));
        for (rows, apart, why) in [(1, 10, "two rows"), (5, 0, "same time"), (0, 0, "two rows")] {
            assert!(rate_of(&profile(rows, apart)).unwrap_err().to_string().contains(why));
        }
    }

    /// Words of a seasonality are read back; others are refused.
    #[test]
    fn seasonalities() {
        assert_eq!("hour-of-week".parse::<Seasonality>().unwrap(), Seasonality::HourOfWeek);
        assert!("weekly".parse::<Seasonality>().unwrap_err().to_string().contains("hour-of-day"));
    }
}
