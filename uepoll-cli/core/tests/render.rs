//! The report as people and programs see it, compared with the files in
//! `tests/expected`. After a wanted change: `UEPOLL_BLESS=1 cargo test`, and
//! read the difference.

mod fixture;

use std::path::Path;

use fixture::{busy_ring, capture, slow_ring, told, with_hostile_names, with_loss};
use uepoll_common::counter::{RING_HISTOGRAMS, RingCounter, RingHistogram};
use uepoll_common::hist::RawHistogram;
use uepoll_core::capture::{Attached, Capture, Consumer, HeadWatch, Owner, PlanRow, Protocol};
use uepoll_core::correlate::Correlated;
use uepoll_core::render::text::{TextOptions, WIDTH, render};
use uepoll_core::render::{Charset, json};
use uepoll_core::report::Report;

#[test]
fn loss_that_cannot_be_known_is_not_called_none() {
    let mut capture = capture(vec![busy_ring(0)]);
    capture.loss.probe_misses = None;
    let text = text_of(&capture, &told(0), false, Charset::Utf8);
    assert!(text.contains("loss none seen"), "{text}");
    assert!(text.contains("not known: hits that kprobes missed"), "{text}");
    let json = json::render(&Report::build(&capture, &told(0)));
    assert!(json.contains("\"probe_misses\": null"), "{json}");
}

/// Compares with the expected file, or writes it where that is asked for.
fn expect(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(name);
    if std::env::var_os("UEPOLL_BLESS").is_some() {
        std::fs::write(&path, text).expect("the folder is there");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{} is not what is printed:\n{text}", path.display());
}

fn text_of(capture: &Capture, told: &Correlated, verbose: bool, charset: Charset) -> String {
    checked(&Report::build(capture, told), verbose, charset)
}

/// The text, after what holds for every report was checked.
fn checked(report: &Report, verbose: bool, charset: Charset) -> String {
    let text = render(report, TextOptions { charset, verbose });
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "wider than {WIDTH}: {line}");
        assert!(!line.chars().any(char::is_control), "control character: {line:?}");
        assert!(charset == Charset::Utf8 || line.is_ascii(), "not ASCII: {line}");
    }
    let last = text.lines().last().expect("never empty");
    assert!(last.contains("books") && last.contains("loss"), "trust line is not last: {last}");
    text
}

fn plain(capture: &Capture, told: &Correlated) -> String {
    text_of(capture, told, false, Charset::Ascii)
}

#[test]
fn a_busy_ring() {
    expect("busy.txt", &plain(&capture(vec![busy_ring(0)]), &told(0)));
}

#[test]
fn a_busy_ring_with_everything() {
    let capture = capture(vec![busy_ring(0)]);
    expect("busy-verbose.txt", &text_of(&capture, &told(0), true, Charset::Ascii));
}

#[test]
fn a_busy_ring_for_programs() {
    let report = Report::build(&capture(vec![busy_ring(0)]), &told(0));
    expect("busy.json", &json::render(&report));
}

#[test]
fn no_ring_seen_is_one_helpful_sentence() {
    expect("empty.txt", &plain(&capture(vec![]), &Correlated::default()));
}

#[test]
fn a_corrupt_ring_is_marked_and_the_others_go_on() {
    let mut corrupt = busy_ring(1);
    corrupt.counters.0[RingCounter::SampledDue as usize] = 0;
    if let Some(last) = &mut corrupt.last {
        last.header_right = false;
        last.head = last.tail.wrapping_add(5);
    }
    let report = Report::build(&capture(vec![corrupt, busy_ring(0)]), &told(0));
    assert!(!report.trustworthy());
    assert_eq!(report.corrupt_rings(), 1);
    expect("corrupt.txt", &checked(&report, false, Charset::Ascii));
}

#[test]
fn a_closed_ring_keeps_its_figures_and_an_ended_process_is_noted() {
    let mut ring = busy_ring(0);
    ring.closed = true;
    let mut report = Report::build(&capture(vec![ring]), &told(0));
    report.notes.push("process 4242 ended after 3.2 s".into());
    expect("closed.txt", &checked(&report, false, Charset::Ascii));
}

