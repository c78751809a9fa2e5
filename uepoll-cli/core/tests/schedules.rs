//! Whole schedules whose truth is known: several CPUs that overtake each
//! other, two consumers, wraps, lost records, changing rates, intervals, a
//! watch of head. Told through the kernel side's own rule, every bound holds.

mod world;

use proptest::prelude::*;
use uepoll_common::counter::{RING_COUNTERS, RingCounter};
use uepoll_common::record::{Record, Resolved, Snapshot};
use uepoll_core::books::{Balance, balance};
use uepoll_core::capture::{RingCapture, RingCounters};
use uepoll_core::correlate::Correlator;
use uepoll_core::quantile::{LEVEL, Percentile};
use uepoll_core::residency::{Interval, Residency, interval_of, narrow};

use world::{Random, STEADY_BUSY_NS, Sent, World, worlds};

/// A ring that chose so many samples and lost so many of them.
fn ring(due: u64, lost: u64) -> RingCapture {
    let mut counters = RingCounters([0; RING_COUNTERS]);
    counters.0[RingCounter::SampledDue as usize] = due;
    counters.0[RingCounter::SampledLost as usize] = lost;
    RingCapture {
        ring: 0,
        owner: None,
        holders: Vec::new(),
        consumers: Vec::new(),
        waiting_ns: 0,
        spins_heard: None,
        observed_ns: 1,
        waiters_seen: 0,
        max_items: 8,
        first_head: 0,
        first_tail: 0,
        last: None,
        closed: false,
        created: true,
        counters,
        histograms: None,
        sample_shift: 0,
    }
}

