//! Shares of rows with what chance leaves open.

/// Standard errors on either side: 95 %.
pub(super) const Z: f64 = 1.959_964;

/// Rows with something, of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Hits {
    pub(super) hits: f64,
    pub(super) n: f64,
}

impl Hits {
    pub(super) fn add(&mut self, is_hit: bool) {
        self.n += 1.0;
        self.hits += f64::from(u8::from(is_hit));
    }

    /// From 0 to 1; NaN of none.
    pub(super) fn share(self) -> f64 {
        self.hits / self.n
    }

    /// Wilson's bounds of the share: of none, everything.
    ///
    /// # Source
    /// Wilson (1927), Probable inference, the law of succession, and statistical inference.
    pub(super) fn bounds(self, z: f64) -> (f64, f64) {
        bounds(self.share(), self.n, z)
    }

    /// By how much the share is more than another, with bounds.
    ///
    /// # Source
    /// Newcombe (1998), Stat. Med. 17:873, method 10: of Wilson's bounds of either.
    pub(super) fn more_than(self, other: Self, z: f64) -> Bounded {
        let (p, q) = (self.share(), other.share());
        let ((p_low, p_high), (q_low, q_high)) = (self.bounds(z), other.bounds(z));
        let value = p - q;
        let low = value - (p - p_low).hypot(q_high - q);
        let high = value + (p_high - p).hypot(q - q_low);
        if value.is_nan() { Bounded { value, low: -1.0, high: 1.0 } } else { Bounded { value, low, high } }
    }
}

/// Wilson's bounds of a share of `n` rows.
pub(super) fn bounds(share: f64, n: f64, z: f64) -> (f64, f64) {
    if share.is_nan() || n <= 0.0 {
        return (0.0, 1.0);
    }
    let z2 = z * z;
    let centre = share + z2 / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((centre - half) / scale).clamp(0.0, 1.0), ((centre + half) / scale).clamp(0.0, 1.0))
}

/// An estimate and the bounds of what it may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounded {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Bounded {
    /// Each of the three, made something else by what grows with it.
    pub(super) fn map(self, of: impl Fn(f64) -> f64) -> Self {
        Self { value: of(self.value), low: of(self.low), high: of(self.high) }
    }

    /// As a share: from 0 to 1.
    pub(super) fn as_share(self) -> Self {
        self.map(|v| v.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wilson's bounds of 8 in 10 as tables have them, of none everything; and Newcombe's example of 56 of 70 against
    /// 48 of 80: 0.2, from 0.0524 to 0.3339.
    #[test]
    fn bounds_are_those_of_tables() {
        let (low, high) = Hits { hits: 8.0, n: 10.0 }.bounds(Z);
        assert!((low - 0.4902).abs() < 1e-4 && (high - 0.9433).abs() < 1e-4, "{low} {high}");
        assert_eq!(Hits::default().bounds(Z), (0.0, 1.0));
        let more = Hits { hits: 56.0, n: 70.0 }.more_than(Hits { hits: 48.0, n: 80.0 }, Z);
        for (ours, expected) in [(more.value, 0.2), (more.low, 0.0524), (more.high, 0.3339)] {
            assert!((ours - expected).abs() < 1e-4, "{more:?}");
        }
        let unknown = Hits::default().more_than(Hits { hits: 1.0, n: 2.0 }, Z);
        assert!((unknown.low, unknown.high) == (-1.0, 1.0), "{unknown:?}");
    }
}
