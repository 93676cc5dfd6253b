use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

use super::{Asker, Error, KnownAnswers, Pinned, Question};
use crate::detect::{Answered, Outcome, Unanswered};
use crate::oip::{InferResponse, KnownAnswer, Part, Tolerance};
use crate::units::{Clock, Timestamp, whole};

/// How often a question is put to the copy, and a known request, until there is an answer.
const TRIES: usize = 3;
/// After so many known requests in a row without an answer it answers none.
const GIVE_UP: usize = 8;

/// The pinned copy of a model, and whether it is a judge.
#[derive(Debug)]
pub struct PinnedCopy {
    asker: Asker,
    settings: Pinned,
    /// What it is tested by, where that is configured.
    known: Option<(Vec<KnownAnswer>, Tolerance)>,
    judged: Mutex<Judged>,
    compared: Mutex<BTreeMap<Part, u64>>,
    /// When the last test began; held while one is under way.
    testing: tokio::sync::Mutex<Option<Instant>>,
}

/// What the known answers say of a pinned copy itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Judged {
    /// Nobody tests it: no known answers are configured. It is believed.
    Unchecked,
    /// It was not tested yet.
    Waiting,
    /// It gave none but right ones, to half of the requests or more.
    Right {
        /// When.
        at: Timestamp,
        /// Requests without an answer, each of which was sent several times.
        unanswered: u64,
    },
    /// It gave a wrong one: what it says of rows says nothing.
    Wrong {
        /// When.
        at: Timestamp,
        /// What was wrong.
        what: String,
    },
    /// It did not answer half of them.
    Unanswered {
        /// When.
        at: Timestamp,
        /// Why.
        why: Unanswered,
    },
}

impl Judged {
    /// Whether what it says of rows is believed.
    #[must_use]
    pub const fn is_believed(&self) -> bool {
        self.objection().is_none()
    }

    /// Why nothing that it says is believed, where nothing is.
    const fn objection(&self) -> Option<Unanswered> {
        match self {
            Self::Unchecked | Self::Waiting | Self::Right { .. } => None,
            Self::Wrong { .. } => Some(Unanswered::JudgeWrong),
            Self::Unanswered { why, .. } => Some(*why),
        }
    }

    /// What `asked` requests say, of which so many were answered rightly and none wrongly.
    fn of(right: usize, asked: usize, missing: Option<Unanswered>, at: Timestamp) -> Self {
        match missing {
            Some(why) if right.saturating_mul(2) < asked || right == 0 => Self::Unanswered { at, why },
            _ => Self::Right { at, unanswered: whole(asked.saturating_sub(right)) },
        }
    }
}

/// Whether another try may bring what one did not.
const fn may_pass(why: Unanswered) -> bool {
    matches!(why, Unanswered::Timeout | Unanswered::Unreachable | Unanswered::Failed)
}

impl PinnedCopy {
    /// A copy that is tested by its own known answers, or else by the model's, where there are any.
    ///
    /// # Errors
    /// A secret that cannot be read or sent.
    pub fn new(settings: Pinned, known: Option<&KnownAnswers>) -> Result<Self, Error> {
        let own = Some((settings.requests.clone(), settings.tolerance)).filter(|(own, _)| !own.is_empty());
        let known = own.or_else(|| known.map(|known| (known.requests.clone(), known.tolerance)));
        let judged = Mutex::new(if known.is_some() { Judged::Waiting } else { Judged::Unchecked });
        let testing = tokio::sync::Mutex::new(None);
        Ok(Self {
            asker: Asker::of_copy(&settings)?,
            settings,
            known,
            judged,
            testing,
            compared: Mutex::default(),
        })
    }

    /// As it was configured.
    #[must_use]
    pub const fn settings(&self) -> &Pinned {
        &self.settings
    }

    /// What the last test said of it.
    #[must_use]
    pub fn judged(&self) -> Judged {
        self.lock().clone()
    }

