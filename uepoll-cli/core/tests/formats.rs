//! Outputs of a whole run, for browsers and for other tools. What is written
//! to the test folder here is looked at by `cargo xtask formats` with the tools
//! that it is for.

#[expect(dead_code, reason = "shared with other tests, each of which uses a part")]
mod fixture;
#[path = "fixture/run.rs"]
mod run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use fixture::{busy_ring, told};
use run::{FRAMES, info, show};
use uepoll_common::counter::{RingCounter, RingHistogram};
use uepoll_common::record::{Record, Resolved, Snapshot, Waited};
use uepoll_core::capture::Capture;
use uepoll_core::correlate::Correlator;
use uepoll_core::figures::FigureId;
use uepoll_core::render::hlog::Log;
use uepoll_core::render::html::Page;
use uepoll_core::render::perfetto::Trace;
use uepoll_core::report::Report;
use uepoll_core::run::{RunInfo, Told, Viewer};
use uepoll_core::whole::Whole;

/// Where `cargo xtask formats` finds what was written.
fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("formats");
    std::fs::create_dir_all(&folder).expect("cargo made its parent");
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("a file in our own folder");
    path
}

fn page(hostile: bool, frames: u64) -> String {
    let mut page = Page::new(&info(hostile));
    show(&mut page, hostile, frames);
    page.finish()
}

#[test]
fn a_page_holds_no_markup_that_is_not_ours() {
    let page = page(true, 4);
    written("hostile.html", page.as_bytes());
    assert!(!page.contains("<img"), "a name became markup");
    assert_eq!(page.matches("</script>").count(), page.matches("<script").count());
    assert!(!page.contains('\u{1b}'));
}

#[test]
fn a_page_of_a_minute_is_small_and_asks_for_nothing() {
    let page = page(false, FRAMES);
    written("page.html", page.as_bytes());
    assert!(page.len() < 600_000, "{} bytes", page.len());
    for address in ["http:", "https:", "src=", "@import", "url("] {
        assert!(
            !page.contains(&format!("\"{address}")) && !page.contains(&format!(" {address}")),
            "{address}"
        );
    }
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("NaN") && !page.contains("inf\""), "a number is none");
}

#[test]
fn a_page_of_nothing_is_a_page() {
    for (told, words) in [(false, "Nothing was told"), (true, "No ring was seen")] {
        let mut page = Page::new(&RunInfo::default());
        if told {
            let mut nothing = fixture::capture(vec![]);
            nothing.duration_ns = 0;
            let mut correlator = Correlator::default();
            page.interval(&Told::of_interval(nothing, &mut correlator, false));
        }
        let page = page.finish();
        assert!(page.contains(words) && page.contains("<footer"), "{page}");
    }
}

/// A page of one interval, without frames.
fn page_of(capture: &Capture, records: &[Record]) -> String {
    let mut page = Page::new(&info(false));
    let mut correlator = Correlator::default();
    for record in records {
        page.record(record);
        correlator.push(record);
    }
    page.interval(&Told::of_interval(capture.clone(), &mut correlator, false));
    page.finish()
}

#[test]
fn hundreds_of_rings_are_listed_and_the_busiest_drawn() {
    let busy = busy_ring(0);
    let rings = (0..300).map(|number| {
        let mut ring = busy.clone();
        ring.ring = number;
        ring.counters.0[RingCounter::PublishedCallback as usize] += u64::from(number);
        ring
    });
    let page = page_of(&fixture::capture(rings.collect()), &[]);
    assert!(page.len() < 2 << 20, "{} bytes", page.len());
    assert!(page.contains("Charts are of the busiest 16 of 300 rings."), "what is left out");
    assert!(page.contains("The table has the busiest 200."));
    assert_eq!(page.matches("<section id=\"ring-").count(), 16);
    assert!(page.contains("<section id=\"ring-299\""), "the busiest is drawn");
}

