//! What figures mean where something is absent, lost, short or gone: never a
//! value that could be false, never one without its mark.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod fixture;

use fixture::{busy_ring, capture, slow_ring, told, with_loss};
use serde_json::Value as Json;
use uepoll_common::counter::{HostCounter, RingCounter};
use uepoll_common::record::{Record, Resolved, RingClosed};
use uepoll_core::capture::{Attached, Capture, PlanRow, RingCapture};
use uepoll_core::correlate::{Correlated, Correlator};
use uepoll_core::quantile::Percentile;
use uepoll_core::render::text::{TextOptions, render};
use uepoll_core::render::{Charset, json};
use uepoll_core::report::Report;

fn ring_of(capture: &Capture, told: &Correlated) -> Json {
    json::document(&Report::build(capture, told))["rings"][0].clone()
}

fn without(mut capture: Capture, symbol: &str) -> Capture {
    capture.plan.retain(|row| row.symbol != symbol);
    capture.plan.push(PlanRow {
        point: "a point",
        symbol: symbol.into(),
        attached: Attached::Missing,
        why_not_better: None,
        lost: Some("what it tells".into()),
    });
    capture
}

fn with_counts(mut ring: RingCapture, counts: &[(RingCounter, u64)]) -> RingCapture {
    for (counter, value) in counts {
        ring.counters.0[*counter as usize] = *value;
    }
    ring
}

#[test]
fn slot_spin_without_a_probe_on_adds_is_absent_rather_than_none() {
    // No add is ever seen under way: no sighting can occur.
    let ring = ring_of(&without(capture(vec![busy_ring(0)]), "ep_add_event_to_uring"), &told(0));
    for key in ["slot_spin_share", "slot_spin_sightings"] {
        assert!(ring["figures"][key].is_null(), "{key}");
        assert_eq!(ring["absent"][key], "no probe on ep_add_event_to_uring (a point)");
    }
    assert!(ring["figures"]["sampler_looks"].is_u64());
}

#[test]
fn collapsed_wake_ups_need_both_sides() {
    for (symbol, counter) in [
        ("ep_poll_callback_work", RingCounter::OffloadRuns),
        ("ep_poll_wakeup", RingCounter::WakeupsKeyless),
    ] {
        let ring = with_counts(busy_ring(0), &[(counter, 0)]);
        let ring = ring_of(&without(capture(vec![ring]), symbol), &told(0));
        assert!(ring["figures"]["offload_collapsed"].is_null(), "{symbol}");
        assert!(ring["absent"]["offload_collapsed"].is_string(), "{symbol}");
    }
}

#[test]
fn a_ratio_of_counts_some_of_which_were_lost_is_an_estimate() {
    let ring = ring_of(&with_loss(capture(vec![busy_ring(0)])), &told(0));
    let has =
        |list: &str, key: &str| ring[list].as_array().is_some_and(|l| l.contains(&key.into()));
    for key in [
        "merged_share",
        "events_per_wait",
        "enospc_adds_share",
        "estale_waits_share",
        "offload_collapsed",
    ] {
        assert!(has("inferred", key), "{key}: {}", ring["inferred"]);
    }
    for key in ["depth_items", "blocked_ns", "wake_up_ns", "publish_direct_ns"] {
        assert!(has("at_least", key), "{key}: {}", ring["at_least"]);
    }
    let right = ring_of(&capture(vec![busy_ring(0)]), &told(0));
    assert_eq!(
        (right["inferred"].as_array().map(Vec::len), &right["at_least"].as_array().map(Vec::len)),
        (Some(0), &Some(1)),
        "busy alone: {}",
        right["at_least"]
    );
}

#[test]
fn a_cause_of_enospc_that_is_inferred_is_called_likely() {
    let text = |capture| {
        let options = TextOptions { charset: Charset::Ascii, verbose: false };
        render(&Report::build(&capture, &told(0)), options)
    };
    assert!(text(capture(vec![busy_ring(0)])).contains("(ring full)"));
    let inferred = text(without(capture(vec![busy_ring(0)]), "ep_get_bit"));
    assert!(inferred.contains("(likely ring full)"), "{inferred}");
}

#[test]
fn what_was_in_a_ring_before_grows_no_older_than_the_ring() {
    let (mut ring, mut told) = slow_ring();
    let age = |ring: &RingCapture, told: &Correlated| {
        let age = &ring_of(&capture(vec![ring.clone()]), told)["in_ring_before"];
        age["age_at_least_ns"].as_u64().expect("two were there")
    };
    let start_ns = capture(Vec::new()).start_ns;
    assert!(age(&ring, &told) > 9_900_000_000, "to the end of the interval");
    // Closed after a second: what nobody consumed went with it.
    ring.closed = true;
    assert!(age(&ring, &told) < 1_000_000_000, "nobody said when");
    let last = ring.last.expect("it was looked at");
    told.rings.get_mut(&0).expect("its records").closed = Some(RingClosed {
        kind: 3,
        ring: 0,
        time_ns: start_ns + 1_000_000_000,
        head: last.head,
        tail: last.tail,
        items_used: 1,
        reserved: 0,
    });
    let age = age(&ring, &told);
    assert!((900_000_000..=1_000_000_000).contains(&age), "{age}");
}