    /// How often each part of an answer was compared, rightly or wrongly.
    #[must_use]
    pub fn compared(&self) -> BTreeMap<Part, u64> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, parts: Vec<Part>) {
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        for part in parts {
            *compared.entry(part).or_insert(0) += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Judged> {
        // One value, replaced as a whole.
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tests it by the known answers. One wrong answer is enough; a request without an answer is sent again.
    pub async fn test(&self, clock: &Clock) -> Judged {
        self.test_since(Instant::now(), clock).await
    }

    /// What a test says that began at this time or later: however many want to know, one is under way.
    async fn test_since(&self, since: Instant, clock: &Clock) -> Judged {
        let Some((requests, tolerance)) = &self.known else { return Judged::Unchecked };
        let mut last = self.testing.lock().await;
        if last.is_some_and(|began| began >= since) {
            return self.judged();
        }
        let began = Instant::now();
        let judged = self.tested(requests, *tolerance, clock).await;
        self.lock().clone_from(&judged);
        *last = Some(began);
        judged
    }

    async fn tested(&self, requests: &[KnownAnswer], tolerance: Tolerance, clock: &Clock) -> Judged {
        let (mut left, mut right, mut in_a_row) = (requests.iter().collect::<Vec<_>>(), 0, 0);
        let mut missing = None;
        for _ in 0..TRIES {
            missing = None;
            let mut again = Vec::new();
            for known in std::mem::take(&mut left) {
                match self.asker.known_one(known, tolerance).await.0 {
                    Outcome::Right => (right, in_a_row) = (right + 1, 0),
                    Outcome::Wrong { what, .. } => return Judged::Wrong { at: clock.now(), what },
                    Outcome::Unanswered(why) => {
                        (missing, in_a_row) = (Some(why), in_a_row + 1);
                        again.push(known);
                    }
                }
                if in_a_row >= GIVE_UP {
                    return Judged::of(right, requests.len(), missing, clock.now());
                }
            }
            if !missing.is_some_and(may_pass) {
                break;
            }
            left = again;
        }
        Judged::of(right, requests.len(), missing, clock.now())
    }

    /// Asks it for rows again. Where it says otherwise than the live model, it has to say so twice, and to give no
    /// wrong answer to its known requests at that very time: a copy that breaks must not accuse the model. Where
    /// that cannot be found out, the rows are [`Unanswered::Unconfirmed`]. Once the model `is_accused`, the tests
    /// that are made all the time are enough: rows that wait must not hold the alarm by waiting for tests.
    pub async fn ask(&self, question: &Question, is_accused: bool, clock: &Clock) -> Vec<Answered> {
        let judged = self.judged();
        let judged = if judged == Judged::Waiting { self.test(clock).await } else { judged };
        if let Some(why) = judged.objection() {
            return question.unanswered(why);
        }
        let first = match self.asker.ask(question.body()).await {
            Ok(answer) => answer,
            Err(none) => return question.unanswered_with(none.why, none.detail.as_deref()),
        };
        let since = Instant::now();
        let (answered, parts) = question.compare(first.clone(), &self.settings);
        self.count(parts);
        if !answered.iter().any(|row| matches!(row.outcome, Outcome::Wrong { .. })) {
            return answered;
        }
        let Some(second) = self.ask_again(question).await else { return unconfirmed(answered) };
        if !question.is_steady(first, second, self.settings.tolerance) {
            return question.unanswered(Unanswered::JudgeWrong);
        }
        if is_accused {
            return answered;
        }
        match self.test_since(since, clock).await {
            Judged::Wrong { .. } => question.unanswered(Unanswered::JudgeWrong),
            Judged::Unanswered { .. } => unconfirmed(answered),
            Judged::Unchecked | Judged::Waiting | Judged::Right { .. } => answered,
        }
    }

    async fn ask_again(&self, question: &Question) -> Option<InferResponse> {
        for _ in 0..TRIES {
            match self.asker.ask(question.body()).await {
                Ok(answer) => return Some(answer),
                Err(none) if may_pass(none.why) => {}
                Err(_) => return None,
            }
        }
        None
    }
}

/// The same outcomes, but for the wrong ones: nobody knows whether they are.
fn unconfirmed(mut answered: Vec<Answered>) -> Vec<Answered> {
    for row in &mut answered {
        if matches!(row.outcome, Outcome::Wrong { .. }) {
            row.outcome = Outcome::Unanswered(Unanswered::Unconfirmed);
        }
    }
    answered
}
