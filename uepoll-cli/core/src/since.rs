//! What lies between two checkpoints of an interval: all that is counted only
//! ever grows, so the difference is a capture of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use uepoll_common::counter::RING_HISTOGRAMS;
use uepoll_common::hist::{BUCKETS, RawHistogram, bucket_floor};

use crate::capture::{Capture, Cost, HostCounters, Loss, RingCapture, RingCounters};

/// What was counted between `earlier` and `later`, both of one interval and from
/// its beginning. A ring that is not in the earlier one is new. The cost of
/// programs stays what it was measured to be since the interval began.
pub fn since(earlier: &Capture, later: &Capture) -> Capture {
    let before: BTreeMap<_, _> = earlier.rings.iter().map(|ring| (ring.ring, ring)).collect();
    let rings = later.rings.iter().map(|ring| match before.get(&ring.ring) {
        Some(before) => ring_since(before, ring),
        None => ring.clone(),
    });
    Capture {
        start_ns: earlier.start_ns.saturating_add(earlier.duration_ns),
        duration_ns: later.duration_ns.saturating_sub(earlier.duration_ns),
        // Two reads of counters that move.
        unfinished: true,
        // Of the interval as a whole.
        notes: Vec::new(),
        rings: rings.collect(),
        host_counters: HostCounters(less(&later.host_counters.0, &earlier.host_counters.0)),
        loss: loss_since(&earlier.loss, &later.loss),
        cost: Cost {
            own_cpu_ns: later.cost.own_cpu_ns.saturating_sub(earlier.cost.own_cpu_ns),
            ..later.cost.clone()
        },
        ..later.clone()
    }
}

fn ring_since(earlier: &RingCapture, later: &RingCapture) -> RingCapture {
    let (first_head, first_tail) = match &earlier.last {
        Some(last) => (last.head, last.tail),
        None => (earlier.first_head, earlier.first_tail),
    };
    let histograms = match (&earlier.histograms, &later.histograms) {
        (Some(earlier), Some(later)) => {
            let mut all = Box::new([RawHistogram::EMPTY; RING_HISTOGRAMS]);
            for ((difference, earlier), later) in all.iter_mut().zip(&**earlier).zip(&**later) {
                *difference = histogram_since(earlier, later);
            }
            Some(Arc::from(all))
        }
        (_, later) => later.clone(),
    };
    RingCapture {
        observed_ns: later.observed_ns.saturating_sub(earlier.observed_ns),
        waiting_ns: later.waiting_ns.saturating_sub(earlier.waiting_ns),
        first_head,
        first_tail,
        closed: later.closed && !earlier.closed,
        created: false,
        counters: RingCounters(less(&later.counters.0, &earlier.counters.0)),
        histograms,
        ..later.clone()
    }
}

/// The largest value is known if it is a new one; else it lies in the highest
/// bucket that has grown, and is taken for that bucket's end.
fn histogram_since(earlier: &RawHistogram, later: &RawHistogram) -> RawHistogram {
    let buckets = less(&later.buckets, &earlier.buckets);
    let highest = buckets.iter().rposition(|values| *values > 0);
    let max = match highest {
        _ if later.max > earlier.max => later.max,
        Some(highest) if highest + 1 < BUCKETS => later.max.min(bucket_floor(highest + 1) - 1),
        Some(_) => later.max,
        None => 0,
    };
    RawHistogram {
        count: later.count.saturating_sub(earlier.count),
        sum: later.sum.saturating_sub(earlier.sum),
        max,
        buckets,
    }
}

fn loss_since(earlier: &Loss, later: &Loss) -> Loss {
    let before = earlier.probe_misses.unwrap_or(0);
    Loss {
        recursion_misses: later.recursion_misses.saturating_sub(earlier.recursion_misses),
        probe_misses: later.probe_misses.map(|now| now.saturating_sub(before)),
        ticks_expected: later.ticks_expected.saturating_sub(earlier.ticks_expected),
        bad_records: later.bad_records.saturating_sub(earlier.bad_records),
    }
}

fn less<const N: usize>(later: &[u64; N], earlier: &[u64; N]) -> [u64; N] {
    let mut difference = *later;
    for (difference, earlier) in difference.iter_mut().zip(earlier) {
        *difference = difference.saturating_sub(*earlier);
    }
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[u64]) -> RawHistogram {
        let mut histogram = RawHistogram::EMPTY;
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    #[test]
    fn a_histogram_holds_what_came_between() {
        let (early, late) = (histogram(&[5, 900]), histogram(&[5, 900, 7, 100]));
        let between = histogram_since(&early, &late);
        assert_eq!((between.count, between.sum), (2, 107));
        assert_eq!(between.buckets, histogram(&[7, 100]).buckets);
        // 100 or a little more: its bucket's end.
        assert!((100..=107).contains(&between.max), "{}", between.max);
        let larger = histogram_since(&early, &histogram(&[5, 900, 2000]));
        assert_eq!(larger.max, 2000);
        assert_eq!(histogram_since(&late, &late).max, 0);
    }

    #[test]
    fn counts_that_went_back_are_none_rather_than_huge() {
        assert_eq!(less(&[3, 9], &[5, 2]), [0, 7]);
    }
}
