//! What is generated from the figure table is in the tree as it would be
//! generated now, and real reports are what the schema says.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod fixture;

use std::path::Path;

use fixture::{busy_ring, capture, told, with_hostile_names, with_loss};
use proptest::prelude::*;
use serde_json::Value as Json;
use uepoll_common::counter::{HOST_COUNTERS, RING_COUNTERS};
use uepoll_core::capture::{Attached, HeadWatch, PlanRow};
use uepoll_core::correlate::Correlated;
use uepoll_core::reference::{figures_page, report_schema};
use uepoll_core::render::text::{TextOptions, WIDTH, render};
use uepoll_core::render::{Charset, json};
use uepoll_core::report::Report;

/// Compares with a file of `docs/`, or writes it where that is asked for.
fn expect_in_docs(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("UEPOLL_BLESS").is_some() {
        std::fs::write(&path, text).expect("the folder is there");
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == current,
        "{} is not what the figure table says: UEPOLL_BLESS=1 cargo test -p uepoll-core",
        path.display()
    );
}

#[test]
fn the_page_of_figures_is_current() {
    expect_in_docs("figures.md", &figures_page());
}

#[test]
fn the_schema_is_current() {
    expect_in_docs("report.schema.json", &format!("{:#}\n", report_schema()));
}

#[test]
fn every_kind_of_report_is_what_the_schema_says() {
    let nothing = Correlated::default();
    let watch = HeadWatch {
        ring: Some(0),
        reads: 10,
        watched_ns: 1000,
        longest_gap_ns: 300,
        ended: Some("the process ended".into()),
    };
    let mut watched = capture(vec![busy_ring(0)]);
    watched.head_watch = Some(watch);
    let mut unknown = busy_ring(0);
    unknown.owner = None;
    unknown.last = None;
    unknown.consumers.clear();
    unknown.histograms = None;
    let mut every_way = capture(vec![busy_ring(0)]);
    for (row, attached) in every_way.plan.iter_mut().zip(Attached::ALL) {
        row.attached = attached;
    }
    assert_eq!(every_way.plan.len(), Attached::ALL.len());
    for (capture, told) in [
        (every_way, told(0)),
        (capture(vec![busy_ring(0)]), told(0)),
        (capture(vec![]), nothing.clone()),
        (with_loss(capture(vec![busy_ring(0), busy_ring(1)])), told(1)),
        (with_hostile_names(capture(vec![busy_ring(0)])), told(0)),
        (watched, told(0)),
        (capture(vec![unknown]), nothing),
    ] {
        let mut report = Report::build(&capture, &told);
        report.interval = Some(3);
        let document = json::document(&report);
        let schema = report_schema();
        let mut wrong = Vec::new();
        check(&schema, &schema, &document, "$", &mut wrong);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_was_counted_the_report_is_what_the_schema_says(
        counts in proptest::collection::vec(any_count(), RING_COUNTERS),
        host in proptest::collection::vec(any_count(), HOST_COUNTERS),
        (duration_ns, waiting_ns, cpus) in (any_count(), any_count(), 0u32..9),
        (waiters_seen, sample_shift) in (any::<u32>(), any::<u32>()),
        ((first_head, first_tail), (head, tail)) in any::<((u32, u32), (u32, u32))>(),
        missing in proptest::sample::subsequence(SYMBOLS.to_vec(), 0..SYMBOLS.len()),
        comm in any::<String>(),
    ) {
        let mut ring = busy_ring(0);
        ring.counters.0.copy_from_slice(&counts);
        (ring.waiting_ns, ring.waiters_seen, ring.sample_shift) =
            (waiting_ns, waiters_seen, sample_shift);
        (ring.first_head, ring.first_tail) = (first_head, first_tail);
        if let Some(last) = &mut ring.last {
            (last.head, last.tail) = (head, tail);
        }
        if let Some(owner) = &mut ring.owner {
            owner.comm = comm;
        }
        let mut capture = capture(vec![ring]);
        (capture.duration_ns, capture.host.cpus) = (duration_ns, cpus);
        capture.host_counters.0.copy_from_slice(&host);
        capture.plan = missing.into_iter().map(|symbol| PlanRow {
            point: "a point",
            symbol: symbol.into(),
            attached: Attached::Missing,
            why_not_better: None,
            lost: Some("what it tells".into()),
        }).collect();
        let report = Report::build(&capture, &told(0));
        let document: Json = serde_json::from_str(&json::render(&report)).expect("JSON");
        let schema = report_schema();
        let mut wrong = Vec::new();
        check(&schema, &schema, &document, "$", &mut wrong);
        prop_assert!(wrong.is_empty(), "{:#?}", wrong);
        let ring = &document["rings"][0];
        for (key, value) in ring["figures"].as_object().expect("an object") {
            prop_assert_eq!(value.is_null(), ring["absent"][key].is_string(), "{}", key);
            let marks = ["at_least", "at_most", "inferred"].into_iter().filter(|list| {
                ring[list].as_array().is_some_and(|list| list.contains(&key.as_str().into()))
            });
            prop_assert!(marks.count() <= usize::from(!value.is_null()), "{}", key);
            if key.ends_with("_share") && key != "consumer_on_cpu_share" {
                let most = if key.starts_with("consumer_") { f64::from(cpus.max(1)) } else { 1.0 };
                let wrong = value.as_f64().is_some_and(|share| share > most);
                // Of counts of which one is a part of the other.
                let parts = !["estale", "enospc", "slot_spin"].iter().any(|k| key.starts_with(k));
                prop_assert!(!wrong || !parts, "{} {}", key, value);
            }
        }
        for verbose in [false, true] {
            let options = TextOptions { charset: Charset::Ascii, verbose };
            let text = render(&report, options);
            prop_assert!(text.lines().all(|line| line.len() <= WIDTH && line.is_ascii()));
            let last = text.lines().last().unwrap_or_default();
            prop_assert!(last.contains("cost") && last.contains("loss"), "{}", last);
        }
    }
}

/// Functions and tracepoints that figures need.
const SYMBOLS: [&str; 9] = [
    "ep_poll_callback",
    "ep_add_event_to_uring",
    "ep_remove_user_item",
    "ep_poll_wakeup",
    "ep_poll_callback_work",
    "ep_get_bit",
    "syscalls:sys_exit_epoll_ctl",
    "do_epoll_wait",
    "cpu-clock",
];

/// Counts of every size, those that no double holds and none at all among them.
fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0u64..100, any::<u64>(), Just((1 << 53) + 1), Just(u64::MAX)]
}

