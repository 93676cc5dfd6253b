use serde::{Deserialize, Serialize};

use crate::units::{Timestamp, count};

/// Shares of rows hit that are bet on: slow faults and complete ones alike.
pub(super) const EPSILONS: [f64; 4] = [0.01, 0.05, 0.25, 0.9];

/// Evidence of one bet is not counted beyond this, so that a fault of days cannot overflow.
const EVIDENCE_MAX: f64 = 1e150;

/// One Shiryaev-Roberts e-detector that bets on one bin becoming commoner.
///
/// Its value obeys `R <- (R + step) e` with `e = 1 - eps + eps/p_U` on a hit and `1 - eps` on a
/// miss. Between hits every bet of a lane decays alike, so it holds only its excess over a bet that
/// never hit, as of its last hit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Bet {
    weight: f64,
    gain: f64,
    excess: f64,
    at: u64,
    /// The log-likelihood ratio since the estimated start (Page's CUSUM), as of the last hit.
    cusum: f64,
    start: Start,
    hits: u64,
}

/// Where a change seems to have begun.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) row: u64,
    pub(super) judged: u64,
    pub(super) ts: Timestamp,
}

impl Step {
    /// A change that begins with this row.
    pub(super) const fn start(self) -> Start {
        Start { row: self.row, judged: self.judged, ts: self.ts }
    }
}

/// All bets of one stream at one share `eps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Lane {
    eps: f64,
    /// The value of a bet that never hit.
    never: f64,
    /// The weighted sum of all bets.
    sum: f64,
    weight: f64,
    bets: Vec<Bet>,
}

/// The moment of a step, one request: its last row, when, and by how much the run length grows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// The row's number over all rows, from 1.
    pub(super) row: u64,
    /// The request's number over those that are judged, from 1.
    pub(super) judged: u64,
    pub(super) ts: Timestamp,
    /// In units of the budget: 1 row, or the seconds since the row before.
    pub(super) length: f64,
}

/// A bin that rows of a request fell into.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hit {
    pub(super) bin: usize,
    /// The share of the request's rows, above 0 to 1.
    pub(super) share: f64,
}

/// The evidence that one stream has gathered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Evidence {
    lanes: Vec<Lane>,
}

/// What speaks against one bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Suspicion {
    /// The largest log-likelihood ratio over the shares bet on.
    pub(super) nats: f64,
    pub(super) start: Start,
    /// Hits from the start on.
    pub(super) hits: u64,
}

impl Suspicion {
    /// The share of judged rows hit since the start, up to the row with this number.
    pub(super) fn share(&self, judged: u64) -> f64 {
        count(self.hits) / count(judged.saturating_sub(self.start.judged) + 1)
    }
}

impl Evidence {
    /// Bets of the given weights on bins of the given upper limits; weight 0 bets nothing.
    pub(super) fn new(weights: &[f64], upper_limits: &[f64], start: Start) -> Self {
        let lanes = EPSILONS.iter().map(|&eps| Lane::new(eps, weights, upper_limits, start)).collect();
        Self { lanes }
    }

    /// The weighted sum of all bets: comparable with the threshold when added over streams.
    pub(super) fn total(&self) -> f64 {
        self.lanes.iter().map(|l| l.sum).sum()
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self, start: Start) {
        for lane in &mut self.lanes {
            lane.reset(start);
        }
    }

    /// One request: the bins that its rows fell into, each with its share of the rows.
    ///
    /// The step's e-value is the mean over the rows, which is one however the rows depend on each other.
    pub(super) fn observe(&mut self, hits: &[Hit], step: Step) {
        for lane in &mut self.lanes {
            lane.observe(hits, step);
        }
    }

    /// The weighted evidence of one bin.
    pub(super) fn share(&self, bin: usize, row: u64) -> f64 {
        self.lanes.iter().filter_map(|l| l.bets.get(bin).map(|b| b.weight * l.value(b, row))).sum()
    }

    /// What speaks against one bin, by its most evident share.
    pub(super) fn suspicion(&self, bin: usize) -> Option<Suspicion> {
        let each = self.lanes.iter().filter_map(|l| l.bets.get(bin));
        each.filter(|b| b.hits > 0)
            .map(|b| Suspicion { nats: b.cusum, start: b.start, hits: b.hits })
            .reduce(|a, b| if b.nats > a.nats { b } else { a })
    }
}

impl Lane {
    fn new(eps: f64, weights: &[f64], upper_limits: &[f64], start: Start) -> Self {
        let each = 1.0 / count(EPSILONS.len() as u64);
        let bets: Vec<Bet> = weights
            .iter()
            .zip(upper_limits)
            .map(|(&weight, &limit)| Bet {
                weight: weight * each,
                gain: eps / limit,
                excess: 0.0,
                at: start.judged,
                cusum: 0.0,
                start,
                hits: 0,
            })
            .collect();
        Self { eps, never: 0.0, sum: 0.0, weight: bets.iter().map(|b| b.weight).sum(), bets }
    }

    fn keep(&self) -> f64 {
        1.0 - self.eps
    }

