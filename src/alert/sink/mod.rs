mod alertmanager;
mod lane;
mod notifier;
mod secret;
mod webhook;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use alertmanager::Alertmanager;
pub use lane::Retry;
pub use notifier::{Delivered, Notifier, SinkStatus, Wiring};
pub use secret::{HttpUrl, Secret, SecretFrom};
pub use webhook::Webhook;

use super::Alert;
use crate::units::Timestamp;

/// What one kind of sink has to say; queue, retries, shutdown and metrics come with it.
pub(super) trait Receiver {
    /// What it is called in metrics and in the timeline.
    fn name(&self) -> &str;
    /// Where to post to.
    fn url(&self) -> reqwest::Url;
    /// Where the `Authorization` header is read.
    fn authorization(&self) -> Option<&SecretFrom>;
    /// The same, to be resolved.
    fn authorization_mut(&mut self) -> Option<&mut SecretFrom>;
    /// How long one attempt may take.
    fn timeout(&self) -> Duration;
    /// How often a firing alert is sent again, if it is.
    fn resend_every(&self) -> Option<Duration>;
    /// The JSON to post.
    fn body(&self, alert: &Alert, now: Timestamp) -> serde_json::Value;
}

macro_rules! sinks {
    ($($kind:ident),+ $(,)?) => {
        /// One who is told; in a configuration the kind is the key: `webhook: {url: …}`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        pub enum Sink {
            $(#[doc = concat!("See [`", stringify!($kind), "`].")] $kind($kind),)+
        }

        impl Sink {
            pub(super) fn receiver(&self) -> &dyn Receiver {
                match self { $(Self::$kind(sink) => sink,)+ }
            }

            fn receiver_mut(&mut self) -> &mut dyn Receiver {
                match self { $(Self::$kind(sink) => sink,)+ }
            }
        }
    };
}

// A new kind of sink: its file above, its name here.
sinks![Webhook, Alertmanager];

impl Sink {
    /// What it is called in metrics and in the timeline.
    #[must_use]
    pub fn name(&self) -> &str {
        self.receiver().name()
    }

    /// How often a firing alert is sent again, if it is.
    #[must_use]
    pub fn resend_every(&self) -> Option<Duration> {
        self.receiver().resend_every()
    }

    /// How long one attempt may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.receiver().timeout()
    }

    /// Reads the secret, and forgets it.
    ///
    /// # Errors
    /// As [`SecretFrom::read`].
    pub fn check_secret(&self) -> Result<(), super::Error> {
        self.receiver().authorization().map_or(Ok(()), |secret| secret.read().map(drop))
    }

    /// Makes relative files relative to `base`.
    pub fn resolve(&mut self, base: &Path) {
        if let Some(secret) = self.receiver_mut().authorization_mut() {
            secret.resolve(base);
        }
    }
}

const fn timeout_default() -> Duration {
    Duration::from_secs(5)
}

#[cfg(test)]
mod tests;
