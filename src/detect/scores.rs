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

/// Tilts of a stream of which one side is harm, in standard deviations towards that side.
const ONE_SIDED: [f64; TILTS.len()] = [2.0, 0.7, 0.3, 0.14, 0.09, 0.2, 0.45, 1.0];
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

/// Whether a stream has bins that lie on a line.
pub(super) fn has_any(stream: &Stream) -> bool {
    let on_a_line = matches!(
        stream.source.topic(),
        Topic::Value | Topic::Age | Topic::Residual | Topic::Coherence | Topic::Given | Topic::Odds
    );
    on_a_line && stream.bins.iter().filter(|b| b.place().is_some_and(f64::is_finite)).count() > 1
}

/// By bin: the normal score of its place among the planning rows, with mean 0 and variance 1; nothing for
/// bins that have no place or no planning row.
pub(super) fn of(stream: &Stream) -> Option<Vec<Option<f64>>> {
    let planned: Vec<f64> = (0..stream.bins.len())
        .map(|bin| {
            let of = |hits: &[f64]| hits.get(bin).copied().unwrap_or(0.0);
            stream.counts.iter().map(|c| of(&c.hits_all) - of(&c.hits)).sum()
        })
        .collect();
    let mut placed: Vec<(usize, f64)> = stream
        .bins
        .iter()
        .enumerate()
        .filter(|(bin, _)| planned.get(*bin).is_some_and(|n| *n > 0.0))
        .filter_map(|(bin, kind)| Some((bin, Bin::place(kind)?)))
        .collect();
    placed.sort_by(|a, b| a.1.total_cmp(&b.1));
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

/// By tilt and bin: the weight over the upper confidence limit of the mean weight, so that its mean is at
/// most 1.
pub(super) fn tilts(
    scores: &[Option<f64>],
    strengths: &[f64],
    upper_mean: impl Fn(&[f64]) -> f64,
) -> Vec<Vec<f64>> {
    let of = |tilt: &f64| {
        let weights = weights(scores, *tilt);
        let mean = upper_mean(&weights);
        weights.iter().map(|w| w / mean).collect()
    };
    strengths.iter().map(of).collect()
}
