//! A run as a script: everything that the engine reads, built by the real meters and witness from
//! times in milliseconds, to be bent by each test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::{Entry, Event, Timeline};
use crate::chaos::{Act, Experiment, Journal, Objective, ObjectiveKind};
use crate::record::{BatchBuilder, Column, Kind, Record, Role, Schema};
use crate::slo;
use crate::units::Timestamp;
use crate::verdict::{
    Clock, Evidence, Frozen, Input, KnownAnswers, Limits, Tap, Verdict, Watch, Witness, judge, phases,
};

pub(super) const STEADY: i64 = 1_000;
pub(super) const ACTIVE: i64 = 16_000;
pub(super) const EFFECT: i64 = 16_320;
pub(super) const RESTORED: i64 = 28_000;
pub(super) const ENDED: i64 = 40_000;
pub(in crate::verdict) const GROUP: &str = "redis:wine";
pub(super) const FAULT: &str = "store-slow";

/// Traffic: what the row at a time says of the group's features, how its request ended and how long it took.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) status: Option<&'static str>,
    pub(super) ok: bool,
    pub(super) latency_ms: u64,
}

/// A run that went as the main story does, until a test bends it.
pub(super) struct Script {
    pub(super) experiment: Experiment,
    pub(super) journal: Journal,
    pub(super) timeline: Timeline,
    pub(super) traffic: fn(i64) -> Row,
    pub(super) tap: Tap,
    pub(super) watch: Watch,
    pub(super) clock: Clock,
    pub(super) known_answers: Option<KnownAnswers>,
    pub(super) after: Frozen,
    pub(super) slo_data: bool,
    pub(super) witnessed: bool,
}

pub(in crate::verdict) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + millis)
}