/// Whether the truth of a position overlaps what its record says.
fn holds(world: &World, record: &Resolved, interval: Interval) -> bool {
    let truth = world.truth(record.position);
    let least_ns = truth.passed_first_ns.saturating_sub(truth.published_ns);
    let most_ns = truth.passed_last_ns.saturating_sub(truth.published_ns);
    interval.lo_ns <= most_ns && interval.hi_ns.is_none_or(|hi_ns| least_ns <= hi_ns)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 128,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_sampled_position_holds_its_truth_with_several_cpus_and_consumers(world in worlds()) {
        for record in world.told().iter().flat_map(Sent::resolved) {
            let Ok(interval) = interval_of(&record) else {
                // A head that was put back contradicts itself: counted, never
                // measured.
                prop_assert!(world.consumers == 2, "a true history is no anomaly: {record:?}");
                continue;
            };
            prop_assert!(holds(&world, &record, interval), "{record:?} {interval:?}");
        }
    }

    #[test]
    fn a_watch_of_head_only_narrows_and_keeps_the_truth(world in worlds(), step_ns in 200u64..3000) {
        for record in world.told().iter().flat_map(Sent::resolved) {
            if interval_of(&record).is_err() {
                prop_assert!(world.consumers == 2);
                continue;
            }
            let (lo_ns, hi_ns) = world.watched(record.position, step_ns);
            let mut narrowed = record;
            // Two consumers may pass a position twice: then a watch and a look
            // may have seen different times of it.
            if !narrow(&mut narrowed, lo_ns, hi_ns) {
                prop_assert!(world.consumers == 2);
                prop_assert_eq!(narrowed, record);
                continue;
            }
            prop_assert!(narrowed.consumed_lo_ns >= record.consumed_lo_ns);
            prop_assert!(
                record.consumed_hi_ns == 0
                    || (1..=record.consumed_hi_ns).contains(&narrowed.consumed_hi_ns)
            );
            let interval = interval_of(&narrowed).expect("narrowing makes no anomaly");
            prop_assert!(holds(&world, &narrowed, interval), "{narrowed:?} {interval:?}");
            if world.consumers == 1 && hi_ns != 0 {
                let width_ns = narrowed.consumed_hi_ns - narrowed.consumed_lo_ns;
                prop_assert!(width_ns <= step_ns + 1, "{narrowed:?}");
            }
        }
    }

    #[test]
    fn percentiles_of_all_that_were_chosen_hold_although_some_were_lost(
        world in worlds(), seed in any::<u64>(), lost_in in 3u64..40,
    ) {
        // One consumer and one rate: the truth of a percentile is one number.
        prop_assume!(world.consumers == 1 && world.shifts.iter().all(|shift| *shift == 0));
        let mut random = Random(seed);
        let mut correlator = Correlator::default();
        let (mut truths, mut lost) = (Vec::new(), 0);
        for mut record in world.told().iter().flat_map(Sent::resolved) {
            record.interval = 0;
            let truth = world.truth(record.position);
            truths.push(truth.passed_first_ns - truth.published_ns);
            if random.below(lost_in) == 0 {
                lost += 1;
            } else {
                correlator.push(&Record::Resolved(record));
            }
        }
        truths.sort_unstable();
        let told = correlator.finish();
        let Some(ring) = told.rings.get(&0) else { return Ok(()) };
        for percentile in Percentile::ALL {
            let Some(bounds) = ring.residency.percentile_with(percentile, lost) else { continue };
            let truth = truths[(truths.len() as f64 * percentile.fraction()).ceil() as usize - 1];
            prop_assert!(bounds.lo <= truth, "{percentile:?} {bounds:?} {truth}");
            prop_assert!(bounds.hi.is_none_or(|hi| truth <= hi), "{percentile:?} {bounds:?} {truth}");
        }
    }

    #[test]
    fn the_samples_of_each_interval_balance_and_are_told_once(
        world in worlds(), seed in any::<u64>(), lost_in in 3u64..40,
    ) {
        let mut random = Random(seed);
        let mut correlator = Correlator::default();
        let mut lost = vec![0u64; world.intervals()];
        let mut over = 0;
        let told = world.told();
        let due = |interval| {
            told.iter().filter_map(Sent::resolved).filter(|r| r.interval == interval).count()
        };
        for sent in told.iter().copied() {
            match sent {
                Sent::Resolved(record) if random.below(lost_in) == 0 => {
                    lost[record.interval as usize] += 1;
                }
                Sent::Resolved(record) => correlator.push(&Record::Resolved(record)),
                // Told as unconsumed at the end of its interval, resolved by a
                // look that was under way: it arrives all the same.
                Sent::Late(record) => correlator.push(&Record::Resolved(record)),
                Sent::Snapshot(snapshot) => correlator.push(&Record::Snapshot(snapshot)),
                Sent::End(interval) => {
                    let told = correlator.roll(interval);
                    let ring = ring(due(interval) as u64, lost[interval as usize]);
                    let nothing = Default::default();
                    let told_ring = told.rings.get(&0).unwrap_or(&nothing);
                    let samples = balance(&ring, told_ring, &[], false).pop().expect("the last one");
                    prop_assert_eq!(&samples.balance, &Balance::Balanced, "{}", samples);
                    prop_assert!(world.consumers == 2 || told_ring.anomalies.total() == 0);
                    over += told.of_other_intervals;
                }
            }
        }
        let late = told.iter().filter(|sent| matches!(sent, Sent::Late(_))).count();
        prop_assert_eq!(over, late as u64);
    }

    #[test]
    fn what_was_in_the_ring_before_is_never_said_to_be_older_than_it_is(world in worlds()) {
        let mut correlator = Correlator::default();
        let mut looks = Vec::new();
        for sent in world.told() {
            if let Sent::Snapshot(snapshot) = sent {
                correlator.push(&Record::Snapshot(snapshot));
                looks.push(snapshot);
            }
        }
        let Some(before) = correlator.finish().rings.remove(&0).and_then(|ring| ring.before) else {
            return Ok(());
        };
        let first = looks.iter().min_by_key(|look| look.before_ns).expect("one told of it");
        prop_assert_eq!(before.positions, first.tail.wrapping_sub(first.head));
        let newest = world.truth(first.tail.wrapping_sub(1));
        prop_assert!(before.age_at_least_ns <= newest.passed_last_ns.saturating_sub(first.after_ns));
        prop_assert!(before.left == 0 || newest.passed_last_ns > looks[looks.len() - 1].before_ns);
    }

    #[test]
    fn hostile_headers_change_no_residency(
        world in worlds(), words in proptest::collection::vec(any::<(u64, u32, u32, bool)>(), 1..200),
    ) {
        let mut clean = Correlator::default();
        let mut dirty = Correlator::default();
        let mut words = words.into_iter().cycle();
        for record in world.told().iter().flat_map(Sent::resolved) {
            let record = Record::Resolved(Resolved { interval: 0, ..record });
            clean.push(&record);
            dirty.push(&record);
            let (time_ns, head, tail, right) = words.next().expect("cycles");
            dirty.push(&Record::Snapshot(Snapshot {
                kind: 4,
                ring: 0,
                before_ns: time_ns,
                after_ns: time_ns.wrapping_add(u64::from(tail)),
                head,
                tail,
                flags: u32::from(right),
                reserved: 0,
            }));
        }
        let (clean, dirty) = (clean.finish(), dirty.finish());
        for percentile in Percentile::ALL {
            let of = |told: &uepoll_core::correlate::Correlated| {
                told.rings.get(&0).and_then(|ring| ring.residency.percentile(percentile))
            };
            prop_assert_eq!(of(&clean), of(&dirty));
        }
    }
}