#[test]
fn one_sample_or_none_and_no_time_at_all_are_drawn() {
    let mut ring = busy_ring(0);
    ring.histograms = None;
    ring.counters.0.fill(0);
    ring.owner = None;
    ring.consumers.clear();
    ring.last = None;
    let mut one = None;
    let mut capture = fixture::capture(vec![ring]);
    for duration_ns in [0, 1, 10_000_000_000] {
        capture.duration_ns = duration_ns;
        let page = page_of(&capture, one.as_slice());
        assert!(page.contains("What is not known of this ring, and why"));
        assert!(!page.contains("NaN") && !page.contains("inf\""), "{duration_ns}");
        one = Some(sample(capture.start_ns));
    }
    let page = page_of(&capture, &[sample(capture.start_ns)]);
    assert!(page.contains("1 sampled") && page.contains("class=\"heat"), "one sample is shown");
}

fn sample(time_ns: u64) -> Record {
    Record::Resolved(Resolved {
        kind: 1,
        ring: 0,
        position: 0,
        item: 0,
        arrival_ns: 0,
        add_entry_ns: time_ns,
        add_exit_ns: time_ns + 1,
        consumed_lo_ns: time_ns + 1,
        consumed_hi_ns: time_ns + 2,
        sample_shift: 0,
        interval: 0,
        waker_tid: 0,
        flags: 0,
    })
}

/// A position that nobody was seen to consume, within a second.
fn stuck_at(time_ns: u64) -> Record {
    let Record::Resolved(mut stuck) = sample(time_ns) else { unreachable!("a sample is one") };
    (stuck.consumed_lo_ns, stuck.consumed_hi_ns, stuck.position) = (time_ns + 900_000_000, 0, 1);
    Record::Resolved(stuck)
}

#[test]
fn what_was_never_consumed_is_told_of_by_page_and_log() {
    let capture = fixture::capture(vec![busy_ring(0)]);
    let both = [sample(capture.start_ns), stuck_at(capture.start_ns + 10)];
    let page = page_of(&capture, &both);
    assert!(page.contains("Not drawn: 1 that nobody was seen to consume"), "{page}");
    let page = page_of(&capture, &both[1..]);
    assert!(page.contains("Not drawn: 1 ") && !page.contains("in a cell"), "{page}");
    for (records, uppers) in [(&both[..], 1), (&both[1..], 0)] {
        let mut log = Log::new(&info(false));
        log.interval(&Told::of_frame(None, &capture, records));
        let log = log.finish();
        assert!(log.contains("# 1 positions were never seen consumed"), "{log}");
        assert_eq!(log.matches("/residency_ns/lower,").count(), 1);
        assert_eq!(log.matches("/residency_ns/upper,").count(), uppers);
    }
}

#[test]
fn a_page_tells_of_waits_that_are_not_drawn_and_reads_out_silence() {
    let capture = fixture::capture(vec![busy_ring(0)]);
    let mut page = Page::new(&info(false));
    let wait = |time_ns: u64| {
        Record::Waited(Waited {
            kind: 5,
            ring: 0,
            tid: 1,
            result: 1,
            entry_ns: time_ns,
            exit_ns: time_ns + 500,
            woken_ns: 0,
            flags: Waited::SLEPT,
            sample_shift: 0,
        })
    };
    (0..1000).for_each(|n| page.record(&wait(capture.start_ns + n * 1000)));
    page.record(&sample(capture.start_ns));
    for frame in 0..4 {
        let mut capture = capture.clone();
        capture.duration_ns = 1_000_000_000;
        capture.start_ns += frame * capture.duration_ns;
        page.frame(&Told::of_frame(None, &capture, &[]));
    }
    let mut whole = capture.clone();
    whole.duration_ns = 4_000_000_000;
    page.interval(&Told::of_frame(None, &whole, &[]));
    let page = page.finish();
    assert!(page.contains(" are drawn of 1\u{a0}000."), "{page}");
    assert!(page.contains("\"at\":[\"0.000\\u00a0s\",\"0.499"), "the first silence");
    assert!(page.contains("\"3.499\\u00a0s\"]"), "the last silence: {page}");
}

