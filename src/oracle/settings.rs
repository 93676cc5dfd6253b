use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Error;
use crate::alert::{HttpUrl, SecretFrom};
use crate::oip::{Datatype, KnownAnswer, Tolerance};
use crate::record::Scalar;
use crate::units::{Ratio, duration_text};

/// The most requests with known answers: each of them is sent in every round.
pub const REQUESTS_MAX: usize = 256;
/// The most bytes of a name that alarms carry.
const NAME_BYTES_MAX: usize = 64;

/// Requests with known answers, sent to the live model on a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownAnswers {
    /// Where the live model takes an inference request: `http://host:port/v2/models/NAME/infer`.
    pub url: HttpUrl,
    /// The value of the `Authorization` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<SecretFrom>,
    /// How often all requests are sent, one after another; 1 s at least.
    #[serde(default = "every", with = "duration_text")]
    pub every: Duration,
    /// How long one answer may take.
    #[serde(default = "timeout", with = "duration_text")]
    pub timeout: Duration,
    /// The most requests begun in a second. After one that failed, timed out or was too many (429) the next waits,
    /// each time for twice as long, up to `every` and a minute.
    #[serde(default = "known_per_second_max")]
    pub requests_per_second_max: NonZeroU32,
    /// How far apart numbers may be.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// The requests with their answers;
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<KnownAnswer>,
    /// or the file that has such a list, as YAML or JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_file: Option<PathBuf>,
}

/// A pinned copy of the model, asked again for a share of live rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// Where the copy takes an inference request.
    pub url: HttpUrl,
    /// The value of the `Authorization` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<SecretFrom>,
    /// The share of requests whose rows are asked again.
    #[serde(default = "share")]
    pub share: Ratio,
    /// How long one answer may take.
    #[serde(default = "timeout", with = "duration_text")]
    pub timeout: Duration,
    /// How far apart numbers may be.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// Where the copy takes one tensor `[rows, features]`, its name; else each feature is a tensor of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// The datatype of numeric features.
    #[serde(default = "datatype")]
    pub datatype: Datatype,
    /// The version that the copy is, as records name it; else that of the model's baseline, and what the copy's
    /// answers say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The hash of the copy's file, as records name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_hash: Option<String>,
    /// Requests with known answers by which the copy itself is tested, where those of the model are not for it;
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<KnownAnswer>,
    /// or the file that has such a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_file: Option<PathBuf>,
    /// The most requests under way at once.
    #[serde(default = "in_flight_max")]
    pub in_flight_max: NonZeroUsize,
    /// The most requests begun in a second.
    #[serde(default = "requests_per_second_max")]
    pub requests_per_second_max: NonZeroU32,
}

const fn every() -> Duration {
    Duration::from_secs(60)
}

const fn timeout() -> Duration {
    Duration::from_secs(5)
}

const fn share() -> Ratio {
    Ratio::one_in(100)
}

const fn datatype() -> Datatype {
    Datatype::Fp64
}

const IN_FLIGHT_MAX: NonZeroUsize = NonZeroUsize::new(4).unwrap();
const REQUESTS_PER_SECOND_MAX: NonZeroU32 = NonZeroU32::new(20).unwrap();
const KNOWN_PER_SECOND_MAX: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// No schedule is denser.
const EVERY_MIN: Duration = Duration::from_secs(1);

const fn in_flight_max() -> NonZeroUsize {
    IN_FLIGHT_MAX
}

const fn known_per_second_max() -> NonZeroU32 {
    KNOWN_PER_SECOND_MAX
}

const fn requests_per_second_max() -> NonZeroU32 {
    REQUESTS_PER_SECOND_MAX
}

impl KnownAnswers {
    /// What the fields cannot know by themselves; the requests only where they stand in the configuration.
    ///
    /// # Errors
    /// [`Error::Requests`] with the path to the field.
    pub fn check(&self) -> Result<(), Error> {
        if self.every < EVERY_MIN {
            return wrong("every", format!("{} s, expected 1s or longer", self.every.as_secs_f64()));
        }
        positive("timeout", self.timeout)?;
        check_tolerance(self.tolerance)?;
        check_source(&self.requests, self.requests_file.as_deref(), true)
    }

