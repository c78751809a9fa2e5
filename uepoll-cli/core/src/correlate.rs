//! Records in, per-ring distributions out: residency, depth over time, what was
//! contradictory. Memory grows with the number of rings, never with that of
//! records. Figures and books are made of this elsewhere.

use std::collections::BTreeMap;

use uepoll_common::abi::MAX_ITEMS;
use uepoll_common::record::{Record, Resolved, RingClosed, RingNumber, Snapshot};

use crate::residency::{Anomaly, Residency, interval_of};
use crate::timeline::Timeline;

/// Most rings that are followed; the kernel side's table is no larger.
pub const MAX_RINGS: usize = 4096;

/// A depth beyond this is no depth: all items, and as many consumers in
/// mid-step (rfc.md, trap 11).
const MAX_DEPTH: u32 = 2 * MAX_ITEMS;

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
        self.consumed_before_published
            + self.clock_back
            + self.out_of_range
            + self.head_beyond_tail
            + self.head_back
            + self.header_wrong
    }
}

/// What the records told of one ring.
#[derive(Clone, Debug, Default)]
pub struct RingCorrelated {
    /// Residency of its sampled positions.
    pub residency: Residency,
    /// Depth over time.
    pub depth: Timeline,
    /// Contradictions.
    pub anomalies: Anomalies,
    /// [`Resolved`] records received, sound or not.
    pub resolved: u64,
    /// Its close, if it was seen.
    pub closed: Option<RingClosed>,
    last_snapshot: Option<Snapshot>,
}

impl RingCorrelated {
    fn push_resolved(&mut self, record: &Resolved) {
        self.resolved += 1;
        match interval_of(record) {
            Ok(interval) => self.residency.push(interval),
            Err(Anomaly::ConsumedBeforePublished) => self.anomalies.consumed_before_published += 1,
            Err(Anomaly::ClockBack) => self.anomalies.clock_back += 1,
            Err(Anomaly::BadWeight) => self.anomalies.out_of_range += 1,
        }
    }

    fn push_snapshot(&mut self, snapshot: Snapshot) {
        if snapshot.flags & Snapshot::HEADER_RIGHT == 0 {
            self.anomalies.header_wrong += 1;
            return;
        }
        if snapshot.after_ns < snapshot.before_ns {
            self.anomalies.clock_back += 1;
            return;
        }
        let depth = snapshot.tail.wrapping_sub(snapshot.head);
        if depth > MAX_DEPTH {
            self.anomalies.head_beyond_tail += 1;
            return;
        }
        // Records of several CPUs overtake each other: only a snapshot that
        // began after the last one ended tells which way head went.
        if let Some(last) = self.last_snapshot
            && snapshot.before_ns >= last.after_ns
            && (snapshot.head.wrapping_sub(last.head) as i32) < 0
        {
            self.anomalies.head_back += 1;
        }
        if self.last_snapshot.is_none_or(|last| snapshot.before_ns >= last.before_ns) {
            self.last_snapshot = Some(snapshot);
        }
        self.depth.push(snapshot.before_ns, depth);
    }
}

/// What all records told.
#[derive(Clone, Debug, Default)]
pub struct Correlated {
    /// By ring.
    pub rings: BTreeMap<RingNumber, RingCorrelated>,
    /// Records of rings beyond [`MAX_RINGS`].
    pub refused: u64,
}

/// Takes records as they come.
#[derive(Clone, Debug, Default)]
pub struct Correlator {
    state: Correlated,
}

impl Correlator {
    /// Adds one record. Never fails: what cannot be true is counted.
    pub fn push(&mut self, record: &Record) {
        match record {
            Record::Resolved(resolved) => {
                if let Some(ring) = self.ring(resolved.ring) {
                    ring.push_resolved(resolved);
                }
            }
            Record::Snapshot(snapshot) => {
                if let Some(ring) = self.ring(snapshot.ring) {
                    ring.push_snapshot(*snapshot);
                }
            }
            Record::RingClosed(closed) => {
                if let Some(ring) = self.ring(closed.ring) {
                    ring.closed = Some(*closed);
                }
            }
            // The owner is in the capture; here the ring only comes to be.
            Record::RingSeen(seen) => {
                self.ring(seen.ring);
            }
        }
    }

    /// What was told.
    pub fn finish(self) -> Correlated {
        self.state
    }

    fn ring(&mut self, number: RingNumber) -> Option<&mut RingCorrelated> {
        let known = self.state.rings.contains_key(&number);
        if !known && self.state.rings.len() >= MAX_RINGS {
            self.state.refused += 1;
            return None;
        }
        Some(self.state.rings.entry(number).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(before_ns: u64, head: u32, tail: u32) -> Record {
        Record::Snapshot(Snapshot {
            kind: 4,
            ring: 3,
            before_ns,
            after_ns: before_ns + 10,
            head,
            tail,
            flags: Snapshot::HEADER_RIGHT,
            reserved: 0,
        })
    }

    fn correlate(records: &[Record]) -> RingCorrelated {
        let mut correlator = Correlator::default();
        records.iter().for_each(|record| correlator.push(record));
        correlator.finish().rings.remove(&3).expect("ring 3 was told of")
    }

    #[test]
    fn depth_is_right_across_the_wrap() {
        let ring = correlate(&[snapshot(100, u32::MAX - 1, 3), snapshot(200, 2, 3)]);
        assert_eq!(ring.anomalies, Anomalies::default());
        let point = ring.depth.points()[0];
        assert_eq!((point.least, point.greatest), (1, 5));
    }

    #[test]
    fn head_beyond_tail_is_an_anomaly_and_no_depth() {
        let ring = correlate(&[snapshot(100, 11, 10)]);
        assert_eq!(ring.anomalies.head_beyond_tail, 1);
        assert!(ring.depth.points().is_empty());
    }

    #[test]
    fn head_that_goes_back_is_counted_only_between_snapshots_in_order() {
        let back = correlate(&[snapshot(100, 50, 60), snapshot(200, 40, 60)]);
        assert_eq!(back.anomalies.head_back, 1);
        let overtaken = correlate(&[snapshot(200, 50, 60), snapshot(100, 40, 60)]);
        assert_eq!(overtaken.anomalies.head_back, 0);
    }

    #[test]
    fn rings_beyond_the_bound_are_refused_and_counted() {
        let mut correlator = Correlator::default();
        for ring in 0..(MAX_RINGS as u32 + 5) {
            correlator.push(&Record::RingClosed(RingClosed {
                kind: 3,
                ring,
                time_ns: 1,
                head: 0,
                tail: 0,
                items_used: 0,
                reserved: 0,
            }));
        }
        let correlated = correlator.finish();
        assert_eq!((correlated.rings.len(), correlated.refused), (MAX_RINGS, 5));
    }
}
