use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::{Asker, Error, KnownAnswers, Pinned, Question};
use crate::detect::{Answered, Outcome, Unanswered};
use crate::oip::{KnownAnswer, Tolerance};
use crate::units::{Clock, Timestamp};

/// The pinned copy of a model, and whether it is a judge.
#[derive(Debug)]
pub struct PinnedCopy {
    asker: Asker,
    settings: Pinned,
    /// What it is tested by, where that is configured.
    known: Option<(Vec<KnownAnswer>, Tolerance)>,
    judged: Mutex<Judged>,
}

/// What the known answers say of a pinned copy itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Judged {
    /// Nobody tests it: no known answers are configured. It is believed.
    Unchecked,
    /// It was not tested yet.
    Waiting,
    /// It gave all of them.
    Right {
        /// When.
        at: Timestamp,
    },
    /// It gave another: what it says of rows says nothing.
    Wrong {
        /// When.
        at: Timestamp,
        /// What was wrong.
        what: String,
    },
    /// It did not answer all of them.
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

    fn of(answers: Vec<Answered>, at: Timestamp) -> Self {
        let mut judged = Self::Right { at };
        for answer in answers {
            match answer.outcome {
                Outcome::Right => {}
                Outcome::Wrong { what, .. } => return Self::Wrong { at, what },
                Outcome::Unanswered(why) => judged = Self::Unanswered { at, why },
            }
        }
        judged
    }
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
        Ok(Self { asker: Asker::of_copy(&settings)?, settings, known, judged })
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

    fn lock(&self) -> MutexGuard<'_, Judged> {
        // One value, replaced as a whole.
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tests it by the known answers.
    pub async fn test(&self, clock: &Clock) -> Judged {
        let Some((requests, tolerance)) = &self.known else { return Judged::Unchecked };
        let judged = Judged::of(self.asker.known(requests, *tolerance, clock).await, clock.now());
        self.lock().clone_from(&judged);
        judged
    }

    /// Asks it for rows again. Where it says otherwise than the live model, it has to say so twice, and to know
    /// its own known answers at that very time: a copy that breaks must not accuse the model.
    pub async fn ask(&self, question: &Question, clock: &Clock) -> Vec<Answered> {
        let judged = self.judged();
        let judged = if judged == Judged::Waiting { self.test(clock).await } else { judged };
        if let Some(why) = judged.objection() {
            return question.unanswered(why);
        }
        let first = match self.asker.ask(question.body()).await {
            Ok(answer) => answer,
            Err(why) => return question.unanswered(why),
        };
        let answered = question.compare(first.clone(), &self.settings);
        if !answered.iter().any(|row| matches!(row.outcome, Outcome::Wrong { .. })) {
            return answered;
        }
        let steady = match self.asker.ask(question.body()).await {
            Ok(second) => question.is_steady(first, second, self.settings.tolerance),
            Err(why) => return question.unanswered(why),
        };
        if !steady {
            return question.unanswered(Unanswered::JudgeWrong);
        }
        match self.test(clock).await.objection() {
            Some(why) => question.unanswered(why),
            None => answered,
        }
    }
}
