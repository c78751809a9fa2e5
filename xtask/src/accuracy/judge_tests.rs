//! Claims about judging, over runs made up.

use serde_json::json;

use super::super::plan;
use super::*;

/// A run of 1000 positions, a millisecond apart, each published within 100 ns
/// and consumed 5 us later; all of them sampled, and bracketed within 4..7 us.
fn honest() -> (Spec, Evidence) {
    let mut spec = plan::runs(20, 1).remove(0);
    (spec.spin, spec.source, spec.frequency) = (100, "eventfd", Frequency::Hz(199));
    let mut truth = Truth { first: 0, spin_episodes: 3, spin_iterations: 40, ..Truth::default() };
    truth.spin_polled_ns = 100_000_000;
    let mut samples = Vec::new();
    for position in 0..1000u32 {
        let add_ns = u64::from(position + 1) * 1_000_000;
        truth.stores.push((add_ns + 5_000, add_ns + 5_050));
        samples.push(Sample {
            ring: 0,
            position,
            add_ns: (add_ns, add_ns + 100),
            consumed_lo_ns: Some(add_ns + 4_000),
            consumed_hi_ns: Some(add_ns + 7_000),
            weight: 1,
        });
    }
    let report = json!({
        "duration_ns": 1_000_000_000,
        "host": { "cpus": 2 },
        "sampler": { "ticks_expected": 398, "ticks_seen": 398 },
        "rings": [{
            "ring": 0,
            "narrower": null,
            "books": [],
            "absent": {},
            "figures": {
                "residency_ns": { "percentiles": {
                    "p50": { "lo": 3_900, "hi": 7_000 }, "p99": null, "p99_9": null,
                }},
                "snapshot_spacing_ns": 4_000.0,
                "consumer_empty_share": 0.2,
                "spin_episodes": 3,
                "spin_iterations": 40,
                "published": 1000,
                "merged": 10,
            },
        }],
        "books": { "balance": true },
        "loss": { "total": 0 },
    });
    let stress = json!({
        "events_written": 1010, "lost_none": true, "spin_episodes": 3, "empty_polls": 40,
    });
    (spec, Evidence { report, stress, truth, samples })
}

fn failures_of(spec: &Spec, evidence: &Evidence) -> String {
    judge(spec, evidence).unwrap().failures.join("; ")
}

#[test]
fn an_honest_run_passes() {
    let (spec, evidence) = honest();
    let verdict = judge(&spec, &evidence).unwrap();
    assert_eq!(verdict.failures, [""; 0]);
    assert_eq!((verdict.compared, verdict.outside), (1000, 0));
    assert_eq!((verdict.claims, verdict.violations), (2, 0));
    assert_eq!(verdict.told[0].unwrap().truth_ns, (4_900, 5_050));
    assert_eq!(verdict.width, Width::Useful);
    assert_eq!(verdict.iterations, Some((40, 40)));
}

#[test]
fn a_position_whose_truth_is_outside_is_found() {
    let (spec, mut evidence) = honest();
    evidence.samples[7].consumed_hi_ns = Some(evidence.samples[7].add_ns.0 + 4_800);
    let verdict = judge(&spec, &evidence).unwrap();
    assert_eq!(verdict.outside, 1);
    assert!(verdict.failures[0].contains("position 7: the truth, 4900..5050 ns, is outside"));
    let (_, mut evidence) = honest();
    evidence.samples[7].consumed_lo_ns = Some(evidence.samples[7].add_ns.1 + 5_051);
    assert_eq!(judge(&spec, &evidence).unwrap().outside, 1);
}

#[test]
fn an_end_of_the_truth_that_touches_its_bound_is_inside() {
    let (spec, mut evidence) = honest();
    evidence.samples[7].consumed_hi_ns = Some(evidence.samples[7].add_ns.0 + 4_900);
    evidence.samples[8].consumed_lo_ns = Some(evidence.samples[8].add_ns.1 + 5_050);
    assert_eq!(judge(&spec, &evidence).unwrap().outside, 0);
}

#[test]
fn what_was_never_consumed_must_be_told_so_and_nothing_twice() {
    let (spec, mut evidence) = honest();
    evidence.truth.stores.pop();
    assert!(failures_of(&spec, &evidence).contains("position 999 was told consumed, but was not"));
    evidence.samples[999].consumed_hi_ns = None;
    assert_eq!(failures_of(&spec, &evidence), "");
    let again = evidence.samples[3];
    evidence.samples.push(again);
    assert!(failures_of(&spec, &evidence).contains("position 3 was told twice"));
}