    /// After how long without a round nothing is known.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let gap = Duration::from_secs(1) / self.requests_per_second_max.get();
        let one = self.timeout.saturating_add(gap);
        let round = one.saturating_mul(u32::try_from(self.requests.len()).unwrap_or(u32::MAX));
        self.every.saturating_mul(2).saturating_add(round)
    }

    /// What stands for who is asked, for what, and what is right: where it differs, what was found before was found
    /// by other means. No secret is in it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hash((place(&self.url), &self.requests, self.tolerance))
    }

    /// Makes relative files relative to `base`.
    pub fn resolve(&mut self, base: &Path) {
        self.authorization.iter_mut().for_each(|secret| secret.resolve(base));
        if let Some(file) = &mut self.requests_file {
            *file = base.join(&*file);
        }
    }
}

impl Pinned {
    /// What the fields cannot know by themselves.
    ///
    /// # Errors
    /// [`Error::Requests`] with the path to the field.
    pub fn check(&self) -> Result<(), Error> {
        positive("timeout", self.timeout)?;
        check_tolerance(self.tolerance)?;
        if self.share.get() <= 0.0 {
            return wrong("share", "0, expected a share of the requests above 0 and up to 1");
        }
        if !self.datatype.is_float() {
            return wrong("datatype", "it holds no fractions, expected FP64, FP32 or FP16");
        }
        if self.tensor.as_ref().is_some_and(String::is_empty) {
            return wrong("tensor", "empty, expected the name of the one input");
        }
        check_source(&self.requests, self.requests_file.as_deref(), false)
    }

    /// What stands for who is asked, by what and about which version: where it differs, what was found before was
    /// found by other means. No secret is in it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let Self { tolerance, tensor, datatype, version, model_hash, requests, .. } = self;
        hash((place(&self.url), tolerance, tensor, datatype, (version, model_hash), requests))
    }

    /// Makes relative files relative to `base`.
    pub fn resolve(&mut self, base: &Path) {
        self.authorization.iter_mut().for_each(|secret| secret.resolve(base));
        if let Some(file) = &mut self.requests_file {
            *file = base.join(&*file);
        }
    }
}

