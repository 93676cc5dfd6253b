//! The tasks that ask who knows the right answer: beside the way of rows, never on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::Error;
use super::engine::ModelSetup;
use super::handle::Shared;
use super::model::Route;
use super::tasks::{Alarmed, stopped};
use crate::detect::{Answered, Check, Unanswered};
use crate::oracle::{Asker, KnownAnswers, PinnedCopy, Question, ROWS_MAX, Sampler};
use crate::record::Record;
use crate::units::Timestamp;

/// Questions that wait for the pinned copy, at the most,
const QUESTIONS_MAX: usize = 256;
/// and bytes of them.
const QUESTION_BYTES_MAX: usize = 8 << 20;
/// How often the pinned copy is tested where the model has no schedule.
const TEST_EVERY: Duration = Duration::from_secs(60);
/// How soon again, as long as it is not believed.
const TEST_AGAIN: Duration = Duration::from_secs(5);

/// Who is asked about the models.
#[derive(Debug, Default)]
pub(super) struct Oracles {
    live: Vec<(String, Asker, KnownAnswers)>,
    pub(super) copies: BTreeMap<String, Arc<PinnedCopy>>,
    test_every: BTreeMap<String, Duration>,
}

impl Oracles {
    pub(super) fn new(models: &[ModelSetup]) -> Result<Self, Error> {
        let mut oracles = Self::default();
        for setup in models {
            let name = setup.baseline.model().to_owned();
            oracles.add(setup).map_err(|source| Error::Oracle { model: name, source })?;
        }
        Ok(oracles)
    }

    fn add(&mut self, setup: &ModelSetup) -> Result<(), crate::oracle::Error> {
        let name = setup.baseline.model().to_owned();
        let is_on = |check: Check| !setup.without.iter().any(|name| name == check.name());
        let known = setup.known_answers.as_ref();
        if let Some(pinned) = setup.pinned.clone().filter(|_| is_on(Check::PinnedCopy)) {
            let every = known.map_or(TEST_EVERY, |known| known.every);
            self.copies.insert(name.clone(), Arc::new(PinnedCopy::new(pinned, known)?));
            self.test_every.insert(name.clone(), every);
        }
        if let Some(known) = known.filter(|_| is_on(Check::KnownAnswer)) {
            self.live.push((name, Asker::of_live(known)?, known.clone()));
        }
        Ok(())
    }

    /// Starts the tasks; gives the ends that rows are offered to.
    pub(super) fn spawn(
        self,
        shared: &Arc<Shared>,
        tasks: &mut JoinSet<()>,
        stopping: &watch::Receiver<bool>,
    ) -> Vec<Rescorer> {
        let alarmed = |what| Alarmed::new(Arc::clone(shared), what);
        for live in self.live {
            tasks.spawn(ask_live(alarmed("asks for known answers"), live, stopping.clone()));
        }
        let mut rescorers = Vec::new();
        for (model, copy) in self.copies {
            let every = self.test_every.get(&model).copied().unwrap_or(TEST_EVERY);
            let (rescorer, waiting) = Rescorer::new(model.clone(), &copy);
            rescorers.push(rescorer);
            tasks.spawn(test(alarmed("tests a pinned copy"), Arc::clone(&copy), every, stopping.clone()));
            let asking = alarmed("asks a pinned copy");
            tasks.spawn(ask_copy(asking, model, copy, (waiting, stopping.clone())));
        }
        rescorers
    }
}

/// A question in the queue, and the bytes that it takes up there.
#[derive(Debug)]
struct Waiting {
    question: Question,
    _bytes: OwnedSemaphorePermit,
}

/// Chooses rows of one model to be asked again. It never waits: what does not fit is an outcome of its own.
#[derive(Debug)]
pub(super) struct Rescorer {
    model: String,
    copy: Arc<PinnedCopy>,
    sampler: Sampler,
    sender: mpsc::Sender<Waiting>,
    bytes: Arc<Semaphore>,
}

impl Rescorer {
    fn new(model: String, copy: &Arc<PinnedCopy>) -> (Self, mpsc::Receiver<Waiting>) {
        let (sender, waiting) = mpsc::channel(QUESTIONS_MAX);
        // Another key in every process: nobody knows beforehand who will be asked again.
        let sampler = Sampler::new(copy.settings().share, *uuid::Uuid::now_v7().as_bytes());
        let bytes = Arc::new(Semaphore::new(QUESTION_BYTES_MAX));
        (Self { model, copy: Arc::clone(copy), sampler, sender, bytes }, waiting)
    }

