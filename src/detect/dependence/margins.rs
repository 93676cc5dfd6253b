use super::Sequence;
use crate::detect::normal;

/// Counts by stratum and bin, and what follows from them.
pub(super) struct Margins {
    pub(super) bins: usize,
    /// Rows by stratum.
    pub(super) rows: Vec<f64>,
    /// Shares by stratum and bin, one stratum after the other.
    shares: Vec<f64>,
    /// Shares of all rows by bin.
    pub(super) overall: Vec<f64>,
    pub(super) scores: Vec<f64>,
    /// The variance of a row's score by stratum.
    pub(super) score_variances: Vec<f64>,
    /// The fourth moment of a row's score over its squared variance, over all strata: 3 for a normal score, about one
    /// over its share for a rare bin that has all of the variance.
    pub(super) score_kurtosis: f64,
}

impl Margins {
    pub(super) fn of(sequence: &Sequence<'_>) -> Option<Self> {
        let Sequence { codes, bins, strata, scores } = *sequence;
        let lengths = strata.is_none_or(|s| s.len() == codes.len())
            && scores.is_none_or(|s| s.len() == bins && s.iter().all(|z| z.is_finite()));
        let in_range = bins > 0 && codes.iter().all(|c| usize::from(*c) < bins);
        if codes.len() < super::ROWS_MIN || !lengths || !in_range {
            return None;
        }
        let count = strata.and_then(|s| s.iter().max()).map_or(1, |s| usize::from(*s) + 1);
        let mut counts = vec![0.0; count * bins];
        for (row, code) in codes.iter().enumerate() {
            if let Some(hits) = counts.get_mut(sequence.stratum(row) * bins + usize::from(*code)) {
                *hits += 1.0;
            }
        }
        let rows: Vec<f64> = counts.chunks(bins).map(|c| c.iter().sum()).collect();
        let all: f64 = rows.iter().sum();
        let overall: Vec<f64> =
            (0..bins).map(|b| counts.iter().skip(b).step_by(bins).sum::<f64>() / all).collect();
        let divided = |(c, n): (&[f64], &f64)| {
            c.iter().map(|hits| if *n > 0.0 { hits / n } else { 0.0 }).collect::<Vec<f64>>()
        };
        let shares: Vec<f64> = counts.chunks(bins).zip(&rows).flat_map(divided).collect();
        let scores = scores.map_or_else(|| normal_scores(&overall), <[f64]>::to_vec);
        let score_variances: Vec<f64> = shares.chunks(bins).map(|p| central_moment(p, &scores, 2)).collect();
        let mean = |of: &mut dyn Iterator<Item = f64>| of.zip(&rows).map(|(m, n)| m * n).sum::<f64>() / all;
        let fourth = mean(&mut shares.chunks(bins).map(|p| central_moment(p, &scores, 4)));
        let variance = mean(&mut score_variances.iter().copied());
        let score_kurtosis = if variance > 0.0 { fourth / (variance * variance) } else { 0.0 };
        Some(Self { bins, rows, shares, overall, scores, score_variances, score_kurtosis })
    }

    pub(super) fn strata(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn shares_of(&self, stratum: usize) -> &[f64] {
        self.shares.get(stratum * self.bins..(stratum + 1) * self.bins).unwrap_or(&[])
    }
}

impl Sequence<'_> {
    pub(super) fn stratum(&self, row: usize) -> usize {
        self.strata.and_then(|s| s.get(row)).map_or(0, |s| usize::from(*s))
    }
}

/// The normal score of each bin's middle rank; bins without rows change nothing.
fn normal_scores(shares: &[f64]) -> Vec<f64> {
    let mut below = 0.0;
    shares
        .iter()
        .map(|share| {
            let middle = below + share / 2.0;
            below += share;
            normal::quantile(if *share > 0.0 { middle } else { 0.5 })
        })
        .collect()
}

fn central_moment(shares: &[f64], scores: &[f64], power: i32) -> f64 {
    let mean: f64 = shares.iter().zip(scores).map(|(p, z)| p * z).sum();
    shares.iter().zip(scores).map(|(p, z)| p * (z - mean).powi(power)).sum()
}