#[test]
fn percentiles_outside_are_counted_by_either_end() {
    let (spec, mut evidence) = honest();
    evidence.report["rings"][0]["figures"]["residency_ns"]["percentiles"]["p50"]["hi"] =
        json!(5_000);
    let verdict = judge(&spec, &evidence).unwrap();
    assert_eq!((verdict.claims, verdict.violations), (2, 1));
}

#[test]
fn wide_bounds_pass_only_where_looks_are_rare_and_a_remedy_is_named() {
    let (spec, mut evidence) = honest();
    let ring = &mut evidence.report["rings"][0];
    ring["figures"]["residency_ns"]["percentiles"]["p50"]["hi"] = json!(40_000);
    ring["narrower"] = json!("-F 997 would narrow them");
    assert!(failures_of(&spec, &evidence).contains("wider than useful"));
    evidence.report["rings"][0]["figures"]["snapshot_spacing_ns"] = json!(6_000.0);
    assert_eq!(failures_of(&spec, &evidence), "");
    evidence.report["rings"][0]["narrower"] = Value::Null;
    assert!(failures_of(&spec, &evidence).contains("wider than useful"));
}

#[test]
fn a_bound_of_spinning_below_the_truth_is_found_beyond_the_samplers_error() {
    let (spec, mut evidence) = honest();
    // 10 % of the time; 199 ticks: a standard error of 2.1 %.
    evidence.report["rings"][0]["figures"]["consumer_empty_share"] = json!(0.06);
    assert_eq!(failures_of(&spec, &evidence), "");
    evidence.report["rings"][0]["figures"]["consumer_empty_share"] = json!(0.03);
    assert!(failures_of(&spec, &evidence).contains("the bound of it is 3.0 %"));
}

#[test]
fn a_withheld_bound_needs_its_reason() {
    let (spec, mut evidence) = honest();
    evidence.report["rings"][0]["figures"]["consumer_empty_share"] = Value::Null;
    assert!(judge(&spec, &evidence).is_err());
    evidence.report["rings"][0]["absent"]["consumer_empty_share"] = json!("consumer unknown");
    let verdict = judge(&spec, &evidence).unwrap();
    assert_eq!(verdict.spin_bound, Err("consumer unknown".into()));
    assert_eq!(verdict.failures, [""; 0]);
}

#[test]
fn counts_must_be_equal_unless_something_was_lost_and_said_so() {
    let (spec, mut evidence) = honest();
    evidence.report["rings"][0]["figures"]["spin_iterations"] = json!(39);
    evidence.report["rings"][0]["figures"]["merged"] = json!(9);
    let failures = failures_of(&spec, &evidence);
    assert!(failures.contains("the probe told 39, the consumer counted 40"), "{failures}");
    assert!(failures.contains("1000 published + 9 merged of 1010 writes"), "{failures}");
    evidence.report["loss"]["total"] = json!(2);
    assert_eq!(failures_of(&spec, &evidence), "");
    evidence.report["rings"][0]["figures"]["spin_iterations"] = json!(41);
    assert!(failures_of(&spec, &evidence).contains("the probe told 41"));
}

#[test]
fn a_watch_of_head_is_useful_or_its_own_gap_explains_the_width() {
    let (mut spec, mut evidence) = honest();
    spec.frequency = Frequency::Max;
    assert_eq!(judge(&spec, &evidence).unwrap().width, Width::Useful);
    let ring = &mut evidence.report["rings"][0];
    ring["figures"]["residency_ns"]["percentiles"]["p50"]["hi"] = json!(40_000);
    evidence.report["head_watch"] = json!({ "reads": 9, "longest_gap_ns": 30_000 });
    assert!(failures_of(&spec, &evidence).contains("p50 3900..40000 ns (true 4900..5050)"));
    evidence.report["head_watch"]["longest_gap_ns"] = json!(36_100);
    let Width::Reached(reached) = judge(&spec, &evidence).unwrap().width else {
        panic!("not reached")
    };
    assert_eq!(reached, "head was read 9 times, up to 36100 ns apart");
}

#[test]
fn books_are_off_by_no_more_than_what_is_lost() {
    let (spec, mut evidence) = honest();
    evidence.report["rings"][0]["books"] = json!([{
        "balance": false,
        "left": [{ "name": "in the ring before", "value": 2 }, { "name": "published", "value": 7 }],
        "right": [{ "name": "consumed", "value": 12 }],
    }]);
    assert!(failures_of(&spec, &evidence).contains("books off by 3, 0 lost"));
    evidence.report["loss"]["total"] = json!(3);
    assert_eq!(failures_of(&spec, &evidence), "");
}
