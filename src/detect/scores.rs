//! Normal scores of a stream's bins, and the tilts that bet on them.

use statrs::distribution::{ContinuousCDF, Normal};

use super::bins::Bin;
use super::joint::Side;
use super::stream::{Source, Stream, Topic};
use super::table::TILTS;

/// Ranks nearer to the ends than this count as this near.
const RANK_MIN: f64 = 1e-4;
/// Exponents beyond this are cut: no row may be worth more.
const EXPONENT_MAX: f64 = 6.0;

/// Tilts of a stream of which one side is harm, in standard deviations towards that side. The first of them are
/// replaced by [`SHARES`] where it is known what breaking the relation looks like.
const ONE_SIDED: [f64; TILTS.len()] = [2.0, 0.7, 0.3, 0.14, 0.09, 0.2, 0.45, 1.0];
/// Shares of rows in which a relation is broken that are bet on.
const SHARES: [f64; 4] = [0.9, 0.35, 0.1, 0.03];
/// Rows as healthy as the others that are added to the broken ones, lest a bin that few have be worth too much:
/// chosen by judgement.
const PRIOR_ROWS: f64 = 20.0;
/// From this score on a bin of a relation is unusual to one side.
const OUTER: f64 = 0.6;

/// The tilts that are bet on, in standard deviations of the bins' normal scores.
pub(super) fn strengths(stream: &Stream) -> [f64; TILTS.len()] {
    match side(stream) {
        None | Some(Side::Both) => TILTS,
        Some(Side::Up) => ONE_SIDED,
        Some(Side::Down) => ONE_SIDED.map(|l| -l),
    }
}

/// The side of a relation that is harm; nothing for other streams.
fn side(stream: &Stream) -> Option<Side> {
    match stream.source {
        Source::Joint { scalar, .. } => Some(scalar.harm()),
        _ => None,
    }
}

/// By bin: whether it may be bet on that it becomes commoner. Of relations those where they are broken.
pub(super) fn is_harm(stream: &Stream) -> Vec<bool> {
    let Some(side) = side(stream) else { return vec![true; stream.bins.len()] };
    let Some(scores) = of(stream) else { return stream.bins.iter().map(|b| is_outside(b, side)).collect() };
    let up = |z: f64| z >= OUTER;
    let down = |z: f64| z <= -OUTER;
    let each = stream.bins.iter().enumerate().map(|(bin, _)| scores.get(bin).copied().flatten());
    let is = |z: f64| match side {
        Side::Both => up(z) || down(z),
        Side::Up => up(z),
        Side::Down => down(z),
    };
    each.map(|z| z.is_some_and(is)).collect()
}

/// Whether a bin lies to the side that is harm of the only number that a relation ever gave: one without exceptions
/// has no other bins.
const fn is_outside(bin: &Bin, side: Side) -> bool {
    let (below, above) =
        (matches!(bin, Bin::BelowRange | Bin::FarBelow), matches!(bin, Bin::AboveRange | Bin::FarAbove));
    match side {
        Side::Both => below || above,
        Side::Up => above,
        Side::Down => below,
    }
}

/// How far outside of all that planning rows had a bin lies, below 0 on the lower side.
const fn outside(bin: &Bin) -> i8 {
    match bin {
        Bin::FarBelow => -2,
        Bin::BelowRange => -1,
        Bin::AboveRange => 1,
        Bin::FarAbove => 2,
        _ => 0,
    }
}

/// Whether a stream has bins that lie on a line.
pub(super) fn has_any(stream: &Stream) -> bool {
    let on_a_line = matches!(
        stream.source.topic(),
        Topic::Value | Topic::Age | Topic::Residual | Topic::Coherence | Topic::Given | Topic::Odds
    );
    on_a_line && stream.bins.iter().filter(|b| b.place().is_some_and(f64::is_finite)).count() > 1
}

/// By bin: rows that planned, of all hours.
fn planned(stream: &Stream) -> Vec<f64> {
    let of = |hits: &[f64], bin: usize| hits.get(bin).copied().unwrap_or(0.0);
    let in_bin = |bin| stream.counts.iter().map(|c| of(&c.hits_all, bin) - of(&c.hits, bin)).sum();
    (0..stream.bins.len()).map(in_bin).collect()
}

/// By bin: the normal score of its place among the planning rows, with mean 0 and variance 1; nothing for
/// bins that have no place or no planning row.
pub(super) fn of(stream: &Stream) -> Option<Vec<Option<f64>>> {
    let planned = planned(stream);
    let mut placed: Vec<(usize, f64)> = stream
        .bins
        .iter()
        .enumerate()
        .filter(|(bin, _)| planned.get(*bin).is_some_and(|n| *n > 0.0))
        .filter_map(|(bin, kind)| Some((bin, Bin::place(kind)?)))
        .collect();
    let outside = |bin: usize| stream.bins.get(bin).map_or(0, outside);
    placed.sort_by(|a, b| a.1.total_cmp(&b.1).then(outside(a.0).cmp(&outside(b.0))));
    let at = |bin: usize| planned.get(bin).copied().unwrap_or(0.0);
    let rows: f64 = placed.iter().map(|(bin, _)| at(*bin)).sum();
    if placed.len() < 2 || rows <= 0.0 {
        return None;
    }
    let normal = Normal::standard();
    let mut below = 0.0;
    let mut scores: Vec<(usize, f64, f64)> = Vec::new();
    for (bin, _) in placed {
        let rank = (below + 0.5 * at(bin) + 0.25) / (rows + 0.5);
        scores.push((bin, normal.inverse_cdf(rank.clamp(RANK_MIN, 1.0 - RANK_MIN)), at(bin)));
        below += at(bin);
    }
    let mean = scores.iter().map(|(_, z, n)| z * n).sum::<f64>() / rows;
    let spread = (scores.iter().map(|(_, z, n)| (z - mean).powi(2) * n).sum::<f64>() / rows).sqrt();
    if spread <= 0.0 {
        return None;
    }
    let mut by_bin = vec![None; stream.bins.len()];
    for (bin, z, _) in scores {
        if let Some(place) = by_bin.get_mut(bin) {
            *place = Some((z - mean) / spread);
        }
    }
    if side(stream).is_some() {
        beyond(stream, &mut by_bin);
    }
    Some(by_bin)
}

