use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::{HopFault, Injector};
use crate::chaos::FaultKind;

/// The store's replies come later, in order.
pub(super) struct StoreLatency;

impl Injector for StoreLatency {
    fn name(&self) -> &'static str {
        "store_latency"
    }

    fn about(&self) -> &'static str {
        "Delivers every touched reply of the feature store later by `latency`, up to `jitter` more or less; \
         replies keep their order and their throughput."
    }

    fn build(&self, kind: &FaultKind) -> Option<Arc<dyn HopFault>> {
        match kind {
            FaultKind::StoreLatency { latency, jitter } => {
                Some(Arc::new(Delay { latency: *latency, jitter: *jitter }))
            }
        }
    }
}

#[derive(Debug)]
struct Delay {
    latency: Duration,
    jitter: Duration,
}

impl HopFault for Delay {
    /// Uniform from `latency - jitter` (never below none) to `latency + jitter`.
    fn delay(&self, rng: &mut StdRng) -> Duration {
        let earliest = self.latency.saturating_sub(self.jitter);
        let latest = self.latency.saturating_add(self.jitter);
        rng.random_range(earliest..=latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// Delays stay inside latency ± jitter, differ, and repeat with the seed.
    #[test]
    fn delays_are_bounded_and_seeded() {
        let fault = Delay { latency: Duration::from_millis(800), jitter: Duration::from_millis(50) };
        let draw = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..500).map(|_| fault.delay(&mut rng)).collect::<Vec<_>>()
        };
        let delays = draw(7);
        assert!(delays.iter().all(|d| (750..=850).contains(&d.as_millis())), "{delays:?}");
        assert!(delays.iter().max() > delays.iter().min());
        assert_eq!(delays, draw(7));
        let wide = Delay { latency: Duration::from_millis(1), jitter: Duration::from_millis(5) };
        assert!(wide.delay(&mut StdRng::seed_from_u64(1)) <= Duration::from_millis(6));
    }
}