fn file(name: &str) -> Experiment {
    let path = format!("{}/experiments/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    Experiment::read(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn frozen() -> Frozen {
    Frozen { experiment: "e1".into(), detectors: "d1".into(), baseline: "b1".into() }
}

/// One row in three goes to the store, and finds zeros there while it is slow.
pub(super) fn zeros_in_silence(millis: i64) -> Row {
    let struck = (EFFECT..RESTORED + 500).contains(&millis) && millis / 10 % 3 == 0;
    Row {
        status: Some(if struck { "default" } else { "present" }),
        ok: true,
        latency_ms: if struck { 500 } else { 5 },
    }
}

pub(super) fn healthy(_: i64) -> Row {
    Row { status: Some("present"), ok: true, latency_ms: 5 }
}

/// The repaired service: no row where the store failed.
pub(super) fn fails_loudly(millis: i64) -> Row {
    let struck = zeros_in_silence(millis).status == Some("default");
    Row { status: (!struck).then_some("present"), ok: !struck, latency_ms: 500 }
}

impl Script {
    /// Silent, detected in budget, recovered.
    pub(super) fn main_story() -> Self {
        let mut script = Self::quiet("feature-store-latency", zeros_in_silence);
        script.alert(1, GROUP, 17_000, &[("zero_group", 17_000), ("zero_rate", 17_200)], Some(31_000));
        script
    }

    /// Nothing broken, nothing fired.
    pub(super) fn sham() -> Self {
        Self::quiet("sham", healthy)
    }

    /// The service answers 503, and no detector is asked.
    pub(super) fn loud() -> Self {
        Self::quiet("feature-store-latency-fail-loudly", fails_loudly)
    }

    fn quiet(name: &str, traffic: fn(i64) -> Row) -> Self {
        let mut journal = Journal::default();
        let fault = || FAULT.to_owned();
        journal.note(at(0), Act::RunStarted);
        journal.note(at(STEADY), Act::SteadyStarted);
        journal.note(at(ACTIVE - 100), Act::FaultArmed { fault: fault() });
        journal.note(at(ACTIVE), Act::FaultActive { fault: fault() });
        journal.note(at(RESTORED), Act::FaultRestored { fault: fault() });
        journal.note(at(RESTORED + 900), Act::FaultVerified { fault: fault() });
        journal.note(at(ENDED), Act::RunEnded);
        Self {
            experiment: file(name),
            journal,
            timeline: Timeline::default(),
            traffic,
            tap: Tap { rows_seen: 4_000, rows_lost: BTreeMap::new() },
            watch: Watch { decided: 10, timeline_whole: true },
            clock: Clock { resolution_ms: 1.0, offset_ms: Some(0.0) },
            known_answers: Some(KnownAnswers { asked: 5, right: 5 }),
            after: frozen(),
            slo_data: true,
            witnessed: true,
        }
    }

    /// Adds an alert; each detector's row is 20 ms older than its event.
    pub(super) fn alert(
        &mut self,
        alert: u64,
        group: &str,
        firing: i64,
        detectors: &[(&str, i64)],
        resolved: Option<i64>,
    ) {
        let mut entry = |millis: i64, lag: i64, event| {
            let (at, stream_at) = (at(millis), at(millis - lag));
            self.timeline.0.push(Entry {
                at,
                stream_at,
                model: "wine".into(),
                alert,
                group: group.into(),
                event,
            });
        };
        entry(firing, 20, Event::Firing);
        for (detector, millis) in detectors {
            let event = Event::Detector { detector: (*detector).into(), features: vec!["alcohol".into()] };
            entry(*millis, 20, event);
        }
        entry(firing + 5, 0, Event::Delivered { sink: "webhook".into() });
        if let Some(millis) = resolved {
            entry(millis, 20, Event::Resolved);
        }
        self.timeline.0.sort_by_key(|entry| entry.at);
    }

    /// Forgets every alert.
    pub(super) fn silence(&mut self) {
        self.timeline.0.clear();
    }

    /// Removes what was done from the journal.
    pub(super) fn strike(&mut self, gone: impl Fn(&Act) -> bool) {
        self.journal.0.retain(|entry| !gone(&entry.act));
    }

    pub(super) fn judge(&self) -> Verdict {
        let evidence: BTreeMap<String, Evidence> =
            self.witnessed.then(|| (FAULT.to_owned(), self.evidence())).into_iter().collect();
        judge(&Input {
            run: "run-1",
            experiment: &self.experiment,
            journal: &self.journal,
            timeline: &self.timeline,
            slos: &self.reports(),
            evidence: &evidence,
            tap: &self.tap,
            watch: self.watch,
            clock: self.clock,
            known_answers: self.known_answers,
            frozen_before: &frozen(),
            frozen_after: &self.after,
            versions: &BTreeMap::from([("silentry".to_owned(), "0".to_owned())]),
            seed: self.experiment.seed,
            limits: Limits::default(),
        })
    }

    fn evidence(&self) -> Evidence {
        let mut witness = Witness::new(GROUP.to_owned());
        witness.activate(at(ACTIVE));
        let mut builder = BatchBuilder::new(schema());
        for millis in (0..ENDED).step_by(10) {
            let row = (self.traffic)(millis);
            builder.push(&record(millis, row.status, row.ok));
        }
        witness.see(&builder.finish().unwrap().0);
        witness.evidence()
    }

    fn reports(&self) -> Vec<slo::Report> {
        let Some(phases) = phases(&self.journal, Limits::default().in_flight) else { return Vec::new() };
        self.experiment.slos.iter().map(|slo| self.meter(slo, &phases).report(&phases).unwrap()).collect()
    }

    /// The store answers as slowly as the service: its level breaks, and nobody ordinary sees it.
    fn meter(&self, slo: &Objective, phases: &slo::Phases) -> slo::Meter {
        let kind = match slo.objective {
            ObjectiveKind::Latency { quantile, at_most }
            | ObjectiveKind::StoreLatency { quantile, at_most } => {
                slo::Kind::LatencyQuantile { quantile, at_most }
            }
            ObjectiveKind::Success { at_least } => slo::Kind::Success { at_least },
        };
        let objective = slo::Objective { name: slo.name.clone(), ordinary: slo.ordinary, kind };
        let mut meter = slo::Meter::new(objective, slo::Meter::WINDOW).unwrap();
        meter.cut(phases.fault.from);
        meter.cut(phases.fault.to);
        for millis in (0..ENDED).step_by(10).filter(|_| self.slo_data) {
            let row = (self.traffic)(millis);
            meter.record(at(millis), Duration::from_millis(row.latency_ms), row.ok).unwrap();
        }
        meter
    }
}

pub(in crate::verdict) fn schema() -> Arc<Schema> {
    let column = |name: &str, group: &str| Column::plain(name, Role::Input, Kind::Numeric, group);
    let columns =
        vec![column("alcohol", GROUP), column("pH", GROUP), column("colour", Schema::REQUEST_GROUP)];
    Arc::new(Schema::new("wine".into(), None, columns).unwrap())
}

pub(in crate::verdict) fn record(millis: i64, status: Option<&str>, ok: bool) -> Record {
    let feature_status = status.map(|s| serde_json::json!({"alcohol": s, "colour": "present"}));
    let line = serde_json::json!({
        "ts": at(millis).as_millis(),
        "model": "wine",
        "status": if ok { "ok" } else { "error" },
        "feature_status": feature_status.unwrap_or(serde_json::json!({})),
    });
    serde_json::from_value(line).unwrap()
}
