//! Frames of a recording: read as a viewer of it sees them, and only those kept
//! that are around what is wanted.

use std::collections::VecDeque;

use anyhow::Context;
use uepoll_common::record::Record;
use uepoll_core::run::{Told, Viewer};

use super::frame::Frame;
use super::reel::{MOST, Reel, Run};
use crate::file::Recording;

/// A run of a file that is read anew, from its beginning, whenever something
/// else of it is wanted than what is at hand.
pub struct Recorded {
    recording: Recording,
    run: u32,
}

impl Recorded {
    /// The run with this number.
    pub fn new(recording: Recording, run: u32) -> Self {
        Self { recording, run }
    }

    /// Frames around the one with number `wanted`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn frames_around(&self, wanted: usize) -> anyhow::Result<Reel> {
        let mut collector = Collector::around(wanted);
        let viewed = self.recording.view(self.run, &mut collector);
        viewed.context("cannot read the recording to its end")?;
        Ok(collector.finish())
    }
}

/// Keeps the frames around one, as many as there is room for: before it half of
/// them.
struct Collector {
    wanted: usize,
    run: Run,
    /// Number of the first that is kept.
    first: usize,
    frames: VecDeque<Frame>,
    weight: usize,
    /// Nothing more finds room.
    full: bool,
}

impl Collector {
    fn around(wanted: usize) -> Self {
        Self {
            wanted,
            run: Run::default(),
            first: 0,
            frames: VecDeque::new(),
            weight: 0,
            full: false,
        }
    }

    fn finish(self) -> Reel {
        Reel::of_part(self.first, self.frames.into(), self.run)
    }

    fn keep(&mut self, number: usize, frame: Frame) {
        if number > self.wanted && self.weight + frame.weight() > MOST {
            // Without a gap: what follows is not kept either.
            self.full = true;
            return;
        }
        self.weight += frame.weight();
        self.frames.push_back(frame);
        // One at least: the one that is wanted.
        while number <= self.wanted && self.weight > MOST / 2 && self.frames.len() > 1 {
            if let Some(oldest) = self.frames.pop_front() {
                self.weight -= oldest.weight();
                self.first += 1;
            }
        }
    }
}

impl Viewer for Collector {
    fn record(&mut self, _record: &Record) {}

    fn frame(&mut self, told: &Told) {
        let number = self.run.frames;
        self.run.add(told.capture.start_ns, told.capture.duration_ns);
        if !self.full {
            self.keep(number, Frame::of(told));
        }
    }

    fn interval(&mut self, _interval: &Told) {}
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// What is kept of a run of so many frames.
    fn collected(frames: usize, wanted: usize) -> Reel {
        let one = fixture::frame(0);
        let mut collector = Collector::around(wanted);
        for number in 0..frames {
            let mut frame = one.clone();
            frame.start_ns = number as u64;
            collector.run.add(frame.start_ns, 1);
            if !collector.full {
                collector.keep(number, frame);
            }
        }
        collector.finish()
    }

    #[test]
    fn all_of_a_short_run_is_kept() {
        let reel = collected(10, 0);
        assert_eq!((reel.first(), reel.total(), reel.span()), (0, 10, (0, 10)));
        assert!(reel.get(9).is_some());
    }

    #[test]
    fn of_a_long_run_what_is_wanted_is_kept_with_its_neighbours() {
        let frames = 2 * MOST;
        for wanted in [0, 1, MOST / 2, MOST, frames - 1] {
            let reel = collected(frames, wanted);
            let frame = reel.get(wanted).expect("it is wanted");
            assert_eq!(frame.start_ns, wanted as u64);
            assert_eq!(reel.total(), frames);
            for near in [wanted.saturating_sub(100), (wanted + 100).min(frames - 1)] {
                assert!(reel.get(near).is_some(), "{near} beside {wanted}");
            }
            assert!(reel.get(wanted + MOST).is_none() || wanted + MOST >= frames);
        }
    }
}