    fn reset(&mut self, start: Start) {
        self.never = 0.0;
        self.sum = 0.0;
        for bet in &mut self.bets {
            *bet = Bet { excess: 0.0, at: start.judged, cusum: 0.0, start, hits: 0, ..*bet };
        }
    }

    /// The value of a bet after the judged row with this number.
    fn value(&self, bet: &Bet, row: u64) -> f64 {
        self.never + self.decay(row.saturating_sub(bet.at)) * bet.excess
    }

    fn decay(&self, rows: u64) -> f64 {
        self.keep().powf(count(rows))
    }

    fn observe(&mut self, hits: &[Hit], step: Step) {
        let (keep, never) = (self.keep(), self.never);
        self.never = keep * (never + step.length);
        self.sum = keep * (self.sum + self.weight * step.length);
        for hit in hits {
            let eps = self.eps;
            let Some(bet) = self.bets.get_mut(hit.bin) else { continue };
            let rows = step.judged.saturating_sub(1).saturating_sub(bet.at);
            let before = never + (1.0 - eps).powf(count(rows)) * bet.excess + step.length;
            let missed = keep * before;
            let grown = missed + bet.gain * hit.share * before;
            let value = if grown < EVIDENCE_MAX { grown } else { EVIDENCE_MAX };
            self.sum += bet.weight * (value - missed);
            bet.excess = value - self.never;
            bet.follow(keep, hit.share, step);
        }
    }
}

impl Bet {
    /// Page's recursion at a hit, with the misses before it.
    fn follow(&mut self, keep: f64, share: f64, step: Step) {
        let misses = step.judged.saturating_sub(self.at).saturating_sub(1);
        let carried = self.cusum + count(misses) * keep.ln();
        if self.hits == 0 || carried <= 0.0 {
            self.start = step.start();
            self.hits = 0;
            self.cusum = 0.0;
        } else {
            self.cusum = carried;
        }
        self.cusum += (keep + self.gain * share).ln();
        self.hits += 1;
        self.at = step.judged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Start = Start { row: 0, judged: 0, ts: Timestamp::from_millis(0) };

    /// The direct recursion over every bet, which the lazy one must equal.
    fn direct(weights: &[f64], limits: &[f64], hits: &[usize], lengths: &[f64]) -> f64 {
        let mut total = 0.0;
        for (bin, (weight, limit)) in weights.iter().zip(limits).enumerate() {
            for eps in EPSILONS {
                let mut r = 0.0;
                for (hit, length) in hits.iter().zip(lengths) {
                    let e = if *hit == bin { 1.0 - eps + eps / limit } else { 1.0 - eps };
                    r = (r + length) * e;
                }
                total += weight / 4.0 * r;
            }
        }
        total
    }

    /// The O(1) update of all bins of a stream is the plain recursion, to a relative 1e-12.
    #[test]
    fn lazy_update_is_exact() {
        let (weights, limits) = ([0.2, 0.3, 0.0, 0.5], [0.7, 0.2, 0.05, 0.001]);
        let hits: Vec<usize> = (0..500_usize).map(|i| if i % 97 == 3 { 3 } else { i * i % 3 }).collect();
        let lengths: Vec<f64> = (0..500_u32).map(|i| f64::from(i % 4) / 10.0).collect();
        let mut evidence = Evidence::new(&weights, &limits, START);
        for (row, (hit, length)) in hits.iter().zip(&lengths).enumerate() {
            let step = Step { row: row as u64 + 1, judged: row as u64 + 1, ts: START.ts, length: *length };
            evidence.observe(&[Hit { bin: *hit, share: 1.0 }], step);
        }
        let expected = direct(&weights, &limits, &hits, &lengths);
        assert!((evidence.total() / expected - 1.0).abs() < 1e-12, "{} {expected}", evidence.total());
        let shares: f64 = (0..4).map(|bin| evidence.share(bin, 500)).sum();
        assert!((shares / expected - 1.0).abs() < 1e-12, "shares add up: {shares} {expected}");
    }

    /// A fault of any length leaves finite evidence.
    #[test]
    fn evidence_never_overflows() {
        let mut evidence = Evidence::new(&[1.0], &[1e-6], START);
        for row in 1..100_000 {
            evidence
                .observe(&[Hit { bin: 0, share: 1.0 }], Step { row, judged: row, ts: START.ts, length: 1.0 });
        }
        assert!(evidence.total().is_finite());
    }

    /// The start of a change is found where it began.
    #[test]
    fn start_is_estimated() {
        let mut evidence = Evidence::new(&[0.5, 0.5], &[1.0, 0.001], START);
        for row in 1..=300 {
            let hit = usize::from(row > 200 && row % 3 == 0);
            evidence.observe(
                &[Hit { bin: hit, share: 1.0 }],
                Step { row, judged: row, ts: Timestamp::from_millis(row.cast_signed()), length: 1.0 },
            );
        }
        let suspicion = evidence.suspicion(1).unwrap();
        assert_eq!((suspicion.start.row, suspicion.hits), (201, 34));
        assert!(suspicion.nats > 50.0);
    }
}
