//! Residency of sampled positions: each an interval that holds the truth, and
//! the distribution of such intervals. measurement.md, "Residency is an
//! interval". How positions are sampled is the kernel side's matter.

mod ends;

use hdrhistogram::Histogram;
use uepoll_common::record::Resolved;

use crate::quantile::{Bounds, Percentile, SAMPLES_BEYOND, Z, enclosing_ranks};

pub use ends::Step;

/// Significant decimal digits of the two histograms. Their buckets widen the
/// bounds by less than 1 %; memory is at most 64 KiB a ring.
const DIGITS: u8 = 2;

/// Largest weight exponent that is believed: 2^31 positions for each sample.
const MAX_SHIFT: u32 = 31;

/// Why a record is no latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// It ends before it was published.
    ConsumedBeforePublished,
    /// One of its clocks runs backwards.
    ClockBack,
    /// Its sampling weight is out of range.
    BadWeight,
}

/// Residency of one position, as far as it is known: no less than `lo_ns`, no
/// more than `hi_ns`; `hi_ns` is `None` if it was still unconsumed at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// No less than this.
    pub lo_ns: u64,
    /// No more than this.
    pub hi_ns: Option<u64>,
    /// Positions that this one stands for.
    pub weight: u64,
}

/// The interval that a record tells.
///
/// # Errors
/// An [`Anomaly`] if no true history could have left this record: such a
/// record is to be counted, never measured.
pub fn interval_of(record: &Resolved) -> Result<Interval, Anomaly> {
    if record.sample_shift > MAX_SHIFT {
        return Err(Anomaly::BadWeight);
    }
    let weight = 1u64 << record.sample_shift;
    let arrived_late = record.arrival_ns != 0 && record.arrival_ns > record.add_entry_ns;
    if record.add_exit_ns < record.add_entry_ns || arrived_late {
        return Err(Anomaly::ClockBack);
    }
    let lo_ns = record.consumed_lo_ns.saturating_sub(record.add_exit_ns);
    if record.consumed_hi_ns == 0 {
        return Ok(Interval { lo_ns, hi_ns: None, weight });
    }
    let Some(hi_ns) = record.consumed_hi_ns.checked_sub(record.add_entry_ns) else {
        return Err(Anomaly::ConsumedBeforePublished);
    };
    if record.consumed_lo_ns > record.consumed_hi_ns {
        return Err(Anomaly::ClockBack);
    }
    Ok(Interval { lo_ns, hi_ns: Some(hi_ns), weight })
}

/// Narrows a record by what a watch of head saw of its position: consumed no
/// earlier than `lo_ns` and no later than `hi_ns`, each 0 if the watch did not
/// see it. Never widens. Returns `false`, and leaves the record as it was, if
/// the two contradict each other.
pub fn narrow(record: &mut Resolved, lo_ns: u64, hi_ns: u64) -> bool {
    let narrow_lo_ns = record.consumed_lo_ns.max(lo_ns);
    let narrow_hi_ns = match (record.consumed_hi_ns, hi_ns) {
        (0, hi_ns) | (hi_ns, 0) => hi_ns,
        (record_ns, watch_ns) => record_ns.min(watch_ns),
    };
    let consumed = narrow_hi_ns != 0;
    if consumed && (narrow_lo_ns > narrow_hi_ns || narrow_hi_ns < record.add_entry_ns) {
        return false;
    }
    record.consumed_lo_ns = narrow_lo_ns;
    record.consumed_hi_ns = narrow_hi_ns;
    true
}

/// The distribution of a ring's intervals: one histogram of lower and one of
/// upper ends. Memory does not grow with the number of samples.
#[derive(Clone, Debug, Default)]
pub struct Residency {
    /// None before the first sample: most rings of a host are idle.
    ends: Option<Box<Ends>>,
    samples: u64,
    unconsumed: u64,
    unconsumed_weight: u64,
    total_weight: u64,
    /// Sum of squared weights, for the effective number of samples.
    weight_squares: u128,
    not_recorded: u64,
    max_lo_ns: u64,
    max_hi_ns: u64,
}

/// Histograms of the lower and of the upper ends.
#[derive(Clone, Debug)]
struct Ends {
    lower: Histogram<u64>,
    upper: Histogram<u64>,
}

