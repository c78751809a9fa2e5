//! Where the bounds of residency are too wide to be useful, what would narrow
//! them. measurement.md, "Bounds must be true … And useful".

use uepoll_common::counter::RingCounter;

use crate::capture::{Capture, RingCapture};
use crate::correlate::RingCorrelated;
use crate::quantile::{Bounds, Percentile};
use crate::render::time_for_people;

/// Bounds of the median are useful up to so many times their lower end.
const MEDIAN_WIDTHS: u64 = 3;

/// Bounds of the 99th percentile are useful up to so many times their lower
/// end.
const P99_WIDTHS: u64 = 8;

/// Nothing that can be asked for tells less than this apart: two reads of a
/// watched head, and the clocks around them.
const FINEST_NS: u64 = 2000;

/// Snapshots a second and CPU that are worth naming, up to the most that `-F`
/// takes. Primes, or nearly: no multiple of what programs do.
const FREQUENCIES: [u32; 5] = [499, 997, 1999, 4999, 9973];

/// Mean time between two looks at head, those of a watch included; `None` if
/// nobody looked.
pub(super) fn spacing_ns(ring: &RingCapture, capture: &Capture) -> Option<f64> {
    let watch = capture.head_watch.as_ref().filter(|watch| watch.ring == Some(ring.ring));
    let reads = watch.map_or(0, |watch| watch.reads);
    let looks = ring.counters.get(RingCounter::Snapshots).saturating_add(reads);
    (looks > 0 && ring.observed_ns > 0).then(|| ring.observed_ns as f64 / looks as f64)
}

/// What would narrow the bounds; `None` if they are useful, if there are none,
/// or if nothing would.
pub(super) fn advice(
    ring: &RingCapture,
    told: &RingCorrelated,
    capture: &Capture,
) -> Option<String> {
    let watched = capture.head_watch.as_ref().is_some_and(|watch| watch.ring == Some(ring.ring));
    if watched {
        // Nothing looks more often; the report says what it reached.
        return None;
    }
    let median = told.residency.percentile(Percentile::P50);
    let p99 = told.residency.percentile(Percentile::P99);
    let too_wide = [(median, MEDIAN_WIDTHS, "median"), (p99, P99_WIDTHS, "p99")]
        .into_iter()
        .find_map(|(bounds, widths, name)| Some((wide(bounds?, widths)?, name)));
    let ((lo_ns, hi_ns), name) = too_wide?;
    let spacing = spacing_ns(ring, capture).map_or(String::new(), |ns| {
        format!(", {} between looks at head", time_for_people(ns as u64))
    });
    let watch = match &ring.owner {
        Some(owner) if owner.fd >= 0 => format!("-F max -r {}:{}", owner.pid, owner.fd),
        _ => "-F max -r PID:FD".into(),
    };
    let remedy = match frequency((lo_ns, hi_ns), capture.host.cpus, capture.sampler_hz) {
        Some(hz) => format!("-F {hz} would narrow them, {watch} most"),
        None => format!("{watch} would narrow them"),
    };
    Some(format!("bounds of the {name} are wide{spacing}: {remedy}"))
}

/// The bounds, if they are wider than useful. Unconsumed positions leave a
/// percentile without an upper end: looking more often does not help there.
fn wide(bounds: Bounds, widths: u64) -> Option<(u64, u64)> {
    let hi_ns = bounds.hi?;
    let width_ns = hi_ns.saturating_sub(bounds.lo);
    let useful_ns = bounds.lo.saturating_mul(widths).max(FINEST_NS);
    (width_ns > useful_ns).then_some((bounds.lo, hi_ns))
}

/// The first frequency whose ticks, on all CPUs together, are no further apart
/// than what is to be told apart; `None` if the most that `-F` takes is not
/// enough, or is in use already.
fn frequency((lo_ns, hi_ns): (u64, u64), cpus: u32, sampler_hz: u32) -> Option<u32> {
    // The truth lies between the two: an eighth of the upper is as good a
    // guess as any where the lower says nothing.
    let wanted_ns = lo_ns.max(hi_ns / 8).max(1);
    FREQUENCIES.into_iter().filter(|hz| *hz > sampler_hz).find(|hz| {
        let ticks = u64::from(*hz).saturating_mul(u64::from(cpus.max(1)));
        1_000_000_000 / ticks <= wanted_ns
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_frequency_is_the_lowest_whose_ticks_are_close_enough() {
        let millisecond = 1_000_000;
        assert_eq!(frequency((2 * millisecond, 20 * millisecond), 1, 199), Some(499));
        assert_eq!(frequency((millisecond, 4 * millisecond), 2, 199), Some(997));
        assert_eq!(frequency((millisecond, 4 * millisecond), 4, 199), Some(499));
        // Nothing is known from below: an eighth of the upper end.
        assert_eq!(frequency((0, 5 * millisecond), 2, 199), Some(997));
        // Only what is more than is in use already.
        assert_eq!(frequency((0, 5 * millisecond), 2, 997), Some(1999));
        // Closer than -F reaches: the head has to be watched.
        assert_eq!(frequency((5000, 80_000), 2, 199), None);
    }

    #[test]
    fn bounds_are_wide_by_their_own_lower_end_and_never_below_what_can_be_told_apart() {
        let bounds = |lo, hi| Bounds { lo, hi: Some(hi) };
        assert_eq!(wide(bounds(5000, 20_000), MEDIAN_WIDTHS), None);
        assert_eq!(wide(bounds(5000, 20_001), MEDIAN_WIDTHS), Some((5000, 20_001)));
        assert_eq!(wide(bounds(0, 2000), MEDIAN_WIDTHS), None);
        assert_eq!(wide(bounds(0, 2001), MEDIAN_WIDTHS), Some((0, 2001)));
        assert_eq!(wide(Bounds { lo: 5, hi: None }, MEDIAN_WIDTHS), None);
    }
}
