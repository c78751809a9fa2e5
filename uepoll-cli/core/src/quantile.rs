//! Which rank of a sample bounds a percentile, and bounds as a type. Nothing
//! here knows what is measured.

/// Confidence of every printed percentile interval.
pub const LEVEL: f64 = 0.95;

/// Two-sided quantile of the normal distribution at [`LEVEL`].
pub const Z: f64 = 1.959_964;

/// With fewer samples beyond a percentile than this it is not told.
pub const SAMPLES_BEYOND: f64 = 30.0;

/// The percentiles of every distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Percentile {
    /// The median.
    P50,
    /// 99 %.
    P99,
    /// 99.9 %.
    P999,
}

impl Percentile {
    /// All of them, ascending.
    pub const ALL: [Self; 3] = [Self::P50, Self::P99, Self::P999];

    /// As a fraction.
    pub const fn fraction(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
        }
    }

    /// Column head.
    pub const fn head(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
        }
    }

    /// JSON key.
    pub const fn key(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99_9",
        }
    }
}

/// An interval that holds the truth. `hi` is `None` where nothing bounds it
/// from above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// No less than this.
    pub lo: u64,
    /// No more than this.
    pub hi: Option<u64>,
}

/// Ranks (1-based, as fractions of `samples`) whose order statistics enclose
/// the percentile at [`LEVEL`]: the binomial interval by its normal
/// approximation, one rank wider on the upper side. `None` with fewer than
/// [`SAMPLES_BEYOND`] samples beyond the percentile, where it would not hold.
pub fn enclosing_ranks(percentile: Percentile, samples: u64) -> Option<(f64, f64)> {
    let (n, q) = (samples as f64, percentile.fraction());
    // A hair of slack: 30 000 * (1 - 0.999) is 29.999… in binary.
    if n * (1.0 - q) < SAMPLES_BEYOND - 1e-6 {
        return None;
    }
    let spread = Z * (n * q * (1.0 - q)).sqrt();
    let low = (n * q - spread).floor().max(1.0);
    let high = ((n * q + spread).ceil() + 1.0).min(n);
    Some((low, high))
}

/// Bounds at [`LEVEL`] of a share of which `hits` of `samples` looks saw an
/// instance: Wilson's interval, which holds for shares near 0 and 1 too. From 0
/// to 1 without a look.
pub fn share_bounds(hits: u64, samples: u64) -> (f64, f64) {
    if samples == 0 {
        return (0.0, 1.0);
    }
    let n = samples as f64;
    let share = (hits as f64 / n).min(1.0);
    let middle = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + Z * Z / n;
    (((middle - spread) / whole).max(0.0), ((middle + spread) / whole).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_lies_within_its_bounds_and_none_is_a_point() {
        // Wilson's interval of 10 of 100 at 95 %, from tables: 0.0552 to 0.1744.
        let (lo, hi) = share_bounds(10, 100);
        assert!((lo - 0.0552).abs() < 1e-4 && (hi - 0.1744).abs() < 1e-4, "{lo} {hi}");
        let (lo, hi) = share_bounds(0, 1000);
        assert!(lo < 1e-9 && hi > 0.003 && hi < 0.004, "{lo} {hi}");
        assert_eq!(share_bounds(0, 0), (0.0, 1.0));
        assert_eq!(share_bounds(9, 3).1, 1.0);
    }

    #[test]
    fn a_percentile_needs_thirty_samples_beyond_it() {
        for (percentile, least) in
            [(Percentile::P50, 60), (Percentile::P99, 3000), (Percentile::P999, 30_000)]
        {
            assert!(enclosing_ranks(percentile, least).is_some(), "{percentile:?}");
            assert!(enclosing_ranks(percentile, least - 1).is_none(), "{percentile:?}");
        }
        assert!(enclosing_ranks(Percentile::P50, 0).is_none());
    }

    #[test]
    fn ranks_are_no_narrower_than_the_exact_binomial_interval() {
        // Exact two-sided 95 % ranks from binomial tables: n = 100, q = 0.5
        // gives 40 and 61.
        let (low, high) = enclosing_ranks(Percentile::P50, 100).expect("50 beyond");
        assert!(low <= 40.0 && high >= 61.0, "{low} {high}");
    }
}
