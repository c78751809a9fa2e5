//! Outputs of a whole run, for browsers and for other tools. What is written
//! to the test folder here is looked at by `cargo xtask formats` with the tools
//! that it is for.

#[expect(dead_code, reason = "shared with other tests, each of which uses a part")]
mod fixture;
#[path = "fixture/run.rs"]
mod run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use run::{FRAMES, info, show};
use uepoll_common::counter::RingHistogram;
use uepoll_common::record::Record;
use uepoll_core::correlate::Correlator;
use uepoll_core::render::hlog::Log;
use uepoll_core::render::html::Page;
use uepoll_core::render::perfetto::Trace;
use uepoll_core::run::{RunInfo, Told, Viewer};

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
            let name = ring.owner.as_ref().map(|it| format!("{}:{}", it.pid, it.fd)).unwrap();
            for (which, key) in
                [(RingHistogram::WakeUp, "wake_up_ns"), (RingHistogram::Depth, "depth_items")]
            {
                let raw = ring.histogram(which).unwrap();
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
