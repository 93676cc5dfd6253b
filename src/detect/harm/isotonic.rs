/// The never falling function of a score that lies nearest to labels in squares: pooled adjacent violators, a straight
/// line between pools, level beyond the first and the last.
///
/// # Source
/// Barlow, Bartholomew, Bremner and Brunk (1972); as scikit-learn's `IsotonicRegression(out_of_bounds="clip")`.
#[derive(Debug, Clone)]
pub(super) struct Isotonic {
    /// Scores in ascending order, each with the share of positives there.
    points: Vec<(f64, f64)>,
}

/// Neighbouring scores of one share.
#[derive(Debug, Clone, Copy)]
struct Pool {
    first: f64,
    last: f64,
    positives: f64,
    rows: f64,
}

impl Pool {
    fn share(&self) -> f64 {
        self.positives / self.rows
    }

    fn joined(self, next: Self) -> Self {
        let (positives, rows) = (self.positives + next.positives, self.rows + next.rows);
        Self { first: self.first, last: next.last, positives, rows }
    }
}

impl Isotonic {
    /// Fits scores that are numbers, one at least, each with its label.
    pub(super) fn fit(mut rows: Vec<(f64, bool)>) -> Self {
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut pools: Vec<Pool> = Vec::new();
        for (score, label) in rows {
            let mut pool =
                Pool { first: score, last: score, positives: if label { 1.0 } else { 0.0 }, rows: 1.0 };
            // Equal scores are one pool, whatever their labels.
            if let Some(tied) = pools.pop_if(|before| before.last >= score && before.first >= score) {
                pool = tied.joined(pool);
            }
            pools.push(pool);
        }
        Self { points: pooled(pools).into_iter().flat_map(ends).collect() }
    }

    /// The lowest and the highest score that it was fitted to.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        Some((self.points.first()?.0, self.points.last()?.0))
    }

    /// The share of positives at a score; nothing when it was fitted to nothing.
    pub(super) fn at(&self, score: f64) -> Option<f64> {
        let next = self.points.partition_point(|(at, _)| *at < score);
        match (next.checked_sub(1).and_then(|i| self.points.get(i)), self.points.get(next)) {
            (Some((x, y)), Some((to_x, to_y))) => Some(y + (to_y - y) * ((score - x) / (to_x - x))),
            (Some((_, y)), None) | (None, Some((_, y))) => Some(*y),
            (None, None) => None,
        }
    }
}

/// Pools whose shares rise, by joining those that fall.
fn pooled(pools: Vec<Pool>) -> Vec<Pool> {
    let mut rising: Vec<Pool> = Vec::new();
    for mut pool in pools {
        while let Some(before) = rising.pop_if(|before| before.share() >= pool.share()) {
            pool = before.joined(pool);
        }
        rising.push(pool);
    }
    rising
}

fn ends(pool: Pool) -> impl Iterator<Item = (f64, f64)> {
    let last = (pool.last > pool.first).then_some((pool.last, pool.share()));
    std::iter::once((pool.first, pool.share())).chain(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Violators are pooled, equal scores are one, a line runs between pools, and beyond them it is level.
    #[test]
    fn pools_what_falls() {
        let rows =
            [(0.1, false), (0.2, true), (0.3, false), (0.3, false), (0.6, true), (0.8, false), (0.9, true)];
        let fitted = Isotonic::fit(rows.to_vec());
        let third = 1.0 / 3.0;
        for (score, expected) in [
            (0.0, 0.0),
            (0.15, third / 2.0),
            (0.25, third),
            (0.45, third + (0.5 - third) / 2.0),
            (0.7, 0.5),
            (1.0, 1.0),
        ] {
            let ours = fitted.at(score).unwrap();
            assert!((ours - expected).abs() < 1e-12, "{score}: {ours}, expected {expected}");
        }
        assert_eq!(fitted.range(), Some((0.1, 0.9)));
        let constant = Isotonic::fit(vec![(0.4, false), (0.4, true)]);
        assert_eq!((constant.at(0.0), constant.at(0.4), constant.at(1.0)), (Some(0.5), Some(0.5), Some(0.5)));
        assert_eq!(Isotonic::fit(Vec::new()).at(0.5), None);
    }
}