#[test]
fn an_interval_of_few_ticks_tells_no_share_of_a_cpu() {
    let mut capture = capture(vec![busy_ring(0)]);
    capture.duration_ns = 5_000_000;
    capture.host_counters.0[HostCounter::SamplerTicks as usize] = 1;
    capture.rings[0] = with_counts(busy_ring(0), &[(RingCounter::ConsumerTicks, 1)]);
    let ring = ring_of(&capture, &told(0));
    for key in ["consumer_on_cpu_share", "consumer_busy_share", "consumer_empty_share"] {
        assert!(ring["figures"][key].is_null(), "{key} {}", ring["figures"][key]);
        assert!(ring["absent"][key].as_str().is_some_and(|why| why.contains("30 ticks")));
    }
    let options = TextOptions { charset: Charset::Ascii, verbose: false };
    let text = render(&Report::build(&capture, &told(0)), options);
    assert!(text.contains("busy -   ring empty on CPU -   waiting"), "{text}");
}

#[test]
fn no_consumer_has_more_than_all_of_its_time() {
    let mut capture = capture(vec![busy_ring(0)]);
    // One CPU ticked 2000 times, the other 1975: a little less, as it goes.
    capture.host_counters.0[HostCounter::SamplerTicks as usize] = 3975;
    capture.rings[0] = with_counts(
        busy_ring(0),
        &[(RingCounter::ConsumerTicks, 2000), (RingCounter::ConsumerTicksEmpty, 0)],
    );
    capture.rings[0].waiting_ns = capture.duration_ns + 1;
    let ring = ring_of(&capture, &told(0));
    for key in ["consumer_on_cpu_share", "consumer_waiting_share"] {
        assert_eq!(ring["figures"][key], 1.0, "{key}");
    }
    let busy = ring["figures"]["consumer_busy_share"].as_f64().expect("known");
    assert!((0.9..=1.0).contains(&busy), "{busy}");
}

#[test]
fn ticks_that_did_not_run_are_in_the_bounds_of_the_consumers_time() {
    let mut capture = capture(vec![busy_ring(0)]);
    capture.rings[0] = with_counts(
        busy_ring(0),
        &[(RingCounter::ConsumerTicks, 1000), (RingCounter::ConsumerTicksEmpty, 100)],
    );
    let shares = |capture: &Capture| {
        let ring = ring_of(capture, &told(0));
        ["consumer_busy_share", "consumer_empty_share"]
            .map(|key| ring["figures"][key].as_f64().expect("known"))
    };
    let [busy, empty] = shares(&capture);
    // 900 and 100 of 1987.5 ticks a CPU, and the error of a sample.
    assert!((0.42..0.4529).contains(&busy) && (0.0503..0.07).contains(&empty), "{busy} {empty}");
    capture.loss.ticks_expected = 2 * 3975;
    let [less_busy, more_empty] = shares(&capture);
    assert!((less_busy / busy - 0.5).abs() < 0.01, "{less_busy}");
    assert_eq!(more_empty, 1.0);
}

/// A thousand positions of one ring, each for 1000 ns, of which `wrong` are
/// told by records that contradict themselves.
fn a_thousand(wrong: u64, sample_shift: u32) -> Correlated {
    let mut correlator = Correlator::default();
    for n in 0..1000 {
        let add_ns = 1_000_000 + n * 10_000;
        let is_wrong = n < wrong;
        correlator.push(&Record::Resolved(Resolved {
            kind: 1,
            ring: 0,
            position: n as u32,
            item: 0,
            arrival_ns: 0,
            add_entry_ns: add_ns,
            add_exit_ns: if is_wrong { add_ns - 1 } else { add_ns },
            consumed_lo_ns: add_ns + 1000 - n % 2 * 200,
            consumed_hi_ns: add_ns + 1000 + n % 2 * 200,
            sample_shift,
            interval: 0,
            waker_tid: 0,
            flags: 0,
        }));
    }
    correlator.finish()
}

