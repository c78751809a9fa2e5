//! Examples of a run as a Perfetto trace: who published, how deep the ring
//! was, what the worker and the consumer did. Times are CLOCK_MONOTONIC, as in
//! the records. Bounded: of a long run, each so many-th example is in it.

mod proto;
mod tracks;

use std::collections::BTreeMap;

use uepoll_common::record::{Record, Refused, Resolved, RingNumber, Snapshot, Waited, Worked};

use super::escape::{Charset, escaped};
use super::text::ring_name;
use super::thinned::Thinned;
use crate::capture::Consumer;
use crate::run::{RunInfo, Told, Viewer};

/// Most examples of a kind.
const EXAMPLES: usize = 40_000;

/// Most rings that are named.
const RINGS: usize = 4096;

/// A run that becomes a trace. Memory does not grow with its length.
pub struct Trace {
    info: RunInfo,
    positions: Thinned<Resolved>,
    snapshots: Thinned<Snapshot>,
    waits: Thinned<Waited>,
    refusals: Thinned<Refused>,
    works: Thinned<Worked>,
    rings: BTreeMap<RingNumber, Names>,
}

/// How a ring and its consumers are called.
#[derive(Clone, Default)]
struct Names {
    ring: String,
    consumers: Vec<Consumer>,
}

impl Trace {
    /// An empty trace.
    pub fn new(info: &RunInfo) -> Self {
        Self {
            info: info.clone(),
            positions: Thinned::new(EXAMPLES),
            snapshots: Thinned::new(EXAMPLES),
            waits: Thinned::new(EXAMPLES),
            refusals: Thinned::new(EXAMPLES),
            works: Thinned::new(EXAMPLES),
            rings: BTreeMap::new(),
        }
    }

    /// The trace: a `perfetto.protos.Trace`, encoded.
    pub fn finish(self) -> Vec<u8> {
        tracks::Writer::new(&self).write()
    }

    /// What was left out, in words; `None` if nothing was.
    fn left_out(&self) -> Option<String> {
        let counts = [
            (self.positions.seen(), self.positions.kept().len(), "positions"),
            (self.snapshots.seen(), self.snapshots.kept().len(), "looks"),
            (self.waits.seen(), self.waits.kept().len(), "waits"),
            (self.refusals.seen(), self.refusals.kept().len(), "refusals"),
            (self.works.seen(), self.works.kept().len(), "offloads"),
        ];
        let parts: Vec<String> = counts
            .into_iter()
            .filter(|(seen, kept, _)| *seen > *kept as u64)
            .map(|(seen, kept, what)| format!("{kept} of {seen} {what}"))
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    fn names(&mut self, told: &Told) {
        for ring in &told.report.rings {
            if self.rings.len() >= RINGS && !self.rings.contains_key(&ring.number) {
                continue;
            }
            let mut name = ring_name(ring);
            if let Some(owner) = &ring.owner {
                name.push(' ');
                name.push_str(&escaped(&owner.comm, Charset::Utf8, 64));
            }
            let consumers = ring.consumers.iter().take(64).cloned().collect();
            self.rings.insert(ring.number, Names { ring: name, consumers });
        }
    }
}

impl Viewer for Trace {
    fn record(&mut self, record: &Record) {
        match record {
            Record::Resolved(record) => self.positions.push(*record),
            Record::Snapshot(record) => self.snapshots.push(*record),
            Record::Waited(record) => self.waits.push(*record),
            Record::Refused(record) => self.refusals.push(*record),
            Record::Worked(record) => self.works.push(*record),
            // The ring's names come with the frames.
            Record::RingSeen(_) | Record::RingClosed(_) => {}
        }
    }

    fn frame(&mut self, frame: &Told) {
        self.names(frame);
    }

    fn interval(&mut self, interval: &Told) {
        self.names(interval);
    }
}
