//! Frames for tests, with figures that a reader can check by hand: those of the
//! core's own tests.

use std::sync::{Arc, OnceLock};

use uepoll_common::counter::{RingCounter, RingHistogram};
use uepoll_common::hist::RawHistogram;
use uepoll_core::capture::{Capture, LastState, Owner, RingCapture};
use uepoll_core::correlate::Correlated;
use uepoll_core::report::Report;
use uepoll_core::run::Told;

use super::frame::Frame;
use super::reel::Run;
use crate::core_fixture as of_core;

pub use of_core::{with_hostile_names, with_loss};

/// A second that begins `number` seconds after the first: a busy ring whose
/// depth differs from second to second, a quiet one, one that is full.
pub fn frame(number: u32) -> Frame {
    frame_of(capture(number))
}

/// The same second, before a report is made of it.
pub fn capture(number: u32) -> Capture {
    let mut busy = of_core::busy_ring(0);
    // What was left, 9, may not have been the greatest.
    set_depth(&mut busy, 9 + u64::from(number * 7 % 23));
    let mut capture = of_core::capture(vec![busy, quiet_ring(), full_ring()]);
    capture.start_ns += u64::from(number) * capture.duration_ns;
    capture.interval = number;
    capture
}

/// A frame of a capture; what its records tell is the same each time.
pub fn frame_of(capture: Capture) -> Frame {
    static TOLD: OnceLock<Correlated> = OnceLock::new();
    let correlated = TOLD.get_or_init(|| of_core::told(0)).clone();
    let report = Report::build(&capture, &correlated);
    Frame::of(&Told { capture, correlated, report })
}

/// A run of so many of these seconds.
pub fn run_of(frames: u32) -> Run {
    let mut run = Run::default();
    for frame in (0..frames).map(capture) {
        run.add(frame.start_ns, frame.duration_ns);
    }
    run
}

/// Depths up to `greatest`, and so it was left.
fn set_depth(ring: &mut RingCapture, greatest: u64) {
    let mut depths = RawHistogram::EMPTY;
    (0..=greatest).for_each(|depth| depths.record(depth));
    if let Some(histograms) = &ring.histograms {
        let mut histograms = **histograms;
        histograms[RingHistogram::Depth as usize] = depths;
        ring.histograms = Some(Arc::new(histograms));
    }
}

/// One that was only seen.
fn quiet_ring() -> RingCapture {
    let mut ring = of_core::busy_ring(1);
    ring.counters.0.fill(0);
    ring.owner = Some(Owner { pid: 977, comm: "idler".into(), fd: 3 });
    ring.histograms = None;
    ring.consumers.clear();
    ring.last = Some(LastState {
        head: ring.first_head,
        tail: ring.first_head,
        items_used: Some(1),
        header_right: true,
    });
    ring
}

/// One that refuses what is added, and whose consumer sleeps elsewhere.
fn full_ring() -> RingCapture {
    let mut ring = of_core::busy_ring(2);
    ring.owner = Some(Owner { pid: 31337, comm: "gateway".into(), fd: 12 });
    ring.max_items = 16;
    for (counter, value) in [
        (RingCounter::PublishedCallback, 1200),
        (RingCounter::MergedCallback, 90_000),
        (RingCounter::Arrivals, 91_240),
        (RingCounter::AddsNoSpaceFull, 30),
        (RingCounter::SampledDue, 0),
    ] {
        ring.counters.0[counter as usize] = value;
    }
    set_depth(&mut ring, 16);
    let tail = ring.first_head.wrapping_add(1205);
    ring.last = Some(LastState {
        head: tail.wrapping_sub(16),
        tail,
        items_used: Some(16),
        header_right: true,
    });
    ring
}
