//! What a page keeps of a ring over time: a heat map of residency, a row of
//! figures for each frame, examples of waits. Bounded, however long the run:
//! where room runs out, neighbours become one.

use std::collections::BTreeMap;

use uepoll_common::record::{Resolved, Waited};

use crate::figures::FigureId;
use crate::render::thinned::Thinned;
use crate::report::{Accuracy, RingReport, Value};
use crate::residency::interval_of;

/// Most columns of a heat map.
pub(super) const COLUMNS: usize = 160;

/// Rows of a heat map: two an octave, the last one for all that is longer.
pub(super) const ROWS: usize = 80;

/// Most rows of figures.
pub(super) const FRAMES: usize = 240;

/// Most waits that are kept as examples.
const WAITS: usize = 400;

/// First width of a column.
const FIRST_STEP_NS: u64 = 1 << 20;

/// Figures over time, one lane each.
pub(super) const LANES: [FigureId; 7] = [
    FigureId::PublishedRate,
    FigureId::ConsumerBusy,
    FigureId::ConsumerEmpty,
    FigureId::ConsumerWaiting,
    FigureId::EstaleRate,
    FigureId::EnospcRate,
    FigureId::SlotSpin,
];

/// A ring over time.
pub(super) struct Series {
    pub(super) heat: Heat,
    pub(super) frames: Frames,
    pub(super) waits: Thinned<Wait>,
}

impl Default for Series {
    fn default() -> Self {
        Self { heat: Heat::default(), frames: Frames::default(), waits: Thinned::new(WAITS) }
    }
}

/// Row of a residency.
pub(super) fn row_of(value_ns: u64) -> usize {
    let Some(octave) = value_ns.checked_ilog2() else { return 0 };
    let upper_half = octave > 0 && value_ns >> (octave - 1) & 1 == 1;
    (octave as usize * 2 + usize::from(upper_half)).min(ROWS - 1)
}

/// Least residency of a row.
pub(super) fn row_floor_ns(row: usize) -> u64 {
    let octave = 1u64 << (row / 2).min(63);
    if row % 2 == 1 { octave + octave / 2 } else { octave }
}

/// Positions published within one step of time.
pub(super) struct Column {
    /// Weight by lower end.
    pub(super) lower: [u64; ROWS],
    /// Weight by upper end, of those that have one.
    pub(super) upper: [u64; ROWS],
    /// Weight of all.
    pub(super) weight: u64,
}

impl Column {
    const EMPTY: Self = Self { lower: [0; ROWS], upper: [0; ROWS], weight: 0 };

    fn add(&mut self, other: &Self) {
        let pairs = self.lower.iter_mut().zip(&other.lower);
        for (mine, theirs) in pairs.chain(self.upper.iter_mut().zip(&other.upper)) {
            *mine = mine.saturating_add(*theirs);
        }
        self.weight = self.weight.saturating_add(other.weight);
    }

    /// Rows in which the median of the lower and of the upper ends lie; the
    /// latter `None` if it is among those that have no upper end.
    pub(super) fn median_rows(&self) -> Option<(usize, Option<usize>)> {
        let half = self.weight.div_ceil(2).max(1);
        let row = |ends: &[u64; ROWS]| {
            let mut seen = 0u64;
            ends.iter().position(|weight| {
                seen = seen.saturating_add(*weight);
                seen >= half
            })
        };
        Some((row(&self.lower)?, row(&self.upper)))
    }
}

/// Residency by time of publishing.
pub(super) struct Heat {
    step_ns: u64,
    columns: BTreeMap<u64, Box<Column>>,
}

impl Default for Heat {
    fn default() -> Self {
        Self { step_ns: FIRST_STEP_NS, columns: BTreeMap::new() }
    }
}

impl Heat {
    /// Adds a sampled position; one that contradicts itself is no sample.
    pub(super) fn push(&mut self, record: &Resolved) {
        let Ok(interval) = interval_of(record) else { return };
        let start_ns = record.add_entry_ns - record.add_entry_ns % self.step_ns;
        let column = self.columns.entry(start_ns).or_insert_with(|| Box::new(Column::EMPTY));
        let add = |to: &mut u64| *to = to.saturating_add(interval.weight);
        add(&mut column.weight);
        add(&mut column.lower[row_of(interval.lo_ns)]);
        if let Some(hi_ns) = interval.hi_ns {
            add(&mut column.upper[row_of(hi_ns)]);
        }
        while self.columns.len() > COLUMNS {
            self.coarsen();
        }
    }

    fn coarsen(&mut self) {
        self.step_ns = self.step_ns.saturating_mul(2);
        let mut joined: BTreeMap<u64, Box<Column>> = BTreeMap::new();
        for (start_ns, column) in std::mem::take(&mut self.columns) {
            let start_ns = start_ns - start_ns % self.step_ns;
            joined.entry(start_ns).and_modify(|mine| mine.add(&column)).or_insert(column);
        }
        self.columns = joined;
    }

    /// Weight of what has no upper end, which no row holds.
    pub(super) fn unconsumed(&self) -> u64 {
        let without = self.columns.values().map(|column| {
            let ended = column.upper.iter().fold(0, |sum: u64, weight| sum.saturating_add(*weight));
            column.weight.saturating_sub(ended)
        });
        without.fold(0, u64::saturating_add)
    }

    /// Width of a column.
    pub(super) fn step_ns(&self) -> u64 {
        self.step_ns
    }

    /// Columns by their start, ascending; of moments without a position, none.
    pub(super) fn columns(&self) -> &BTreeMap<u64, Box<Column>> {
        &self.columns
    }
}

/// A figure's mean over a part of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mean {
    pub(super) value: f64,
    pub(super) accuracy: Accuracy,
}

