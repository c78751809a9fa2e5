//! The frames at hand, numbered from the first of the run: all of a short run,
//! of a long one those around what is shown. Bounded in memory.

use std::collections::VecDeque;

use super::frame::Frame;

/// Most frames at hand, each weighted by its rings: with some 15 kB for each
/// ring, about 60 MB.
pub const MOST: usize = 4096;

/// Successive frames of a run.
#[derive(Clone, Debug, Default)]
pub struct Reel {
    /// Number of the first frame at hand.
    first: usize,
    frames: VecDeque<Frame>,
    /// What the frames at hand weigh.
    weight: usize,
    run: Run,
}

/// What is known of all frames of a run, at hand or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// How many there are.
    pub frames: usize,
    /// Start of the first, on the clock of the records.
    pub start_ns: u64,
    /// End of the last.
    pub end_ns: u64,
}

impl Run {
    /// One more.
    pub fn add(&mut self, start_ns: u64, duration_ns: u64) {
        if self.frames == 0 {
            self.start_ns = start_ns;
        }
        self.frames += 1;
        self.end_ns = start_ns.saturating_add(duration_ns);
    }
}

impl Reel {
    /// Some frames of a run, the first with number `first`.
    pub fn of_part(first: usize, frames: Vec<Frame>, run: Run) -> Self {
        let weight = frames.iter().map(Frame::weight).sum();
        Self { first, frames: frames.into(), weight, run }
    }

    /// Adds the newest frame, and lets go of the oldest where they are too many.
    pub fn push(&mut self, frame: Frame) {
        self.weight += frame.weight();
        self.run.add(frame.start_ns, frame.report.duration_ns);
        self.frames.push_back(frame);
        while self.weight > MOST && self.frames.len() > 1 {
            if let Some(oldest) = self.frames.pop_front() {
                self.weight -= oldest.weight();
                self.first += 1;
            }
        }
    }

    /// The frame with this number, if it is at hand.
    pub fn get(&self, number: usize) -> Option<&Frame> {
        self.frames.get(number.checked_sub(self.first)?)
    }

    /// Number of the first frame at hand.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Number of frames of the run.
    pub fn total(&self) -> usize {
        self.run.frames
    }

    /// Start and end of the run, on the clock of the records.
    pub fn span(&self) -> (u64, u64) {
        (self.run.start_ns, self.run.end_ns)
    }

    /// The frame at hand that is the newest.
    pub fn newest(&self) -> Option<&Frame> {
        self.frames.back()
    }
}

#[cfg(test)]
mod tests {
    use uepoll_core::figures::FIGURES;

    use super::super::fixture;
    use super::*;

    #[test]
    fn a_ring_of_a_frame_weighs_what_the_bound_says() {
        let values = size_of::<uepoll_core::report::Value>() * FIGURES.len();
        assert!(values < 15_000, "{values} bytes for the figures of one ring");
    }

    #[test]
    fn the_oldest_frames_are_let_go_and_the_others_keep_their_numbers() {
        let frame = fixture::frame(0);
        let mut reel = Reel::default();
        let frames = MOST / frame.weight() + 10;
        for number in 0..frames {
            let mut frame = frame.clone();
            frame.start_ns = number as u64;
            reel.push(frame);
        }
        assert_eq!((reel.total(), reel.first()), (frames, 10));
        assert!(reel.get(9).is_none());
        assert_eq!(reel.get(10).map(|frame| frame.start_ns), Some(10));
        assert_eq!(reel.newest().map(|frame| frame.start_ns), Some(frames as u64 - 1));
    }
}
