//! Depth over time in a bounded number of points: when they run out, two
//! neighbours become one and the step doubles.

/// Most points of a timeline.
pub const POINTS: usize = 512;

/// First step: finer than the sampler is by default.
const FIRST_STEP_NS: u64 = 1 << 20;

/// Least and greatest depth within one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Start of the step, on the clock of the records.
    pub time_ns: u64,
    /// Least depth seen in it.
    pub least: u32,
    /// Greatest depth seen in it.
    pub greatest: u32,
}

/// Depth over time; at most [`POINTS`] points, ascending in time.
#[derive(Clone, Debug)]
pub struct Timeline {
    step_ns: u64,
    points: Vec<Point>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { step_ns: FIRST_STEP_NS, points: Vec::new() }
    }
}

impl Timeline {
    /// Adds one sighting. Sightings may come a little out of order, as they do
    /// from several CPUs.
    pub fn push(&mut self, time_ns: u64, depth: u32) {
        let start = time_ns - time_ns % self.step_ns;
        match self.points.binary_search_by_key(&start, |point| point.time_ns) {
            Ok(at) => {
                let point = &mut self.points[at];
                point.least = point.least.min(depth);
                point.greatest = point.greatest.max(depth);
            }
            Err(at) => {
                self.points.insert(at, Point { time_ns: start, least: depth, greatest: depth });
            }
        }
        while self.points.len() > POINTS {
            self.coarsen();
        }
    }

    /// Doubles the step and joins the points that now share one.
    fn coarsen(&mut self) {
        // Saturates only for clocks that jump by centuries; then one point is left.
        self.step_ns = self.step_ns.saturating_mul(2);
        let step_ns = self.step_ns;
        let mut joined: Vec<Point> = Vec::with_capacity(POINTS);
        for point in &self.points {
            let start = point.time_ns - point.time_ns % step_ns;
            match joined.last_mut().filter(|last| last.time_ns == start) {
                Some(last) => {
                    last.least = last.least.min(point.least);
                    last.greatest = last.greatest.max(point.greatest);
                }
                None => joined.push(Point { time_ns: start, ..*point }),
            }
        }
        self.points = joined;
    }

    /// Width of a step.
    pub fn step_ns(&self) -> u64 {
        self.step_ns
    }

    /// The points, ascending in time.
    pub fn points(&self) -> &[Point] {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_its_extremes_in_bounded_points() {
        let mut timeline = Timeline::default();
        for tick in 0..100_000u64 {
            let depth = if tick == 77_777 { 900 } else { (tick % 7) as u32 };
            timeline.push(1_000_000_000 + tick * 5_000_000, depth);
        }
        assert!(timeline.points().len() <= POINTS);
        assert!(timeline.points().len() > POINTS / 4);
        assert_eq!(timeline.points().iter().map(|p| p.greatest).max(), Some(900));
        assert!(timeline.points().windows(2).all(|w| w[0].time_ns < w[1].time_ns));
    }

    #[test]
    fn hostile_times_neither_panic_nor_grow() {
        let mut timeline = Timeline::default();
        for n in 0..2000u64 {
            timeline.push(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), 1);
        }
        timeline.push(u64::MAX, 1);
        assert!(timeline.points().len() <= POINTS);
    }
}