#[test]
fn loss_turns_exact_figures_into_lower_bounds() {
    let capture = with_loss(capture(vec![busy_ring(0)]));
    let report = Report::build(&capture, &told(0));
    assert!(!report.trustworthy());
    expect("loss.txt", &checked(&report, true, Charset::Ascii));
    let document = json::document(&report);
    let at_least = document["rings"][0]["at_least"].as_array().expect("a list");
    assert!(at_least.contains(&serde_json::json!("published")), "{at_least:?}");
}

#[test]
fn names_from_processes_command_no_terminal() {
    let capture = with_hostile_names(capture(vec![busy_ring(0)]));
    for (charset, name) in
        [(Charset::Ascii, "hostile-ascii.txt"), (Charset::Utf8, "hostile-utf8.txt")]
    {
        expect(name, &text_of(&capture, &told(0), true, charset));
    }
    let json = json::render(&Report::build(&capture, &told(0)));
    assert!(json.chars().all(|c| c == '\n' || (' '..='~').contains(&c)));
    let read: serde_json::Value = serde_json::from_str(&json).expect("still JSON");
    assert_eq!(read["rings"][0]["owner"]["comm"], "\x1b[2J\x1b[H\u{9b}31m\n");
}

#[test]
fn what_an_inlined_function_would_have_told_is_marked_or_absent() {
    let mut capture = capture(vec![busy_ring(0)]);
    capture.plan.push(PlanRow {
        point: "publish",
        symbol: "ep_add_event_to_uring".into(),
        attached: Attached::Missing,
        why_not_better: None,
        lost: Some("adds by epoll_ctl are not seen (not in this kernel, or inlined)".into()),
    });
    // No row says who did them.
    for counter in [RingCounter::PublishedInsert, RingCounter::PublishedModify] {
        capture.rings[0].counters.0[counter as usize] = 0;
    }
    expect("inlined.txt", &text_of(&capture, &told(0), true, Charset::Ascii));
    let document = json::document(&Report::build(&capture, &told(0)));
    let ring = &document["rings"][0];
    assert!(ring["inferred"].as_array().expect("a list").contains(&"merged_share".into()));
    assert!(ring["figures"]["published_insert"].is_null());
    assert_eq!(ring["absent"]["published_insert"], "no probe on ep_add_event_to_uring (publish)");
}

#[test]
fn an_unbalanced_equation_is_printed_with_its_terms() {
    let mut ring = busy_ring(0);
    ring.first_tail = ring.first_tail.wrapping_sub(3);
    ring.first_head = ring.first_head.wrapping_sub(3);
    let report = Report::build(&capture(vec![ring]), &told(0));
    assert!(!report.trustworthy());
    expect("unbalanced.txt", &checked(&report, false, Charset::Ascii));
}

#[test]
fn where_all_is_offloaded_the_workers_latency_is_shown() {
    let mut ring = busy_ring(0);
    if let Some(histograms) = &mut ring.histograms {
        let histograms = std::sync::Arc::make_mut(histograms);
        histograms[RingHistogram::PublishDirect as usize] = RawHistogram::EMPTY;
    }
    let text = plain(&capture(vec![ring]), &told(0));
    let line = text.lines().find(|line| line.starts_with("  publish ")).expect("the row");
    assert!(line.ends_with("950 offloaded"), "{line}");
}

#[test]
fn a_ring_whose_consumer_only_spins_says_what_is_withheld_and_what_to_do() {
    let mut ring = busy_ring(0);
    ring.consumers.clear();
    let capture = capture(vec![ring]);
    let text = plain(&capture, &told(0));
    expect("consumer-unknown.txt", &text);
    let document = json::document(&Report::build(&capture, &told(0)));
    let ring = &document["rings"][0];
    for key in ["consumer_busy_share", "consumer_empty_share", "consumer_waiting_share"] {
        assert!(ring["figures"][key].is_null());
        assert_eq!(
            ring["absent"][key],
            "consumer unknown: it never waited; name it with --consumer TID"
        );
    }
    assert!(ring["figures"]["slot_spin_share"].is_number());
}