/// An address without what may be secret in it.
fn place(url: &HttpUrl) -> String {
    let mut url = url.get();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// The hash of settings as they are written.
fn hash(settings: impl Serialize) -> String {
    // What was read from text can be written; and what could not would be another each time.
    let written = serde_json::to_vec(&settings).unwrap_or_else(|error| error.to_string().into_bytes());
    Sha256::digest(&written).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a list of requests with known answers, as YAML or JSON.
///
/// # Errors
/// [`Error::Requests`] with the line and the column, or the field.
pub fn read_requests(text: &str) -> Result<Vec<KnownAnswer>, Error> {
    let requests: Vec<KnownAnswer> = serde_saphyr::from_str(text).map_err(|error| Error::Requests {
        field: "requests".to_owned(),
        message: error.without_snippet().to_string().split_whitespace().collect::<Vec<_>>().join(" "),
    })?;
    check_requests(&requests)?;
    Ok(requests)
}

/// Whether requests can be asked and their answers told apart.
///
/// # Errors
/// [`Error::Requests`] with the field of the first that cannot.
pub fn check_requests(requests: &[KnownAnswer]) -> Result<(), Error> {
    if requests.is_empty() || requests.len() > REQUESTS_MAX {
        let found = requests.len();
        return wrong("requests", format!("there are {found}, expected 1 to {REQUESTS_MAX}"));
    }
    let mut names = BTreeSet::new();
    for (i, known) in requests.iter().enumerate() {
        let field = |name: &str| format!("requests[{i}].{name}");
        if !(1..=NAME_BYTES_MAX).contains(&known.name.len()) {
            let found = known.name.len();
            return wrong(field("name"), format!("has {found} bytes, expected 1 to {NAME_BYTES_MAX}"));
        }
        if !names.insert(known.name.as_str()) {
            return wrong(field("name"), format!("`{}` appears twice", known.name));
        }
        if known.request.inputs.is_empty() {
            return wrong(field("request.inputs"), "empty, expected a tensor");
        }
        if let Some(j) = known.request.inputs.iter().position(|tensor| tensor.data().iter().any(is_infinite))
        {
            let name = field(&format!("request.inputs[{j}].data"));
            return wrong(name, "an infinity, expected finite numbers or null: JSON has no word for it");
        }
        if known.expected.outputs.is_empty() {
            return wrong(field("expected.outputs"), "empty: any answer would be right, expected a tensor");
        }
    }
    Ok(())
}

fn is_infinite(cell: &Scalar) -> bool {
    matches!(cell, Scalar::Number(n) if n.is_infinite())
}

/// Requests stand in the configuration or in a file of their own.
fn check_source(requests: &[KnownAnswer], file: Option<&Path>, are_needed: bool) -> Result<(), Error> {
    match file {
        Some(file) if file.as_os_str().is_empty() => wrong("requests_file", "empty, expected a file"),
        Some(_) if !requests.is_empty() => {
            wrong("requests_file", "`requests` is set too, expected one of them")
        }
        None if are_needed || !requests.is_empty() => check_requests(requests),
        _ => Ok(()),
    }
}

fn check_tolerance(tolerance: Tolerance) -> Result<(), Error> {
    let Tolerance { absolute, relative } = tolerance;
    if !absolute.is_finite() || absolute < 0.0 {
        return wrong("tolerance.absolute", format!("{absolute}, expected a finite number from 0"));
    }
    if !(0.0..1.0).contains(&relative) {
        return wrong("tolerance.relative", format!("{relative}, expected a share from 0 to below 1"));
    }
    Ok(())
}

fn positive(field: &str, duration: Duration) -> Result<(), Error> {
    if duration.is_zero() { wrong(field, "0s, expected a duration above 0") } else { Ok(()) }
}

fn wrong<T>(field: impl Into<String>, message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Requests { field: field.into(), message: message.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request as the README shows it, with something in it changed.
    fn request(name: &str, outputs: &str) -> String {
        format!(
            "- name: {name}\n  request: {{inputs: [{{name: a, shape: [1], datatype: FP64, data: [1]}}]}}\n  \
             expected: {{model_name: m, outputs: [{outputs}]}}\n"
        )
    }

    const SCORE: &str = "{name: score, shape: [1], datatype: FP64, data: [0.5]}";

    /// A list is read as YAML and as JSON; NaN is null.
    #[test]
    fn lists_are_read() {
        let list = read_requests(&request("r", SCORE)).unwrap();
        assert_eq!(read_requests(&serde_json::to_string(&list).unwrap()).unwrap(), list);
        let nan =
            read_requests(&request("r", "{name: s, shape: [1], datatype: FP64, data: [null]}")).unwrap();
        assert!(nan[0].expected.outputs[0].numbers().unwrap()[0].is_nan());
    }

    /// What is asked, of whom, and what is right are in the fingerprint; a secret, a schedule and a file's name are not.
    #[test]
    fn fingerprints() {
        let known = |url: &str, more: &str, list: &str| {
            let text = format!("{{url: '{url}', requests_file: f{more}}}");
            let mut known: KnownAnswers = serde_saphyr::from_str(&text).unwrap();
            known.requests = read_requests(list).unwrap();
            known.fingerprint()
        };
        let list = request("r", SCORE);
        let one = known("http://h/v2", "", &list);
        assert_eq!(one, known("http://h/v2?token=hush", ", every: 3s, authorization: {env: X}", &list));
        assert_ne!(one, known("http://h/v3", "", &list));
        assert_ne!(one, known("http://h/v2", ", tolerance: {absolute: 1}", &list));
        assert_ne!(one, known("http://h/v2", "", &list.replace("0.5", "0.6")));
        let pinned = |more: &str| {
            serde_saphyr::from_str::<Pinned>(&format!("{{url: 'http://h'{more}}}")).unwrap().fingerprint()
        };
        assert_eq!(pinned(""), pinned(", share: 0.5, timeout: 1s"));
        assert_ne!(pinned(""), pinned(", version: '2'"));
        assert_ne!(pinned(""), pinned(", tolerance: {absolute: 1}"));
    }

    /// What cannot be asked or compared is told with its field.
    #[test]
    fn wrong_lists_are_told() {
        for (text, expected) in [
            ("[]".to_owned(), "requests: there are 0, expected 1 to 256"),
            (request("r", ""), "requests[0].expected.outputs: empty: any answer would be right"),
            (
                format!("{}{}", request("r", SCORE), request("r", SCORE)),
                "requests[1].name: `r` appears twice",
            ),
            (request("''", SCORE), "requests[0].name: has 0 bytes"),
            (
                request("r", "{name: s, shape: [2], datatype: FP64, data: [1]}"),
                "requests: tensor `s`: shape [2] means 2",
            ),
            ("- {nme: r}".to_owned(), "requests: unknown field `nme`"),
            (
                request("r", SCORE).replace("data: [1]", "data: ['-Infinity']"),
                "requests[0].request.inputs[0].data: an infinity, expected finite numbers or null",
            ),
        ] {
            let error = read_requests(&text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