#[test]
fn depth_is_not_drawn_where_nobody_looked() {
    let capture = fixture::capture(vec![busy_ring(0)]);
    let look = |time_ns: u64, tail: u32| {
        Record::Snapshot(Snapshot {
            kind: 4,
            ring: 0,
            before_ns: time_ns,
            after_ns: time_ns + 80,
            head: 0,
            tail,
            flags: Snapshot::HEADER_RIGHT,
            reserved: 0,
        })
    };
    let late_ns = capture.start_ns + 8_000_000_000;
    let page = page_of(&capture, &[look(capture.start_ns, 1), look(late_ns, 9)]);
    let (_, band) = page.split_once("class=\"depth\" d=\"").expect("there is a band");
    let (band, _) = band.split_once('"').expect("it ends");
    assert_eq!(band.matches('Z').count(), 2, "{band}");
}

#[test]
fn a_trace_tells_of_examples_that_contradict_themselves() {
    let mut trace = Trace::new(&info(false));
    let Record::Resolved(mut wrong) = sample(1000) else { unreachable!("a sample is one") };
    wrong.add_exit_ns = 1;
    trace.record(&Record::Resolved(wrong));
    let bytes = trace.finish();
    let words = b"1 that contradict themselves";
    assert!(bytes.windows(words.len()).any(|part| part == words));
}

#[test]
fn several_intervals_are_told_as_one() {
    let mut run = info(false);
    run.by_intervals = true;
    let mut page = Page::new(&run);
    let mut whole = Whole::default();
    for number in 0..3 {
        let mut capture = fixture::capture(vec![busy_ring(0)]);
        capture.start_ns += u64::from(number) * capture.duration_ns;
        let ring = &mut capture.rings[0];
        // Each begins where the one before ended.
        if number > 0
            && let Some(last) = &mut ring.last
        {
            let moved = 400_000u32.wrapping_mul(number);
            (ring.first_head, ring.first_tail) =
                (ring.first_head.wrapping_add(moved - 9), ring.first_tail.wrapping_add(moved));
            (last.head, last.tail) = (last.head.wrapping_add(moved), last.tail.wrapping_add(moved));
        }
        let told = Told { report: Report::build(&capture, &told(0)), capture, correlated: told(0) };
        page.interval(&told);
        whole.add(&told);
    }
    let whole = whole.finish().expect("there were three");
    let ring = &whole.report.rings[0];
    assert_eq!(ring.count(FigureId::Published), 3 * 400_000);
    assert_eq!(whole.report.duration_ns, 30_000_000_000);
    assert_eq!(whole.report.books().unbalanced, 0, "{:?}", ring.equations);
    let page = page.finish();
    assert!(
        page.contains("3 intervals taken together")
            && page.contains("1 200 000".replace(' ', "\u{a0}").as_str())
    );
}

#[test]
fn a_recording_that_was_cut_short_is_told_as_far_as_it_goes() {
    /// Passes everything on but intervals.
    struct Cut(Page);
    impl Viewer for Cut {
        fn record(&mut self, record: &Record) {
            self.0.record(record);
        }
        fn frame(&mut self, frame: &Told) {
            self.0.frame(frame);
        }
        fn interval(&mut self, _: &Told) {}
    }
    let mut cut = Cut(Page::new(&info(false)));
    show(&mut cut, false, 3);
    let page = cut.0.finish();
    assert!(page.contains("ends in the middle of an interval"));
    assert!(page.contains("3.0 s") && page.contains("4242:7"));
}

#[test]
fn a_trace_is_the_same_each_time_and_bounded() {
    let trace = || {
        let mut trace = Trace::new(&info(true));
        show(&mut trace, true, FRAMES);
        trace.finish()
    };
    let bytes = trace();
    written("trace.perfetto", &bytes);
    assert!(bytes.len() < 8 << 20, "{} bytes", bytes.len());
    assert!(bytes == trace());
}

