use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{HttpUrl, Receiver, SecretFrom, timeout_default};
use crate::alert::{Alert, State};
use crate::units::{Timestamp, duration_text};

/// Posts alerts to Alertmanager's v2 API, again and again while they fire.
///
/// Labels: `alertname`, `service`, `model`, `group`, `detector`, `severity`; none changes while the
/// alert is open, for a changed label is another alert. What changes is in the annotations
/// `summary`, `description` and `features`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alertmanager {
    /// What the sink is called in metrics and in the timeline.
    #[serde(default = "name_default")]
    pub name: String,
    /// Alertmanager's address, with its route prefix and without `/api/v2`.
    pub url: HttpUrl,
    /// The value of the `Authorization` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<SecretFrom>,
    /// How long one attempt may take.
    #[serde(default = "timeout_default", with = "duration_text")]
    pub timeout: Duration,
    /// How often a firing alert is sent again.
    #[serde(default = "resend_default", with = "duration_text")]
    pub resend_every: Duration,
    /// The label `service`.
    #[serde(default = "service_default")]
    pub service: String,
}

/// One name for all: what differs is in `model`, `group` and `detector`, which routes can match.
const ALERTNAME: &str = "SilentrySilentFailure";
/// An alert that is not sent again for this many times `resend_every` ends by itself, so that a
/// dead silentry leaves no alert behind for ever. The same factor as Prometheus has.
const ENDS_AFTER: u32 = 4;

fn name_default() -> String {
    "alertmanager".to_owned()
}

fn service_default() -> String {
    "silentry".to_owned()
}

const fn resend_default() -> Duration {
    Duration::from_secs(60)
}

impl Receiver for Alertmanager {
    fn name(&self) -> &str {
        &self.name
    }

    fn url(&self) -> reqwest::Url {
        self.url.join(&["api", "v2", "alerts"])
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
        Some(self.resend_every)
    }

    fn body(&self, alert: &Alert, now: Timestamp) -> serde_json::Value {
        let starts_at = alert.fired_at.map_or(alert.pending_at, |fired_at| fired_at);
        let ends_at = match (alert.state, alert.resolved_at) {
            (State::Resolved, Some(resolved_at)) => resolved_at,
            _ => now.plus(self.resend_every.saturating_mul(ENDS_AFTER)),
        };
        json!([{
            "labels": {
                "alertname": ALERTNAME,
                "service": self.service,
                "model": alert.model,
                "group": alert.group,
                "detector": alert.detector,
                "severity": alert.severity.name(),
            },
            "annotations": {
                "summary": format!("model {}: {} fails in silence", alert.model, alert.group),
                "description": alert.message,
                "features": alert.features.join(", "),
            },
            "startsAt": starts_at,
            "endsAt": ends_at,
        }])
    }
}
