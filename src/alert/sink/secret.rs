use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::Error;

/// Where a secret is to be read; the secret itself never stands in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretFrom {
    /// The name of an environment variable.
    Env(String),
    /// A file; white space around its content does not count.
    File(PathBuf),
}

impl SecretFrom {
    /// Reads the secret.
    ///
    /// # Errors
    /// [`Error::SecretVariable`] or [`Error::SecretFile`]; an empty secret is none.
    pub fn read(&self) -> Result<Secret, Error> {
        match self {
            Self::Env(name) => std::env::var(name)
                .ok()
                .and_then(Secret::new)
                .ok_or_else(|| Error::SecretVariable(name.clone())),
            Self::File(path) => {
                let wrong = |source| Error::SecretFile { path: path.clone(), source };
                let text = std::fs::read_to_string(path).map_err(wrong)?;
                Secret::new(text).ok_or_else(|| wrong(std::io::Error::other("the file is empty")))
            }
        }
    }

    /// Makes a relative file relative to `base`.
    pub fn resolve(&mut self, base: &Path) {
        if let Self::File(path) = self {
            *path = base.join(&*path);
        }
    }
}

/// A secret in memory; it does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    fn new(text: String) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The secret itself: for a header or a comparison, never for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// An address that notifications are posted to. Its path and query do not show in [`fmt::Debug`],
/// for many receivers put a token there.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(reqwest::Url);

impl HttpUrl {
    /// Reads `http://host:port/path`.
    ///
    /// # Errors
    /// [`Error::Url`] for anything else, a password within it included.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |url: String, reason| Err(Error::Url { url, reason });
        let Ok(url) = reqwest::Url::parse(text) else {
            return wrong(text.chars().take(16).collect(), "not a URL");
        };
        let shown = shown(&url);
        match url.scheme() {
            "http" if !url.has_host() => wrong(shown, "no host"),
            "http" if !url.username().is_empty() || url.password().is_some() => {
                wrong(shown, "a name or password belongs in `authorization`")
            }
            "http" => Ok(Self(url)),
            "https" => wrong(shown, "this program has no TLS, put a proxy on loopback in front"),
            _ => wrong(shown, "the scheme is not http"),
        }
    }

    /// The address as it was given.
    #[must_use]
    pub fn get(&self) -> reqwest::Url {
        self.0.clone()
    }

    /// This address with further segments behind its path.
    pub(super) fn join(&self, segments: &[&str]) -> reqwest::Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

/// Scheme, host and port.
fn shown(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or("");
    let port = url.port().map(|p| format!(":{p}")).into_iter().collect::<String>();
    format!("{}://{host}{port}", url.scheme())
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…", shown(&self.0))
    }
}

impl Serialize for HttpUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for HttpUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No way to print a secret or an address shows what is secret in it.
    #[test]
    fn secrets_do_not_show() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(temp.path(), "Bearer hush\n").unwrap();
        let secret = SecretFrom::File(temp.path().to_owned()).read().unwrap();
        assert_eq!(secret.expose(), "Bearer hush");
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        let url = HttpUrl::parse("http://host:9093/services/hush?token=hush").unwrap();
        assert_eq!(format!("{url:?}"), "http://host:9093/…");
    }

    /// A secret that is not there is an error, never an empty header.
    #[test]
    fn a_missing_secret_is_an_error() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(SecretFrom::File(temp.path().into()).read(), Err(Error::SecretFile { .. })));
        assert!(SecretFrom::File("/nonexistent".into()).read().is_err());
        let unset = SecretFrom::Env("SILENTRY_TEST_UNSET".into()).read();
        assert_eq!(
            unset.unwrap_err().to_string(),
            "environment variable `SILENTRY_TEST_UNSET` is not set to a secret"
        );
        assert!(SecretFrom::Env("CARGO_MANIFEST_DIR".into()).read().is_ok());
    }

    /// What could not work at the first alert is refused at the start.
    #[test]
    fn addresses_are_checked() {
        for (text, expected) in [
            ("https://h/x", "`https://h` is no address to send to: this program has no TLS"),
            ("http://me:hush@h/x", "`http://h` is no address to send to: a name or password belongs"),
            ("ftp://h", "the scheme is not http"),
            ("h:9093", "the scheme is not http"),
            ("nonsense", "not a URL"),
        ] {
            let error = HttpUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{text}: {error}");
        }
    }
}