/// Where head is looked at no less often than events stay.
#[test]
fn bounds_are_useful_where_looks_are_close_enough() {
    let mut tried = 0;
    for seed in 0..20 {
        let world = World::new(u32::MAX - 2000, 1, 1, 6000, seed, STEADY_BUSY_NS);
        let records: Vec<Resolved> = world.told().iter().filter_map(Sent::resolved).collect();
        let mut residency = Residency::default();
        let mut truths = Vec::new();
        for record in &records {
            residency.push(interval_of(record).expect("one consumer makes no anomaly"));
            let truth = world.truth(record.position);
            truths.push(truth.passed_first_ns - truth.published_ns);
        }
        truths.sort_unstable();
        for (percentile, widths) in [(Percentile::P50, 3), (Percentile::P99, 8)] {
            let truth = truths[(truths.len() as f64 * percentile.fraction()).ceil() as usize - 1];
            let median = truths[truths.len() / 2];
            let Some(bounds) = residency.percentile(percentile) else { continue };
            if world.spacing_ns() > median {
                continue;
            }
            tried += 1;
            let hi = bounds.hi.expect("nearly all are consumed");
            assert!(
                hi - bounds.lo <= widths * truth,
                "seed {seed}: {percentile:?} {bounds:?} {truth}"
            );
        }
    }
    assert!(tried >= 20, "only {tried} were close enough");
}

/// Weights follow the rate: while few come all are chosen, then 1 in 8.
#[test]
fn percentiles_hold_at_the_stated_level_with_changing_weights() {
    const RUNS: u64 = 200;
    let mut held = [0u64; 2];
    for seed in 0..RUNS {
        let mut random = Random(seed * 7919 + 1);
        let mut residency = Residency::default();
        let mut truths: Vec<u64> = Vec::new();
        for n in 0..20_000u64 {
            let truth_ns = 1000 + random.below(1000) * random.below(1000);
            truths.push(truth_ns);
            // The rate changes in the middle; what is measured does not.
            let shift = if n < 6_000 { 0 } else { 3 };
            if random.below(1 << shift) == 0 {
                residency.push(Interval {
                    lo_ns: truth_ns,
                    hi_ns: Some(truth_ns),
                    weight: 1 << shift,
                });
            }
        }
        truths.sort_unstable();
        for (held, percentile) in held.iter_mut().zip([Percentile::P50, Percentile::P99]) {
            let bounds = residency.percentile(percentile).expect("thousands of samples");
            let truth = truths[(truths.len() as f64 * percentile.fraction()).ceil() as usize - 1];
            *held += u64::from(bounds.lo <= truth && bounds.hi.is_some_and(|hi| truth <= hi));
        }
    }
    // Three standard deviations of the share of so many runs.
    let least = LEVEL - 3.0 * (LEVEL * (1.0 - LEVEL) / RUNS as f64).sqrt();
    for held in held {
        assert!(held as f64 / RUNS as f64 >= least, "{held} of {RUNS} held");
    }
}
