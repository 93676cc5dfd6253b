//! The faults, one file each; adding one is its file and two lines here.

mod store_latency;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;

use super::FaultKind;

/// What a fault does to the bytes that come back through a hop.
pub trait HopFault: Send + Sync + fmt::Debug {
    /// How much later the next touched chunk is to be delivered.
    fn delay(&self, rng: &mut StdRng) -> Duration;
}

/// A member of the family: its name, its manual, and how it is made from an experiment's words.
pub trait Injector: Sync {
    /// The name as written in experiment files.
    fn name(&self) -> &'static str;
    /// What it does, in a sentence for the manual.
    fn about(&self) -> &'static str;
    /// The fault, when `kind` is this member's.
    fn build(&self, kind: &FaultKind) -> Option<Arc<dyn HopFault>>;
}

/// Every fault there is.
pub static INJECTORS: &[&dyn Injector] = &[&store_latency::StoreLatency];

/// The fault that an experiment asks for; nothing when no member knows it.
#[must_use]
pub fn hop_fault(kind: &FaultKind) -> Option<Arc<dyn HopFault>> {
    INJECTORS.iter().find_map(|injector| injector.build(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are unique, and each is how experiment files spell its member's kind.
    #[test]
    fn members_are_known_by_their_name() {
        let mut seen = std::collections::BTreeSet::new();
        for injector in INJECTORS {
            assert!(seen.insert(injector.name()), "{} appears twice", injector.name());
            assert!(injector.about().ends_with('.'), "{}", injector.name());
        }
        let kind = FaultKind::StoreLatency { latency: Duration::from_millis(1), jitter: Duration::ZERO };
        let written = serde_json::to_value(&kind).unwrap();
        let name = written.as_object().unwrap().keys().next().unwrap().clone();
        assert!(seen.contains(name.as_str()), "{name}");
        assert!(hop_fault(&kind).is_some());
    }
}
