//! Records in, per-ring distributions out: residency, depth over time, what was
//! contradictory. Memory grows with the number of rings, never with that of
//! records. Figures and books are made of this elsewhere.

mod order;
mod ring;

use std::collections::BTreeMap;

use uepoll_common::record::{Record, RingClosed, RingNumber, RingSeen};

use crate::residency::Residency;
use crate::timeline::Timeline;

pub use ring::Before;

/// Most rings that are followed; the kernel side's table is no larger.
pub const MAX_RINGS: usize = 1 << 16;

/// Records that no true history could have left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies {
    /// Positions consumed before they were published.
    pub consumed_before_published: u64,
    /// Records whose clocks run backwards.
    pub clock_back: u64,
    /// Records with a weight or a value out of range.
    pub out_of_range: u64,
    /// Snapshots that saw head beyond tail.
    pub head_beyond_tail: u64,
    /// Snapshots that saw head go back.
    pub head_back: u64,
    /// Snapshots with a wrong magic or wrong lengths.
    pub header_wrong: u64,
}

impl Anomalies {
    /// All of them.
    pub fn total(&self) -> u64 {
        [
            self.consumed_before_published,
            self.clock_back,
            self.out_of_range,
            self.head_beyond_tail,
            self.head_back,
            self.header_wrong,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, others) in [
            (&mut self.consumed_before_published, other.consumed_before_published),
            (&mut self.clock_back, other.clock_back),
            (&mut self.out_of_range, other.out_of_range),
            (&mut self.head_beyond_tail, other.head_beyond_tail),
            (&mut self.head_back, other.head_back),
            (&mut self.header_wrong, other.header_wrong),
        ] {
            *mine = mine.saturating_add(others);
        }
    }
}

/// What the records of one interval told of one ring.
#[derive(Clone, Debug, Default)]
pub struct RingCorrelated {
    /// Residency of its sampled positions.
    pub residency: Residency,
    /// Depth over time.
    pub depth: Timeline,
    /// Contradictions.
    pub anomalies: Anomalies,
    /// [`Resolved`](uepoll_common::record::Resolved) records received, sound
    /// or not.
    pub resolved: u64,
    /// Snapshots that came so late that the order of what they saw could not
    /// be checked.
    pub late: u64,
    /// What was in the ring when it was first looked at; `None` if it was
    /// empty then, or nobody looked.
    pub before: Option<Before>,
    /// Its close, if it was seen.
    pub closed: Option<RingClosed>,
}

impl RingCorrelated {
    /// Records of sampled positions that contradicted themselves: they were
    /// received, and are no sample.
    pub fn contradictory(&self) -> u64 {
        self.resolved.saturating_sub(self.residency.samples())
    }
}

/// What the records of one interval told.
#[derive(Clone, Debug, Default)]
pub struct Correlated {
    /// By ring.
    pub rings: BTreeMap<RingNumber, RingCorrelated>,
    /// Records of every kind.
    pub records: u64,
    /// Records of rings beyond [`MAX_RINGS`].
    pub refused: u64,
    /// Records of sampled positions of an interval that had ended: not lost,
    /// since they were told as unconsumed in their own.
    pub of_other_intervals: u64,
}

/// Takes records as they come.
#[derive(Clone, Debug, Default)]
pub struct Correlator {
    rings: BTreeMap<RingNumber, ring::Following>,
    records: u64,
    refused: u64,
    of_other_intervals: u64,
    newest: u32,
}

impl Correlator {
    /// Adds one record. Never fails: what cannot be true is counted.
    pub fn push(&mut self, record: &Record) {
        self.records = self.records.saturating_add(1);
        match record {
            Record::Resolved(resolved) => {
                self.newest = self.newest.max(resolved.interval);
                let Some(ring) = self.ring(resolved.ring) else { return };
                let dropped = ring.push_resolved(resolved);
                self.drop_records(dropped);
            }
            Record::Snapshot(snapshot) => {
                if let Some(ring) = self.ring(snapshot.ring) {
                    ring.push_snapshot(*snapshot);
                }
            }
            Record::RingClosed(closed) => {
                if let Some(ring) = self.ring(closed.ring) {
                    ring.push_closed(*closed);
                }
            }
            // The owner is in the capture; here the ring only comes to be.
            Record::RingSeen(seen) => {
                if let Some(ring) = self.ring(seen.ring) {
                    ring.push_seen(seen);
                }
            }
            // Single events for whoever wants to see them: all of their kind
            // are counted by the kernel side.
            Record::Waited(_) | Record::Refused(_) | Record::Worked(_) => {}
        }
    }

    /// Ends interval number `interval`: what it was told, and nothing of
    /// others. Goes on with the next; positions that were told of it already
    /// are kept for it.
    pub fn roll(&mut self, interval: u32) -> Correlated {
        let mut told = Correlated {
            records: std::mem::take(&mut self.records),
            refused: std::mem::take(&mut self.refused),
            ..Default::default()
        };
        let mut dropped = 0u64;
        self.rings.retain(|number, ring| {
            let (correlated, of_other_intervals) = ring.roll(interval);
            dropped = dropped.saturating_add(of_other_intervals);
            told.rings.insert(*number, correlated);
            // A ring that was closed is told once more only if records of
            // later intervals have come already.
            !ring.is_over()
        });
        self.drop_records(dropped);
        told.of_other_intervals = std::mem::take(&mut self.of_other_intervals);
        told
    }

    /// What the newest interval was told: for a run of one interval.
    pub fn finish(mut self) -> Correlated {
        let newest = self.newest;
        self.roll(newest)
    }

    fn drop_records(&mut self, records: u64) {
        self.of_other_intervals = self.of_other_intervals.saturating_add(records);
    }

    fn ring(&mut self, number: RingNumber) -> Option<&mut ring::Following> {
        // Looked up once more only when the table is full.
        if self.rings.len() >= MAX_RINGS && !self.rings.contains_key(&number) {
            self.refused = self.refused.saturating_add(1);
            return None;
        }
        Some(self.rings.entry(number).or_default())
    }
}

/// Whether a record says that the ring was there before it was observed.
fn was_there_before(seen: &RingSeen) -> bool {
    seen.how != RingSeen::CREATED
}

#[cfg(test)]
mod tests;
