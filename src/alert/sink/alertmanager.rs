use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{HttpUrl, Receiver, SecretFrom, timeout_default};
use crate::alert::{Alert, State};
use crate::units::{Timestamp, duration_text};

/// Posts alerts to Alertmanager's v2 API, again and again while they fire.
///
/// Labels: `alertname`, `service`, `model`, `group`, `detector`, `severity`, and `model_version` where
/// it is not the baseline's; none changes while the alert is open, for a changed label is another
/// alert. What changes is in the annotations `summary`, `description`, `features`, `acknowledged`.
/// An alert that becomes stale ends there, and one named `SilentryStaleAlert` is posted once.
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
/// The name of what is said once when an alert has stood for too long.
const STALE_ALERTNAME: &str = "SilentryStaleAlert";
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
        let lease = self.resend_every.saturating_mul(ENDS_AFTER);
        let starts_at = alert.fired_at.map_or(alert.pending_at, |fired_at| fired_at);
        let ends_at = match (alert.state, &alert.silence) {
            (State::Pending | State::Firing, None) => now.plus(lease),
            // It is not sent again before the silence ends.
            (State::Pending | State::Firing, Some(silence)) => silence.until.max(now).plus(lease),
            (State::Stale, _) => now,
            (State::Resolved | State::Accepted | State::Superseded, _) => {
                alert.resolved_at.map_or(now, |ended| ended)
            }
        };
        let mut posted = vec![self.post(alert, ALERTNAME, starts_at, ends_at)];
        if alert.state == State::Stale {
            // What it said is over; what is left to say is said once and ends by itself.
            posted.push(self.post(alert, STALE_ALERTNAME, now, now.plus(lease)));
        }
        serde_json::Value::Array(posted)
    }
}