    /// Lets the pinned copy be asked for some of these rows.
    pub(super) fn offer(&mut self, records: &[Record], shared: &Shared, now: Timestamp) {
        let chosen: Vec<&Record> = records
            .iter()
            .filter(|record| record.model == self.model && Question::is_due(record))
            .filter(|record| self.sampler.takes(record))
            .collect();
        if chosen.is_empty() {
            return;
        }
        let is_named = self.copy.settings().version.is_some();
        let (schema, chosen, others) = {
            let engine = shared.engine();
            let Some(model) = engine.models.get(&self.model) else { return };
            // Whatever other version the copy may be of, it is not of those that others judge.
            let is_its = |record: &&Record| is_named || model.route(record) == Route::Main;
            let (chosen, others): (Vec<&Record>, Vec<&Record>) = chosen.into_iter().partition(is_its);
            (Arc::clone(model.schema()), chosen, others)
        };
        let is_one = |a: &&Record, b: &&Record| a.request_id.is_some() && a.request_id == b.request_id;
        let other = |row: &&Record| Answered::none(row.ts, Unanswered::OtherVersion);
        let mut missed: Vec<Answered> = others.iter().map(other).collect();
        for rows in chosen.chunk_by(is_one).flat_map(|rows| rows.chunks(ROWS_MAX)) {
            let asked = Question::new(rows, &schema, self.copy.settings());
            match asked {
                Ok(question) => missed.extend(self.send(question)),
                Err(why) => missed.extend(rows.iter().map(|row| Answered::none(row.ts, why))),
            }
        }
        note(shared, &self.model, Check::PinnedCopy, missed, now);
    }

    /// The outcomes of a question that does not fit.
    fn send(&self, question: Question) -> Vec<Answered> {
        let full = |question: &Question| question.unanswered(Unanswered::QueueFull);
        let bytes = question.bytes();
        let Some(bytes) = u32::try_from(bytes).ok().filter(|_| bytes <= QUESTION_BYTES_MAX) else {
            return question.unanswered(Unanswered::Unaskable);
        };
        let Ok(permit) = Arc::clone(&self.bytes).try_acquire_many_owned(bytes) else {
            return full(&question);
        };
        match self.sender.try_send(Waiting { question, _bytes: permit }) {
            Ok(()) => Vec::new(),
            Err(mpsc::error::TrySendError::Full(waiting)) => full(&waiting.question),
            Err(mpsc::error::TrySendError::Closed(waiting)) => {
                waiting.question.unanswered(Unanswered::ShuttingDown)
            }
        }
    }
}

/// Hands outcomes to the engine, and tells what they change.
fn note(shared: &Shared, model: &str, check: Check, answers: Vec<Answered>, now: Timestamp) {
    if answers.is_empty() {
        return;
    }
    let changes = shared.engine().checked(model, check, answers, now);
    shared.tell(&changes);
    #[cfg(test)]
    shared.noted.notify_waiters();
}

async fn ask_live(
    shared: Alarmed,
    (model, asker, known): (String, Asker, KnownAnswers),
    mut stopping: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(known.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let told = |answered: Answered| {
            note(&shared, &model, Check::KnownAnswer, vec![answered], shared.clock.now());
        };
        let round = async {
            ticks.tick().await;
            asker.known(&known.requests, known.tolerance, &shared.clock, told).await;
        };
        tokio::select! {
            () = round => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

async fn test(shared: Alarmed, copy: Arc<PinnedCopy>, every: Duration, mut stopping: watch::Receiver<bool>) {
    loop {
        let test = async {
            let judged = copy.test(&shared.clock).await;
            #[cfg(test)]
            shared.noted.notify_waiters();
            tokio::time::sleep(if judged.is_believed() { every } else { every.min(TEST_AGAIN) }).await;
        };
        tokio::select! {
            () = test => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

async fn ask_copy(
    shared: Alarmed,
    model: String,
    copy: Arc<PinnedCopy>,
    (mut waiting, mut stopping): (mpsc::Receiver<Waiting>, watch::Receiver<bool>),
) {
    let most = copy.settings().in_flight_max.get();
    let mut under_way = FuturesUnordered::new();
    let end = stopping.clone();
    let noted = |answers| note(&shared, &model, Check::PinnedCopy, answers, shared.clock.now());
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => break,
            Some(answers) = under_way.next() => noted(answers),
            question = waiting.recv(), if under_way.len() < most => match question {
                Some(question) => under_way.push(ask(&shared, (&model, &copy), question, end.clone())),
                None => break,
            },
        }
    }
    // What was begun, and what waits, is given up and counted.
    waiting.close();
    while let Some(answers) = under_way.next().await {
        noted(answers);
    }
    while let Ok(Waiting { question, .. }) = waiting.try_recv() {
        noted(question.unanswered(Unanswered::ShuttingDown));
    }
}

async fn ask(
    shared: &Shared,
    (model, copy): (&str, &PinnedCopy),
    waiting: Waiting,
    mut stopping: watch::Receiver<bool>,
) -> Vec<Answered> {
    let is_accused = shared.engine().models.get(model).is_some_and(|watched| watched.checks.accuses());
    tokio::select! {
        answers = copy.ask(&waiting.question, is_accused, &shared.clock) => answers,
        () = stopped(&mut stopping) => waiting.question.unanswered(Unanswered::ShuttingDown),
    }
}