/// One frame, or several that have become one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) start_ns: u64,
    pub(super) duration_ns: u64,
    /// By [`LANES`].
    pub(super) lanes: [Option<Mean>; LANES.len()],
    /// Runs of the offload worker.
    pub(super) offload_runs: u64,
    /// Greatest depth at a publish or a look.
    pub(super) deepest: Option<u64>,
}

impl Frame {
    fn of(ring: &RingReport, start_ns: u64, duration_ns: u64) -> Self {
        let lanes = LANES.map(|id| match ring.value(id) {
            Value::Number { value, accuracy } => Some(Mean { value: *value, accuracy: *accuracy }),
            _ => None,
        });
        let deepest = match ring.value(FigureId::Depth) {
            Value::Distribution(depth) => Some(depth.max),
            _ => None,
        };
        let offload_runs = ring.count(FigureId::OffloadRuns);
        Self { start_ns, duration_ns, lanes, offload_runs, deepest }
    }

    /// Joins the one after it. A mean of lower bounds is a lower bound, one of
    /// upper bounds an upper one; what is known of one half is not known.
    fn join(&mut self, next: &Self) {
        let (mine_ns, next_ns) = (self.duration_ns as f64, next.duration_ns as f64);
        let all_ns = (mine_ns + next_ns).max(1.0);
        for (mine, next) in self.lanes.iter_mut().zip(next.lanes) {
            *mine = mine.zip(next).map(|(mine, next)| Mean {
                value: (mine.value * mine_ns + next.value * next_ns) / all_ns,
                accuracy: weaker(mine.accuracy, next.accuracy),
            });
        }
        self.duration_ns = self.duration_ns.saturating_add(next.duration_ns);
        self.offload_runs = self.offload_runs.saturating_add(next.offload_runs);
        self.deepest = self.deepest.max(next.deepest);
    }
}

/// What can be relied on of a mean of two.
fn weaker(one: Accuracy, other: Accuracy) -> Accuracy {
    match (one, other) {
        (one, other) if one == other => one,
        (Accuracy::Exact, other) | (other, Accuracy::Exact) => other,
        _ => Accuracy::Inferred,
    }
}

/// Figures by time.
#[derive(Default)]
pub(super) struct Frames {
    frames: Vec<Frame>,
    /// Frames that make one here, less one; 0 at first.
    joined: usize,
    /// Of the last one.
    filled: usize,
}

impl Frames {
    /// Adds the next frame.
    pub(super) fn push(&mut self, ring: &RingReport, start_ns: u64, duration_ns: u64) {
        let frame = Frame::of(ring, start_ns, duration_ns);
        match self.frames.last_mut() {
            Some(last) if self.filled <= self.joined => {
                last.join(&frame);
                self.filled += 1;
            }
            _ => {
                self.frames.push(frame);
                self.filled = 1;
            }
        }
        if self.frames.len() > FRAMES {
            let pairs = self.frames.chunks(2).map(|pair| {
                let mut first = pair[0].clone();
                pair[1..].iter().for_each(|second| first.join(second));
                first
            });
            self.frames = pairs.collect();
            // The last one has no pair: it goes on being filled.
            self.joined = self.joined * 2 + 1;
        }
    }

    /// Frames, ascending in time.
    pub(super) fn all(&self) -> &[Frame] {
        &self.frames
    }
}

/// A wait that was seen.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    pub(super) entry_ns: u64,
    pub(super) exit_ns: u64,
    pub(super) slept: bool,
}

impl Wait {
    /// Of a record; one that ends before it begins is none.
    pub(super) fn of(record: &Waited) -> Option<Self> {
        let slept = record.flags & Waited::SLEPT != 0;
        let wait = Self { entry_ns: record.entry_ns, exit_ns: record.exit_ns, slept };
        (wait.exit_ns >= wait.entry_ns).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published_at(time_ns: u64) -> Resolved {
        Resolved {
            kind: 1,
            ring: 0,
            position: 0,
            item: 0,
            arrival_ns: 0,
            add_entry_ns: time_ns,
            add_exit_ns: time_ns,
            consumed_lo_ns: time_ns.saturating_add(4000),
            consumed_hi_ns: time_ns.saturating_add(5000),
            sample_shift: 1,
            interval: 0,
            waker_tid: 0,
            flags: 0,
        }
    }

    #[test]
    fn every_residency_lies_in_its_row() {
        for value_ns in (1..5000).chain([1 << 20, (1 << 39) - 1]) {
            let row = row_of(value_ns);
            assert!(row_floor_ns(row) <= value_ns.max(1), "{value_ns}");
            assert!(row == 0 || value_ns < row_floor_ns(row + 1), "{value_ns} {row}");
        }
        assert_eq!((row_of(0), row_of(u64::MAX)), (0, ROWS - 1));
    }

    #[test]
    fn a_long_run_keeps_its_weight_in_bounded_columns() {
        let mut heat = Heat::default();
        for second in 0..100_000u64 {
            heat.push(&published_at(second * 1_000_000_000));
        }
        assert!(heat.columns().len() <= COLUMNS);
        assert!(heat.columns().len() > COLUMNS / 4);
        let weight: u64 = heat.columns().values().map(|column| column.weight).sum();
        assert_eq!(weight, 200_000);
        let column = heat.columns().values().next().expect("one at least");
        assert_eq!(column.median_rows(), Some((row_of(4000), Some(row_of(5000)))));
    }

    #[test]
    fn hostile_times_are_bounded_too() {
        let mut heat = Heat::default();
        for n in 0..3000u64 {
            heat.push(&published_at(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1));
        }
        assert!(heat.columns().len() <= COLUMNS);
    }
}