impl Alertmanager {
    fn post(&self, alert: &Alert, name: &str, from: Timestamp, to: Timestamp) -> serde_json::Value {
        let said = if name == STALE_ALERTNAME { "nobody knows any more whether" } else { "" };
        let summary = format!("model {}: {said} {} fails in silence", alert.model, alert.group);
        let mut post = json!({
            "labels": {
                "alertname": name,
                "service": self.service,
                "model": alert.model,
                "group": alert.group,
                "detector": alert.detector,
                "severity": alert.severity.name(),
            },
            "annotations": {
                "summary": summary.split_whitespace().collect::<Vec<_>>().join(" "),
                "description": alert.message,
                "features": alert.features.join(", "),
            },
            "startsAt": from,
            "endsAt": to,
        });
        let more = [
            ("labels", "model_version", alert.version.clone()),
            ("annotations", "acknowledged", alert.ack.as_ref().map(|by| by.who.clone())),
        ];
        for (part, name, value) in more {
            if let (Some(object), Some(value)) = (post.get_mut(part).and_then(|p| p.as_object_mut()), value) {
                object.insert(name.to_owned(), value.into());
            }
        }
        post
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use serde_json::Value;

    use super::*;
    use crate::alert::sink::tests::{alert, change, counted, sink, wiring};
    use crate::alert::{Notifier, Sink};
    use crate::units::Clock;

    /// Longer than Alertmanager takes to start on a loaded machine.
    const PATIENCE: Duration = Duration::from_secs(30);
    /// Between two looks at another process.
    const LOOK_EVERY: Duration = Duration::from_millis(25);

    /// Labels name what does not change while the alert is open, times are set, and an alert that
    /// fires ends by itself when it is no longer sent.
    #[test]
    fn the_body_is_stable() {
        let Sink::Alertmanager(am) = sink("alertmanager: {url: 'http://h:9093/am', service: wine-api}")
        else {
            unreachable!("the kind is the key")
        };
        assert_eq!(Receiver::url(&am).as_str(), "http://h:9093/am/api/v2/alerts");
        let now = Timestamp::from_millis(10_000);
        let firing = am.body(&alert(1, State::Firing), now);
        let resolved = am.body(&alert(1, State::Resolved), now);
        assert_eq!(firing[0]["labels"], resolved[0]["labels"]);
        assert_eq!(firing[0]["startsAt"], resolved[0]["startsAt"]);
        assert_eq!(resolved[0]["endsAt"], "1970-01-01T00:00:09.000000Z");
        insta::assert_json_snapshot!(firing);
    }

    /// A process that ends with the test.
    struct Running {
        _child: tokio::process::Child,
        _files: tempfile::TempDir,
        url: String,
    }

    /// Starts Alertmanager on free ports; nothing when it is missing and that was allowed.
    async fn alertmanager() -> Option<Running> {
        let files = tempfile::tempdir().unwrap();
        let config = files.path().join("am.yml");
        std::fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let spawned = tokio::process::Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", files.path().display()))
            .arg(format!("--web.listen-address={free}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        match spawned {
            Ok(child) => {
                let running = Running { _child: child, _files: files, url: format!("http://{free}") };
                until(&format!("{}/-/ready", running.url), |ready| ready.is_some()).await;
                Some(running)
            }
            Err(error) => {
                let allowed = std::env::var("SILENTRY_WITHOUT_ALERTMANAGER").is_ok_and(|v| v == "1");
                assert!(
                    allowed,
                    "prometheus-alertmanager: {error}; install it or set SILENTRY_WITHOUT_ALERTMANAGER=1"
                );
                println!("not checked: prometheus-alertmanager is missing, and that was allowed");
                None
            }
        }
    }

    /// Asks until the answer is right; `None` is no successful answer, text is passed as a string.
    async fn until(url: &str, right: impl Fn(Option<&Value>) -> bool) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut last = None;
        let asked = async {
            loop {
                last = ask(&client, url).await;
                if right(last.as_ref()) {
                    return;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, asked).await;
        assert!(in_time.is_ok(), "{url} stayed at {last:?}");
    }

    async fn ask(client: &reqwest::Client, url: &str) -> Option<Value> {
        let text = client.get(url).send().await.ok()?.error_for_status().ok()?.text().await.ok()?;
        Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// A real Alertmanager takes the alert, shows it with its labels, has it sent again, and drops
    /// it once it is resolved.
    #[tokio::test]
    async fn a_real_alertmanager_shows_and_resolves_it() {
        let Some(running) = alertmanager().await else { return };
        let clock = Clock::real();
        let (wiring, metrics, mut reports) = wiring(clock.clone());
        let yaml = format!("alertmanager: {{url: '{}', resend_every: 2s}}", running.url);
        let notifier = Notifier::start(&[sink(&yaml)], &wiring).unwrap();
        let firing = Alert { fired_at: Some(clock.now()), ..alert(3, State::Firing) };
        notifier.notify(&change(firing.clone()));
        let report = tokio::time::timeout(PATIENCE, reports.recv()).await.unwrap().unwrap();
        assert_eq!((report.alert, report.sink.as_str()), (3, "alertmanager"));

        let alerts = format!("{}/api/v2/alerts", running.url);
        let shown = |value: Option<&Value>| {
            value.and_then(|v| v.get(0)).is_some_and(|alert| {
                alert["status"]["state"] == "active"
                    && alert["labels"]["alertname"] == ALERTNAME
                    && alert["labels"]["group"] == "redis:wine"
                    && alert["labels"]["severity"] == "critical"
                    && alert["annotations"]["description"] == firing.message
            })
        };
        until(&alerts, shown).await;
        let again = tokio::time::timeout(PATIENCE, reports.recv()).await.unwrap().unwrap();
        assert!(again.at > report.at, "sent again while it fires");

        let now = clock.now();
        notifier.notify(&change(Alert { state: State::Resolved, resolved_at: Some(now), ..firing.clone() }));
        until(&alerts, |value| value.is_some_and(|v| v.as_array().is_some_and(Vec::is_empty))).await;
        let took = clock.now().seconds_since(now);
        assert!(took < 5.0, "it ended by itself after {took} s, not by the recovery");
        notifier.stop(PATIENCE).await;
        assert_eq!(counted(&metrics, "alertmanager", "refused"), 0);
        assert!(counted(&metrics, "alertmanager", "delivered") >= 3);
    }
}