#[test]
fn the_check_finds_what_is_wrong() {
    let schema = report_schema();
    let right = json::document(&Report::build(&capture(vec![busy_ring(0)]), &told(0)));
    for (pointer, value) in [
        ("/schema", Json::from("uepoll.report/2")),
        ("/duration_ns", Json::from("10")),
        ("/rings/0/figures/published", Json::from(-1)),
        ("/rings/0/figures/residency_ns/max", Json::from(4)),
        ("/rings/0/owner", Json::from(true)),
        ("/probe_kind", Json::from("dtrace")),
    ] {
        let mut document = right.clone();
        *document.pointer_mut(pointer).expect("it is there") = value;
        let mut wrong = Vec::new();
        check(&schema, &schema, &document, "$", &mut wrong);
        assert_eq!(wrong.len(), 1, "{pointer}: {wrong:?}");
    }
}

/// Checks `value` against the part of JSON Schema that ours uses, and says of
/// a key in the document that no key of the schema names it.
fn check(root: &Json, schema: &Json, value: &Json, at: &str, wrong: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#')).expect("a reference resolves");
        return check(root, target, value, at, wrong);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|schema| {
            let mut wrong = Vec::new();
            check(root, schema, value, at, &mut wrong);
            wrong.is_empty()
        });
        if !fits {
            wrong.push(format!("{at}: fits none of {any:?}"));
        }
        return;
    }
    if schema.get("const").is_some_and(|constant| constant != value) {
        wrong.push(format!("{at}: is not the constant"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        wrong.push(format!("{at}: {value} is none of the words"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Json::String(name) => vec![name],
        Json::Array(names) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        other => panic!("{at}: the schema has a type {other}"),
    };
    if !types.is_empty() && !types.iter().any(is) {
        wrong.push(format!("{at}: {value} is no {types:?}"));
        return;
    }
    if let (Some(least), Some(value)) = (schema["minimum"].as_f64(), value.as_f64())
        && value < least
    {
        wrong.push(format!("{at}: {value} is less than {least}"));
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        let key = key.as_str().expect("keys are strings");
        if value.get(key).is_none() {
            wrong.push(format!("{at}: {key} is missing"));
        }
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{key}");
        match (schema["properties"].get(key), schema.get("additionalProperties")) {
            (Some(schema), _) | (None, Some(schema)) => check(root, schema, value, &at, wrong),
            // Readers ignore what they do not know; we do not print it.
            (None, None) => wrong.push(format!("{at}: not in the schema")),
        }
    }
    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
        check(root, &schema["items"], value, &format!("{at}/{index}"), wrong);
    }
}
