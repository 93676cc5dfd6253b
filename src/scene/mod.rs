//! The scene of the demonstration: a model service with a feature store, and its traffic.
//!
//! All of it is real: red wines and their quality as published, a model trained on them, a store
//! that speaks Redis' protocol, a service that speaks the Open Inference Protocol. It knows
//! nothing of detectors: what the model saw leaves through the tap, as from any other service.

mod call;
mod data;
mod decide;
mod fallback;
mod fetch;
mod fill;
mod load;
mod model;
mod service;
mod store;

pub use call::{Failure, ask};
pub use data::{
    Data, FEATURES, FeatureFact, MODEL, REQUEST_FEATURES, STORE_FEATURES, STORE_GROUP, VERSION, Wine, facts,
};
pub use fallback::{Fallback, FallbackLog};
pub use fill::{FillConfig, Filled, fill};
pub use load::{Load, LoadConfig, LoadStats, Outcome, Traffic};
pub use model::{Accuracy, Answer, Model};
pub use service::{Service, ServiceConfig};
pub use store::{Choice, Store, StoreAddress, StoreKind};

/// What the scene cannot do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model cannot be trained.
    #[error("cannot train the model: {0}")]
    Train(String),
    /// The store's address cannot be used.
    #[error("store `{url}`: {reason}, expected such as `redis://127.0.0.1:6379`")]
    StoreUrl {
        /// The text that was given, without a password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store did not do what was asked.
    #[error("feature store at {addr}: {reason}")]
    Store {
        /// Where it is.
        addr: String,
        /// What happened.
        reason: String,
    },
    /// No store could be started.
    #[error("cannot start a feature store: {0}")]
    StoreStart(String),
    /// An address on loopback cannot be listened on.
    #[error("cannot listen on loopback")]
    Listen(#[source] std::io::Error),
    /// The service's address cannot be used.
    #[error("model service `{url}`: {reason}")]
    ServiceUrl {
        /// The text that was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A request that has no answer to read.
    #[error("request `{id}`: {reason}")]
    Answer {
        /// The request.
        id: String,
        /// What happened.
        reason: String,
    },
    /// No request would ever be due.
    #[error("the load's rate is 0 requests a second, expected more")]
    NoRate,
    /// The traffic has nothing to choose from.
    #[error("no {0} wine to ask for")]
    NoWines(&'static str),
}