#[test]
fn a_trace_of_nothing_has_its_clocks() {
    let bytes = Trace::new(&RunInfo::default()).finish();
    assert!(!bytes.is_empty() && bytes.len() < 200);
}

/// Count and greatest value of what a log is to hold, by tag.
#[derive(Default)]
struct Expected(BTreeMap<String, (u64, u64)>);

impl Viewer for Expected {
    fn record(&mut self, _: &Record) {}

    fn frame(&mut self, frame: &Told) {
        for ring in &frame.capture.rings {
            let name = ring.owner.as_ref().map(|it| format!("{}:{}", it.pid, it.fd));
            let name = name.expect("the fixture's rings have owners");
            for (which, key) in
                [(RingHistogram::WakeUp, "wake_up_ns"), (RingHistogram::Depth, "depth_items")]
            {
                let raw = ring.histogram(which).expect("the fixture's rings have histograms");
                let sum = self.0.entry(format!("{name}/{key}")).or_default();
                *sum = (sum.0 + raw.count, sum.1.max(raw.max));
            }
            let Some(told) = frame.correlated.rings.get(&ring.ring) else { continue };
            let sum = self.0.entry(format!("{name}/residency_ns/lower")).or_default();
            let max = told.residency.max().map_or(0, |it| it.lo);
            *sum = (sum.0 + told.residency.total_weight(), sum.1.max(max));
        }
    }

    fn interval(&mut self, _: &Told) {}
}

#[test]
fn a_log_has_a_line_for_each_frame_ring_and_distribution() {
    let mut log = Log::new(&info(false));
    show(&mut log, false, FRAMES);
    let log = log.finish();
    written("run.hlog", log.as_bytes());
    let mut expected = Expected::default();
    show(&mut expected, false, FRAMES);
    let document = serde_json::json!(expected.0);
    written("run.hlog.json", document.to_string().as_bytes());
    // Two ends of residency and eight of the kernel side; no record is of the
    // second ring.
    let lines = log.lines().filter(|line| line.starts_with("Tag=")).count() as u64;
    assert_eq!(lines, FRAMES * (8 + 2 + 8));
    assert!(log.is_ascii());
}

/// Filling its histograms takes longer than what is tested.
static CAPTURE: LazyLock<Capture> =
    LazyLock::new(|| fixture::capture(vec![busy_ring(0), busy_ring(1)]));

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    /// Whatever a file holds.
    #[test]
    fn hostile_records_neither_stop_nor_fill_any_format(
        words in proptest::collection::vec(proptest::prelude::any::<[u64; 9]>(), 0..200),
        start_ns: u64,
        duration_ns: u64,
    ) {
        let mut capture = CAPTURE.clone();
        (capture.start_ns, capture.duration_ns) = (start_ns, duration_ns);
        let records: Vec<Record> = words
            .iter()
            .filter_map(|words| {
                let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
                bytes[..4].copy_from_slice(&(words[8] as u32 % 8).to_ne_bytes());
                bytes[4..8].copy_from_slice(&(words[7] as u32 % 3).to_ne_bytes());
                Record::decode(&bytes)
            })
            .collect();
        let info = info(true);
        let mut page = Page::new(&info);
        let mut trace = Trace::new(&info);
        let mut log = Log::new(&info);
        let viewers: [&mut dyn Viewer; 3] = [&mut page, &mut trace, &mut log];
        for viewer in viewers {
            records.iter().for_each(|record| viewer.record(record));
            let told = Told::of_frame(None, &capture, &records);
            viewer.frame(&told);
            viewer.frame(&told);
            viewer.interval(&told);
            viewer.frame(&told);
        }
        let page = page.finish();
        assert!(page.len() < 2 << 20 && !page.contains("NaN"));
        assert!(!trace.finish().is_empty());
        assert!(log.finish().is_ascii());
    }
}
