//! Schedules whose truth is known, told through the kernel side's own rule:
//! every true residency lies within its bounds, every true percentile within
//! the printed ones.

use std::collections::VecDeque;

use proptest::prelude::*;
use uepoll_common::record::{Record, Resolved};
use uepoll_core::correlate::Correlator;
use uepoll_core::quantile::Percentile;
use uepoll_core::residency::interval_of;

/// A position and what really happened to it.
#[derive(Clone, Copy, Debug)]
struct Truth {
    position: u32,
    add_entry_ns: u64,
    add_exit_ns: u64,
    published_ns: u64,
    /// When head passed it; beyond the end if it never did.
    consumed_ns: u64,
}

/// A run: what happened, and when somebody looked.
#[derive(Clone, Debug)]
struct Schedule {
    truths: Vec<Truth>,
    /// Clock before, moment of the read, clock after.
    looks: Vec<(u64, u64, u64)>,
    first: u32,
    end_ns: u64,
}

/// Publishes one after the other, consumes in order, looks at the exit of each
/// add and at ticks.
fn schedules() -> impl Strategy<Value = Schedule> {
    let event = (1u64..4000, 1u64..200, 0u64..200, 0u64..20_000);
    let tick = (1u64..30_000, 0u64..50, 0u64..50);
    (
        any::<u32>(),
        proptest::collection::vec(event, 1..400),
        proptest::collection::vec(tick, 0..60),
        0u64..10_000,
    )
        .prop_map(|(first, events, ticks, tail_ns)| {
            let mut now = 1_000_000u64;
            let mut consumer = 0u64;
            let mut truths = Vec::new();
            let mut looks = Vec::new();
            for (n, (gap, to_publish, to_exit, busy)) in events.into_iter().enumerate() {
                let add_entry_ns = now + gap;
                let published_ns = add_entry_ns + to_publish;
                let add_exit_ns = published_ns + to_exit;
                consumer = consumer.max(published_ns) + busy;
                truths.push(Truth {
                    position: first.wrapping_add(n as u32),
                    add_entry_ns,
                    add_exit_ns,
                    published_ns,
                    consumed_ns: consumer,
                });
                looks.push((add_exit_ns, add_exit_ns + 1, add_exit_ns + 2));
                now = add_exit_ns + 2;
            }
            let mut at = 1_000_000u64;
            for (gap, before, after) in ticks {
                at += gap;
                looks.push((at, at + before, at + before + after));
                at += before + after;
            }
            looks.sort_unstable();
            let end_ns = now + tail_ns;
            looks.retain(|look| look.2 <= end_ns);
            Schedule { truths, looks, first, end_ns }
        })
}

/// What the kernel side would send: a bounded table of pending positions of
/// which each look resolves the oldest, lower bounds carried forward. Head is
/// compared by wrapping difference.
fn records_of(schedule: &Schedule, shift: u32) -> Vec<Resolved> {
    const TABLE: usize = 64;
    let head_at = |time_ns: u64| {
        let passed = schedule.truths.iter().filter(|truth| truth.consumed_ns <= time_ns).count();
        schedule.first.wrapping_add(passed as u32)
    };
    let chosen = |position: u32| {
        position.wrapping_mul(0x9e37_79b1).checked_shr(32 - shift).unwrap_or(0) == 0
    };
    let mut pending: VecDeque<(Truth, u64)> = VecDeque::new();
    let mut out = Vec::new();
    let record = |truth: &Truth, lo: u64, hi: u64| Resolved {
        kind: 1,
        ring: 0,
        position: truth.position,
        item: 0,
        arrival_ns: truth.add_entry_ns,
        add_entry_ns: truth.add_entry_ns,
        add_exit_ns: truth.add_exit_ns,
        consumed_lo_ns: lo,
        consumed_hi_ns: hi,
        sample_shift: shift,
        interval: 0,
        waker_tid: 0,
        flags: 0,
    };
    let mut next = schedule.truths.iter().peekable();
    for (before_ns, read_ns, after_ns) in &schedule.looks {
        while let Some(truth) = next.next_if(|truth| truth.add_exit_ns <= *before_ns) {
            if chosen(truth.position) && pending.len() < TABLE {
                pending.push_back((*truth, 0));
            }
        }
        let head = head_at(*read_ns);
        let mut carried = 0;
        for _ in 0..8 {
            let Some((truth, lo)) = pending.front_mut() else { break };
            if head.wrapping_sub(truth.position) as i32 > 0 {
                carried = carried.max(*lo);
                out.push(record(truth, *lo, *after_ns));
                pending.pop_front();
            } else {
                *lo = (*lo).max(*before_ns).max(carried);
                break;
            }
        }
    }
    out.extend(pending.iter().map(|(truth, lo)| record(truth, *lo, 0)));
    out
}

fn truth_of<'a>(schedule: &'a Schedule, record: &Resolved) -> &'a Truth {
    &schedule.truths[record.position.wrapping_sub(schedule.first) as usize]
}