#[test]
fn a_watched_ring_of_two_consumers_in_one_of_several_intervals() {
    let mut ring = busy_ring(0);
    ring.consumers.push(Consumer { tid: 4252, comm: "worker-1".into(), named: true });
    let mut capture = capture(vec![ring]);
    capture.plan[0].attached = Attached::Fentry;
    capture.plan[1].why_not_better = Some("its arguments are not in BTF".into());
    capture.head_watch = Some(HeadWatch {
        ring: Some(0),
        reads: 9_000_000,
        watched_ns: 9_000_000_000,
        longest_gap_ns: 412_000,
        ended: Some("the process 4242 exited".into()),
    });
    let mut report = Report::build(&capture, &told(0));
    report.interval = Some(3);
    expect("watched.txt", &checked(&report, true, Charset::Ascii));
}

#[test]
fn wide_bounds_name_what_narrows_them_and_old_positions_their_age() {
    let (mut ring, told) = slow_ring();
    ring.counters.0[RingCounter::Snapshots as usize] = 4000;
    let report = Report::build(&capture(vec![ring]), &told);
    expect("wide.txt", &checked(&report, false, Charset::Ascii));
    let document = json::document(&report);
    assert!(document["rings"][0]["narrower"].as_str().is_some_and(|s| s.contains("-F ")));
    assert_eq!(document["rings"][0]["in_ring_before"]["left"], 2);
}

#[test]
fn where_slots_are_written_before_tail_there_is_no_slot_spin() {
    let mut capture = capture(vec![busy_ring(0)]);
    capture.host.protocol = Protocol::V4;
    let document = json::document(&Report::build(&capture, &told(0)));
    let ring = &document["rings"][0];
    for key in ["slot_spin_share", "slot_spin_sightings", "slot_exposure_ns"] {
        assert!(ring["figures"][key].is_null() && ring["absent"][key].is_string(), "{key}");
    }
}

#[test]
fn an_idle_ring_is_only_mentioned() {
    let mut idle = busy_ring(7);
    idle.counters.0.fill(0);
    let (head, tail) = (idle.first_head, idle.first_tail);
    if let Some(last) = &mut idle.last {
        (last.head, last.tail) = (head, tail);
    }
    let text = plain(&capture(vec![idle, busy_ring(0)]), &told(0));
    assert!(text.contains("1 more ring was idle (-v shows it)"), "{text}");
}

#[test]
fn no_figure_is_cut_off_however_busy_the_ring_was() {
    const MOST: u64 = 999_999_999_999;
    let mut ring = busy_ring(0);
    ring.counters.0.fill(MOST);
    ring.max_items = 65536;
    ring.consumers[0].tid = u32::MAX;
    ring.consumers[0].comm = "w".repeat(15);
    ring.owner = Some(Owner { pid: u32::MAX, comm: "c".repeat(15), fd: i32::MAX });
    let mut histogram = RawHistogram::EMPTY;
    (0..5).for_each(|octave| histogram.record(86_400_000_000_000 >> (octave * 8)));
    (histogram.count, histogram.sum) = (MOST, u64::MAX);
    histogram.buckets.iter_mut().for_each(|bucket| *bucket *= MOST / 5);
    let mut histograms = [histogram; RING_HISTOGRAMS];
    histograms[RingHistogram::Depth as usize] = RawHistogram::EMPTY;
    histograms[RingHistogram::Depth as usize].record(131_072);
    ring.histograms = Some(histograms.into());
    for duration_ns in [1_000_000, 3_600_000_000_000] {
        for mut capture in [capture(vec![ring.clone()]), with_loss(capture(vec![ring.clone()]))] {
            capture.duration_ns = duration_ns;
            for verbose in [false, true] {
                let text = text_of(&capture, &told(0), verbose, Charset::Ascii);
                assert!(!text.lines().any(|line| line.ends_with('~')), "{text}");
            }
        }
    }
}

#[test]
fn extreme_figures_still_fit_the_columns() {
    let mut ring = busy_ring(0);
    ring.counters.0.fill(u64::MAX / 64);
    ring.max_items = 65536;
    let mut capture = with_hostile_names(with_loss(capture(vec![ring])));
    capture.duration_ns = 1;
    capture.loss.recursion_misses = u64::MAX;
    capture.host.release = "6.12.117-a-very-long-release-name-that-somebody-chose".into();
    for charset in [Charset::Ascii, Charset::Utf8] {
        text_of(&capture, &told(0), true, charset);
    }
}
