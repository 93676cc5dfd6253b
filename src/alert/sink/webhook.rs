use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{HttpUrl, Receiver, SecretFrom, timeout_default};
use crate::alert::{Alert, State};
use crate::units::{Timestamp, duration_text};

/// Posts an alert as JSON when it begins to fire, when it becomes stale and when it ends.
///
/// The body is `{"version": "silentry/alert/v1", "status": "firing" | "stale" | "resolved", "sent_at":
/// time, "alert": …}`, where `alert` has the fields of `/v1/alerts`; its `state` tells how it was
/// resolved: by itself, accepted or superseded. The same alert may come twice: a receiver tells by
/// `alert.id` and `status`. Any answer from 200 to 299 accepts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// What the sink is called in metrics and in the timeline.
    #[serde(default = "name_default")]
    pub name: String,
    /// Where to post to.
    pub url: HttpUrl,
    /// The value of the `Authorization` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<SecretFrom>,
    /// How long one attempt may take.
    #[serde(default = "timeout_default", with = "duration_text")]
    pub timeout: Duration,
}

fn name_default() -> String {
    "webhook".to_owned()
}

impl Receiver for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn url(&self) -> reqwest::Url {
        self.url.get()
    }

    fn authorization(&self) -> Option<&SecretFrom> {
        self.authorization.as_ref()
    }

    fn authorization_mut(&mut self) -> Option<&mut SecretFrom> {
        self.authorization.as_mut()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn resend_every(&self) -> Option<Duration> {
        None
    }

    fn body(&self, alert: &Alert, now: Timestamp) -> serde_json::Value {
        let status = match alert.state {
            State::Pending | State::Firing => "firing",
            State::Stale => "stale",
            State::Resolved | State::Accepted | State::Superseded => "resolved",
        };
        json!({"version": "silentry/alert/v1", "status": status, "sent_at": now, "alert": alert})
    }
}
