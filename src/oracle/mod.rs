//! Who knows the right answer: requests whose answers were recorded, and a pinned copy of the model.
//!
//! Both are asked over the Open Inference Protocol, and off the path of any row: whoever does not answer is given
//! up, and the reason is the outcome. Nothing here decides what is an alarm.

mod asker;
mod pinned;
mod question;
mod sampler;
mod settings;

#[cfg(test)]
mod tests;

pub use asker::{Asker, NoAnswer};
pub use pinned::{Judged, PinnedCopy};
pub use question::{Question, ROWS_MAX};
pub use sampler::Sampler;
pub use settings::{KnownAnswers, Pinned, REQUESTS_MAX, check_requests, read_requests};

/// Who cannot be asked, or what.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The secret cannot be read.
    #[error("{field}: {source}")]
    Secret {
        /// `known_answers.authorization` or `pinned.authorization`.
        field: &'static str,
        /// Why.
        source: crate::alert::Error,
    },
    /// A secret that no HTTP header can carry.
    #[error("{0}: the secret cannot be sent as a header, expected one line of printable ASCII")]
    Header(&'static str),
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(reqwest::Error),
    /// Known answers that cannot be asked for.
    #[error("{field}: {message}")]
    Requests {
        /// The field within the known answers, such as `requests[2].name`.
        field: String,
        /// What is wrong, and what was expected.
        message: String,
    },
}