#[test]
fn high_percentiles_of_many_samples_hold_their_truth_and_stay_narrow() {
    let mut correlator = Correlator::default();
    let mut truths = Vec::new();
    let mut state = 1u64;
    for n in 0..60_000u64 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Exponential in spirit: each octave half as frequent as the one below.
        let truth_ns = (1000 + (state >> 50)) << (state.trailing_zeros() / 2).min(8);
        let add_ns = 1_000_000_000 + n * 1000;
        correlator.push(&Record::Resolved(Resolved {
            kind: 1,
            ring: 0,
            position: n as u32,
            item: 0,
            arrival_ns: 0,
            add_entry_ns: add_ns,
            add_exit_ns: add_ns,
            consumed_lo_ns: add_ns + truth_ns - truth_ns / 8,
            consumed_hi_ns: add_ns + truth_ns + truth_ns / 8,
            sample_shift: 5,
            interval: 0,
            waker_tid: 0,
            flags: 0,
        }));
        truths.push(truth_ns);
    }
    truths.sort_unstable();
    let told = correlator.finish();
    for percentile in Percentile::ALL {
        let bounds = told.rings[&0].residency.percentile(percentile).expect("60 beyond p99.9");
        let hi = bounds.hi.expect("all consumed");
        let rank = (truths.len() as f64 * percentile.fraction()).ceil() as usize;
        let truth = truths[rank - 1];
        assert!(bounds.lo <= truth && truth <= hi, "{percentile:?} {bounds:?} {truth}");
        assert!(hi - bounds.lo <= 3 * truth, "{percentile:?} {bounds:?} {truth}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_true_residency_lies_within_its_bounds(
        schedule in schedules(), shift in 0u32..4,
    ) {
        for record in records_of(&schedule, shift) {
            let truth = truth_of(&schedule, &record);
            let interval = interval_of(&record).expect("a true history is no anomaly");
            let residency_ns = truth.consumed_ns - truth.published_ns;
            prop_assert!(interval.lo_ns <= residency_ns, "{record:?} {truth:?}");
            if let Some(hi_ns) = interval.hi_ns {
                prop_assert!(residency_ns <= hi_ns, "{record:?} {truth:?}");
            } else {
                prop_assert!(record.consumed_lo_ns <= schedule.end_ns);
            }
            prop_assert_eq!(interval.weight, 1 << shift);
        }
    }

    #[test]
    fn every_true_percentile_of_the_sampled_lies_within_the_printed_bounds(
        schedule in schedules(), shift in 0u32..2,
    ) {
        let records = records_of(&schedule, shift);
        let mut correlator = Correlator::default();
        let mut truths: Vec<u64> = records
            .iter()
            .map(|record| {
                correlator.push(&Record::Resolved(*record));
                let truth = truth_of(&schedule, record);
                truth.consumed_ns - truth.published_ns
            })
            .collect();
        truths.sort_unstable();
        let told = correlator.finish();
        let Some(ring) = told.rings.get(&0) else { return Ok(()) };
        prop_assert_eq!(ring.anomalies.total(), 0);
        prop_assert_eq!(ring.residency.samples(), truths.len() as u64);
        for percentile in Percentile::ALL {
            let beyond = truths.len() as f64 * (1.0 - percentile.fraction());
            let bounds = ring.residency.percentile(percentile);
            prop_assert_eq!(bounds.is_some(), beyond >= 30.0 - 1e-6);
            let Some(bounds) = bounds else { continue };
            let rank = (truths.len() as f64 * percentile.fraction()).ceil() as usize;
            let truth = truths[rank - 1];
            prop_assert!(bounds.lo <= truth, "{percentile:?} {bounds:?} {truth}");
            prop_assert!(bounds.hi.is_none_or(|hi| truth <= hi), "{percentile:?} {bounds:?} {truth}");
        }
        let max = ring.residency.max().expect("samples");
        let longest = truths[truths.len() - 1];
        prop_assert!(max.lo <= longest && max.hi.is_none_or(|hi| longest <= hi));
    }

    #[test]
    fn no_record_makes_the_correlator_panic(
        words in proptest::collection::vec(any::<[u64; 6]>(), 0..50), shift in any::<u32>(),
    ) {
        let mut correlator = Correlator::default();
        for [a, b, c, d, e, f] in words {
            correlator.push(&Record::Resolved(Resolved {
                kind: 1, ring: (f % 3) as u32, position: f as u32, item: 0, arrival_ns: a,
                add_entry_ns: b, add_exit_ns: c, consumed_lo_ns: d, consumed_hi_ns: e,
                sample_shift: if f % 2 == 0 { shift } else { 3 }, interval: 0, waker_tid: 0, flags: 0 }));
            correlator.push(&Record::Snapshot(uepoll_common::record::Snapshot {
                kind: 4, ring: (f % 3) as u32, before_ns: a, after_ns: b, head: c as u32,
                tail: d as u32, flags: (e % 2) as u32, reserved: 0,
            }));
        }
        for ring in correlator.finish().rings.values() {
            for percentile in Percentile::ALL {
                if let Some(bounds) = ring.residency.percentile(percentile) {
                    prop_assert!(bounds.hi.is_none_or(|hi| bounds.lo <= hi));
                }
            }
        }
    }
}