impl Default for Ends {
    fn default() -> Self {
        Self { lower: empty_histogram(), upper: empty_histogram() }
    }
}

/// A histogram that grows with the values it meets.
fn empty_histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("2 digits are within the 0 to 5 that the library takes")
}

impl Residency {
    /// Adds one sample.
    pub fn push(&mut self, interval: Interval) {
        let ends = self.ends.get_or_insert_default();
        let lower = ends.lower.record_n(interval.lo_ns, interval.weight);
        let upper = match interval.hi_ns {
            Some(hi_ns) => ends.upper.record_n(hi_ns, interval.weight),
            None => Ok(()),
        };
        if lower.is_err() || upper.is_err() {
            // Only for values near 2^64, which no clock reaches.
            self.not_recorded += 1;
            return;
        }
        self.samples += 1;
        self.total_weight = self.total_weight.saturating_add(interval.weight);
        self.weight_squares =
            self.weight_squares.saturating_add(u128::from(interval.weight).pow(2));
        self.max_lo_ns = self.max_lo_ns.max(interval.lo_ns);
        match interval.hi_ns {
            Some(hi_ns) => self.max_hi_ns = self.max_hi_ns.max(hi_ns),
            None => {
                self.unconsumed += 1;
                self.unconsumed_weight = self.unconsumed_weight.saturating_add(interval.weight);
            }
        }
    }

    /// Sampled positions.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Of these, still unconsumed at the end (right-censored).
    pub fn unconsumed(&self) -> u64 {
        self.unconsumed
    }

    /// Samples whose values no histogram could take.
    pub fn not_recorded(&self) -> u64 {
        self.not_recorded
    }

    /// Number of equally weighted samples that would tell as much (Kish): the
    /// number of samples itself while the sampling rate does not change.
    pub fn effective_samples(&self) -> u64 {
        let Some(squares) = std::num::NonZeroU128::new(self.weight_squares) else { return 0 };
        let total = u128::from(self.total_weight);
        u64::try_from(total.saturating_mul(total) / squares).unwrap_or(self.samples)
    }

    /// Bounds of a percentile: from the lower ends' to the upper ends' order
    /// statistics, each widened to [`crate::quantile::LEVEL`] for the sampling.
    /// `None` with too few samples beyond it.
    pub fn percentile(&self, percentile: Percentile) -> Option<Bounds> {
        self.percentile_with(percentile, 0)
    }

    /// As [`Self::percentile`], beside chosen positions of which nothing is
    /// known, `unseen` in weight. They are lost when a ring is deep rather than
    /// at random, so each may have been consumed at once, or never.
    pub fn percentile_with(&self, percentile: Percentile, unseen: u64) -> Option<Bounds> {
        let samples = self.effective_samples();
        let (low, high) = enclosing_ranks(percentile, samples)?;
        let Ends { lower, upper } = self.ends.as_deref()?;
        let all = self.total_weight.saturating_add(unseen);
        let weight_of = |rank: f64| rank / samples as f64 * all as f64;
        let low = (weight_of(low).floor() as u64).max(1);
        let high = (weight_of(high).ceil() as u64).min(all);
        let lo = match low.saturating_sub(unseen) {
            0 => 0,
            low => lower.lowest_equivalent(value_at_rank(lower, low)?),
        };
        // Ranks above the consumed ones fall on positions that are still in the
        // ring: nothing bounds them.
        let hi = value_at_rank(upper, high).map(|value| upper.highest_equivalent(value));
        Some(Bounds { lo, hi: hi.map(|hi| hi.min(self.max_hi_ns)) })
    }

    /// Bounds of the longest residency among the samples, `None` without one.
    pub fn max(&self) -> Option<Bounds> {
        self.max_with(0)
    }

    /// As [`Self::max`], among all chosen positions; `unseen` as in
    /// [`Self::percentile_with`].
    pub fn max_with(&self, unseen: u64) -> Option<Bounds> {
        (self.samples > 0).then_some(Bounds {
            lo: self.max_lo_ns,
            hi: (self.unconsumed == 0 && unseen == 0).then_some(self.max_hi_ns),
        })
    }

