use std::fmt;

use serde::{Deserialize, Serialize};

/// An enum of words that experiment files expect and verdicts give.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
        )]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// The word in files and verdicts.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words!(
    /// Whether a run can be judged at all.
    RunStatus {
        /// It can.
        Valid = "valid",
        /// Nothing was broken.
        NotRun = "not_run",
        /// It was cut short.
        Aborted = "aborted",
        /// It went to its end, and yet nothing can be concluded from it.
        Invalid = "invalid",
    }
);

words!(
    /// Whether the fault reached the model's rows, proven apart from any detector.
    Effect {
        /// Rows changed, or requests failed, that did not before.
        Effective = "effective",
        /// Rows that would have shown it did not.
        NoEffect = "no_effect",
        /// Nothing was seen that could have shown it either way.
        Unverified = "unverified",
    }
);

words!(
    /// Whether an ordinary service level saw the fault.
    Visibility {
        /// One was broken.
        Loud = "loud",
        /// All held.
        Silent = "silent",
    }
);

words!(
    /// A run in one word.
    Headline {
        /// We would have noticed.
        Pass = "pass",
        /// We would not, or not properly.
        Fail = "fail",
        /// The run does not tell.
        Inconclusive = "inconclusive",
    }
);

words!(
    /// What became of an expected detection; the worst is the fault's. Ordered from best to worst.
    Outcome {
        /// It fired in time.
        DetectedInBudget = "detected_in_budget",
        /// It fired after its time.
        DetectedLate = "detected_late",
        /// Its alert stood before the fault took effect: it shows nothing.
        AlreadyFiring = "already_firing",
        /// None of the expected fired, another did: counts as missed.
        WrongDetector = "wrong_detector",
        /// It did not fire.
        Missed = "missed",
    }
);

words!(
    /// How a run ended. Ordered from best to worst.
    Recovery {
        /// The fault is proven gone and no alert of it stands.
        Recovered = "recovered",
        /// The fault is proven gone, its alert stands.
        AlertStuck = "alert_stuck",
        /// The fault is not proven gone.
        Unrecovered = "unrecovered",
    }
);
