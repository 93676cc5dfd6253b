use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};

use super::{Losses, Reason};
use crate::record::Record;
use crate::units::{count, whole};

/// How much may wait between a decoder and its consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Records; at least 1 is taken.
    pub records: usize,
    /// Bytes, as the records were written; a larger record is never taken.
    pub bytes: u32,
}

impl Default for Limits {
    /// 65,536 records or 64 MiB: some minutes of busy traffic, and a bound that a sidecar can afford.
    fn default() -> Self {
        Self { records: 65_536, bytes: 64 << 20 }
    }
}

/// The end that takes records in. It never waits: what does not fit is counted and dropped.
#[derive(Debug, Clone)]
pub struct Intake {
    sender: mpsc::Sender<Waiting>,
    bytes: Arc<Semaphore>,
    limits: Limits,
    losses: Arc<Losses>,
}

/// The end that a consumer reads from.
#[derive(Debug)]
pub struct Outlet {
    receiver: mpsc::Receiver<Waiting>,
}

/// A record in the queue; one that is dropped in there counts itself as lost.
#[derive(Debug)]
struct Waiting {
    record: Option<Record>,
    losses: Arc<Losses>,
    _bytes: OwnedSemaphorePermit,
}

impl Waiting {
    fn take(mut self) -> Option<Record> {
        self.record.take()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.record.is_some() {
            self.losses.add(Reason::ShuttingDown, 1);
        }
    }
}

/// A queue bounded in records and in bytes, whose losses are counted in `losses`.
#[must_use]
pub fn intake(limits: Limits, losses: Arc<Losses>) -> (Intake, Outlet) {
    let limits = Limits { records: limits.records.clamp(1, Semaphore::MAX_PERMITS), ..limits };
    let (sender, receiver) = mpsc::channel(limits.records);
    let permits = usize::try_from(limits.bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
    let bytes = Arc::new(Semaphore::new(permits));
    (Intake { sender, bytes, limits, losses }, Outlet { receiver })
}

impl Intake {
    /// Takes what fits of the records, each with its size in bytes; answers how many were taken.
    pub fn offer(&self, records: impl IntoIterator<Item = (Record, usize)>) -> usize {
        let mut taken = 0;
        for (record, bytes) in records {
            match self.offer_one(record, bytes) {
                Ok(()) => taken += 1,
                Err(reason) => self.losses.add(reason, 1),
            }
        }
        taken
    }

    fn offer_one(&self, record: Record, bytes: usize) -> Result<(), Reason> {
        let bytes = u32::try_from(bytes).ok().filter(|b| *b <= self.limits.bytes).ok_or(Reason::TooLarge)?;
        if self.sender.is_closed() {
            return Err(Reason::ShuttingDown);
        }
        let permit = Arc::clone(&self.bytes).try_acquire_many_owned(bytes).map_err(|error| match error {
            TryAcquireError::NoPermits => Reason::QueueFull,
            TryAcquireError::Closed => Reason::ShuttingDown,
        })?;
        let waiting = Waiting { record: Some(record), losses: Arc::clone(&self.losses), _bytes: permit };
        self.sender.try_send(waiting).map_err(|error| {
            let (waiting, reason) = match error {
                TrySendError::Full(waiting) => (waiting, Reason::QueueFull),
                TrySendError::Closed(waiting) => (waiting, Reason::ShuttingDown),
            };
            // Taken out, so that it is counted once: by the reason answered here.
            waiting.take();
            reason
        })
    }

    /// What was lost, here and wherever else the same counters are used.
    #[must_use]
    pub const fn losses(&self) -> &Arc<Losses> {
        &self.losses
    }
}

impl Outlet {
    /// Waits for records and answers up to `max` of them, in the order in which they came; nothing
    /// when every [`Intake`] is gone or [`Outlet::close`] was called and all was read.
    pub async fn next(&mut self, max: usize) -> Vec<Record> {
        let mut waiting = Vec::new();
        self.receiver.recv_many(&mut waiting, max.max(1)).await;
        waiting.into_iter().filter_map(Waiting::take).collect()
    }

    /// The part of the room for waiting records that is taken: from 0 to 1.
    #[must_use]
    pub fn filled(&self) -> f64 {
        count(whole(self.receiver.len())) / count(whole(self.receiver.max_capacity().max(1)))
    }

    /// Takes no more records in; what waits can still be read.
    pub fn close(&mut self) {
        self.receiver.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: usize) -> Record {
        serde_json::from_value(serde_json::json!({"ts": 0, "model": "m", "request_id": id.to_string()}))
            .unwrap()
    }

    fn records(n: usize, bytes: usize) -> Vec<(Record, usize)> {
        (0..n).map(|id| (record(id), bytes)).collect()
    }

    fn queue(records: usize, bytes: u32) -> (Intake, Outlet, Arc<Losses>) {
        let losses = Arc::new(Losses::default());
        let (intake, outlet) = intake(Limits { records, bytes }, Arc::clone(&losses));
        (intake, outlet, losses)
    }

    fn lost(losses: &Losses) -> Vec<(Reason, u64)> {
        losses.by_reason().collect()
    }

    /// A consumer that never reads costs the records beyond either bound, and no time.
    #[test]
    fn both_bounds_hold() {
        let (intake, _outlet, losses) = queue(3, 1_000);
        assert_eq!(intake.offer(records(5, 10)), 3);
        assert_eq!(lost(&losses), [(Reason::QueueFull, 2)]);
        let (intake, _outlet, losses) = queue(100, 1_000);
        assert_eq!(intake.offer(records(5, 400)), 2);
        assert_eq!(intake.offer(records(1, 1_001)), 0);
        assert_eq!(lost(&losses), [(Reason::TooLarge, 1), (Reason::QueueFull, 3)]);
    }

    /// Reading makes room again, in records and bytes, and keeps the order.
    #[tokio::test]
    async fn reading_makes_room() {
        let (intake, mut outlet, losses) = queue(2, 100);
        for _ in 0..10 {
            assert_eq!(intake.offer(records(2, 50)), 2);
            let ids: Vec<_> = outlet.next(10).await.into_iter().filter_map(|r| r.request_id).collect();
            assert_eq!(ids, ["0", "1"]);
        }
        assert_eq!(losses.total(), 0);
    }

    /// After closing, what waits is still read; what comes later is counted.
    #[tokio::test]
    async fn closing_drains() {
        let (intake, mut outlet, losses) = queue(10, 100);
        intake.offer(records(3, 1));
        outlet.close();
        assert_eq!(intake.offer(records(2, 1)), 0);
        assert_eq!((outlet.next(2).await.len(), outlet.next(2).await.len()), (2, 1));
        assert!(outlet.next(2).await.is_empty());
        assert_eq!(lost(&losses), [(Reason::ShuttingDown, 2)]);
    }

    /// A consumer that dies leaves no record uncounted: taken = read + lost.
    #[tokio::test]
    async fn a_dead_consumer_is_counted() {
        let (intake, mut outlet, losses) = queue(10, 100);
        assert_eq!(intake.offer(records(5, 1)), 5);
        assert_eq!(outlet.next(2).await.len(), 2);
        drop(outlet);
        assert_eq!(intake.offer(records(1, 1)), 0);
        assert_eq!(lost(&losses), [(Reason::ShuttingDown, 4)]);
    }

    /// With no sender left the consumer ends instead of waiting for ever.
    #[tokio::test]
    async fn no_sender_ends_the_stream() {
        let (intake, mut outlet, _) = queue(10, 100);
        drop(intake);
        assert!(outlet.next(1).await.is_empty());
    }
}
