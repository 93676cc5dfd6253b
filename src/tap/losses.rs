use std::sync::atomic::{AtomicU64, Ordering};

/// Why a record never reached its detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It could not be read.
    Malformed,
    /// It was larger than the tap takes.
    TooLarge,
    /// The queue held as many records or bytes as it may.
    QueueFull,
    /// It was of a model that is not watched.
    UnknownModel,
    /// It came, or was still waiting, when the consumer stopped.
    ShuttingDown,
    /// Its sender numbered it, and the number never came: lost on the way, or unreadable here and then
    /// counted as that too.
    MissingSeq,
    /// It was taken in, and the detectors failed on it.
    NotJudged,
    /// Its request was silentry's own: no row of the traffic.
    OwnRequest,
}

impl Reason {
    /// All of them, in the order of every snapshot.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::TooLarge,
        Self::QueueFull,
        Self::UnknownModel,
        Self::ShuttingDown,
        Self::MissingSeq,
        Self::NotJudged,
        Self::OwnRequest,
    ];

    /// The word in metrics and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::QueueFull => "queue_full",
            Self::UnknownModel => "unknown_model",
            Self::ShuttingDown => "shutting_down",
            Self::MissingSeq => "missing_seq",
            Self::NotJudged => "not_judged",
            Self::OwnRequest => "own_request",
        }
    }
}

/// Lost records by reason, counted from any thread.
#[derive(Debug, Default)]
pub struct Losses {
    malformed: AtomicU64,
    too_large: AtomicU64,
    queue_full: AtomicU64,
    unknown_model: AtomicU64,
    shutting_down: AtomicU64,
    missing_seq: AtomicU64,
    not_judged: AtomicU64,
    own_request: AtomicU64,
}

impl Losses {
    const fn counter(&self, reason: Reason) -> &AtomicU64 {
        match reason {
            Reason::Malformed => &self.malformed,
            Reason::TooLarge => &self.too_large,
            Reason::QueueFull => &self.queue_full,
            Reason::UnknownModel => &self.unknown_model,
            Reason::ShuttingDown => &self.shutting_down,
            Reason::MissingSeq => &self.missing_seq,
            Reason::NotJudged => &self.not_judged,
            Reason::OwnRequest => &self.own_request,
        }
    }

    /// Counts lost records.
    pub fn add(&self, reason: Reason, records: u64) {
        self.counter(reason).fetch_add(records, Ordering::Relaxed);
    }

    /// Records lost for one reason so far.
    #[must_use]
    pub fn get(&self, reason: Reason) -> u64 {
        self.counter(reason).load(Ordering::Relaxed)
    }

    /// Every reason with its count, in the order of [`Reason::ALL`].
    #[must_use]
    pub fn snapshot(&self) -> [(Reason, u64); Reason::ALL.len()] {
        Reason::ALL.map(|reason| (reason, self.get(reason)))
    }

    /// The reasons for which records were lost, with their counts.
    pub fn by_reason(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.snapshot().into_iter().filter(|(_, records)| *records > 0)
    }

    /// Records lost for any reason so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.snapshot().iter().map(|(_, records)| records).sum()
    }

    /// Starts to count anew.
    pub(super) fn reset(&self) {
        Reason::ALL.iter().for_each(|reason| self.counter(*reason).store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reason has its own counter and its own word, in one fixed order.
    #[test]
    fn counted_apart() {
        let losses = Losses::default();
        for (n, reason) in (1..).zip(Reason::ALL) {
            losses.add(reason, n);
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
        assert_eq!(losses.snapshot().map(|(_, n)| n), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(losses.total(), 36);
    }
}
