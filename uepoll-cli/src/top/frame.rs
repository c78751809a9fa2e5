//! One frame: what is shown at a time, an interval of a live run or a part of a
//! recorded one. Only what the view needs is kept.

use std::collections::BTreeMap;

use uepoll_common::counter::RingHistogram;
use uepoll_common::hist::{BUCKETS, RawHistogram, bucket_floor};
use uepoll_common::record::RingNumber;
use uepoll_core::figures::FigureId;
use uepoll_core::report::{Report, RingReport, Value};
use uepoll_core::run::Told;

/// Bars of a histogram that cover all of its range, by powers of two.
const POWERS: usize = 64;

/// Figures of a part of a run, with what is drawn of histograms.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Start, on the clock of the records.
    pub start_ns: u64,
    /// The figures.
    pub report: Report,
    bars: BTreeMap<RingNumber, RingBars>,
}

/// What is drawn of one ring's histograms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingBars {
    /// Publish latency, in the waker and in the offload worker.
    pub publish: Bars,
    /// Wake-up latency.
    pub wake_up: Bars,
}

/// Values by powers of two, from the first that is not empty to the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bars {
    /// Number of all values.
    pub total: u64,
    /// Least value of each bar in nanoseconds, and how many values are in it.
    pub bars: Vec<(u64, u64)>,
}

impl Bars {
    /// Of all histograms together.
    fn of(histograms: &[Option<&RawHistogram>]) -> Self {
        let mut powers = [0u64; POWERS];
        for histogram in histograms.iter().flatten() {
            for index in 0..BUCKETS {
                let power = bucket_floor(index).max(1).ilog2() as usize;
                powers[power] = powers[power].saturating_add(histogram.buckets[index]);
            }
        }
        let filled = |power: &u64| *power > 0;
        let (Some(first), Some(last)) =
            (powers.iter().position(filled), powers.iter().rposition(filled))
        else {
            return Self::default();
        };
        let least = |power: usize| if power == 0 { 0 } else { 1 << power };
        Self {
            total: powers.iter().fold(0, |all, power| all.saturating_add(*power)),
            bars: (first..=last).map(|power| (least(power), powers[power])).collect(),
        }
    }
}

impl Frame {
    /// Of what was told.
    pub fn of(told: &Told) -> Self {
        let bars = told.capture.rings.iter().map(|ring| {
            let bars = RingBars {
                publish: Bars::of(&[
                    ring.histogram(RingHistogram::PublishDirect),
                    ring.histogram(RingHistogram::PublishOffloaded),
                ]),
                wake_up: Bars::of(&[ring.histogram(RingHistogram::WakeUp)]),
            };
            (ring.ring, bars)
        });
        let mut report = told.report.clone();
        for ring in &mut report.rings {
            // The largest part of a report, and nothing of it is shown: depth
            // over time is what one frame after the other has.
            ring.depth_over_time = Vec::new();
        }
        Self { start_ns: told.capture.start_ns, bars: bars.collect(), report }
    }

    /// One of its rings.
    pub fn ring(&self, number: RingNumber) -> Option<&RingReport> {
        self.report.rings.iter().find(|ring| ring.number == number)
    }

    /// What is drawn of a ring's histograms.
    pub fn bars(&self, number: RingNumber) -> Option<&RingBars> {
        self.bars.get(&number)
    }

    /// What it weighs in memory, in rings.
    pub fn weight(&self) -> usize {
        self.report.rings.len().max(1)
    }
}

/// Greatest depth of a ring in its interval: as counted, or where nothing was,
/// as it was left.
pub fn greatest_depth(ring: &RingReport) -> Option<u64> {
    match ring.value(FigureId::Depth) {
        Value::Distribution(depth) => Some(depth.max),
        _ => ring.left.map(u64::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_hold_every_value_between_the_least_and_the_largest() {
        let mut raw = RawHistogram::EMPTY;
        [3, 700, 701, 5000, 1 << 40].into_iter().for_each(|value| raw.record(value));
        let bars = Bars::of(&[Some(&raw), None, Some(&raw)]);
        assert_eq!(bars.total, 10);
        assert_eq!(bars.bars.first(), Some(&(2, 2)));
        assert_eq!(bars.bars.iter().find(|(from, _)| *from == 512), Some(&(512, 4)));
        // Beyond the last bucket is in the last bucket.
        assert_eq!(bars.bars.last().map(|(_, values)| *values), Some(2));
        assert_eq!(Bars::of(&[None]), Bars::default());
    }
}
