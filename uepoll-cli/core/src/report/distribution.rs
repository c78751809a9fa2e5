//! Distributions as a report holds them: percentiles as bounds, with count, sum
//! and maximum, exact where the kernel side missed none, for every value.

use std::ops::Range;

use uepoll_common::hist::{BUCKETS, RawHistogram, bucket_floor};

use super::Accuracy;
use crate::quantile::{Bounds, Percentile};
use crate::residency::Residency;

/// Every value counted, in buckets 6.25 % wide.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// How far count, sum and maximum can be relied on.
    pub accuracy: Accuracy,
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The largest.
    pub max: u64,
    /// For each of [`Percentile::ALL`] the bucket it lies in; `None` if no value
    /// lies beyond it.
    pub percentiles: [Option<Bounds>; 3],
}

impl Distribution {
    /// From a histogram of the kernel side.
    pub fn build(raw: &RawHistogram, accuracy: Accuracy) -> Self {
        // The buckets' own total: a value counted between the reads of `count`
        // and of its bucket must not push a percentile off the end.
        let total: u64 = raw.buckets.iter().fold(0, |all, n| all.saturating_add(*n));
        let percentiles = Percentile::ALL.map(|percentile| {
            let beyond = total as f64 * (1.0 - percentile.fraction());
            if beyond < 1.0 - 1e-9 {
                return None;
            }
            let rank = ((total as f64 * percentile.fraction()).ceil() as u64).max(1);
            let mut seen = 0u64;
            let index = raw.buckets.iter().position(|n| {
                seen = seen.saturating_add(*n);
                seen >= rank
            })?;
            let above = if index + 1 < BUCKETS { bucket_floor(index + 1) - 1 } else { raw.max };
            let lo = bucket_floor(index).min(raw.max);
            Some(Bounds { lo, hi: Some(above.min(raw.max)) })
        });
        Self { accuracy, count: raw.count, sum: raw.sum, max: raw.max, percentiles }
    }

    /// Mean, `None` without a value.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }
}

/// One bar of an interval distribution's picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// From here, inclusive.
    pub from_ns: u64,
    /// To here, exclusive.
    pub to_ns: u64,
    /// Share of the samples whose lower end lies here.
    pub lower_share: f64,
    /// Share of the samples whose upper end lies here.
    pub upper_share: f64,
}

/// Values that are each known as an interval, sampled.
#[derive(Clone, Debug, PartialEq)]
pub struct IntervalDistribution {
    /// Samples.
    pub samples: u64,
    /// Number of equally weighted samples that would tell as much.
    pub effective_samples: u64,
    /// Samples still unconsumed at the end: no upper end.
    pub unconsumed: u64,
    /// For each of [`Percentile::ALL`] its bounds, `None` with fewer than 30
    /// samples beyond it.
    pub percentiles: [Option<Bounds>; 3],
    /// Bounds of the longest among the samples.
    pub max: Bounds,
    /// Bounds of the mean.
    pub mean: Bounds,
    /// Shares by powers of four (all below 1 us in one), from the first to the last that is not empty.
    pub bars: Vec<Bar>,
}

impl IntervalDistribution {
    /// From the intervals of a ring, beside chosen positions that were lost,
    /// `unseen` in weight; `None` without a sample.
    pub fn build(residency: &Residency, unseen: u64) -> Option<Self> {
        Some(Self {
            samples: residency.samples(),
            effective_samples: residency.effective_samples(),
            unconsumed: residency.unconsumed(),
            percentiles: Percentile::ALL
                .map(|percentile| residency.percentile_with(percentile, unseen)),
            max: residency.max_with(unseen)?,
            mean: residency.mean_with(unseen)?,
            bars: bars(residency),
        })
    }
}

/// Power of four at which the first bar ends: 1 us.
const FIRST_BAR: usize = 5;

/// Bars by powers of four from 0 to 2^64 nanoseconds, empty ends cut off.
fn bars(residency: &Residency) -> Vec<Bar> {
    let weights = residency.weights_by_powers_of_four();
    let share = |of: fn(&(u64, u64)) -> u64, powers: Range<usize>| {
        let weight = weights[powers].iter().map(of).fold(0, u64::saturating_add);
        weight as f64 / residency.total_weight().max(1) as f64
    };
    let bar = |powers: Range<usize>| Bar {
        from_ns: if powers.start == 0 { 0 } else { 1 << (2 * powers.start) },
        to_ns: 1u64.checked_shl(2 * powers.end as u32).unwrap_or(u64::MAX),
        lower_share: share(|(lower, _)| *lower, powers.clone()),
        upper_share: share(|(_, upper)| *upper, powers),
    };
    let mut bars = vec![bar(0..FIRST_BAR)];
    bars.extend((FIRST_BAR..weights.len()).map(|power| bar(power..power + 1)));
    let filled = |bar: &Bar| bar.lower_share > 0.0 || bar.upper_share > 0.0;
    let Some(last) = bars.iter().rposition(filled) else { return Vec::new() };
    bars.truncate(last + 1);
    let first = bars.iter().position(filled).unwrap_or(0);
    bars.split_off(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_lies_in_the_bucket_of_its_nearest_rank_value() {
        let mut raw = RawHistogram::EMPTY;
        (1..=10_000).for_each(|value| raw.record(value));
        let distribution = Distribution::build(&raw, Accuracy::Exact);
        for (percentile, truth) in Percentile::ALL.into_iter().zip([5000, 9900, 9990]) {
            let bounds = distribution.percentiles[percentile as usize].expect("values beyond");
            let hi = bounds.hi.expect("bounded");
            assert!(bounds.lo <= truth && truth <= hi, "{percentile:?} {bounds:?}");
        }
        assert_eq!((distribution.max, distribution.mean()), (10_000, Some(5000.5)));
    }

    #[test]
    fn a_percentile_with_nothing_beyond_it_is_not_told() {
        let mut raw = RawHistogram::EMPTY;
        (0..99).for_each(|value| raw.record(value));
        let distribution = Distribution::build(&raw, Accuracy::Exact);
        assert!(distribution.percentiles[0].is_some());
        assert_eq!(distribution.percentiles[1], None);
    }

    #[test]
    fn values_beyond_the_last_bucket_are_bounded_by_the_exact_maximum() {
        let mut raw = RawHistogram::EMPTY;
        (0..10).for_each(|n| raw.record((1 << 40) + n));
        let median =
            Distribution::build(&raw, Accuracy::Exact).percentiles[0].expect("values beyond");
        assert_eq!(median, Bounds { lo: 1 << 36, hi: Some((1 << 40) + 9) });
    }
}