    /// Bounds of the mean over the positions the samples stand for, widened to
    /// [`crate::quantile::LEVEL`] where these are more than the samples (by the
    /// normal approximation; nothing is told of too few); `None` without a
    /// sample. `unseen` as in [`Self::percentile_with`].
    pub fn mean_with(&self, unseen: u64) -> Option<Bounds> {
        let seen = self.total_weight as f64 / self.total_weight.saturating_add(unseen) as f64;
        let Ends { lower, upper } = self.ends.as_deref()?;
        // A bucket's mean is off by less than its width, 1 %.
        let bounds = |error_of: &dyn Fn(&Histogram<u64>) -> f64| Bounds {
            lo: ((lower.mean() * 0.99 - error_of(lower)).max(0.0) * seen) as u64,
            hi: (self.unconsumed == 0 && unseen == 0)
                .then_some((upper.mean() * 1.01 + error_of(upper)).ceil() as u64),
        };
        match self.effective_samples() {
            0 => None,
            // Every position is among the samples.
            _ if self.total_weight == self.samples => Some(bounds(&|_| 0.0)),
            samples if (samples as f64) < SAMPLES_BEYOND => Some(Bounds { lo: 0, hi: None }),
            samples => {
                let root = (samples as f64).sqrt();
                Some(bounds(&|ends| Z * 1.01 * ends.stdev() / root))
            }
        }
    }

    /// Weight of the samples, by lower and by upper end, that lie between each
    /// power of four and the next, 0 among the first; unconsumed positions have
    /// no upper end.
    pub fn weights_by_powers_of_four(&self) -> [(u64, u64); 32] {
        let mut weights = [(0u64, 0u64); 32];
        let power = |value: u64| value.checked_ilog2().unwrap_or(0) as usize / 2;
        let Some(Ends { lower, upper }) = self.ends.as_deref() else { return weights };
        for bucket in lower.iter_recorded() {
            let weight = &mut weights[power(bucket.value_iterated_to())].0;
            *weight = weight.saturating_add(bucket.count_at_value());
        }
        for bucket in upper.iter_recorded() {
            let weight = &mut weights[power(bucket.value_iterated_to())].1;
            *weight = weight.saturating_add(bucket.count_at_value());
        }
        weights
    }

    /// Weight of all samples.
    pub fn total_weight(&self) -> u64 {
        self.total_weight
    }
}