/// What lies beyond all that planning rows had counts as what lies farthest out. Only for relations: a single number
/// that was never seen is a bin's own news, and a relation broken farther than ever is more of the same.
fn beyond(stream: &Stream, by_bin: &mut [Option<f64>]) {
    let known = || by_bin.iter().flatten().copied();
    let (low, high) =
        (known().reduce(|a, b| if b < a { b } else { a }), known().reduce(|a, b| if b > a { b } else { a }));
    for (score, bin) in by_bin.iter_mut().zip(&stream.bins).filter(|(score, _)| score.is_none()) {
        *score = match bin {
            Bin::BelowRange | Bin::FarBelow => low,
            Bin::AboveRange | Bin::FarAbove => high,
            _ => None,
        };
    }
}

/// By bin: `exp(l z)`. A bin without a score has weight 1: what was never seen is left to other bets.
pub(super) fn weights(scores: &[Option<f64>], tilt: f64) -> Vec<f64> {
    let weight = |z: &Option<f64>| z.map_or(1.0, |z| (tilt * z).clamp(-EXPONENT_MAX, EXPONENT_MAX).exp());
    scores.iter().map(weight).collect()
}

/// By tilt and bin: what a row is worth before it is held against the limit of health.
pub(super) fn all_weights(stream: &Stream, scores: &[Option<f64>]) -> Vec<Vec<f64>> {
    let broken = broken(stream, scores);
    let of_share = |share: f64| {
        broken.as_ref().map(|odds| odds.iter().map(|odds| 1.0 - share + share * odds).collect::<Vec<f64>>())
    };
    let shares = SHARES.iter().map(|share| of_share(*share)).chain(std::iter::repeat(None));
    let each = strengths(stream).into_iter().zip(shares);
    each.map(|(tilt, of_share)| of_share.unwrap_or_else(|| weights(scores, tilt))).collect()
}

/// By bin: how much likelier it is in rows in which the relation was broken than in others, never falling towards
/// harm, for rows that were fitted keep a relation better than any. Nothing where none were broken.
fn broken(stream: &Stream, scores: &[Option<f64>]) -> Option<Vec<f64>> {
    let Source::Joint { broken, scalar, .. } = &stream.source else { return None };
    let harm = match scalar.harm() {
        Side::Up => 1.0,
        Side::Down => -1.0,
        Side::Both => return None,
    };
    let all: f64 = broken.iter().map(|n| f64::from(*n)).sum();
    if broken.len() != stream.bins.len() || all <= 0.0 {
        return None;
    }
    let planned = planned(stream);
    // Bins with a score by how far out they are: rows that planned, and broken ones.
    let mut placed: Vec<(usize, f64, f64, f64)> = scores
        .iter()
        .enumerate()
        .filter_map(|(bin, score)| {
            Some((bin, harm * (*score)?, planned.get(bin)? + 0.5, f64::from(*broken.get(bin)?)))
        })
        .collect();
    // What lies beyond has the score of what lies farthest out, and is farther all the same.
    let outside = |bin: usize| harm * f64::from(stream.bins.get(bin).map_or(0, outside));
    placed.sort_by(|a, b| a.1.total_cmp(&b.1).then(outside(a.0).total_cmp(&outside(b.0))));
    let rows: f64 = placed.iter().map(|(_, _, planned, _)| planned).sum();
    // Pools of neighbours of which the farther out was no worse (Barlow et al., 1972).
    let mut pools: Vec<(Vec<usize>, f64, f64)> = Vec::new();
    for (bin, _, planned, broken) in placed {
        let mut pool = (vec![bin], planned, broken);
        while let Some(before) = pools.pop_if(|before| before.2 * pool.1 >= pool.2 * before.1) {
            pool = ([before.0, pool.0].concat(), before.1 + pool.1, before.2 + pool.2);
        }
        pools.push(pool);
    }
    let mut odds = vec![1.0; scores.len()];
    for (bins, planned, broken) in pools {
        let healthy = planned / rows;
        let of_pool = (broken + PRIOR_ROWS * healthy) / (all + PRIOR_ROWS) / healthy;
        for bin in bins {
            if let Some(odds) = odds.get_mut(bin) {
                *odds = of_pool.clamp(0.0, EXPONENT_MAX.exp());
            }
        }
    }
    Some(odds)
}

/// By tilt and bin: the weight over the upper confidence limit of the mean weight, so that its mean is at
/// most 1.
pub(super) fn tilts(weights: Vec<Vec<f64>>, upper_mean: impl Fn(&[f64]) -> f64) -> Vec<Vec<f64>> {
    let of = |weights: Vec<f64>| {
        let mean = upper_mean(&weights);
        weights.iter().map(|w| w / mean).collect()
    };
    weights.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests;
