//! One ring while its records come in: two intervals' positions beside each
//! other, since those of the next may overtake the end of the last, and what
//! the snapshots tell.

use uepoll_common::abi::MAX_ITEMS;
use uepoll_common::record::{Resolved, RingClosed, RingSeen, Snapshot};

use super::order::{Put, Window};
use super::{Anomalies, RingCorrelated, was_there_before};
use crate::residency::{Anomaly, Residency, interval_of};
use crate::timeline::Timeline;

/// A depth beyond this is no depth: all items, and as many consumers in
/// mid-step (rfc.md, trap 11).
const MAX_DEPTH: u32 = 2 * MAX_ITEMS;

/// Positions that were in the ring when it was first looked at: their age is
/// known from below only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// How many.
    pub positions: u32,
    /// How many of them were still there when last looked at.
    pub left: u32,
    /// From the first look to the last that saw some of them still there: the
    /// one that left last, or has not, is at least so old.
    pub age_at_least_ns: u64,
    since_ns: u64,
    tail: u32,
}

impl Before {
    fn new(time_ns: u64, head: u32, tail: u32) -> Option<Self> {
        let positions = tail.wrapping_sub(head);
        (1..=MAX_DEPTH).contains(&positions).then_some(Self {
            positions,
            left: positions,
            age_at_least_ns: 0,
            since_ns: time_ns,
            tail,
        })
    }

    /// Takes account of a later look at head, which began at `time_ns`. Once
    /// all have left, nothing brings them back, whatever head says.
    pub fn look(&mut self, time_ns: u64, head: u32) {
        if self.left == 0 || time_ns < self.since_ns {
            return;
        }
        let left = self.tail.wrapping_sub(head);
        if left as i32 <= 0 {
            self.left = 0;
        } else if left <= self.left {
            self.left = left;
            self.age_at_least_ns = self.age_at_least_ns.max(time_ns - self.since_ns);
        }
        // Else head went back beyond what was there: it tells nothing.
    }
}

/// Sampled positions of one interval.
#[derive(Clone, Debug, Default)]
struct Bank {
    interval: u32,
    residency: Residency,
    anomalies: Anomalies,
    resolved: u64,
}

/// What is known of a ring so far.
#[derive(Clone, Debug, Default)]
pub struct Following {
    banks: [Option<Box<Bank>>; 2],
    /// Intervals before this one have ended.
    first_open: u32,
    window: Window,
    late: u64,
    depth: Timeline,
    anomalies: Anomalies,
    before: Option<Before>,
    /// Somebody has looked, or it was created while observed.
    looked: bool,
    /// Its first news has come.
    seen: bool,
    last: Option<Snapshot>,
    closed: Option<RingClosed>,
    over: bool,
}

impl Following {
    /// Takes a sampled position; returns how many records of other intervals
    /// were dropped for it.
    pub fn push_resolved(&mut self, record: &Resolved) -> u64 {
        if record.interval < self.first_open {
            return 1;
        }
        let place = &mut self.banks[(record.interval & 1) as usize];
        let mut dropped = 0;
        let bank = place.get_or_insert_with(|| Bank::of(record.interval));
        if record.interval < bank.interval {
            return 1;
        }
        if record.interval > bank.interval {
            dropped = bank.resolved;
            *bank = Bank::of(record.interval);
        }
        bank.push(record);
        dropped
    }

    /// Takes a snapshot.
    pub fn push_snapshot(&mut self, snapshot: Snapshot) {
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
        // In whatever order: least and greatest are the same.
        self.depth.push(snapshot.before_ns, depth);
        match self.window.put(snapshot) {
            Put::Waits => {}
            Put::Leaves(earliest) => self.look(earliest),
            Put::Late => self.late += 1,
        }
    }

    /// Takes the news of a ring.
    pub fn push_seen(&mut self, seen: &RingSeen) {
        // It is told again, with the same head and tail, once its owner is
        // known: by then they may have moved.
        if std::mem::replace(&mut self.seen, true) || self.looked {
            return;
        }
        if was_there_before(seen) {
            self.before = Before::new(seen.time_ns, seen.head, seen.tail);
        }
        self.looked = true;
    }

    /// Takes its close.
    pub fn push_closed(&mut self, closed: RingClosed) {
        self.closed = Some(closed);
        self.over = true;
    }

    /// Whether it was closed and nothing of a later interval is kept.
    pub fn is_over(&self) -> bool {
        self.over && self.banks.iter().all(Option::is_none)
    }

    /// Ends an interval: what it was told, and how many records of earlier
    /// ones were dropped.
    pub fn roll(&mut self, interval: u32) -> (RingCorrelated, u64) {
        while let Some(snapshot) = self.window.take() {
            self.look(snapshot);
        }
        let mut bank = None;
        let mut dropped = 0u64;
        for place in &mut self.banks {
            match place.take() {
                Some(kept) if kept.interval > interval => *place = Some(kept),
                Some(own) if own.interval == interval => bank = Some(own),
                older => dropped = dropped.saturating_add(older.map_or(0, |bank| bank.resolved)),
            }
        }
        let bank = bank.map_or_else(Bank::default, |bank| *bank);
        self.first_open = interval.saturating_add(1);
        let mut anomalies = std::mem::take(&mut self.anomalies);
        anomalies.add(&bank.anomalies);
        // What is in the ring when the next interval first looks was there
        // before it.
        self.looked = false;
        let told = RingCorrelated {
            residency: bank.residency,
            depth: std::mem::take(&mut self.depth),
            anomalies,
            resolved: bank.resolved,
            late: std::mem::take(&mut self.late),
            before: self.before.take(),
            closed: self.closed.take(),
        };
        (told, dropped)
    }

    /// Takes account of a snapshot, in order.
    fn look(&mut self, snapshot: Snapshot) {
        if !self.looked {
            self.looked = true;
            self.before = Before::new(snapshot.after_ns, snapshot.head, snapshot.tail);
        }
        // Only a snapshot that began after the last one ended tells which way
        // head went.
        if let Some(last) = self.last
            && snapshot.before_ns >= last.after_ns
            && (snapshot.head.wrapping_sub(last.head) as i32) < 0
        {
            self.anomalies.head_back += 1;
        }
        if let Some(before) = &mut self.before {
            before.look(snapshot.before_ns, snapshot.head);
        }
        self.last = Some(snapshot);
    }
}

impl Bank {
    fn of(interval: u32) -> Box<Self> {
        Box::new(Self { interval, ..Self::default() })
    }

    fn push(&mut self, record: &Resolved) {
        self.resolved += 1;
        match interval_of(record) {
            Ok(interval) => self.residency.push(interval),
            Err(Anomaly::ConsumedBeforePublished) => self.anomalies.consumed_before_published += 1,
            Err(Anomaly::ClockBack) => self.anomalies.clock_back += 1,
            Err(Anomaly::BadWeight) => self.anomalies.out_of_range += 1,
        }
    }
}