#[test]
fn positions_that_are_no_sample_leave_the_longest_without_a_bound() {
    let clean = [(RingCounter::SampledDue, 1000), (RingCounter::PositionsAmbiguous, 0)];
    let residency = |counts: &[(RingCounter, u64)], wrong| {
        let ring = with_counts(with_counts(busy_ring(0), &clean), counts);
        let ring = ring_of(&capture(vec![ring]), &a_thousand(wrong, 0));
        ring["figures"]["residency_ns"].clone()
    };
    let whole = residency(&[], 0);
    assert_eq!(whole["max"]["hi"], 1200);
    assert!(whole["mean"]["hi"].is_u64());
    for (counts, wrong) in [
        (&[(RingCounter::SampledDue, 1001), (RingCounter::SampledPendingFull, 1)][..], 0),
        (&[(RingCounter::SampledDue, 1001)][..], 0),
        (&[(RingCounter::PositionsAmbiguous, 1)][..], 0),
        (&[][..], 1),
    ] {
        let residency = residency(counts, wrong);
        assert!(residency["max"]["hi"].is_null(), "{counts:?} {wrong}: {residency}");
        assert!(residency["mean"]["hi"].is_null(), "{counts:?} {wrong}: {residency}");
    }
}

#[test]
fn records_that_contradict_themselves_are_loss() {
    let ring = with_counts(busy_ring(0), &[(RingCounter::SampledDue, 1000)]);
    let report = |wrong| Report::build(&capture(vec![ring.clone()]), &a_thousand(wrong, 0));
    assert!(report(0).trustworthy());
    assert!(!report(7).trustworthy());
    assert_eq!(json::document(&report(7))["loss"]["kinds"]["records_bad"], 7);
}

#[test]
fn the_mean_of_a_sample_is_widened_by_what_was_not_sampled() {
    let mean = |shift| a_thousand(0, shift).rings[&0].residency.mean_with(0).expect("samples");
    let (all, few) = (mean(0), mean(6));
    assert!(few.lo < all.lo && few.hi > all.hi, "{all:?} {few:?}");
}

#[test]
fn the_mean_of_the_population_lies_within_the_bounds_of_its_samples() {
    // Of positions whose residency is known, one in 16, by a fixed rule.
    let mut state = 7u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut held = 0;
    for _ in 0..100 {
        let mut correlator = Correlator::default();
        let mut sum = 0;
        for n in 0..16_000u64 {
            let truth_ns = 500 + next() % 5000;
            sum += truth_ns;
            if next() % 16 == 0 {
                let add_ns = 1_000_000 + n * 10_000;
                correlator.push(&Record::Resolved(Resolved {
                    kind: 1,
                    ring: 0,
                    position: n as u32,
                    item: 0,
                    arrival_ns: 0,
                    add_entry_ns: add_ns,
                    add_exit_ns: add_ns,
                    consumed_lo_ns: add_ns + truth_ns,
                    consumed_hi_ns: add_ns + truth_ns,
                    sample_shift: 4,
                    interval: 0,
                    waker_tid: 0,
                    flags: 0,
                }));
            }
        }
        let mean = correlator.finish().rings[&0].residency.mean_with(0).expect("samples");
        let truth = sum / 16_000;
        held += u32::from(mean.lo <= truth && mean.hi.is_some_and(|hi| truth <= hi));
    }
    assert!(held >= 95, "{held} of 100");
}

#[test]
fn percentiles_hold_when_the_rate_of_sampling_falls_on_the_way() {
    // Residency is longer where fewer are sampled: equal weights would be wrong.
    let mut correlator = Correlator::default();
    let mut truths = Vec::new();
    for n in 0..64_000u64 {
        let shift = if n < 8000 { 0 } else { 4 };
        let truth_ns = if n < 8000 { 1000 + n % 100 } else { 20_000 + n % 1000 };
        truths.push(truth_ns);
        if n.wrapping_mul(0x9e37_79b9) >> 8 & ((1 << shift) - 1) == 0 {
            let add_ns = 1_000_000 + n * 100_000;
            correlator.push(&Record::Resolved(Resolved {
                kind: 1,
                ring: 0,
                position: n as u32,
                item: 0,
                arrival_ns: 0,
                add_entry_ns: add_ns,
                add_exit_ns: add_ns,
                consumed_lo_ns: add_ns + truth_ns,
                consumed_hi_ns: add_ns + truth_ns,
                sample_shift: shift,
                interval: 0,
                waker_tid: 0,
                flags: 0,
            }));
        }
    }
    truths.sort_unstable();
    let residency = &correlator.finish().rings[&0].residency;
    for percentile in [Percentile::P50, Percentile::P99] {
        let bounds = residency.percentile(percentile).expect("enough samples");
        let truth = truths[(truths.len() as f64 * percentile.fraction()) as usize - 1];
        assert!(
            bounds.lo <= truth && bounds.hi.is_some_and(|hi| truth <= hi),
            "{bounds:?} {truth}"
        );
    }
}
