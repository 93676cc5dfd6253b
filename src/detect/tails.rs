//! What a bet on less covers: an outer bin becomes rarer together with all that lies beyond it.

use super::bins::Bin;
use super::stream::{Stream, Topic};

/// An outer bin: no more than this share of the planning rows lies in it and beyond it.
const TAIL_SHARE: f64 = 0.125;

/// The bins that become rarer together: one, or a whole tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cover {
    pub(super) bins: Vec<usize>,
    pub(super) side: Side,
}

/// Where the other bins of a cover lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// There are none.
    Alone,
    /// All that is less.
    AndBelow,
    /// All that is more.
    AndAbove,
}

/// By bin: what a bet on its becoming rarer covers.
///
/// Rows that are lost by content, values that are clipped, a cap that moved: they empty a tail and not
/// one interval of it, and a tail has more rows to be missed than its intervals have one by one. Tails
/// are told from planning rows, so that the counts of the others stay unbiased.
pub(super) fn covers(stream: &Stream) -> Vec<Cover> {
    let alone = |bin| Cover { bins: vec![bin], side: Side::Alone };
    let mut covers: Vec<Cover> = (0..stream.bins.len()).map(alone).collect();
    if stream.source.topic() != Topic::Value {
        return covers;
    }
    let placed = in_order(stream);
    let all: f64 = placed.iter().map(|(_, rows)| rows).sum();
    if all <= 0.0 {
        return covers;
    }
    let mut tail = |bins: &mut dyn Iterator<Item = &(usize, f64)>, side| {
        let (mut rows, mut covered) = (0.0, Vec::new());
        for (bin, more) in bins {
            rows += more;
            covered.push(*bin);
            if rows > TAIL_SHARE * all {
                return;
            }
            if let Some(cover) = covers.get_mut(*bin).filter(|_| covered.len() > 1) {
                *cover = Cover { bins: covered.clone(), side };
            }
        }
    };
    tail(&mut placed.iter(), Side::AndBelow);
    tail(&mut placed.iter().rev(), Side::AndAbove);
    covers
}

/// The bins that lie on the number line, from below, with their planning rows.
fn in_order(stream: &Stream) -> Vec<(usize, f64)> {
    let planned = |bin: usize| -> f64 {
        let of = |hits: &[f64]| hits.get(bin).copied().unwrap_or(0.0);
        stream.counts.iter().map(|c| of(&c.hits_all) - of(&c.hits)).sum()
    };
    let place = |(bin, kind): (usize, &Bin)| Some((bin, kind.place()?));
    let mut placed: Vec<(usize, f64)> = stream.bins.iter().enumerate().filter_map(place).collect();
    placed.sort_by(|a, b| a.1.total_cmp(&b.1));
    placed.into_iter().map(|(bin, _)| (bin, planned(bin))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::bins::Plan;
    use super::super::stream::{Role, Source};
    use super::*;

    fn numeric(rows: &[(Bin, f64)]) -> Stream {
        let plan = Plan::Numeric { default: None, atoms: vec![30.0], edges: vec![1.0, 2.0, 3.0, 9.0, 10.0] };
        let source = Source::Column { position: 0, plan };
        let mut stream = Stream::new(source, "x", "g", Role::Input, 1);
        for (bin, hits) in rows {
            let at = stream.bins.iter().position(|b| b == bin).unwrap();
            stream.counts[0].hits_all[at] = *hits;
        }
        stream
    }

    /// Outer intervals cover what lies beyond them, up to an eighth of the rows; others stand alone.
    #[test]
    fn tails_are_covered() {
        let (a, b, c, d) =
            (Bin::Between(1.0, 2.0), Bin::Between(2.0, 3.0), Bin::Between(3.0, 9.0), Bin::Between(9.0, 10.0));
        let stream = numeric(&[
            (a.clone(), 4.0),
            (b.clone(), 6.0),
            (c.clone(), 85.0),
            (d, 3.0),
            (Bin::Number(30.0), 2.0),
        ]);
        let found = covers(&stream);
        let of = |bin: &Bin| {
            let cover = &found[stream.bins.iter().position(|b| b == bin).unwrap()];
            let names: Vec<&Bin> = cover.bins.iter().map(|b| &stream.bins[*b]).collect();
            (cover.side, names)
        };
        let (side, names) = of(&b);
        assert!(
            side == Side::AndBelow && names.contains(&&a) && names.contains(&&Bin::FarBelow),
            "{names:?}"
        );
        assert_eq!(of(&c), (Side::Alone, vec![&c]));
        let (side, names) = of(&Bin::Between(9.0, 10.0));
        assert!(side == Side::AndAbove && names.contains(&&Bin::Number(30.0)), "{names:?}");
        assert_eq!(of(&Bin::Null), (Side::Alone, vec![&Bin::Null]));
    }

    /// Without planning rows nothing is a tail.
    #[test]
    fn nothing_is_known_without_rows() {
        assert!(covers(&numeric(&[])).iter().all(|c| c.side == Side::Alone));
    }
}