/// Value of the given rank (1-based, in weight), `None` beyond the last.
fn value_at_rank(histogram: &Histogram<u64>, rank: u64) -> Option<u64> {
    let mut seen = 0u64;
    histogram.iter_recorded().find_map(|v| {
        seen = seen.saturating_add(v.count_at_value());
        (seen >= rank).then(|| v.value_iterated_to())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(add: (u64, u64), consumed: (u64, u64)) -> Resolved {
        Resolved {
            kind: 1,
            ring: 0,
            position: 0,
            item: 0,
            arrival_ns: 0,
            add_entry_ns: add.0,
            add_exit_ns: add.1,
            consumed_lo_ns: consumed.0,
            consumed_hi_ns: consumed.1,
            sample_shift: 0,
            interval: 0,
            waker_tid: 0,
            flags: 0,
        }
    }

    #[test]
    fn interval_spans_from_the_latest_publish_to_the_earliest_consume_and_back() {
        let interval = interval_of(&record((100, 110), (150, 190)));
        assert_eq!(interval, Ok(Interval { lo_ns: 40, hi_ns: Some(90), weight: 1 }));
    }

    #[test]
    fn a_position_consumed_within_the_add_has_a_lower_bound_of_nothing() {
        let interval = interval_of(&record((100, 110), (105, 120))).expect("sound");
        assert_eq!((interval.lo_ns, interval.hi_ns), (0, Some(20)));
    }

    #[test]
    fn hostile_records_are_anomalies() {
        for (add, consumed, why) in [
            ((100, 110), (50, 90), Anomaly::ConsumedBeforePublished),
            ((110, 100), (120, 130), Anomaly::ClockBack),
            ((100, 110), (200, 150), Anomaly::ClockBack),
        ] {
            assert_eq!(interval_of(&record(add, consumed)), Err(why));
        }
        let heavy = Resolved { sample_shift: 32, ..record((1, 2), (3, 4)) };
        assert_eq!(interval_of(&heavy), Err(Anomaly::BadWeight));
        let late = Resolved { arrival_ns: 101, ..record((100, 110), (120, 130)) };
        assert_eq!(interval_of(&late), Err(Anomaly::ClockBack));
    }

    #[test]
    fn a_watch_of_head_narrows_and_never_widens() {
        let table = [
            // Record's bounds, the watch's, what comes out.
            ((150, 190), (160, 170), (160, 170)),
            ((150, 190), (0, 170), (150, 170)),
            ((150, 190), (160, 0), (160, 190)),
            ((150, 190), (100, 250), (150, 190)),
            ((150, 0), (160, 170), (160, 170)),
            ((150, 0), (160, 0), (160, 0)),
            ((150, 190), (0, 0), (150, 190)),
        ];
        for (bounds, (lo_ns, hi_ns), narrowed) in table {
            let mut narrower = record((100, 110), bounds);
            assert!(narrow(&mut narrower, lo_ns, hi_ns), "{bounds:?} {lo_ns} {hi_ns}");
            assert_eq!(narrower, record((100, 110), narrowed));
        }
    }

    #[test]
    fn a_watch_that_contradicts_the_record_changes_nothing() {
        for (bounds, lo_ns, hi_ns) in [
            ((150, 190), 200, 210),
            ((150, 190), 120, 140),
            ((150, 190), 180, 170),
            ((0, 190), 0, 99),
        ] {
            let mut contradicted = record((100, 110), bounds);
            assert!(!narrow(&mut contradicted, lo_ns, hi_ns), "{bounds:?} {lo_ns} {hi_ns}");
            assert_eq!(contradicted, record((100, 110), bounds));
        }
    }

    #[test]
    fn extreme_values_do_not_panic() {
        let mut residency = Residency::default();
        for lo_ns in [0, 1, u64::MAX - 1, u64::MAX] {
            for hi_ns in [None, Some(0), Some(u64::MAX)] {
                residency.push(Interval { lo_ns, hi_ns, weight: 1 << MAX_SHIFT });
            }
        }
        assert_eq!(residency.samples() + residency.not_recorded(), 12);
        for percentile in Percentile::ALL {
            assert_eq!(residency.percentile(percentile), None);
        }
    }

    #[test]
    fn percentiles_that_fall_on_unconsumed_positions_have_no_upper_bound() {
        let mut residency = Residency::default();
        for n in 0..1000 {
            residency.push(Interval {
                lo_ns: 1000,
                hi_ns: (n % 2 == 0).then_some(2000),
                weight: 1,
            });
        }
        let median = residency.percentile(Percentile::P50).expect("500 beyond");
        assert_eq!(median.hi, None);
        assert!(median.lo <= 1000 && median.lo > 900);
        assert_eq!(residency.max().expect("samples").hi, None);
    }

    #[test]
    fn positions_that_were_lost_widen_percentiles_to_both_sides() {
        let mut residency = Residency::default();
        for n in 1..=1000 {
            residency.push(Interval { lo_ns: n, hi_ns: Some(n), weight: 1 });
        }
        let median = |unseen| residency.percentile_with(Percentile::P50, unseen).expect("enough");
        let (whole, tenth, most) = (median(0), median(100), median(2000));
        assert!(tenth.lo < whole.lo && tenth.hi > whole.hi && tenth.hi.is_some());
        // Whether the 100 were all shorter or all longer than the rest, the
        // true median, 450 or 550, is inside.
        assert!(tenth.lo <= 450 && tenth.hi >= Some(550));
        assert_eq!(most, Bounds { lo: 0, hi: None });
        let mean = residency.mean_with(1000).expect("samples");
        assert!(mean.lo <= 251 && mean.hi.is_none());
    }

    #[test]
    fn equal_weights_count_as_many_samples_as_there_are() {
        let mut residency = Residency::default();
        for _ in 0..1234 {
            residency.push(Interval { lo_ns: 5, hi_ns: Some(6), weight: 1 << 9 });
        }
        assert_eq!(residency.effective_samples(), 1234);
    }
}
